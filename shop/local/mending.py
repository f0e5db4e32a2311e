"""How a mend takes hold of the emulator; see `mends` for what is mended."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class MendError(Exception):
    """The emulator is not the version that the mends were made for."""


def module(name: str) -> Any:
    """The emulator's module of this name."""
    return importlib.import_module(f"ministack.{name}")


def wrap(target: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace `target.name` by what `make` makes of it. Raises MendError where there is no such thing."""
    original = getattr(target, name, None)
    if original is None:
        raise MendError(f"the emulator has no {target.__name__}.{name}")
    setattr(target, name, make(original))


def follow(handlers: dict[str, Any], then: Callable[[str, dict[str, Any]], dict[str, Any] | None]) -> None:
    """Do `then(physical id, properties)` after the emulator's CloudFormation made or changed such a resource.

    What it returns are attributes of the resource beside those that the emulator gives.
    """
    create_original, update_original = handlers["create"], handlers["update"]

    def answer(result: Any, props: dict[str, Any]) -> Any:
        physical_id, attributes = result
        return physical_id, {**(attributes or {}), **(then(physical_id, props) or {})}

    def create(logical_id: str, props: dict[str, Any], *stack: Any) -> Any:
        return answer(create_original(logical_id, props, *stack), props)

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *stack: Any, **options: Any) -> Any:
        return answer(update_original(physical_id, old, new, *stack, **options), new)

    handlers.update(create=create, update=update)

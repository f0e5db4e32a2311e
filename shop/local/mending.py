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


def follow(handlers: dict[str, Any], then: Callable[[str, dict[str, Any]], None]) -> None:
    """Do `then(physical id, properties)` after the emulator's CloudFormation made or changed such a resource."""
    create_original, update_original = handlers["create"], handlers["update"]

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        result = create_original(logical_id, props, stack_name)
        then(result[0], props)
        return result

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
        result = update_original(physical_id, old, new, stack_name)
        then(result[0], new)
        return result

    handlers.update(create=create, update=update)

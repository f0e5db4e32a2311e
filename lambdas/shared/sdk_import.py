"""Imports the SDK; what it imports and functions do not use is loaded when somebody does use it.

That is botocore's writer of documentation, and whom urllib3 asks for a version before it speaks HTTP/2: 17 ms of CPU at
a cold start (decision 0025). Any name that the runtime's SDK imports from there stands for the real one, which is
loaded when the answer of a call is used. Where the SDK does something else with it while it is imported, all is
imported as ever, and the log says so.
"""

import gc
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from shared.log import logger

_DEFERRED: Final = ("botocore.docs", "botocore.docs.docstring", "botocore.docs.utils", "importlib.metadata")


class _Later:
    """Stands for what `load` gives, and loads it when it is called."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._load()(*args, **options)

    def __getattr__(self, name: str) -> "_Later":
        if name.startswith("__"):  # asked by Python itself, of what has it or not
            raise AttributeError(name)
        return _Later(lambda: getattr(self._load(), name))


class _Module(ModuleType):
    """Has every name. What is called under it is called later, when something is done with its answer."""

    def __getattr__(self, name: str) -> Callable[..., _Later]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **options: _Later(lambda: getattr(import_module(self.__name__), name)(*args, **options))


def import_sdk() -> None:
    """Imports botocore's session.

    In a thread, because its stack begins empty. Python's stack grows in pieces of 16 kB, and imports inside each other
    fill one: where a loop, as in compiling a regular expression, calls across its end, the next piece is mapped and
    unmapped at each call, up to 6,000 times (35 ms).

    Raises:
        ImportError: there is no SDK.
    """
    thread = threading.Thread(target=_import_deferring)
    thread.start()
    thread.join()
    import_module("botocore.session")


def _import_deferring() -> None:
    before = set(sys.modules)
    deferred = {name: _Module(name) for name in _DEFERRED if name not in before}
    sys.modules.update(deferred)
    gc.disable()  # all that is made here stays
    try:
        import_module("botocore.session")
    except Exception:  # noqa: BLE001 (whatever it is, it would stop all functions at once)
        logger.warning("the SDK is imported as a whole", exc_info=True)
        for name in set(sys.modules) - before:
            if name.startswith(("botocore.", "urllib3")):
                del sys.modules[name]
    finally:
        gc.enable()
        for name, module in deferred.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


import_sdk()

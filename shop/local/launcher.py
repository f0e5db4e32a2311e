"""Runs the emulator: takes the lock that says "running", applies the mends, and hands over.

Run by the emulator's own interpreter, in which nothing of the project is installed; see `emulator.start`.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path


def main() -> None:
    """Run the emulator until it is stopped. Its settings come from the environment, the pid file as an argument."""
    # Only for the import of our own modules: functions must not find the project's by accident.
    root = str(Path(__file__).resolve().parent.parent.parent)
    sys.path.insert(0, root)
    process, mends = (importlib.import_module(f"shop.local.{name}") for name in ("process", "mends"))
    sys.path.remove(root)
    lock = process.hold(Path(sys.argv[1]), int(os.environ["GATEWAY_PORT"]))
    mends.apply()
    del sys.argv[1:]
    importlib.import_module("ministack.app").main()
    lock.close()


if __name__ == "__main__":
    main()

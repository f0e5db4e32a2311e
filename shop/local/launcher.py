"""Runs the emulator: takes the lock that says "running", applies the mends, and hands over.

Run by the emulator's own interpreter, in which nothing of the project is installed; see `emulator.start`.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import IO

_LOCK_ATTEMPTS = 100
_LOCK_PAUSE_SECONDS = 0.05


def _hold(pid_file: Path) -> IO[str]:
    """Lock and write the pid file; the lock lives as long as the process, so a stale file cannot mislead anyone."""
    stream = pid_file.open("a+")
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # Someone who asks for the status holds it for a moment.
            time.sleep(_LOCK_PAUSE_SECONDS)
    else:
        sys.exit(f"another emulator holds {pid_file}")
    stream.truncate(0)
    stream.write(json.dumps({"pid": os.getpid(), "port": int(os.environ["GATEWAY_PORT"])}))
    stream.flush()
    return stream


def main() -> None:
    """Run the emulator until it is stopped. Its settings come from the environment, the pid file as an argument."""
    lock = _hold(Path(sys.argv[1]))
    # Only for the import of our own mends: functions must not find the project's modules by accident.
    root = str(Path(__file__).resolve().parent.parent.parent)
    sys.path.insert(0, root)
    mends = importlib.import_module("shop.local.mends")
    sys.path.remove(root)
    mends.apply()
    del sys.argv[1:]
    importlib.import_module("ministack.app").main()
    lock.close()


if __name__ == "__main__":
    main()

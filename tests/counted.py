"""What the workers of one test session share: started by the first that needs it, stopped by the last."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from shop.local.files import exclusive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest


def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's temporary folder; each of xdist's workers has one of its own inside it."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@contextlib.contextmanager
def counted(folder: Path, start: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    """Something that runs as long as anybody is in here; `folder` is where the workers count themselves in and out."""
    users = folder / "users"
    try:
        with exclusive(folder / "users.lock"):
            count = int(users.read_text()) if users.exists() else 0
            if count == 0:
                start()
            users.write_text(str(count + 1))
        yield
    finally:
        with exclusive(folder / "users.lock"):
            count = int(users.read_text()) - 1 if users.exists() else 0
            users.write_text(str(max(count, 0)))
            if count <= 0:
                stop()

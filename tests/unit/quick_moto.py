"""Lets moto and botocore begin in milliseconds: what each mock and session would read anew is read once a process."""

from typing import Any

import botocore.session
import moto.core.models
from botocore.loaders import Loader, create_loader

_LOADED: dict[str | None, dict[Any, Any]] = {}


def install() -> None:
    """Have all sessions of botocore share the service data they load, and moto answer to botocore alone.

    A client's service data is some hundred kilobytes of JSON to several megabytes, and each mock has a session of its
    own: to read it took half of the time of all tests that use moto.
    """
    botocore.session.create_loader = _create_loader
    # Else each mock makes an answer for each method and URL of AWS to who asks with `requests`, as nobody here does.
    moto.core.models.RESPONSES_METHODS = []


def _create_loader(search_path_string: str | None = None) -> Loader:
    loader = create_loader(search_path_string)
    # As the clients of one session share it. What boto3 adds to the search path it adds before anything is read.
    loader._cache = _LOADED.setdefault(search_path_string, {})  # type: ignore[attr-defined]
    return loader

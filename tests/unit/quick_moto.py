"""Lets moto and botocore begin in milliseconds, and end at once: what would be read anew, and waited for in vain."""

from collections.abc import Mapping
from typing import Any

import botocore.hooks
import botocore.session
import moto.core.models
from botocore.loaders import Loader, create_loader
from moto.sqs.models import Message, SQSBackend

_LOADED: dict[str | None, dict[Any, Any]] = {}


def install() -> None:
    """Have botocore's sessions share the service data they load, and moto answer to botocore alone, and at once.

    A client's service data is some hundred kilobytes of JSON to several megabytes, and each mock has a session of its
    own: to read it took half of the time of all tests that use moto.
    """
    botocore.session.create_loader = _create_loader
    # Else each session and each client finds out anew which of the names of botocore's events are old ones.
    botocore.hooks.EventAliaser.__init__ = _share_names  # type: ignore[method-assign]
    # Else each mock makes an answer for each method and URL of AWS to who asks with `requests`, as nobody here does.
    moto.core.models.RESPONSES_METHODS = []
    # A long poll of an empty queue waits for what comes meanwhile; here that is nothing, or found by the next poll.
    SQSBackend.receive_message = _receive_at_once  # type: ignore[method-assign]


def _create_loader(search_path_string: str | None = None) -> Loader:
    loader = create_loader(search_path_string)
    # As the clients of one session share it. What boto3 adds to the search path it adds before anything is read.
    loader._cache = _LOADED.setdefault(search_path_string, {})  # type: ignore[attr-defined]
    return loader


_init = botocore.hooks.EventAliaser.__init__
_NAMES: dict[str, str] = {}


def _share_names(
    self: botocore.hooks.EventAliaser,
    event_emitter: botocore.hooks.BaseEventHooks,
    event_aliases: Mapping[str, str] | None = None,
) -> None:
    _init(self, event_emitter, event_aliases)
    self._alias_name_cache = _NAMES  # type: ignore[attr-defined]


_receive = SQSBackend.receive_message


def _receive_at_once(
    self: SQSBackend,
    queue_name: str,
    count: int,
    wait_seconds_timeout: int,  # noqa: ARG001 - in moto's signature
    visibility_timeout: int,
    message_attribute_names: list[str] | None = None,
) -> list[Message]:
    return _receive(self, queue_name, count, 0, visibility_timeout, message_attribute_names)

"""Reads which new objects a message tells of.

The body is an event of S3, as it is (raw delivery) or wrapped by SNS. Anybody who may publish on the topic can send
other text: that is told apart from an event of S3 that cannot be read, which may stand for an image and must not be
lost.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

_MAJOR_VERSION: Final = "2"
"""Counts up when an event is no longer what it was; minor versions only add ("Event message structure")."""
_CREATED: Final = "ObjectCreated:"


class UnreadableEvent(Exception):
    """An event of S3 that may tell of a new object, but not in a form that is known here."""

    def __init__(self, reason: str) -> None:
        """Keeps what is wrong with the event."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Source:
    """A new object."""

    bucket: str
    key: str
    """As the object is named, no longer URL-encoded."""
    version_id: str | None
    """None in a bucket that keeps no versions."""
    sequencer: str
    """Orders the events of one key (`store.is_older`); empty where the event does not say."""


@dataclass(frozen=True)
class Ignored:
    """A message, or a record of one, that tells of no new object."""

    reason: str


def read_sources(body: str) -> list[Source | Ignored]:
    """The new objects that the body of an SQS message tells of, and why the rest of it tells of none.

    The form is that of Amazon S3's User Guide, "Event message structure", and of Amazon SNS's Developer Guide, "HTTP/S
    notification JSON format", which queues get too.

    Raises:
        UnreadableEvent: an event of S3 has another major version, or lacks its bucket or key.
    """
    message = _json_object(body)
    if message.get("Type") == "Notification" and isinstance(message.get("Message"), str):
        message = _json_object(message["Message"])
    if message.get("Event") == "s3:TestEvent":
        return [Ignored("test event")]
    records = message.get("Records")
    if not isinstance(records, list) or not records:
        return [Ignored("no S3 event")]
    return list(_read_records(records))


def _json_object(text: str) -> Mapping[str, Any]:
    """Nothing where the text is none; text nested too deeply for Python's decoder is no event either."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_records(records: list[Any]) -> Iterator[Source | Ignored]:
    for record in records:
        if not isinstance(record, dict) or record.get("eventSource") != "aws:s3":
            yield Ignored("no S3 event")
        elif not str(record.get("eventName")).startswith(_CREATED):
            yield Ignored("no new object")
        else:
            yield _read_record(record)


def _read_record(record: Mapping[str, Any]) -> Source:
    version = str(record.get("eventVersion"))
    if version.partition(".")[0] != _MAJOR_VERSION:
        raise UnreadableEvent(f"eventVersion: {version} is not {_MAJOR_VERSION}.x")
    try:
        details = record["s3"]
        subject = details["object"]
        return Source(
            _text(details["bucket"]["name"]),
            unquote_plus(_text(subject["key"]), errors="strict"),
            subject.get("versionId") or None,
            subject.get("sequencer") or "",
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnreadableEvent("s3: no bucket's name and object's key") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("no text")
    return value

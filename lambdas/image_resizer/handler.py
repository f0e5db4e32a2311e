"""Makes a smaller image of each image that comes in; its size, quality, format and prefix are the environment's.

A message is done when its result stands in the bucket, or when there is nothing to make one of: the object is gone,
or the message tells of none. Everything else is reported as failed: the queue delivers it again and, after three
receives, moves it to the dead-letter queue.

Logs name objects by key and version, because nobody could find them otherwise; never content or metadata.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from botocore.exceptions import BotoCoreError, ClientError

from image_resizer.distinct import distinct
from image_resizer.events import Ignored, Source, UnreadableEvent, read_sources
from image_resizer.names import KeyTooLong, target_key
from image_resizer.resize import BadImage, Spec, resize
from image_resizer.store import Target, TooLarge, fetch, find, is_done, keep
from shared.aws import error_code, make_client
from shared.log import logger
from shared.metrics import measures
from shared.times import Context, RemainingTime

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MADE: Final = "image made"

# Two seconds' silence is what S3's User Guide takes for a lost request ("Performance design patterns"). The read
# timeout runs anew with each piece of an answer, so that it bounds no object's size.
_s3: "S3Client" = make_client("s3")


@dataclass(frozen=True)
class _Settings:
    bucket: str
    source_prefix: str
    target_prefix: str
    most_bytes: int
    spec: Spec


def handler(event: Mapping[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Makes the images of a batch of SQS messages; returns the failed ones (Lambda, "partial batch response").

    Raises:
        KeyError: the event is no batch of SQS messages, or a variable is missing; Lambda then takes all as failed.
    """
    settings = _read_settings()
    failed = [
        record["messageId"]
        for record in event["Records"]
        if not _is_processed(record, settings, context.get_remaining_time_in_millis)
    ]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _read_settings() -> _Settings:
    env = os.environ
    spec = Spec(
        int(env["IMAGE_WIDTH"]),
        int(env["IMAGE_HEIGHT"]),
        int(env["IMAGE_QUALITY"]),
        cast("Literal['jpeg', 'webp']", env["IMAGE_FORMAT"]),  # the stack's settings see to it
        int(env["MAX_PIXELS"]),
    )
    return _Settings(env["IMAGES_BUCKET"], env["SOURCE_PREFIX"], env["TARGET_PREFIX"], int(env["MAX_FILE_BYTES"]), spec)


def _is_processed(record: Mapping[str, Any], settings: _Settings, remaining_ms: RemainingTime) -> bool:
    """Whether nothing is left to do for a message; all its objects are tried, whatever becomes of the first."""
    try:
        sources = read_sources(record["body"])
    except UnreadableEvent as error:
        details = {"message_id": record["messageId"], "reason": error.reason}
        logger.error("event not understood", extra=details)
        return False
    outcomes = [_is_handled(source, record, settings, remaining_ms) for source in sources]
    return all(outcomes)


def _is_handled(
    source: Source | Ignored, record: Mapping[str, Any], settings: _Settings, remaining_ms: RemainingTime
) -> bool:
    message_id = record["messageId"]
    reason = _why_ignored(source, settings)
    if isinstance(source, Ignored) or reason:
        logger.info("message ignored", extra={"message_id": message_id, "reason": reason})
        return True
    size = {"size": settings.target_prefix.rstrip("/")}
    details = {"message_id": message_id, "key": source.key, "version_id": source.version_id}
    try:
        outcome = _make(source, settings, remaining_ms)
    except Exception as error:  # noqa: BLE001 (one object must not fail the others of its batch)
        _log_failure(error, {**details, **measures(size, ImagesFailed=_is_first_receive(record))})
        return False
    logger.info(outcome, extra={**details, **measures(size, ImagesMade=outcome == _MADE)})
    return True


def _log_failure(error: Exception, details: Mapping[str, Any]) -> None:
    if isinstance(error, (BadImage, TooLarge, KeyTooLong)):
        logger.warning("bad image", extra={**details, "reason": error.reason})
    elif isinstance(error, (ClientError, BotoCoreError)):
        logger.error("image not made", extra={**details, "error_code": error_code(error)})
    else:
        # Only its kind: an error's text may quote content.
        logger.error("image not made", extra={**details, "error": type(error).__name__})


def _is_first_receive(record: Mapping[str, Any]) -> bool:
    """Whether nobody has received the message before, so that an image that fails counts once."""
    return str((record.get("attributes") or {}).get("ApproximateReceiveCount", "1")) == "1"


def _why_ignored(source: Source | Ignored, settings: _Settings) -> str | None:
    if isinstance(source, Ignored):
        return source.reason
    if source.bucket != settings.bucket:
        return "another bucket"
    return None if source.key.startswith(settings.source_prefix) else "another prefix"


def _make(source: Source, settings: _Settings, remaining_ms: RemainingTime) -> str:
    """Makes the result of an original unless it stands there; says in a few words what came of it."""
    spec = settings.spec
    key = target_key(source.key, settings.source_prefix, settings.target_prefix, spec.image_format)
    target = Target(source, key)
    existing = find(_s3, target, remaining_ms)
    if is_done(existing, target):
        return "image made before"
    content = fetch(_s3, source, settings.most_bytes, remaining_ms)
    if content is None:
        return "object is gone"
    with content:
        result = resize(content, spec)
    content_of_version = distinct(result.content, f"{source.sequencer} {source.version_id}")
    if keep(_s3, target, content_of_version, result.content_type, existing, remaining_ms):
        return _MADE
    return "image made before"

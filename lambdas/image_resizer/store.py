"""Gets originals from S3 and keeps results there, so that an older original never replaces a newer one's result.

A result carries its original's sequencer. It is written on the condition that what was found under its key is still
there (`If-Match`), or that there is still nothing (`If-None-Match`): of two functions that work on one key at a time,
the second to write has to look again (Amazon S3 User Guide, "How to prevent object overwrites with conditional
writes"). So no two versions of an original may give the same bytes (`image_resizer.distinct`).

Needs the rights to GetObject and GetObjectVersion on originals, to GetObject (the condition `If-Match` and HEAD) and
PutObject on results, and to ListBucket, without which S3 answers 403 and not 404 for what is not there.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from logging import INFO, WARNING
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError, IncompleteReadError

from image_resizer.events import Source
from shared import aws
from shared.aws import error_code
from shared.log import logger
from shared.times import RemainingTime, attempts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

T = TypeVar("T")

_SEQUENCER: Final = "source-sequencer"
_VERSION: Final = "source-version"
_CHUNK_BYTES: Final = 1024 * 1024
"""An object is read in pieces, because newer Pythons' `http.client` needs half as much again to read it at once."""
_NOT_FOUND: Final = 404
_GONE: Final = {"NoSuchKey", "NoSuchVersion", "MethodNotAllowed"}
"""The last is S3's answer where the version asked for is a delete marker ("Working with delete markers")."""
_OVERTAKEN: Final = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}
"""What a conditional write is refused with when another came first; the last where what was to match is deleted."""


class TooLarge(Exception):
    """An original is larger than the function takes."""

    def __init__(self, size: int, limit: int) -> None:
        """Keeps the size and the limit, both in bytes, as one line."""
        self.reason = f"{size} bytes are more than {limit}"
        super().__init__(self.reason)


@dataclass(frozen=True)
class Target:
    """Where the result of an original goes."""

    source: Source
    key: str


@dataclass(frozen=True)
class Existing:
    """What stands under a result's key."""

    etag: str
    sequencer: str | None
    """Of the original that it was made from; None for an object that was not written here."""


def is_older(sequencer: str, other: str) -> bool:
    """Whether an event came before another one of the same key.

    "Right pad the shorter value with zeros, and then do a lexicographical comparison" of the hexadecimal values
    (Amazon S3 User Guide, "Event message structure").
    """
    length = max(len(sequencer), len(other))
    return sequencer.upper().ljust(length, "0") < other.upper().ljust(length, "0")


def find(s3: "S3Client", target: Target, remaining_ms: RemainingTime) -> Existing | None:
    """What stands under the result's key; None where nothing does.

    Raises:
        ClientError, BotoCoreError: S3 refused, or gave no answer in time.
    """
    try:
        answer = _retry(lambda: s3.head_object(Bucket=target.source.bucket, Key=target.key), remaining_ms)
    except ClientError as error:
        if _status(error) == _NOT_FOUND:
            return None
        raise
    return Existing(answer["ETag"], answer["Metadata"].get(_SEQUENCER))


def is_done(existing: Existing | None, target: Target) -> bool:
    """Whether the result stands there already, of this original or of a newer one."""
    if existing is None or existing.sequencer is None:
        return False
    return not is_older(existing.sequencer, target.source.sequencer)


def fetch(s3: "S3Client", source: Source, most_bytes: int, remaining_ms: RemainingTime) -> BinaryIO | None:
    """The content of an original, held in memory once; None where it is gone, be it only under a delete marker.

    Raises:
        TooLarge: it has more bytes than allowed; none of them is read.
        ClientError, BotoCoreError: S3 refused, or did not send all of it in time.
    """
    try:
        return _retry(lambda: _download(s3, source, most_bytes), remaining_ms)
    except ClientError as error:
        if error_code(error) in _GONE:
            return None
        raise


def keep(
    s3: "S3Client",
    target: Target,
    content: bytes,
    content_type: str,
    existing: Existing | None,
    remaining_ms: RemainingTime,
) -> bool:
    """Writes a result in the place of what was found there; returns False where a newer one, or the same, came first.

    Raises:
        ClientError, BotoCoreError: S3 refused, or gave no answer in time.
    """
    for _ in attempts(remaining_ms):
        try:
            _put(s3, target, content, content_type, existing)
        except (ClientError, BotoCoreError) as error:
            overtaken = error_code(error) in _OVERTAKEN
            if not overtaken and not _is_transient(error):
                raise
            details = {"key": target.key, "error_code": error_code(error)}
            logger.log(INFO if overtaken else WARNING, "result not written", extra=details)
            failure = error
        else:
            return True
        # A write without an answer may have been done: only what stands there now tells.
        existing = find(s3, target, remaining_ms)
        if is_done(existing, target):
            return False
    raise failure


def _download(s3: "S3Client", source: Source, most_bytes: int) -> BinaryIO:
    answer = _open(s3, source)
    with closing(answer["Body"]) as body:
        if answer["ContentLength"] > most_bytes:
            raise TooLarge(answer["ContentLength"], most_bytes)
        content = BytesIO()
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            content.write(chunk)
    content.seek(0)
    return content


def _open(s3: "S3Client", source: Source) -> "GetObjectOutputTypeDef":
    """The version that the event names, unless the object is deleted.

    Asked for without its version first, because S3 still has a version that lies under a delete marker, and nobody
    wants images of what they deleted. As a rule the current version is the one, and the first answer has it.
    """
    answer = s3.get_object(Bucket=source.bucket, Key=source.key)
    if source.version_id in {None, answer.get("VersionId", "null")}:
        return answer
    answer["Body"].close()
    return s3.get_object(Bucket=source.bucket, Key=source.key, VersionId=str(source.version_id))


def _put(s3: "S3Client", target: Target, content: bytes, content_type: str, existing: Existing | None) -> None:
    metadata = {_SEQUENCER: target.source.sequencer, _VERSION: target.source.version_id}
    kept = {name: value for name, value in metadata.items() if value}
    place = {"Bucket": target.source.bucket, "Key": target.key}
    condition = {"IfNoneMatch": "*"} if existing is None else {"IfMatch": existing.etag}
    s3.put_object(**place, **condition, Body=content, ContentType=content_type, Metadata=kept)  # type: ignore[arg-type]


def _retry(call: Callable[[], T], remaining_ms: RemainingTime) -> T:
    for _ in attempts(remaining_ms):
        try:
            return call()
        except (ClientError, BotoCoreError) as error:
            if not _is_transient(error):
                raise
            logger.warning("S3 call failed", extra={"error_code": error_code(error)})
            failure = error
    raise failure


def _is_transient(error: ClientError | BotoCoreError) -> bool:
    """Whether the same call may succeed a moment later; an object that arrived damaged may arrive whole."""
    if isinstance(error, (IncompleteReadError, FlexibleChecksumError)):
        return True
    return aws.is_transient(error) or error_code(error) == "RequestTimeout"


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)

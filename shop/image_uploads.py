"""Sending originals to a stage, and waiting until each of its sizes is made or has failed."""

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from shop import image_dead_letters, target
from shop.errors import ShopError
from shop.image_rules import KeyTooLong
from shop.images import CONNECTIONS, Images, Size, check_encoding, reason
from shop.logs import milliseconds, read
from shop.names import construct_name
from shop.queues import redrive

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient

MAX_KEY_BYTES: Final = 1_024
"""Of a key in UTF-8 (S3, "Naming Amazon S3 objects")."""
CONTENT_TYPES: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
NO_VERSION: Final = "null"
"""What S3 calls the version of an object in a bucket that keeps none."""
POLL_EVERY: Final = 0.5
LOOK_EVERY: Final = 2.0
"""Seconds between two looks at what may have become of an image instead: refused, dead-lettered, replaced, deleted."""
SLACK: Final = 60.0
"""Seconds without news that are waited for beyond those in which SQS gives up on a message: a function may start
cold, and on AWS the depth of a queue is up to a minute old (SQS, GetQueueAttributes)."""

_CLOCKS: Final = timedelta(minutes=5)
"""How far this machine's clock may be ahead of the stage's."""
_REFUSED: Final = "bad image"
"""What a function logs of an original that it can make no image of, with the reason (lambdas/image_resizer)."""

State = Literal["made", "refused", "failed", "replaced", "gone", "missing"]
"""Of one size: made; no image can be made of its content; in the dead-letter queue; another version was uploaded or the
original deleted before it was made; nothing of that in the time there was."""


@dataclass(frozen=True)
class Result:
    """What became of one size of one uploaded version."""

    state: State
    bytes: int | None = None
    """Of what was made; None where nothing was."""
    why: str = ""
    """In words for a person, of what its function says more of."""

    def cell(self) -> str:
        """Return the bytes, or the state where nothing was made, for a table."""
        return self.state if self.bytes is None else f"{self.bytes:,}"


@dataclass(frozen=True)
class Upload:
    """What became of one file."""

    file: str
    name: str | None
    """The image's name in the stage; None where it cannot have one."""
    version: str | None
    """The version that S3 gave it; None where it was not uploaded."""
    refusal: str | None
    begun: datetime | None = None
    """When it began to be sent, by this machine's clock; None where it was not."""
    results: dict[str, Result] = field(default_factory=dict)
    """By size, once they were waited for."""

    def failures(self) -> Iterator[str]:
        """Yield what went wrong, each as one line that names the file."""
        if self.refusal is not None:
            yield f"{self.file}: {self.refusal}"
        for size, result in self.results.items():
            if result.state != "made":
                yield f"{self.file}: {size}: {_IN_WORDS[result.state]}{result.why}"


_IN_WORDS: Final[Mapping[State, str]] = {
    "refused": "refused: ",
    "failed": "failed three times; its event is in the dead-letter queue, why in its function's log: ",
    "replaced": "not made, another version was uploaded meanwhile",
    "gone": "not made, the original was deleted meanwhile",
    "missing": "not made in the time that it may take: status shows what waits",
}


def put(
    images: Images, files: Sequence[str], folder: str = "", on_end: Callable[[], None] = lambda: None
) -> list[Upload]:
    """Upload files into a folder of the stage, several at a time; return what became of each, in their sequence.

    A file that the stage would make no image of is refused, the others are uploaded. `on_end` is called for each file.
    Raises ShopError for a folder that no image can be in.
    """
    inside = _check_folder(folder)
    plans = _refuse_repeated([_plan(images, file, inside) for file in files])
    versions = _keep_versions(images.s3)
    stopped = Event()

    def send(plan: Upload) -> Upload:
        return plan if plan.name is None or plan.refusal else _send(images, plan, plan.name, versions, stopped)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        futures = [threads.submit(send, plan) for plan in plans]
        try:
            for _ in as_completed(futures):
                on_end()
        except BaseException:
            stopped.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _check_folder(folder: str) -> str:
    """Return a folder without slashes around it; raise ShopError where `images get` could not give it back."""
    inside = folder.strip("/")
    check_encoding(inside)
    parts = inside.split("/")
    if inside and (not all(parts) or {".", ".."} & set(parts)):
        raise ShopError(f"--folder: {folder!r} is no folder of images: names between single slashes, none . or ..")
    return inside


def _plan(images: Images, file: str, inside: str) -> Upload:
    own = Path(file).name
    try:
        check_encoding(own)
    except ShopError as error:
        shown = file.encode(errors="surrogateescape").decode(errors="replace")
        return Upload(shown, None, None, str(error).partition(": ")[2])
    name = f"{inside}/{own}" if inside else own
    return Upload(file, name, None, _refusal(images, Path(file), name))


def _refusal(images: Images, file: Path, name: str) -> str | None:
    """Return why the stage would make no image of a file, None where it would try."""
    try:
        if not file.is_file():
            return "is not a file" if file.exists() else "No such file or directory"
        size = file.stat().st_size
    except OSError as error:
        return error.strerror or str(error)
    if not name.endswith(images.suffixes):
        return f"the stage makes images of {', '.join(images.suffixes)} only (upper and lower case differ)"
    if not size:
        return "is empty"
    limit = min(each.max_file_bytes for each in images.sizes)
    if size > limit:
        return f"{size:,} bytes are more than the {limit:,} that the stage makes images of"
    return _key_refusal(images, name)


def _key_refusal(images: Images, name: str) -> str | None:
    if (length := len(images.source_key(name).encode())) > MAX_KEY_BYTES:
        return f"its key would have {length:,} bytes, more than {MAX_KEY_BYTES:,}"
    try:
        for each in images.sizes:
            images.key(name, each)
    except KeyTooLong as error:
        return error.reason
    return None


def _refuse_repeated(plans: Sequence[Upload]) -> list[Upload]:
    """Return the plans with every later file of a name refused: it would replace the one before."""
    first: dict[str, str] = {}
    checked = []
    for plan in plans:
        if plan.name is None or plan.refusal or (taken := first.setdefault(plan.name, plan.file)) is plan.file:
            checked.append(plan)
        else:
            checked.append(replace(plan, refusal=f"{taken} has the same name, {plan.name}"))
    return checked


def _keep_versions(s3: "S3Client") -> dict[str, str]:
    """Return a dict that from now on has the version of whatever the client uploads, by key.

    boto3's managed transfer does not return it, and asking for it afterwards could find somebody else's.
    """
    versions: dict[str, str] = {}

    def asked(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["uploaded_key"] = params["Key"]

    def answered(parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        if "VersionId" in parsed:
            versions[context["uploaded_key"]] = parsed["VersionId"]

    for operation in ("PutObject", "CompleteMultipartUpload"):
        s3.meta.events.register(f"before-parameter-build.s3.{operation}", asked)
        s3.meta.events.register(f"after-call.s3.{operation}", answered)
    return versions


class _StoppedError(Exception):
    """The upload was interrupted."""


def _send(images: Images, plan: Upload, name: str, versions: Mapping[str, str], stopped: Event) -> Upload:
    key = images.source_key(name)

    def go_on(_: int) -> None:
        if stopped.is_set():
            raise _StoppedError

    kind = CONTENT_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
    begun = datetime.now(UTC)
    try:
        with Path(plan.file).open("rb") as content:
            images.s3.upload_fileobj(
                content,
                images.bucket,
                key,
                ExtraArgs={"ContentType": kind},
                Callback=go_on,
                Config=TransferConfig(use_threads=False),
            )
    except OSError as error:
        return replace(plan, refusal=error.strerror or str(error))
    except (Boto3Error, BotoCoreError, ClientError) as error:
        return replace(plan, refusal=reason(error))
    return replace(plan, version=versions.get(key, NO_VERSION), begun=begun)


def wait(images: Images, uploads: Sequence[Upload], on_end: Callable[[], None] = lambda: None) -> list[Upload]:
    """Return the uploads with what became of each size of exactly the uploaded version.

    Ends when all is known, or when there was no news for as long as SQS takes to give up on a message and `SLACK`.
    `on_end` is called for each size of each upload.
    """
    waiting = {
        (upload.name, upload.version, size)
        for upload in uploads
        if upload.name is not None and upload.version is not None
        for size in images.sizes
    }
    found: dict[tuple[str, str, str], Result] = {}
    since = min((upload.begun for upload in uploads if upload.begun), default=datetime.now(UTC)) - _CLOCKS
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for news in _news(images, waiting, since, threads):
            for (name, version, size), result in news.items():
                found[name, version, size.name] = result
                on_end()
    return [replace(upload, results=_results(images, upload, found)) for upload in uploads]


_Wanted = tuple[str, str, Size]
"""Name, version and size."""


def _results(images: Images, upload: Upload, found: Mapping[tuple[str, str, str], Result]) -> dict[str, Result]:
    if upload.name is None or upload.version is None:
        return {}
    return {size.name: found.get((upload.name, upload.version, size.name), Result("missing")) for size in images.sizes}


def _news(
    images: Images, waiting: set[_Wanted], since: datetime, threads: ThreadPoolExecutor
) -> Iterator[dict[_Wanted, Result]]:
    """Yield results as they become known, for as long as there may be more of them."""
    patience = _patience(images)
    last_news = time.monotonic()
    next_look = last_news + LOOK_EVERY
    while waiting and (now := time.monotonic()) < last_news + patience:
        news = _ask(waiting, threads, lambda wanted: _made(images, *wanted))
        waiting = waiting - news.keys()
        if waiting and now >= next_look:
            news |= _other_ends(images, waiting, since, threads)
            waiting = waiting - news.keys()
            next_look = now + LOOK_EVERY
        if news:
            last_news = now
            yield news
        else:
            time.sleep(POLL_EVERY)


def _patience(images: Images) -> float:
    sqs: SQSClient = images.where.client("sqs")
    rules = [redrive(sqs, size.queue_url) for size in images.sizes]
    return max(receives * visibility_timeout for receives, visibility_timeout in rules) + SLACK


def _ask(
    waiting: set[_Wanted], threads: ThreadPoolExecutor, question: Callable[[_Wanted], Result | None]
) -> dict[_Wanted, Result]:
    asked = list(waiting)
    return {wanted: result for wanted, result in zip(asked, threads.map(question, asked), strict=True) if result}


def _made(images: Images, name: str, version: str, size: Size) -> Result | None:
    found = images.made(name, size)
    if found is None or found["Metadata"].get("source-version") != version:
        return None
    return Result("made", found["ContentLength"])


def _other_ends(
    images: Images, waiting: set[_Wanted], since: datetime, threads: ThreadPoolExecutor
) -> dict[_Wanted, Result]:
    sqs: SQSClient = images.where.client("sqs")
    ended = _ask(waiting, threads, lambda wanted: _superseded(images, *wanted))
    for size in {size for _, _, size in waiting}:
        refused = _refused_sources(images, size, since)
        failed = image_dead_letters.failed_sources(sqs, size.dead_letter_queue_url)
        for wanted in waiting:
            source = images.source_key(wanted[0]), wanted[1]
            if wanted[2] == size and (source in refused or source in failed):
                ended[wanted] = _failure(images, wanted, refused.get(source))
    return ended


def _failure(images: Images, wanted: _Wanted, refused_because: str | None) -> Result:
    log = _log_command(images, *wanted)
    if refused_because is None:
        return Result("failed", why=log)
    # The content stays what it is, so there is nothing to wait for.
    told = f"{refused_because}; it is tried three times, and is then in the dead-letter queue. Its function's log: "
    return Result("refused", why=f"{told}{log}")


def _log_command(images: Images, name: str, version: str, size: Size) -> str:
    """Return the command line that shows what a size's function says of an uploaded version."""
    sought = images.source_key(name) if version == NO_VERSION else version
    option = target.stage_option(images.where.stage)
    function = construct_name(size.function_name)
    return f".venv/bin/python -m shop logs {function} --filter {shlex.quote(sought)}{option}"


class _Refusal(msgspec.Struct):
    """What a function logs of an original that it can make no image of."""

    message: str
    key: str
    version_id: str | None
    reason: str


def _refused_sources(images: Images, size: Size, since: datetime) -> dict[tuple[str, str], str]:
    """Return why a size's function can make no image of originals, by key and version, of those it has tried since.

    Nothing where its log cannot be read: that only explains what the dead-letter queue tells as well, later.
    """
    logs: CloudWatchLogsClient = images.where.client("logs")
    refused: dict[tuple[str, str], str] = {}
    try:
        for event in read(logs, size.log_group, milliseconds(since), f'"{_REFUSED}"'):
            said = _read_refusal(event.message)
            if said:
                refused[said.key, said.version_id or NO_VERSION] = said.reason
    except ClientError:
        return {}
    return refused


def _read_refusal(line: str) -> _Refusal | None:
    try:
        said = msgspec.json.decode(line, type=_Refusal)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    return said if said.message == _REFUSED else None


def _superseded(images: Images, name: str, version: str, _: Size) -> Result | None:
    found = images.head(images.source_key(name))
    if found is None:
        return Result("gone")
    return None if found["VersionId"] == version else Result("replaced")

"""What lies in the dead-letter queues of a stage's images: which image was not made in which size.

Why an image could not be made only its bytes can say; the function has logged it. Here is found what an operator
needs to know before looking there: whether the image was made after all, or its original is gone.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shop.dead_letters import DeadLetter, FailureQueue, make_letter, received
from shop.health import depth
from shop.image_rules import Source, UnreadableEvent, read_sources
from shop.images import CONNECTIONS, Images, Size, reason
from shop.names import construct_name
from shop.output import shorten

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef


def image_queues(images: Images) -> list[FailureQueue]:
    """Return the dead-letter queues of all sizes, each by its size's name."""
    return [FailureQueue(size.name, size.dead_letter_queue_url, partial(_judge, images, size)) for size in images.sizes]


def _judge(images: Images, size: Size, messages: Sequence["MessageTypeDef"]) -> list[DeadLetter]:
    def letter(message: "MessageTypeDef") -> DeadLetter:
        return make_letter(size.name, message, None, _reason(images, size, message["Body"]))

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return list(threads.map(letter, messages))


def _reason(images: Images, size: Size, body: str) -> str:
    try:
        sources = _sources(body)
    except UnreadableEvent as error:
        return f"no image: {error}"
    told = [_verdict(images, size, source) for source in sources]
    return "; ".join(told) or f"no event of a new image: {shorten(body, 100)}"


def _verdict(images: Images, size: Size, source: Source) -> str:
    if source.bucket != images.bucket or not source.key.startswith(images.source_prefix):
        return f"{source.bucket}/{source.key} is no original of this stage"
    name = source.key.removeprefix(images.source_prefix)
    try:
        return f"{size.name} of {name}: {_found(images, size, name, source)}"
    except ClientError as error:
        # Anybody who may publish can have made up a version or a key that S3 refuses.
        return f"{size.name} of {name}: not known ({reason(error)})"


def _found(images: Images, size: Size, name: str, source: Source) -> str:
    made = images.made(name, size)
    if made is not None and made["Metadata"].get("source-version") == source.version_id:
        return "made all the same: it can be deleted"
    if images.head(source.key, source.version_id) is None:
        return "not made, and the original is gone: it can be deleted"
    return f"not made; .venv/bin/python -m shop logs {construct_name(size.function_name)} says why"


def failed_sources(sqs: "SQSClient", url: str) -> set[tuple[str, str | None]]:
    """Return key and version of every original named in a dead-letter queue, which is only read if not empty."""
    if not depth(sqs, url).visible:
        return set()
    with received(sqs, url) as messages:
        bodies = [message["Body"] for message in messages]
    failed: set[tuple[str, str | None]] = set()
    for body in bodies:
        try:
            failed.update((source.key, source.version_id) for source in _sources(body))
        except UnreadableEvent:
            continue
    return failed


def _sources(body: str) -> list[Source]:
    return [each for each in read_sources(body) if isinstance(each, Source)]

"""Product images from the outside: which sizes a stage makes, what images it has, and fetching them.

All is asked of what is deployed and nothing of the settings, since a stage may have been deployed with other ones: the
sizes and their limits of the functions' environment, the suffixes of the bucket's notifications. An image's name is
its key without the prefix that originals have, such as `mugs/red.jpg` for `ingest/mugs/red.jpg`.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError

from shop.errors import ShopError, explain
from shop.image_rules import KeyTooLong, target_key
from shop.output import moment, printable
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationResponseTypeDef
    from mypy_boto3_s3.client import S3Client

CONNECTIONS: Final = 16
"""Requests at a time where many images are asked for or sent."""
ORIGINAL: Final = "original"
ALL: Final = "all"
MOST_READ: Final = 5_000
"""Names, of which the newest are looked for: five requests to S3."""
_MISSING: Final = {"404", "NoSuchKey", "NotFound"}
"""What S3 says of an object that is not there; a HEAD has no body, so only the status says it."""


@dataclass(frozen=True)
class Size:
    """One of the sizes that a stage makes of each image."""

    name: str
    """Such as `thumbnail`: the prefix of its images, without the slash."""
    prefix: str
    image_format: str
    width: int
    """An image has at most this width and height, in pixels."""
    height: int
    max_file_bytes: int
    """No image is made of a larger file."""
    max_pixels: int
    """No image is made of one with more pixels."""
    function_name: str
    log_group: str
    queue_url: str
    dead_letter_queue_url: str


@dataclass(frozen=True)
class Images:
    """The images of a stage: where they are, and what is made of them."""

    where: Target
    s3: "S3Client"
    bucket: str
    source_prefix: str
    suffixes: tuple[str, ...]
    """Originals with one of these at the end of their names have images made of them; case counts."""
    sizes: tuple[Size, ...]
    """The smallest first."""

    def source_key(self, name: str) -> str:
        """Return the key of an original."""
        return f"{self.source_prefix}{name}"

    def key(self, name: str, size: Size) -> str:
        """Return the key of what is made of an original in one size; raise KeyTooLong where S3 would not take it."""
        return target_key(self.source_key(name), self.source_prefix, size.prefix, size.image_format)

    def made(self, name: str, size: Size) -> Mapping[str, Any] | None:
        """Return what S3 knows of what was made of an original in one size; None where nothing was."""
        try:
            key = self.key(name, size)
        except KeyTooLong:
            return None
        return self.head(key)

    def head(self, key: str, version: str | None = None) -> Mapping[str, Any] | None:
        """Return what S3 knows of an object, of its newest version unless one is named; None where there is none."""
        chosen: Any = {} if version is None else {"VersionId": version}
        try:
            return self.s3.head_object(Bucket=self.bucket, Key=key, **chosen)
        except ClientError as error:
            if error.response["Error"].get("Code") in _MISSING:
                return None
            raise


def open_images(where: Target) -> Images:
    """Return the images of the stage whose image stack `where` is.

    Raises ShopError where the stack has no function that makes images, or no output that one of them needs.
    """
    functions: LambdaClient = where.client("lambda")
    s3: S3Client = where.client("s3", Config(max_pool_connections=CONNECTIONS))
    configurations = [
        functions.get_function_configuration(FunctionName=name)
        for key, name in where.outputs.items()
        if key.endswith("FunctionName")
    ]
    found = [each for each in configurations if "TARGET_PREFIX" in _variables(each)]
    if not found:
        raise ShopError(f"stack {where.stack} has no function that makes images: deploy it again")
    bucket, source_prefix = where.output("ImagesBucketName"), _variables(found[0])["SOURCE_PREFIX"]
    sizes = sorted((_size(where, each) for each in found), key=lambda size: (size.width * size.height, size.name))
    return Images(where, s3, bucket, source_prefix, _suffixes(s3, bucket, source_prefix), tuple(sizes))


def _variables(configuration: "FunctionConfigurationResponseTypeDef") -> Mapping[str, str]:
    return configuration.get("Environment", {}).get("Variables", {})


def _size(where: Target, configuration: "FunctionConfigurationResponseTypeDef") -> Size:
    variables = _variables(configuration)
    name = variables["TARGET_PREFIX"].removesuffix("/")
    queue = "".join(part[:1].upper() + part[1:] for part in name.split("-"))
    return Size(
        name=name,
        prefix=variables["TARGET_PREFIX"],
        image_format=variables["IMAGE_FORMAT"],
        width=int(variables["IMAGE_WIDTH"]),
        height=int(variables["IMAGE_HEIGHT"]),
        max_file_bytes=int(variables["MAX_FILE_BYTES"]),
        max_pixels=int(variables["MAX_PIXELS"]),
        function_name=configuration["FunctionName"],
        log_group=configuration["LoggingConfig"]["LogGroup"],
        queue_url=where.output(f"{queue}QueueUrl"),
        dead_letter_queue_url=where.output(f"{queue}DeadLetterQueueUrl"),
    )


def _suffixes(s3: "S3Client", bucket: str, source_prefix: str) -> tuple[str, ...]:
    """Return the suffixes that the bucket announces new originals of."""
    announced = s3.get_bucket_notification_configuration(Bucket=bucket).get("TopicConfigurations", [])
    rules = [
        {rule["Name"].lower(): rule["Value"] for rule in topic.get("Filter", {}).get("Key", {}).get("FilterRules", [])}
        for topic in announced
    ]
    return tuple(rule.get("suffix", "") for rule in rules if rule.get("prefix") == source_prefix)


@dataclass(frozen=True)
class Made:
    """What was made of an original in one size."""

    bytes: int
    modified: str
    """RFC 3339 in UTC."""
    outdated: bool
    """Made of an earlier version: the original has been replaced since."""


@dataclass(frozen=True)
class Image:
    """An original, and by size what was made of it; None where nothing was."""

    name: str
    bytes: int
    modified: str
    sizes: dict[str, Made | None]


class Listing(NamedTuple):
    """Some of a stage's images, by name, and whether there are more."""

    images: list[Image]
    has_more: bool


def list_images(images: Images, limit: int) -> Listing:
    """Return the first `limit` originals by name (UTF-8 order, as S3 sorts them) and what was made of each."""
    originals = list(islice(_originals(images), limit + 1))
    return Listing(_with_sizes(images, originals[:limit]), len(originals) > limit)


def list_newest(images: Images, limit: int) -> Listing:
    """Return the `limit` originals that were uploaded last, the newest first, and what was made of each.

    S3 lists by name only, so all names have to be read; of more than `MOST_READ` only the first are.
    """
    originals = list(islice(_originals(images), MOST_READ))
    newest = heapq.nlargest(limit, originals, key=lambda original: original["LastModified"])
    return Listing(_with_sizes(images, newest), len(originals) > limit)


def _with_sizes(images: Images, originals: Sequence[Mapping[str, Any]]) -> list[Image]:
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return list(threads.map(lambda original: _image(images, original), originals))


def _originals(images: Images) -> Iterator[Mapping[str, Any]]:
    pages = images.s3.get_paginator("list_objects_v2").paginate(Bucket=images.bucket, Prefix=images.source_prefix)
    # The S3 console makes an empty object whose name ends in a slash for each folder that a person makes in it.
    return (each for page in pages for each in page.get("Contents", []) if not each["Key"].endswith("/"))


def _image(images: Images, original: Mapping[str, Any]) -> Image:
    name = original["Key"].removeprefix(images.source_prefix)
    newest = images.head(original["Key"])
    version = newest["VersionId"] if newest else None
    made = {size.name: _made(images.made(name, size), version) for size in images.sizes}
    return Image(name, original["Size"], _utc(original["LastModified"]), made)


def _made(found: Mapping[str, Any] | None, version: str | None) -> Made | None:
    if found is None:
        return None
    # Times cannot say it: S3 gives those of one request to the second and of another with fractions of it.
    outdated = found["Metadata"].get("source-version") != version
    return Made(found["ContentLength"], _utc(found["LastModified"]), outdated)


def _utc(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def row(image: Image) -> tuple[str, ...]:
    """Return an image's cells for a table: name, bytes and time of the original, then each size's bytes or `-`."""
    return (image.name, f"{image.bytes:,}", moment(image.modified), *map(_cell, image.sizes.values()))


def _cell(made: Made | None) -> str:
    if made is None:
        return "-"
    return f"{made.bytes:,} (outdated)" if made.outdated else f"{made.bytes:,}"


@dataclass(frozen=True)
class Fetched:
    """One file of an image, as it was asked for: what was written where, or why nothing was."""

    size: str
    """Name of the size, `original` for the original."""
    key: str
    file: str | None
    bytes: int | None
    failure: str | None = None


def fetch(images: Images, name: str, size: str, folder: Path) -> list[Fetched]:
    """Write an image in one size, the original, or all of them to `folder`/size/name; a file that exists is replaced.

    A file is whole or not there: each is written beside its place and then renamed. Raises ShopError for a size that
    the stage does not make, and for a name that would lead out of the folder.
    """
    check_encoding(name)
    keys = {label: key_of(images, name, label) for label in _chosen(images, size)}
    # All are checked before one is written. A result may have a suffix more than its original, and prefixes no slash.
    files = {label: _place(folder, label, key.partition("/")[2]) for label, key in keys.items()}
    return [_fetch(images, label, key, files[label]) for label, key in keys.items()]


def _chosen(images: Images, size: str) -> list[str]:
    known = [*(each.name for each in images.sizes), ORIGINAL]
    if size == ALL:
        return known
    if size not in known:
        raise ShopError(f"--size: {size!r} is not one of {', '.join([*known, ALL])}")
    return [size]


def key_of(images: Images, name: str, label: str) -> str:
    """Return the key of an image in one of the stage's sizes, or of its original."""
    if label == ORIGINAL:
        return images.source_key(name)
    try:
        return images.key(name, next(size for size in images.sizes if size.name == label))
    except KeyTooLong as error:
        raise ShopError(f"there is no {label}: {error.reason}; --size {ORIGINAL} fetches the original") from None


def _place(folder: Path, label: str, name: str) -> Path:
    """Return where a file goes; an object's name is anybody's text, and must not write outside the folder."""
    parts = name.split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in name:
        raise ShopError(
            f"{printable(name)!r} cannot be a path of a file: fetch it with the AWS CLI, under another name"
        )
    base = folder / label
    file = base.joinpath(*parts)
    # A link that is there already leads where it leads, the folder itself included; none below it may lead elsewhere.
    if not file.parent.resolve().is_relative_to(base.resolve()):
        raise ShopError(f"{file}: a link leads out of {base}")
    return file


def _fetch(images: Images, label: str, key: str, file: Path) -> Fetched:
    found = images.head(key)
    if found is None:
        return Fetched(label, key, None, None, f"there is no {key}")
    download(images, key, file)
    return Fetched(label, key, str(file), file.stat().st_size)


def download(images: Images, key: str, file: Path) -> None:
    """Write an object to a file, whose folder is made; raise ShopError where that cannot be done."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        images.s3.download_file(images.bucket, key, str(file))
    except OSError as error:
        raise ShopError(f"{file}: {error.strerror or error}") from None


def check_encoding(name: str) -> None:
    """Raise ShopError for a name that is not UTF-8, which the keys of S3 are (S3, "Naming objects")."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="surrogateescape").decode(errors="replace")
        raise ShopError(f"{shown}: the name is not UTF-8, and no key of S3 can be anything else") from None


def reason(error: Exception) -> str:
    """Return why something failed, as one line; raise what deserves its traceback."""
    line = explain(error)
    if line is None:
        raise error
    return line

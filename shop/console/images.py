"""The panel `images`: upload a picture, see what the stage makes of it, and what it made of others."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from flask import Blueprint, Response, current_app, make_response, render_template, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from shop import image_uploads, target
from shop.console import stage
from shop.console.jobs import Job, Progress
from shop.console.security import action
from shop.errors import ShopError, explain
from shop.image_files import StoredImage, content_type, look
from shop.image_uploads import Upload
from shop.images import ORIGINAL, Images, key_of, list_newest, open_images

if TYPE_CHECKING:
    from werkzeug.datastructures import FileStorage

TITLE: Final = "Images"
LIVE: Final = False
blueprint = Blueprint("images", __name__)

_JOB: Final = "the upload"
_KEPT: Final = "shop_console_images"
_IN_GALLERY: Final = 12
_SIGNATURE_BYTES: Final = 12
_CHUNK_BYTES: Final = 64 * 1024
_MOST_PIXELS: Final = 24_000_000
_MOST_BYTES: Final = 16 * 1024 * 1024
"""Of an original that the page shows: a browser keeps four bytes for each pixel, on a phone too."""
_CHANGED: Final = "images-changed"
"""The event at which the page asks for the gallery again."""


@blueprint.get("/")
def panel() -> str:
    """A form to upload a picture; or how far an upload is."""
    job = stage.current().jobs.last(_JOB)
    running = job if job is not None and job.state == "running" else None
    return render_template("images.html", images=_open(), job=running)


@blueprint.post("/upload")
@action
def upload() -> Response:
    """Upload a picture, and wait in the background for what is made of it."""
    try:
        given = request.files.get("picture")
    except RequestEntityTooLarge:
        most = current_app.config["MAX_CONTENT_LENGTH"] // 1024**2
        return _refuse(
            f"the picture is larger than {most} MB, the most that this page takes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
    if given is None or not given.filename:
        return _refuse("choose a picture first")
    images = _open()
    try:
        file = _keep(given, given.filename)
    except OSError as error:
        return _refuse(error.strerror or str(error))
    try:
        job = stage.current().jobs.start(_JOB, lambda progress: _send(images, file, progress))
    except ShopError as error:
        shutil.rmtree(file.parent)
        return _refuse(str(error), job=stage.current().jobs.last(_JOB))
    return _told(images, job)  # which may have ended by now


@blueprint.get("/upload")
def uploaded() -> Response:
    """How far the last upload is; once it has ended, what was made."""
    return _told(_opened(), stage.current().jobs.last(_JOB))


def _told(images: Images, job: Job[Upload] | None) -> Response:
    if job is None or job.state != "done" or job.result is None:
        return _work(images, job=job)
    result = job.result
    if result.name is None or result.refusal is not None:
        return _work(images, refusal=_line(result))
    answer = _work(images, upload=result, name=result.name, **_compared(images, result.name))
    answer.headers["HX-Trigger"] = _CHANGED
    return answer


def _compared(images: Images, name: str) -> dict[str, Any]:
    """What was made of an image; or why it cannot be shown, which changes nothing about its upload."""
    try:
        return {"comparison": _compare(images, name)}
    except (ShopError, ClientError, BotoCoreError) as error:
        return {"trouble": explain(error)}


@blueprint.get("/gallery")
def gallery() -> str:
    """The newest images."""
    images = _opened()
    return render_template(
        "images_gallery.html", images=images, found=list_newest(images, _IN_GALLERY), smallest=images.sizes[0].name
    )


@blueprint.get("/shown")
def shown() -> str:
    """One image beside what was made of it."""
    name = _name()
    return render_template("images_shown.html", name=name, comparison=_compare(_opened(), name))


@blueprint.get("/file/<size>")
def file(size: str) -> Response:
    """The bytes of an image in one size or of its original, as a picture and nothing else."""
    images = _opened()
    if size not in (ORIGINAL, *(each.name for each in images.sizes)):
        raise NotFound(f"the stage makes no size {size}")
    try:
        body = images.s3.get_object(Bucket=images.bucket, Key=key_of(images, _name(), size))["Body"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "NoSuchKey":
            raise
        raise NotFound(f"there is no {size} of {_name()}") from None
    start = body.read(_SIGNATURE_BYTES)
    kind = content_type(start)
    if kind is None:
        body.close()
        raise NotFound(f"{_name()} is no JPEG, PNG or WebP")

    def content() -> Iterator[bytes]:
        with body:
            yield start
            yield from body.iter_chunks(_CHUNK_BYTES)

    # Opened by itself it is a picture in a document without rights, whatever its bytes might be read as.
    return Response(content(), content_type=kind, headers={"Content-Security-Policy": "sandbox; default-src 'none'"})


@dataclass(frozen=True)
class _Compared:
    """One image beside its original; `share` of the original's bytes, in per cent."""

    found: StoredImage
    share: float
    is_shown: bool
    """Whether a browser shows it easily."""


def _compare(images: Images, name: str) -> list[_Compared]:
    found = look(images, name)
    if not found or found[0].label != ORIGINAL:
        raise ShopError(f"there is no image {name}, or nothing is in it")
    most_pixels = min(_MOST_PIXELS, *(size.max_pixels for size in images.sizes))
    return [_Compared(each, 100 * each.bytes / found[0].bytes, _is_shown(each, most_pixels)) for each in found]


def _is_shown(image: StoredImage, most_pixels: int) -> bool:
    if image.content_type is None:
        return False
    if image.label != ORIGINAL:
        return True
    # One that does not say how many pixels it has may have any number.
    return image.pixels is not None and prod(image.pixels) <= most_pixels and image.bytes <= _MOST_BYTES


def _name() -> str:
    return request.args.get("name", "")


def _open() -> Images:
    """Ask the stage anew what images it makes, and keep that for the requests that follow: it is a dozen calls."""
    found: Images = open_images(stage.current().find(target.IMAGE_FANOUT))
    current_app.extensions[_KEPT] = found
    return found


def _opened() -> Images:
    kept: Images | None = current_app.extensions.get(_KEPT)
    return kept if kept is not None and kept.where.cloud == stage.current().connect().cloud else _open()


def _refuse(
    line: str, status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY, job: Job[Upload] | None = None
) -> Response:
    return _work(_opened(), status, refusal=line, job=job)


def _work(images: Images, status: HTTPStatus = HTTPStatus.OK, **shown: Any) -> Response:
    """The form with what came of it, in its place; what else goes wrong stands beside it, where the form says."""
    answer = make_response(render_template("images_work.html", images=images, **shown), status)
    answer.headers["HX-Retarget"] = "#images-work"
    return answer


def _keep(given: "FileStorage", filename: str) -> Path:
    """Write what a browser sent to a folder of its own, under its own name; raise OSError where that cannot be."""
    own = Path(filename.replace("\0", "")).name
    folder = Path(tempfile.mkdtemp(prefix="shop-upload-"))
    try:
        given.save(folder / own)
    except OSError:
        shutil.rmtree(folder)
        raise
    return folder / own


def _send(images: Images, file: Path, progress: Progress) -> Upload:
    progress.begin(f"Sending {file.name}")
    try:
        [sent] = image_uploads.put(images, [str(file)])
    finally:
        shutil.rmtree(file.parent)
    if sent.refusal is None:
        progress.begin(f"Making the sizes of {file.name}", len(images.sizes))
        [sent] = image_uploads.wait(images, [sent], progress.advance)
    # Where it lay on the way is nobody's business.
    return replace(sent, file=file.name)


def _line(refused: Upload) -> str:
    return " ".join(refused.failures())

"""`images put`, `list` and `get`, and the images' dead letters: names exact, a line for every failure."""

import json
import os
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from typer.testing import CliRunner, Result

from shop import dead_letters, image_dead_letters, image_uploads, target
from shop import images as images_module
from shop.cli import app
from shop.dead_letters import DeadLetter
from shop.errors import ShopError
from shop.image_uploads import Upload
from shop.images import Images, list_images, open_images
from tests.unit import image_stack, shop_stack
from tests.unit.image_stack import BUCKET, MAX_FILE_BYTES

STRANGE = "Caffè & 50% +1/ünï 杯.jpg"


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Iterator[Images]:
    """The images of a stage in moto, found by whatever stage is asked for."""
    # moto has all of a queue's messages in one place, so a short poll finds them as well.
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0)
    monkeypatch.setattr(image_uploads, "POLL_EVERY", 0.01)
    monkeypatch.setattr(image_uploads, "LOOK_EVERY", 0.01)
    monkeypatch.setenv("COLUMNS", "120")
    with mock_aws():
        deployed = image_stack.deploy()

        def find(stage: str, system: str) -> target.Target:
            assert (stage, system) == ("dev", "image-fanout")
            return deployed

        monkeypatch.setattr(target, "find", find)
        yield open_images(deployed)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["images", *arguments, "--stage", "dev"])


def picture(folder: Path, name: str, content: bytes = b"a picture") -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return str(file)


def store(images: Images, key: str, content: bytes = b"x", **more: Any) -> str:
    return images.s3.put_object(Bucket=BUCKET, Key=key, Body=content, **more)["VersionId"]


def resize(images: Images, name: str, version: str) -> None:
    """Do what the functions do, as far as the bucket shows it."""
    for number, size in enumerate(images.sizes, start=1):
        store(images, images.key(name, size), b"r" * number, Metadata={"source-version": version})


def dead(images: Images, limit: int | None = None) -> list[DeadLetter]:
    """What the dead-letter queues of all sizes hold."""
    sqs = images.where.client("sqs")
    return [
        letter for queue in image_dead_letters.image_queues(images) for letter in dead_letters.read(sqs, queue, limit)
    ]


def dead_letter(images: Images, key: str, version: str | None, *, size: int = 0, bucket: str = BUCKET) -> None:
    subject = {"key": urllib.parse.quote_plus(key, safe="/"), "sequencer": "0A", "versionId": version}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {name: value for name, value in subject.items() if value}},
    }
    _send_dead(images, json.dumps({"Records": [record]}), size)


def _send_dead(images: Images, body: str, size: int = 0) -> None:
    images.where.client("sqs").send_message(QueueUrl=images.sizes[size].dead_letter_queue_url, MessageBody=body)


def keys(images: Images) -> list[str]:
    return [each["Key"] for each in images.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_sizes_and_suffixes_are_those_that_are_deployed(images: Images) -> None:
    assert [(size.name, size.width, size.height) for size in images.sizes] == [
        ("thumbnail", 128, 96),
        ("retina-large", 2048, 2048),
    ]
    assert images.suffixes == (".jpg", ".png")
    assert images.sizes[1].queue_url.endswith("/retina-large")
    assert images.key("x.jpg", images.sizes[1]) == "retina-large/x.jpg.webp"


def test_a_stack_that_makes_no_images_is_one_line(images: Images) -> None:
    where = image_stack.ImageTarget("dev", {"ImagesBucketName": BUCKET}, images.where.session, None, "image-fanout")
    with pytest.raises(ShopError, match="stack dev-image-fanout has no function that makes images"):
        open_images(where)


def test_files_are_uploaded_as_they_are(images: Images, tmp_path: Path) -> None:
    files = [picture(tmp_path, "ünï 杯 +1.jpg", b"one"), picture(tmp_path, "deep/down.png", b"two")]
    result = run("put", *files, "--folder", "/Caffè & 50%/", "--json")
    assert result.exit_code == 0
    assert result.stderr == "2 images uploaded, 0 refused\n"
    one, two = json.loads(result.stdout)
    assert (one["file"], one["name"], one["refusal"]) == (files[0], "Caffè & 50%/ünï 杯 +1.jpg", None)
    stored = images.s3.get_object(Bucket=BUCKET, Key=f"ingest/{one['name']}")
    assert (stored["Body"].read(), stored["ContentType"], stored["VersionId"]) == (b"one", "image/jpeg", one["version"])
    assert two["name"] == "Caffè & 50%/down.png"
    assert images.head(f"ingest/{two['name']}")["ContentType"] == "image/png"  # type: ignore[index]


def test_a_large_file_goes_in_parts_and_has_its_version(images: Images, tmp_path: Path) -> None:
    content = os.urandom(9 * 1024 * 1024)
    (upload,) = image_uploads.put(_with_limit(images, len(content)), [picture(tmp_path, "large.jpg", content)])
    stored = images.s3.get_object(Bucket=BUCKET, Key="ingest/large.jpg")
    assert (upload.refusal, stored["VersionId"]) == (None, upload.version)
    assert stored["ETag"].endswith('-2"')
    assert stored["Body"].read() == content


def _with_limit(images: Images, limit: int) -> Images:
    return replace(images, sizes=tuple(replace(size, max_file_bytes=limit) for size in images.sizes))


def test_what_no_image_is_made_of_is_refused_by_name_and_the_rest_uploaded(images: Images, tmp_path: Path) -> None:
    good, twin = picture(tmp_path, "a/x.jpg"), picture(tmp_path, "b/x.jpg")
    upper, large = picture(tmp_path, "x.JPG"), picture(tmp_path, "large.jpg", b"x" * (MAX_FILE_BYTES + 1))
    missing, folder, empty = str(tmp_path / "none.jpg"), str(tmp_path), picture(tmp_path, "empty.jpg", b"")
    result = run("put", good, twin, upper, large, missing, folder, empty)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{twin}: {good} has the same name, x.jpg",
        f"{upper}: the stage makes images of .jpg, .png only (upper and lower case differ)",
        f"{large}: 5,001 bytes are more than the 5,000 that the stage makes images of",
        f"{missing}: No such file or directory",
        f"{folder}: is not a file",
        f"{empty}: is empty",
        "1 image uploaded, 6 refused",
    ]
    assert keys(images) == ["ingest/x.jpg"]


def test_a_key_that_s3_does_not_take_is_refused(images: Images, tmp_path: Path) -> None:
    file = picture(tmp_path, "x.jpg")
    # 'retina-large/' and '.webp' are what is longest.
    longest = "é" * ((1024 - len("retina-large//x.jpg.webp")) // 2)
    assert run("put", file, "--folder", longest).exit_code == 0
    result = run("put", file, "--folder", f"{longest}é")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{file}: the result's key would have 1026 bytes, more than 1024\n")
    result = run("put", file, "--folder", "f" * 1_024)
    assert result.stderr.startswith(f"{file}: its key would have 1,037 bytes, more than 1,024\n")
    assert len(keys(images)) == 1


def test_an_original_whose_result_could_have_no_key_can_be_listed_and_fetched(images: Images, tmp_path: Path) -> None:
    """Uploaded by somebody's own program; S3 takes its key."""
    name = "/".join(["d" * 200] * 5) + "/x.jpg"
    store(images, f"ingest/{name}", b"original")
    (image,) = list_images(images, 10).images
    assert (image.name, image.sizes) == (name, {"thumbnail": None, "retina-large": None})
    result = run("get", name, "-o", str(tmp_path))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "--size original fetches the original" in result.stderr
    assert run("get", name, "-o", str(tmp_path), "--size", "original").exit_code == 0
    assert (tmp_path / "original" / name).read_bytes() == b"original"


def test_a_name_that_is_not_utf_8_is_refused(images: Images, tmp_path: Path) -> None:
    (upload,) = image_uploads.put(images, [str(tmp_path / os.fsdecode(b"caf\xe9.jpg"))])
    assert upload.refusal is not None
    assert "not UTF-8" in upload.refusal
    assert upload.file.endswith("caf\N{REPLACEMENT CHARACTER}.jpg")
    assert keys(images) == []


@pytest.mark.parametrize("folder", ["a//b", "..", "a/./b", "a/../b"])
def test_a_folder_that_get_could_not_give_back_is_refused(images: Images, tmp_path: Path, folder: str) -> None:
    result = run("put", picture(tmp_path, "x.jpg"), "--folder", folder)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "--folder" in result.stderr
    assert keys(images) == []


def test_an_error_of_s3_is_one_line_with_the_file(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    file = picture(tmp_path, "x.jpg")
    monkeypatch.setattr(images.s3, "upload_fileobj", deny)
    (upload,) = image_uploads.put(images, [file])
    assert list(upload.failures()) == [f"{file}: PutObject: AccessDenied: no"]
    assert upload.version is None


def test_an_interrupted_upload_ends_at_once(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the files that wait nor the rest of one under way are sent."""
    files = [picture(tmp_path, f"{number}.jpg") for number in range(40)]
    interrupted = Event()

    def send(_: Any, __: str, key: str, *, Callback: Callable[[int], None], **___: Any) -> None:  # noqa: N803
        if key.endswith("/0.jpg"):
            return
        assert interrupted.wait(5)
        # What raises here ends the transfer; boto3 calls it for each part that it reads.
        while True:
            Callback(1)

    def interrupt() -> None:
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(images.s3, "upload_fileobj", send)
    with pytest.raises(KeyboardInterrupt):
        image_uploads.put(images, files, "", interrupt)


def waited(images: Images, tmp_path: Path, meanwhile: Callable[[Upload], None]) -> tuple[Upload, list[None]]:
    (upload,) = image_uploads.put(images, [picture(tmp_path, Path(STRANGE).name)], str(Path(STRANGE).parent))
    meanwhile(upload)
    ended: list[None] = []
    (upload,) = image_uploads.wait(images, [upload], lambda: ended.append(None))
    return upload, ended


def test_waiting_ends_with_exactly_this_versions_results(images: Images, tmp_path: Path) -> None:
    resize(images, STRANGE, "an-earlier-version")

    asked = 0
    head = Images.head

    def function_is_slow(self: Images, key: str, version: str | None = None) -> Any:
        nonlocal asked
        asked += key.startswith("thumbnail/")
        if asked == 3 and key.startswith("thumbnail/"):
            resize(images, STRANGE, str(head(self, f"ingest/{STRANGE}")["VersionId"]))  # type: ignore[index]
        return head(self, key, version)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Images, "head", function_is_slow)
        upload, ended = waited(images, tmp_path, lambda _: None)
    assert asked >= 3
    assert {size: (each.state, each.bytes) for size, each in upload.results.items()} == {
        "thumbnail": ("made", 1),
        "retina-large": ("made", 2),
    }
    assert len(ended) == 2
    assert list(upload.failures()) == []


def test_waiting_ends_with_the_dead_letter_of_exactly_this_version(images: Images, tmp_path: Path) -> None:
    def meanwhile(upload: Upload) -> None:
        store(images, f"thumbnail/{STRANGE}", b"t", Metadata={"source-version": upload.version})
        _send_dead(images, "Testing Hello world", 1)
        dead_letter(images, f"ingest/{STRANGE}", "an-earlier-version", size=1)
        dead_letter(images, f"ingest/{STRANGE}", upload.version, size=1)

    upload, ended = waited(images, tmp_path, meanwhile)
    assert {size: each.state for size, each in upload.results.items()} == {
        "thumbnail": "made",
        "retina-large": "failed",
    }
    assert len(ended) == 2
    (line,) = upload.failures()
    assert "retina-large: failed three times" in line
    sqs = images.where.client("sqs")
    left = sqs.get_queue_attributes(
        QueueUrl=images.sizes[1].dead_letter_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert left["Attributes"]["ApproximateNumberOfMessages"] == "3"


def test_waiting_ends_with_why_the_content_of_exactly_this_version_is_refused(images: Images, tmp_path: Path) -> None:
    def meanwhile(upload: Upload) -> None:
        line = {"message": "bad image", "key": f"ingest/{STRANGE}", "reason": "too many pixels"}
        image_stack.log(images.where, "thumbnail", **line, version_id="an-earlier-version")
        image_stack.log(images.where, "thumbnail", message="image not made", key=f"ingest/{STRANGE}")
        image_stack.log(images.where, "thumbnail", **line, version_id=str(upload.version))
        dead_letter(images, f"ingest/{STRANGE}", upload.version, size=1)

    upload, _ = waited(images, tmp_path, meanwhile)
    refused, failed = upload.failures()
    assert "thumbnail: refused: too many pixels; it is tried three times, and is then in the dead-letter" in refused
    log = f".venv/bin/python -m shop logs {{}} --filter {upload.version} --stage dev"
    assert refused.endswith(log.format("thumbnail"))
    assert "retina-large: failed three times" in failed
    assert failed.endswith(log.format("retina-large"))


def test_a_log_that_may_not_be_read_leaves_what_the_dead_letter_says(images: Images, tmp_path: Path) -> None:
    def meanwhile(upload: Upload) -> None:
        for number in range(len(images.sizes)):
            dead_letter(images, f"ingest/{STRANGE}", upload.version, size=number)

    logs = images.where.client("logs")
    for size in images.sizes:
        logs.delete_log_group(logGroupName=size.log_group)
    upload, _ = waited(images, tmp_path, meanwhile)
    assert {each.state for each in upload.results.values()} == {"failed"}


def test_waiting_ends_when_the_original_is_replaced_or_deleted(images: Images, tmp_path: Path) -> None:
    def upload_again(_: Upload) -> None:
        store(images, f"ingest/{STRANGE}", b"newer")

    upload, _ = waited(images, tmp_path, upload_again)
    assert {each.state for each in upload.results.values()} == {"replaced"}

    def delete(_: Upload) -> None:
        images.s3.delete_object(Bucket=BUCKET, Key=f"ingest/{STRANGE}")

    upload, _ = waited(images, tmp_path, delete)
    assert {each.state for each in upload.results.values()} == {"gone"}


def test_waiting_has_an_end(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert image_uploads._patience(images) == image_stack.RECEIVES * image_stack.VISIBILITY_SECONDS + 60
    monkeypatch.setattr(image_uploads, "_patience", lambda _: 0.1)
    result = run("put", picture(tmp_path, "x.jpg"), "--wait")
    assert result.exit_code == 1
    assert "x.jpg: thumbnail: not made in the time that it may take" in result.stderr
    assert "missing" in result.stdout


def test_put_shows_what_was_made(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = image_uploads.put

    def put_and_resize(*arguments: Any) -> list[Upload]:
        uploads = put(*arguments)
        for upload in uploads:
            resize(images, str(upload.name), str(upload.version))
        return uploads

    monkeypatch.setattr(image_uploads, "put", put_and_resize)
    result = run("put", picture(tmp_path, "x.jpg"), "--wait")
    assert result.exit_code == 0
    header, *_, last = result.stdout.splitlines()[1:]
    assert header.split() == ["name", "version", "thumbnail", "retina-large"]
    assert last.split()[0] == "x.jpg"
    assert last.split()[2:] == ["1", "2"]


def test_images_are_listed_with_their_sizes(images: Images) -> None:
    version = store(images, f"ingest/{STRANGE}", b"12345")
    resize(images, STRANGE, version)
    store(images, "ingest/folder/")
    store(images, "ingest/z.gif")
    store(images, "other/z.jpg")
    result = run("list", "--json")
    strange, last = json.loads(result.stdout)
    assert (strange["name"], strange["bytes"]) == (STRANGE, 5)
    assert {name: (made["bytes"], made["outdated"]) for name, made in strange["sizes"].items()} == {
        "thumbnail": (1, False),
        "retina-large": (2, False),
    }
    assert (last["name"], last["sizes"]) == ("z.gif", {"thumbnail": None, "retina-large": None})
    shown = run("list").stdout.splitlines()
    assert shown[0] == "Images: 2 originals; sizes in bytes"
    assert shown[1].split() == ["name", "original", "uploaded", "at", "thumbnail", "retina-large"]
    assert shown[-1].split()[-2:] == ["-", "-"]


def test_a_result_of_an_earlier_version_is_outdated(images: Images) -> None:
    resize(images, "x.jpg", "an-earlier-version")
    store(images, "ingest/x.jpg")
    (image,) = list_images(images, 10).images
    assert [made.outdated for made in image.sizes.values() if made] == [True, True]
    assert "1 (outdated)" in run("list").stdout


def test_a_result_made_in_the_second_of_the_upload_is_not_outdated(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    resize(images, "x.jpg", store(images, "ingest/x.jpg"))
    originals = images_module._originals

    def to_the_millisecond(images: Images) -> Any:
        for each in originals(images):
            yield {**each, "LastModified": each["LastModified"].replace(microsecond=999_000)}

    monkeypatch.setattr(images_module, "_originals", to_the_millisecond)
    (image,) = list_images(images, 10).images
    assert [made.outdated for made in image.sizes.values() if made] == [False, False]


@pytest.mark.slow
def test_lists_are_read_page_by_page_and_end_at_the_limit(images: Images) -> None:
    for number in range(1_001):
        store(images, f"ingest/{number:04}.jpg")
    result = run("list", "--limit", "3")
    assert result.stderr == "There are more images: --limit.\n"
    assert "0002.jpg" in result.stdout
    assert "0003.jpg" not in result.stdout
    result = run("list", "--limit", "1001", "--json")
    assert (result.stderr, len(json.loads(result.stdout))) == ("", 1_001)


def test_an_image_is_fetched_in_all_sizes(images: Images, tmp_path: Path) -> None:
    resize(images, STRANGE, store(images, f"ingest/{STRANGE}", b"original"))
    old = picture(tmp_path, f"thumbnail/{STRANGE}", b"what was there before")
    result = run("get", STRANGE, "--output", str(tmp_path), "--json")
    assert result.exit_code == 0
    files = {each["size"]: Path(each["file"]) for each in json.loads(result.stdout)}
    assert files == {
        "thumbnail": Path(old),
        "retina-large": tmp_path / "retina-large" / f"{STRANGE}.webp",
        "original": tmp_path / "original" / STRANGE,
    }
    assert [file.read_bytes() for file in files.values()] == [b"r", b"rr", b"original"]
    assert sum(file.is_file() for file in tmp_path.rglob("*")) == 3


def test_one_size_is_fetched_into_the_current_folder(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(images, "thumbnail/x.jpg", b"small")
    monkeypatch.chdir(tmp_path)
    result = run("get", "x.jpg", "--size", "thumbnail")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "5 bytes written to thumbnail/x.jpg\n"
    assert (tmp_path / "thumbnail" / "x.jpg").read_bytes() == b"small"


def test_what_is_not_there_is_named_and_the_rest_fetched(images: Images, tmp_path: Path) -> None:
    store(images, "thumbnail/x.jpg", b"small")
    result = run("get", "x.jpg", "-o", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"5 bytes written to {tmp_path}/thumbnail/x.jpg",
        "error: there is no retina-large/x.jpg.webp",
        "error: there is no ingest/x.jpg",
    ]
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["x.jpg"]


@pytest.mark.usefixtures("images")
def test_an_unknown_size_names_the_known_ones(tmp_path: Path) -> None:
    result = run("get", "x.jpg", "--size", "mobile", "-o", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr == "error: --size: 'mobile' is not one of thumbnail, retina-large, original, all\n"


@pytest.mark.parametrize(
    "name", ["../../x.jpg", "/etc/x.jpg", "a/../../../x.jpg", "a//x.jpg", "a\0.jpg", "..", "./x.jpg"]
)
def test_nothing_is_written_outside_the_folder(images: Images, tmp_path: Path, name: str) -> None:
    store(images, f"ingest/{name}", b"evil")
    inside = tmp_path / "deep" / "inside"
    result = run("get", name, "--size", "original", "-o", str(inside))
    assert result.exit_code == 1
    assert "cannot be a path of a file" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_link_does_not_lead_out_of_the_folder(images: Images, tmp_path: Path) -> None:
    store(images, "ingest/out/x.jpg", b"evil")
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (inside / "original").mkdir(parents=True)
    (inside / "original" / "out").symlink_to(outside)
    result = run("get", "out/x.jpg", "--size", "original", "-o", str(inside))
    assert result.exit_code == 1
    assert "a link leads out of" in result.stderr
    assert list(outside.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(images: Images, tmp_path: Path) -> None:
    store(images, "ingest/x.jpg")
    file = picture(tmp_path, "file")
    result = run("get", "x.jpg", "--size", "original", "-o", file)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "Not a directory" in result.stderr


def test_dead_letters_say_what_became_of_the_image(images: Images) -> None:
    made, failed = store(images, "ingest/made.jpg"), store(images, "ingest/a + b.jpg")
    resize(images, "made.jpg", made)
    dead_letter(images, "ingest/made.jpg", made)
    dead_letter(images, "ingest/a + b.jpg", failed)
    dead_letter(images, "ingest/gone.jpg", None)
    dead_letter(images, "ingest/x.jpg", "v", bucket="another")
    _send_dead(images, "Testing Hello world")
    dead_letter(images, "ingest/a + b.jpg", failed, size=1)
    letters = dead(images)
    assert sorted(letter.reason for letter in letters if letter.queue == "thumbnail") == [
        "another/ingest/x.jpg is no original of this stage",
        "no event of a new image: Testing Hello world",
        "thumbnail of a + b.jpg: not made; .venv/bin/python -m shop logs thumbnail says why",
        "thumbnail of gone.jpg: not made, and the original is gone: it can be deleted",
        "thumbnail of made.jpg: made all the same: it can be deleted",
    ]
    assert [letter.reason for letter in letters if letter.queue == "retina-large"] == [
        "retina-large of a + b.jpg: not made; .venv/bin/python -m shop logs retina-large says why"
    ]
    assert len(dead(images, limit=1)) == 2
    assert len(dead(images)) == 6


def test_dlq_list_shows_the_images_beside_the_orders(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = shop_stack.deploy()
    found = {target.ORDER_PIPELINE: pipeline, target.IMAGE_FANOUT: images.where}

    def find(stage: str, system: str = target.ORDER_PIPELINE) -> target.Target:
        if system not in found:
            raise ShopError(f"stack {stage}-{system} not found")
        return found[system]

    monkeypatch.setattr(target, "find", find)
    pipeline.client("sqs").send_message(QueueUrl=pipeline.output("OrdersDeadLetterQueueUrl"), MessageBody="{}")
    dead_letter(images, "ingest/gone.jpg", None)
    result = CliRunner().invoke(app, ["dlq", "list", "--stage", "dev", "--json"])
    assert result.exit_code == 0
    order, image = json.loads(result.stdout)
    assert order["reason"].startswith("invalid: ")
    assert (image["queue"], image["orderID"], image["receive_count"]) == ("thumbnail", None, 1)


def test_a_dead_letter_that_s3_refuses_does_not_hide_the_others(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Images.head

    def refuse(self: Images, key: str, version: str | None = None) -> Any:
        if version == "made-up":
            raise ClientError({"Error": {"Code": "400", "Message": "Bad Request"}}, "HeadObject")
        return head(self, key, version)

    monkeypatch.setattr(Images, "head", refuse)
    dead_letter(images, "ingest/x.jpg", "made-up")
    dead_letter(images, "ingest/gone.jpg", None)
    first, second = sorted(letter.reason for letter in dead(images))
    assert first.startswith("thumbnail of gone.jpg: not made, and the original is gone")
    assert second == "thumbnail of x.jpg: not known (HeadObject: 400: Bad Request)"

"""The image fan-out deployed, with IAM enforced: from an upload to both results, and every way in which that fails."""

import io
import json
import secrets
from urllib.parse import quote_plus

import pytest
from PIL import Image

from tests.integration.images import SIZES, ImageFanout, Stored, metadata_of, picture
from tests.polling import eventually

BOTH = tuple(SIZES)
_UNTIL_DEAD_SECONDS = 90


@pytest.fixture
def name() -> str:
    """A name for an upload of this test's own."""
    return f"{secrets.token_hex(6)}.jpg"


def _both(images: ImageFanout, name: str) -> dict[str, Stored]:
    def found() -> dict[str, Stored] | None:
        results = images.results(name)
        return results if len(results) == len(BOTH) else None

    return eventually(found, timeout=60)


def _settled(images: ImageFanout) -> None:
    """Waits until nothing is on either queue."""
    eventually(lambda: not any(images.waiting(prefix) for prefix in BOTH), timeout=_UNTIL_DEAD_SECONDS)


def test_an_upload_becomes_both_images(images: ImageFanout, name: str) -> None:
    version = images.put(name, picture(1600, 1200, exif=_exif(1), comment=b"secret place"))
    found = _both(images, name)

    assert {prefix: stored.image.size for prefix, stored in found.items()} == {
        "thumbnail": (128, 96),
        "mobile": (640, 480),
    }
    assert all(stored.image.format == "JPEG" for stored in found.values())
    assert all(stored.content_type == "image/jpeg" for stored in found.values())
    assert all(stored.metadata["source-version"] == version for stored in found.values())
    assert metadata_of(stored.image for stored in found.values()) == []
    assert not any(b"secret place" in stored.content for stored in found.values())


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def test_a_turned_camera_gives_an_upright_image(images: ImageFanout, name: str) -> None:
    images.put(name, picture(1600, 1200, exif=_exif(6)))
    thumbnail = _both(images, name)["thumbnail"].image.convert("RGB")

    assert thumbnail.size == (96, 128)
    red, green, blue = thumbnail.getpixel((90, 5))  # type: ignore[misc]
    assert red > 200 > green + blue


@pytest.mark.parametrize(
    "folders",
    ["a b/c+d/", "50%/100%25/", "Café ☕/日本語/", "a/b/c/d/", "'quoted' \"twice\"/", "x=1&y=2;z/"],
)
def test_any_key_keeps_its_path(folders: str, images: ImageFanout, name: str) -> None:
    images.put(folders + name, picture())
    assert set(_both(images, folders + name)) == set(BOTH)


def test_content_decides_and_nothing_grows(images: ImageFanout, name: str) -> None:
    images.put(name, picture(40, 30, "PNG"))
    found = _both(images, name)
    assert all((stored.image.format, stored.image.size) == ("JPEG", (40, 30)) for stored in found.values())


def test_what_is_not_asked_for_makes_no_image(images: ImageFanout, name: str) -> None:
    s3 = images.client("s3")
    for key in (f"ingest/{name}.txt", f"elsewhere/{name}", f"ingest/{name}.png"):
        s3.put_object(Bucket=images.bucket, Key=key, Body=picture())
    images.put(name, picture())
    _both(images, name)
    _settled(images)
    assert {found for prefix in BOTH for found in images.names(prefix) if name in found} == {name}


def _truncated() -> bytes:
    content = picture(800, 600)
    return content[: len(content) * 2 // 3]


def _bomb() -> bytes:
    """A small file of an image with 30,000 by 30,000 pixels."""
    file = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(file, "PNG")
    return file.getvalue()


def test_bad_files_end_in_the_dead_letter_queues_with_their_reasons(images: ImageFanout, name: str) -> None:
    bad = {
        f"text-{name}": b"this is no image",
        f"empty-{name}": b"",
        f"truncated-{name}": _truncated(),
        f"bomb-{name}": _bomb(),
    }
    images.put_all(bad)
    images.put(f"good-{name}", picture())
    _both(images, f"good-{name}")  # which nobody holds up
    for bad_name in bad:
        for prefix in BOTH:
            eventually(lambda prefix=prefix, bad_name=bad_name: images.is_dead(prefix, bad_name),  # type: ignore[misc]
                       timeout=_UNTIL_DEAD_SECONDS)  # fmt: skip
    for prefix in BOTH:
        lines = [json.loads(line) for line in images.log(prefix) if name in line]
        reasons = {line["key"]: line["reason"] for line in lines if "reason" in line}
        assert {key.removeprefix("ingest/") for key in reasons} == set(bad), reasons
        assert len(set(reasons.values())) >= 3, reasons
        assert not any(name in found and "good" not in found for found in images.names(prefix))


def test_an_event_out_of_order_does_not_bring_back_an_older_image(images: ImageFanout, name: str) -> None:
    first = images.put(name, picture(300, 300))
    _both(images, name)
    second = images.put(name, picture(300, 150))
    eventually(lambda: all(stored.metadata["source-version"] == second for stored in _both(images, name).values()))
    _settled(images)
    before = images.results(name)

    images.publish(images.event(name, version=first, sequencer="00"))
    _settled(images)
    assert images.results(name) == before


def test_the_same_event_twice_changes_nothing(images: ImageFanout, name: str) -> None:
    version = images.put(name, picture())
    before = _both(images, name)
    _settled(images)
    for stored in before.values():
        images.publish(images.event(name, version=version, sequencer=stored.metadata["source-sequencer"]))
    _settled(images)

    assert images.results(name) == before
    assert all(images.versions(f"{prefix}/{name}") == 1 for prefix in BOTH)


def test_an_object_that_is_gone_is_no_failure(images: ImageFanout, name: str) -> None:
    version = images.put(f"deleted-{name}", picture())
    _both(images, f"deleted-{name}")
    _settled(images)
    images.client("s3").delete_object(Bucket=images.bucket, Key=f"ingest/deleted-{name}", VersionId=version)
    for gone, gone_version in ((f"never-{name}", None), (f"deleted-{name}", version)):
        images.publish(images.event(gone, version=gone_version, sequencer="ff" * 9))
    _settled(images)

    for prefix in BOTH:
        assert not images.is_dead(prefix, f"never-{name}")
        assert not images.is_dead(prefix, f"deleted-{name}")
        assert images.get(f"{prefix}/never-{name}") is None


def test_a_deleted_object_is_no_failure(images: ImageFanout, name: str) -> None:
    """Its current version is a delete marker, which is what an event without a version leads to."""
    images.put(name, picture())
    _both(images, name)
    images.client("s3").delete_object(Bucket=images.bucket, Key=f"ingest/{name}")
    images.publish(images.event(name, version=None, sequencer="ff" * 9))
    _settled(images)
    assert not any(images.is_dead(prefix, name) for prefix in BOTH)


@pytest.mark.parametrize(
    "message",
    ["Testing Hello world", '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "x"}', "{}", "[]", "null"],
)
def test_what_is_no_upload_is_acknowledged(message: str, images: ImageFanout) -> None:
    before = {prefix: images.dead(prefix).keys() for prefix in BOTH}
    images.publish(message)
    _settled(images)
    assert {prefix: images.dead(prefix).keys() for prefix in BOTH} == before


def test_wrapped_delivery_is_understood(images: ImageFanout, name: str) -> None:
    s3 = images.client("s3")
    version = s3.put_object(Bucket=images.bucket, Key=f"ingest/{name}.gif", Body=picture())["VersionId"]
    event = images.event("", version=version, sequencer="01", encoded=quote_plus(f"ingest/{name}.gif"))
    images.send("thumbnail", json.dumps({"Type": "Notification", "MessageId": "m", "Message": event}))
    eventually(lambda: images.get(f"thumbnail/{name}.gif.jpg"))


def test_a_burst_of_images_is_complete(images: ImageFanout) -> None:
    run = secrets.token_hex(4)
    content = picture(640, 480)
    names = {f"burst-{run}/{number}.jpg" for number in range(200)}
    images.put_all(dict.fromkeys(names, content))
    for prefix in BOTH:
        eventually(lambda prefix=prefix: names <= images.names(prefix), timeout=180,  # type: ignore[misc]
                   describe=lambda prefix=prefix: names - images.names(prefix))  # type: ignore[misc]  # fmt: skip


def test_one_broken_function_does_not_hold_up_the_other(images: ImageFanout, name: str) -> None:
    with images.environment("thumbnail", IMAGE_WIDTH="broken"):
        images.put(name, picture())
        eventually(lambda: images.get(f"mobile/{name}"))
        assert images.get(f"thumbnail/{name}") is None
        assert images.waiting("thumbnail")
    eventually(lambda: images.get(f"thumbnail/{name}"), timeout=60)


@pytest.mark.parametrize(("prefix", "refusal"), [("ingest/", "AccessDenied"), ("mobile/", "403")])
def test_a_loop_is_impossible_by_permission(prefix: str, refusal: str, images: ImageFanout, name: str) -> None:
    """A function that is told to write where uploads come in may not; nor may it look where the other one writes."""
    with images.environment("thumbnail", TARGET_PREFIX=prefix):
        images.put(f"{prefix}{name}", picture())
        eventually(
            lambda: any(f"{prefix}{name}" in line and f'"{refusal}"' in line for line in images.log("thumbnail"))
        )
        assert images.versions(f"ingest/{prefix}{name}") == 1

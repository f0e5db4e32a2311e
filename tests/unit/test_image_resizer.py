"""What the function answers and logs, for each thing that a message can hold and that can go wrong with its image."""

import io
import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote_plus

import boto3
import pytest
from moto import mock_aws
from PIL import Image

from image_resizer import handler as resizer
from image_resizer import resize as resize_module
from image_resizer.resize import BadImage, Result, Spec
from tests.embedded_metrics import counts
from tests.unit.fakes import Clock, client_error, timeout

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "images"
ENVIRONMENT = {
    "IMAGES_BUCKET": BUCKET,
    "SOURCE_PREFIX": "ingest/",
    "TARGET_PREFIX": "thumbnail/",
    "IMAGE_WIDTH": "128",
    "IMAGE_HEIGHT": "96",
    "IMAGE_QUALITY": "85",
    "IMAGE_FORMAT": "jpeg",
    "MAX_PIXELS": "60000000",
    "MAX_FILE_BYTES": "1000000",
}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> "Iterator[S3Client]":
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        monkeypatch.setattr(resizer, "_s3", client)
        yield client


class Resize:
    """Stands in for the resizing: shows what it was given, and answers with it in brackets, alike for all versions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resizer, "distinct", lambda content, _: content)
        self.specs: list[Spec] = []
        self.error: Exception | None = None

    def __call__(self, source: BinaryIO, spec: Spec) -> Result:
        self.specs.append(spec)
        content = source.read()
        if self.error and b"bad" in content:
            raise self.error
        return Result(b"<" + content + b">", "image/jpeg", 1, 1)


@pytest.fixture
def resize(monkeypatch: pytest.MonkeyPatch) -> Resize:
    resize = Resize(monkeypatch)
    monkeypatch.setattr(resizer, "resize", resize)
    return resize


def put(s3: "S3Client", key: str, content: bytes = b"original") -> str:
    return s3.put_object(Bucket=BUCKET, Key=key, Body=content)["VersionId"]


def record(key: str, version: str | None = None, sequencer: str = "01", bucket: str = BUCKET) -> dict[str, Any]:
    subject = {"key": quote_plus(key, safe="/"), "versionId": version, "sequencer": sequencer}
    return {
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": subject},
    }


def message(message_id: str, *records: dict[str, Any] | str) -> dict[str, Any]:
    body = records[0] if records and isinstance(records[0], str) else json.dumps({"Records": records})
    return {"messageId": message_id, "body": body}


def process(clock: Clock, *messages: dict[str, Any]) -> list[str]:
    """Runs the handler on a batch; the ids of the messages that it reports as failed."""
    answer = resizer.handler({"Records": list(messages)}, clock)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def result(s3: "S3Client", key: str) -> bytes | None:
    try:
        return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None


def received(times: int, message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "attributes": {"ApproximateReceiveCount": str(times)}}


def lines(caplog: pytest.LogCaptureFixture, text: str) -> list[dict[str, Any]]:
    names = ("message_id", "key", "version_id", "reason", "error_code", "error")
    return [
        {name: vars(line)[name] for name in names if name in vars(line)}
        for line in caplog.records
        if line.message == text
    ]


@pytest.fixture(autouse=True)
def _every_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shop")


def picture(colour: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (400, 200), colour).save(content, "JPEG")
    return content.getvalue()


def test_a_photograph_becomes_a_small_image(s3: "S3Client", clock: Clock) -> None:
    version = put(s3, "ingest/a b/+ü.jpg", picture("teal"))
    assert process(clock, message("m-1", record("ingest/a b/+ü.jpg", version, "05"))) == []
    answer = s3.get_object(Bucket=BUCKET, Key="thumbnail/a b/+ü.jpg")
    assert answer["ContentType"] == "image/jpeg"
    assert answer["Metadata"] == {"source-sequencer": "05", "source-version": version}
    with Image.open(io.BytesIO(answer["Body"].read())) as image:
        assert (image.format, image.size) == ("JPEG", (128, 64))


def test_the_environment_says_how(
    s3: "S3Client", clock: Clock, resize: Resize, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARGET_PREFIX", "mobile/")
    monkeypatch.setenv("IMAGE_FORMAT", "webp")
    put(s3, "ingest/a.jpg")
    assert process(clock, message("m-1", record("ingest/a.jpg"))) == []
    assert resize.specs == [Spec(128, 96, 85, "webp", 60_000_000)]
    assert result(s3, "mobile/a.jpg.webp") == b"<original>"


def test_all_objects_of_a_message_are_made(s3: "S3Client", clock: Clock, resize: Resize) -> None:
    resize.error = BadImage("no image")
    keys = ["ingest/a.jpg", "ingest/b.jpg", "ingest/c.jpg"]
    for key in keys:
        put(s3, key, b"bad" if key == "ingest/a.jpg" else b"good")
    assert process(clock, message("m-1", *map(record, keys))) == ["m-1"]
    assert [result(s3, f"thumbnail/{name}.jpg") for name in "abc"] == [None, b"<good>", b"<good>"]


def test_only_the_failed_message_of_a_batch_is_reported(s3: "S3Client", clock: Clock, resize: Resize) -> None:
    resize.error = BadImage("no image")
    put(s3, "ingest/a.jpg", b"bad")
    put(s3, "ingest/b.jpg")
    messages = [message("m-1", record("ingest/a.jpg")), message("m-2", record("ingest/b.jpg"))]
    assert process(clock, *messages) == ["m-1"]
    assert result(s3, "thumbnail/b.jpg") == b"<original>"


def test_the_same_event_twice_works_once(
    s3: "S3Client", clock: Clock, resize: Resize, caplog: pytest.LogCaptureFixture
) -> None:
    version = put(s3, "ingest/a.jpg")
    for message_id in ("m-1", "m-2"):
        assert process(clock, message(message_id, record("ingest/a.jpg", version))) == []
    assert len(resize.specs) == 1
    details = {"key": "ingest/a.jpg", "version_id": version}
    assert lines(caplog, "image made") == [{"message_id": "m-1"} | details]
    assert lines(caplog, "image made before") == [{"message_id": "m-2"} | details]


def test_an_older_version_does_not_replace_a_newer_ones_result(s3: "S3Client", clock: Clock, resize: Resize) -> None:
    older, newer = put(s3, "ingest/a.jpg", b"older"), put(s3, "ingest/a.jpg", b"newer")
    assert process(clock, message("m-2", record("ingest/a.jpg", newer, "02"))) == []
    assert process(clock, message("m-1", record("ingest/a.jpg", older, "01"))) == []
    assert result(s3, "thumbnail/a.jpg") == b"<newer>"
    assert len(resize.specs) == 1


def test_versions_in_order_replace_one_another(s3: "S3Client", clock: Clock, resize: Resize) -> None:
    older, newer = put(s3, "ingest/a.jpg", b"older"), put(s3, "ingest/a.jpg", b"newer")
    assert process(clock, message("m-1", record("ingest/a.jpg", older, "01"))) == []
    assert result(s3, "thumbnail/a.jpg") == b"<older>"
    assert process(clock, message("m-2", record("ingest/a.jpg", newer, "02"))) == []
    assert result(s3, "thumbnail/a.jpg") == b"<newer>"
    assert len(resize.specs) == 2


def test_a_newer_result_that_comes_while_resizing_stays(
    s3: "S3Client", clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = put(s3, "ingest/a.jpg", b"older"), put(s3, "ingest/a.jpg", b"newer")
    plain = Resize(monkeypatch)

    def overtaken(source: BinaryIO, spec: Spec) -> Result:
        monkeypatch.setattr(resizer, "resize", plain)
        assert process(clock, message("m-2", record("ingest/a.jpg", newer, "02"))) == []
        return plain(source, spec)

    monkeypatch.setattr(resizer, "resize", overtaken)
    assert process(clock, message("m-1", record("ingest/a.jpg", older, "01"))) == []
    assert result(s3, "thumbnail/a.jpg") == b"<newer>"


def test_the_first_picture_put_back_is_not_replaced_by_the_one_between(
    s3: "S3Client", clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [put(s3, "ingest/a.jpg", picture(colour)) for colour in ("teal", "red", "teal")]
    first, between, last = (record("ingest/a.jpg", version, f"0{n}") for n, version in enumerate(versions))
    assert process(clock, message("m-1", first)) == []
    plain = resize_module.resize

    def overtaken(source: BinaryIO, spec: Spec) -> Result:
        monkeypatch.setattr(resizer, "resize", plain)
        assert process(clock, message("m-3", last)) == []
        return plain(source, spec)

    monkeypatch.setattr(resizer, "resize", overtaken)
    assert process(clock, message("m-2", between)) == []
    kept = s3.head_object(Bucket=BUCKET, Key="thumbnail/a.jpg")
    assert kept["Metadata"]["source-version"] == versions[-1]


@pytest.mark.parametrize("error", [BadImage("truncated"), BadImage("no image")])
def test_a_bad_image_fails_with_its_reason(
    s3: "S3Client", clock: Clock, resize: Resize, caplog: pytest.LogCaptureFixture, error: BadImage
) -> None:
    resize.error = error
    version = put(s3, "ingest/a.jpg", b"bad")
    assert process(clock, message("m-1", record("ingest/a.jpg", version))) == ["m-1"]
    details = {"message_id": "m-1", "key": "ingest/a.jpg", "version_id": version}
    assert lines(caplog, "bad image") == [details | {"reason": error.reason}]
    assert result(s3, "thumbnail/a.jpg") is None


def test_images_are_counted_once_by_size(
    s3: "S3Client", clock: Clock, resize: Resize, caplog: pytest.LogCaptureFixture
) -> None:
    resize.error = BadImage("truncated")
    good, bad = put(s3, "ingest/good.jpg"), put(s3, "ingest/bad.jpg", b"bad")
    batch = [message("m-1", record("ingest/good.jpg", good)), message("m-2", record("ingest/bad.jpg", bad))]
    for times in (1, 2, 3):
        assert process(clock, *(received(times, each) for each in batch)) == ["m-2"]
    process(clock, received(1, message("m-3", record("ingest/gone.jpg"))))
    assert counts(caplog.records) == {
        "ImagesMade": 1, "ImagesMade{size=thumbnail}": 1, "ImagesFailed": 1, "ImagesFailed{size=thumbnail}": 1,
    }  # fmt: skip


def test_a_file_that_is_too_large_fails_with_its_size(
    s3: "S3Client", clock: Clock, resize: Resize, caplog: pytest.LogCaptureFixture
) -> None:
    put(s3, "ingest/a.jpg", b"x" * 1_000_001)
    assert process(clock, message("m-1", record("ingest/a.jpg"))) == ["m-1"]
    (line,) = lines(caplog, "bad image")
    assert line["reason"] == "1000001 bytes are more than 1000000"
    assert resize.specs == []


def test_a_key_without_room_for_the_results_fails_with_its_length(
    s3: "S3Client", clock: Clock, resize: Resize, caplog: pytest.LogCaptureFixture
) -> None:
    key = "ingest/" + "x" * 1013 + ".jpg"
    put(s3, key)
    assert process(clock, message("m-1", record(key))) == ["m-1"]
    (line,) = lines(caplog, "bad image")
    assert line["reason"] == "the result's key would have 1027 bytes, more than 1024"
    assert resize.specs == []


def test_a_deleted_object_is_acknowledged(
    s3: "S3Client", clock: Clock, resize: Resize, caplog: pytest.LogCaptureFixture
) -> None:
    version = put(s3, "ingest/a.jpg")
    s3.delete_object(Bucket=BUCKET, Key="ingest/a.jpg")
    assert process(clock, message("m-1", record("ingest/a.jpg", version))) == []
    details = {"message_id": "m-1", "key": "ingest/a.jpg", "version_id": version}
    assert lines(caplog, "object is gone") == [details]
    assert resize.specs == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("Testing Hello world", "no S3 event"),
        ('{"Service": "Amazon S3", "Event": "s3:TestEvent"}', "test event"),
        (json.dumps({"Records": [record("ingest/a.jpg", bucket="others")]}), "another bucket"),
        (json.dumps({"Records": [record("thumbnail/a.jpg")]}), "another prefix"),
        (json.dumps({"Records": [record("ingest/a.jpg") | {"eventName": "ObjectRemoved:Delete"}]}), "no new object"),
    ],
)
def test_what_tells_of_no_image_is_acknowledged(
    s3: "S3Client", clock: Clock, resize: Resize, caplog: pytest.LogCaptureFixture, body: str, reason: str
) -> None:
    put(s3, "ingest/a.jpg")
    assert process(clock, message("m-1", body)) == []
    assert lines(caplog, "message ignored") == [{"message_id": "m-1", "reason": reason}]
    assert resize.specs == []


def test_an_unknown_event_of_s3_fails(s3: "S3Client", clock: Clock, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ARG001 (its environment)
    assert process(clock, message("m-1", record("ingest/a.jpg") | {"eventVersion": "3.0"})) == ["m-1"]
    assert lines(caplog, "event not understood") == [
        {"message_id": "m-1", "reason": "eventVersion: 3.0 is not 2.x"},
    ]


def test_a_refusal_fails_with_its_code(
    s3: "S3Client", clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: Any) -> None:
        raise client_error("AccessDenied", 403)

    monkeypatch.setattr(s3, "get_object", refuse)
    assert process(clock, message("m-1", record("ingest/a.jpg"))) == ["m-1"]
    assert [line["error_code"] for line in lines(caplog, "image not made")] == ["AccessDenied"]


def test_throttles_are_waited_for_as_long_as_there_is_time(
    s3: "S3Client", clock: Clock, resize: Resize, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(s3, "ingest/a.jpg")
    answered = s3.get_object
    faults: list[Exception] = [client_error("SlowDown", 503), timeout()]

    def throttled(**parameters: Any) -> Any:
        if faults:
            raise faults.pop()
        return answered(**parameters)

    monkeypatch.setattr(s3, "get_object", throttled)
    assert process(clock, message("m-1", record("ingest/a.jpg"))) == []
    assert len(resize.specs) == 1

    faults += [client_error("SlowDown", 503)] * 100
    assert process(clock, message("m-2", record("ingest/a.jpg", sequencer="02"))) == ["m-2"]
    assert [line["error_code"] for line in lines(caplog, "image not made")] == ["SlowDown"]
    assert clock.seconds_left > 0


def test_an_unforeseen_error_fails_without_its_text(
    s3: "S3Client", clock: Clock, resize: Resize, caplog: pytest.LogCaptureFixture
) -> None:
    resize.error = MemoryError("what the file holds")
    put(s3, "ingest/a.jpg", b"bad")
    put(s3, "ingest/b.jpg")
    messages = [message("m-1", record("ingest/a.jpg")), message("m-2", record("ingest/b.jpg"))]
    assert process(clock, *messages) == ["m-1"]
    assert [line["error"] for line in lines(caplog, "image not made")] == ["MemoryError"]
    assert "what the file holds" not in caplog.text


def test_no_batch_of_messages_is_an_error(s3: "S3Client", clock: Clock) -> None:  # noqa: ARG001 (its environment)
    with pytest.raises(KeyError):
        resizer.handler({}, clock)

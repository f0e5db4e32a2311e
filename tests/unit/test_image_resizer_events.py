"""Which new objects a message tells of, and where their results go."""

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_resizer.events import Ignored, Source, UnreadableEvent, read_sources
from image_resizer.names import KeyTooLong, target_key

KEY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def s3_record(key: str = "ingest/a.jpg", **changes: Any) -> dict[str, Any]:
    """A record of S3 with an encoded key, as its User Guide's "Event message structure" has it."""
    subject = {"key": key, "size": 1024, "eTag": "d41d8cd9", "versionId": "v-1", "sequencer": "0055AED6DCD90281E5"}
    record = {
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-11-26T09:15:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": "images"}, "object": subject},
    }
    return record | changes


def body(*records: Any) -> str:
    return json.dumps({"Records": list(records)})


def wrapped(message: str) -> str:
    return json.dumps({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:::t", "Message": message})


SOURCE = Source("images", "ingest/a.jpg", "v-1", "0055AED6DCD90281E5")


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.6", "2.10"])
@pytest.mark.parametrize("action", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
def test_an_event_tells_of_a_new_object(version: str, action: str) -> None:
    event = body(s3_record(eventVersion=version, eventName=f"ObjectCreated:{action}"))
    assert read_sources(event) == [SOURCE]
    assert read_sources(wrapped(event)) == [SOURCE]


def test_an_event_tells_of_several_objects_in_order() -> None:
    found = read_sources(body(s3_record("ingest/b.jpg"), s3_record("ingest/a.jpg")))
    assert [source.key for source in found if isinstance(source, Source)] == ["ingest/b.jpg", "ingest/a.jpg"]


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("ingest/a+b.jpg", "ingest/a b.jpg"),
        ("ingest/a%2Bb.jpg", "ingest/a+b.jpg"),
        ("ingest/100%25.jpg", "ingest/100%.jpg"),
        ("ingest/%2520.jpg", "ingest/%20.jpg"),
        ("ingest/a%2Fb.jpg", "ingest/a/b.jpg"),
        ("ingest/caf%C3%A9%E2%98%95.jpg", "ingest/café☕.jpg"),
        ("ingest/%3D%26%3F%23%22.jpg", 'ingest/=&?#".jpg'),
        ("ingest/a%0Ab.jpg", "ingest/a\nb.jpg"),
    ],
)
def test_keys_are_decoded_once(encoded: str, key: str) -> None:
    (source,) = read_sources(body(s3_record(encoded)))
    assert isinstance(source, Source)
    assert source.key == key


@given(KEY_TEXT)
def test_every_key_comes_back(key: str) -> None:
    (source,) = read_sources(body(s3_record(quote_plus(key, safe="/"))))
    assert isinstance(source, Source)
    assert source.key == key


@pytest.mark.parametrize("missing", [{}, {"versionId": None, "sequencer": None}, {"versionId": "", "sequencer": ""}])
def test_a_bucket_without_versions(missing: dict[str, Any]) -> None:
    details = {"bucket": {"name": "images"}, "object": {"key": "ingest/a.jpg"} | missing}
    assert read_sources(body(s3_record(s3=details))) == [Source("images", "ingest/a.jpg", None, "")]


def test_the_test_event_is_told_apart() -> None:
    text = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "images", "RequestId": "1"})
    assert read_sources(text) == [Ignored("test event")]
    assert read_sources(wrapped(text)) == [Ignored("test event")]


@pytest.mark.parametrize(
    "text",
    [
        "Testing Hello world",
        "",
        "null",
        "[]",
        '"text"',
        "17",
        "{}",
        '{"Records": []}',
        '{"Records": {"0": 1}}',
        '{"Records": [1]}',
        '{"Records": [null]}',
        '{"Records": [{"eventSource": "aws:sqs"}]}',
        '{"Type": "Notification"}',
        '{"Type": "Notification", "Message": 7}',
        "9" * 5000,
        "[" * 100_000,
        '{"a":' * 50_000,
    ],
)
def test_other_text_is_no_event(text: str) -> None:
    assert read_sources(text) == [Ignored("no S3 event")]
    assert read_sources(wrapped(text)) == [Ignored("no S3 event")]


@given(st.text())
def test_no_text_stops_the_reader(text: str) -> None:
    assert all(isinstance(found, Ignored) for found in read_sources(text))


@pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "ObjectTagging:Put", "ObjectRestore:Completed", None])
def test_other_events_do_not_hide_a_new_object(name: str | None) -> None:
    assert read_sources(body(s3_record(eventName=name), s3_record())) == [Ignored("no new object"), SOURCE]


@pytest.mark.parametrize(
    "changes",
    [
        {"eventVersion": "3.0"},
        {"eventVersion": "20.1"},
        {"eventVersion": None},
        {"s3": None},
        {"s3": {}},
        {"s3": {"bucket": {"name": "images"}, "object": {}}},
        {"s3": {"bucket": {"name": "images"}, "object": {"key": ""}}},
        {"s3": {"bucket": {"name": "images"}, "object": {"key": 7}}},
        {"s3": {"bucket": {}, "object": {"key": "ingest/a.jpg"}}},
        {"s3": {"bucket": "images", "object": "ingest/a.jpg"}},
        {"s3": {"bucket": {"name": "images"}, "object": {"key": "ingest/%FF.jpg"}}},
    ],
)
def test_an_event_that_may_stand_for_an_image_is_not_lost(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableEvent) as raised:
        read_sources(body(s3_record(**changes)))
    assert raised.value.reason.startswith(("eventVersion: ", "s3: "))


@pytest.mark.parametrize(
    ("key", "image_format", "target"),
    [
        ("ingest/a/b.jpg", "jpeg", "thumbnail/a/b.jpg"),
        ("ingest/x.png", "jpeg", "thumbnail/x.png.jpg"),
        ("ingest/x.jpeg", "jpeg", "thumbnail/x.jpeg.jpg"),
        ("ingest/x.JPG", "jpeg", "thumbnail/x.JPG.jpg"),
        ("ingest/x.webp", "jpeg", "thumbnail/x.webp.jpg"),
        ("ingest/x.jpg", "webp", "thumbnail/x.jpg.webp"),
        ("ingest/x.webp", "webp", "thumbnail/x.webp"),
        ("ingest/ingest/x.jpg", "jpeg", "thumbnail/ingest/x.jpg"),
        ("ingest/ä b/+%.jpg", "jpeg", "thumbnail/ä b/+%.jpg"),
        ("ingest/.jpg", "jpeg", "thumbnail/.jpg"),
    ],
)
def test_results_keep_path_and_name(key: str, image_format: str, target: str) -> None:
    assert target_key(key, "ingest/", "thumbnail/", image_format) == target


def test_a_key_from_elsewhere_has_no_result() -> None:
    with pytest.raises(ValueError, match=r"mobile/a\.jpg: not below ingest/"):
        target_key("mobile/a.jpg", "ingest/", "thumbnail/", "jpeg")


def test_a_results_key_is_as_long_as_s3_takes_and_no_longer() -> None:
    fits = "é" * 505 + ".jpg"  # with "thumbnail/" 1,024 bytes
    assert target_key("ingest/" + fits, "ingest/", "thumbnail/", "jpeg") == "thumbnail/" + fits
    with pytest.raises(KeyTooLong, match="1025 bytes, more than 1024"):
        target_key("ingest/a" + fits, "ingest/", "thumbnail/", "jpeg")

"""What stands in the bucket whatever comes first, comes twice, is gone or fails on the way; S3 is moto's."""

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError
from botocore.response import StreamingBody
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from image_resizer.events import Source
from image_resizer.store import Existing, Target, TooLarge, fetch, find, is_done, is_older, keep
from tests.unit.fakes import Clock, client_error, timeout

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "images"
KEY = "ingest/a.jpg"
RESULT = "thumbnail/a.jpg"
MOST = 10_000_000


class S3:
    """moto's S3, with calls that fail and things that happen just before a call reaches it."""

    def __init__(self, client: "S3Client") -> None:
        self.client = client
        self.calls: list[str] = []
        self.faults: dict[str, list[Exception | Callable[[], object] | None]] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            self.calls.append(name)
            waiting = self.faults.get(name)
            fault = waiting.pop(0) if waiting else None
            if isinstance(fault, Exception):
                raise fault
            if fault:
                fault()
            return getattr(self.client, name)(**parameters)

        return call


@pytest.fixture
def client() -> "Iterator[S3Client]":
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def s3(client: "S3Client") -> S3:
    return S3(client)


def _s3(s3: S3) -> "S3Client":
    return cast("S3Client", s3)


def _target(sequencer: str, version: str | None = "v") -> Target:
    return Target(Source(BUCKET, KEY, version, sequencer), RESULT)


def _keep(s3: S3, clock: Clock, target: Target, content: bytes, existing: Existing | None = None) -> bool:
    return keep(_s3(s3), target, content, "image/jpeg", existing, clock.get_remaining_time_in_millis)


def _write(client: "S3Client", sequencer: str | None, content: bytes) -> None:
    metadata = {} if sequencer is None else {"source-sequencer": sequencer}
    client.put_object(Bucket=BUCKET, Key=RESULT, Body=content, Metadata=metadata)


def _result(client: "S3Client") -> bytes:
    return client.get_object(Bucket=BUCKET, Key=RESULT)["Body"].read()


def _put(client: "S3Client", content: bytes) -> str:
    return client.put_object(Bucket=BUCKET, Key=KEY, Body=content)["VersionId"]


def _fetch(s3: S3, clock: Clock, version: str | None, most: int = MOST) -> bytes | None:
    source = Source(BUCKET, KEY, version, "01")
    content = fetch(_s3(s3), source, most, clock.get_remaining_time_in_millis)
    return None if content is None else content.read()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("0055AED6DCD90281E5", "0055AED6DCD90281E6"),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E501"),  # the shorter one is padded on its right
        ("01FF", "02"),
        ("0055aed6", "0055AED7"),  # a value, not its spelling
        ("", "01"),
    ],
)
def test_sequencers_are_compared_as_s3_says(first: str, second: str) -> None:
    assert is_older(first, second)
    assert not is_older(second, first)


@given(st.text("0123456789ABCDEF", max_size=20), st.text("0123456789ABCDEF", max_size=20), st.integers(0, 5))
def test_sequencers_are_ordered_like_fractions(one: str, other: str, zeros: int) -> None:
    def fraction(sequencer: str) -> int:
        return int(sequencer.ljust(20, "0"), 16)

    assert is_older(one, other) == (fraction(one) < fraction(other))
    assert not is_older(one, one + "0" * zeros)
    assert not is_older(one + "0" * zeros, one)


def test_a_result_says_what_it_was_made_from(client: "S3Client", s3: S3, clock: Clock) -> None:
    target = _target("05", "version-1")
    assert find(_s3(s3), target, clock.get_remaining_time_in_millis) is None
    assert _keep(s3, clock, target, b"small")
    head = client.head_object(Bucket=BUCKET, Key=RESULT)
    assert head["ContentType"] == "image/jpeg"
    assert head["Metadata"] == {"source-sequencer": "05", "source-version": "version-1"}
    assert find(_s3(s3), target, clock.get_remaining_time_in_millis) == Existing(head["ETag"], "05")


def test_a_result_of_an_event_without_order_says_nothing_of_it(client: "S3Client", s3: S3, clock: Clock) -> None:
    assert _keep(s3, clock, _target("", None), b"small")
    assert client.head_object(Bucket=BUCKET, Key=RESULT)["Metadata"] == {}


@pytest.mark.parametrize(
    ("existing", "done"),
    [
        (None, False),
        (Existing('"e"', None), False),
        (Existing('"e"', "04"), False),
        (Existing('"e"', "05"), True),
        (Existing('"e"', "0500"), True),
        (Existing('"e"', "06"), True),
    ],
)
def test_a_result_is_done_unless_it_is_older(existing: Existing | None, done: bool) -> None:
    assert is_done(existing, _target("05")) is done


@pytest.mark.parametrize("there", [None, "04"])
@pytest.mark.parametrize("came_first", ["05", "06"])
def test_a_newer_result_that_comes_first_stays(
    client: "S3Client", s3: S3, clock: Clock, there: str | None, came_first: str
) -> None:
    if there:
        _write(client, there, b"old")
    target = _target("05")
    existing = find(_s3(s3), target, clock.get_remaining_time_in_millis)
    s3.faults["put_object"] = [lambda: _write(client, came_first, b"first")]
    assert not _keep(s3, clock, target, b"late", existing)
    assert _result(client) == b"first"
    assert s3.calls.count("put_object") == 1


@pytest.mark.parametrize("came_first", ["04", None])
def test_an_older_result_that_comes_first_is_replaced(
    client: "S3Client", s3: S3, clock: Clock, came_first: str | None
) -> None:
    s3.faults["put_object"] = [lambda: _write(client, came_first, b"older")]
    assert _keep(s3, clock, _target("05"), b"new")
    assert _result(client) == b"new"


def test_a_result_deleted_meanwhile_is_written_again(client: "S3Client", s3: S3, clock: Clock) -> None:
    _write(client, "04", b"old")
    target = _target("05")
    existing = find(_s3(s3), target, clock.get_remaining_time_in_millis)
    s3.faults["put_object"] = [lambda: client.delete_object(Bucket=BUCKET, Key=RESULT)]
    assert _keep(s3, clock, target, b"new", existing)
    assert _result(client) == b"new"


@pytest.mark.parametrize(
    "fault",
    [
        client_error("ConditionalRequestConflict", 409),
        client_error("SlowDown", 503),
        client_error("InternalError", 500),
        client_error("RequestTimeout", 400),
        timeout(),
    ],
)
def test_a_write_that_may_succeed_is_tried_again(client: "S3Client", s3: S3, clock: Clock, fault: Exception) -> None:
    s3.faults["put_object"] = [fault, fault]
    assert _keep(s3, clock, _target("05"), b"new")
    assert _result(client) == b"new"
    assert len(clock.pauses) == 2


def test_a_write_without_an_answer_is_not_done_twice(client: "S3Client", s3: S3, clock: Clock) -> None:
    def written_but_not_answered() -> None:
        _write(client, "05", b"new")
        raise timeout()

    s3.faults["put_object"] = [written_but_not_answered]
    assert not _keep(s3, clock, _target("05"), b"new")
    assert len(client.list_object_versions(Bucket=BUCKET)["Versions"]) == 1


def test_writes_end_with_the_time(s3: S3, clock: Clock) -> None:
    s3.faults["put_object"] = [client_error("SlowDown", 503)] * 100
    with pytest.raises(ClientError, match="SlowDown"):
        _keep(s3, clock, _target("05"), b"new")
    assert 0 < clock.seconds_left < 3
    assert s3.calls.count("put_object") > 5


def test_a_refused_write_is_not_repeated(s3: S3, clock: Clock) -> None:
    s3.faults["put_object"] = [client_error("AccessDenied", 403)]
    with pytest.raises(ClientError, match="AccessDenied"):
        _keep(s3, clock, _target("05"), b"new")
    assert s3.calls == ["put_object"]


def test_what_stands_there_is_asked_for_until_s3_answers(s3: S3, clock: Clock) -> None:
    s3.faults["head_object"] = [client_error("503", 503), timeout()]
    assert find(_s3(s3), _target("05"), clock.get_remaining_time_in_millis) is None
    assert s3.calls == ["head_object"] * 3


def test_a_forbidden_look_is_no_missing_result(s3: S3, clock: Clock) -> None:
    s3.faults["head_object"] = [client_error("403", 403)]
    with pytest.raises(ClientError, match="403"):
        find(_s3(s3), _target("05"), clock.get_remaining_time_in_millis)


def test_the_current_version_comes_with_one_call(client: "S3Client", s3: S3, clock: Clock) -> None:
    version = _put(client, b"original")
    assert _fetch(s3, clock, version) == b"original"
    assert _fetch(s3, clock, None) == b"original"
    assert s3.calls == ["get_object"] * 2


def test_the_events_version_counts_and_not_a_newer_one(client: "S3Client", s3: S3, clock: Clock) -> None:
    first = _put(client, b"first")
    _put(client, b"second")
    assert _fetch(s3, clock, first) == b"first"


def test_an_object_from_before_versioning_is_its_null_version(client: "S3Client", s3: S3, clock: Clock) -> None:
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"original")
    assert _fetch(s3, clock, "null") == b"original"


def test_an_object_that_never_was_is_gone(s3: S3, clock: Clock) -> None:
    assert _fetch(s3, clock, "v") is None
    assert clock.pauses == []


def test_an_object_under_a_delete_marker_is_gone(client: "S3Client", s3: S3, clock: Clock) -> None:
    version = _put(client, b"original")
    client.delete_object(Bucket=BUCKET, Key=KEY)
    assert _fetch(s3, clock, version) is None


def test_a_deleted_version_is_gone_though_another_is_there(client: "S3Client", s3: S3, clock: Clock) -> None:
    version = _put(client, b"first")
    _put(client, b"second")
    client.delete_object(Bucket=BUCKET, Key=KEY, VersionId=version)
    assert _fetch(s3, clock, version) is None


def test_a_delete_marker_as_version_is_gone(client: "S3Client", s3: S3, clock: Clock) -> None:
    _put(client, b"current")
    s3.faults["get_object"] = [None, client_error("MethodNotAllowed", 405)]  # moto says 404
    assert _fetch(s3, clock, "marker") is None


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidObjectState"])
def test_a_refused_object_is_not_gone(s3: S3, clock: Clock, code: str) -> None:
    s3.faults["get_object"] = [client_error(code, 403)]
    with pytest.raises(ClientError, match=code):
        _fetch(s3, clock, "v")


def test_a_missing_bucket_is_not_a_missing_object(s3: S3, clock: Clock) -> None:
    s3.faults["get_object"] = [client_error("NoSuchBucket", 404)]
    with pytest.raises(ClientError, match="NoSuchBucket"):
        _fetch(s3, clock, "v")


def test_a_large_object_is_refused_unread(client: "S3Client", clock: Clock) -> None:
    version = _put(client, b"x" * 101)

    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError(f"read {size}")

    class Large:
        def get_object(self, **_: Any) -> dict[str, Any]:
            return {"ContentLength": 101, "VersionId": version, "Body": body}

    body = Unread()
    with pytest.raises(TooLarge, match="101 bytes are more than 100"):
        fetch(cast("S3Client", Large()), Source(BUCKET, KEY, version, "1"), 100, clock.get_remaining_time_in_millis)
    assert body.closed


def test_an_object_of_exactly_the_limit_is_taken(client: "S3Client", s3: S3, clock: Clock) -> None:
    assert _fetch(s3, clock, _put(client, b"x" * 100), 100) == b"x" * 100


def test_an_object_longer_than_a_piece_is_whole(client: "S3Client", s3: S3, clock: Clock) -> None:
    content = bytes(range(256)) * 10_000
    assert _fetch(s3, clock, _put(client, content)) == content


def test_an_empty_object_is_not_gone(client: "S3Client", s3: S3, clock: Clock) -> None:
    assert _fetch(s3, clock, _put(client, b"")) == b""


class _Broken(io.RawIOBase):
    """A connection that ends, or is silent, after some bytes."""

    def __init__(self, error: Exception | None) -> None:
        self._pieces = [b"half"]
        self._error = error

    def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002 (the reader's)
        if self._pieces:
            return self._pieces.pop()
        if self._error:
            raise self._error
        return b""


@pytest.mark.parametrize("error", [None, ReadTimeoutError(endpoint_url="https://s3.invalid")])
def test_a_download_that_breaks_off_starts_again(client: "S3Client", clock: Clock, error: Exception | None) -> None:
    version = _put(client, b"halfhalf")
    answers: list[dict[str, Any]] = [
        {"ContentLength": 8, "VersionId": version, "Body": StreamingBody(_Broken(error), 8)},  # type: ignore[arg-type]
        cast("dict[str, Any]", client.get_object(Bucket=BUCKET, Key=KEY)),
    ]

    class Breaking:
        def get_object(self, **_: Any) -> dict[str, Any]:
            return answers.pop(0)

    source = Source(BUCKET, KEY, version, "1")
    content = fetch(cast("S3Client", Breaking()), source, MOST, clock.get_remaining_time_in_millis)
    assert content is not None
    assert content.read() == b"halfhalf"
    assert answers == []


def test_a_download_that_always_breaks_off_fails_in_time(s3: S3, clock: Clock) -> None:
    s3.faults["get_object"] = [IncompleteReadError(actual_bytes=4, expected_bytes=8)] * 100
    with pytest.raises(IncompleteReadError):
        _fetch(s3, clock, "v")
    assert 0 < clock.seconds_left < 3

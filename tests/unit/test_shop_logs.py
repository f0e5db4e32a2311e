"""Log lines and reports in the shapes that Lambda and the emulator give them, and new lines told from old ones."""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from shop import logs
from shop.errors import ShopError
from shop.logs import Event, Invocation, Unseen
from shop.target import Target
from tests.unit.shop_stack import REGION, tags

NOW = datetime.now(UTC)
AT = 1_795_288_402_151  # 2026-11-21T19:13:22.151Z
TEXT_REPORT = (
    "REPORT RequestId: 3f1e\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 512 MB\tMax Memory Used: 80 MB\t"
)


def event(message: object, at: int = AT, stream: str = "s", event_id: str | None = None) -> Event:
    return Event(at, stream, message if isinstance(message, str) else json.dumps(message), event_id)


def shown(message: object) -> list[str]:
    return logs.text_lines(logs.read_line(event(message)))


def test_a_line_has_its_time_level_message_and_fields() -> None:
    line = {
        "timestamp": "2026-11-21T19:13:22Z",
        "level": "WARNING",
        "message": "invalid order",
        "logger": "shop",
        "requestId": "i-1",
        "_aws": {"CloudWatchMetrics": []},
        "rule": "is not a number",
        "receive_count": 2,
    }
    assert shown(line) == ['2026-11-21 19:13:22.151Z  WARNING  invalid order  rule="is not a number"  receive_count=2']
    read = logs.read_line(event(line))
    assert (read.request_id, read.fields["_aws"]) == ("i-1", {"CloudWatchMetrics": []})


@pytest.mark.parametrize(
    "head",
    [
        # What Lambda's runtime writes of an error that a function raised has neither `level` nor `message`.
        {"log_level": "ERROR"},
        {"level": "ERROR", "message": "broken", "logger": "root"},
    ],
)
def test_an_error_has_its_stack_folded(head: dict[str, str]) -> None:
    frames = ['  File "a.py", line 1, in f\n    g()\n', '  File "b.py", line 2, in g\n    fail()\n']
    error = {**head, "requestId": "i-1", "errorType": "ValueError", "errorMessage": "broken", "stackTrace": frames}
    assert shown(error) == [
        "2026-11-21 19:13:22.151Z  ERROR    broken",
        '    ValueError: broken  (File "b.py", line 2, in g fail(); 2 frames, whole with --json)',
    ]
    assert logs.read_line(event(error)).fields["stackTrace"] == frames


CONTROLS = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),  # DEL and C1
    *map(chr, (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))),  # of the direction of writing
    "\u2028",
    "\u2029",
]


@pytest.mark.parametrize("char", CONTROLS, ids=lambda char: f"U+{ord(char):04X}")
def test_no_line_acts_on_the_terminal(char: str) -> None:
    bad = f"a {char}b"
    frames = [f"in {bad}"]
    lines = [
        {"level": bad, "message": bad, bad: bad, "nested": {bad: [bad]}},
        {"level": "ERROR", "errorType": bad, "errorMessage": bad, "stackTrace": frames},
        {"level": "ERROR", "message": [bad], "errorType": [bad], "errorMessage": {bad: bad}, "stackTrace": bad},
        {"type": "platform.report", "record": {"status": bad, "errorType": bad}},
        bad,
        f"REPORT RequestId: 1\tStatus: {bad}",
    ]
    for line in lines:
        found = shown(line)
        assert found
        assert all(text.isprintable() for text in found), line


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("plain text\n", ["2026-11-21 19:13:22.151Z           plain text"]),
        ("START RequestId: 3f1e Version: $LATEST", []),
        ("END RequestId: 3f1e", []),
        (TEXT_REPORT, []),
        ({"time": "t", "type": "platform.start", "record": {"requestId": "3f1e"}}, []),
        ({"type": "platform.report", "record": {"requestId": "3f1e", "status": "success", "metrics": {}}}, []),
        (
            {"type": "platform.report", "record": {"requestId": "3f1e", "status": "timeout", "metrics": {}}},
            ["2026-11-21 19:13:22.151Z  ERROR    Lambda says timeout"],
        ),
        (
            {"type": "platform.report", "record": {"status": "error", "errorType": "Runtime.OutOfMemory"}},
            ["2026-11-21 19:13:22.151Z  ERROR    Lambda says error: Runtime.OutOfMemory"],
        ),
        ("[1, 2]", ["2026-11-21 19:13:22.151Z           [1, 2]"]),
    ],
)
def test_of_lambdas_own_lines_only_failures_are_shown(message: object, expected: list[str]) -> None:
    assert shown(message) == expected


def test_a_text_report_that_tells_of_a_timeout_is_shown() -> None:
    assert "Status: timeout" in shown(f"{TEXT_REPORT}Status: timeout")[0]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (TEXT_REPORT, Invocation(12.34, 512, 80, None, "success")),
        (f"{TEXT_REPORT}Init Duration: 240.5 ms\t\n", Invocation(12.34, 512, 80, 240.5, "success")),
        (f"{TEXT_REPORT}Status: timeout", Invocation(12.34, 512, 80, None, "timeout")),
        (
            {
                "type": "platform.report",
                "record": {
                    "requestId": "3f1e",
                    "status": "error",
                    "metrics": {
                        "durationMs": 12.34,
                        "billedDurationMs": 13,
                        "memorySizeMB": 512,
                        "maxMemoryUsedMB": 80,
                        "initDurationMs": 240.5,
                    },
                },
            },
            Invocation(12.34, 512, 80, 240.5, "error"),
        ),
        # The emulator reports no memory use.
        (
            {"type": "platform.report", "record": {"metrics": {"durationMs": 5.0, "memorySizeMB": 512}}},
            Invocation(5.0, 512, None, None, "success"),
        ),
        ({"type": "platform.start", "record": {"metrics": {"durationMs": 5.0}}}, None),
        ({"type": "platform.report", "record": {}}, None),
        ({"message": TEXT_REPORT}, None),
        ("REPORT RequestId: 3f1e\tDuration: long ms", None),
        ("REPORT of sales", None),
    ],
)
def test_reports_are_read_in_both_forms(message: object, expected: Invocation | None) -> None:
    assert logs.read_report(event(message).message) == expected


def test_figures_sum_invocations_up() -> None:
    found = [Invocation(float(ms), 512, 60 + ms, None, "success") for ms in range(1, 19)]
    found += [Invocation(3000.0, 512, None, 250.0, "timeout"), Invocation(20.0, 512, 70, 150.0, "error")]
    assert logs.figures(found) == logs.Figures(
        invocations=20,
        median_ms=10.5,
        p95_ms=20.0,
        max_ms=3000.0,
        cold_starts=2,
        cold_start_median_ms=200.0,
        cold_start_max_ms=250.0,
        max_used_mb=78,
        memory_mb=512,
        timeouts=1,
        errors=1,
    )


def test_figures_of_nothing_are_nothing() -> None:
    assert dict(logs.rows(logs.figures([])))["duration, median"] == "-"


def test_the_pattern_is_the_longest_word_that_json_cannot_have_escaped() -> None:
    assert logs.server_pattern('he said "orders_place" & Caffè') == "%orders_place%"
    assert logs.server_pattern("…") == ""


def test_lambdas_own_failures_are_found_by_what_is_shown_of_them() -> None:
    record = {"requestId": "3f1e", "status": "timeout", "metrics": {}}
    failed = event({"type": "platform.report", "record": record})
    done = event({"type": "platform.report", "record": {**record, "status": "success"}})
    for text in ("ERROR", "Lambda says timeout"):
        assert "platform.report" in logs.server_pattern(text) or "timeout" in logs.server_pattern(text)
        assert (logs.has_text(failed, text), logs.has_text(done, text)) == (True, False)
    assert logs.server_pattern("ERROR") == "%ERROR|platform.report%"


@pytest.mark.parametrize(
    ("text", "is_there"),
    [
        ('"level": "INFO"', True),
        ('said "hi"', True),
        ("Caffè", True),
        ("deep", True),
        ("info", False),
        ("level=INFO", False),
        ("name=Caffè", True),
    ],
)
def test_a_filter_finds_text_as_it_is_written_and_as_it_is_meant(text: str, is_there: bool) -> None:
    found = event({"level": "INFO", "message": 'said "hi"', "name": "Caffè", "orders": [{"at": "the deep"}]})
    assert "Caffè" not in found.message  # escaped by json.dumps
    assert logs.has_text(found, text) is is_there


def test_lines_of_one_millisecond_are_each_shown_once() -> None:
    unseen = Unseen(AT - 1000)
    first = [event("a"), event("a"), event("b")]
    assert list(unseen.of(first)) == first
    unseen.forget()
    later = [*first, event("a"), event("b", stream="t"), event("b", at=AT - 5)]
    assert list(unseen.of(later)) == later[3:]
    unseen.forget()
    assert list(unseen.of(later)) == []


def test_events_with_an_id_are_told_apart_by_it() -> None:
    unseen = Unseen(0)
    assert [e.event_id for e in unseen.of([event("a", event_id="1"), event("a", event_id="2")])] == ["1", "2"]
    assert [e.event_id for e in unseen.of([event("a", event_id="2"), event("a", event_id="3")])] == ["3"]


def test_the_next_look_goes_back_for_late_events_and_no_further() -> None:
    unseen = Unseen(AT - 600_000)
    list(unseen.of([event("old", at=AT - 500_000), event("new")]))
    unseen.forget()
    assert unseen.start_ms == AT - 30_000
    assert unseen._seen.keys() == {(AT, "s", "new")}


@pytest.fixture
def dev() -> Iterator[Target]:
    """A stage with one function's log group, in moto."""
    with mock_aws():
        session = boto3.Session("key", "secret", region_name=REGION)
        session.client("logs").create_log_group(logGroupName="group")
        session.client("logs").create_log_stream(logGroupName="group", logStreamName="s")
        yield Target("dev", {}, session, None)


def put(target: Target, *messages: str) -> None:
    events: Any = [{"timestamp": logs.milliseconds(NOW) + n, "message": text} for n, text in enumerate(messages)]
    target.client("logs").put_log_events(logGroupName="group", logStreamName="s", logEvents=events)


def test_following_goes_on_with_what_comes(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    put(dev, "one", "two")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        put(dev, f"after pause {len(pauses)}")

    monkeypatch.setattr("shop.logs.time.sleep", sleep)
    lines = logs.lines(dev, "group", NOW, None, following=True)
    found = [line.message for line in itertools.islice(lines, 4)]
    assert sorted(found[:2]) == ["one", "two"]
    assert found[2:] == ["after pause 1", "after pause 2"]
    assert pauses == [logs.POLL_SECONDS] * 2


def test_a_function_is_found_by_its_constructs_name() -> None:
    with mock_aws():
        session = boto3.Session("key", "secret", region_name=REGION)
        role = session.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        name = "dev-order-pipeline-OrderProcessor53D1FCB8-BBCE3AFEB79A"
        template = {
            "Resources": {
                "OrderProcessor53D1FCB8": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "FunctionName": name,
                        "Role": role,
                        "Runtime": "python3.13",
                        "Handler": "a.b",
                        "Code": {"ZipFile": "x"},
                    },
                }
            }
        }
        session.client("cloudformation").create_stack(
            StackName="dev-order-pipeline", TemplateBody=json.dumps(template), Tags=tags("dev")
        )
        dev = Target("dev", {}, session, None)
        assert logs.find_function(dev, "orderprocessor") == name
        with pytest.raises(ShopError, match=r"stage dev has no function 'Nope': OrderProcessor\Z"):
            logs.find_function(dev, "Nope")
        with pytest.raises(ShopError, match="none is deployed"):
            logs.find_function(Target("test", {}, session, None), "OrderProcessor")

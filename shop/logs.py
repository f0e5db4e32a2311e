"""What a stage's functions log, read for a person: lines as they come, or the figures of their invocations.

Lambda writes the logs as JSON (`stacks/constructs/function.py`); plain text is shown as it is. New lines are asked for
by FilterLogEvents, again and again: StartLiveTail costs by the minute, begins at the moment of the call and needs an
endpoint of its own, while this takes one right and works alike on AWS and on the local cloud.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shop.deployed import physical_ids, stage_stacks
from shop.errors import ShopError
from shop.names import construct_name
from shop.output import encode_line, field_text, printable
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient

POLL_SECONDS: Final = 2.0
"""All readers of an account together may call FilterLogEvents five times a second (CloudWatch Logs quotas)."""
_LATE_MS: Final = 30_000
"""How far behind the newest event a later one may still come in: streams of one group are ingested on their own."""
_REPORTS: Final = '?"platform.report" ?"REPORT RequestId"'
_WORD: Final = re.compile(r"[A-Za-z0-9_]+")
_PLATFORM: Final = "platform."
_PLATFORM_SAYS: Final = "Lambda says"
_PLATFORM_SHOWN: Final = f"ERROR {_PLATFORM_SAYS}"
"""What is written of a failure of Lambda's own where it is shown, and nowhere in the log."""
_TEXT_PLATFORM: Final = re.compile(r"\A(?:START|END|REPORT|INIT_START|EXTENSION)\b")
_TEXT_REPORT: Final = re.compile(r"\AREPORT RequestId: (?P<request_id>\S+)\t(?P<figures>.*)", re.DOTALL)
_FAILED: Final = {"error", "failure"}
_TIMEOUT: Final = "timeout"
_SHOWN_ELSEWHERE: Final = {
    "timestamp",
    "level",
    "log_level",
    "message",
    "requestId",
    "logger",
    "errorType",
    "errorMessage",
    "stackTrace",
    "location",
    "_aws",  # what makes metrics of a line's numbers; the numbers are shown
}


@dataclass(frozen=True)
class Event:
    """One event of a log group."""

    at_ms: int
    """Milliseconds since 1970."""
    stream: str
    message: str
    event_id: str | None = None


@dataclass(frozen=True)
class Line:
    """What an event says."""

    at: str
    """RFC 3339 in UTC, to the millisecond."""
    level: str
    """Empty for a line of plain text."""
    message: str
    request_id: str | None
    """Of the invocation."""
    fields: Mapping[str, Any]
    """Everything else in the line, whole."""
    stream: str


@dataclass(frozen=True)
class Invocation:
    """What Lambda reports of one invocation; None where the report does not say."""

    duration_ms: float
    memory_mb: int | None
    """As configured."""
    used_mb: int | None
    """The most that the execution environment has used so far."""
    init_ms: float | None
    """Of the cold start, None where there was none."""
    status: str
    """`success`, `timeout`, `error` or `failure`."""


@dataclass(frozen=True)
class Figures:
    """What the invocations of a while have in common; durations in milliseconds, memory in MB."""

    invocations: int
    median_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    cold_starts: int
    cold_start_median_ms: float | None
    cold_start_max_ms: float | None
    max_used_mb: int | None
    memory_mb: int | None
    timeouts: int
    errors: int
    """Invocations that raised an error or whose process died, without the timeouts."""


def find_function(target: Target, function: str) -> str:
    """Return the physical name of a function that is named as its construct is (`OrderProcessor`), in any case.

    Raises ShopError that lists all functions of the stage where none is called so.
    """
    cloudformation = target.client("cloudformation")
    names = [
        name
        for stack in stage_stacks(cloudformation, target.stage)
        for name in physical_ids(cloudformation, stack["StackName"], "AWS::Lambda::Function")
    ]
    by_construct = {construct_name(name): name for name in names}
    found = {construct.casefold(): name for construct, name in by_construct.items()}.get(function.casefold())
    if found is None:
        known = ", ".join(sorted(by_construct)) or "none is deployed"
        raise ShopError(f"stage {target.stage} has no function {function!r}: {known}")
    return found


def group_of(target: Target, function_name: str) -> str:
    """Return the log group of a function by its physical name."""
    configuration = target.client("lambda").get_function_configuration(FunctionName=function_name)
    group: str = configuration["LoggingConfig"]["LogGroup"]
    return group


def read(logs: "CloudWatchLogsClient", group: str, start_ms: int, pattern: str = "") -> Iterator[Event]:
    """Yield a log group's events from a moment on, oldest first; `pattern` is in CloudWatch's syntax."""
    asked: dict[str, Any] = {"logGroupName": group, "startTime": max(0, start_ms)}
    if pattern:
        asked["filterPattern"] = pattern
    for page in logs.get_paginator("filter_log_events").paginate(**asked):
        for event in page["events"]:
            yield Event(event["timestamp"], event["logStreamName"], event["message"], event.get("eventId"))


def follow(logs: "CloudWatchLogsClient", group: str, start_ms: int, pattern: str = "") -> Iterator[Event]:
    """Yield a log group's events from a moment on, and then new ones for ever, each once."""
    unseen = Unseen(start_ms)
    while True:
        yield from unseen.of(read(logs, group, unseen.start_ms, pattern))
        unseen.forget()
        time.sleep(POLL_SECONDS)


@dataclass
class Unseen:
    """Tells new events from those of an earlier look: each look goes back far enough to find late ones."""

    start_ms: int
    """From when on to look the next time."""
    _seen: Counter[tuple[int, str, str]] = field(default_factory=Counter)

    def of(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield those of one look's events that no earlier look had.

        Events without an id are counted: a function may well write the same line twice in a millisecond.
        """
        now: Counter[tuple[int, str, str]] = Counter()
        for event in events:
            key = (event.at_ms, event.stream, event.event_id or event.message)
            now[key] += 1
            if now[key] > self._seen[key]:
                self._seen[key] = now[key]
                yield event

    def forget(self) -> None:
        """End a look: the next one begins a little before the newest event, and what is older need not be known."""
        newest = max((at for at, _, _ in self._seen), default=self.start_ms)
        self.start_ms = max(self.start_ms, newest - _LATE_MS)
        self._seen = Counter({key: count for key, count in self._seen.items() if key[0] >= self.start_ms})


def server_pattern(text: str) -> str:
    """Return a pattern that every line with `text` in it matches, for CloudWatch to leave out most of the others.

    A term in CloudWatch's syntax stands for a whole word and JSON escapes some characters, so it is the text's longest
    run of letters and digits, as a regular expression ("Filter pattern syntax", `%…%`); `has_text` does the rest.
    What may be of the words for Lambda's own failures is in no line as it was written, so their reports come too.
    """
    longest = max(_WORD.findall(text), key=len, default="")
    if longest and longest in _PLATFORM_SHOWN:
        return f"%{longest}|platform.report%"
    return f"%{longest}%" if longest else ""


def has_text(event: Event, text: str) -> bool:
    """Whether an event has `text` in it: as it was written, in one of its values, or as it is shown."""
    if text in event.message or any(text in value for value in _texts(_decode(event.message))):
        return True
    return any(text in shown for shown in text_lines(read_line(event)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def lines(target: Target, group: str, since: datetime, text: str | None, *, following: bool) -> Iterator[Line]:
    """Yield what a log group says since a moment, only what has `text` in it; with `following` also what comes."""
    logs: CloudWatchLogsClient = target.client("logs")
    # The emulator knows no regular expressions in patterns.
    pattern = server_pattern(text) if text and target.cloud is None else ""
    events = (follow if following else read)(logs, group, milliseconds(since), pattern)
    return (read_line(event) for event in events if not text or has_text(event, text))


def milliseconds(moment: datetime) -> int:
    """Return a moment in milliseconds since 1970."""
    return int(moment.timestamp() * 1000)


def read_line(event: Event) -> Line:
    """Return what an event says: an object that Lambda or the function wrote, or plain text."""
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found = _decode(event.message)
    if found is None:
        return Line(at, "", event.message.rstrip("\n"), None, {}, event.stream)
    if _is_platform(found):
        record: Mapping[str, Any] = found.get("record") or {}
        return Line(at, "PLATFORM", found["type"], record.get("requestId"), record, event.stream)
    level, message = found.get("level") or found.get("log_level"), found.get("message")
    shown = ("timestamp", "level", "log_level", "message", "requestId")
    return Line(
        at,
        str(level or ""),
        field_text(found.get("errorMessage", "") if message is None else message),
        found.get("requestId"),
        {name: value for name, value in found.items() if name not in shown},
        event.stream,
    )


def _decode(message: str) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(message, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None


def _is_platform(found: Mapping[str, Any]) -> bool:
    return str(found.get("type", "")).startswith(_PLATFORM) and isinstance(found.get("record"), dict)


def text_lines(line: Line) -> list[str]:
    """Return a line for a person, an error's stack folded into one line; nothing for what only measures.

    Of Lambda's own lines only those are shown that tell of a failure: the others are for `figures`.
    """
    if line.level == "PLATFORM":
        status = line.fields.get("status", "success")
        if status == "success":
            return []
        kind = line.fields.get("errorType")
        return [_head(line, "ERROR", f"{_PLATFORM_SAYS} {status}" + (f": {kind}" if kind else ""), {})]
    if not line.level and _TEXT_PLATFORM.match(line.message) and "\tStatus: " not in line.message:
        return []
    fields = {name: value for name, value in line.fields.items() if name not in _SHOWN_ELSEWHERE}
    return [_head(line, line.level, line.message, fields), *_folded(line.fields)]


def _head(line: Line, level: str, message: str, fields: Mapping[str, Any]) -> str:
    told = "".join(f"  {name}={_value(value)}" for name, value in fields.items())
    return printable(f"{line.at.replace('T', ' ')}  {level:<7}  {message}{told}")


def _value(value: Any) -> str:
    text = field_text(value)
    return encode_line(text).decode() if isinstance(value, str) and (not text or " " in text) else text


def _folded(fields: Mapping[str, Any]) -> list[str]:
    if "errorType" not in fields:
        return []
    said = f"    {fields['errorType']}: {fields.get('errorMessage', '')}"
    frames = fields.get("stackTrace") or []
    if isinstance(frames, list) and frames:
        innermost = " ".join(str(frames[-1]).split())
        said += f"  ({innermost}; {len(frames)} frames, whole with --json)"
    return [printable(said)]


def invocations(target: Target, group: str, since: datetime) -> list[Invocation]:
    """Return what Lambda reported of the invocations since a moment, oldest first."""
    # The emulator takes the two terms for one that both must be there.
    pattern = _REPORTS if target.cloud is None else ""
    events = read(target.client("logs"), group, milliseconds(since), pattern)
    return [found for event in events if (found := read_report(event.message))]


def read_report(message: str) -> Invocation | None:
    """Return the invocation that a line reports; None where it is another line.

    Lambda Developer Guide, "Lambda function logs": `platform.report` in JSON logs, `REPORT RequestId: …` in text.
    """
    text = _TEXT_REPORT.match(message)
    if text:
        return _text_report(text["figures"])
    found = _decode(message)
    if found is None or not _is_platform(found) or found["type"] != "platform.report":
        return None
    metrics: Mapping[str, Any] = found["record"].get("metrics") or {}
    if "durationMs" not in metrics:
        return None
    return Invocation(
        duration_ms=float(metrics["durationMs"]),
        memory_mb=metrics.get("memorySizeMB"),
        used_mb=metrics.get("maxMemoryUsedMB"),
        init_ms=metrics.get("initDurationMs"),
        status=found["record"].get("status", "success"),
    )


def _text_report(figures: str) -> Invocation | None:
    found = dict(part.split(": ", 1) for part in figures.strip().split("\t") if ": " in part)
    try:
        return Invocation(
            duration_ms=float(found["Duration"].removesuffix(" ms")),
            memory_mb=int(found["Memory Size"].removesuffix(" MB")),
            used_mb=int(found["Max Memory Used"].removesuffix(" MB")),
            init_ms=float(found["Init Duration"].removesuffix(" ms")) if "Init Duration" in found else None,
            status=found.get("Status", "success"),
        )
    except (KeyError, ValueError):
        return None  # a function's own line that begins so


def figures(found: Sequence[Invocation]) -> Figures:
    """Return what invocations have in common; the 95th percentile is the nearest rank's."""
    durations = sorted(each.duration_ms for each in found)
    starts = [each.init_ms for each in found if each.init_ms is not None]
    used = [each.used_mb for each in found if each.used_mb is not None]
    configured = [each.memory_mb for each in found if each.memory_mb is not None]
    return Figures(
        invocations=len(found),
        median_ms=median(durations) if durations else None,
        p95_ms=durations[ceil(0.95 * len(durations)) - 1] if durations else None,
        max_ms=durations[-1] if durations else None,
        cold_starts=len(starts),
        cold_start_median_ms=median(starts) if starts else None,
        cold_start_max_ms=max(starts, default=None),
        max_used_mb=max(used, default=None),
        memory_mb=configured[-1] if configured else None,
        timeouts=sum(each.status == _TIMEOUT for each in found),
        errors=sum(each.status in _FAILED for each in found),
    )


def rows(found: Figures) -> list[tuple[str, str]]:
    """Return the figures for a person."""
    return [
        ("invocations", f"{found.invocations:,}"),
        ("duration, median", _ms(found.median_ms)),
        ("duration, 95th percentile", _ms(found.p95_ms)),
        ("duration, longest", _ms(found.max_ms)),
        ("cold starts", f"{found.cold_starts:,}"),
        ("cold start, median", _ms(found.cold_start_median_ms)),
        ("cold start, longest", _ms(found.cold_start_max_ms)),
        ("memory, most used", _mb(found.max_used_mb)),
        ("memory, configured", _mb(found.memory_mb)),
        ("timeouts", f"{found.timeouts:,}"),
        ("errors", f"{found.errors:,}"),
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"


def _mb(value: int | None) -> str:
    return "-" if value is None else f"{value:,} MB"

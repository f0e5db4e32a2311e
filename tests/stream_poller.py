"""Lambda's poller of a DynamoDB stream, with the behaviour that AWS documents and the emulator lacks.

One shard, one batch at a time, in the stream's order: batch size, event filter, partial batch response, bisecting,
retry attempts, maximum record age, and the record that the failure destination gets. From the Lambda Developer Guide:
"Process DynamoDB records with Lambda", "Configuring partial batch response with DynamoDB and Lambda" and "Retain
discarded records for a DynamoDB event source in Lambda". Time is the test's own: the poller never waits.

Two things the guide leaves open are decided here, each in the way that is harder on a function: a partial response
that names the first record of its batch splits nothing off and so uses up a retry; and all that is left of a batch is
given up together.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

Record = Mapping[str, Any]
"""A stream record as functions get it."""

STREAM_ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-26T00:00:00.000"
FUNCTION_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:OrderNotifier"
_ENDLESS = -1


class NotInvoked(Exception):
    """Lambda could not invoke the function: it is throttled, or being replaced."""


@dataclass(frozen=True)
class EventSourceMapping:
    """How a stream is read: the properties of an `AWS::Lambda::EventSourceMapping`."""

    batch_size: int = 100
    retry_attempts: int = _ENDLESS
    max_record_age_seconds: int = _ENDLESS
    bisects: bool = False
    takes_partial_responses: bool = False
    event_names: frozenset[str] | None = None
    """Events that the filter lets through; all, where there is no filter."""

    @classmethod
    def of_template(cls, properties: Mapping[str, Any]) -> Self:
        """The mapping that a template's resource describes, its filters being on `eventName` only."""
        filters = [json.loads(entry["Pattern"]) for entry in properties.get("FilterCriteria", {}).get("Filters", ())]
        assert all(set(pattern) == {"eventName"} for pattern in filters), filters
        return cls(
            batch_size=properties.get("BatchSize", cls.batch_size),
            retry_attempts=properties.get("MaximumRetryAttempts", _ENDLESS),
            max_record_age_seconds=properties.get("MaximumRecordAgeInSeconds", _ENDLESS),
            bisects=properties.get("BisectBatchOnFunctionError", False),
            takes_partial_responses="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", ()),
            event_names=frozenset(name for pattern in filters for name in pattern["eventName"]) if filters else None,
        )


NOTIFIER = EventSourceMapping(
    batch_size=10,
    retry_attempts=10,
    max_record_age_seconds=14_400,
    bisects=True,
    takes_partial_responses=True,
    event_names=frozenset({"INSERT"}),
)
"""How `OrderNotifier` reads the orders table in stage prod; a template test holds this to be so."""


@dataclass
class Shard:
    """A stream's shard: records in order, kept for good."""

    name: str = "shardId-00000001795684500000-0a1b2c3d"
    records: list[Record] = field(default_factory=list)

    def add(self, event_name: str, new_image: Mapping[str, Any] | None, now: float) -> str:
        """Appends what a write left in the stream (its time in seconds since 1970); returns its sequence number."""
        number = str((len(self.records) + 1) * 100_000_000_000)
        image = {} if new_image is None else {"NewImage": dict(new_image)}
        self.records.append(
            {
                "eventID": number,
                "eventName": event_name,
                "eventSource": "aws:dynamodb",
                "eventSourceARN": STREAM_ARN,
                "dynamodb": {"ApproximateCreationDateTime": now, "SequenceNumber": number} | image,
            }
        )
        return number

    def between(self, first: str, last: str) -> list[Record]:
        """The records from one sequence number to another, both included."""
        return [record for record in self.records if int(first) <= _number(record) <= int(last)]


@dataclass(frozen=True)
class _Batch:
    records: Sequence[Record]
    failures: int = 0
    """Failed invocations that count against the retry attempts; a split does not."""
    invocations: int = 0
    response: Mapping[str, Any] | None = None
    """What the failure destination is told of the last invocation."""


class StreamPoller:
    """Reads a shard for a function.

    `invoke` runs the function with an event and returns its answer; it raises `NotInvoked` where the function could not
    be run, and anything else where the function failed. `discard` gets the record for the failure destination, as its
    JSON text. `now` gives seconds since 1970.
    """

    def __init__(
        self,
        mapping: EventSourceMapping,
        shard: Shard,
        invoke: Callable[[dict[str, Any]], Any],
        discard: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._mapping = mapping
        self._shard = shard
        self._invoke = invoke
        self._discard = discard
        self._now = now
        self._read = 0
        self._batches: list[_Batch] = []

    def poll(self) -> bool:
        """Makes the next invocation, if any is due; returns whether there was anything to do."""
        if not self._batches:
            self._fetch()
        if not self._batches:
            return False
        batch = self._give_up_expired(self._batches.pop(0))
        if batch.records:
            self._batches[:0] = self._deliver(batch)
        return True

    def waiting(self) -> list[Record]:
        """The records that the function has yet to take and that were not given up."""
        fetched = [record for batch in self._batches for record in batch.records]
        return fetched + [record for record in self._shard.records[self._read :] if self._passes(record)]

    def _fetch(self) -> None:
        records = self._shard.records[self._read : self._read + self._mapping.batch_size]
        self._read += len(records)
        if passed := [record for record in records if self._passes(record)]:
            self._batches.append(_Batch(passed))
        elif records:
            self._fetch()

    def _passes(self, record: Record) -> bool:
        return self._mapping.event_names is None or record["eventName"] in self._mapping.event_names

    def _give_up_expired(self, batch: _Batch) -> _Batch:
        if self._mapping.max_record_age_seconds == _ENDLESS:
            return batch
        oldest = self._now() - self._mapping.max_record_age_seconds
        expired = [record for record in batch.records if _created(record) < oldest]
        if expired:
            self._give_up(replace(batch, records=expired), "RecordAgeExceeded")
        return replace(batch, records=batch.records[len(expired) :])

    def _deliver(self, batch: _Batch) -> list[_Batch]:
        """Invokes the function; returns the batches that are left to deliver."""
        try:
            answer = self._invoke({"Records": json.loads(json.dumps(batch.records))})
        except NotInvoked:
            return [batch]
        except Exception:  # noqa: BLE001 (whatever the function raises is its failure)
            return self._after_error(_invoked(batch, failed=True))
        return self._after_answer(_invoked(batch), answer)

    def _after_error(self, batch: _Batch) -> list[_Batch]:
        if not self._mapping.bisects or len(batch.records) == 1:
            return self._try_again(batch)
        middle = len(batch.records) // 2
        return [replace(batch, records=half) for half in (batch.records[:middle], batch.records[middle:])]

    def _after_answer(self, batch: _Batch, answer: Any) -> list[_Batch]:
        failures = (answer or {}).get("batchItemFailures") or []
        if not self._mapping.takes_partial_responses or not failures:
            return []
        places = {record["dynamodb"]["SequenceNumber"]: place for place, record in enumerate(batch.records)}
        failed = [places.get(failure.get("itemIdentifier")) for failure in failures]
        if None in failed:  # an empty, missing or unknown identifier: "a complete failure"
            return self._after_error(batch)
        first = min(place for place in failed if place is not None)
        rest = replace(batch, records=batch.records[first:])
        return [rest] if first and self._mapping.bisects else self._try_again(rest)

    def _try_again(self, batch: _Batch) -> list[_Batch]:
        failed = replace(batch, failures=batch.failures + 1)
        if self._mapping.retry_attempts == _ENDLESS or failed.failures <= self._mapping.retry_attempts:
            return [failed]
        self._give_up(failed, "RetryAttemptsExhausted")
        return []

    def _give_up(self, batch: _Batch, condition: str) -> None:
        first, last = batch.records[0], batch.records[-1]
        record = {
            "requestContext": {
                "requestId": "316aa6d0-8154-4f4f-9af7-85d5f4a6bc81",
                "functionArn": FUNCTION_ARN,
                "condition": condition,
                "approximateInvokeCount": batch.invocations,
            },
            "version": "1.0",
            "timestamp": _rfc_3339(self._now()),
            "DDBStreamBatchInfo": {
                "shardId": self._shard.name,
                "startSequenceNumber": first["dynamodb"]["SequenceNumber"],
                "endSequenceNumber": last["dynamodb"]["SequenceNumber"],
                "approximateArrivalOfFirstRecord": _rfc_3339(_created(first)),
                "approximateArrivalOfLastRecord": _rfc_3339(_created(last)),
                "batchSize": len(batch.records),
                "streamArn": STREAM_ARN,
            },
        }
        if batch.response:
            record["responseContext"] = batch.response
        self._discard(json.dumps(record))


def _invoked(batch: _Batch, *, failed: bool = False) -> _Batch:
    response: dict[str, Any] = {"statusCode": 200, "executedVersion": "$LATEST"}
    if failed:
        response["functionError"] = "Unhandled"
    return replace(batch, invocations=batch.invocations + 1, response=response)


def _number(record: Record) -> int:
    return int(record["dynamodb"]["SequenceNumber"])


def _created(record: Record) -> float:
    return float(record["dynamodb"]["ApproximateCreationDateTime"])


def _rfc_3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

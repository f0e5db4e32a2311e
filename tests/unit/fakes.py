"""What stands in for AWS where moto does not do: the orders table with faults, a clock and Lambda's context.

moto 5 takes no parameters in PartiQL statements and lets an INSERT overwrite, so the processor's table is a small
fake of the two calls it makes, with the refusals that DynamoDB documents.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

TABLE = "orders"
_INSERT = re.compile(r"""INSERT INTO "([^"]+)" VALUE \{((?:'\w+': \?)(?:, '\w+': \?)*)\}""")


class Clock:
    """Time that passes only while somebody sleeps or a call is made."""

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds_left = seconds
        self.pauses: list[float] = []

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds_left * 1000)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds_left -= seconds


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "made up"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Operation",
    )


def timeout() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="https://dynamodb.invalid")


class Killed(BaseException):
    """The function's process ends on the spot: no handler of exceptions gets to see it."""


class Fault:
    """What goes wrong in one call: some statements fail with a code, or the whole call does before or after it ran."""

    def __init__(
        self,
        statements: Mapping[int, str] | None = None,
        before: BaseException | None = None,
        after: BaseException | None = None,
        ran: Sequence[int] = (),
    ) -> None:
        self.statements = statements or {}
        self.before = before
        self.after = after
        self.ran = ran
        """Statements that are run although they answer with an error."""


class FakeTable:
    """The orders table as far as the processor uses it. Each call takes the next fault; without one all goes well."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.insert_faults: list[Fault | None] = []
        self.read_faults: list[BaseException | int | None] = []
        self.calls: list[list[str]] = []
        self.reads: list[list[str]] = []
        self._clock = clock

    def batch_execute_statement(self, *, Statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        inserts = [self._parse(statement) for statement in Statements]
        names = [item["orderID"]["S"] for item in inserts]
        self._spend()
        self.calls.append(names)
        if not 1 <= len(names) <= 25 or len(set(names)) != len(names):
            raise client_error("ValidationException")
        fault = self.insert_faults.pop(0) if self.insert_faults else None
        if fault and fault.before:
            raise fault.before
        responses = [self._insert(item, place, fault) for place, item in enumerate(inserts)]
        if fault and fault.after:
            raise fault.after
        return {"Responses": responses}

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803
        (request,) = RequestItems.values()
        assert set(RequestItems) == {TABLE}
        assert request["ConsistentRead"] is True
        keys = request["Keys"]
        self._spend()
        self.reads.append([key["orderID"]["S"] for key in keys])
        fault = self.read_faults.pop(0) if self.read_faults else None
        if isinstance(fault, BaseException):
            raise fault
        processed = keys[: len(keys) - (fault or 0)]
        found = [self.items[key["orderID"]["S"]] for key in processed if key["orderID"]["S"] in self.items]
        unprocessed = keys[len(processed) :]
        return {
            "Responses": {TABLE: found},
            "UnprocessedKeys": {TABLE: {"Keys": unprocessed}} if unprocessed else {},
        }

    def _spend(self) -> None:
        if self._clock:
            self._clock.seconds_left -= 0.01

    def _parse(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        match = _INSERT.fullmatch(statement["Statement"])
        assert match, statement["Statement"]
        assert match[1] == TABLE
        names = re.findall(r"'(\w+)'", match[2])
        assert len(names) == len(set(names)) == len(statement["Parameters"])
        return dict(zip(names, statement["Parameters"], strict=True))

    def _insert(self, item: dict[str, Any], place: int, fault: Fault | None) -> dict[str, Any]:
        code = fault.statements.get(place) if fault else None
        if code and fault and place not in fault.ran:
            return {"Error": {"Code": code, "Message": "made up"}}
        if item["orderID"]["S"] in self.items:
            code = code or "DuplicateItem"
        else:
            self.items[item["orderID"]["S"]] = item
        return {"Error": {"Code": code, "Message": "made up"}} if code else {"TableName": TABLE}


class FakeBatchService:
    """`publish_batch` and `send_message_batch`: takes entries, except those that the next answer refuses.

    An answer is a mapping from the place of an entry in the call to its failure's code and sender fault, or an error,
    raised before anything is taken.
    """

    def __init__(self, answers: Sequence[Mapping[int, tuple[str, bool]] | Exception] = ()) -> None:
        self.taken: list[Mapping[str, Any]] = []
        self.calls: list[list[Mapping[str, Any]]] = []
        self.answers = list(answers)
        self.refuse: Callable[[Mapping[str, Any]], bool] = lambda _: False
        """Entries that are refused for good reason whatever the answers say."""

    def publish_batch(self, *, TopicArn: str, PublishBatchRequestEntries: list[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert TopicArn
        return self._take(PublishBatchRequestEntries)

    def send_message_batch(self, *, QueueUrl: str, Entries: list[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl
        return self._take(Entries)

    def _take(self, entries: list[Mapping[str, Any]]) -> dict[str, Any]:
        self.calls.append(entries)
        assert 1 <= len(entries) <= 10
        assert len({entry["Id"] for entry in entries}) == len(entries)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        failed, successful = [], []
        for place, entry in enumerate(entries):
            refusal = ("InvalidParameter", True) if self.refuse(entry) else answer.get(place)
            if refusal:
                failed.append({"Id": entry["Id"], "Code": refusal[0], "SenderFault": refusal[1]})
            else:
                successful.append({"Id": entry["Id"]})
                self.taken.append(entry)
        return {"Successful": successful, "Failed": failed}

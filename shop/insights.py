"""Looks ids up in several log groups with one CloudWatch Logs Insights query, and waits for its answer."""

import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from shop.errors import ShopError

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient

ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""An orderID (the contract), a message id and a request id alike; nothing in it means anything to a query."""
MOST_IDS: Final = 100
"""In one query: far within the 10,000 characters that it may have (CloudWatch Logs quotas)."""
_MOST_RESULTS: Final = 10_000
_DEADLINE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5
_WAITING: Final = {"Scheduled", "Running", "Unknown"}


@dataclass(frozen=True)
class Found:
    """A log event that has one of the ids in it."""

    at: datetime
    group: str
    message: str


def query(ids: Collection[str]) -> str:
    """Return the query for events with any of these ids in them; raise ValueError for what is no id.

    An id is looked for as a whole string of JSON, with its quotes: an order may have an id as short as `1`.
    """
    if not ids or len(ids) > MOST_IDS or not all(map(ID.fullmatch, ids)):
        raise ValueError(f"1 to {MOST_IDS} ids of letters, digits, '.', '_' and '-'")
    alternatives = "|".join(each.replace(".", r"\.") for each in sorted(ids))
    return (
        "fields @timestamp, @log, @message"
        f' | filter @message like /"({alternatives})"/'
        f" | sort @timestamp asc | limit {_MOST_RESULTS}"
    )


def search(
    logs: "CloudWatchLogsClient", groups: Sequence[str], ids: Collection[str], since: datetime, now: datetime
) -> list[Found]:
    """Return the events of the groups between two moments that have one of the ids in them, oldest first.

    Raises ShopError where the query fails, finds more than it can give, or takes longer than a minute; it is stopped
    then.
    """
    started = logs.start_query(
        logGroupNames=list(groups),
        startTime=int(since.timestamp()),
        # In whole seconds, and what was logged within the last one counts.
        endTime=int((now + timedelta(seconds=1)).timestamp()),
        queryString=query(ids),
    )["queryId"]
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        answer: Any = logs.get_query_results(queryId=started)
        if answer["status"] == "Complete":
            if len(answer["results"]) >= _MOST_RESULTS:
                raise ShopError(
                    f"more than {_MOST_RESULTS:,} lines of the logs have such an id: give a shorter --since"
                )
            return [_found(row) for row in answer["results"]]
        if answer["status"] not in _WAITING:
            raise ShopError(f"the query of the logs ended as {answer['status']}: run the command again")
        if time.monotonic() > deadline:
            logs.stop_query(queryId=started)
            raise ShopError(f"the logs were not searched within {_DEADLINE_SECONDS:.0f} s: give a shorter --since")
        time.sleep(_POLL_SECONDS)


def _found(row: Sequence[dict[str, str]]) -> Found:
    cells = {cell["field"]: cell["value"] for cell in row}
    # `@log` is the account and the group's name, `123456789012:/aws/…` (in the emulator the name alone).
    group = cells["@log"].split(":", 1)[-1]
    return Found(datetime.fromisoformat(cells["@timestamp"]).replace(tzinfo=UTC), group, cells["@message"])

"""Sends entries by a batch call of SNS or SQS, which answers 200 even when it refused some of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import error_code, is_throttled, is_transient
from shared.log import logger
from shared.times import RemainingTime, attempts

MOST_ENTRIES: Final = 10
"""Entries a call, the same for `PublishBatch` and `SendMessageBatch`."""

Entry = TypeVar("Entry", bound=Mapping[str, Any])
Item = TypeVar("Item")


def batches(items: Iterable[Item], size: Callable[[Item], int], most_bytes: int) -> Iterator[list[Item]]:
    """Yields the items in their order, as many together as one call may have: MOST_ENTRIES, of `most_bytes` in all.

    `size` gives the bytes of an item; one that is larger than a call may be stands alone.
    """
    batch: list[Item] = []
    used = 0
    for item in items:
        its_size = size(item)
        if batch and (len(batch) == MOST_ENTRIES or used + its_size > most_bytes):
            yield batch
            batch, used = [], 0
        batch.append(item)
        used += its_size
    if batch:
        yield batch


def send_entries(
    send: Callable[[list[Entry]], Mapping[str, Any]], entries: Sequence[Entry], remaining_ms: RemainingTime
) -> set[str]:
    """Sends at most MOST_ENTRIES entries, again and again those that failed and may succeed, while time is left.

    `send` makes the call for the entries it is given and returns its answer, which has `Successful` and `Failed`.
    Returns the `Id`s of the entries that the service took. An entry whose call got no answer is sent again, so the
    service may have it twice.
    """
    taken: set[str] = set()
    waiting = {entry["Id"]: entry for entry in entries}
    for _ in attempts(remaining_ms):
        try:
            answer = send(list(waiting.values()))
        except (ClientError, BotoCoreError) as error:
            logger.warning("batch call failed", extra={"error_code": error_code(error), "entries": len(waiting)})
            if not is_transient(error):
                break
            continue
        taken |= {result["Id"] for result in answer.get("Successful", ())}
        refused = {result["Id"] for result in answer.get("Failed", ()) if _is_final(result)}
        waiting = {name: entry for name, entry in waiting.items() if name not in taken | refused}
        if not waiting:
            break
    return taken


def _is_final(failure: Mapping[str, Any]) -> bool:
    logger.warning("entry failed", extra={"error_code": failure["Code"]})
    return bool(failure["SenderFault"]) and not is_throttled(failure["Code"])

"""Takes batches of announced orders off the queue, records each in the database once, and reports exactly what failed.

A message is done only when the database is known to hold its order, committed. Everything else is reported as failed:
the queue delivers it again and, after its receives are used up, moves it to the dead-letter queue.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sales_recorder.connection import KeptConnection
from sales_recorder.sale import Sale, read_announcement, to_sale
from sales_recorder.store import record_sales
from shared.log import logger
from shared.metrics import measures
from shared.order_items import log_ids
from shared.order_rules import InvalidOrder
from shared.times import Context

_database: Final = KeptConnection()


class _Message(NamedTuple):
    """What a message tells: the sale, and the ids that logs name it by."""

    sale: Sale
    ids: dict[str, str]


def handler(event: Mapping[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Records a batch of SQS messages; returns the failed ones (Lambda Developer Guide, "partial batch response").

    Raises:
        KeyError: the event is no batch of SQS messages; Lambda then takes all of it as failed.
    """
    records = event["Records"]
    messages = {record["messageId"]: message for record in records if (message := _read_message(record))}
    first_of_each_key = {message.sale.order_key: message.sale for message in reversed(messages.values())}
    recorded = record_sales(first_of_each_key.values(), _database, context.get_remaining_time_in_millis)
    done = {name: message.ids for name, message in messages.items() if message.sale.order_key in recorded.known}
    failed = [record["messageId"] for record in records if record["messageId"] not in done]
    logger.info(
        "batch done",
        extra={
            "received": len(records),
            "invalid": len(records) - len(messages),
            "failed": len(failed),
            "orders": list(done.values()),
            **measures(SalesRecorded=len(recorded.written)),
        },
    )
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _read_message(record: Mapping[str, Any]) -> _Message | None:
    """The sale of one message; None, and a line in the log, where there is none."""
    message_id = record["messageId"]
    try:
        stored = read_announcement(record["body"])
        return _Message(to_sale(stored), log_ids(stored))
    except InvalidOrder as error:
        details = {"message_id": message_id, "field": error.field, "rule": error.rule}
        logger.warning("announcement is no order", extra=details)
    except Exception as error:  # noqa: BLE001 (one message must not fail the others)
        # Only its kind, because an error's text may quote what a customer wrote.
        logger.error("message not understood", extra={"message_id": message_id, "error": type(error).__name__})
    return None

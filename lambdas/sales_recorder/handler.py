"""Takes batches of announced orders off the queue, records each in the database once, and reports exactly what failed.

A message is done only when the database is known to hold its order, committed. Everything else is reported as failed:
the queue delivers it again and, after its receives are used up, moves it to the dead-letter queue.
"""

from collections.abc import Mapping
from typing import Any, Final

from sales_recorder.connection import KeptConnection
from sales_recorder.sale import Sale, read_sale
from sales_recorder.store import record_sales
from shared.aws import Context
from shared.log import logger
from shared.order_rules import InvalidOrder

_database: Final = KeptConnection()


def handler(event: Mapping[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Records a batch of SQS messages; returns the failed ones (Lambda Developer Guide, "partial batch response").

    Raises:
        KeyError: the event is no batch of SQS messages; Lambda then takes all of it as failed.
    """
    records = event["Records"]
    sales = {record["messageId"]: sale for record in records if (sale := _read_message(record))}
    first_of_each_key = {sale.order_key: sale for sale in reversed(sales.values())}
    recorded = record_sales(first_of_each_key.values(), _database, context.get_remaining_time_in_millis)
    done = {message_id for message_id, sale in sales.items() if sale.order_key in recorded}
    failed = [record["messageId"] for record in records if record["messageId"] not in done]
    logger.info(
        "batch done",
        extra={"received": len(records), "invalid": len(records) - len(sales), "failed": len(failed)},
    )
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _read_message(record: Mapping[str, Any]) -> Sale | None:
    """The sale of one message; None, and a line in the log, where there is none."""
    message_id = record["messageId"]
    try:
        return read_sale(record["body"])
    except InvalidOrder as error:
        details = {"message_id": message_id, "field": error.field, "rule": error.rule}
        logger.warning("announcement is no order", extra=details)
    except Exception as error:  # noqa: BLE001 (one message must not fail the others)
        # Only its kind, because an error's text may quote what a customer wrote.
        logger.error("message not understood", extra={"message_id": message_id, "error": type(error).__name__})
    return None

"""`make smoke`: whether a stage works that was just deployed, in seconds and with few permissions.

The order service answers; and one order goes its way from the API to the table. The order is left out where orders are
customers': there it would be announced, counted and reported like any other.
"""

import time
import uuid
from collections.abc import Callable

from shop import order_service, orders, target
from shop.errors import ShopError
from stacks.settings import load_settings

PATIENCE_SECONDS = 60.0
"""For the order to be stored: cold starts take seconds, and a first try may be throttled while a function is new."""
_PAUSE_SECONDS = 0.5


class SmokeError(ShopError):
    """The stage does not do what it should."""


def smoke(stage: str, *, say: Callable[[str], None], patience: float = PATIENCE_SECONDS) -> None:
    """Try a stage out and say what worked.

    Raises SmokeError for an order that is refused, or not stored within `patience` seconds; ShopError where the stage
    cannot be reached or its order service fails.
    """
    milliseconds = order_service.open_service(target.find(stage, target.ORDER_SERVICE)).ping()
    say(f"the order service answered in {milliseconds:.0f} ms")
    if load_settings({"stage": stage}).keep_data:
        say(f"no order was sent: those of stage {stage} are customers'")
        return
    seconds = _send_an_order(target.find(stage), patience)
    say(f"an order was stored {seconds:.1f} s after it was sent")


def _send_an_order(pipeline: target.Target, patience: float) -> float:
    """Return the seconds until the order was stored."""
    order_id = f"smoke-{uuid.uuid4()}"
    body = f'{{"orderID": "{order_id}", "product": "Smoke test", "quantity": 1, "price_per_item": 0}}'
    start = time.monotonic()
    answer = orders.open_api(pipeline, 1).post(body.encode())
    if answer.refusal is not None:
        raise SmokeError(f"order {order_id} was refused: {answer.refusal}")
    dynamodb, table = pipeline.client("dynamodb"), pipeline.output("OrdersTableName")
    while orders.stored_order(dynamodb, table, order_id) is None:
        if time.monotonic() - start > patience:
            raise SmokeError(f"order {order_id} was accepted but not stored within {patience:g} s: orders trace")
        time.sleep(_PAUSE_SECONDS)
    return time.monotonic() - start

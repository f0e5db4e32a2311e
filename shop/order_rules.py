"""The rules of orders, sales and of the shop's days as the functions run them (`lambdas/shared`), for the command line.

A function's package has `shared` at its root, so its modules import each other by that name; here the folder that
holds it joins the search path, in this one place.
"""

import sys
from pathlib import Path

_LAMBDAS = str(Path(__file__).resolve().parents[1] / "lambdas")
if _LAMBDAS not in sys.path:
    sys.path.insert(0, _LAMBDAS)

from order_notifier.announcement import announce  # noqa: E402
from sales_recorder.sale import read_sale  # noqa: E402
from shared.entries import batches  # noqa: E402
from shared.order_items import StoredOrder, from_item  # noqa: E402
from shared.order_rules import (  # noqa: E402
    CUSTOMER_ID,
    FIELDS,
    LONGEST_CUSTOMER_ID,
    LONGEST_PRODUCT,
    ORDER_DATE,
    ORDER_ID,
    PRICE,
    PRODUCT,
    QUANTITY,
    REQUIRED_FIELDS,
    check_date_time,
    check_id,
    check_length,
    parse_price,
    parse_quantity,
    quoted,
)
from shared.orders import InvalidOrder, Order, decode_order  # noqa: E402
from shared.report_days import InvalidEvent, read_day  # noqa: E402
from shared.shop_days import day_of, parse_day, today  # noqa: E402

__all__ = [
    "CUSTOMER_ID",
    "FIELDS",
    "LONGEST_CUSTOMER_ID",
    "LONGEST_PRODUCT",
    "ORDER_DATE",
    "ORDER_ID",
    "PRICE",
    "PRODUCT",
    "QUANTITY",
    "REQUIRED_FIELDS",
    "InvalidEvent",
    "InvalidOrder",
    "Order",
    "StoredOrder",
    "announce",
    "batches",
    "check_date_time",
    "check_id",
    "check_length",
    "day_of",
    "decode_order",
    "from_item",
    "parse_day",
    "parse_price",
    "parse_quantity",
    "quoted",
    "read_day",
    "read_sale",
    "today",
]

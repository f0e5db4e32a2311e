"""A report that was made, in the words of its mail: the text that the function writes (`lambdas/sales_report`)."""

from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

import shop.order_rules  # noqa: F401  (puts the folder of the functions on the search path)
from sales_report.sales import Sale
from sales_report.text import Source, harmless, report_text
from shop.report import command, csv_key
from shop.target import Target

__all__ = ["Sale", "harmless", "mail_text"]


def mail_text(where: Target, day: date, zone: ZoneInfo, sales: Sequence[Sale]) -> str:
    """Return the text that was mailed with a day's sales; `zone` is the shop's time zone, as deployed."""
    key = csv_key(day.isoformat())
    return report_text(sales, Source(day, zone.key, key, command(where.stage, "get", day.isoformat())))

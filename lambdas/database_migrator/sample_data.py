"""The café's catalogue, and orders of the last days, for stages that people try things in."""

from datetime import date
from zoneinfo import ZoneInfo

from shared.database import Connection


def load(connection: Connection, *, today: date, zone: ZoneInfo) -> None:
    """Fills in what is missing of the sample."""

"""AWS's list prices, from one dated file (prices.json), which says where each was read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

_FILE: Final = Path(__file__).with_name("prices.json")


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list price, in dollars a unit."""

    price: float
    unit: str
    page: str
    read_in: tuple[str, ...]
    """The texts that it was found in, by their names in `Prices.sources`."""
    free_a_month: float = 0
    """Units that are free for every account, for ever."""
    note: str = ""


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of list prices."""

    region: str
    currency: str
    read_on: str
    note: str
    sources: Mapping[str, str]
    """The texts in which the prices were read, in words."""
    prices: Mapping[str, Price]


def read_prices() -> Prices:
    """Return the list prices that come with this program."""
    return msgspec.json.decode(_FILE.read_bytes(), type=Prices)

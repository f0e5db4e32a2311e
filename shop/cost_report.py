"""Shows what a stage costs: as tables, as JSON, and on the page docs/cost.md.

    python -m shop.cost_report

makes the tables of the page anew; a test checks that they are as they are made.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from shop import cost, cost_plain, cost_stage, synthesis
from shop.cost import Durations, Lever, Line, Load
from shop.cost_formulas import DAYS
from shop.cost_stage import Stage
from shop.output import note, print_table
from shop.prices import Prices, read_prices

PAGE: Final = Path(__file__).parents[1] / "docs" / "cost.md"
PAGE_STAGES: Final = ("dev", "prod")
PAGE_ORDERS_A_DAY: Final = (1_000, 30_000, 1_000_000)
PAGE_REQUESTS_A_DAY: Final = 10_000
PAGE_IMAGES_A_DAY: Final = 100
_TABLE: Final = re.compile(r"(<!-- shop\.cost: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

_SERVICES: Final = {
    "api_gateway": "API Gateway",
    "sqs": "SQS",
    "lambda": "Lambda",
    "dynamodb": "DynamoDB",
    "sns": "SNS",
    "s3": "S3",
    "rds": "RDS",
    "cloudwatch": "CloudWatch",
    "kms": "KMS",
    "xray": "X-Ray",
    "secrets_manager": "Secrets Manager",
    "scheduler": "EventBridge Scheduler",
    "vpc": "VPC (NAT gateway)",
    "data_transfer": "data transfer",
}


@dataclass(frozen=True)
class Estimate:
    """A stage's bill of a month, with all that it was made from."""

    stage: Stage
    load: Load
    lines: list[Line]
    plain: list[Line]
    """Of the plain lab design at the same load."""
    levers: list[tuple[Lever, float]]
    prices: Prices
    durations: Durations
    free_tier: bool


def estimate(stage: str, load: Load, context: Sequence[str] = (), *, free_tier: bool = False) -> Estimate:
    """Synthesise the stage and price it.

    Raises:
        ShopError: stage or a setting is wrong, or something has no price.
    """
    return price(cost_stage.read(stage, synthesis.synthesise(stage, context)), load, free_tier=free_tier)


def price(stage: Stage, load: Load, *, free_tier: bool = False) -> Estimate:
    """Price a stage. Raises ShopError where something has no price."""
    prices, durations = read_prices(), cost.read_durations()
    work = durations.functions
    return Estimate(
        stage=stage,
        load=load,
        lines=cost.bill(cost.usages(stage, load, work), prices, free_tier=free_tier),
        plain=cost.bill(cost_plain.usages(load, stage), prices, free_tier=free_tier),
        levers=cost.savings(stage, load, work, prices, free_tier=free_tier),
        prices=prices,
        durations=durations,
        free_tier=free_tier,
    )


def as_json(found: Estimate) -> Mapping[str, Any]:
    """The estimate for a program; dollars a month unless it says otherwise."""
    return {
        "stage": found.stage.name,
        "region": found.prices.region,
        "prices_read_on": found.prices.read_on,
        "durations_taken_at": found.durations.taken_at,
        "free_tier": found.free_tier,
        "load_a_month": asdict(found.load),
        "total": cost.total(found.lines),
        "by_system": cost.grouped(found.lines, _system),
        "by_service": cost.grouped(found.lines, _service),
        "per": cost.units(found.lines, found.load),
        "lines": cost.as_json(found.lines),
        "levers": [{"what": lever.name, "saves": saved, "loses": lever.loses} for lever, saved in found.levers],
        "plain_lab": {
            "assumed": cost_plain.ASSUMED,
            "total": cost.total(found.plain),
            "by_service": cost.grouped(found.plain, _service),
            "per": cost.units(found.plain, found.load),
            "lines": cost.as_json(found.plain),
        },
    }


def show(found: Estimate) -> None:
    """Print the estimate for a person."""
    for title, columns, rows in tables(found):
        print_table(title, columns, rows, give_way=("what", "what one would lose"))
    tier = "taken off" if found.free_tier else "not taken off"
    note(f"List prices of {found.prices.region}, read on {found.prices.read_on}; the free tier is {tier}.")
    note(f"Durations measured on {found.durations.taken_at}, not on AWS: docs/cost.md says what is assumed.")


Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def tables(found: Estimate) -> list[Table]:
    """The estimate's tables: title, columns (`#` for numbers), rows."""
    name = found.stage.name
    return [
        (f"Stage {name}, dollars a month by service", ("service", f"{name}#", "plain lab#"), _by_service(found)),
        (f"Stage {name}, dollars a month by system", ("system", f"{name}#", "plain lab#"), _by_system(found)),
        ("Dollars per", ("per", f"{name}#", "plain lab#"), _per(found)),
        ("What would be cheaper, each alone", ("what", "saves a month#", "what one would lose"), _levers(found)),
    ]


def _system(line: Line) -> str:
    return line.system


def _service(line: Line) -> str:
    return line.service


def _by_service(found: Estimate) -> list[tuple[str, ...]]:
    rows = _beside(cost.grouped(found.lines, _service), cost.grouped(found.plain, _service), _SERVICES)
    return [*rows, ("all", _money(cost.total(found.lines)), _money(cost.total(found.plain)))]


def _by_system(found: Estimate) -> list[tuple[str, ...]]:
    return _beside(cost.grouped(found.lines, _system), cost.grouped(found.plain, _system), {})


def _per(found: Estimate) -> list[tuple[str, ...]]:
    ours, plain = cost.units(found.lines, found.load), cost.units(found.plain, found.load)
    return [(name, _money(dollars), _money(plain[name])) for name, dollars in ours.items()]


def _beside(ours: Mapping[str, float], plain: Mapping[str, float], names: Mapping[str, str]) -> list[tuple[str, ...]]:
    keys = [*ours, *(key for key in plain if key not in ours)]
    return [(names.get(key, key), _money(ours.get(key, 0.0)), _money(plain.get(key, 0.0))) for key in keys]


def _levers(found: Estimate) -> list[tuple[str, ...]]:
    return [(lever.name, _money(saved), lever.loses) for lever, saved in found.levers]


def _money(dollars: float) -> str:
    return f"{dollars:,.4f}" if 0 < dollars < _CENT else f"{dollars:,.2f}"


_CENT: Final = 0.01


def page_tables(stages: Mapping[str, Stage]) -> dict[str, str]:
    """The page's tables, Markdown by name, from the stages of `PAGE_STAGES`."""
    found = {
        (name, orders): price(stages[name], _page_load(orders)) for name in PAGE_STAGES for orders in PAGE_ORDERS_A_DAY
    }
    middle = found["prod", PAGE_ORDERS_A_DAY[1]]
    shown = {title: _markdown(columns, rows) for title, columns, rows in tables(middle)}
    by_service, by_system, per, levers = shown.values()
    return {
        "totals": _markdown(*_totals(found)),
        "orders": _markdown(*_per_million(found)),
        "services": by_service,
        "systems": by_system,
        "per": per,
        "levers": levers,
        "plain": "".join(f"- {assumed}\n" for assumed in cost_plain.ASSUMED),
        "biggest": _markdown(*_biggest(found)),
    }


def _page_load(orders_a_day: int) -> Load:
    return Load(
        orders=orders_a_day * DAYS, service_requests=PAGE_REQUESTS_A_DAY * DAYS, images=PAGE_IMAGES_A_DAY * DAYS
    )


Found = Mapping[tuple[str, int], Estimate]


def _totals(found: Found) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    def row(orders: int) -> tuple[str, ...]:
        ours = [_money(cost.total(found[name, orders].lines)) for name in PAGE_STAGES]
        return (f"{orders:,}", *ours, _money(cost.total(found[PAGE_STAGES[0], orders].plain)))

    return _columns("orders a day"), [row(orders) for orders in PAGE_ORDERS_A_DAY]


def _per_million(found: Found) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    def row(orders: int) -> tuple[str, ...]:
        each = [found[name, orders] for name in PAGE_STAGES]
        bills = [*(one.lines for one in each), each[0].plain]
        return (f"{orders:,}", *(_money(cost.units(lines, each[0].load)["million orders"]) for lines in bills))

    return _columns("orders a day"), [row(orders) for orders in PAGE_ORDERS_A_DAY]


def _biggest(found: Found) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    def row(name: str, orders: int) -> tuple[str, ...]:
        lever, saved = found[name, orders].levers[0]
        return name, f"{orders:,}", lever.name, _money(saved)

    return (
        ("stage", "orders a day#", "the biggest lever", "saves a month#"),
        [row(name, orders) for name in PAGE_STAGES for orders in PAGE_ORDERS_A_DAY],
    )


def _columns(first: str) -> tuple[str, ...]:
    return (f"{first}#", *(f"{name}#" for name in PAGE_STAGES), "plain lab#")


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = [column.removesuffix("#") for column in columns]
    rules = ["---:" if column.endswith("#") else "---" for column in columns]
    return "".join(f"| {' | '.join(line)} |\n" for line in (names, rules, *rows))


def fill(text: str, made: Mapping[str, str]) -> str:
    """Return the page with each marked table as it is made now; raises KeyError for a table that is not made."""
    put: Callable[[re.Match[str]], str] = lambda found: f"{found[1]}{made[found['name']]}{found[3]}"  # noqa: E731
    return _TABLE.sub(put, text)


def main() -> None:
    """Write the page's tables."""
    stages = {name: cost_stage.read(name, synthesis.synthesise(name)) for name in PAGE_STAGES}
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), page_tables(stages)), encoding="utf-8")


if __name__ == "__main__":
    main()

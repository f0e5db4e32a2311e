"""The panel `report`: a day's sales as table, chart and mail, and having them reported anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from flask import Blueprint, Response, make_response, render_template, request

from shop import report
from shop.console import stage
from shop.console.jobs import Job
from shop.console.security import action
from shop.errors import ShopError, explain
from shop.order_rules import parse_day, today
from shop.output import plural
from shop.report import NoReport, Report
from shop.report_text import Sale, harmless, mail_text
from shop.target import Target

TITLE: Final = "Sales report"
LIVE: Final = False
blueprint = Blueprint("report", __name__)

_JOB: Final = "the report"
_MOST_ROWS: Final = 500
_MOST_BARS: Final = 12
_LONGEST_LABEL: Final = 48
"""Characters of a product's name beside its bar; the table has it whole."""


@blueprint.get("/")
def panel() -> Response:
    """A day to choose, today at first; or that a report is being made."""
    job = stage.current().jobs.last(_JOB)
    where = _where()
    day = today(report.time_zone(where)).isoformat()
    return _render(day, running=job is not None and job.state == "running")


@blueprint.get("/day")
def show() -> Response:
    """The newest report of a day."""
    day = request.args.get("day", "")
    error = _day_error(day)
    if error:
        return _render(day, HTTPStatus.UNPROCESSABLE_ENTITY, field_error=error)
    return _render_report(day, HTTPStatus.UNPROCESSABLE_ENTITY)


@blueprint.post("/run")
@action
def run() -> Response:
    """Have a day's report made and mailed, in the background: it may take as long as a function may run."""
    day = request.form.get("day", "")
    error = _day_error(day)
    if error:
        return _render(day, HTTPStatus.UNPROCESSABLE_ENTITY, field_error=error)
    where = _where()
    try:
        stage.current().jobs.start(_JOB, lambda _: report.run(where, day))
    except ShopError as refusal:
        return _render(day, HTTPStatus.UNPROCESSABLE_ENTITY, running=True, alert=str(refusal))
    return _render(day, running=True)


@blueprint.get("/made")
def made() -> Response:
    """How far the report is that was started last, and itself once it is made."""
    job: Job[Report] | None = stage.current().jobs.last(_JOB)
    day = request.args.get("day", "")
    if job is None:
        return _render(day)
    if job.state == "running":
        return _render(day, running=True)
    if job.result is None:
        # That it failed is what was asked for: the answer itself is in order.
        return _render(day, alert=job.error)
    return _render_report(job.result.date, HTTPStatus.OK, job.result)


@blueprint.get("/csv/<day>")
def download(day: str) -> Response:
    """The CSV of a day's newest report, byte for byte, as a file."""
    answer = Response(report.fetch(_where(), day), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="sales-{day}.csv"'
    return answer


@dataclass(frozen=True)
class _Group:
    """A product group's sales."""

    name: str
    sales: Sequence[Sale]
    quantity: int


@dataclass(frozen=True)
class _Bar:
    """A product in the chart; `width` in per cent of the longest."""

    name: str
    quantity: int
    width: float


@dataclass(frozen=True)
class _Shown:
    """A report as the page shows it."""

    day: str
    groups: Sequence[_Group]
    products: int
    rows: int
    """So many of the products are in the table."""
    quantity: int
    bars: Sequence[_Bar]
    text: str


def _where() -> Target:
    return report.at(stage.current().connect())


def _day_error(day: str) -> str | None:
    try:
        report.check_day(day)
    except ShopError as error:
        return str(error)
    return None


def _render(day: str, status: HTTPStatus = HTTPStatus.OK, **shown: Any) -> Response:
    """The panel in its place; what else goes wrong stands beside the form, where that says."""
    answer = make_response(render_template("report.html", day=day, **shown), status)
    answer.headers["HX-Retarget"] = "#report-panel"
    return answer


def _render_report(day: str, on_error: HTTPStatus, done: Report | None = None) -> Response:
    """Show a day's report, the one that was just made or the newest; or, beside the form, why there is none."""
    try:
        return _render(day, done=done, shown=_shown(_where(), day))
    except NoReport as error:
        advice = f"{error.what}: Run the report makes it" if stage.current().may_act else str(error)
        return _render(day, on_error, done=done, alert=advice)
    except (ShopError, ClientError, BotoCoreError) as error:
        return _render(day, on_error, done=done, alert=explain(error))


def _shown(where: Target, day: str) -> _Shown:
    sales = [Sale(**row) for row in report.read_rows(report.fetch(where, day))]
    return _Shown(
        day=day,
        groups=_groups(sales[:_MOST_ROWS]),
        products=len(sales),
        rows=min(len(sales), _MOST_ROWS),
        quantity=sum(sale.quantity for sale in sales),
        bars=_bars(sales),
        text=mail_text(where, parse_day(day), report.time_zone(where), sales),
    )


def _groups(sales: Sequence[Sale]) -> list[_Group]:
    grouped = [list(group) for _, group in groupby(sales, key=lambda sale: sale.product_group_number)]
    return [_Group(group[0].product_group_name, group, sum(sale.quantity for sale in group)) for group in grouped]


def _bars(sales: Sequence[Sale]) -> list[_Bar]:
    largest = sorted(sales, key=lambda sale: sale.quantity, reverse=True)[:_MOST_BARS]
    # One bar is as long as there is room for; a day of nothing but quantities of 0 has none.
    most = max((sale.quantity for sale in largest), default=0) or 1
    return [_Bar(_label(sale.product_name), sale.quantity, round(100 * sale.quantity / most, 2)) for sale in largest]


def _label(name: str) -> str:
    shown = harmless(name)
    return shown if len(shown) <= _LONGEST_LABEL else f"{shown[: _LONGEST_LABEL - 1]}…"


@blueprint.app_template_filter("product_name")
def _product_name(name: str) -> str:
    return harmless(name)


@blueprint.app_template_filter("counted")
def _counted(count: int, noun: str) -> str:
    return plural(count, noun)

"""The panel `orders`: the latest orders and the way of one of them; a form that places one.

And, for the page to put beside the picture, the forms that send many: the simulator and bursts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

from botocore.exceptions import ClientError
from flask import Blueprint, Response, current_app, make_response, render_template, request
from flask.blueprints import BlueprintSetupState

from shop import burst, latest_orders, order_form, orders, trace
from shop.burst import Sent
from shop.console import stage
from shop.console.jobs import Job, Progress
from shop.console.security import action
from shop.latest_orders import LatestOrder, LatestOrders
from shop.local.cloud import Cloud
from shop.order_rules import FIELDS
from shop.target import Target

TITLE: Final = "Orders"
LIVE: Final = False
blueprint = Blueprint("orders", __name__)

_STATE: Final = "shop_console_orders"
_BURST: Final = "the burst"
_LOOK_BACK: Final = timedelta(hours=1)
_TRACE_BACK: Final = timedelta(days=1)
_MOST_SIMULATED: Final = 10_000
_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?|\.[0-9]+")
_EXAMPLE: Final = {"product": "Caffè Latte", "quantity": "2", "price_per_item": "3.50"}
_LABELS: Final = {
    "orderID": "Order id (orderID, optional)",
    "product": "Product",
    "quantity": "Quantity",
    "price_per_item": "Price per item",
    "customer_id": "Customer id (optional)",
    "order_date": "Order date (RFC 3339, optional)",
}


@dataclass
class _State:
    """What is kept from request to request."""

    readers: dict[Cloud | None, LatestOrders] = field(default_factory=dict)
    """Of the last cloud only: a local cloud may be replaced by another, whose logs begin anew."""
    lock: Lock = field(default_factory=Lock)


@blueprint.record
def _install(setup: BlueprintSetupState) -> None:
    setup.app.extensions[_STATE] = _State()


def _state() -> _State:
    found: _State = current_app.extensions[_STATE]
    return found


@blueprint.get("/")
def panel() -> str:
    """The panel, its form filled with an example."""
    return render_template("orders.html", form=_form(_EXAMPLE))


@blueprint.get("/many")
def many() -> str:
    """The forms that send many orders; they stand above the picture, where these are seen to move."""
    return render_template(
        "orders_many.html",
        simulation=_counts({"count": "20", "error_rate": "0.15"}),
        burst=_counts({"count": "300"}),
        **_last_burst(),
    )


@blueprint.get("/latest")
def latest() -> str:
    """The latest orders, newest first."""
    return render_template("orders_latest.html", found=_latest())


def _latest() -> list[LatestOrder]:
    where = stage.current().find()
    state = _state()
    with state.lock:
        reader = state.readers.get(where.cloud)
        if reader is None:
            reader = latest_orders.follow(where, datetime.now(UTC) - _LOOK_BACK)
            state.readers = {where.cloud: reader}
    try:
        found = reader.look(where.client("logs"))
    except ClientError:
        # Such as log groups that a deployment has replaced: they are looked up again the next time.
        state.readers = {}
        raise
    # The reader remembers what it has read, for as long as the page runs.
    since = datetime.now(UTC) - _LOOK_BACK
    return [order for order in found if datetime.fromisoformat(order.at) >= since]


@blueprint.post("/trace")
def show_trace() -> str:
    """The ways of all messages that an id stands for; not by GET, because it may receive dead letters, which counts."""
    now = datetime.now(UTC)
    wanted = request.values.get("id", "").strip()
    ways = trace.trace(stage.current().find(), wanted, now - _TRACE_BACK, now)
    return render_template("orders_trace.html", ways=[(trace.title(way), way) for way in ways])


@blueprint.post("/place")
@action
def place() -> Response:
    """Send the order of the form; one that breaks a rule only where that is wanted."""
    typed = {name: request.form.get(name, "") for name in FIELDS}
    errors = {} if "anyway" in request.form else order_form.broken_rules(typed)
    sent = None if errors else _send(order_form.body(typed))
    return _redrawn("#place-order", "orders_place.html", form=_form(typed, errors), sent=sent)


@blueprint.post("/raw")
@action
def place_raw() -> str:
    """Send any body, as it is."""
    return render_template("orders_sent.html", sent=_send(request.form.get("body", "")))


def _send(body: str) -> Mapping[str, Any]:
    where = stage.current().find()
    api = orders.open_api(where, 1)
    [answer] = orders.place(api, [body.encode()], 1)
    return {"answer": answer, "curl": orders.curl(where, body)}


@blueprint.post("/simulate")
@action
def simulate() -> Response:
    """Have the simulator send some orders."""
    form = _counts(request.form, ("count", "error_rate"))
    event: dict[str, Any] = {"count": _whole(form, "count", 1, _MOST_SIMULATED), "error_rate": _rate(form)}
    if form["errors"]:
        return _redrawn("#simulate", "orders_simulate.html", simulation=form)
    given = {name: value for name, value in event.items() if value is not None}
    result = orders.simulate(stage.current().find(), given)
    return _redrawn("#simulate", "orders_simulate.html", simulation=form, result=result)


@blueprint.post("/burst")
@action
def start_burst() -> Response:
    """Begin to send many orders to the API."""
    form = _counts(request.form, ("count",))
    count = _whole(form, "count", 1, burst.MOST)
    if count is not None:
        where = stage.current().find()
        stage.current().jobs.start(_BURST, lambda progress: _burst(where, count, progress))
    return _redrawn("#burst", "orders_burst.html", burst=form, **_last_burst())


def _burst(where: Target, count: int, progress: Progress) -> Sent:
    progress.begin(str(Sent()), count)

    def tell(orders_sent: int, sent: Sent) -> None:
        progress.text = str(sent)
        progress.advance(orders_sent)

    return burst.send(where, count, tell)


@blueprint.get("/burst")
def show_burst() -> Response:
    """How the burst goes."""
    return _redrawn("#burst-progress", "orders_progress.html", **_last_burst())


def _last_burst() -> dict[str, Any]:
    job: Job[Sent] | None = stage.current().jobs.last(_BURST)
    return {"job": job}


def _form(typed: Mapping[str, str], errors: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    return {"typed": typed, "errors": errors or {}, "labels": _LABELS}


def _counts(typed: Mapping[str, str], names: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"typed": {name: typed.get(name, "").strip() for name in names or typed}, "errors": {}}


def _whole(form: dict[str, Any], name: str, least: int, most: int) -> int | None:
    text = form["typed"][name]
    # The digits are counted first: Python refuses to read integers of thousands.
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most:
        return int(text)
    form["errors"][name] = f"is not a whole number from {least:,} to {most:,}"
    return None


def _rate(form: dict[str, Any]) -> float | None:
    text = form["typed"]["error_rate"]
    if not text:
        return None
    # Python's own float reads `0_1`, `1e-1` and `nan`, too.
    if _DECIMAL.fullmatch(text) and float(text) <= 1:
        return float(text)
    form["errors"]["error_rate"] = "is not a decimal number from 0 to 1"
    return None


def _redrawn(target: str, template: str, **shown: Any) -> Response:
    """A form once more, with what came of it; what else goes wrong stands beside it, where the form says."""
    errors = any(isinstance(each, Mapping) and each.get("errors") for each in shown.values())
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
    answer = make_response(render_template(template, **shown), status)
    answer.headers["HX-Retarget"] = target
    answer.headers["HX-Reswap"] = "outerHTML"
    return answer

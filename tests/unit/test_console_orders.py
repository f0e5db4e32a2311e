"""The panel `orders`: what a person types comes back with what is wrong with it, or is sent as it was typed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from shop import burst, latest_orders, orders, trace
from shop.errors import ShopError
from shop.target import Target
from shop.trace import Step, Way
from tests.polling import eventually
from tests.unit import shop_stack
from tests.unit.console_panels import OWN, KnownStage, browse, parse, text
from tests.unit.http_server import Reply, Server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

TYPED = {"orderID": "A-1", "product": "Caffè <Latte>", "quantity": "2", "price_per_item": "3.50"}
KEY = "the-secret-key-of-the-stage"


@pytest.fixture
def api() -> Iterator[Server]:
    """An orders API that refuses what has no product."""

    def answer(_: int, body: bytes) -> Reply:
        if b'"product"' in body:
            return Reply(202, b'{"messageId": "m-1"}')
        return Reply(400, b'{"message": "<b>product</b> is missing"}')

    with serving(answer) as server:
        yield server


@pytest.fixture
def dev(api: Server) -> Iterator[Target]:
    with mock_aws():
        deployed = shop_stack.deploy()
        key = deployed.client("apigateway").create_api_key(value=KEY)["id"]
        yield replace(deployed, outputs={**deployed.outputs, "OrdersEndpoint": api.url, "OrdersApiKeyId": key})


@pytest.fixture
def browser(dev: Target) -> FlaskClient:
    return browse(KnownStage({"order-pipeline": dev}, "dev"))


def post(browser: FlaskClient, path: str, **form: str) -> TestResponse:
    return browser.post(f"/orders/{path}", data=form, headers=OWN)


def values(answer: TestResponse) -> dict[str, str]:
    return {field.get("name", ""): field.get("value", "") for field in parse(answer.text).iter("input")}


def test_what_was_typed_is_what_is_sent(browser: FlaskClient, api: Server) -> None:
    answer = post(browser, "place", **TYPED)
    assert answer.status_code == HTTPStatus.OK
    assert [body.decode() for body in api.bodies] == [
        '{"orderID": "A-1", "product": "Caffè <Latte>", "quantity": 2, "price_per_item": 3.50}'
    ]
    page = parse(answer.text)
    assert text(page, ".//p[@class='done']").startswith("202 accepted, message m-1")
    [trace_button] = page.findall(".//p/button")
    assert trace_button.get("hx-post") == "/orders/trace?id=m-1"
    assert api.bodies[0].decode() in text(page, ".//code")
    assert "orders key --stage dev" in text(page, ".//code")
    assert KEY not in answer.text
    assert {name: value for name, value in values(answer).items() if value} == TYPED


def test_a_broken_rule_stands_beside_its_field_and_nothing_is_sent(browser: FlaskClient, api: Server) -> None:
    typed = {**TYPED, "quantity": "2.0", "price_per_item": '"><script>'}
    answer = post(browser, "place", **typed)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.headers["HX-Retarget"] == "#place-order"
    assert api.bodies == []
    page = parse(answer.text)
    wrong = {field.get("name"): field for field in page.iter("input") if field.get("aria-invalid") == "true"}
    assert set(wrong) == {"quantity", "price_per_item"}
    for field in wrong.values():
        assert text(page, f".//*[@id='{field.get('aria-describedby')}']")
    assert text(page, ".//*[@id='order-quantity-error']") == "2.0 is not an integer"
    assert {name: value for name, value in values(answer).items() if value} == typed
    assert page.findall(".//script") == []
    assert len(page.findall(".//*[@autofocus]")) == 1


def test_a_wrong_order_is_sent_where_that_is_wanted(browser: FlaskClient, api: Server) -> None:
    answer = post(browser, "place", quantity="2.0", anyway="yes")
    assert api.bodies == [b'{"quantity": 2.0}']
    assert answer.status_code == HTTPStatus.OK
    # What the API said of it is the answer; what the form had to say was overruled.
    assert text(parse(answer.text), ".//*[@role='alert']") == "400 not accepted: <b>product</b> is missing"
    assert "aria-invalid" not in answer.text
    assert values(answer)["quantity"] == "2.0"


@pytest.mark.parametrize("body", ['{"product": 1,\n"product": 1E2}', "no JSON", "", '"product" 🍰 \0'])
def test_any_body_is_sent_as_it_is(browser: FlaskClient, api: Server, body: str) -> None:
    answer = post(browser, "raw", body=body)
    assert api.bodies == [body.encode()]
    said = text(parse(answer.text))
    assert said.startswith("202 accepted, message m-1" if "product" in body else "400 not accepted: ")
    assert ("curl -sS" in said) == ("\0" not in body)


@pytest.mark.parametrize(
    ("count", "rate", "wrong"),
    [
        ("0", "", "count"),
        ("10001", "", "count"),
        ("many", "0.5", "count"),
        ("٣", "", "count"),
        ("9" * 5000, "", "count"),
        ("5", "2", "error_rate"),
        ("5", "nan", "error_rate"),
        ("5", "often", "error_rate"),
        ("5", "0_1", "error_rate"),
        ("5", "1e-1", "error_rate"),
        ("5", "1.01", "error_rate"),
        ("5", "9" * 5000, "error_rate"),
    ],
)
def test_the_simulator_is_asked_for_what_it_can_do(browser: FlaskClient, count: str, rate: str, wrong: str) -> None:
    answer = post(browser, "simulate", count=count, error_rate=rate)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    [field] = [each for each in parse(answer.text).iter("input") if each.get("aria-invalid") == "true"]
    assert field.get("name") == wrong
    assert values(answer) == {"count": count, "error_rate": rate}


def test_the_simulator_gets_what_was_typed(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[dict[str, Any]] = []

    def simulate(_: Target, event: dict[str, Any]) -> dict[str, Any]:
        events.append(event)
        if event["count"] == 13:
            raise ShopError("the order simulator failed: no luck")
        return {"sent": event["count"], "invalid": 1}

    monkeypatch.setattr(orders, "simulate", simulate)
    answer = post(browser, "simulate", count=" 1000 ", error_rate="0.25")
    assert text(parse(answer.text), ".//*[@role='status']") == "1,000 orders sent, 1 of them invalid"
    post(browser, "simulate", count="5", error_rate="")
    post(browser, "simulate", count="6", error_rate=".5")
    assert events == [{"count": 1000, "error_rate": 0.25}, {"count": 5}, {"count": 6, "error_rate": 0.5}]
    failed = post(browser, "simulate", count="13", error_rate="")
    assert failed.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert text(parse(failed.text), ".//*[@role='alert']") == "the order simulator failed: no luck"
    assert "HX-Retarget" not in failed.headers  # beside the form, which stays


def test_a_burst_goes_on_in_the_background_and_tells_how_far_it_is(browser: FlaskClient, api: Server) -> None:
    wrong = post(browser, "burst", count="5001")
    assert wrong.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert api.bodies == []

    started = parse(post(browser, "burst", count="41").text)
    assert text(started, ".//label[@for='burst-bar']") == "Burst of 41 orders"

    def done() -> bool:
        page = parse(browser.get("/orders/burst").text)
        [progress] = page.findall(".//*[@id='burst-progress']")
        is_done = "Done: 41 sent, 41 accepted, 0 refused" in text(page)
        # The page asks again as long as the burst goes on.
        assert ("hx-get" in progress.attrib) != is_done
        return is_done

    eventually(done)
    assert len({json.loads(body)["orderID"] for body in api.bodies}) == 41


def test_a_burst_that_failed_says_why_and_another_may_start(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch, api: Server
) -> None:
    def send(*_: object) -> burst.Sent:
        raise ShopError("no API key")

    with monkeypatch.context() as patched:
        patched.setattr(burst, "send", send)
        post(browser, "burst", count="5")
        eventually(lambda: 'role="alert"' in browser.get("/orders/burst").text)
    page = parse(browser.get("/orders/burst").text)
    assert text(page, ".//*[@role='alert']") == "no API key"
    assert "hx-get" not in page.findall("div")[0].attrib
    post(browser, "burst", count="5")
    eventually(lambda: "Done: 5 sent" in text(parse(browser.get("/orders/burst").text)))
    assert len(api.bodies) == 5


def test_a_second_burst_waits_for_the_first(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()

    def send(_: Target, count: int, tell: Callable[[int, burst.Sent], None]) -> burst.Sent:
        tell(1, burst.Sent(1))
        assert go_on.wait(30)
        return burst.Sent(count)

    monkeypatch.setattr(burst, "send", send)
    post(browser, "burst", count="5")
    second = post(browser, "burst", count="5")
    go_on.set()
    assert second.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "running already" in text(parse(second.text), ".//*[@role='alert']")


def test_the_way_of_an_order_is_shown(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(_: Target, wanted: str, since: datetime, now: datetime) -> list[Way]:
        assert (now - since).days == 1
        if wanted != "A-1":
            raise ShopError(f"{wanted} is unknown")
        steps = [Step("2026-11-26T09:15:00.112Z", "API", "accepted (202)", None)]
        steps.append(Step("2026-11-26T09:15:01.346Z", "processor", "stored", 1234))
        return [Way("m-1", "A-1", None, steps, "stored", "Stored.")]

    monkeypatch.setattr(trace, "trace", find)
    page = parse(post(browser, "trace", id=" A-1").text)
    assert text(page, ".//caption") == "Order A-1, message m-1"
    cells = [["".join(cell.itertext()).strip() for cell in row] for row in page.findall(".//tbody/tr")]
    assert cells == [["09:15:00.112", "", "API", "accepted (202)"], ["09:15:01.346", "1,234", "processor", "stored"]]
    assert "Stored." in text(page)
    # A button has the id in its address.
    assert post(browser, "trace?id=A-1").status_code == HTTPStatus.OK
    unknown = post(browser, "trace", id="<b>")
    assert unknown.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert text(parse(unknown.text), ".//*[@role='alert']") == "<b> is unknown"


def test_a_trace_receives_dead_letters_so_a_link_from_elsewhere_does_not_start_it(browser: FlaskClient) -> None:
    assert browser.get("/orders/trace?id=A-1").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    elsewhere = browser.post("/orders/trace?id=A-1", headers={"Origin": "http://example.com"})
    assert elsewhere.status_code == HTTPStatus.FORBIDDEN


def test_the_latest_orders_are_read_by_one_reader(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    now = datetime.now(UTC)
    found = latest_orders.LatestOrder(trace.utc_text(now), "m-1", "A-1", "stored", "", ("announced",))
    wrong = replace(found, message_id="m-2", orderID=None, outcome="invalid order", detail="quantity: <>", steps=())
    old = replace(found, message_id="m-3", at=trace.utc_text(now - timedelta(minutes=61)))

    class Reader:
        def look(self, _: object) -> list[latest_orders.LatestOrder]:
            return [found, wrong, old]

    def follow(*_: object) -> Reader:
        made.append(None)
        return Reader()

    monkeypatch.setattr(latest_orders, "follow", follow)
    browser.get("/orders/latest")
    page = parse(browser.get("/orders/latest").text)
    assert len(made) == 1
    assert text(page, ".//*[@id='latest-m-1']") == f"{found.at[11:19]} A-1 stored, announced m-1 Trace"
    assert text(page, ".//*[@id='latest-m-2']") == f"{found.at[11:19]} - invalid order: quantity: <> m-2 Trace"
    assert page.findall(".//*[@id='latest-m-3']") == []
    [button] = page.findall(".//*[@id='latest-m-2']//button")
    assert (button.get("hx-post"), button.get("aria-label")) == ("/orders/trace?id=m-2", "Trace m-2")


def test_log_groups_that_are_gone_are_looked_up_again(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def look(self, _: object) -> None:
            raise ClientError(
                {"Error": {"Code": "ResourceNotFoundException", "Message": "no group"}}, "FilterLogEvents"
            )

    class Back:
        def look(self, _: object) -> list[latest_orders.LatestOrder]:
            return []

    readers: Iterator[Any] = iter([Gone(), Back()])
    monkeypatch.setattr(latest_orders, "follow", lambda *_: next(readers))
    gone = browser.get("/orders/latest")
    assert gone.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "ResourceNotFoundException" in text(parse(gone.text), ".//*[@role='alert']")
    assert text(parse(browser.get("/orders/latest").text)) == "No order in the last hour."


def test_a_stage_shown_read_only_has_no_forms_and_takes_none(dev: Target, api: Server) -> None:
    browser = browse(KnownStage({"order-pipeline": dev}, "dev", may_act=False))
    page = parse(browser.get("/orders/").text)
    assert [form.get("hx-post") for form in page.iter("form")] == ["/orders/trace"]
    unknown = post(browser, "trace", id="no id")
    assert (unknown.status_code, "read-only" in unknown.text) == (HTTPStatus.UNPROCESSABLE_ENTITY, False)
    for path in ("place", "raw", "simulate", "burst"):
        refused = post(browser, path, **TYPED, body="{}", count="5")
        assert refused.status_code == HTTPStatus.FORBIDDEN
        assert "read-only" in text(parse(refused.text), ".//*[@role='alert']")
    assert api.bodies == []


def test_the_panel_has_its_forms_where_it_may_act(browser: FlaskClient) -> None:
    posts = {form.get("hx-post") for form in parse(browser.get("/orders/").text).iter("form")}
    assert posts == {"/orders/trace", "/orders/place", "/orders/raw"}
    # Those for many orders stand beside the picture, and nowhere else: what the page asks for again is not around them.
    [beside] = parse(browser.get("/").text).findall(".//section[@id='overview']/*[@id='many-orders']")
    many = parse(browser.get(beside.get("hx-get", "")).text)
    assert {form.get("hx-post") for form in many.iter("form")} == {"/orders/simulate", "/orders/burst"}

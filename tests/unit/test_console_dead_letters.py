"""The panel `dead_letters`: depths without receiving, messages on a click, the way back with what was edited."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from shop import dead_letter_queues, dead_letters
from shop.errors import ShopError
from shop.health import depth
from shop.target import Target
from tests.unit import shop_stack
from tests.unit.console_panels import OWN, KnownStage, browse, parse, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

DEAD = "OrdersDeadLetterQueueUrl"
ORDER = '{"orderID": "A-1", "product": "<b>Tea</b>", "quantity": 2, "price_per_item": 3.50}'
WRONG = ORDER.replace("3.50", '"err"')


class Pipeline(KnownStage):
    """A stage without reports and images."""

    def find(self, system: str = "order-pipeline") -> Target:
        if system not in self._systems:
            raise ShopError(f"stack dev-{system} not found")
        return super().find(system)


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0)
    with mock_aws():
        yield shop_stack.deploy()


@pytest.fixture
def browser(dev: Target) -> FlaskClient:
    return browse(Pipeline({"order-pipeline": dev}, "dev"))


def send(dev: Target, body: str, output: str = DEAD) -> str:
    return str(dev.client("sqs").send_message(QueueUrl=dev.output(output), MessageBody=body)["MessageId"])


def waiting(dev: Target, output: str = DEAD) -> int:
    return depth(dev.client("sqs"), dev.output(output)).visible


def sent_back(dev: Target) -> dict[str, Any]:
    """The only message on the orders queue."""
    sqs, url = dev.client("sqs"), dev.output("OrdersQueueUrl")
    [message] = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    return dict(message)


def post(browser: FlaskClient, path: str, **form: str) -> TestResponse:
    return browser.post(f"/dead_letters/{path}", data={"queue": "orders", **form}, headers=OWN)


def show(browser: FlaskClient, queue: str = "orders") -> TestResponse:
    return browser.post("/dead_letters/messages", query_string={"queue": queue}, headers=OWN)


def redrive(browser: FlaskClient, message_id: str, body: str, **more: str) -> TestResponse:
    return post(browser, "redrive", message_id=message_id, body=body, **more)


def receives(dev: Target) -> int:
    with dead_letters.received(dev.client("sqs"), dev.output(DEAD)) as messages:
        return max(int(message["Attributes"]["ApproximateReceiveCount"]) for message in messages)


def test_depths_are_shown_without_receiving(browser: FlaskClient, dev: Target) -> None:
    send(dev, WRONG)
    for _ in range(3):
        page = parse(browser.get("/dead_letters/queues").text)
    assert text(page, ".//*[@id='queue-orders']") == "orders orders that were not stored 1 0 Show messages"
    assert [row.get("id") for row in page.findall(".//tbody/tr")] == ["queue-orders", "queue-announcements"]
    assert receives(dev) == 1  # by this very look


def test_which_queues_there_are_is_not_asked_for_each_time(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.get("/dead_letters/queues")

    def find_by(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(dead_letter_queues, "find_by", find_by)
    assert browser.get("/dead_letters/queues").status_code == HTTPStatus.OK


def test_messages_are_shown_whole_with_their_reasons(browser: FlaskClient, dev: Target) -> None:
    wrong, broken = send(dev, WRONG), send(dev, "a <coffee>, please")
    page = parse(show(browser).text)
    rows = {text(row, "th"): [text(cell) for cell in row.findall("td")] for row in page.findall(".//tbody/tr")}
    assert rows["A-1"][0] == 'invalid: price_per_item: "err" is not a number'
    assert rows["A-1"][2] == "1"
    assert rows[broken][0].startswith("invalid: body: ")
    assert text(page, f".//*[@id='body-{wrong}']") == WRONG
    # What is no JSON object has no fields to change.
    assert page.findall(f".//*[@id='body-{broken}']") == []
    assert "a <coffee>, please" in text(page, f".//*[@id='details-{broken}']")
    assert "cannot be edited: it is not JSON" in text(page, f".//*[@id='details-{broken}']")
    assert waiting(dev) == 2


def test_an_empty_queue_is_said_to_be(browser: FlaskClient) -> None:
    assert "No message is there" in text(parse(show(browser, "announcements").text))


def test_a_queue_that_nobody_knows_is_refused(browser: FlaskClient) -> None:
    answer = show(browser, "<b>")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert text(parse(answer.text), ".//*[@role='alert']") == "no dead-letter queue is called '<b>'"


def test_to_try_changes_nothing(browser: FlaskClient, dev: Target) -> None:
    message_id = send(dev, WRONG)
    mended = WRONG.replace('"err"', "3.50")
    kept = redrive(browser, message_id, WRONG)
    assert "A-1 kept: invalid: price_per_item" in text(parse(kept.text))
    would = redrive(browser, message_id, mended)
    page = parse(would.text)
    assert "A-1 would be sent: to the orders queue, as A-1" in text(page)
    assert text(page, f".//*[@id='body-{message_id}']") == mended
    assert (waiting(dev), waiting(dev, "OrdersQueueUrl")) == (1, 0)


def test_an_edited_message_goes_back_with_the_digits_that_were_typed(browser: FlaskClient, dev: Target) -> None:
    message_id = send(dev, WRONG)
    answer = redrive(browser, message_id, WRONG.replace('"err"', "3.50"), go="yes")
    page = parse(answer.text)
    assert "A-1 sent: to the orders queue" in text(page)
    assert page.findall(".//form") == []
    message = sent_back(dev)
    assert message["Body"] == json.dumps(json.loads(ORDER), separators=(",", ":")).replace("3.5", "3.50")
    assert message["MessageAttributes"]["original_message_id"]["StringValue"] == message_id
    assert waiting(dev) == 0


def test_a_message_that_was_not_edited_goes_back_byte_for_byte(browser: FlaskClient, dev: Target) -> None:
    body = ORDER.replace(", ", " ,\n ")
    message_id = send(dev, body)
    # As a browser gives it: line breaks are its own, and so is white space that a person added.
    redrive(browser, message_id, body.replace("\n", "\r\n") + " ", go="yes")
    assert sent_back(dev)["Body"] == body


def test_only_the_message_that_was_chosen_goes_back(browser: FlaskClient, dev: Target) -> None:
    send(dev, ORDER.replace("A-1", "A-0"))
    chosen = send(dev, ORDER)
    send(dev, ORDER.replace("A-1", "A-2"))
    redrive(browser, chosen, ORDER, go="yes")
    assert sent_back(dev)["Body"] == ORDER
    assert waiting(dev) == 2


def test_what_is_no_json_can_be_tried_as_it_is(browser: FlaskClient, dev: Target) -> None:
    message_id = send(dev, "a <coffee>, please")
    answer = post(browser, "redrive", message_id=message_id)
    assert answer.status_code == HTTPStatus.OK
    assert f"{message_id} kept: invalid: body: " in text(parse(answer.text))


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("{", "the body is not JSON"),
        ("[]", "the body is not a JSON object"),
        ('{"price_per_item": null}', 'the body cannot make "price_per_item" null'),
        ('{"quantity": 1, "quantity": 2}', 'the body has the key "quantity" more than once'),
    ],
)
def test_an_edit_that_cannot_be_said_stands_beside_its_field(
    browser: FlaskClient, dev: Target, typed: str, why: str
) -> None:
    message_id = send(dev, WRONG)
    answer = redrive(browser, message_id, typed, go="yes")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    page = parse(answer.text)
    [field] = page.findall(".//textarea")
    assert field.get("aria-invalid") == "true"
    assert text(page, f".//*[@id='{field.get('aria-describedby')}']").startswith(why)
    assert text(field) == typed
    assert (waiting(dev), waiting(dev, "OrdersQueueUrl")) == (1, 0)


def large(order_id: str) -> str:
    """An order with a field that is none, nearly as large as SQS lets it be and larger still as HTML."""
    note = '<b>\\"' * 40_000
    return ORDER.replace("A-1", order_id).replace('"quantity"', f'"note": "{note}", "quantity"')


def test_large_bodies_are_shown_in_part_with_the_command_that_shows_all(browser: FlaskClient, dev: Target) -> None:
    ids = [send(dev, large(f"A-{number}")) for number in range(10)] + [send(dev, "x" * 200_000)]
    html = show(browser).text
    assert len(html) < len(ids) * 30_000
    page = parse(html)
    assert page.findall(".//textarea") == []
    for message_id in ids:
        said = text(page, f".//*[@id='details-{message_id}']")
        assert f"python -m shop dlq show {message_id} --stage dev shows all" in said
        assert "The first 4,000 of 2" in said


def test_a_body_is_in_the_page_once(browser: FlaskClient, dev: Target) -> None:
    send(dev, ORDER.replace("Tea", "edited here"))
    send(dev, f"no JSON, {'x' * 200}, edited nowhere")
    html = show(browser).text
    assert (html.count("edited here"), html.count("edited nowhere")) == (1, 1)


def test_a_large_body_is_edited_once_it_is_asked_for(browser: FlaskClient, dev: Target) -> None:
    body = large("A-1")
    message_id = send(dev, body)
    page = parse(show(browser).text)
    [edit] = page.findall(f".//*[@id='edit-{message_id}']")
    tried = post(browser, "redrive", message_id=message_id, is_large="yes")
    assert "kept: invalid" in text(parse(tried.text))
    assert parse(tried.text).findall(f".//*[@id='{edit.get('id')}']") != []
    answer = browser.post(edit.get("hx-post", ""), data={"queue": "orders", "message_id": message_id}, headers=OWN)
    assert answer.headers["HX-Retarget"] == f"#letter-{message_id}"
    [field] = parse(answer.text).findall(".//textarea")
    assert "".join(field.itertext()).strip() == body
    assert parse(answer.text).findall(f".//*[@id='{edit.get('id')}']") == []
    kept = parse(redrive(browser, message_id, body).text)
    assert text(kept, ".//li").startswith("A-1 kept: invalid: ")
    redrive(browser, message_id, ORDER, go="yes")
    assert json.loads(sent_back(dev)["Body"]) == json.loads(ORDER)
    assert waiting(dev) == 0


def test_a_large_body_that_is_gone_is_said_to_be(browser: FlaskClient) -> None:
    answer = post(browser, "body", message_id="79229c67-4257-42e5-8006-b78b2b305841")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "is not in the queue" in text(parse(answer.text), ".//*[@role='alert']")
    assert "HX-Retarget" not in answer.headers  # beside the form, which stays


def test_a_message_that_is_gone_is_said_to_be(browser: FlaskClient) -> None:
    answer = redrive(browser, "79229c67-4257-42e5-8006-b78b2b305841", ORDER, go="yes")
    assert text(parse(answer.text), ".//*[@role='alert']").startswith("No such message is in the queue")


def test_what_is_no_message_id_gets_into_no_header(browser: FlaskClient) -> None:
    answer = redrive(browser, "m-1\r\nX-Own: 1", ORDER)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "is no message id" in text(parse(answer.text))
    assert "X-Own" not in answer.headers


def test_all_of_a_queue_go_back_with_one_change(browser: FlaskClient, dev: Target) -> None:
    for number in range(3):
        send(dev, WRONG.replace("A-1", f"A-{number}"))
    send(dev, "no JSON")
    wrong = post(browser, "redrive-all", patch="[]", go="yes")
    assert wrong.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert text(parse(wrong.text), ".//*[@id='all-patch-error']") == "the patch is not a JSON object"
    patch = '{"price_per_item": 3.50}'
    tried = [text(line) for line in parse(post(browser, "redrive-all", patch=patch).text).findall(".//li")]
    assert sorted("would be sent" in line for line in tried) == [False, True, True, True]
    assert waiting(dev) == 4
    done = parse(post(browser, "redrive-all", patch=patch, go="yes").text)
    assert sorted(" sent: to the orders queue" in text(line) for line in done.findall(".//li")) == [False, *[True] * 3]
    assert (waiting(dev), waiting(dev, "OrdersQueueUrl")) == (1, 3)
    # One stays, so the form does, too.
    assert len(done.findall(".//form")) == 1


def test_a_stage_shown_read_only_shows_messages_and_sends_none(dev: Target) -> None:
    browser = browse(Pipeline({"order-pipeline": dev}, "dev", may_act=False))
    message_id = send(dev, ORDER)
    page = parse(show(browser).text)
    assert page.findall(".//form") == []
    assert ORDER in text(page, ".//details")
    for refused in (
        redrive(browser, message_id, ORDER, go="yes"),
        post(browser, "redrive-all", go="yes"),
        post(browser, "body", message_id=message_id),
    ):
        assert refused.status_code == HTTPStatus.FORBIDDEN
    assert (waiting(dev), waiting(dev, "OrdersQueueUrl")) == (1, 0)
    assert "dlq purge --queue NAME --stage dev" in text(parse(browser.get("/dead_letters/").text))

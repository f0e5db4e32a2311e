"""Dead letters in the browser: looked at, edited, tried, sent back; and what is gone by then."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from shop.dead_letters import Reader
from tests.browser.axe import axe
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from tests.integration.pipeline import Pipeline


def delete(pipeline: Pipeline, message_id: str) -> None:
    """Take a message out of the orders' dead-letter queue, if it is there."""
    with Reader(pipeline.client("sqs"), pipeline.outputs["OrdersDeadLetterQueueUrl"]).open() as reader:
        if any(message["MessageId"] == message_id for batch in reader.batches() for message in batch):
            reader.delete([message_id])


@pytest.fixture
def order_id() -> str:
    return f"page-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def message_id(pipeline: Pipeline, order_id: str) -> Iterator[str]:
    """A wrong order, straight in the dead-letter queue: on its way there it would be tried for a minute."""
    body = f'{{"orderID": "{order_id}", "product": "<b>Tea</b>", "quantity": 2, "price_per_item": "err"}}'
    url = pipeline.outputs["OrdersDeadLetterQueueUrl"]
    sent = pipeline.client("sqs").send_message(QueueUrl=url, MessageBody=body)["MessageId"]
    yield sent
    if sent in pipeline.dead_letters():
        delete(pipeline, sent)


@pytest.fixture
def message(console_page: Page, message_id: str, order_id: str) -> Locator:
    """The message as the panel shows it, its details open."""
    panel = console_page.locator("#dead_letters")
    panel.get_by_role("button", name="Show messages of orders").click()
    row = panel.get_by_role("row").filter(has_text=order_id)
    expect(row).to_contain_text('invalid: price_per_item: "err" is not a number')
    details = panel.locator(f"#details-{message_id}")
    details.locator("summary").click()
    return details


def test_a_wrong_order_is_mended_and_sent_back(message: Locator, pipeline: Pipeline, order_id: str) -> None:
    body = message.get_by_label("Body, to be changed before it goes back")
    message.get_by_role("button", name="Try").click()
    expect(message.get_by_role("status")).to_contain_text('kept: invalid: price_per_item: "err" is not a number')
    original = body.input_value()

    body.fill(original.replace('"err"', ""))
    message.get_by_role("button", name="Send back").click()
    expect(body).to_have_attribute("aria-invalid", "true")
    expect(body).to_have_accessible_description("the body is not JSON: Expecting value")
    axe(message.page, "#dead_letters")

    body.fill(original.replace('"err"', "3.50"))
    message.get_by_role("button", name="Try").click()
    expect(message.get_by_role("status")).to_contain_text("would be sent: to the orders queue")
    message.get_by_role("button", name="Send back").click()
    expect(message.get_by_role("status")).to_contain_text(f"{order_id} sent: to the orders queue, as {order_id}")
    expect(message.get_by_role("button")).to_have_count(0)
    item = eventually(lambda: pipeline.stored(order_id))
    assert item["price_per_item"] == {"N": "3.5"}
    assert item["product"] == {"S": "<b>Tea</b>"}


def test_a_message_that_is_gone_is_said_to_be(message: Locator, pipeline: Pipeline, message_id: str) -> None:
    delete(pipeline, message_id)
    message.get_by_role("button", name="Try").click()
    expect(message.get_by_role("alert")).to_contain_text("No such message is in the queue")


def test_a_change_for_all_must_be_a_merge_patch(message: Locator) -> None:
    panel = message.page.locator("#dead_letters")
    change = panel.get_by_label("Change in each")
    change.fill("[]")
    panel.get_by_role("button", name="Try all").click()
    expect(change).to_have_accessible_description("the patch is not a JSON object")
    change.fill('{"price_per_item": 1.10}')
    panel.get_by_role("button", name="Try all").click()
    expect(panel.locator("#redrive-all-answer")).to_contain_text("would be sent: to the orders queue")

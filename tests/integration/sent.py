"""Orders that a test has sent to the deployed pipeline, and what became of them, for the check of conservation."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shared.order_items import from_item
from shared.order_rules import Order
from shop.local.mailbox import Mail
from tests.conservation import Seen, unfinished, violations
from tests.integration.pipeline import Pipeline
from tests.polling import eventually

_MOST_ENTRIES = 10
"""Of SendMessageBatch."""


@dataclass(frozen=True)
class Sent:
    """All that a test sends under a prefix of its own, so that nothing of another test's is taken for it."""

    pipeline: Pipeline
    prefix: str = field(default_factory=lambda: f"fault-{uuid.uuid4().hex[:12]}-")
    accepted: dict[str, str] = field(default_factory=dict)
    """Body by message id."""

    def order(self, number: int, **fields: Any) -> str:
        """The body of one valid order."""
        content = {"product": "Espresso", "quantity": 1, "price_per_item": 2.5, "orderID": f"{self.prefix}{number}"}
        return json.dumps(content | fields)

    def post(self, count: int) -> None:
        """Posts so many orders over parallel connections; all must be accepted."""
        bodies = [self.order(len(self.accepted) + number) for number in range(count)]
        answers = self.pipeline.post_all(bodies)
        assert {answer.status for answer in answers} == {202}
        self.accepted.update((answer.body["messageId"], body) for answer, body in zip(answers, bodies, strict=True))

    def enqueue(self, bodies: Iterable[str]) -> None:
        """Puts at most ten messages on the queue by one call, so that one batch of the processor may have them all."""
        chosen = list(bodies)
        entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(chosen)]
        assert len(entries) <= _MOST_ENTRIES
        url = self.pipeline.outputs["OrdersQueueUrl"]
        answer = self.pipeline.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
        self.accepted.update((taken["MessageId"], chosen[int(taken["Id"])]) for taken in answer["Successful"])
        assert len(answer["Successful"]) == len(entries)

    def seen(self) -> Seen:
        """What is to be seen now, looked at in the order in which messages travel."""
        announced = [_announced(mail) for mail in self.pipeline.mails(self.prefix)]
        queued, dead = self.pipeline.queued(), self.pipeline.dead_letters()
        first = {body: name for name, body in self.accepted.items()}
        return Seen(
            accepted=self.accepted,
            # A redriven message has another id; its body is that of the first.
            queued={name if name in self.accepted else first[body] for name, body in queued.items() if body in first},
            dead=dead.keys() & self.accepted.keys(),
            stored=self._stored(),
            announced=announced,
        )

    def settled(self, *, timeout: float = 60) -> Seen:
        """Waits until all is stored and announced or dead-lettered; nothing may be lost or doubled meanwhile."""

        def look() -> Seen | None:
            found = self.seen()
            assert_conserved(found)
            return None if unfinished(found) else found

        return eventually(look, timeout=timeout, describe=lambda: unfinished(self.seen())[:5])

    def _stored(self) -> list[Order]:
        pages = (
            self.pipeline.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.pipeline.outputs["OrdersTableName"], ConsistentRead=True)
        )
        items = [item for page in pages for item in page["Items"]]
        mine = [item for item in items if item["orderID"]["S"].startswith(self.prefix)]
        return [from_item(item).order for item in mine]


class Lost(Exception):
    """The promise is broken. Not an AssertionError, which would count as "not yet"."""


def assert_conserved(seen: Seen) -> None:
    """Raises Lost where an order is lost, doubled or changed."""
    broken = violations(seen)
    if broken:
        raise Lost("\n".join(broken))


def _announced(mail: Mail) -> Order:
    """The order that an announcement carries; its members are those of an order and `received_at`."""
    document = json.loads(mail.message, parse_float=Decimal, parse_int=Decimal)
    return Order(
        order_id=document["orderID"],
        product=document["product"],
        quantity=int(document["quantity"]),
        price_per_item=document["price_per_item"].normalize() + 0,
        customer_id=document.get("customer_id"),
        order_date=document.get("order_date"),
    )

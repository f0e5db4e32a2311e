"""The promise of the order pipeline, as one function over what can be seen of it.

Conservation (docs/architecture.md): every message that was accepted is in the table, on the queue or in the
dead-letter queue, at any time and under any fault. Whoever looks must look in the order in which messages travel
(announcements before the table, and the queues before the table), or a message is missed on its way. While messages
are redriven they travel back, too: look before or after.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.order_rules import InvalidOrder, Order
from shared.orders import decode_order


@dataclass(frozen=True)
class Seen:
    """What is known of some messages and of everything that came of them, and nothing else's.

    A message is named by the id that SQS gave it first: a redriven one by its attribute `original_message_id`.
    """

    accepted: Mapping[str, str]
    """Body by message id."""
    queued: Collection[str]
    """Message ids on the queue, visible or in flight."""
    dead: Collection[str]
    """Message ids in the dead-letter queue."""
    stored: Sequence[Order]
    """The table's orders."""
    announced: Sequence[Order]
    """Every announcement that a subscriber got; at least one of each stored order, once all is quiet."""


def violations(seen: Seen) -> list[str]:
    """What may never be so, each as a sentence: an order lost, stored twice or changed, announced and not stored."""
    return [*_lost(seen), *_stored_wrongly(seen), *_announced_wrongly(seen)]


def unfinished(seen: Seen) -> list[str]:
    """What is still to happen, each as a sentence. With no faults left it must all have happened in the end."""
    announced = {order.order_id for order in seen.announced}
    silent = [order.order_id for order in seen.stored if order.order_id not in announced]
    return [
        *(f"{message_id}: on the queue" for message_id in sorted(seen.queued)),
        *(f"{order_id}: stored and not announced" for order_id in silent),
    ]


def order_in(message_id: str, body: str) -> Order | None:
    """The order that a message has, None where the processor must refuse it."""
    try:
        return decode_order(body, message_id)
    except InvalidOrder:
        return None


def _lost(seen: Seen) -> Iterator[str]:
    stored = set(seen.stored)
    for message_id, body in seen.accepted.items():
        if message_id in seen.queued or message_id in seen.dead:
            continue
        order = order_in(message_id, body)
        if order is None:
            yield f"{message_id}: accepted, no order, and not in the dead-letter queue"
        elif order not in stored:
            yield f"{message_id}: order {order.order_id} was accepted and is nowhere"


def _stored_wrongly(seen: Seen) -> Iterator[str]:
    sent = {order_in(message_id, body) for message_id, body in seen.accepted.items()}
    for order in seen.stored:
        if order not in sent:
            yield f"{order.order_id}: stored with a content that nobody sent"
    for order_id, times in Counter(order.order_id for order in seen.stored).items():
        if times > 1:
            yield f"{order_id}: stored {times} times"


def _announced_wrongly(seen: Seen) -> Iterator[str]:
    stored = set(seen.stored)
    for order in set(seen.announced):
        if order not in stored:
            yield f"{order.order_id}: announced and not stored so"

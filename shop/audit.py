"""Where every order is that a client sent: stored, dead-lettered, still in the queue, or nowhere.

The orders queue is never received from: that would raise receive counts and can itself dead-letter an order. While it
is not empty, what is nowhere else is therefore `in queue or unknown`. Dead letters are received and given back, and
their receive counts rise by one.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
from botocore.config import Config

from shop.dead_letters import fallback_id, received, stored_orders
from shop.errors import ShopError
from shop.health import depth
from shop.orders import claimed_id
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

Place = Literal["stored", "dead-lettered", "in queue or unknown", "unknown", "refused"]
STORED: Place = "stored"
DEAD: Place = "dead-lettered"
QUEUED: Place = "in queue or unknown"
UNKNOWN: Place = "unknown"
REFUSED: Place = "refused"

SEGMENTS = 8
"""Workers that scan the table at the same time (DynamoDB Developer Guide, "Parallel scan")."""
SHOWN = 20
"""Unknown ids that a person is shown; JSON has all of them."""
_LONGEST_KEY = 2_048
"""Bytes of a partition key (DynamoDB Developer Guide, "Quotas"); what is longer cannot be asked for."""
_SPACE = b" \t\r\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Totals:
    """What the pipeline holds, whoever sent it."""

    stored: int
    dead: int
    """Messages that could be read from the dead-letter queue."""
    held: int
    """Messages in the dead-letter queue beside those, as SQS counts them: another reader has them."""
    queued: int
    """Messages in the orders queue, visible, in flight or delayed, as SQS counts them: the more of two counts."""


@dataclass(frozen=True)
class Audit:
    """How what was sent adds up: `accepted` = `stored` + `dead` + `queued` + `unknown`.

    These count the distinct ids that were sent, each at one place; without such ids `accepted` is None and they are
    the pipeline's totals.
    """

    accepted: int | None
    stored: int
    dead: int
    queued: int
    unknown: int
    refused: int
    duplicates: int
    """How often an id was sent again."""
    stored_and_dead: int
    """Orders in the table whose id a dead letter has, too: a conflict, or a copy that can be deleted."""
    places: dict[str, Place]
    totals: Totals


@dataclass(frozen=True)
class Sent:
    """What a client sent: the ids (`orderID`, or the message id of an order without one), as often as it sent each.

    `refused` are those that were never accepted as far as the client knows: that they are nowhere is no loss.
    """

    ids: list[str]
    refused: frozenset[str] = frozenset()


class _Line(msgspec.Struct):
    """One order that was sent, or the answer to it, as `orders place --json` prints it."""

    orderID: str | None = None  # noqa: N815  (the field's name in the contract)
    messageId: str | None = None  # noqa: N815
    refusal: str | None = None


def audit(target: Target, sent_ids: Iterable[str] | None = None, refused: Collection[str] = frozenset()) -> Audit:
    """Return where the orders are that `sent_ids` names; without ids, the counts only.

    `refused` are those of the ids that nobody promised to store. The queue is counted before everything else and once
    more at the end, and only then what was not found is looked up by its key, so that an order that moves on in between
    is found or is `in queue or unknown`. Raises ShopError when the table cannot be read.
    """
    times = None if sent_ids is None else Counter(sent_ids)
    sqs: SQSClient = target.client("sqs")
    dynamodb: DynamoDBClient = target.client("dynamodb", Config(max_pool_connections=SEGMENTS))
    table = target.output("OrdersTableName")
    queued = queue_depth(sqs, target.output("OrdersQueueUrl"))
    dead, held, letters = _dead_ids(sqs, target.output("OrdersDeadLetterQueueUrl"))
    wanted = dead if times is None else dead | times.keys()
    stored, found = _scan(dynamodb, table, wanted)
    # Before the look-up by key: what left the queue by now is found there, unless it is dead.
    queued = max(queued, queue_depth(sqs, target.output("OrdersQueueUrl")))
    if times is not None:
        missing = {each for each in times.keys() - found - dead if len(each.encode()) <= _LONGEST_KEY}
        found |= stored_orders(dynamodb, table, missing).keys()
    totals = Totals(stored, letters, held, queued)
    in_both = len(found & dead)
    if times is None:
        return Audit(None, stored, letters, queued, 0, 0, 0, in_both, {}, totals)
    nowhere = QUEUED if queued or held else UNKNOWN
    places = {each: _place(each, found, dead, refused, nowhere) for each in times}
    return _sum_up(places, times.total() - len(times), in_both, totals)


def _place(each: str, stored: set[str], dead: set[str], refused: Collection[str], nowhere: Place) -> Place:
    if each in stored:
        return STORED
    if each in dead:
        return DEAD
    return REFUSED if each in refused else nowhere


def _sum_up(places: dict[str, Place], duplicates: int, in_both: int, totals: Totals) -> Audit:
    counts = Counter(places.values())
    return Audit(
        accepted=len(places) - counts[REFUSED],
        stored=counts[STORED],
        dead=counts[DEAD],
        queued=counts[QUEUED],
        unknown=counts[UNKNOWN],
        refused=counts[REFUSED],
        duplicates=duplicates,
        stored_and_dead=in_both,
        places=places,
        totals=totals,
    )


def queue_depth(sqs: "SQSClient", url: str) -> int:
    """Return how many messages a queue has: visible, in flight and delayed.

    On AWS the counts are those of about a minute ago (Amazon SQS API Reference, "GetQueueAttributes").
    """
    counts = depth(sqs, url)
    return counts.visible + counts.in_flight + counts.delayed


def _dead_ids(sqs: "SQSClient", url: str) -> tuple[set[str], int, int]:
    """Return the ids that dead letters stand for, how many letters could not be read, and how many were."""
    with received(sqs, url) as messages:
        ids = {each for message in messages for each in _ids(message)}
        # Ours are in flight now, so what is beyond them is another reader's, or came meanwhile.
        return ids, max(0, queue_depth(sqs, url) - len(messages)), len(messages)


def _ids(message: "MessageTypeDef") -> Iterator[str]:
    """Yield the ids by which a client may know a message: the order's, its own, the first message's of a redrive."""
    yield message["MessageId"]
    yield fallback_id(message)
    claimed = claimed_id(message["Body"].encode())
    if claimed is not None:
        yield claimed


def _scan(dynamodb: "DynamoDBClient", table: str, wanted: Collection[str]) -> tuple[int, set[str]]:
    """Return how many orders are stored, and which of the wanted ids are; keeps no others in memory."""

    def segment(number: int) -> tuple[int, set[str]]:
        count, found = 0, set[str]()
        pages = dynamodb.get_paginator("scan").paginate(
            TableName=table,
            ProjectionExpression="orderID",
            ConsistentRead=True,
            Segment=number,
            TotalSegments=SEGMENTS,
        )
        for page in pages:
            ids = [item["orderID"]["S"] for item in page["Items"]]
            count += len(ids)
            found.update(each for each in ids if each in wanted)
        return count, found

    with ThreadPoolExecutor(SEGMENTS) as threads:
        results = list(threads.map(segment, range(SEGMENTS)))
    return sum(count for count, _ in results), set().union(*(found for _, found in results))


def read_sent(lines: Iterable[bytes], source: str) -> Sent:
    """Return what a file says was sent: one id a line, JSON Lines, or the JSON array of `orders place --json`.

    An object needs an `orderID` or a `messageId`; one with a `refusal` was not accepted. Raises ShopError, naming
    `source` and the line, for anything else.
    """
    rows = iter(lines)
    ids: list[str] = []
    accepted, refused = set[str](), set[str]()
    for number, line in enumerate(rows, start=1):
        text = line.removeprefix(_BYTE_ORDER_MARK).strip(_SPACE) if number == 1 else line.strip(_SPACE)
        if not text:
            continue
        is_array = not ids and not refused and text.startswith(b"[")
        answers = _array(b"\n".join([text, *rows]), source) if is_array else [_line(text, f"{source}, line {number}")]
        for place, answer in enumerate(answers, start=1):
            each = answer.orderID or answer.messageId
            if each is not None:
                ids.append(each)
                (accepted if answer.refusal is None else refused).add(each)
            elif answer.refusal is None:
                where = f"order {place}" if is_array else f"line {number}"
                raise ShopError(f"{source}, {where}: has neither an orderID nor a messageId")
    return Sent(ids, frozenset(refused - accepted))


def _array(text: bytes, source: str) -> list[_Line]:
    try:
        return msgspec.json.decode(text, type=list[_Line])
    except msgspec.MsgspecError as error:
        raise ShopError(f"{source}: not an array of orders ({error})") from None


def _line(text: bytes, where: str) -> _Line:
    try:
        return msgspec.json.decode(text, type=_Line) if text.startswith(b"{") else _Line(orderID=text.decode())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ShopError(f"{where}: neither an id nor an order ({error})") from None


def rows(result: Audit) -> Iterator[tuple[str, int]]:
    """Yield the rows of the table that a person gets."""
    if result.accepted is None:
        yield "stored", result.stored
        yield "in the dead-letter queue", result.dead
        yield "in the orders queue", result.queued
    else:
        yield "accepted", result.accepted
        yield STORED, result.stored
        yield DEAD, result.dead
        yield QUEUED, result.queued
        yield UNKNOWN, result.unknown
        if result.refused:
            yield "refused, and nowhere", result.refused
        if result.duplicates:
            yield "ids sent again", result.duplicates
    if result.stored_and_dead:
        yield "stored, and a dead letter too", result.stored_and_dead


def unknown_ids(result: Audit) -> list[str]:
    """Return the ids that are nowhere although the queue is empty."""
    return [each for each, place in result.places.items() if place == UNKNOWN]

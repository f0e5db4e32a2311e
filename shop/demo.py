"""`make demo`: the local cloud, from nothing to orders stored, announced or set aside and in the day's sales report.

A picture that is made for it comes back in every size.

A person watches. Where the local cloud has no sales report, for want of a MariaDB server, the demo says so and ends
without it.
"""

import random
import string
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from PIL import Image

from shop import dead_letters, health, image_uploads, mailbox, orders, picture, report, target
from shop.errors import ShopError
from shop.images import Images, Size, download, open_images
from shop.ledger import Ledger, Picture, Planned, Resized, Sales, fitted, measured, sold_on
from shop.local import cloud as local_cloud
from shop.local.files import write_private
from shop.local.mailbox import Mail
from shop.output import live_line, moment, note, plural, print_table, printable, say
from shop.queues import redrive
from shop.report import Report
from shop.target import LOCAL, Target
from stacks.settings import load_settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_sqs.client import SQSClient

SIMULATION = {"count": 20, "error_rate": 0.15, "seed": 6}
"""What the simulator is asked for. This seed makes three invalid orders; one in 25 makes none. Ids are always new."""
LONGEST_WAIT = 150.0
"""Seconds until the demo gives up and says what is missing; a failing order takes about 60 of them."""
POLL_EVERY = 0.5
SIMULATED_IDS = "SIM-"
"""The simulator names its orders `SIM-<run>-<number>`."""
READ_AGAIN_EVERY = 5.0
"""Seconds between two readings of the dead-letter queue; each makes receive counts rise."""
SHOWN_ROWS = 12
BEFORE_THE_RUN = timedelta(minutes=1)


def new_run() -> str:
    """Return a prefix for this run's order ids, so that a second run on the same cloud sends new orders."""
    return "demo-" + "".join(random.choices(string.ascii_lowercase + string.digits, k=8))  # noqa: S311  (no secret)


def first_orders(run: str, order_date: str) -> list[Planned]:
    """Return the orders that are sent first: good ones, ones the API refuses, ones only the processor can refuse.

    `order_date` (RFC 3339) is that of the one which has every field.
    """
    complete = f'"orderID": "{run}-1", "customer_id": "C-7", "product": "Caffè Latte", "quantity": 2'
    return [
        _plan(
            "every field, an exact price",
            f'{{{complete}, "price_per_item": 3.50, "order_date": "{order_date}"}}',
            "stored",
        ),
        _plan(
            "characters that get lost easily",
            f'{{"orderID": "{run}-2", "product": "50% off: Tea & “Scones” + 🍰", "quantity": 1,'
            ' "price_per_item": 0.0001}',
            "stored",
        ),
        _plan(
            "no orderID: the message's id stands in",
            '{"product": "Espresso", "quantity": 3, "price_per_item": 2}',
            "stored",
        ),
        _plan(
            "a quantity in words",
            f'{{"orderID": "{run}-3", "product": "Mocha", "quantity": "two", "price_per_item": 4.20}}',
            "refused",
        ),
        _plan("no product", f'{{"orderID": "{run}-4", "quantity": 1, "price_per_item": 4.20}}', "refused"),
        _plan(
            "a repeated key",
            f'{{"orderID": "{run}-5", "product": "Mocha", "quantity": 1, "quantity": 2, "price_per_item": 4.20}}',
            "dead-lettered",
        ),
        _plan(
            "a day that does not exist",
            f'{{"orderID": "{run}-6", "product": "Mocha", "quantity": 1, "price_per_item": 4.20,'
            ' "order_date": "2026-02-30T09:15:00Z"}',
            "dead-lettered",
        ),
    ]


def later_orders(run: str, order_date: str) -> list[Planned]:
    """Return the orders that repeat the first one, sent when that is stored so that it is the one that stays."""
    written_anew = f'"price_per_item": 3.5, "quantity": 2, "product": "Caff\\u00e8 Latte", "orderID": "{run}-1"'
    return [
        _plan(
            "the first once more, written differently",
            f'{{{written_anew}, "customer_id": "C-7", "order_date": "{order_date}"}}',
            "stored once",
        ),
        _plan(
            "the first's id with another price",
            f'{{"orderID": "{run}-1", "customer_id": "C-7", "product": "Caffè Latte", "quantity": 2,'
            f' "price_per_item": 4.50, "order_date": "{order_date}"}}',
            "dead-lettered",
        ),
    ]


def _plan(shows: str, body: str, end: Any) -> Planned:
    return Planned(shows, body.encode(), end)


def run() -> Ledger:
    """Run the demo against the local cloud, bringing it up first; return its books, complete or not.

    Progress goes to stderr. Raises ShopError when the cloud cannot be brought up or the simulator fails.
    """
    note("1. Bring the local cloud up")
    local_cloud.up(local_cloud.default_folder(), port=None, progress=lambda text: note(f"   {text}"))
    where = target.find(LOCAL)
    watch = Watch.start(where)
    name, now = new_run(), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    api = orders.open_api(where, connections=1)

    note("2. Make today's sales report, to see it grow")
    reporter = _find_report()
    before = _make_report(reporter) if reporter else None
    note("3. Upload a picture and have it made smaller")
    sized = _resize(target.find(LOCAL, target.IMAGE_FANOUT), name)
    note("4. Send orders by hand through POST /orders")
    ledger = _send(api, Ledger(), first_orders(name, now))
    note(f"5. Let the simulator send {SIMULATION['count']}, some of them invalid")
    ledger = _simulate(watch, ledger)
    note("6. Send the first order again, and once with another price, now that it is stored")
    _wait_until_stored(watch, f"{name}-1")
    ledger = _send(api, ledger, later_orders(name, now))
    note("7. Follow each to its end")
    wait = f"{plural(watch.receives, 'receive')}, about {watch.seconds_to_dead_letter:.0f} s"
    note(f"   SQS sets a failing order aside after {wait}.")
    ledger = replace(_follow(watch, ledger), picture=sized)
    if reporter is None or before is None:
        return ledger
    note("8. Make the sales report again")
    return replace(ledger, sales=_compare(watch, reporter, before, ledger))


def _find_report() -> Target | None:
    """Return the sales report's target, None (and say why) where it is not deployed."""
    try:
        return report.find(LOCAL)
    except ShopError as error:
        note(f"   Left out: {error}")
        return None


def _make_report(reporter: Target, day: str | None = None) -> Report:
    """Make the report of a day, or of today, once all orders announced so far are in the database."""
    sqs: SQSClient = reporter.client("sqs")
    queue = reporter.output("SalesRecorderQueueUrl")
    for _ in _polls():
        waiting = health.depth(sqs, queue)
        if waiting.visible + waiting.in_flight == 0:
            break
    made = report.run(reporter, day)
    note(f"   {made.date}: {plural(made.products, 'product')}, quantity {made.quantity}")
    return made


def _compare(watch: "Watch", reporter: Target, before: Report, ledger: Ledger) -> Sales:
    # Of the same day as before, should it have become midnight.
    after = _make_report(reporter, before.date)
    zone = ZoneInfo(load_settings({"stage": LOCAL}).time_zone)
    sold = sold_on(ledger.stored.values(), after.date, zone)
    return Sales(before, after, sold, _wait_for_mail(watch, after), alone=not watch.others_sent(ledger))


def _wait_for_mail(watch: "Watch", made: Report) -> Mail | None:
    for _ in _polls():
        for mail in mailbox.read(watch.where):
            if mail.message == made.message:
                return mail
    return None


def _resize(where: Target, run: str) -> Picture:
    """Upload a new picture, wait for its sizes, write it and them to the cloud's folder, and return how they are."""
    folder = local_cloud.default_folder() / "demo"
    original = folder / "original.jpg"
    write_private(original, picture.make())
    images = open_images(where)
    (upload,) = image_uploads.wait(images, image_uploads.put(images, [str(original)], run))
    if upload.name is None or upload.version is None:
        raise ShopError(f"the picture was not uploaded: {upload.refusal}")
    bytes_ = original.stat().st_size
    note(f"   original: {measured(picture.MEASURES)}, {bytes_:,} bytes")
    sizes = [_resized(images, size, upload.name, upload.results[size.name], folder) for size in images.sizes]
    return Picture(upload.name, picture.MEASURES, bytes_, sizes)


def _resized(images: Images, size: Size, name: str, result: image_uploads.Result, folder: Path) -> Resized:
    expected = fitted(picture.MEASURES, (size.width, size.height))
    if result.state != "made":
        note(f"   {size.name}: {result.state}")
        return Resized(size.name, result.state, expected)
    key = images.key(name, size)
    file = folder / f"{size.name}{Path(key).suffix}"
    download(images, key, file)
    with Image.open(file) as image:
        measures = image.size
    note(f"   {size.name}: {measured(measures)}, {result.bytes:,} bytes, {file}")
    return Resized(size.name, result.state, expected, measures, result.bytes, str(file))


def _send(api: orders.OrdersApi, ledger: Ledger, plans: Sequence[Planned]) -> Ledger:
    answers = orders.place(api, [plan.body for plan in plans], connections=1)
    for plan, answer in zip(plans, answers, strict=True):
        note(f"   {plan.shows}: {_outcome(answer)}")
    return replace(ledger, sent=[*ledger.sent, *zip(plans, answers, strict=True)])


@dataclass
class Watch:
    """What is asked of the cloud again and again while orders are under way."""

    where: Target
    dynamodb: "DynamoDBClient"
    sqs: "SQSClient"
    dead_letters_before: int
    receives: int
    """How often a failing message is received before SQS sets it aside."""
    seconds_to_dead_letter: float
    """How long that takes: the visibility timeout after each receive."""
    since: str
    """A moment so long before the run that orders sent before it had their end (RFC 3339, UTC)."""

    @classmethod
    def start(cls, where: Target) -> "Watch":
        """Return a watch that knows how deep the dead-letter queue is before anything is sent."""
        sqs: SQSClient = where.client("sqs")
        receives, visibility_timeout = redrive(sqs, where.output("OrdersQueueUrl"))
        since = f"{datetime.now(UTC) - BEFORE_THE_RUN:%Y-%m-%dT%H:%M:%SZ}"
        watch = cls(where, where.client("dynamodb"), sqs, 0, receives, receives * visibility_timeout, since)
        watch.dead_letters_before = watch.dead_letters()
        return watch

    def dead_letters(self) -> int:
        """Return how many messages the orders' dead-letter queue has, without receiving any."""
        found = health.depth(self.sqs, self.where.output("OrdersDeadLetterQueueUrl"))
        return found.visible + found.in_flight

    def stored(self, ids: set[str]) -> dict[str, Mapping[str, Any]]:
        """Return the stored items of these order ids."""
        return dead_letters.stored_orders(self.dynamodb, self.where.output("OrdersTableName"), ids)

    def stored_with_prefix(self, prefix: str) -> dict[str, Mapping[str, Any]]:
        """Return the stored items whose order id starts with `prefix`; reads the whole table, which is a laptop's."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.where.output("OrdersTableName"),
            ConsistentRead=True,
            FilterExpression="begins_with(orderID, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": prefix}},
        )
        return {item["orderID"]["S"]: item for page in pages for item in page["Items"]}

    def others_sent(self, ledger: Ledger) -> bool:
        """Whether orders that are not of this run were taken since a little before it began."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.where.output("OrdersTableName"),
            ConsistentRead=True,
            FilterExpression="received_at >= :since",
            ExpressionAttributeValues={":since": {"S": self.since}},
        )
        return any(item["orderID"]["S"] not in ledger.stored for page in pages for item in page["Items"])

    def simulator_runs(self) -> Counter[str]:
        """Return how many orders of each run of the simulator are stored, by what their ids start with."""
        return Counter(order_id.rpartition("-")[0] + "-" for order_id in self.stored_with_prefix(SIMULATED_IDS))


def _simulate(watch: Watch, ledger: Ledger) -> Ledger:
    """Run the simulator; its answer has no ids, so its orders are known by the new run id among the stored ones."""
    before = watch.simulator_runs().keys()
    result = orders.simulate(watch.where, SIMULATION)
    sent, invalid = int(result["sent"]), int(result["invalid"])
    note(f"   {sent} sent, {invalid} of them invalid")
    ledger = replace(ledger, simulated=sent, simulated_invalid=invalid)
    for _ in _polls():
        for prefix, count in watch.simulator_runs().items():
            if prefix not in before and count == sent - invalid:
                return replace(ledger, simulator_prefix=prefix)
    return ledger


def _polls() -> Iterator[float]:
    """Yield the seconds that have passed, every `POLL_EVERY`, for as long as something is worth waiting for."""
    start = time.monotonic()
    while (passed := time.monotonic() - start) < LONGEST_WAIT:
        yield passed
        time.sleep(POLL_EVERY)


def _wait_until_stored(watch: Watch, order_id: str) -> None:
    for _ in _polls():
        if watch.stored({order_id}):
            return


def _follow(watch: Watch, ledger: Ledger) -> Ledger:
    """Return the ledger when every order has its end, or as it is when that takes too long."""
    enough = watch.dead_letters_before + ledger.expected_dead
    next_read = 0.0
    with live_line() as show_line:
        for waited in _polls():
            dead = watch.dead_letters()
            ledger = _look(watch, ledger)
            left = watch.seconds_to_dead_letter - waited
            show_line(progress_line(ledger, dead - watch.dead_letters_before, left))
            if dead >= enough and waited >= next_read:
                ledger = _read_dead_letters(watch, ledger)
                # Somebody else's message may be among them, or another reader may hold one of this run's.
                next_read = waited + READ_AGAIN_EVERY
            if ledger.complete:
                return ledger
    return _read_dead_letters(watch, ledger)


def _read_dead_letters(watch: Watch, ledger: Ledger) -> Ledger:
    found = dead_letters.read_all(watch.where)
    return replace(ledger, dead_letters=[letter for letter in found if ledger.owns(letter)])


def _look(watch: Watch, ledger: Ledger) -> Ledger:
    stored = watch.stored(ledger.own_ids)
    if ledger.simulator_prefix is not None:
        stored |= watch.stored_with_prefix(ledger.simulator_prefix)
    mails = [mail for mail in mailbox.read(watch.where) if mail.attributes.get("deduplication_id") in stored]
    return replace(ledger, stored=stored, announced=mails)


def progress_line(ledger: Ledger, dead: int, seconds_left: float) -> str:
    """Return how far the orders are; the seconds that invalid ones still need are rounded up to tens."""
    # Somebody else's orders may be set aside at the same time; whose is whose is seen when the queue is read.
    dead = min(max(0, dead), ledger.expected_dead)
    line = (
        f"   accepted {ledger.accepted} → stored {len(ledger.stored)} → announced {len(ledger.announced_ids)}"
        f" · set aside {dead} of {ledger.expected_dead}"
    )
    if dead == ledger.expected_dead:
        return line
    left = max(10, -int(-seconds_left // 10) * 10)
    return f"{line} · about {left} s"


def show(ledger: Ledger) -> None:
    """Print what became of the orders, whether the counts add up, and where to look next."""
    answers = [(p.shows, a.orderID or a.messageId, _outcome(a)) for p, a in ledger.sent]
    names = ("what it shows", "orderID", "answer")
    print_table("Sent by hand", names, answers, give_way=(names[0], names[2]))
    say()
    say(f"The simulator sent {ledger.simulated} more, {ledger.simulated_invalid} of them invalid.\n")
    fields = ("orderID", "product", "quantity", "price_per_item")
    items = [tuple(next(iter(item[name].values())) for name in fields) for item in ledger.stored.values()]
    _print_some("Stored", ("orderID", "product", "quantity#", "price#"), items, give_way="product")
    mails = [(mail.subject, moment(mail.received_at)) for mail in ledger.announced]
    _print_some("Announced", ("subject", "received at"), mails, give_way="subject")
    # Not how often each was received: the demo's own look is among the receives that SQS counts.
    set_aside = [(letter.orderID or letter.message_id, letter.reason) for letter in ledger.dead_letters]
    _print_some("In the dead-letter queue", ("orderID", "reason"), set_aside, give_way="reason")
    if ledger.sales and ledger.sales.mail:
        _print_mail(ledger.sales.mail)
    if ledger.picture:
        _print_picture(ledger.picture)
    for line in conclusion(ledger):
        say(line)


def _outcome(answer: orders.Answer) -> str:
    return f"{answer.status or 'no answer'} {answer.refusal or 'accepted'}"


def _print_some(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], give_way: str) -> None:
    print_table(f"{title}: {len(rows)}", columns, rows[:SHOWN_ROWS], give_way=(give_way,))
    if len(rows) > SHOWN_ROWS:
        say(f"  … and {len(rows) - SHOWN_ROWS} more")
    say()


def _print_mail(mail: Mail) -> None:
    say(f"Mailed: {printable(mail.subject or '')}\n")
    for line in mail.message.splitlines():
        say(f"    {printable(line)}".rstrip())
    say()


def _print_picture(shown: Picture) -> None:
    original = ("original", measured(shown.measures), f"{shown.bytes:,}", "")
    sizes = [
        (each.size, measured(each.measures), f"{each.bytes:,}", each.file)
        if each.measures
        else (each.size, each.state, None, None)
        for each in shown.sizes
    ]
    print_table("The picture", ("size", "measures", "bytes#", "file"), [original, *sizes], give_way=("file",))
    say()


def conclusion(ledger: Ledger) -> list[str]:
    """Return the closing lines: the sum, what is wrong with it if anything is, and the commands to go on with."""
    repeated = ledger.accepted - ledger.distinct
    lines = [
        f"accepted {ledger.accepted} - {plural(repeated, 'repeated order')} = {ledger.distinct}"
        f" = stored {len(ledger.stored)} + dead-lettered {len(ledger.dead_letters)};"
        f" announced {len(ledger.announced_ids)}"
    ]
    if ledger.sales:
        lines.append(_growth(ledger.sales))
    differences = ledger.differences()
    if differences:
        return [*lines, "It does not add up:", *(f"  {line}" for line in differences)]
    return [*lines, "It adds up.", "", "Where to look next:", *(f"  {line}" for line in next_steps(ledger))]


def _growth(sales: Sales) -> str:
    before, day = sales.before.quantity, sales.after.date
    should_be = f"quantity {before} + {sales.sold} stored = {before + sales.sold}"
    others = "" if sales.alone else " (others sent orders meanwhile)"
    return f"report of {day}: {should_be}; it says {sales.after.quantity}{others}"


def next_steps(ledger: Ledger) -> list[str]:
    """Return the commands that show more of what the demo did."""
    shell = ".venv/bin/python -m shop"
    first = next(answer.orderID for _, answer in ledger.sent if answer.orderID in ledger.stored)
    commands = {
        f"{shell} orders show {first}": "one stored order",
        f"{shell} mailbox": "what subscribers got",
        f"{shell} dlq list": "what was set aside, why",
        **({f"{shell} report get {ledger.sales.after.date}": "the sales report's CSV"} if ledger.sales else {}),
        f"{shell} orders place FILE": "your own orders",
        **({f"{shell} images list": "images and their sizes"} if ledger.picture else {}),
        "make status": "what runs, and its log",
        "make down": "stop it",
    }
    width = max(map(len, commands))
    return [f"{command:{width}}  {purpose}" for command, purpose in commands.items()]

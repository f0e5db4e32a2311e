"""The commands of `python -m shop`: what they are called, what they take, how they end.

Exit codes: 0 done, 1 refused or failed (one line on stderr says why), 2 wrong usage, 3 the local cloud does not run
(`status`), 130 interrupted. What a command does is in the module of its topic, imported when the command runs, so that
`--help` and a typing error answer at once.
"""
# ruff: noqa: PLC0415

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from shop.errors import ShopError, explain

if TYPE_CHECKING:
    from datetime import datetime
    from typing import BinaryIO

    from shop.dead_letter_queues import Filters
    from shop.dead_letters import DeadLetter
    from shop.image_uploads import Upload
    from shop.images import Images
    from shop.json_merge_patch import Patch
    from shop.order_service import OrderService
    from shop.redrive import Outcome
    from shop.target import Target

NOT_RUNNING_EXIT = 3

Stage = Annotated[str, typer.Option("--stage", help="local, or a stage deployed with your AWS credentials.")]
ItemId = Annotated[str, typer.Argument(metavar="ID")]
Names = Annotated[str | None, typer.Option("--names", metavar="JSON", help='Such as {"#d": "order_date"}.')]
Values = Annotated[str | None, typer.Option("--values", metavar="JSON", help='Such as {":least": 80.50}.')]
Queues = Annotated[
    list[str] | None,
    typer.Option(
        "--queue",
        metavar="NAME",
        help="orders, announcements, sales, reports, schedule, or an image size; may be repeated.",
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Part of the reason, in any case.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Sent since then: 2026-11-26T09:15:00Z, 30m, 2h, 3d.")
]
Ids = Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="A message id or orderID; may be repeated.")]
All = Annotated[bool, typer.Option("--all", help="All messages: needed where no filter is given.")]
Go = Annotated[bool, typer.Option("--go", help="Do it; without this option it is only shown.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, for programs.")]


class Commands(TyperGroup):
    """A group that ends a command with one line on stderr where a person can mend what went wrong."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; an error that is nobody's bug ends it with exit code 1."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            line = explain(error)
            if line is None:
                raise
            typer.echo(f"error: {line}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Commands,
    help="The shop's local cloud, and the operator's commands for it and for stages on AWS.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
orders_app = typer.Typer(help="Place orders, look one up, let the simulator send some.", no_args_is_help=True)
order_app = typer.Typer(help="Create, read, change, delete and list items of the order service.", no_args_is_help=True)
report_app = typer.Typer(help="Make the sales report of a day, or fetch one that was made.", no_args_is_help=True)
images_app = typer.Typer(help="Upload product images, list them, fetch what was made of them.", no_args_is_help=True)
dlq_app = typer.Typer(
    help="What failed for good, and why: list, show, export it, send it back, delete it.", no_args_is_help=True
)
app.add_typer(orders_app, name="orders")
app.add_typer(order_app, name="order")
app.add_typer(report_app, name="report")
app.add_typer(images_app, name="images")
app.add_typer(dlq_app, name="dlq")


@app.command()
def up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port on the loopback address.")] = None,
    as_json: Json = False,
) -> None:
    """Start the local cloud and deploy what changed; harmless when it is up."""
    from shop.local import cloud
    from shop.output import note, print_json, say

    running = cloud.up(cloud.default_folder(), port=port, progress=note)
    if as_json:
        shown = ("endpoint_url", "region", "log_file", "console_url")
        print_json({name: getattr(running, name) for name in shown})
        return
    say(f"The local cloud is up at {running.endpoint_url} (region {running.region}).")
    if running.console_url:
        say(f"See it work at {running.console_url}")


@app.command()
def down() -> None:
    """Stop the local cloud; what is in it is gone, but for the mailbox."""
    from shop.local import cloud
    from shop.output import note

    stopped = cloud.down(cloud.default_folder(), progress=note)
    note("stopped" if stopped else "the local cloud was not running")


@app.command()
def reset() -> None:
    """Stop the local cloud and forget its state: orders, queues, the mailbox."""
    from shop.local import cloud
    from shop.output import note

    cloud.reset(cloud.default_folder(), progress=note)
    note("stopped, and its state forgotten")


@app.command()
def status(stage: Stage = "local", as_json: Json = False) -> None:
    """Show what runs and how deep the queues are; exit code 3 when the local cloud is down."""
    from shop import health
    from shop.output import print_json, print_table

    found = health.check(stage)
    if as_json:
        print_json(found)
    else:
        print_table(f"Stage {stage}", ("what", "value"), health.rows(found), give_way=("value",))
    if not found.running:
        raise typer.Exit(NOT_RUNNING_EXIT)


@app.command()
def console(
    stage: Stage = "local",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port on the loopback address; any free one.")
    ] = None,
    allow_actions: Annotated[
        bool, typer.Option("--allow-actions", help="Let the page of a deployed stage change things, too.")
    ] = False,
) -> None:
    """Serve a page on this machine that shows a stage live, until interrupted."""
    from shop.console.server import serve
    from shop.output import say

    serve(stage, port=port, allow_actions=allow_actions, say=say)


@app.command()
def cost(
    # The upper bounds are where the first tiers of the list prices end: some 300 million requests, 50 TB of objects.
    orders_per_day: Annotated[float, typer.Option(min=0, max=10_000_000, help="Orders that come in on a day.")],
    service_requests_per_day: Annotated[
        float, typer.Option(min=0, max=10_000_000, help="Requests to the order service.")
    ] = 0,
    images_per_day: Annotated[float, typer.Option(min=0, max=100_000, help="Photos of 12 megapixels.")] = 0,
    reports_per_day: Annotated[float, typer.Option(min=0, max=1_000, help="Sales reports.")] = 1,
    spike_share: Annotated[float, typer.Option(min=0, max=1, help="Part of the orders that comes in spikes.")] = 0.2,
    months: Annotated[int, typer.Option(min=1, max=120, help="Which month is billed: what is kept grows.")] = 1,
    free_tier: Annotated[bool, typer.Option("--free-tier", help="Take off what is free for every account.")] = False,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", metavar="NAME=VALUE", help="A setting; may be repeated.")
    ] = None,
    stage: Annotated[str, typer.Option("--stage", help="A stage of stacks/settings.py.")] = "dev",
    as_json: Json = False,
) -> None:
    """Estimate what a stage costs a month on AWS, by system and service, and what would make it cheaper."""
    from shop import cost_report
    from shop.cost import Load
    from shop.cost_formulas import DAYS
    from shop.output import print_json

    load = Load(
        orders=orders_per_day * DAYS,
        service_requests=service_requests_per_day * DAYS,
        images=images_per_day * DAYS,
        reports=reports_per_day * DAYS,
        spike_share=spike_share,
        months=months,
    )
    estimate = cost_report.estimate(stage, load, context or (), free_tier=free_tier)
    if as_json:
        print_json(cost_report.as_json(estimate))
    else:
        cost_report.show(estimate)


@app.command()
def demo(as_json: Json = False) -> None:
    """Bring the local cloud up, have a picture made smaller, send orders of every kind, follow each to its end."""
    from shop import demo as demonstration
    from shop.output import print_json

    ledger = demonstration.run()
    if as_json:
        print_json(ledger.summary())
    else:
        demonstration.show(ledger)
    if ledger.differences():
        raise typer.Exit(1)


@app.command()
def destroy(
    stage: Annotated[str, typer.Option("--stage", help="A deployed stage; prod is refused.")], as_json: Json = False
) -> None:
    """Empty a stage's versioned buckets, delete its stacks, and list what is left, why, and how to remove it."""
    from shop.destroy import destroy as destroy_stage
    from shop.output import note, print_json, print_table

    left = destroy_stage(stage, progress=note)
    if as_json:
        print_json(left)
        return
    rows = [(each.kind, each.name, each.why, each.remove) for each in left]
    title = f"Left of stage {stage}"
    print_table(title, ("what", "name", "why", "removed by"), rows, give_way=("name", "why", "removed by"))


@app.command()
def smoke(stage: Stage = "local") -> None:
    """Try a stage out: the order service answers and, but for a stage that keeps its data, an order is stored."""
    from shop.output import say
    from shop.smoke import smoke as try_out

    try_out(stage, say=say)


@orders_app.command("place")
def place_orders(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="One order, an array of orders or JSON Lines.")],
    stage: Stage = "local",
    raw: Annotated[bool, typer.Option("--raw", help="Send the whole file as one body, JSON or not.")] = False,
    connections: Annotated[
        int, typer.Option(min=1, max=64, help="Requests at a time; 1 keeps the file's sequence.")
    ] = 8,
    as_json: Json = False,
) -> None:
    """Send orders to POST /orders, each byte for byte as written; exit code 1 when one was refused."""
    from shop import orders, target
    from shop.output import note, print_json, print_table, progress_bar

    data = _read(file)
    bodies = [data] if raw else orders.read_bodies(data, "standard input" if file == "-" else file)
    api = orders.open_api(target.find(stage), connections)
    with progress_bar("sending", len(bodies)) as advance:
        answers = orders.place(api, bodies, connections, advance)
    if as_json:
        print_json(answers)
    else:
        rows = [(number, a.orderID, a.status, a.messageId or a.refusal) for number, a in enumerate(answers, start=1)]
        outcome = "message id, or why it was refused"
        print_table("Orders sent", ("no.#", "orderID", "status", outcome), rows, give_way=(outcome,))
    refused = sum(answer.refusal is not None for answer in answers)
    note(f"{len(answers) - refused:,} accepted, {refused:,} refused")
    if refused:
        raise typer.Exit(1)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ShopError(f"{file}: {error.strerror or error}") from None


@orders_app.command("show")
def show_order(
    order_id: Annotated[str, typer.Argument(metavar="ID")], stage: Stage = "local", as_json: Json = False
) -> None:
    """Show an order as it is stored; exit code 1 when there is none of that id."""
    from shop import orders, target
    from shop.output import print_json, print_table

    where = target.find(stage)
    item = orders.stored_order(where.client("dynamodb"), where.output("OrdersTableName"), order_id)
    if item is None:
        raise ShopError(
            f"no order {order_id!r} is stored in stage {stage}; what became of it, if it was accepted: orders trace"
        )
    if as_json:
        print_json(item)
        return
    print_table(f"Order {order_id}", ("field", "value"), orders.fields(item), give_way=("value",))


@orders_app.command("trace")
def trace_order(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="A message id, a request id or an orderID.")],
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="How far back to search the logs.")] = "1d",
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Show an order's way with its times: accepted, each try, stored, announced, recorded; and where it is now.

    An order that is not stored is looked for among the dead letters, whose receive counts then rise by one.
    """
    from datetime import UTC, datetime

    from shop import target
    from shop import trace as tracing
    from shop.dead_letter_queues import parse_since
    from shop.output import print_json, print_table, say

    now = datetime.now(UTC)
    start = parse_since(since, now)
    ways = tracing.trace(target.find(stage), wanted, start, now)
    if as_json:
        print_json(ways)
        return
    for way in ways:
        print_table(tracing.title(way), ("time", "ms#", "where", "what"), tracing.rows(way), give_way=("what",))
        say(way.now + "\n")


@orders_app.command("latest")
def show_latest_orders(
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="How far back to read the logs.")] = "1h",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many orders.")] = 25,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Show the orders that came last, newest first, and how far each has got."""
    from datetime import UTC, datetime

    from shop import latest_orders, target
    from shop.dead_letter_queues import parse_since
    from shop.output import print_json, print_table

    where = target.find(stage)
    found = latest_orders.follow(where, parse_since(since, datetime.now(UTC))).look(where.client("logs"), limit)
    if as_json:
        print_json(found)
        return
    columns = ("accepted", "orderID", "message id", "what became of it")
    print_table("Latest orders", columns, map(latest_orders.row, found), give_way=("what became of it",))


@orders_app.command("key")
def show_api_key(stage: Stage = "local", as_json: Json = False) -> None:
    """Print the API key that POST /orders wants as the header x-api-key; it is a secret."""
    from shop import orders, target
    from shop.output import print_json, say

    key = orders.api_key(target.find(stage))
    if as_json:
        print_json({"key": key})
    else:
        say(key)


@orders_app.command("simulate")
def simulate_orders(
    stage: Stage = "local",
    count: Annotated[int | None, typer.Option(min=0, max=10_000, help="How many orders (default 20).")] = None,
    error_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability of an invalid one (default 0.15).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed makes the same orders.")] = None,
    as_json: Json = False,
) -> None:
    """Have the simulator put made-up orders on the queue, some of them invalid."""
    from shop import orders, target
    from shop.output import print_json, say

    given = {"count": count, "error_rate": error_rate, "seed": seed}
    result = orders.simulate(target.find(stage), {name: value for name, value in given.items() if value is not None})
    if as_json:
        print_json(result)
    else:
        say(f"{result['sent']:,} orders sent, {result['invalid']:,} of them invalid")


@orders_app.command("restore")
def restore_orders(
    source: Annotated[str, typer.Option("--from", metavar="TABLE", help="The table that was restored beside it.")],
    go: Go = False,
    not_restored: Annotated[
        bool, typer.Option("--not-restored", help="Take a table that no restore made, such as a copy by hand.")
    ] = False,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Copy what the orders table lacks of a restored table, overwriting nothing; a dry run without --go.

    What is copied is announced again. Exit code 1 when something was left for a person to decide.
    """
    from shop import restore, target
    from shop.output import live_line, note, plural, print_json, print_table

    where = target.find(stage)
    with live_line() as show:
        result = restore.restore(
            where,
            source,
            go=go,
            not_restored=not_restored,
            on_page=lambda done: show(f"{done.read:,} looked at, {done.copied:,} copied"),
        )
    if as_json:
        print_json(result)
    else:
        print_table(f"Orders of {source}", ("what", "count#"), restore.rows(result))
        for what, ids in (("conflict", result.conflicts), ("no order", result.no_orders)):
            for each in ids[: restore.SHOWN]:
                note(f"{what}: {each}")
    if result.other_source:
        note(f"{source} was not restored from the orders table, but from {result.other_source}")
    if result.missing and not go:
        note(f"dry run: --go copies {plural(result.missing, 'order')}, and they are announced again")
    if result.conflicts or result.no_orders:
        raise typer.Exit(1)


@order_app.command("create")
def create_item(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="One JSON object with an id.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the item of this id, if there is one.")
    ] = False,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Store an item, its numbers exactly as written; an id that exists is refused."""
    from shop import order_service

    item = order_service.read_item(_read(file), "standard input" if file == "-" else file)
    _show_item("created", _order_service(stage).create(item, overwrite=overwrite), as_json=as_json)


@order_app.command("read")
def read_item(item_id: ItemId, stage: Stage = "local", as_json: Json = False) -> None:
    """Show an item as it is now."""
    _show_item("read", _order_service(stage).read(item_id), as_json=as_json)


@order_app.command("update")
def update_item(
    item_id: ItemId,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=JSON", help="Give a field a value; may be repeated.")
    ] = None,
    removes: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="Remove a field; may be repeated.")
    ] = None,
    expression: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A DynamoDB UpdateExpression, in place of --set and --remove.")
    ] = None,
    condition: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A DynamoDB ConditionExpression that must hold.")
    ] = None,
    names: Names = None,
    values: Values = None,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Change an item that exists and show the new one."""
    if (expression is None) == (not sets and not removes):
        raise typer.BadParameter("give either --set and --remove, or --expression")
    from shop import order_service

    made = order_service.read_change(sets or [], removes or []) if expression is None else None
    texts = {"UpdateExpression": expression, "ConditionExpression": condition}
    change = order_service.read_expression(texts, names, values, beside=made)
    _show_item("updated", _order_service(stage).update(item_id, change), as_json=as_json)


@order_app.command("delete")
def delete_item(item_id: ItemId, stage: Stage = "local", as_json: Json = False) -> None:
    """Delete an item and show what it was."""
    _show_item("deleted", _order_service(stage).delete(item_id), as_json=as_json)


@order_app.command("list")
def list_items(
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many items.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="Show all items, however many there are.")] = False,
    filter_text: Annotated[
        str | None, typer.Option("--filter", metavar="TEXT", help="A DynamoDB FilterExpression.")
    ] = None,
    names: Names = None,
    values: Values = None,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Show items, in no particular order."""
    from shop import order_service
    from shop.output import note, print_json, print_table

    chosen = order_service.read_expression({"FilterExpression": filter_text}, names, values)
    found = _order_service(stage).list_items(None if everything else limit, chosen)
    if as_json:
        print_json(found.items)
    else:
        rows = map(order_service.row, found.items)
        print_table(order_service.title(found), ("id", "other fields"), rows, give_way=("other fields",))
    if found.has_more:
        note("There are more items: --limit, or --all.")


@order_app.command("ping")
def ping(stage: Stage = "local", as_json: Json = False) -> None:
    """Ask the service for a sign of life, and show how long it took."""
    from shop.output import print_json, say

    milliseconds = round(_order_service(stage).ping(), 1)
    if as_json:
        print_json({"answer": "pong", "milliseconds": milliseconds})
    else:
        say(f"pong in {milliseconds} ms")


def _order_service(stage: str) -> "OrderService":
    from shop import order_service, target

    return order_service.open_service(target.find(stage, target.ORDER_SERVICE))


def _show_item(done: str, item: Mapping[str, Any], *, as_json: bool) -> None:
    from shop.output import field_rows, print_json, print_table

    if as_json:
        print_json(item)
        return
    print_table(f"Item {item.get('id')}, {done}", ("field", "value"), field_rows(item, first="id"), give_way=("value",))


@report_app.command("run")
def run_report(
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="The day; today in the shop's zone without it.")
    ] = None,
    print_text: Annotated[bool, typer.Option("--print", help="Show the mail's text.")] = False,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Have a day's sales report made, kept as CSV and mailed."""
    from shop import report
    from shop.output import note, plural, print_json, say

    made = report.run(report.find(stage), day)
    if as_json:
        print_json(made)
        return
    if print_text:
        say(made.message)
    note(f"Report of {made.date} mailed: {plural(made.products, 'product')}, quantity {made.quantity:,}; {made.csv}")


@report_app.command("get")
def get_report(
    day: Annotated[str, typer.Argument(metavar="DATE", help="The day, as YYYY-MM-DD.")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the CSV to a file; - is stdout.")
    ] = None,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Fetch the CSV of a day's newest report, byte for byte; on a terminal control characters are escaped."""
    from shop import report
    from shop.output import note, print_csv, print_json

    data = report.fetch(report.find(stage), day)
    if output == "-":
        output = None
    if output is not None:
        report.write(data, output)
        note(f"{len(data):,} bytes written to {output}")
    if as_json:
        print_json(report.read_rows(data))
    elif output is None:
        print_csv(data)


@report_app.command("rebuild")
def rebuild_sales(go: Go = False, stage: Stage = "local", as_json: Json = False) -> None:
    """Have all stored orders recorded once more, for a sales database that lost some; a dry run without --go."""
    from shop import report, sales_rebuild, target
    from shop.output import live_line, note, plural, print_json, say

    pipeline, sales = target.find(stage), report.find(stage)
    with live_line() as show:
        result = sales_rebuild.rebuild(pipeline, sales, go=go, on_page=lambda done: show(f"{done.orders:,} orders"))
    if as_json:
        print_json(result)
    else:
        say(f"{plural(result.orders, 'order')} stored, {result.sent:,} sent to the sales recorder's queue")
    for each in result.no_orders:
        note(f"no order: {each}")
    if result.orders and not go:
        note("dry run: --go sends them; the recorder leaves alone what it has")


@images_app.command("put")
def put_images(
    files: Annotated[list[str], typer.Argument(metavar="FILE...")],
    folder: Annotated[str, typer.Option("--folder", metavar="FOLDER", help="Such as mugs/2026; none without it.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every size is made, or has failed.")] = False,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Upload originals, each under its file's name; exit code 1 when one was refused or a size was not made."""
    from shop import image_uploads
    from shop.output import note, plural, print_json, printable, progress_bar

    images = _images(stage)
    with progress_bar("uploading", len(files)) as advance:
        uploads = image_uploads.put(images, files, folder, advance)
    sent = sum(upload.version is not None for upload in uploads)
    if wait:
        with progress_bar("making", sent * len(images.sizes)) as advance:
            uploads = image_uploads.wait(images, uploads, advance)
    if as_json:
        print_json(uploads)
    elif sent:
        _print_uploads(uploads)
    failures = [line for upload in uploads for line in upload.failures()]
    for line in failures:
        note(printable(line))
    note(f"{plural(sent, 'image')} uploaded, {len(files) - sent:,} refused")
    if failures:
        raise typer.Exit(1)


def _print_uploads(uploads: "list[Upload]") -> None:
    from shop.output import print_table

    sent = [upload for upload in uploads if upload.version is not None]
    sizes = list(sent[0].results)
    columns = ("name", "version", *(f"{size}#" for size in sizes))
    rows = [(u.name, u.version, *(u.results[size].cell() for size in sizes)) for u in sent]
    print_table("Uploaded", columns, rows, give_way=("name",))


@images_app.command("list")
def list_images(
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many images.")] = 100,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Show originals by name, and how many bytes each size of them has."""
    from shop import images as product_images
    from shop.output import note, plural, print_json, print_table

    images = _images(stage)
    found = product_images.list_images(images, limit)
    if as_json:
        print_json(found.images)
    else:
        columns = ("name", "original#", "uploaded at", *(f"{size.name}#" for size in images.sizes))
        title = f"Images: {plural(len(found.images), 'original')}; sizes in bytes"
        print_table(title, columns, map(product_images.row, found.images), give_way=("name",))
    if found.has_more:
        note("There are more images: --limit.")


@images_app.command("get")
def get_image(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As images list shows it, such as mugs/red.jpg.")],
    size: Annotated[
        str, typer.Option("--size", help="thumbnail, mobile or another size of the stage, original, or all.")
    ] = "all",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Written to FOLDER/SIZE/NAME.")
    ] = Path(),
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Fetch an image into FOLDER/SIZE/NAME, in the place of a file that exists; exit code 1 when one is not there."""
    from shop import images as product_images
    from shop.output import note, print_json, printable

    fetched = product_images.fetch(_images(stage), name, size, output)
    if as_json:
        print_json(fetched)
    for each in fetched:
        said = f"{each.bytes:,} bytes written to {each.file}" if each.failure is None else f"error: {each.failure}"
        note(printable(said))
    if any(each.failure for each in fetched):
        raise typer.Exit(1)


def _images(stage: str) -> "Images":
    from shop import images, target

    return images.open_images(target.find(stage, target.IMAGE_FANOUT))


@app.command("logs")
def show_logs(
    function: Annotated[str, typer.Argument(metavar="FUNCTION", help="Such as OrderProcessor; a wrong one lists all.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
    text: Annotated[
        str | None, typer.Option("--filter", metavar="TEXT", help="Only lines with exactly this text in them.")
    ] = None,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="From then on: a time, or 30m, 2h, 3d.")] = "1h",
    report: Annotated[
        bool, typer.Option("--report", help="Instead of lines: durations, cold starts, memory, timeouts, errors.")
    ] = False,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Show what a function logged, oldest first (--json: an object a line), or the figures of its invocations."""
    if report and (follow or text is not None):
        raise typer.BadParameter("--report is of all invocations since a time: without --follow and --filter")
    from datetime import UTC, datetime

    from shop import logs, target
    from shop.dead_letter_queues import parse_since

    start = parse_since(since, datetime.now(UTC))
    where = target.connect(stage)
    name = logs.find_function(where, function)
    if report:
        _show_figures(where, name, start, as_json=as_json)
        return
    from shop.output import print_json_line, say

    group = logs.group_of(where, name)
    for line in logs.lines(where, group, start, text, following=follow):
        if as_json:
            print_json_line(line)
            continue
        for shown in logs.text_lines(line):
            say(shown)


def _show_figures(where: "Target", name: str, start: "datetime", *, as_json: bool) -> None:
    from shop import logs
    from shop.names import construct_name
    from shop.output import print_json, print_table

    figures = logs.figures(logs.invocations(where, logs.group_of(where, name), start))
    if as_json:
        print_json(figures)
        return
    print_table(f"{construct_name(name)} since {start:%Y-%m-%d %H:%M:%S}Z", ("what", "figure#"), logs.rows(figures))


@app.command()
def mailbox(stage: Stage = "local", as_json: Json = False) -> None:
    """Show what e-mail subscribers of the local cloud's topics got, newest last."""
    from shop import mailbox as mails
    from shop import target
    from shop.output import plural, print_json, say

    found = mails.read(target.find(stage))
    if as_json:
        print_json(found)
        return
    say(f"Mailbox: {plural(len(found), 'mail')}")
    for mail in found:
        say("\n".join(["", *mails.lines(mail)]))


@app.command()
def audit(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|-]", help="What was sent: an id a line, JSON Lines, or orders place --json."),
    ] = None,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Say where each order is that was sent: stored, dead-lettered, in the queue; exit code 1 when one is nowhere.

    Without a file only the counts. Dead letters are received and given back, so their receive counts rise by one.
    """
    from shop import audit as auditing
    from shop import target
    from shop.output import note, print_json, print_table, printable

    where = target.find(stage)
    if file is None:
        result = auditing.audit(where)
    else:
        sent = auditing.read_sent(_read(file).split(b"\n"), "standard input" if file == "-" else file)
        result = auditing.audit(where, sent.ids, sent.refused)
    if as_json:
        print_json(result)
    else:
        print_table(f"Orders of stage {stage}", ("place", "orders#"), auditing.rows(result))
    if result.totals.held:
        note(f"{result.totals.held:,} more in the dead-letter queue could not be read: run it again in a minute")
    lost = auditing.unknown_ids(result)
    for each in lost[: auditing.SHOWN]:
        note(f"unknown: {printable(each)}")
    if lost:
        note(f"{len(lost):,} accepted and nowhere, with the orders queue empty (--json names each)")
        raise typer.Exit(1)


@dlq_app.command("list")
def list_dead_letters(
    queues: Queues = None,
    reason: Reason = None,
    since: Since = None,
    ids: Ids = None,
    stage: Stage = "local",
    limit: Annotated[int | None, typer.Option(min=1, help="Read at most so many messages of a queue.")] = None,
    as_json: Json = False,
) -> None:
    """Show the dead-lettered messages and why each is there; their receive counts rise by one."""
    from shop import dead_letter_queues, dead_letters, target
    from shop.output import note, plural, print_json, print_table

    filters = _filters(queues, reason, since, ids)
    letters = dead_letter_queues.read_letters(dead_letter_queues.find(stage, filters.queues), filters, limit)
    if as_json:
        print_json(letters)
    else:
        columns = ("queue", "orderID, or message id", "reason", "sent at", "receives#")
        title = f"Dead-letter queues: {plural(len(letters), 'message')}"
        print_table(title, columns, map(dead_letters.row, letters), give_way=("reason",))
    if letters and not as_json:
        option = target.stage_option(stage)
        note(f".venv/bin/python -m shop dlq show ID{option} has a message whole, --json all of them.")
    _note_receiving(letters)


def _note_receiving(letters: "list[DeadLetter]") -> None:
    from shop.output import note

    if letters:
        note("Reading receives: each message was given back, its receive count one higher than before.")


def _filters(queues: list[str] | None, reason: str | None, since: str | None, ids: list[str] | None) -> "Filters":
    from datetime import UTC, datetime

    from shop.dead_letter_queues import Filters, parse_since

    if reason is not None and not reason.strip():
        # Such as an unset variable of a shell; it would take every message without --all.
        raise typer.BadParameter("--reason has no text")
    moment = None if since is None else parse_since(since, datetime.now(UTC))
    return Filters(tuple(queues or ()), reason, moment, frozenset(ids or ()))


@dlq_app.command("show")
def show_dead_letter(
    message: Annotated[str, typer.Argument(metavar="ID", help="A message id, or an orderID.")],
    queues: Queues = None,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Show a dead-lettered message whole; exit code 1 when there is none of that id."""
    from shop import dead_letter_queues, dead_letters
    from shop.output import print_json, print_table

    filters = _filters(queues, None, None, [message])
    letters = dead_letter_queues.read_letters(dead_letter_queues.find(stage, filters.queues), filters)
    if not letters:
        raise ShopError(
            f"no dead-lettered message {message!r} in stage {stage}; another reader may hold it for a minute"
        )
    if as_json:
        print_json(letters)
        return
    for letter in letters:
        title = f"Message {letter.message_id} of {letter.queue}"
        print_table(title, ("field", "value"), dead_letters.fields(letter), give_way=("value",))
    _note_receiving(letters)


@dlq_app.command("export")
def export_dead_letters(
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="A new file; stdout without it.")] = "-",
    queues: Queues = None,
    reason: Reason = None,
    since: Since = None,
    ids: Ids = None,
    stage: Stage = "local",
) -> None:
    """Write dead-lettered messages as JSON Lines, each whole; they stay where they are."""
    from shop import dead_letter_queues, redrive
    from shop.output import note, plural

    filters = _filters(queues, reason, since, ids)
    letters = dead_letter_queues.read_letters(dead_letter_queues.find(stage, filters.queues), filters)
    if file == "-":
        redrive.export(letters, sys.stdout.buffer)
    else:
        with _new_file(file) as output:
            redrive.export(letters, output)
        note(f"{plural(len(letters), 'message')} written to {file}")
    _note_receiving(letters)


def _new_file(name: str) -> "BinaryIO":
    """Open a file that must not exist yet: an export may be all that is left of a message."""
    try:
        return Path(name).open("xb")
    except OSError as error:
        raise ShopError(f"{name}: {error.strerror or error}") from None


@dlq_app.command("redrive")
def redrive_dead_letters(
    queues: Queues = None,
    reason: Reason = None,
    since: Since = None,
    ids: Ids = None,
    change: Annotated[
        str | None,
        typer.Option("--edit", metavar="JSON|@FILE", help="A JSON merge patch for the bodies of orders and sales."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.5, help="At most so many messages a second.")] = 100.0,
    received_within: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long before they were stored to look for orders to announce (15m)."),
    ] = None,
    everything: All = False,
    go: Go = False,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Send dead-lettered messages back to where they failed; a dry run without --go.

    Each is sent first and deleted after. What is interrupted may be repeated.
    """
    from shop import dead_letter_queues, redrive
    from shop.output import progress_bar

    filters = _filters(queues, reason, since, ids)
    _require_choice(filters, everything)
    patch = None if change is None else _read_patch(change)
    window = None if received_within is None else dead_letter_queues.parse_period(received_within)
    asked = redrive.Redrive(filters, patch, rate, window)
    places = dead_letter_queues.find(stage, filters.queues)
    with progress_bar("redriving", redrive.waiting(places)) as advance:
        outcomes = redrive.run(places, asked, advance) if go else redrive.plan(places, asked, advance)
    _show_outcomes(outcomes, go=go, as_json=as_json)


@dlq_app.command("purge")
def purge_dead_letters(
    queues: Queues = None,
    reason: Reason = None,
    since: Since = None,
    ids: Ids = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to keep them; named for you without it.")
    ] = None,
    everything: All = False,
    go: Go = False,
    stage: Stage = "local",
    as_json: Json = False,
) -> None:
    """Delete dead-lettered messages, each after it was written to a file; a dry run without --go."""
    from datetime import UTC, datetime

    from shop import dead_letter_queues, redrive
    from shop.output import note, plural, progress_bar

    filters = _filters(queues, reason, since, ids)
    _require_choice(filters, everything)
    places = dead_letter_queues.find(stage, filters.queues)
    if not go:
        with progress_bar("reading", redrive.waiting(places)) as advance:
            outcomes = redrive.purge_plan(places, filters, advance)
        _show_outcomes(outcomes, go=False, as_json=as_json)
        return
    name = output or f"dead-letters-{stage}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
    with _new_file(name) as file, progress_bar("deleting", redrive.waiting(places)) as advance:
        note(f"Each message is written to {name} before it is deleted.")
        outcomes = redrive.purge(places, filters, file, advance)
    if not outcomes:
        Path(name).unlink()
    _show_outcomes(outcomes, go=True, as_json=as_json)
    if outcomes:
        note(f"{plural(len(outcomes), 'message')} in {name}")


def _require_choice(filters: "Filters", everything: bool) -> None:
    if not filters.are_given and not everything:
        raise typer.BadParameter("say which messages (--queue, --reason, --since, --id), or --all")


def _read_patch(change: str) -> "Patch":
    from shop.json_merge_patch import NotEditable, read_patch

    text = _read(change[1:]).decode("utf-8", "replace") if change.startswith("@") else change
    try:
        return read_patch(text)
    except NotEditable as error:
        raise typer.BadParameter(f"--edit {error}") from None


def _show_outcomes(outcomes: "list[Outcome]", *, go: bool, as_json: bool) -> None:
    """Print what became of messages, or would; exit code 1 when one stays that was to go."""
    from collections import Counter

    from shop.output import note, print_json, print_table
    from shop.redrive import row

    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts[outcome.state] += outcome.messages
    if as_json:
        print_json(outcomes)
    else:
        title = "Dead letters" if go else "Dead letters, dry run"
        print_table(title, ("queue", "orderID, or message id", "state", "detail"), map(row, outcomes), ("detail",))
    note(", ".join(f"{count:,} {state}" for state, count in counts.items()) or "no message")
    if not go:
        note("Nothing was changed but receive counts. With --go it is done.")
    elif counts["kept"]:
        raise typer.Exit(1)

"""The commands of `python -m shop`: what they are called, what they take, how they end.

Exit codes: 0 done, 1 refused or failed (one line on stderr says why), 2 wrong usage, 3 the local cloud does not run
(`status`), 130 interrupted. What a command does is in the module of its topic, imported when the command runs, so that
`--help` and a typing error answer at once.
"""
# ruff: noqa: PLC0415

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from shop.errors import ShopError

NOT_RUNNING_EXIT = 3

Stage = Annotated[str, typer.Option("--stage", help="local, or a stage deployed with your AWS credentials.")]
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


def explain(error: Exception) -> str | None:
    """Return the line to show for an error that a person can mend; None for what deserves its traceback."""
    if isinstance(error, ShopError):
        return str(error)
    if "botocore" not in sys.modules:
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        said = error.response["Error"]
        return f"{error.operation_name}: {said.get('Code', 'unknown error')}: {said.get('Message', 'no message')}"
    return " ".join(str(error).split()) if isinstance(error, BotoCoreError) else None


app = typer.Typer(
    cls=Commands,
    help="The shop's local cloud, and the operator's commands for it and for stages on AWS.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
orders_app = typer.Typer(help="Place orders, look one up, let the simulator send some.", no_args_is_help=True)
dlq_app = typer.Typer(help="Orders that could not be stored.", no_args_is_help=True)
app.add_typer(orders_app, name="orders")
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
        print_json({"endpoint_url": running.endpoint_url, "region": running.region, "log_file": running.log_file})
        return
    say(f"The local cloud is up at {running.endpoint_url} (region {running.region}).")


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
def demo(as_json: Json = False) -> None:
    """Bring the local cloud up, send orders of every kind and follow each to its end."""
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
def destroy(stage: Annotated[str, typer.Option("--stage", help="A deployed stage; prod is refused.")]) -> None:
    """Empty a stage's versioned buckets, then destroy its stacks."""
    from shop.destroy import destroy as destroy_stage
    from shop.output import note

    destroy_stage(stage, progress=note)


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
            f"no order {order_id!r} is stored in stage {stage}; if it was accepted, look for it in status (waiting), "
            "dlq list (set aside) and the processor's log (failing)"
        )
    if as_json:
        print_json(item)
        return
    print_table(f"Order {order_id}", ("field", "value"), orders.fields(item), give_way=("value",))


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


@dlq_app.command("list")
def list_dead_letters(
    stage: Stage = "local",
    limit: Annotated[int | None, typer.Option(min=1, help="Read at most so many messages of a queue.")] = None,
    as_json: Json = False,
) -> None:
    """Show the dead-lettered messages and why each is there; their receive counts rise by one."""
    from shop import dead_letters, target
    from shop.output import note, plural, print_json, print_table

    letters = dead_letters.read_all(target.find(stage), limit)
    if as_json:
        print_json(letters)
    else:
        columns = ("orderID, or message id", "reason", "sent at", "receives#")
        title = f"Dead-letter queues: {plural(len(letters), 'message')}"
        print_table(title, columns, map(dead_letters.row, letters), give_way=("reason",))
    if letters and not as_json:
        note("--json has the whole messages, bodies and attributes included.")
    if letters:
        note("Reading receives: each message was given back, its receive count one higher than before.")

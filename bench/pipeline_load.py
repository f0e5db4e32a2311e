"""Puts load on the order pipeline of a stage: a steady rate, five times as much, then it waits for the last order.

    PYTHONPATH=lambdas python -m bench.pipeline_load [--stage local] [--users 10] [--seconds 30] [--json]

`--users` customers send an order a second each, for two thirds of the time; then five times as many do. The report, an
HTML file with charts, goes to `loadtest/` in the folder of the local cloud, beside what was sent and its answers, which
`python -m shop audit` reads. The exit code is 1 unless every accepted order is stored or dead-lettered, every stored
one was announced, and no request failed for another reason than throttling. The orders stay in the table.
"""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import pipeline_report
from bench.loadtest import ROOT, read_options, start_locust
from bench.pipeline_report import Results
from bench.pipeline_watch import AnswerFile, Observations, Watch, subscribed
from shop import target
from shop.audit import audit
from shop.errors import ShopError
from shop.local import cloud as local_cloud
from shop.mailbox import UNCONFIRMED, subscriptions
from shop.output import note, print_json, print_table, say
from shop.target import Target
from stacks.settings import load_settings

_LOCUSTFILE: Final = ROOT / "bench" / "order_pipeline_locust.py"
_SPIKE_SHARE: Final = 3
"""The spike has one part of so many of the time."""
_SPIKE_FACTOR: Final = 5
"""As in `order_pipeline_locust`, which cannot be imported here: Locust replaces the standard library's sockets."""
_LOOKED_UP_A_SECOND: Final = 10
_DRAIN_SECONDS: Final = 300
_REACHED_BY_MAIL: Final = ("email", "email-json", "sms")


def run(place: Target, customers: int, seconds: int, run_id: str, folder: Path) -> tuple[Results, Observations]:
    """Put load on a stage's pipeline, wait until it has drained, and audit it.

    `customers` is the steady rate in orders a second. The answers go to a file in `folder`. Raises ShopError when
    Locust could not do its work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    answers = folder / f"{run_id}.jsonl"
    spike_seconds = max(1, seconds // _SPIKE_SHARE)
    words: list[object] = ["--stage", place.stage, "--customers", customers, "--run-id", run_id, "--answers", answers]
    words += ["--steady-seconds", max(1, seconds - spike_seconds), "--spike-seconds", spike_seconds]
    every = -(-customers * _SPIKE_FACTOR // _LOOKED_UP_A_SECOND)
    processes = {**_emulator(place), "load test": os.getpid()}
    with subscribed(place, run_id, f"{run_id}-") as announcements:
        watch = Watch(place, announcements, AnswerFile(answers), every, processes)
        with watch.running():
            code = start_locust(_LOCUSTFILE, words)
            if code or not answers.exists():
                raise ShopError(f"the load test ended before its time (exit code {code})")
            watch.check()
            note("draining")
            dead_before = watch.seen.samples[0].dead
            watch.wait(lambda seen: _is_drained(seen, dead_before), _DRAIN_SECONDS)
    sent = watch.seen.answers
    refused = {answer.orderID for answer in sent if answer.refusal is not None}
    audited = audit(place, (answer.orderID for answer in sent), refused)
    return pipeline_report.make_results(watch.seen, audited), watch.seen


def _is_drained(seen: Observations, dead_before: int) -> bool:
    """Whether each accepted order was announced, or the dead letters have grown by those that were not."""
    latest = seen.samples[-1]
    return len(seen.accepted()) <= len(seen.announced_at) + max(0, latest.dead - dead_before)


def _emulator(place: Target) -> dict[str, int]:
    """The process whose CPU time is the local cloud's own; nothing of AWS can be seen so."""
    if place.cloud is None:
        return {}
    pid = local_cloud.status(local_cloud.default_folder()).pid
    return {} if pid is None else {"emulator and its functions": pid}


def check_stage(place: Target) -> None:
    """Raise ShopError where a load test would do harm: orders that must be kept, mail to people."""
    if load_settings({"stage": place.stage}).keep_data:
        raise ShopError(f"stage {place.stage} keeps its data, and the orders of a load test stay: use another stage")
    found = subscriptions(place.client("sns"), place.output("OrderTopicArn"))
    people = [one for one in found if one["Protocol"] in _REACHED_BY_MAIL and one["SubscriptionArn"] not in UNCONFIRMED]
    if people and place.cloud is None:
        raise ShopError(
            f"{len(people)} people are subscribed to the announcements of stage {place.stage}: each order would be a "
            "message to them, and more than ten a second make Amazon SNS disable the subscription; unsubscribe them"
        )


def show(results: Results, report: Path) -> None:
    """Print the results as tables, and what went wrong below them."""
    print_table(
        "Load test of the order pipeline", pipeline_report.PHASE_COLUMNS, pipeline_report.phase_rows(results.phases)
    )
    rows = pipeline_report.summary_rows(results, os.cpu_count())
    print_table("The whole run", ("what", "value#"), rows)
    say(f"\nAudit: {pipeline_report.verdict_line(results)}")
    for problem in results.problems:
        note(f"error: {problem}")
    note(f"report: {report}")


def main() -> int:
    """Run the load test that the arguments ask for and print its results; return the exit code."""
    options = read_options(
        argparse.ArgumentParser(prog="bench.pipeline_load", description="Put load on a stage's order pipeline."),
        users="orders a second to begin with",
        seconds="for how long orders are sent",
    )
    started = datetime.now(UTC)
    run_id = f"loadtest-{started:%Y%m%dT%H%M%S%f}Z"
    folder = local_cloud.default_folder() / "loadtest"
    try:
        place = target.find(options.stage)
        check_stage(place)
        results, seen = run(place, options.users, options.seconds, run_id, folder)
    except ShopError as error:
        note(f"error: {error}")
        return 1
    report = folder / f"order-pipeline-{options.stage}-{run_id.removeprefix('loadtest-')}.html"
    title = f"Load test of the order pipeline, stage {options.stage}, {started:%Y-%m-%d %H:%M} UTC"
    report.write_text(pipeline_report.html(title, results, seen, os.cpu_count()), encoding="utf-8")
    if options.json:
        print_json({**pipeline_report.as_json(results), "report": str(report)})
    else:
        show(results, report)
    return int(bool(results.problems))


if __name__ == "__main__":
    sys.exit(main())

"""What it costs to announce an order: the order notifier against the plain lab's, in batches of 1, 10 and 100.

PYTHONPATH=lambdas python -m bench.notifier_cpu [--json FILE] [--rounds 15]
"""

import argparse

from bench.function_work import Context, stream_event
from bench.handler_cpu import Case, compare, function_process
from bench.harness import add_options, hand_in

_BATCHES = (1, 10, 100)
_EVENTS_A_ROUND = 10
_ENVIRONMENT = {"ORDER_TOPIC_ARN": "arn:aws:sns:us-east-1:111122223333:orders", "SHOP_STAGE": "bench"}


def _case(size: int) -> Case:
    return Case(
        f"an event, batch of {size}",
        lambda number: stream_event(size, number * size),
        size,
        lambda answer: answer == {"batchItemFailures": []},
    )


def main() -> None:
    """Measures, prints the table and hands it in."""
    parser = argparse.ArgumentParser(description="Compare what announcing an order costs.")
    parser.add_argument("--rounds", type=int, default=15)
    add_options(parser)
    options = parser.parse_args()
    with function_process(_ENVIRONMENT):
        table = compare(
            "Order notifier: CPU per event",
            "order_notifier",
            [_case(size) for size in _BATCHES],
            context=Context(),
            repeat=options.rounds,
            runs=_EVENTS_A_ROUND,
        )
    hand_in("notifier_cpu", [table], options.json)


if __name__ == "__main__":
    main()

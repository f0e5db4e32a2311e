"""What it costs to store an order: the order processor against the plain lab's, in batches of 10 and 25.

PYTHONPATH=lambdas python -m bench.processor_cpu [--json FILE] [--rounds 15]
"""

import argparse

from bench.function_work import Context, orders_event
from bench.handler_cpu import Case, compare, function_process
from bench.harness import add_options, hand_in

_BATCHES = (10, 25)
_EVENTS_A_ROUND = 30
_ENVIRONMENT = {"DYNAMODB_ORDERS_TABLE": "orders", "SHOP_STAGE": "bench"}


def _case(size: int) -> Case:
    return Case(
        f"an order, batch of {size}",
        lambda number: orders_event(size, number * size),
        size,
        lambda answer: answer == {"batchItemFailures": []},
    )


def main() -> None:
    """Measures, prints the table and hands it in."""
    parser = argparse.ArgumentParser(description="Compare what storing an order costs.")
    parser.add_argument("--rounds", type=int, default=15)
    add_options(parser)
    options = parser.parse_args()
    with function_process(_ENVIRONMENT):
        table = compare(
            "Order processor: CPU per order",
            "order_processor",
            [_case(size) for size in _BATCHES],
            context=Context(),
            repeat=options.rounds,
            runs=_EVENTS_A_ROUND,
        )
    hand_in("processor_cpu", [table], options.json)


if __name__ == "__main__":
    main()

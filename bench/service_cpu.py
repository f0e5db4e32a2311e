"""What a request costs the order service: each operation against the plain lab's.

PYTHONPATH=lambdas python -m bench.service_cpu [--json FILE] [--rounds 15]
"""

import argparse
from http import HTTPStatus

from bench.handler_cpu import Case, compare, function_process
from bench.harness import add_options, hand_in
from bench.order_service_requests import ENVELOPES, Context, event

_REQUESTS_A_ROUND = 30
_ENVIRONMENT = {"ORDER_SERVICE_TABLE": "orders-of-the-benchmark"}


def _case(operation: str) -> Case:
    return Case(
        operation if operation != "list" else "list, 100 items",
        lambda _: event(ENVELOPES[operation]),
        1,
        lambda answer: answer["statusCode"] < HTTPStatus.MULTIPLE_CHOICES,
    )


def main() -> None:
    """Measures, prints the table and hands it in."""
    parser = argparse.ArgumentParser(description="Compare what a request to the order service costs.")
    parser.add_argument("--rounds", type=int, default=15)
    add_options(parser)
    options = parser.parse_args()
    with function_process(_ENVIRONMENT):
        table = compare(
            "Order service: CPU per request",
            "order_service",
            [_case(operation) for operation in ENVELOPES],
            context=Context(),
            repeat=options.rounds,
            runs=_REQUESTS_A_ROUND,
        )
    hand_in("service_cpu", [table], options.json)


if __name__ == "__main__":
    main()

"""What a router costs a cold start: Powertools' APIGatewayRestResolver against the order service's table of routes.

    PYTHONPATH=lambdas python -m bench.router_import [--json FILE]

Prints the CPU time of fresh processes that have the order service's built package; its handler's own import, with the
SDK and a client, is the baseline.
"""

import argparse
from functools import partial
from typing import Final

from bench import harness
from bench.fresh_process import cpu_of_code
from stacks.constructs.packages import build, host_target

_ROUNDS: Final = 15
_RUNTIME: Final = "import decimal, json, logging, traceback"
"""What Lambda's runtime client has imported when it comes to a function."""
_SDK: Final = f"{_RUNTIME}; import shared.aws"
_HANDLER: Final = "import order_service.handler"
_TABLE: Final = "import order_service.contract"
_RESOLVER: Final = """
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
app = APIGatewayRestResolver()
for method, path in (
    ("POST", "/order"), ("GET", "/order"), ("GET", "/order/<id>"),
    ("PUT", "/order/<id>"), ("PATCH", "/order/<id>"), ("DELETE", "/order/<id>"),
):
    app.route(path, method=[method])(lambda **_: {})
"""


def main() -> None:
    """Measures all three in turn and hands the table in."""
    parser = argparse.ArgumentParser(description="Compare what routers cost a cold start.")
    harness.add_options(parser)
    options = parser.parse_args()
    cpu = partial(cpu_of_code, package=build("order_service", host_target()).folder)
    measured = harness.interleave(
        {
            "order service's handler, SDK and table of routes included": partial(cpu, _HANDLER, before=_RUNTIME),
            "table of routes alone": partial(cpu, _TABLE, before=_SDK),
            # After the handler, so that what both import is not counted twice.
            "Powertools' resolver with six routes, on top of the handler": partial(
                cpu, _RESOLVER, before=f"{_RUNTIME}; {_HANDLER}"
            ),
        },
        repeat=_ROUNDS,
    )
    baseline = next(iter(measured.values()))
    rows = [harness.row(what, sample, baseline) for what, sample in measured.items()]
    note = "CPU time of the imports in a fresh process, from the function's package."
    table = harness.Table("A router's part in the cold start", "the order service's own import", rows, (note,))
    harness.hand_in("router_import", [table], options.json)


if __name__ == "__main__":
    main()

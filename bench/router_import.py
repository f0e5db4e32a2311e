"""What a router costs a cold start: Powertools' APIGatewayRestResolver against the order service's table of routes.

    PYTHONPATH=lambdas python -m bench.router_import

Prints CPU time in milliseconds (median of fresh processes, after boto3 and a DynamoDB client, which both need) and the
ratio against the order service's own import, which is the baseline.
"""

from typing import Final

from bench.fresh_process import cpu_milliseconds

_ROUNDS: Final = 15
_SDK: Final = "import boto3; boto3.client('dynamodb')"
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
    """Measures all three and prints them."""
    handler = cpu_milliseconds(_HANDLER, before=_SDK, rounds=_ROUNDS)
    measured = {
        "order service's handler, table of routes included (baseline)": handler,
        "table of routes alone": cpu_milliseconds(_TABLE, before=_SDK, rounds=_ROUNDS),
        # After the handler, so that what both import is not counted twice.
        "Powertools' resolver with six routes, on top of the handler": cpu_milliseconds(
            _RESOLVER, before=f"{_SDK}; {_HANDLER}", rounds=_ROUNDS
        ),
    }
    for name, milliseconds in measured.items():
        print(f"{name}: {milliseconds:.1f} ms, ratio {milliseconds / handler:.2f}")


if __name__ == "__main__":
    main()

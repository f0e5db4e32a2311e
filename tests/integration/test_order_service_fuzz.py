"""The running order service against its OpenAPI description: schemathesis makes the requests and judges the answers.

The same requests in each run (a fixed seed, no database). All checks on single answers are on, but for

- acceptance of every valid envelope: no schema can say which text is a DynamoDB expression, nor which name is the
  table's, so one that fits the description may be a 400. All other operations must take what the description allows;
- who is refused, other methods, and sequences of requests, which tests/integration/test_order_service.py has.
"""

import copy
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from requests.auth import AuthBase
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode

from shop.signing import signed_headers
from tests.integration.order_service import OrderService

SEED = 20_261_126
EXAMPLES = 120
"""Requests for each operation and mode; about a hundredth of a second each."""
DESCRIPTION = Path(__file__).parents[2] / "docs" / "order-service.openapi.json"
DOCUMENT: dict[str, Any] = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
OPERATIONS = [
    (path, method) for path, methods in DOCUMENT["paths"].items() for method in methods if method != "parameters"
]
ENVELOPE = ("/order", "post")
CHECKS_ON = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
)
PRECONDITION_FAILED = "412"
"""A well-formed If-Match or If-None-Match that does not hold is neither accepted nor wrong."""


class SigV4(AuthBase):
    """Signs each request as it goes out, for `requests`."""

    def __init__(self, service: OrderService) -> None:
        self._service = service

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        assert request.method
        assert request.url
        request.url = request.url.replace("+", "%20")  # a space; a plus sign is encoded. AWS signs only this form
        data = body.encode() if isinstance(body, str) else bytes(body)  # type: ignore[arg-type]
        headers = {name: str(value) for name, value in request.headers.items()}
        region = self._service.cloud.region
        signed = signed_headers(request.method, request.url, headers, data, self._service.credentials, region)
        request.headers.update(signed)
        return request


def configuration() -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "generation": {"deterministic": True, "with-security-parameters": False},
            "checks": {
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", "3xx", "404", "409", PRECONDITION_FAILED],
                },
                "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "409", PRECONDITION_FAILED]},
            },
        }
    )


@pytest.fixture(scope="module")
def http(order_service: OrderService) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.auth = SigV4(order_service)
    return session


def checks(path: str, method: str) -> list[Any]:
    load_all_checks()
    off = {"positive_data_acceptance"} if (path, method) == ENVELOPE else set()
    return CHECKS.get_by_names([name for name in CHECKS_ON if name not in off])


def check_form(operation: str, answer: Response) -> None:
    """An envelope's answer has the form of its operation; OpenAPI can only say that it has one of all."""
    name = f"{operation.capitalize()}Answer"
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


def narrowed(order_service: OrderService) -> dict[str, Any]:
    """The description with what only the deployed service can know: its table, ids, a cursor, that ids agree."""
    document = copy.deepcopy(DOCUMENT)
    parameters, schemas = document["components"]["parameters"], document["components"]["schemas"]
    known = [f"fuzz-{number}" for number in range(2)]
    for item_id in known:
        order_service.on_item("PUT", item_id, {})
    parameters["id"]["schema"] = {"anyOf": [{"enum": known}, parameters["id"]["schema"]]}
    cursor = order_service.page("limit=1").body["cursor"]
    parameters["cursor"]["schema"] = {"enum": [cursor]}
    for name in ("ItemToPut", "Patch"):
        del schemas[name]["properties"]["id"]
    for envelope in schemas["Envelope"]["oneOf"]:
        members = schemas[envelope["$ref"].rpartition("/")[2]]["properties"]
        members["tableName"] = {"enum": [*members["tableName"]["examples"], order_service.table]}
    return document


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_service_answers_as_described(
    order_service: OrderService, http: requests.Session, path: str, method: str, mode: GenerationMode
) -> None:
    document = narrowed(order_service) if mode is GenerationMode.POSITIVE else DOCUMENT
    api = schemathesis.openapi.from_dict(document, config=configuration())
    base_url = order_service.endpoint.removesuffix(ENVELOPE[0])
    statuses: set[int] = set()

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(api[path][method.upper()].as_strategy(generation_mode=mode))
    def answers(case: schemathesis.Case[Any]) -> None:
        answer = case.call(base_url, http, verify=order_service.cloud.ca_bundle)
        case.validate_response(answer, checks=checks(path, method))
        if isinstance(case.body, dict) and (path, method) == ENVELOPE and answer.status_code < HTTPStatus.BAD_REQUEST:
            check_form(str(case.body["operation"]), answer)
        statuses.add(answer.status_code)

    answers()
    if mode is GenerationMode.POSITIVE:
        assert min(statuses) < HTTPStatus.BAD_REQUEST, "nothing was accepted"
    else:
        assert HTTPStatus.BAD_REQUEST in statuses, "nothing was refused"

"""The OpenAPI description: in step with the code and the stack, valid, and its examples are what it describes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from order_service import contract
from shop import openapi
from tests.templates import synthesis

FILE = Path(__file__).parents[2] / "docs" / "order-service.openapi.json"
DOCUMENT = openapi.description()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = (*contract.OPERATIONS, *contract.UNCHECKED_OPERATIONS)


def errors(schema: str, value: Any) -> list[str]:
    """What the named schema of the document finds wrong with a value."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    return [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(value)]


def test_the_file_in_docs_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == openapi.text(), "run: make openapi"


def test_it_is_a_valid_openapi_document() -> None:
    openapi_spec_validator.validate(DOCUMENT)


def test_a_reference_into_nothing_would_be_found() -> None:
    broken = json.loads(openapi.text().replace("#/components/schemas/Item", "#/components/schemas/Nothing"))
    with pytest.raises(Exception, match="Nothing"):
        openapi_spec_validator.validate(broken)


def test_its_operations_are_the_routes_of_the_service_and_head() -> None:
    described = {
        (path, method.upper())
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
        if method != "parameters"
    }
    heads = {(path, "HEAD") for path, method in contract.ROUTES if method == "GET"}
    assert described == set(contract.ROUTES) | heads


def test_its_paths_are_those_of_the_deployed_api() -> None:
    template = synthesis.synthesise("dev").templates["dev-order-service"]
    resources = synthesis.resources(template, "AWS::ApiGateway::Resource")

    def path(name: str) -> str:
        parent = resources[name]["ParentId"].get("Ref", "")
        return f"{path(parent) if parent else ''}/{resources[name]['PathPart']}"

    with_methods = {
        method["ResourceId"]["Ref"] for method in synthesis.resources(template, "AWS::ApiGateway::Method").values()
    }
    assert {path(name) for name in with_methods} == set(DOCUMENT["paths"])


def test_its_error_codes_are_those_of_the_service_and_of_the_gateway() -> None:
    codes = set(SCHEMAS["Error"]["properties"]["error"]["enum"])
    assert codes == set(contract.ERRORS) | {"bad_request", "forbidden", "too_large"}


def test_each_error_code_stands_at_its_own_status() -> None:
    checked = set()
    for path in DOCUMENT["paths"].values():
        for operation in (value for name, value in path.items() if name not in ("parameters", "head")):
            for status, response in operation["responses"].items():
                if not status.startswith("4"):
                    continue
                [_, only] = response["content"]["application/json"]["schema"]["allOf"]
                for code in only["properties"]["error"]["enum"]:
                    assert int(status) == contract.ERRORS.get(code, int(status)), code
                    checked.add(code)
    unanswered = {"internal_error", "method_not_allowed"}  # a 5XX; what no described operation answers
    assert checked >= set(contract.ERRORS) - unanswered


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_has_an_example_that_is_valid(operation: str) -> None:
    content = DOCUMENT["paths"]["/order"]["post"]["requestBody"]["content"]["application/json"]
    example = content["examples"][operation]["value"]
    assert example["operation"] == operation
    assert errors("Envelope", example) == []


@pytest.mark.parametrize("operation", contract.OPERATIONS)
def test_each_operation_takes_exactly_its_parameters(operation: str) -> None:
    payload = SCHEMAS[f"{operation.capitalize()}Envelope"]["properties"]["payload"]
    assert set(payload["properties"]) == set(contract.OPERATIONS[operation].allowed)
    assert tuple(payload.get("required", ())) == contract.OPERATIONS[operation].required
    [example] = SCHEMAS[f"{operation.capitalize()}Envelope"]["examples"]
    assert errors("Envelope", example | {"payload": example["payload"] | {"ReturnValues": "ALL_OLD"}})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("Envelope", {"operation": "drop"}),
        ("Envelope", {"operation": "read", "payload": {"Key": {"id": "1"}}, "overwrite": True}),
        ("Envelope", {"operation": "list", "payload": {"Limit": 1001}}),
        ("Envelope", {"operation": "list", "payload": {"Limit": 0}}),
        ("Envelope", {"operation": "read", "payload": {"Key": {"id": ""}}}),
        ("Envelope", {"operation": "read", "payload": {"Key": {"id": "1", "price": 1}}}),
        ("Envelope", {"operation": "create"}),
        ("Item", {"price": 1}),
        ("Item", {"id": "1", "_etag": "mine"}),
        ("Item", {"id": "1", "": 1}),
        ("Item", {"id": "1", "n": 1e126}),
        ("Item", {"id": "1", "n": {"deep": [1e-131]}}),
        ("Patch", {f"field{number}": 1 for number in range(201)}),
        ("InternalError", {"error": "internal_error", "message": "x", "requestId": "1", "trace": "secret"}),
    ],
)
def test_what_the_service_refuses_does_not_fit(schema: str, value: Any) -> None:
    assert errors(schema, value)


def test_what_items_may_hold_fits() -> None:
    item = {"id": "😀", "n": [0, -1, 78.89, 1e125, -1e-130], "m": {"deep": {"nothing": None}}, "b": True, "s": ""}
    assert errors("Item", item) == []

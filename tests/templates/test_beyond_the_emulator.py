"""What only AWS looks at: that callers may call, that what is called lets them; and what only AWS can do.

Without these a template that lacks a right would deploy to the local cloud, work there, and fail on AWS.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.templates import rules
from tests.templates.synthesis import Template, resources, synthesise

if TYPE_CHECKING:
    from collections.abc import Iterator

_READS_QUEUE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
_READS_STREAM = {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}
_METHOD = "AWS::ApiGateway::Method"
_STAGES = ("local", "dev", "test", "prod")


def _templates(stage: str) -> list[Template]:
    return list(synthesise(stage).templates.values())


def _unreadable_sources(template: Template) -> Iterator[str]:
    """The mappings whose function's role may not do what Lambda does in its name ("Using Lambda with Amazon SQS" …)."""
    functions, granted = resources(template, "AWS::Lambda::Function"), rules._statements_by_role(template)
    for name, mapping in resources(template, "AWS::Lambda::EventSourceMapping").items():
        source = rules._reference(mapping["EventSourceArn"])
        is_queue = source in resources(template, "AWS::SQS::Queue")
        role = rules._reference(functions[rules._function_of(template, mapping["FunctionName"])]["Role"])
        for action in sorted(_READS_QUEUE if is_queue else _READS_STREAM):
            if not any(rules._allows(statement, action, source) for statement in granted.get(role, [])):
                yield f"{name}: {role} may not {action} on {source}"


def _integrations(template: Template) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each method's integration with its address, as JSON."""
    for name, method in resources(template, _METHOD).items():
        integration = method.get("Integration", {})
        if "Uri" in integration:
            yield name, integration, json.dumps(integration["Uri"])


def _apis_that_may_not_send(template: Template) -> Iterator[str]:
    granted, queues = rules._statements_by_role(template), resources(template, "AWS::SQS::Queue")
    for name, integration, uri in _integrations(template):
        if ":sqs:" not in uri:
            continue
        role = rules._reference(integration["Credentials"])
        queue = next(queue for queue in queues if f'"{queue}"' in uri)
        if not any(rules._allows(statement, "sqs:SendMessage", queue) for statement in granted.get(role, [])):
            yield f"{name}: {role} may not send to {queue}"


def _functions_that_refuse_their_api(template: Template) -> Iterator[str]:
    permissions = resources(template, "AWS::Lambda::Permission").values()
    let_in = {rules._reference(p["FunctionName"]) for p in permissions if p["Principal"] == "apigateway.amazonaws.com"}
    for name, _, uri in _integrations(template):
        called = [f for f in resources(template, "AWS::Lambda::Function") if f'"{f}"' in uri]
        yield from (f"{name}: {function} does not let its API in" for function in called if function not in let_in)


@pytest.mark.parametrize("stage", _STAGES)
def test_each_function_may_read_its_event_sources(stage: str) -> None:
    assert [problem for template in _templates(stage) for problem in _unreadable_sources(template)] == []


@pytest.mark.parametrize("stage", _STAGES)
def test_each_api_may_send_to_its_queue(stage: str) -> None:
    assert [problem for template in _templates(stage) for problem in _apis_that_may_not_send(template)] == []


@pytest.mark.parametrize("stage", _STAGES)
def test_each_api_may_invoke_its_functions(stage: str) -> None:
    assert [problem for template in _templates(stage) for problem in _functions_that_refuse_their_api(template)] == []


@pytest.mark.parametrize("stage", _STAGES)
def test_no_alarm_watches_an_expression(stage: str) -> None:
    """One that watches a metric can be seen to alarm on the local cloud, too."""
    alarms = [alarm for t in _templates(stage) for alarm in resources(t, "AWS::CloudWatch::Alarm").values()]
    assert alarms
    assert [alarm for alarm in alarms if "Metrics" in alarm] == []


def _without(stack: str, resource_type: str, name_starts: str = "") -> Template:
    """The stack's template without the resources of one type whose logical ids start so."""
    template = copy.deepcopy(synthesise("dev").templates[stack])
    names = [name for name in resources(template, resource_type) if name.startswith(name_starts)]
    assert names
    for name in names:
        del template["Resources"][name]
    return template


@pytest.mark.parametrize(
    ("stack", "role", "action"),
    [
        ("dev-order-pipeline", "OrderProcessorRole", "sqs:ReceiveMessage"),
        ("dev-order-pipeline", "OrderNotifierRole", "dynamodb:GetRecords"),
        ("dev-image-fanout", "CreateThumbnailRole", "sqs:DeleteMessage"),
    ],
)
def test_a_function_that_may_not_read_is_found(stack: str, role: str, action: str) -> None:
    problems = list(_unreadable_sources(_without(stack, "AWS::IAM::Policy", role)))
    assert any(role in problem and action in problem for problem in problems)


def test_an_api_that_may_not_send_is_found() -> None:
    template = _without("dev-order-pipeline", "AWS::IAM::Policy", "OrdersApiRole")
    assert any("OrdersApiRole" in problem for problem in _apis_that_may_not_send(template))


@pytest.mark.parametrize("stack", ["dev-order-service", "dev-sales-report"])
def test_a_function_that_refuses_its_api_is_found(stack: str) -> None:
    assert list(_functions_that_refuse_their_api(_without(stack, "AWS::Lambda::Permission")))

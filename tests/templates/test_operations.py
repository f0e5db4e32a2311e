"""The stage's dashboard and alarms: what they show and watch is there and is emitted, and holds nothing up."""

import ast
import functools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.metrics import NAMESPACE
from stacks.settings import STAGES
from tests.templates import rules
from tests.templates.synthesis import THREE_SIZES, Template, resources, synthesise, the_only

pytestmark = pytest.mark.xdist_group("templates")

Named = tuple[str, str]
"""A stack and the logical id of something in it."""
Measured = tuple[str, str, frozenset[tuple[str, Any]]]
"""A metric on the dashboard: namespace, name, dimensions."""

_LAMBDAS = Path(__file__).parents[2] / "lambdas"
_OF_A_TYPE = {
    ("AWS/SQS", "QueueName"): "AWS::SQS::Queue",
    ("AWS/Lambda", "FunctionName"): "AWS::Lambda::Function",
    ("AWS/RDS", "DBInstanceIdentifier"): "AWS::RDS::DBInstance",
}
"""What a dimension of AWS's own metrics names."""


@pytest.fixture(params=[*STAGES, "three sizes"])
def stage(request: pytest.FixtureRequest) -> "Dashboard":
    if request.param == "three sizes":
        return Dashboard("dev", image_sizes=THREE_SIZES)
    return Dashboard(request.param)


class Dashboard:
    """A stage's dashboard, each reference in it resolved to what it is about."""

    def __init__(self, stage: str, **overrides: str) -> None:
        self.stage = stage
        self.templates = synthesise(stage, **overrides).templates
        self.template = self.templates[f"{stage}-operations"]
        parts = the_only(self.template, "AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Join"][1]
        body = "".join(part if isinstance(part, str) else _quoted(self._resolve(part)) for part in parts)
        self.widgets: list[dict[str, Any]] = json.loads(body)["widgets"]

    def _resolve(self, part: dict[str, Any]) -> Named | str:
        if "Ref" in part:
            return str(part["Ref"])
        output = part["Fn::GetStackOutput"]
        value = self.templates[output["StackName"]]["Outputs"][output["OutputName"]]["Value"]
        name = value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]
        return output["StackName"], str(name)

    def metrics(self) -> Iterator[Measured]:
        for widget in self.widgets:
            for metric in widget["properties"].get("metrics", []):
                if isinstance(metric[0], str):
                    namespace, name, *pairs = [part for part in metric if not isinstance(part, dict)]
                    values = [_unquoted(value) for value in pairs[1::2]]
                    yield namespace, name, frozenset(zip(pairs[::2], values, strict=True))

    def expressions(self) -> Iterator[str]:
        for widget in self.widgets:
            for metric in widget["properties"].get("metrics", []):
                if isinstance(metric[0], dict):
                    yield metric[0]["expression"]

    def alarms(self) -> list[str]:
        arns = [arn for widget in self.widgets for arn in widget["properties"].get("alarms", [])]
        return [arn.rpartition(":alarm:")[2] for arn in arns]

    def shown(self, namespace: str, name: str) -> set[Any]:
        """What the dashboard shows this metric of."""
        return {
            value
            for found, metric, dimensions in self.metrics()
            if (found, metric) == (namespace, name)
            for _, value in dimensions
        }

    def those(self, resource_type: str) -> set[Named]:
        return {
            (stack, name) for stack, template in self.templates.items() for name in resources(template, resource_type)
        }


def _quoted(value: Named | str) -> str:
    """A reference as text inside a JSON string."""
    return value if isinstance(value, str) else "|".join(value)


def _unquoted(text: str) -> Named | str:
    stack, bar, name = text.partition("|")
    return (stack, name) if bar else text


@functools.cache
def _emitted() -> frozenset[str]:
    """The names of the metrics that our functions' code counts: what it gives `measures` by keyword."""
    return frozenset(
        keyword.arg
        for path in _LAMBDAS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "measures"
        for keyword in node.keywords
        if keyword.arg
    )


def test_every_metric_of_aws_is_of_something_in_the_stage(stage: Dashboard) -> None:
    names = {api["Name"] for template in stage.templates.values()
             for api in resources(template, "AWS::ApiGateway::RestApi").values()}  # fmt: skip
    seen = 0
    for namespace, _, dimensions in stage.metrics():
        if namespace == NAMESPACE:
            continue
        ((dimension, value),) = dimensions
        things = names if namespace == "AWS/ApiGateway" else stage.those(_OF_A_TYPE[namespace, dimension])
        assert value in things
        seen += 1
    assert seen > 20


def test_every_metric_of_our_own_is_counted_by_some_function(stage: Dashboard) -> None:
    shown = {name: dict(dimensions) for namespace, name, dimensions in stage.metrics() if namespace == NAMESPACE}
    assert shown
    assert shown.keys() <= _emitted()
    assert all(dimensions["stage"] == stage.stage for dimensions in shown.values())
    (by_reason,) = stage.expressions()
    assert f'{{{NAMESPACE},stage,reason}} MetricName="OrdersInvalid" stage="{stage.stage}"' in by_reason
    assert "OrdersInvalid" in _emitted()


def test_it_shows_whether_orders_flow(stage: Dashboard) -> None:
    first = [widget["properties"].get("title") for widget in stage.widgets[:3]]
    assert first == [None, "Orders, step by step", "Requests"]
    shown = [name for namespace, name, _ in stage.metrics() if namespace == NAMESPACE]
    assert shown[:4] == ["OrdersAccepted", "OrdersStored", "OrdersAnnounced", "SalesRecorded"]


def test_it_shows_every_queue_function_api_and_database(stage: Dashboard) -> None:
    ages = stage.shown("AWS/SQS", "ApproximateAgeOfOldestMessage")
    depths = stage.shown("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert ages | depths == stage.those("AWS::SQS::Queue")
    assert not ages & depths
    for name in ("Errors", "Throttles"):
        assert stage.shown("AWS/Lambda", name) == stage.those("AWS::Lambda::Function")
    for name in ("Count", "5XXError", "Latency"):
        assert len(stage.shown("AWS/ApiGateway", name)) == len(stage.those("AWS::ApiGateway::RestApi"))
    for name in ("CPUUtilization", "FreeStorageSpace", "DatabaseConnections"):
        assert stage.shown("AWS/RDS", name) == stage.those("AWS::RDS::DBInstance")


def test_it_shows_how_far_every_streams_reader_is_behind(stage: Dashboard) -> None:
    readers = {
        (stack, rules._function_of(template, mapping["FunctionName"]))
        for stack, template in stage.templates.items()
        for mapping in resources(template, "AWS::Lambda::EventSourceMapping").values()
        if mapping["EventSourceArn"]["Fn::GetAtt"][1] == "StreamArn"
    }
    assert readers
    assert stage.shown("AWS/Lambda", "IteratorAge") == readers


def test_it_shows_images_of_every_size() -> None:
    dashboard = Dashboard("dev", image_sizes=THREE_SIZES)
    assert dashboard.shown(NAMESPACE, "ImagesMade") == {"dev", "thumbnail", "mobile", "shop-window"}


def test_it_shows_every_alarm_and_no_two_have_one_name(stage: Dashboard) -> None:
    names = Counter(
        alarm["AlarmName"]
        for template in stage.templates.values()
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
    )
    assert set(names.values()) == {1}
    assert Counter(stage.alarms()) == names


def test_an_alarms_name_begins_with_its_stacks(stage: Dashboard) -> None:
    for name, template in stage.templates.items():
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values():
            assert alarm["AlarmName"].startswith(f"{name}-")


def test_nothing_is_held_up_by_it(stage: Dashboard) -> None:
    assert "Fn::ImportValue" not in json.dumps(stage.template)
    exported = {
        name: [output for output in template.get("Outputs", {}).values() if "Export" in output]
        for name, template in stage.templates.items()
    }
    # The topic of the orders, which the sales report subscribes to, is the one thing that stacks share.
    assert {name: len(outputs) for name, outputs in exported.items() if outputs} == {f"{stage.stage}-order-pipeline": 1}


def test_its_name_is_an_output(stage: Dashboard) -> None:
    (name,) = resources(stage.template, "AWS::CloudWatch::Dashboard")
    assert the_only(stage.template, "AWS::CloudWatch::Dashboard")["DashboardName"] == f"{stage.stage}-shop"
    assert stage.template["Outputs"]["DashboardName"]["Value"] == {"Ref": name}


def _alarms(template: Template) -> dict[str, Any]:
    return {alarm["AlarmName"]: alarm for alarm in resources(template, "AWS::CloudWatch::Alarm").values()}


def test_only_a_stream_that_nobody_reads_is_told_by_silence(stage: Dashboard) -> None:
    missing = {
        alarm["AlarmName"]: alarm["TreatMissingData"]
        for template in stage.templates.values()
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
    }
    assert {name for name, treated in missing.items() if treated != "notBreaching"} == {
        f"{stage.stage}-order-pipeline-OrderNotifierStreamUnread"
    }


def test_a_stream_is_unread_after_a_quarter_of_an_hour() -> None:
    alarm = _alarms(synthesise("dev").templates["dev-order-pipeline"])["dev-order-pipeline-OrderNotifierStreamUnread"]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (300, 3, "breaching")


def test_what_an_event_source_calls_has_alarms_once_it_keeps_failing(stage: Dashboard) -> None:
    for stack, template in stage.templates.items():
        mappings = resources(template, "AWS::Lambda::EventSourceMapping").values()
        called = {rules._function_of(template, mapping["FunctionName"]) for mapping in mappings}
        for metric in ("Errors", "Throttles"):
            watched = {
                alarm["Dimensions"][0]["Value"]["Ref"]
                for alarm in _alarms(template).values()
                if alarm["MetricName"] == metric
                and len(alarm["Dimensions"]) == 1
                and (alarm["Statistic"], alarm["Period"], alarm["EvaluationPeriods"]) == ("Sum", 300, 3)
                and (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
            }
            assert watched == called, (stack, metric)


@pytest.mark.parametrize(
    ("system", "api"),
    [
        ("order-pipeline", "OrdersApi"),
        ("order-service", "OrderServiceApi"),
        ("sales-report", "SalesReportRestApi"),
    ],
)
def test_every_api_has_alarms_on_failures_and_on_its_slowest_requests(system: str, api: str) -> None:
    alarms = _alarms(synthesise("dev").templates[f"dev-{system}"])
    fails, slow = alarms[f"dev-{system}-{api}Fails"], alarms[f"dev-{system}-{api}Slow"]
    for alarm in (fails, slow):
        assert alarm["Dimensions"] == [{"Name": "ApiName", "Value": f"dev-{api}"}]
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert (fails["MetricName"], fails["Statistic"], fails["Threshold"]) == ("5XXError", "Average", 0.01)
    assert (fails["Period"], fails["EvaluationPeriods"]) == (300, 1)
    assert (slow["MetricName"], slow["ExtendedStatistic"], slow["Threshold"]) == ("Latency", "p99", 3000)
    assert (slow["Period"], slow["EvaluationPeriods"]) == (300, 3)

"""The live picture: each part's figures where they belong, whoever asks and whatever is missing."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from shop.console import activity, picture
from shop.console.app import create_app
from shop.console.parts import Key
from shop.console.stage import Console
from shop.errors import ShopError
from shop.target import NOT_RUNNING, Target
from tests.unit.shop_stack import REGION, tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop.local.cloud import Cloud

STACK = "dev-order-pipeline"
QUEUE, DEAD_LETTERS = Key("order-pipeline", "OrdersQueue"), Key("order-pipeline", "OrdersDeadLetters")
TABLE, API = Key("order-pipeline", "OrdersTable"), Key("order-pipeline", "OrdersApi")
PROCESSOR, NOTIFIER = Key("order-pipeline", "OrderProcessor"), Key("order-pipeline", "OrderNotifier")
TOPIC, OWN = Key("order-pipeline", "OrderTopic"), Key("order-pipeline", "OwnBucket")


def _function(name: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"ZipFile": "pass"},
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role12345678", "Arn"]},
            "Runtime": "python3.13",
            "LoggingConfig": {"LogGroup": {"Ref": f"{name}Logs12345678"}},
        },
    }


_TEMPLATE = {
    "Resources": {
        "Role12345678": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
        "OrdersQueue12345678": {"Type": "AWS::SQS::Queue"},
        "OrdersDeadLetters12345678": {"Type": "AWS::SQS::Queue"},
        "OrderTopic12345678": {"Type": "AWS::SNS::Topic"},
        "OwnBucket12345678": {"Type": "AWS::S3::Bucket"},
        "OrdersApi12345678": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "dev-OrdersApi"}},
        "OrdersTable12345678": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "KeySchema": [{"AttributeName": "orderID", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "orderID", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
            },
        },
        "OrderProcessorLogs12345678": {"Type": "AWS::Logs::LogGroup"},
        "OrderProcessor12345678": _function("OrderProcessor"),
        "OrderNotifierLogs12345678": {"Type": "AWS::Logs::LogGroup"},
        "OrderNotifier12345678": _function("OrderNotifier"),
    }
}


class Stage(Console):
    """A console whose stage is in moto; `cloud` is None for one on AWS."""

    def __init__(self, cloud: Cloud | None = None) -> None:
        super().__init__("dev", may_act=False)
        self._target = _Moto("dev", {}, boto3.Session("key", "secret", region_name=REGION), cloud)

    def connect(self) -> Target:
        return self._target


class _Moto(Target):
    def client(self, service: str, config: Any = None) -> Any:  # noqa: ARG002
        return self.session.client(cast("Any", service))


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A stage on AWS of which the order pipeline is deployed."""
    with mock_aws():
        found = Stage()
        found.connect().client("cloudformation").create_stack(
            StackName=STACK, TemplateBody=json.dumps(_TEMPLATE), Tags=tags("dev"), Capabilities=["CAPABILITY_IAM"]
        )
        yield found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets time pass: as much as after which a page asks again, unless told."""
    clock = {"now": time.monotonic()}
    monkeypatch.setattr(time, "monotonic", lambda: clock["now"])

    def pass_by(seconds: float = Stage().refresh_seconds) -> None:
        clock["now"] += seconds

    return pass_by


def resource(stage: Stage, key: Key) -> str:
    return activity.snapshot(stage).parts.by_key[key].resource


def figures(stage: Stage, key: Key) -> dict[str, int]:
    return {each.label: each.count for each in activity.snapshot(stage).of(key)}


def panel(stage: Console) -> ElementTree.Element:
    """The panel as a browser gets it: well-formed, and so read as XML."""
    answer = create_app(stage).test_client().get("/overview/", base_url="http://127.0.0.1")
    assert answer.status_code == HTTPStatus.OK, answer.text
    return ElementTree.fromstring(f"<div>{answer.text}</div>")  # noqa: S314 - of our own template


def by_id(root: ElementTree.Element, wanted: str) -> ElementTree.Element:
    found = root.find(f".//*[@id='{wanted}']")
    assert found is not None, wanted
    return found


def text(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


@pytest.mark.parametrize(
    ("count", "label", "said"),
    [
        (1, "runs/min", "1 run/min"),
        (0, "runs/min", "0 runs/min"),
        (1, "dead letters", "1 dead letter"),
        (1_234, "items", "1,234 items"),
    ],
)
def test_a_figure_is_said_in_its_number(count: int, label: str, said: str) -> None:
    assert activity.Figure(count, label).text == said


def test_queues_and_tables_have_their_figures(stage: Stage) -> None:
    target = stage.connect()
    sqs, url = target.client("sqs"), resource(stage, QUEUE)
    for number in range(4):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    sqs.receive_message(QueueUrl=url)
    target.client("dynamodb").put_item(TableName=resource(stage, TABLE), Item={"orderID": {"S": "A"}})
    root = panel(Stage())
    assert text(by_id(root, f"row-{QUEUE.id}")) == "OrdersQueue Order pipeline queue 3 waiting, 1 in flight"
    assert text(by_id(root, f"row-{TABLE.id}")) == "OrdersTable Order pipeline table 1 item"
    assert by_id(root, QUEUE.id).get("aria-label") == "queue OrdersQueue: 3 waiting, 1 in flight"


def test_dead_letters_stand_out_and_lead_to_their_panel(stage: Stage) -> None:
    calm = by_id(panel(Stage()), DEAD_LETTERS.id)
    assert (calm.tag, calm.get("role")) == ("g", "img")
    stage.connect().client("sqs").send_message(QueueUrl=resource(stage, DEAD_LETTERS), MessageBody="x")
    found = by_id(panel(Stage()), DEAD_LETTERS.id)
    assert (found.tag, found.get("href")) == ("a", "#dead_letters")
    assert "1 dead letter," in str(found.get("aria-label"))
    assert found.find(".//*[@class='warning']") is not None


def test_missing_stacks_are_named_and_the_others_are_shown(stage: Stage) -> None:
    root = panel(stage)
    alerts = [text(each) for each in root.iter("p") if each.get("role") == "alert"]
    assert alerts == [
        f"Stack dev-{system} is not deployed: make deploy STAGE=dev"
        for system in ("order-service", "sales-report", "image-fanout")
    ]
    assert by_id(root, "lane-order-pipeline") is not None
    assert root.find(".//*[@id='lane-order-service']") is None


def test_a_part_of_ones_own_is_in_the_table_without_a_place(stage: Stage) -> None:
    root = panel(stage)
    assert text(by_id(root, f"row-{OWN.id}")) == "OwnBucket Order pipeline bucket no figures"
    assert root.find(f".//*[@id='{OWN.id}']") is None


def test_rates_are_those_of_one_minute_that_cloudwatch_has(stage: Stage) -> None:
    now = datetime.now(UTC).replace(second=10)
    names = {"FunctionName": resource(stage, PROCESSOR), "ApiName": "dev-OrdersApi"}
    counts = [("AWS/Lambda", "FunctionName", "Invocations", 7), ("AWS/Lambda", "FunctionName", "Errors", 2),
              ("AWS/ApiGateway", "ApiName", "Count", 40), ("AWS/ApiGateway", "ApiName", "4XXError", 3)]  # fmt: skip
    for namespace, dimension, metric, count in counts:
        # The minute before last is asked for, and a minute may end while this runs; older ones are not counted.
        for minutes, value in ((1, count), (2, count), (5, 100)):
            stage.connect().client("cloudwatch").put_metric_data(
                Namespace=namespace,
                MetricData=[{
                    "MetricName": metric,
                    "Dimensions": [{"Name": dimension, "Value": names[dimension]}],
                    "Timestamp": now - timedelta(minutes=minutes),
                    "Value": value,
                }],
            )  # fmt: skip
    fresh = Stage()
    assert figures(fresh, PROCESSOR) == {"runs/min": 7, "errors": 2}
    assert figures(fresh, API) == {"requests/min": 40, "4xx": 3, "5xx": 0}
    assert figures(fresh, NOTIFIER) == {"runs/min": 0, "errors": 0}
    root = panel(fresh)
    assert "Rates are CloudWatch's of the minute from" in text(by_id(root, "overview-when"))
    assert "moves" in str(by_id(root, f"{QUEUE.id}-OrderProcessor").get("class"))
    assert "moves" not in str(by_id(root, f"{TABLE.id}-OrderNotifier").get("class"))


def test_metrics_which_cost_money_are_asked_for_once_a_minute(
    stage: Stage, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []

    def measured(*arguments: Any) -> dict[Key, activity.Figures]:
        asked.append(arguments[-1])
        return {}

    monkeypatch.setattr(activity, "_measured", measured)
    moments = [datetime(2026, 11, 26, 9, minute, second, tzinfo=UTC) for minute, second in ((5, 0), (5, 59), (6, 1))]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return moments.pop(0)

    monkeypatch.setattr(activity, "datetime", Clock)
    for _ in range(3):
        activity.snapshot(stage)
        later()
    assert asked == [datetime(2026, 11, 26, 9, minute, tzinfo=UTC) for minute in (3, 4)]


def test_all_pages_share_one_look_until_the_next_is_due(stage: Stage, later: Any) -> None:
    first = activity.snapshot(stage)
    assert activity.snapshot(stage) is first
    later()
    assert activity.snapshot(stage) is not first


def test_a_number_that_grew_is_marked_until_the_next_look(stage: Stage, later: Any) -> None:
    def grown() -> list[str]:
        return [each.label for each in activity.snapshot(stage).of(DEAD_LETTERS) if each.has_grown]

    url = resource(stage, DEAD_LETTERS)
    stage.connect().client("sqs").send_message(QueueUrl=url, MessageBody="x")
    assert grown() == []
    later()
    assert grown() == ["dead letters"]
    assert "moves" in str(by_id(panel(stage), f"{QUEUE.id}-OrdersDeadLetters").get("class"))
    later()
    assert grown() == []


def test_a_stack_that_went_away_is_said_at_the_next_look(
    stage: Stage, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "_PARTS_KEPT_WHILE_MISSING", 60)
    activity.snapshot(stage)
    stage.connect().client("cloudformation").delete_stack(StackName=STACK)
    later(8)  # a look is due, the list of parts is still believed
    assert "No figures of OrdersQueue, OrdersDeadLetters: GetQueueAttributes: " in text(panel(stage))
    later(8)
    assert activity.snapshot(stage).parts.missing[0] == STACK


def deny(monkeypatch: pytest.MonkeyPatch, *operations: str) -> None:
    """Have AWS refuse calls, each with a text of its own, as it names the resource."""
    call, refused = BaseClient._make_api_call, iter(range(1_000))  # type: ignore[attr-defined]

    def answer(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation in operations:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"no {next(refused)}"}}, operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)


@pytest.mark.parametrize(
    ("operation", "silent", "others"),
    [
        ("GetQueueAttributes", (QUEUE, DEAD_LETTERS), (TABLE, PROCESSOR, API)),
        ("DescribeTable", (TABLE,), (QUEUE, DEAD_LETTERS, PROCESSOR, API)),
        ("GetMetricData", (TOPIC, API, PROCESSOR, NOTIFIER), (QUEUE, DEAD_LETTERS, TABLE)),
    ],
)
def test_what_may_not_be_asked_is_said_and_the_rest_is_shown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, operation: str, silent: tuple[Key, ...], others: tuple[Key, ...]
) -> None:
    deny(monkeypatch, operation)
    root = panel(stage)
    [said] = [text(each) for each in root.iter("p") if "No figures of" in text(each)]
    names, why = said.removeprefix("No figures of ").split(": ", 1)
    assert set(names.split(", ")) == {key.name for key in silent}
    assert why == f"{operation}: AccessDenied: no 0"
    for key in silent:
        assert text(by_id(root, f"row-{key.id}")).endswith("no figures")
    for key in others:
        assert "no figures" not in text(by_id(root, f"row-{key.id}"))
    # No figure says of the last minute either that it has none.
    assert "Rates are CloudWatch's" in text(by_id(root, "overview-when"))


def test_where_nothing_may_be_asked_that_is_the_panels_error(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    deny(monkeypatch, "GetQueueAttributes", "DescribeTable", "GetMetricData")
    answer = create_app(stage).test_client().get("/overview/", base_url="http://127.0.0.1")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.text.startswith('<p class="alert" role="alert"')


def test_a_bug_is_not_taken_for_what_could_not_be_asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "_items", lambda *_: {"a": 1}["no such name"])
    with pytest.raises(KeyError):
        activity.snapshot(stage)


def test_what_stays_denied_does_not_have_the_parts_listed_again_each_time(
    stage: Stage, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(monkeypatch, "DescribeTable")
    monkeypatch.setattr(activity, "_PARTS_KEPT_WHILE_MISSING", 60)
    first = activity.snapshot(stage)
    for _ in range(2):
        later(8)
        assert activity.snapshot(stage).parts is first.parts


class _Gone(Stage):
    def connect(self) -> Target:
        raise ShopError(NOT_RUNNING)


def test_a_cloud_that_is_down_is_one_line() -> None:
    answer = create_app(_Gone()).test_client().get("/overview/", base_url="http://127.0.0.1")
    assert (answer.status_code, answer.text.count(NOT_RUNNING)) == (HTTPStatus.UNPROCESSABLE_ENTITY, 1)


LOCAL = cast("Cloud", object())


@pytest.fixture
def local(stage: Stage) -> Stage:
    """The same stage as a local cloud has it: without metrics."""
    assert stage.stage == "dev"
    return Stage(LOCAL)


def log(stage: Stage, key: Key, *lines: dict[str, Any], age: float = 0) -> None:
    """Have a function log lines, so many seconds ago."""
    logs = stage.connect().client("logs")
    [group] = [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]
               if f"{key.name}Logs" in each["logGroupName"]]  # fmt: skip
    stream = f"stream-{len(logs.describe_log_streams(logGroupName=group)['logStreams'])}"
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    at = int((time.time() - age) * 1000)
    events = [{"timestamp": at, "message": json.dumps(line)} for line in lines]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def report(status: str = "success") -> dict[str, Any]:
    metrics = {"durationMs": 12.5, "memorySizeMB": 512}
    return {"type": "platform.report", "record": {"requestId": "r", "status": status, "metrics": metrics}}


def test_local_functions_are_counted_by_their_reports_of_the_last_minute(local: Stage) -> None:
    log(local, PROCESSOR, report(), {"level": "INFO", "message": "batch done"}, report("timeout"))
    log(local, PROCESSOR, report(), age=75)
    assert figures(local, PROCESSOR) == {"runs/min": 2, "errors": 1}
    assert "Rates are of the last sixty seconds" in text(by_id(panel(local), "overview-when"))


def test_a_look_counts_only_what_is_new(local: Stage, later: Any) -> None:
    log(local, PROCESSOR, report())
    activity.snapshot(local)
    log(local, PROCESSOR, report())
    later()
    assert figures(local, PROCESSOR) == {"runs/min": 2, "errors": 0}
    later()
    assert figures(local, PROCESSOR) == {"runs/min": 2, "errors": 0}


def test_what_is_older_than_a_minute_is_counted_no_more(
    local: Stage, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(local, PROCESSOR, report("timeout"))
    assert figures(local, PROCESSOR) == {"runs/min": 1, "errors": 1}

    class AMinuteLater(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=61)

    monkeypatch.setattr(activity, "datetime", AMinuteLater)
    later()
    assert figures(local, PROCESSOR) == {"runs/min": 0, "errors": 0}


def test_the_orders_topic_is_counted_by_what_its_publisher_announced(local: Stage) -> None:
    log(local, NOTIFIER, {"message": "batch done", "announced": 3}, {"message": "said"}, report())
    log(local, NOTIFIER, {"message": "batch done", "announced": 2}, report(), age=5)
    assert figures(local, TOPIC) == {"published/min": 5}
    assert figures(local, NOTIFIER) == {"runs/min": 2, "errors": 0}


def test_an_order_from_the_api_is_counted_once_however_often_it_is_tried(local: Stage) -> None:
    stored = [{"message_id": "m1", "request_id": "r1"}, {"message_id": "m2", "request_id": "r2"}, {"message_id": "m3"}]
    wrong = {"message": "invalid order", "message_id": "m4", "request_id": "r4"}
    again = {"message": "order not stored", "message_id": "m2", "request_id": "r2"}
    log(local, PROCESSOR, {**wrong, "receive_count": 1}, {**again, "receive_count": 1}, report(), age=5)
    log(local, PROCESSOR, {**wrong, "receive_count": 2}, {"message": "batch done", "orders": stored}, report())
    log(local, PROCESSOR, {"message": "batch done", "orders": [{"message_id": "m0", "request_id": "r0"}]}, age=75)
    log(local, PROCESSOR, {**wrong, "message_id": "m5", "receive_count": 2}, {"orders": 5}, {"message_id": "m6"})
    assert figures(local, API) == {"accepted/min": 3}
    assert figures(local, PROCESSOR) == {"runs/min": 2, "errors": 0}


def test_another_local_cloud_is_another_start(local: Stage, later: Any) -> None:
    log(local, PROCESSOR, report())
    assert figures(local, PROCESSOR)["runs/min"] == 1
    local._target = cast("Any", replace(local._target, cloud=cast("Cloud", object())))
    before = activity.snapshot(local).parts
    logs = local.connect().client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        for stream in logs.describe_log_streams(logGroupName=group["logGroupName"])["logStreams"]:
            logs.delete_log_stream(logGroupName=group["logGroupName"], logStreamName=stream["logStreamName"])
    later(8)  # a look is due, the list of parts of the same cloud would still be believed
    assert activity.snapshot(local).parts is not before
    assert figures(local, PROCESSOR)["runs/min"] == 0  # what the first one's functions did, this one's did not


def test_a_log_that_cannot_be_read_leaves_the_others(local: Stage) -> None:
    log(local, PROCESSOR, report())
    activity.snapshot(local)
    logs = local.connect().client("logs")
    [group] = [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]
               if "OrderNotifierLogs" in each["logGroupName"]]  # fmt: skip
    logs.delete_log_group(logGroupName=group)
    fresh = Stage(LOCAL)
    assert figures(fresh, PROCESSOR) == {"runs/min": 1, "errors": 0}
    assert figures(fresh, NOTIFIER) == figures(fresh, TOPIC) == {}
    [(names, why)] = activity.snapshot(fresh).gaps()
    assert names == "OrderNotifier, OrderTopic"
    assert "ResourceNotFoundException" in why


@pytest.mark.usefixtures("stage")
def test_long_figures_stay_within_their_box(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(waiting: int) -> ElementTree.Element:
        figures = (activity.Figure(waiting, "waiting"), activity.Figure(2, "in flight"))
        monkeypatch.setattr(activity, "_waiting", lambda *_, **__: figures)
        [found] = [each for each in by_id(panel(Stage(LOCAL)), QUEUE.id).iter("text") if each.get("class") == "figures"]
        return found

    assert shown(7).get("textLength") is None
    long = shown(1_234_567)
    assert text(long) == "1,234,567 waiting, 2 in flight"
    assert int(str(long.get("textLength"))) < picture.BOX_WIDTH

"""Every fault of the table in tests/faults.py, made to happen to the deployed systems.

After each: nothing that was accepted is lost, doubled or changed (tests/conservation.py), and every stored order is
announced. Processor and notifier reach AWS through a proxy that fails their calls; the queue's visibility timeout is
short, so that what failed comes back soon.
"""

import io
import json
import ssl
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from shop.local import clients, database
from shop.local.paths import Paths
from tests.conservation import unfinished
from tests.fault_proxy import Fault, FaultProxy, disconnect, half, hold, leave_half_unread, lose_answer, refuse, trickle
from tests.integration.pipeline import Pipeline
from tests.integration.sales_report import SalesReport
from tests.integration.sent import Sent, assert_conserved
from tests.integration.test_cli import Shell
from tests.polling import eventually

PROCESSOR, NOTIFIER = "OrderProcessorFunctionName", "OrderNotifierFunctionName"
VISIBILITY_SECONDS = 4
"""Longer than the processor's timeout (3 s in stage local), which a queue's must be."""


@pytest.fixture(scope="module")
def proxy(pipeline: Pipeline) -> Iterator[FaultProxy]:
    """A proxy between the two functions and AWS, and a queue whose messages come back soon."""
    with FaultProxy(pipeline.cloud) as running, ExitStack() as changes:
        through_it = {"AWS_ENDPOINT_URL": running.url, "AWS_CA_BUNDLE": pipeline.cloud.ca_bundle}
        for function in (PROCESSOR, NOTIFIER):
            changes.enter_context(_environment(pipeline, function, **through_it))
        changes.enter_context(_queue_attribute(pipeline, "VisibilityTimeout", str(VISIBILITY_SECONDS)))
        yield running


@pytest.fixture
def sent(pipeline: Pipeline, proxy: FaultProxy) -> Iterator[Sent]:
    """A test's own orders, none yet; the proxy's rules are for them only."""
    orders = Sent(pipeline)
    with proxy.about(orders.prefix):
        yield orders


@contextmanager
def _environment(pipeline: Pipeline, output: str, **changes: str) -> Iterator[None]:
    functions, name = pipeline.client("lambda"), pipeline.outputs[output]
    before = pipeline.function(output)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": before | changes})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@contextmanager
def _queue_attribute(pipeline: Pipeline, name: str, value: str) -> Iterator[None]:
    """The orders queue with another attribute for a while."""
    sqs, url = pipeline.client("sqs"), pipeline.outputs["OrdersQueueUrl"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: value})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: before})


@contextmanager
def _without_mapping(pipeline: Pipeline, output: str) -> Iterator[None]:
    """A function whose event source mapping is disabled for a while."""
    functions = pipeline.client("lambda")
    [mapping] = functions.list_event_source_mappings(FunctionName=pipeline.outputs[output])["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextmanager
def _logged(pipeline: Pipeline, output: str) -> Iterator[Callable[[str], list[str]]]:
    """Gives the lines with a text that the function has logged since."""
    before = len(pipeline.log_lines(output))
    yield lambda text: [line for line in pipeline.log_lines(output)[before:] if text in line]


def _ten(sent: Sent) -> list[str]:
    return [sent.order(number) for number in range(10)]


# ---- the proxy itself


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("dynamodb", "list_tables", {}),
        ("sqs", "list_queues", {}),
        ("sns", "list_topics", {}),
        ("s3", "get_object", {"Bucket": "bucket", "Key": "key"}),
    ],
)
def test_the_proxy_speaks_each_services_own_errors(
    proxy: FaultProxy, pipeline: Pipeline, service: str, operation: str, arguments: dict[str, str]
) -> None:
    client = clients.session(pipeline.cloud).client(
        service,  # type: ignore[call-overload]
        endpoint_url=proxy.url,
        verify=pipeline.cloud.ca_bundle,
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )
    name = client.meta.method_to_api_mapping[operation]
    with proxy.rule(service, name, refuse("SlowDown", 503, "too <fast>")), pytest.raises(ClientError) as refusal:
        getattr(client, operation)(**arguments)
    assert refusal.value.response["Error"]["Code"] == "SlowDown"
    assert refusal.value.response["Error"]["Message"] == "too <fast>"
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


# ---- the table


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        pytest.param(refuse("ProvisionedThroughputExceededException"), 6, id="throttled"),
        pytest.param(refuse("InternalServerError", 500), 3, id="failing"),
        pytest.param(disconnect, 3, id="disconnected"),
    ],
)
def test_a_table_that_fails_for_a_moment(proxy: FaultProxy, sent: Sent, fault: Fault, times: int) -> None:
    with proxy.rule("dynamodb", "BatchExecuteStatement", fault, times) as rule:
        sent.post(20)
        assert not sent.settled().dead
        assert len(rule.caught) == times


def test_a_table_that_refuses(proxy: FaultProxy, sent: Sent) -> None:
    with proxy.rule("dynamodb", "BatchExecuteStatement", refuse("AccessDeniedException"), 2) as rule:
        sent.enqueue(_ten(sent))
        eventually(lambda: len(rule.caught) == 2)
        assert not sent.settled().dead


def test_a_table_that_answers_too_late(proxy: FaultProxy, pipeline: Pipeline, sent: Sent) -> None:
    """The write whose answer nobody waits for any more is carried out after the one that was tried instead of it."""
    late = threading.Event()
    with (
        _logged(pipeline, PROCESSOR) as logged,
        proxy.rule("dynamodb", "BatchExecuteStatement", hold(late), 1) as rule,
    ):
        sent.enqueue(_ten(sent))
        assert not sent.settled().dead
        assert logged("ReadTimeoutError")
        late.set()
        [answer] = eventually(lambda: rule.answers)
    assert b"DuplicateItem" in answer.body
    assert_conserved(sent.seen())


def test_a_table_that_does_half_a_batch(proxy: FaultProxy, sent: Sent) -> None:
    with proxy.rule("dynamodb", "BatchExecuteStatement", half("ThrottlingError"), 4) as rule:
        sent.enqueue(_ten(sent))
        assert not sent.settled().dead
        assert max(len(json.loads(call.body)["Statements"]) for call in rule.caught) > 1


def test_a_write_whose_answer_is_lost(proxy: FaultProxy, sent: Sent) -> None:
    """The second try finds the orders there, and half of them only when it asks again."""
    with (
        proxy.rule("dynamodb", "BatchExecuteStatement", lose_answer, 1) as lost,
        proxy.rule("dynamodb", "BatchGetItem", leave_half_unread, 1) as halved,
    ):
        sent.enqueue(_ten(sent))
        assert not sent.settled().dead
        assert lost.caught
        assert halved.caught


# ---- the queue


def test_messages_delivered_twice_and_out_of_order(pipeline: Pipeline, sent: Sent) -> None:
    """By hand, because neither can be asked of a queue; the processor cannot tell."""
    message_ids = [f"{sent.prefix}{number}" for number in range(5)]
    bodies = [sent.order(number) for number in range(5)]
    sent.accepted.update(zip(message_ids, bodies, strict=True))
    records = [
        {"messageId": name, "body": body, "attributes": {}} for name, body in zip(message_ids, bodies, strict=True)
    ]
    for batch in (records[::-1], [*records, *records], records[1:3]):
        answer = pipeline.client("lambda").invoke(
            FunctionName=pipeline.outputs[PROCESSOR], Payload=json.dumps({"Records": batch})
        )
        assert json.load(answer["Payload"]) == {"batchItemFailures": []}
    assert len(sent.settled().announced) == 5


def test_a_visibility_timeout_that_runs_out_mid_work(proxy: FaultProxy, pipeline: Pipeline, sent: Sent) -> None:
    """The same orders are worked on twice at the same time."""
    both = threading.Event()
    with (
        _queue_attribute(pipeline, "VisibilityTimeout", "1"),
        proxy.rule("dynamodb", "BatchExecuteStatement", hold(both), 2) as rule,
    ):
        sent.enqueue([sent.order(0)])
        eventually(lambda: len(rule.caught) == 2)
        both.set()
        seen = sent.settled()
    # Not that it is not dead-lettered, too: with such a timeout three receives are a matter of seconds.
    assert len(seen.stored) == len(seen.announced) == 1


# ---- the processor


def test_a_function_killed_in_the_middle_of_a_batch(proxy: FaultProxy, pipeline: Pipeline, sent: Sent) -> None:
    dead = threading.Event()
    with proxy.rule("dynamodb", "BatchExecuteStatement", hold(dead), 1) as rule:
        sent.enqueue(_ten(sent))
        eventually(lambda: rule.caught)
        assert pipeline.kill_workers(PROCESSOR)
        dead.set()
        assert not sent.settled().dead


def test_a_function_that_runs_out_of_time(proxy: FaultProxy, pipeline: Pipeline, sent: Sent) -> None:
    with (
        _logged(pipeline, PROCESSOR) as logged,
        proxy.rule("dynamodb", "BatchExecuteStatement", trickle(1.0), 1),
    ):
        sent.enqueue(_ten(sent))
        eventually(lambda: logged("Task timed out"))
        assert not sent.settled().dead


def test_a_burst_while_no_function_is_warm(pipeline: Pipeline, sent: Sent) -> None:
    pipeline.kill_workers(PROCESSOR)
    pipeline.kill_workers(NOTIFIER)
    sent.post(200)
    seen = sent.settled()
    assert not seen.dead
    assert len(seen.stored) == 200


# ---- the announcements


def test_a_topic_that_refuses_some_of_a_batch(proxy: FaultProxy, pipeline: Pipeline, sent: Sent) -> None:
    with proxy.rule("sns", "PublishBatch", half("InternalError"), 3) as rule:
        with _without_mapping(pipeline, NOTIFIER):
            sent.enqueue(_ten(sent))
            eventually(lambda: len(sent.seen().stored) == 10)
        seen = sent.settled()
        assert max(call.body.count(b".Id=") for call in rule.caught) > 1
    assert len(seen.announced) == 10, "announced more than once though nothing crashed"


def test_a_topic_that_fails_and_one_whose_answer_is_lost(proxy: FaultProxy, sent: Sent) -> None:
    with (
        proxy.rule("sns", "PublishBatch", refuse("Throttling", 400), 2) as throttled,
        proxy.rule("sns", "PublishBatch", lose_answer, 1) as lost,
    ):
        sent.enqueue(_ten(sent))
        sent.settled()
        assert len(throttled.caught) == 2
        assert lost.caught


def test_a_notifier_killed_in_the_middle_of_a_batch(proxy: FaultProxy, pipeline: Pipeline, sent: Sent) -> None:
    """The topic takes the batch after all, and then the batch is announced again."""
    dead = threading.Event()
    with proxy.rule("sns", "PublishBatch", hold(dead), 1) as rule:
        sent.enqueue(_ten(sent))
        eventually(lambda: rule.caught)
        assert pipeline.kill_workers(NOTIFIER)
        dead.set()
        eventually(lambda: len(sent.seen().announced) > 10)
        assert len(sent.settled().stored) == 10


def test_a_notifier_that_was_down(pipeline: Pipeline, sent: Sent) -> None:
    """For an hour or for a moment is the same to a stream that keeps its records for a day."""
    with _without_mapping(pipeline, NOTIFIER):
        sent.post(30)
        eventually(lambda: len(sent.seen().stored) == 30)
        seen = sent.seen()
        assert_conserved(seen)
        assert not seen.announced
    assert len(sent.settled().announced) == 30


# ---- deployments and queues


def _package(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"order_processor/{name}.py", text)
    return content.getvalue()


@contextmanager
def _bad_deployment(pipeline: Pipeline) -> Iterator[None]:
    """A processor that cannot even be imported, and then the one of before again."""
    functions, name = pipeline.client("lambda"), pipeline.outputs[PROCESSOR]
    # The emulator's address of the package is one of plain HTTP, which it does not serve here.
    location = functions.get_function(FunctionName=name)["Code"]["Location"].replace("http://", "https://", 1)
    context = ssl.create_default_context(cafile=pipeline.cloud.ca_bundle)
    with urllib.request.urlopen(location, context=context, timeout=30) as answer:  # noqa: S310
        before = answer.read()
    functions.update_function_code(FunctionName=name, ZipFile=_package(__init__="", handler="import no_such_module"))
    try:
        yield
    finally:
        functions.update_function_code(FunctionName=name, ZipFile=before)


def test_a_bad_deployment_and_its_rollback(pipeline: Pipeline, cloud_folder: Path, sent: Sent) -> None:
    """Every order fails, none is lost; after the rollback all of them are sent back as the runbook says, and stored."""
    with _bad_deployment(pipeline):
        sent.enqueue(_ten(sent))
        eventually(lambda: len(sent.seen().dead) == 10)
        seen = sent.seen()
        assert_conserved(seen)
        assert not seen.stored
    chosen = [word for message_id in sent.accepted for word in ("--id", message_id)]
    outcomes = Shell(cloud_folder).json("dlq", "redrive", "--queue", "orders", *chosen, "--go")
    assert [outcome["state"] for outcome in outcomes] == ["sent"] * 10
    seen = sent.settled()
    assert not seen.dead
    assert len(seen.stored) == 10


def test_a_dead_letter_queue_that_is_gone(pipeline: Pipeline, sent: Sent) -> None:
    """What would go there stays on the orders queue, and goes there once there is one again."""
    sqs = pipeline.client("sqs")
    gone = sqs.create_queue(QueueName=f"{sent.prefix}gone")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=gone, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    with _queue_attribute(pipeline, "RedrivePolicy", policy), _logged(pipeline, PROCESSOR) as logged:
        sqs.delete_queue(QueueUrl=gone)
        no_order = f'{{"orderID": "{sent.prefix}no-order"}}'
        sent.enqueue([no_order, sent.order(1)])
        [invalid] = [name for name, body in sent.accepted.items() if body == no_order]
        # Once more than it takes to be moved.
        eventually(lambda: len([line for line in logged(invalid) if "rule" in line]) > 3)
        seen = sent.seen()
        assert_conserved(seen)
        assert unfinished(seen) == [f"{invalid}: on the queue"]
    assert sent.settled().dead == {invalid}


# ---- the database


def test_a_database_that_is_down(sales_report: SalesReport, cloud_folder: Path, sent: Sent) -> None:
    """Orders are stored and announced all the same; their sales wait and are recorded later."""
    product, date = f"{sent.prefix}product", "2031-05-17"
    with _database_down(Paths(cloud_folder)):
        with _logged_sales(sales_report) as logged:
            sent.enqueue([sent.order(number, product=product, order_date=f"{date}T12:00:00Z") for number in range(3)])
            assert not sent.settled().dead
            eventually(lambda: logged("DatabaseUnreachable"))
        assert sales_report.extract(date).error == "DatabaseUnreachable"
    eventually(lambda: sales_report.sold(date).get(product) == ("Unassigned", 3), timeout=60)


@contextmanager
def _logged_sales(sales_report: SalesReport) -> Iterator[Callable[[str], bool]]:
    before = len(sales_report.log("SalesRecorderFunctionName"))
    yield lambda text: text in sales_report.log("SalesRecorderFunctionName")[before:]


@contextmanager
def _database_down(paths: Paths) -> Iterator[None]:
    assert database.stop(paths)
    try:
        yield
    finally:
        database.start(paths)

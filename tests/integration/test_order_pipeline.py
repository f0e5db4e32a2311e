"""The order pipeline, deployed to a local cloud with IAM enforced: each contract once, from end to end."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shop.local import clients
from tests.embedded_metrics import of_line
from tests.integration.pipeline import Pipeline, Response
from tests.integration.sales_report import SalesReport
from tests.polling import eventually

DEAD_LETTERED_WITHIN = 75
"""Seconds. 60 by the design of stage local, and the machine's share of slowness."""
SIMULATED = 60
"""Orders that the simulator is asked for."""


def new_prefix(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}-"


def order(order_id: str, **fields: Any) -> str:
    return json.dumps({"orderID": order_id, "product": "Espresso", "quantity": 1, "price_per_item": 2.5} | fields)


def accepted(response: Response) -> str:
    assert response.status == 202, response
    assert list(response.body) == ["messageId"]
    return str(response.body["messageId"])


# ---- what is sent first


@pytest.fixture(scope="module")
def failing(pipeline: Pipeline) -> dict[str, str]:
    """Sends everything that must end in the dead-letter queue, in one go; message id by what is wrong with it."""
    prefix = new_prefix("dead")
    conflict = f"{prefix}conflict"
    accepted(pipeline.post(order(conflict, product="the first")))
    eventually(lambda: pipeline.stored(conflict))
    posted = {
        "repeated key": f'{order(f"{prefix}1")[:-1]}, "quantity": 1}}',
        "30 February": order(f"{prefix}2", order_date="2026-02-30T10:00:00Z"),
        "not an integer": f'{{"orderID": "{prefix}3", "product": "x", "quantity": 2.0, "price_per_item": 1}}',
        "conflict": order(conflict, product="the second"),
    }
    queued = {
        "free text": "A coffee, please",
        "broken JSON": '{"product": ',
        "array": f"[{order(prefix)}]",
        "NaN": '{"product": "x", "quantity": 1, "price_per_item": NaN}',
        "huge number": '{"product": "x", "quantity": 1, "price_per_item": 1e400}',
        "half a character": '{"product": "\\ud800", "quantity": 1, "price_per_item": 1}',
        "deep nesting": "[" * 50_000,
        "bad original id": order(prefix)[:-1] + ', "orderID": 5}',
    }
    sent = {what: accepted(pipeline.post(body)) for what, body in posted.items()}
    return sent | {what: pipeline.enqueue(body) for what, body in queued.items()}


@dataclass(frozen=True)
class Simulation:
    answer: dict[str, Any]
    dead_before: set[str]
    """Message ids."""


@pytest.fixture(scope="module")
def simulated(pipeline: Pipeline) -> Simulation:
    """A run of the simulator."""
    before = set(pipeline.dead_letters())
    event = {"count": SIMULATED, "error_rate": 0.2, "seed": 7, "other": "ignored"}
    return Simulation(invoke_simulator(pipeline, event), before)


@pytest.fixture(scope="module", autouse=True)
def _sent_first(failing: dict[str, str], simulated: Simulation) -> None:
    """What takes a minute to fail is sent before the first test and looked at by the last ones."""
    assert failing
    assert simulated


# ---- an order from end to end


def test_an_order_is_accepted_stored_and_announced_with_its_exact_content(pipeline: Pipeline) -> None:
    order_id = new_prefix("e2e")
    body = (
        f'{{"orderID": "{order_id}", "customer_id": "C-7", "product": "Caffè Latte", "quantity": 2, '
        '"price_per_item": 3.50, "order_date": "2026-11-26T09:15:00Z"}'
    )
    message_id = accepted(pipeline.post(body))

    stored = eventually(lambda: pipeline.stored(order_id))
    received_at = stored.pop("received_at")["S"]
    assert stored == {
        "orderID": {"S": order_id},
        "customer_id": {"S": "C-7"},
        "product": {"S": "Caffè Latte"},
        "quantity": {"N": "2"},
        "price_per_item": {"N": "3.5"},
        "order_date": {"S": "2026-11-26T09:15:00Z"},
        "message_id": {"S": message_id},
    }

    [mail] = eventually(lambda: pipeline.mails(order_id))
    assert mail.subject == f"New order {order_id}"
    assert mail.attributes == {"event": "order.created", "deduplication_id": order_id, "product": "Caffè Latte"}
    announced = json.loads(mail.message, parse_float=str)
    assert announced == {
        "orderID": order_id,
        "customer_id": "C-7",
        "product": "Caffè Latte",
        "quantity": 2,
        "price_per_item": "3.5",
        "order_date": "2026-11-26T09:15:00Z",
        "received_at": received_at,
        "message_id": message_id,
    }
    assert mail.message.startswith("{\n  ")


def test_one_id_names_an_order_at_every_step(pipeline: Pipeline, sales_report: SalesReport) -> None:
    order_id = new_prefix("one-id")
    answer = pipeline.post(order(order_id, quantity=3))
    message_id = accepted(answer)
    [mail] = eventually(lambda: pipeline.mails(order_id))
    assert json.loads(mail.message)["message_id"] == message_id

    [processed] = eventually(lambda: _done(pipeline.log_lines("OrderProcessorFunctionName"), message_id))
    assert processed == {
        "message_id": message_id,
        "request_id": answer.request_id,
        "order_id": order_id,
        "received_at": json.loads(mail.message)["received_at"],
        "outcome": "stored",
    }
    ids = [{"message_id": message_id, "order_id": order_id}]
    assert eventually(lambda: _done(pipeline.log_lines("OrderNotifierFunctionName"), message_id)) == ids
    recorder = "SalesRecorderFunctionName"
    assert eventually(lambda: _done(sales_report.log(recorder).splitlines(), message_id), timeout=60) == ids


def _done(log: Iterable[str], message_id: str) -> list[dict[str, str]]:
    """What a function's lines of done batches, which are metrics as well, say of a message."""
    lines = [json.loads(line) for line in log if message_id in line]
    batches = [line for line in lines if line["message"] == "batch done"]
    assert all(of_line(line) for line in batches)
    return [named for line in batches for named in line["orders"] if named["message_id"] == message_id]


@pytest.mark.parametrize("price", ["0", "0.1", "0.0001", "999999.9999", "1000000", "1E2", "1.10", "3.57"])
def test_a_price_is_stored_as_the_decimal_that_was_sent(pipeline: Pipeline, price: str) -> None:
    exact = {"1E2": "100", "1.10": "1.1"}.get(price, price)
    order_id = new_prefix("price")
    body = f'{{"orderID": "{order_id}", "product": "x", "quantity": 1, "price_per_item": {price}}}'
    accepted(pipeline.post(body))
    assert eventually(lambda: pipeline.stored(order_id))["price_per_item"] == {"N": exact}


@pytest.mark.parametrize(
    "product",
    [
        "a&b=c&Action=DeleteQueue", "1+1 = 2", "100% %41 %zz", 'say "hi"', "back\\slash", "line\nbreak\r\ttab",
        "emoji 😀 e\u0301", "漢字 עברית", "<a>&amp;</a>", "$input.body #set($x=1) ${context}", " ",
        "\u0000nul", "\ufffe", "x" * 200, "😀" * 200,
    ],
    ids=lambda text: ascii(text)[:30],
)  # fmt: skip
@pytest.mark.parametrize("escaped", [True, False])
def test_every_character_of_a_body_survives(pipeline: Pipeline, product: str, escaped: bool) -> None:
    order_id = new_prefix("chars")
    body = json.dumps(
        {"orderID": order_id, "product": product, "quantity": 1, "price_per_item": 1}, ensure_ascii=escaped
    )
    response = pipeline.post(body)
    if "\ufffe" in body:  # not a character that SQS carries, unless it is escaped
        assert response.status == 400
        return
    accepted(response)
    assert eventually(lambda: pipeline.stored(order_id))["product"] == {"S": product}
    [mail] = eventually(lambda: pipeline.mails(order_id))
    assert json.loads(mail.message)["product"] == product


def test_a_body_of_200_kb_is_taken(pipeline: Pipeline) -> None:
    order_id = new_prefix("large")
    accepted(pipeline.post(order(order_id) + " " * 200_000))
    assert eventually(lambda: pipeline.stored(order_id))


def test_an_order_without_id_is_stored_under_its_message_id(pipeline: Pipeline) -> None:
    message_id = accepted(pipeline.post('{"product": "Tea", "quantity": 1, "price_per_item": 2}'))
    assert eventually(lambda: pipeline.stored(message_id))["product"] == {"S": "Tea"}


def test_a_redriven_order_without_id_keeps_the_id_of_its_first_message(pipeline: Pipeline) -> None:
    first = str(uuid.uuid4())
    pipeline.enqueue('{"product": "Tea", "quantity": 1, "price_per_item": 2}', {"original_message_id": first})
    assert eventually(lambda: pipeline.stored(first))


# ---- what the door refuses


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ('{"quantity": 1, "price_per_item": 1}', "product"),
        ('{"product": "x", "quantity": "1", "price_per_item": 1}', "string"),
        ('{"product": "x", "quantity": 1, "price_per_item": "err"}', "string"),
        ('{"product": "x", "quantity": 0, "price_per_item": 1}', "minimum"),
        ('{"product": "x", "quantity": 1, "price_per_item": 0.00001}', "0.0001"),
        ('{"product": "x", "quantity": 1, "price_per_item": 1e400}', "maximum"),
        ('{"product": "x", "quantity": 1, "price_per_item": 1, "colour": "red"}', "colour"),
        ('{"orderID": "a b", "product": "x", "quantity": 1, "price_per_item": 1}', "a b"),
        ('[{"product": "x", "quantity": 1, "price_per_item": 1}]', "array"),
        ('{"product": "x", ', ""),
        ("", ""),
        ("free text", ""),
    ],
)
def test_what_breaks_the_model_is_refused_with_the_reason(pipeline: Pipeline, body: str, names: str) -> None:
    response = pipeline.post(body)
    assert response.status == 400, response
    assert names in response.body["message"]
    assert response.body["message"]


def test_a_character_that_a_message_cannot_carry_is_refused(pipeline: Pipeline) -> None:
    response = pipeline.post(order("chars", product="\uffff").encode().replace(b"\\uffff", "\uffff".encode()))
    assert response.status == 400
    assert "character" in response.body["message"]


def test_another_content_type_is_refused(pipeline: Pipeline) -> None:
    for content_type in ("text/plain", "application/xml", "application/x-www-form-urlencoded"):
        answer = pipeline.post(order("type"), {"content-type": content_type, "x-api-key": pipeline.api_key})
        assert answer.status == 415, content_type


def test_a_charset_beside_the_content_type_is_fine(pipeline: Pipeline) -> None:
    headers = {"content-type": "application/json; charset=utf-8", "x-api-key": pipeline.api_key}
    accepted(pipeline.post(order(new_prefix("charset")), headers))


@pytest.mark.parametrize("key", [None, "", "wrong"])
def test_no_or_a_wrong_key_is_refused(pipeline: Pipeline, key: str | None) -> None:
    headers = {"content-type": "application/json"} | ({} if key is None else {"x-api-key": key})
    assert pipeline.post(order("key"), headers).status == 403


@pytest.fixture
def slow_key(pipeline: Pipeline) -> Iterator[str]:
    """A second key on the same API whose plan allows one request a second."""
    gateway = pipeline.client("apigateway")
    api = pipeline.outputs["OrdersEndpoint"].partition("/restapis/")[2].partition("/")[0]
    key = gateway.create_api_key(name="slow", enabled=True)
    stages = [{"apiId": api, "stage": "v1"}]
    plan = gateway.create_usage_plan(name="slow", apiStages=stages, throttle={"rateLimit": 1, "burstLimit": 1})
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    yield key["value"]
    gateway.delete_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"])
    gateway.delete_usage_plan(usagePlanId=plan["id"])
    gateway.delete_api_key(apiKey=key["id"])


def test_more_than_the_usage_plan_allows_is_throttled(pipeline: Pipeline, slow_key: str) -> None:
    headers = {"content-type": "application/json", "x-api-key": slow_key}
    answers = [pipeline.post(order(new_prefix("throttle")), headers).status for _ in range(5)]
    assert answers[0] == 202
    assert 429 in answers
    assert set(answers) == {202, 429}


# ---- once and only once


def test_an_order_sent_fifty_times_at_once_is_stored_and_announced_once(pipeline: Pipeline) -> None:
    order_id = new_prefix("fifty")
    ids = [accepted(answer) for answer in pipeline.post_all([order(order_id)] * 50)]
    eventually(lambda: not set(ids) & pipeline.queued().keys(), timeout=60)
    assert pipeline.stored(order_id)
    assert len(eventually(lambda: pipeline.mails(order_id))) == 1
    assert not set(ids) & set(pipeline.dead_letters())


def test_a_burst_of_orders_is_stored_and_announced_without_loss(pipeline: Pipeline) -> None:
    prefix, count = new_prefix("burst"), 3_000
    answers = pipeline.post_all(order(f"{prefix}{number}") for number in range(count))
    assert {answer.status for answer in answers} == {202}
    expected = {f"{prefix}{number}" for number in range(count)}
    eventually(lambda: pipeline.stored_ids(prefix) == expected, timeout=120)
    announced = eventually(lambda: _all_announced(pipeline, prefix, count), timeout=120)
    assert len(announced) == count, "announced more than once though nothing crashed"


def _all_announced(pipeline: Pipeline, prefix: str, count: int) -> list[str]:
    ids = [mail.attributes["deduplication_id"] for mail in pipeline.mails(prefix)]
    return ids if len(set(ids)) == count else []


def test_a_killed_processor_loses_nothing(pipeline: Pipeline) -> None:
    prefix, count = new_prefix("killed"), 300
    killed = 0
    for start in range(0, count, 20):
        answers = pipeline.post_all(order(f"{prefix}{number}") for number in range(start, start + 20))
        assert {answer.status for answer in answers} == {202}
        killed += pipeline.kill_workers("OrderProcessorFunctionName")
    assert killed, "no worker was there to be killed"
    expected = {f"{prefix}{number}" for number in range(count)}

    def lost() -> set[str]:
        dead = {json.loads(body).get("orderID") for body in pipeline.dead_letters().values() if prefix in body}
        return expected - pipeline.stored_ids(prefix) - dead

    eventually(lambda: not lost(), timeout=90, describe=lost)
    eventually(
        lambda: {m.attributes["deduplication_id"] for m in pipeline.mails(prefix)} >= pipeline.stored_ids(prefix)
    )


# ---- announced at least once


def test_an_order_that_could_not_be_announced_at_once_is_announced_later(pipeline: Pipeline) -> None:
    prefix = new_prefix("later")
    configuration = pipeline.function("OrderNotifierFunctionName")
    iam, role = pipeline.client("iam"), configuration["Role"].rpartition("/")[2]
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    without = [statement for statement in policy["Statement"] if statement["Action"] != "sns:Publish"]
    assert len(without) == len(policy["Statement"]) - 1

    def put(statements: list[dict[str, Any]]) -> None:
        document = json.dumps({**policy, "Statement": statements})
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)

    logged = pipeline.log_lines("OrderNotifierFunctionName")
    put(without)
    try:
        assert {answer.status for answer in pipeline.post_all(order(f"{prefix}{n}") for n in range(15))} == {202}
        eventually(lambda: [line for line in pipeline.log_lines("OrderNotifierFunctionName")[len(logged) :]
                            if '"failed": ' in line and '"announced": 0' in line])  # fmt: skip
        assert not pipeline.mails(prefix)
    finally:
        put(policy["Statement"])
    eventually(lambda: len(pipeline.mails(prefix)) >= 15)
    assert len(pipeline.mails(prefix)) == 15


# ---- who may do what


@pytest.fixture
def outsider(pipeline: Pipeline) -> Iterator[Any]:
    """An SQS client of an IAM user who may do anything on SQS as far as its own policy goes."""
    iam, name = pipeline.client("iam"), "outsider"
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="sqs", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    yield clients.session(pipeline.cloud).client(
        "sqs",
        endpoint_url=pipeline.cloud.endpoint_url,
        verify=pipeline.cloud.ca_bundle,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="sqs")
    iam.delete_user(UserName=name)


def test_the_queue_is_closed_to_everybody_else(pipeline: Pipeline, outsider: Any) -> None:
    url = pipeline.outputs["OrdersQueueUrl"]
    assert outsider.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    calls: list[Callable[[], object]] = [
        lambda: outsider.send_message(QueueUrl=url, MessageBody=order("smuggled")),
        lambda: outsider.receive_message(QueueUrl=url),
        lambda: outsider.purge_queue(QueueUrl=url),
    ]
    for call in calls:
        with pytest.raises(ClientError) as refusal:
            call()
        assert "AccessDenied" in refusal.value.response["Error"]["Code"]


# ---- logs


def test_logs_have_ids_and_no_customer_data(pipeline: Pipeline, failing: dict[str, str]) -> None:
    secret = f"customer-{uuid.uuid4().hex}"
    message_id = pipeline.enqueue(f'{{"product": "{secret}", "quantity": 1, "price_per_item": "{secret}"}}')
    line = eventually(
        lambda: next(
            (
                line
                for line in pipeline.log_lines("OrderProcessorFunctionName")
                if message_id in line and "rule" in line
            ),
            None,
        )
    )
    assert json.loads(line)["field"] == "price_per_item"
    assert not [line for line in pipeline.log_lines("OrderProcessorFunctionName") if secret in line]
    assert failing


# ---- what passes the door and fails behind it


def test_what_is_invalid_holds_up_nobody_else(pipeline: Pipeline, failing: dict[str, str]) -> None:
    prefix = new_prefix("beside")
    for number in range(20):
        accepted(pipeline.post(order(f"{prefix}{number}")))
    eventually(lambda: len(pipeline.stored_ids(prefix)) == 20, timeout=10)
    assert failing


def test_what_is_invalid_ends_in_the_dead_letter_queue_as_it_was_sent(
    pipeline: Pipeline, failing: dict[str, str]
) -> None:
    def missing() -> set[str]:
        found = pipeline.dead_letters()
        return {what for what, message_id in failing.items() if message_id not in found}

    eventually(lambda: not missing(), timeout=DEAD_LETTERED_WITHIN, describe=missing)
    assert pipeline.dead_letters()[failing["free text"]] == "A coffee, please"


def test_of_two_orders_with_one_id_the_first_stays(pipeline: Pipeline, failing: dict[str, str]) -> None:
    body = eventually(lambda: pipeline.dead_letters().get(failing["conflict"]), timeout=DEAD_LETTERED_WITHIN)
    order_id = json.loads(body)["orderID"]
    stored = pipeline.stored(order_id)
    assert stored
    assert stored["product"] == {"S": "the first"}
    assert [json.loads(mail.message)["product"] for mail in pipeline.mails(order_id)] == ["the first"]


# ---- the simulator


def invoke_simulator(pipeline: Pipeline, event: dict[str, Any]) -> dict[str, Any]:
    name = pipeline.outputs["OrderSimulatorFunctionName"]
    answer = pipeline.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return dict(json.load(answer["Payload"]), error=answer.get("FunctionError"))


def test_the_simulator_sends_what_it_says(pipeline: Pipeline, simulated: Simulation) -> None:
    answer = simulated.answer
    assert (answer["sent"], answer["error"]) == (SIMULATED, None)
    assert 0 < answer["invalid"] < SIMULATED / 2

    def dead() -> list[str]:
        found = pipeline.dead_letters().items()
        bodies = [body for message_id, body in found if message_id not in simulated.dead_before]
        return [json.loads(body)["orderID"] for body in bodies if '"price_per_item": "err"' in body]

    eventually(lambda: len(dead()) == answer["invalid"], timeout=DEAD_LETTERED_WITHIN, describe=dead)
    [run] = {order_id.rpartition("-")[0] for order_id in dead()}
    assert len(pipeline.stored_ids(run)) == SIMULATED - answer["invalid"]


def test_the_simulator_names_what_is_wrong_with_its_event(pipeline: Pipeline) -> None:
    answer = invoke_simulator(pipeline, {"count": 10_001})
    assert answer["error"]
    assert "count: 10001" in answer["errorMessage"]


# ---- the last one, because it holds up the stream for a minute


def test_what_cannot_be_announced_ends_in_the_failure_queue(pipeline: Pipeline) -> None:
    prefix = new_prefix("poison")
    accepted(pipeline.post(order(f"{prefix}before")))
    eventually(lambda: pipeline.mails(f"{prefix}before"))
    poison = {"orderID": {"S": f"{prefix}poison"}, "product": {"S": "no order: it has no price"}}
    pipeline.client("dynamodb").put_item(TableName=pipeline.outputs["OrdersTableName"], Item=poison)
    accepted(pipeline.post(order(f"{prefix}after")))

    def failed() -> list[dict[str, Any]]:
        bodies = pipeline.failed_announcements().values()
        return [json.loads(body)["DDBStreamBatchInfo"] for body in bodies]

    before = len(failed())
    eventually(lambda: len(failed()) > before, timeout=DEAD_LETTERED_WITHIN + 30)
    assert eventually(lambda: pipeline.mails(f"{prefix}after"))
    assert not pipeline.mails(f"{prefix}poison")

"""The order service's handler on moto's DynamoDB: what each request does to the table and what it answers."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from order_service import handler as service
from order_service.contract import ETAG, OPERATIONS, TABLE_ALIAS
from order_service.documents import encode
from tests.unit.fakes import Clock, client_error, timeout

TABLE = "dev-orders-service"
JACKET = '{"id": "1234ABCG", "price": 78.89, "product": "Beautiful Jacket", "order_date": "2024-11-04T10:30:00Z"}'


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    document: Any


class Service:
    """A client of the handler, and the table behind it."""

    def __init__(self, dynamodb: Any, clock: Clock) -> None:
        self.dynamodb = dynamodb
        self.clock = clock

    def call(
        self,
        method: str,
        body: str | None = None,
        item_id: str | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, list[str]] | None = None,
        **more: Any,
    ) -> Answer:
        event = {
            "httpMethod": method,
            "resource": "/order" if item_id is None else "/order/{id}",
            "pathParameters": None if item_id is None else {"id": quote(item_id, safe="")},
            "headers": headers,
            "multiValueQueryStringParameters": query,
            "body": body,
            "isBase64Encoded": False,
            "requestContext": {"requestId": "request-1"},
            **more,
        }
        result = service.handler(event, self.clock)
        assert set(result) == {"statusCode", "headers", "body"}
        document = json.loads(result["body"], parse_float=Decimal) if result["body"] else None
        return Answer(result["statusCode"], result["headers"], document)

    def post(self, body: str) -> Answer:
        return self.call("POST", body)

    def run(self, operation: str, **payload: Any) -> Answer:
        return self.post(encode({"operation": operation, "payload": payload}).decode())

    def create(self, item: str, overwrite: str = "false") -> Answer:
        return self.post(f'{{"operation": "create", "overwrite": {overwrite}, "payload": {{"Item": {item}}}}}')

    def items(self) -> dict[str, Any]:
        found = self.dynamodb.scan(TableName=TABLE)["Items"]
        return {item["id"]["S"]: item for item in found}


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


@pytest.fixture
def client(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> Service:
    clock = Clock(5.0)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(service, "_dynamodb", dynamodb)
    monkeypatch.setenv("ORDER_SERVICE_TABLE", TABLE)
    for item in dynamodb.scan(TableName=TABLE)["Items"]:
        dynamodb.delete_item(TableName=TABLE, Key={"id": item["id"]})
    return Service(dynamodb, clock)


@pytest.fixture
def faulty(client: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets the next calls of one operation fail, before or after they are done; returns the list of calls made."""

    def install(operation: str, *faults: Exception, done: bool = False) -> list[str]:
        real, rest, calls = client.dynamodb, list(faults), list[str]()

        class Faulty:
            def __getattr__(self, name: str) -> Any:
                def run(**parameters: Any) -> Any:
                    calls.append(name)
                    client.clock.seconds_left -= 0.01
                    if name != operation or not rest:
                        return getattr(real, name)(**parameters)
                    if done:
                        getattr(real, name)(**parameters)
                    raise rest.pop(0)

                return run

        monkeypatch.setattr(service, "_dynamodb", Faulty())
        return calls

    return install


# The envelope's operations


def test_create_then_read_gives_back_the_same_exact_numbers(client: Service) -> None:
    created = client.create(JACKET)
    assert created.status == 201
    expected = json.loads(JACKET, parse_float=Decimal)
    assert created.document == {"Item": expected}
    assert created.headers["Location"] == "order/1234ABCG"
    assert client.items()["1234ABCG"]["price"] == {"N": "78.89"}
    read = client.run("read", Key={"id": "1234ABCG"})
    assert (read.status, read.document) == (200, {"Item": expected})
    assert str(read.document["Item"]["price"]) == "78.89"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("0.1", "0.1"),
        ("3.50", "3.5"),
        ("100", "100"),
        ("1E2", "100"),
        ("-0.0", "0"),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ("1" + "0" * 37, "1" + "0" * 37),
        ("0.1" + "0" * 60, "0.1"),
        ("1e-130", "1E-130"),
        ("9.99e125", "9.99E+125"),
    ],
)
def test_numbers_are_stored_exactly(client: Service, sent: str, stored: str) -> None:
    assert client.create(f'{{"id": "n", "value": {sent}}}').status == 201
    assert client.items()["n"]["value"] == {"N": stored}
    value = client.run("read", Key={"id": "n"}).document["Item"]["value"]
    assert Decimal(value) == Decimal(sent)


@pytest.mark.parametrize("number", ["1" * 39, "0." + "1" * 39, "1e126", "1e-131", "1e400", "-1e999999999"])
def test_numbers_that_cannot_be_stored_exactly_are_refused(client: Service, number: str) -> None:
    answer = client.create(f'{{"id": "n", "deep": [{{"value": {number}}}]}}')
    assert (answer.status, answer.document["error"]) == (400, "invalid_request")
    assert answer.document["message"].startswith("payload.Item.deep[0].value: ")
    assert client.items() == {}


def test_create_refuses_an_existing_id_unless_told_to_overwrite(client: Service) -> None:
    client.create('{"id": "a", "n": 1}')
    again = client.create('{"id": "a", "n": 2}')
    assert (again.status, again.document["error"]) == (409, "already_exists")
    assert client.items()["a"]["n"] == {"N": "1"}
    assert client.create('{"id": "a", "m": 2}', overwrite="true").status == 201
    assert client.items()["a"].keys() == {"id", "m", ETAG}


def test_read_of_nothing_is_404(client: Service) -> None:
    answer = client.run("read", Key={"id": "none"})
    assert answer.document == {"error": "not_found", "message": 'there is no item with the id "none"'}
    assert answer.status == 404


def test_read_takes_a_projection(client: Service) -> None:
    client.create('{"id": "a", "name": "x", "n": 1}')
    answer = client.run(
        "read",
        Key={"id": "a"},
        ConsistentRead=True,
        ProjectionExpression="#n",
        ExpressionAttributeNames={"#n": "name"},
    )
    assert answer.document == {"Item": {"name": "x"}}


def test_update_changes_the_item_and_returns_it(client: Service) -> None:
    client.create('{"id": "a", "price": 78.89, "old": true}')
    before = client.items()["a"][ETAG]
    answer = client.run(
        "update",
        Key={"id": "a"},
        UpdateExpression="REMOVE #o SET price = price + :more",
        ExpressionAttributeNames={"#o": "old"},
        ExpressionAttributeValues={":more": Decimal("0.02")},
    )
    assert (answer.status, answer.document) == (200, {"Attributes": {"id": "a", "price": Decimal("78.91")}})
    assert client.items()["a"][ETAG] != before


def test_update_without_set_gives_a_new_version_too(client: Service) -> None:
    client.create('{"id": "a", "note": true}')
    before = client.items()["a"][ETAG]
    answer = client.run("update", Key={"id": "a"}, UpdateExpression="REMOVE note")
    assert answer.document == {"Attributes": {"id": "a"}}
    assert client.items()["a"][ETAG] != before


BREAK_OUT = "attribute_exists(id)) OR (attribute_not_exists(id)"


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_what_is_not_there_is_404_and_is_not_made(client: Service, operation: str) -> None:
    change = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": 1}} if operation == "update" else {}
    for condition in ({}, {"ConditionExpression": "attribute_not_exists(id)"}):
        answer = client.run(operation, Key={"id": "none"}, **change, **condition)
        assert (answer.status, answer.document["error"]) == (404, "not_found")
    assert client.items() == {}


@pytest.mark.parametrize("operation", ["update", "delete"])
@pytest.mark.parametrize("expression", [BREAK_OUT, "attribute_exists(id", "a = :n)", ")("])
def test_a_condition_cannot_reach_into_the_services_own(client: Service, operation: str, expression: str) -> None:
    client.create('{"id": "a"}')
    change = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": 1}} if operation == "update" else {}
    answer = client.run(operation, Key={"id": "none"}, ConditionExpression=expression, **change)
    assert answer.status == 400
    assert answer.document["message"].startswith("payload.ConditionExpression: ")
    assert client.items().keys() == {"a"}


@pytest.mark.parametrize("condition", ["(n = :n)", " ( n = :n ) ", "(n = :n) OR (n = :n)", "NOT (n <> :n)", "n=:n"])
def test_a_condition_may_have_parentheses_of_its_own(client: Service, condition: str) -> None:
    client.create('{"id": "a", "n": 1}')
    answer = client.run("delete", Key={"id": "a"}, ConditionExpression=condition, ExpressionAttributeValues={":n": 1})
    assert answer.status == 200


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_a_condition_that_does_not_hold_is_409(client: Service, operation: str) -> None:
    client.create('{"id": "a", "n": 1}')
    change = {"UpdateExpression": "SET n = :n"} if operation == "update" else {}
    # An alternative, which must stay within the client's own part of the condition.
    answer = client.run(
        operation,
        Key={"id": "a"},
        ConditionExpression="n = :n OR n = :n",
        ExpressionAttributeValues={":n": 7},
        **change,
    )
    assert (answer.status, answer.document["error"]) == (409, "condition_failed")
    assert client.items()["a"]["n"] == {"N": "1"}


def test_delete_returns_what_was_deleted(client: Service) -> None:
    client.create('{"id": "a", "n": 1.10}')
    answer = client.run("delete", Key={"id": "a"}, ConditionExpression="attribute_exists(n)")
    assert (answer.status, answer.document) == (200, {"Attributes": {"id": "a", "n": Decimal("1.1")}})
    assert client.items() == {}


def test_list_pages_through_the_whole_table(client: Service) -> None:
    ids = {f"i-{number}" for number in range(250)}
    for item_id in ids:
        client.dynamodb.put_item(TableName=TABLE, Item={"id": {"S": item_id}})
    sizes, found, start = list[int](), list[str](), dict[str, Any]()
    for _ in range(10):
        page = client.run("list", **start).document
        sizes.append(page["Count"])
        found += [item["id"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sizes[:2] == [100, 100]
    assert sorted(found) == sorted(ids)


def test_list_filters_and_projects(client: Service) -> None:
    for number in range(5):
        client.create(f'{{"id": "{number}", "n": {number}}}')
    answer = client.run(
        "list",
        Limit=10,
        FilterExpression="n >= :least",
        ProjectionExpression="#id",
        ExpressionAttributeNames={"#id": "id"},
        ExpressionAttributeValues={":least": 3},
    )
    assert sorted(item["id"] for item in answer.document["Items"]) == ["3", "4"]
    assert answer.document["Count"] == 2
    assert all(item.keys() == {"id"} for item in answer.document["Items"])


def test_a_page_too_large_for_an_answer_is_cut(client: Service) -> None:
    # A control character is one byte in the table and six in JSON.
    for number in range(6):
        client.dynamodb.put_item(TableName=TABLE, Item={"id": {"S": str(number)}, "x": {"S": "\x01" * 160_000}})
    found, start, pages = list[str](), dict[str, Any](), 0
    for pages in range(1, 10):  # noqa: B007
        page = client.run("list", ProjectionExpression="x, id", **start).document
        found += [item["id"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert pages > 1
    assert sorted(found) == list("012345")


@pytest.mark.parametrize("payload", ['{"a": [1.50, null, true, "x"]}', '"text"', "[]", "null", "1E+400"])
def test_echo_gives_the_payload_back(client: Service, payload: str) -> None:
    answer = service.handler(
        {
            "httpMethod": "POST",
            "resource": "/order",
            "body": f'{{"operation": "echo", "payload": {payload}}}',
            "requestContext": {"requestId": "r"},
        },
        client.clock,
    )
    assert answer["statusCode"] == 200
    assert answer["body"] == payload.replace(", ", ",").replace(": ", ":")


def test_ping_gives_pong(client: Service) -> None:
    for body in ('{"operation": "ping"}', '{"operation": "ping", "payload": 5, "tableName": "order-microservice-db"}'):
        assert client.post(body) == Answer(200, {"Content-Type": "application/json"}, "pong")


# The envelope as an attack surface


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("", "invalid_json", "the body is empty"),
        ("{", "invalid_json", "the body is not JSON: Expecting property name"),
        ("{'operation': 1}", "invalid_json", "the body is not JSON"),
        ('{"operation": "ping"} x', "invalid_json", "the body is not JSON: Extra data"),
        ('{"operation": "ping", "payload": NaN}', "invalid_json", "NaN is no JSON number"),
        ('{"operation": "ping", "operation": "echo"}', "invalid_json", '"operation" is given more than once'),
        ('{"operation": "echo", "payload": "\\ud800"}', "invalid_json", "half of a surrogate pair"),
        ('{"operation": "echo", "payload": {"\\udfff": 1}}', "invalid_json", "half of a surrogate pair"),
        ('{"operation": "echo", "payload": 1e99999999999999999999}', "invalid_json", "exponent"),
        ("[" * 200 + "]" * 200, "invalid_json", "nested more than 100 levels"),
        ("[" * 100_000, "invalid_json", "nested more than 100 levels"),
        ("[]", "invalid_request", "the body: an array is not an object"),
        ("{}", "unknown_operation", "operation: nothing is not one of create, read"),
        ('{"operation": "drop"}', "unknown_operation", 'operation: "drop" is not one of'),
        ('{"operation": ["read"]}', "unknown_operation", "operation: an array is not one of"),
        ('{"operation": "ping", "x": 1}', "invalid_request", '"x" is no member of ping'),
        ('{"operation": "read", "overwrite": true}', "invalid_request", '"overwrite" is no member of read'),
        ('{"operation": "create", "overwrite": 1, "payload": {"Item": {"id": "a"}}}', "invalid_request",
         "overwrite: 1 is not true or false"),
        ('{"operation": "ping", "tableName": "users"}', "invalid_request", 'tableName: "users" is not this service'),
        ('{"operation": "ping", "tableName": null}', "invalid_request", "tableName: null is not this service"),
        ('{"operation": "list", "payload": []}', "invalid_request", "payload: an array is not an object"),
        ('{"operation": "read", "payload": {}}', "invalid_request", "payload.Key: is missing"),
        ('{"operation": "create", "payload": {"Item": {"id": "a"}, "TableName": "users"}}', "invalid_request",
         'payload: "TableName" is no parameter of create, which takes Item'),
        ('{"operation": "create", "payload": {"Item": []}}', "invalid_request", "payload.Item: an array"),
        ('{"operation": "create", "payload": {"Item": {}}}', "invalid_request", "payload.Item.id: is missing"),
        ('{"operation": "create", "payload": {"Item": {"id": 5}}}', "invalid_request",
         "payload.Item.id: 5 is not a string"),
        ('{"operation": "create", "payload": {"Item": {"id": ""}}}', "invalid_request",
         "payload.Item.id: \"\" is not 1 to 2048 bytes"),
        ('{"operation": "create", "payload": {"Item": {"id": "' + "é" * 1025 + '"}}}', "invalid_request",
         "is not 1 to 2048 bytes"),
        ('{"operation": "create", "payload": {"Item": {"id": "a", "_etag": "x"}}}', "invalid_request",
         'payload.Item: "_etag" is the service\'s own'),
        ('{"operation": "create", "payload": {"Item": {"id": "a", "": 1}}}', "invalid_request", "empty name"),
        ('{"operation": "create", "payload": {"Item": {"id": "a", "x": {"": 1}}}}', "invalid_request", "empty name"),
        ('{"operation": "create", "payload": {"Item": {"id": "a", "x": ' + "[" * 33 + "]" * 33 + "}}}",
         "invalid_request", "is nested more than 32 levels deep"),
        ('{"operation": "create", "payload": {"Item": {"id": "a", "x": "' + "x" * 409_600 + '"}}}',
         "invalid_request", "payload.Item: is larger than 409,600 bytes"),
        ('{"operation": "read", "payload": {"Key": {"id": "a", "b": 1}}}', "invalid_request",
         'payload.Key: "b" is not part of the key'),
        ('{"operation": "read", "payload": {"Key": {"id": {"S": "a"}}}}', "invalid_request",
         "payload.Key.id: an object is not a string"),
        ('{"operation": "read", "payload": {"Key": {"id": "a"}, "ConsistentRead": "yes"}}', "invalid_request",
         'payload.ConsistentRead: "yes" is not true or false'),
        ('{"operation": "list", "payload": {"Limit": 0}}', "invalid_request", "payload.Limit: 0 is not a whole number"),
        ('{"operation": "list", "payload": {"Limit": 1001}}', "invalid_request", "payload.Limit: 1001"),
        ('{"operation": "list", "payload": {"Limit": 2.5}}', "invalid_request", "payload.Limit: 2.5"),
        ('{"operation": "list", "payload": {"Limit": true}}', "invalid_request", "payload.Limit: true"),
        ('{"operation": "list", "payload": {"ExclusiveStartKey": "x"}}', "invalid_request",
         "payload.ExclusiveStartKey: \"x\" is not an object"),
        ('{"operation": "list", "payload": {"FilterExpression": " "}}', "invalid_request",
         "payload.FilterExpression: is blank"),
        ('{"operation": "list", "payload": {"FilterExpression": 1}}', "invalid_request",
         "payload.FilterExpression: 1 is not a string"),
        ('{"operation": "list", "payload": {"ExpressionAttributeNames": {"#a": 1}}}', "invalid_request",
         "payload.ExpressionAttributeNames.#a: 1 is not a string"),
        ('{"operation": "list", "payload": {"ExpressionAttributeNames": {"#a": "_etag"}}}', "invalid_request",
         "is the service's own"),
        ('{"operation": "list", "payload": {"ExpressionAttributeNames": {"#_etag": "a"}}}', "invalid_request",
         '"#_etag" is the service\'s own'),
        ('{"operation": "list", "payload": {"ExpressionAttributeValues": []}}', "invalid_request",
         "payload.ExpressionAttributeValues: an array is not an object"),
        ('{"operation": "list", "payload": {"FilterExpression": "a ==== b"}}', "invalid_request",
         "DynamoDB refuses it: "),
    ],
)  # fmt: skip
def test_a_bad_envelope_is_400_and_names_the_problem(client: Service, body: str, code: str, message: str) -> None:
    answer = client.post(body)
    assert (answer.status, answer.document["error"]) == (400, code)
    assert message in answer.document["message"]
    assert len(answer.document["message"]) < 400
    assert client.items() == {}


@pytest.mark.parametrize(
    ("item", "rule"),
    [
        ({"é" * 2_000_000: Decimal("1E+999")}, "is beyond the numbers"),
        ({"x": {"n" * 1_000_000: {"m" * 1_000_000: [1] * 100_000}}}, "is larger than 409,600 bytes"),
        ({"x": [1] * 2_000_000}, "commas, colons and brackets"),
        ({"x": [{"a": {"b": {"c": {"d": 1}}}}] * 240_000}, "commas, colons and brackets"),
    ],
    ids=["long name", "many values under long names", "many values", "many nested values"],
)
def test_a_body_that_would_cost_too_much_is_400(client: Service, item: dict[str, Any], rule: str) -> None:
    answer = client.run("create", Item={"id": "a", **item})
    assert answer.status == 400
    assert rule in answer.document["message"]
    assert len(answer.document["message"]) < 400


def test_an_item_full_of_small_values_is_not_refused_for_their_number(client: Service) -> None:
    sent = {"id": "a", "x": ["", ""] * 100_000 + [",:[{" * 50_000]}
    answer = client.run("echo", Item=sent)
    assert answer.document == {"Item": sent}


def test_a_repeated_name_among_many_is_found(client: Service) -> None:
    # So many that a search that compares each with each would not end within the function's time, nor the test's.
    members = ", ".join(f'"k{number}": 0' for number in range(100_000))
    answer = client.post(f'{{"operation": "echo", "payload": {{{members}, "k99999": 1}}}}')
    assert (answer.status, answer.document["error"]) == (400, "invalid_json")
    assert '"k99999" is given more than once' in answer.document["message"]


def test_what_dynamodb_says_is_cut(client: Service, faulty: Callable[..., list[str]]) -> None:
    faulty("scan", ClientError({"Error": {"Code": "ValidationException", "Message": "x" * 100_000}}, "Scan"))
    answer = client.run("list")
    assert answer.status == 400
    assert len(answer.document["message"]) < 1100


def test_zeros_at_the_end_of_numbers_take_no_place_in_an_item(client: Service) -> None:
    answer = client.run("create", Item={"id": "a", "x": [Decimal("1E+37")] * 40_000})
    assert "larger than" not in str(answer.document.get("message"))


@pytest.mark.parametrize(
    ("operation", "payload"),
    [
        ("update", {"Key": {"id": "a"}, "UpdateExpression": "SET seen=_etag"}),
        ("update", {"Key": {"id": "a"}, "UpdateExpression": "SET b=:b", "ConditionExpression": "(_etag>:b)"}),
        ("delete", {"Key": {"id": "a"}, "ConditionExpression": "begins_with(_etag,:b)"}),
        ("list", {"FilterExpression": "contains( _etag , :b)"}),
        ("list", {"ProjectionExpression": "id,_etag"}),
        ("read", {"Key": {"id": "a"}, "ProjectionExpression": "_etag"}),
    ],
)
def test_no_expression_can_name_the_version(client: Service, operation: str, payload: dict[str, Any]) -> None:
    client.create('{"id": "a"}')
    values = {"ExpressionAttributeValues": {":b": "0"}} if ":b" in str(payload) else {}
    answer = client.run(operation, **payload, **values)
    assert answer.status == 400
    assert 'Expression: "_etag" is the service\'s own' in answer.document["message"]


def test_names_that_only_resemble_the_versions_are_the_clients(client: Service) -> None:
    client.create('{"id": "a", "my_etag": 1, "_etags": 2}')
    answer = client.run("list", FilterExpression="my_etag = :_x", ExpressionAttributeValues={":_x": 1})
    assert answer.document["Count"] == 1


def test_a_letter_that_only_resembles_an_s_begins_no_set(client: Service) -> None:
    client.create('{"id": "a"}')
    answer = client.run(
        "update",
        Key={"id": "a"},
        UpdateExpression="\u017fet b = :b",
        ExpressionAttributeValues={":b": 1},
    )
    assert answer.status == 400


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_takes_its_own_parameters_and_no_others(client: Service, operation: str) -> None:
    everything = {name for rule in OPERATIONS.values() for name in rule.allowed}
    for name in everything - set(OPERATIONS[operation].allowed):
        required = {key: {"id": "a"} for key in OPERATIONS[operation].required}
        answer = client.run(operation, **{**required, name: {}})
        assert answer.status == 400
        assert f'payload: "{name}" is no parameter of {operation}' in answer.document["message"]


def test_the_tables_own_name_and_its_alias_are_taken(client: Service) -> None:
    for name in (TABLE, TABLE_ALIAS):
        assert client.post(f'{{"operation": "list", "tableName": "{name}"}}').status == 200


@pytest.mark.parametrize("expression", ["SET #k = :v", "SET n = :v REMOVE #k"])
def test_the_key_cannot_be_changed(client: Service, expression: str) -> None:
    client.create('{"id": "a", "n": 1}')
    answer = client.run(
        "update",
        Key={"id": "a"},
        UpdateExpression=expression,
        ExpressionAttributeNames={"#k": "id"},
        ExpressionAttributeValues={":v": "b"},
    )
    assert (answer.status, answer.document["error"]) == (400, "invalid_request")
    assert client.items()["a"]["n"] == {"N": "1"}
    assert client.items().keys() == {"a"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
parameter_names = st.sampled_from([*{name for rule in OPERATIONS.values() for name in rule.allowed}, "TableName", "x"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    operation=st.sampled_from([*OPERATIONS, "echo", "ping", "x"]),
    payload=st.dictionaries(parameter_names, json_values, max_size=4) | json_values,
)
def test_no_envelope_is_a_500(client: Service, operation: str, payload: Any) -> None:
    answer = client.post(json.dumps({"operation": operation, "payload": payload}))
    assert answer.status in {200, 201, 400, 404, 409}


@pytest.mark.parametrize(
    ("number", "rule"),
    [("1e200", "is beyond"), ("-1e200", "is beyond"), ("1e-200", "is beyond"), ("1" * 39, "more than 38 significant")],
)
def test_a_number_is_refused_for_the_right_reason(client: Service, number: str, rule: str) -> None:
    assert rule in client.create(f'{{"id": "n", "value": {number}}}').document["message"]


# The REST routes


def test_put_creates_then_replaces(client: Service) -> None:
    created = client.call("PUT", '{"price": 1.10, "old": 1}', "a b")
    assert (created.status, created.document) == (201, {"id": "a b", "price": Decimal("1.1"), "old": 1})
    assert created.headers["Location"] == "a%20b"
    replaced = client.call("PUT", '{"id": "a b", "price": 2}', "a b")
    assert (replaced.status, replaced.document) == (200, {"id": "a b", "price": 2})
    assert "Location" not in replaced.headers
    assert replaced.headers["ETag"] != created.headers["ETag"]


@pytest.mark.parametrize("item_id", ["x", "a b", "a/b", "100%", "%2F", "a+b", "ü😀", "?#&=", 'a"b'])
def test_any_id_can_be_a_path(client: Service, item_id: str) -> None:
    assert client.call("PUT", "{}", item_id).status == 201
    assert client.items().keys() == {item_id}
    assert client.call("GET", item_id=item_id).document == {"id": item_id}


def test_get_answers_with_the_version_and_304_for_who_has_it(client: Service) -> None:
    etag = client.call("PUT", '{"n": 1}', "a").headers["ETag"]
    got = client.call("GET", item_id="a")
    assert (got.status, got.document, got.headers["ETag"]) == (200, {"id": "a", "n": 1}, etag)
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        same = client.call("GET", item_id="a", headers={"If-None-Match": known})
        assert (same.status, same.document, same.headers) == (304, None, {"ETag": etag})
    assert client.call("GET", item_id="a", headers={"if-none-match": '"other"'}).status == 200


def test_head_is_get_without_the_body(client: Service) -> None:
    etag = client.call("PUT", '{"n": 1}', "a").headers["ETag"]
    head = client.call("HEAD", item_id="a")
    assert (head.status, head.document, head.headers["ETag"]) == (200, None, etag)
    missing = client.call("HEAD", item_id="none")
    assert (missing.status, missing.document) == (404, None)


def test_patch_merges_top_level_fields(client: Service) -> None:
    client.call("PUT", '{"n": 1, "gone": 1, "deep": {"a": 1, "b": 2}}', "a")
    answer = client.call("PATCH", '{"n": 1.50, "gone": null, "deep": {"a": null}, "new": "x"}', "a")
    assert answer.status == 200
    assert answer.document == {"id": "a", "n": Decimal("1.5"), "deep": {"a": None}, "new": "x"}
    assert client.call("GET", item_id="a").document == answer.document
    assert client.call("GET", item_id="a").headers["ETag"] == answer.headers["ETag"]


def test_an_empty_patch_changes_nothing_but_the_version(client: Service) -> None:
    client.call("PUT", '{"n": 1}', "a")
    assert client.call("PATCH", '{"id": "a"}', "a").document == {"id": "a", "n": 1}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_what_is_not_there_is_404(client: Service, method: str) -> None:
    for headers in ({}, {"If-Match": '"x"'}, {"If-Match": "*"}):
        answer = client.call(method, "{}", "none", headers)
        assert (answer.status, answer.document["error"]) == (404, "not_found")
    assert client.items() == {}


def test_delete_answers_with_nothing(client: Service) -> None:
    client.call("PUT", "{}", "a")
    assert client.call("DELETE", item_id="a") == Answer(204, {}, None)
    assert client.items() == {}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_stale_version_is_refused(client: Service, method: str) -> None:
    stale = client.call("PUT", '{"n": 1}', "a").headers["ETag"]
    fresh = client.call("PUT", '{"n": 2}', "a").headers["ETag"]
    for wrong in (stale, f"W/{fresh}", '"x", "y"', '""'):
        answer = client.call(method, '{"n": 3}', "a", {"If-Match": wrong})
        assert (answer.status, answer.document["error"]) == (412, "precondition_failed")
    assert client.items()["a"]["n"] == {"N": "2"}
    assert client.call(method, '{"n": 3}', "a", {"if-match": f"{stale}, {fresh}"}).status in {200, 204}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_any_version_will_do_for_a_star(client: Service, method: str) -> None:
    client.call("PUT", '{"n": 1}', "a")
    assert client.call(method, '{"n": 3}', "a", {"If-Match": "*"}).status in {200, 204}


def test_an_envelopes_update_makes_a_version_stale(client: Service) -> None:
    stale = client.call("PUT", '{"n": 1}', "a").headers["ETag"]
    client.run("update", Key={"id": "a"}, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": 2})
    assert client.call("PUT", '{"n": 3}', "a", {"If-Match": stale}).status == 412


def test_an_item_that_was_put_into_the_table_by_hand_has_a_version_too(client: Service) -> None:
    client.dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "a"}, "s": {"SS": ["x"]}, "b": {"B": b"\xff"}})
    got = client.call("GET", item_id="a")
    assert got.document == {"id": "a", "s": ["x"], "b": "/w=="}
    assert client.call("PATCH", '{"n": 1}', "a", {"If-Match": got.headers["ETag"]}).status == 200
    assert client.call("PATCH", '{"n": 2}', "a", {"If-Match": got.headers["ETag"]}).status == 412


def test_put_can_be_told_to_create_only_or_to_replace_only(client: Service) -> None:
    assert client.call("PUT", "{}", "a", {"If-Match": "*"}).status == 412
    assert client.call("PUT", "{}", "a", {"If-Match": '"x"'}).status == 412
    assert client.items() == {}
    assert client.call("PUT", "{}", "a", {"If-None-Match": "*"}).status == 201
    assert client.call("PUT", '{"n": 1}', "a", {"If-None-Match": "*"}).status == 412
    assert "n" not in client.items()["a"]


def test_get_lists_with_limit_and_cursor(client: Service) -> None:
    for number in range(7):
        client.create(f'{{"id": "ü-{number}", "n": {number}.50}}')
    found, query = list[str](), {"limit": ["3"]}
    for _ in range(3):
        answer = client.call("GET", query=query)
        found += [item["id"] for item in answer.document["items"]]
        if "cursor" not in answer.document:
            break
        query = {"limit": ["3"], "cursor": [answer.document["cursor"]]}
    assert sorted(found) == [f"ü-{number}" for number in range(7)]
    assert "cursor" not in answer.document


@pytest.mark.parametrize(
    ("method", "item_id", "body", "headers", "query", "message"),
    [
        ("GET", None, None, None, {"limit": ["0"]}, "limit: 0 is not a whole number"),
        ("GET", None, None, None, {"limit": ["1e2"]}, 'limit: "1e2" is not a whole number'),
        ("GET", None, None, None, {"limit": ["٣"]}, "is not a whole number"),
        ("GET", None, None, None, {"limit": ["1", "2"]}, '"limit" is given more than once'),
        ("GET", None, None, None, {"limt": ["1"]}, '"limt" is no parameter'),
        ("GET", None, None, None, {"cursor": ["!"]}, "cursor: \"!\" is not one that this service gave out"),
        ("GET", None, None, None, {"cursor": ["é"]}, "cursor: "),
        ("GET", None, None, None, {"cursor": [""]}, "cursor: "),
        ("PUT", "a", "", None, None, "the body is empty"),
        ("PUT", "a", "[]", None, None, "body: an array is not an object"),
        ("PUT", "a", '{"id": "b"}', None, None, 'body.id: "b" is not "a"'),
        ("PATCH", "a", '{"id": null}', None, None, "body.id: null is not"),
        ("PUT", "a", '{"_etag": "b"}', None, None, "is the service's own"),
        ("PATCH", "a", '{"_etag": null}', None, None, "is the service's own"),
        ("PATCH", "a", "{" + ",".join(f'"f{n}": 1' for n in range(201)) + "}", None, None, "201 is more than the 200"),
        ("PUT", "a", "{}", {"If-Match": "abc"}, None, "If-Match: "),
        ("PUT", "a", "{}", {"If-Match": ",".join(['"x"'] * 101)}, None, "If-Match: has more than 100"),
        ("PUT", "a", "{}", {"If-None-Match": '"x"'}, None, "If-None-Match: "),
        ("PATCH", "a", "{}", {"If-None-Match": "*"}, None, "If-None-Match: \"*\" is not taken by PATCH"),
        ("DELETE", "a", None, {"If-None-Match": "*"}, None, "If-None-Match: \"*\" is not taken by DELETE"),
        ("GET", "x" * 2049, None, None, None, "id in the path"),
    ],
)  # fmt: skip
def test_a_bad_request_is_400_and_names_the_problem(
    client: Service, method: str, item_id: str, body: str, headers: Any, query: Any, message: str
) -> None:
    answer = client.call(method, body, item_id, headers, query)
    assert answer.status == 400
    assert message in answer.document["message"]
    assert client.items() == {}


def test_a_path_that_is_not_utf_8_is_400(client: Service) -> None:
    answer = client.call("GET", item_id="a", pathParameters={"id": "%ff"})
    assert answer.status == 400
    assert "UTF-8" in answer.document["message"]


@pytest.mark.parametrize(("method", "item_id"), [("DELETE", None), ("PUT", None), ("POST", "a"), ("OPTIONS", "a")])
def test_other_methods_are_405_with_the_right_ones(client: Service, method: str, item_id: str | None) -> None:
    answer = client.call(method, "{}", item_id)
    assert (answer.status, answer.document["error"]) == (405, "method_not_allowed")
    assert method not in answer.headers["Allow"].split(", ")
    assert "GET" in answer.headers["Allow"].split(", ")


def test_a_base64_body_is_the_same_body(client: Service) -> None:
    body = base64.b64encode('{"operation": "echo", "payload": "é"}'.encode()).decode()
    assert client.call("POST", body, isBase64Encoded=True).document == "é"
    broken = base64.b64encode(b"\xff").decode()
    assert client.call("POST", broken, isBase64Encoded=True).document["error"] == "invalid_json"


def test_an_answer_too_large_for_lambda_is_refused(client: Service) -> None:
    payload = '\\"' * 1_700_000
    answer = client.post(f'{{"operation": "echo", "payload": "{payload}"}}')
    assert (answer.status, answer.document["error"]) == (400, "invalid_request")
    assert "answer of more than" in answer.document["message"]


# Faults of DynamoDB


@pytest.mark.parametrize("operation", ["create", "read", "update", "delete", "list"])
def test_a_throttle_that_stays_is_429(client: Service, faulty: Callable[..., list[str]], operation: str) -> None:
    client.create('{"id": "a"}')
    call = {"create": "put_item", "read": "get_item", "update": "update_item", "delete": "delete_item", "list": "scan"}
    calls = faulty(call[operation], *[client_error("ThrottlingException")] * 500)
    payloads: dict[str, dict[str, Any]] = {
        "create": {"Item": {"id": "b"}},
        "update": {"Key": {"id": "a"}, "UpdateExpression": "REMOVE n"},
        "list": {},
    }
    answer = client.run(operation, **payloads.get(operation, {"Key": {"id": "a"}}))
    assert (answer.status, answer.document["error"], answer.headers["Retry-After"]) == (429, "throttled", "1")
    assert len(calls) > 3
    assert client.items().keys() == {"a"}


def test_a_throttle_that_passes_is_not_noticed(client: Service, faulty: Callable[..., list[str]]) -> None:
    calls = faulty("put_item", client_error("ProvisionedThroughputExceededException"), client_error("x", 503))
    assert client.create('{"id": "a"}').status == 201
    assert calls == ["put_item"] * 3


@pytest.mark.parametrize("fault", [timeout(), client_error("InternalServerError", 500)])
def test_a_put_whose_answer_was_lost_is_done_once(
    client: Service, faulty: Callable[..., list[str]], fault: Exception
) -> None:
    calls = faulty("put_item", fault, done=True)
    assert client.create('{"id": "a", "n": 1}').status == 201
    assert calls == ["put_item"] * 2
    etag = client.call("GET", item_id="a").headers["ETag"]
    faulty("put_item", fault, done=True)
    assert client.call("PUT", '{"n": 2}', "a", {"If-Match": etag}).status == 200
    faulty("put_item", fault, done=True)
    assert client.call("PUT", "{}", "b", {"If-None-Match": "*"}).status == 201


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_a_change_whose_answer_was_lost_is_not_repeated(
    client: Service, faulty: Callable[..., list[str]], operation: str
) -> None:
    client.create('{"id": "a", "n": 1}')
    calls = faulty(f"{operation}_item", timeout(), done=True)
    change: dict[str, Any] = {"UpdateExpression": "SET n = n + :n", "ExpressionAttributeValues": {":n": 1}}
    answer = client.run(operation, Key={"id": "a"}, **(change if operation == "update" else {}))
    assert answer.status == 500
    assert calls == [f"{operation}_item"]
    assert operation == "delete" or client.items()["a"]["n"] == {"N": "2"}


@pytest.mark.parametrize(
    "fault",
    [client_error("AccessDeniedException"), client_error("ResourceNotFoundException"), ValueError("secret 4711")],
)
def test_an_internal_error_shows_its_request_id_and_nothing_else(
    client: Service, faulty: Callable[..., list[str]], caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    faulty("get_item", fault)
    answer = client.run("read", Key={"id": "secret 4711"})
    assert answer.status == 500
    assert answer.document == {
        "error": "internal_error",
        "message": "the request failed; the service's log has the reason under this request id",
        "requestId": "request-1",
    }
    [record] = [record for record in caplog.records if record.message == "request failed"]
    assert record.__dict__["api_request_id"] == "request-1"
    assert record.__dict__["error"] == type(fault).__name__
    if isinstance(fault, ClientError):
        assert fault.response["Error"]["Code"] in record.__dict__["reason"]
    assert any("store.py" in frame for frame in record.__dict__["stack"])
    assert "4711" not in json.dumps([entry.__dict__ for entry in caplog.records], default=str)


def test_an_event_that_is_none_is_a_500_too(client: Service) -> None:
    assert service.handler({}, client.clock)["statusCode"] == 500


def test_the_log_has_ids_and_no_data(client: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    client.create('{"id": "a", "customer": "Ada"}')
    assert [(record.message, record.__dict__["status"]) for record in caplog.records] == [("request done", 201)]
    assert "Ada" not in json.dumps([record.__dict__ for record in caplog.records], default=str)

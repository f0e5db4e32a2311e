"""The order service, deployed to a local cloud with IAM enforced: each contract once, from end to end."""

import functools
import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urljoin

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from shop.signing import signed_headers
from tests.integration.order_service import OrderService, Response
from tests.polling import eventually

ITEMS_TO_WALK = 50_000
LARGEST_PAGE = 1_000
WRITERS = 20
ROLE_ACTIONS = ["DeleteItem", "GetItem", "PutItem", "Scan", "UpdateItem"]


def new_id(name: str = "item") -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


def jacket(item_id: str) -> dict[str, Any]:
    return {"id": item_id, "price": 78.89, "product": "Beautiful Jacket", "order_date": "2024-11-04T10:30:00Z"}


def exact_jacket(item_id: str) -> dict[str, Any]:
    return jacket(item_id) | {"price": Decimal("78.89")}


@pytest.fixture
def item_id(order_service: OrderService) -> str:
    """The id of a jacket that is stored."""
    created = new_id()
    assert order_service.run("create", {"Item": jacket(created)}).status == 201
    return created


# ---- the seven operations


def test_create_stores_the_item_and_says_where_it_is(order_service: OrderService) -> None:
    created = new_id()
    answer = order_service.run("create", {"Item": jacket(created)})
    assert (answer.status, answer.body) == (201, {"Item": exact_jacket(created)})
    found = order_service.request("GET", urljoin(order_service.endpoint, answer.headers["location"]))
    assert (found.status, found.body, found.etag) == (200, exact_jacket(created), answer.etag)
    stored = order_service.stored(created)
    assert stored is not None
    assert stored["price"] == {"N": "78.89"}


def test_create_refuses_an_id_that_exists_unless_it_shall_overwrite(order_service: OrderService, item_id: str) -> None:
    again = {"Item": {"id": item_id, "price": 1}}
    refused = order_service.run("create", again)
    assert (refused.status, refused.error) == (409, "already_exists")
    assert order_service.run("create", again, overwrite=False).status == 409
    assert order_service.run("read", {"Key": {"id": item_id}}).body == {"Item": exact_jacket(item_id)}

    assert order_service.run("create", again, overwrite=True).status == 201
    assert order_service.run("read", {"Key": {"id": item_id}}).body == again


def test_read_gives_the_item_or_the_projected_part_of_it(order_service: OrderService, item_id: str) -> None:
    key = {"Key": {"id": item_id}}
    assert order_service.run("read", key | {"ConsistentRead": True}).body == {"Item": exact_jacket(item_id)}
    projection = {"ProjectionExpression": "#p", "ExpressionAttributeNames": {"#p": "price"}}
    assert order_service.run("read", key | projection).body == {"Item": {"price": Decimal("78.89")}}


def test_update_gives_the_new_item_with_exact_numbers(order_service: OrderService, item_id: str) -> None:
    change = {
        "Key": {"id": item_id},
        "UpdateExpression": "SET price = price + :more, #s = :sold REMOVE order_date",
        "ConditionExpression": "price = :was",
        "ExpressionAttributeNames": {"#s": "sold"},
        "ExpressionAttributeValues": {":more": 0.01, ":sold": True, ":was": 78.89},
    }
    answer = order_service.run("update", change)
    after = {"id": item_id, "price": Decimal("78.90"), "product": "Beautiful Jacket", "sold": True}
    assert (answer.status, answer.body) == (200, {"Attributes": after})
    assert order_service.run("read", {"Key": {"id": item_id}}).body == {"Item": after}

    refused = order_service.run("update", change)
    assert (refused.status, refused.error) == (409, "condition_failed")
    assert order_service.run("read", {"Key": {"id": item_id}}).body == {"Item": after}


def test_delete_gives_what_it_removed(order_service: OrderService, item_id: str) -> None:
    key = {"Key": {"id": item_id}}
    condition = {"ConditionExpression": "price < :p", "ExpressionAttributeValues": {":p": 1}}
    refused = order_service.run("delete", key | condition)
    assert (refused.status, refused.error) == (409, "condition_failed")

    answer = order_service.run("delete", key)
    assert (answer.status, answer.body) == (200, {"Attributes": exact_jacket(item_id)})
    assert order_service.stored(item_id) is None
    assert order_service.run("read", key).status == 404


def test_echo_gives_the_payload_back_and_ping_pong(order_service: OrderService) -> None:
    payload = '{"somekey1": ["somevalue1", 0.1000, 12345678901234567890123456789012345678, null, "é😀"]}'
    answer = order_service.post(f'{{"operation": "echo", "payload": {payload}}}')
    assert (answer.status, answer.body) == (200, json.loads(payload, parse_float=Decimal))
    pong = order_service.run("ping")
    assert (pong.status, pong.body) == (200, "pong")
    assert pong.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "number",
    ["78.89", "0.1", "1e-7", "-0.30000000000000004", "12345678901234567890.123456789012345678", "1E125", "9" * 38],
)
def test_a_number_comes_back_as_the_decimal_that_was_sent(order_service: OrderService, number: str) -> None:
    created = new_id("number")
    body = f'{{"operation": "create", "payload": {{"Item": {{"id": "{created}", "n": {number}}}}}}}'
    assert order_service.post(body).status == 201
    for answer in (order_service.run("read", {"Key": {"id": created}}).body["Item"],
                   order_service.on_item("GET", created).body):  # fmt: skip
        assert Decimal(answer["n"]) == Decimal(number)


@pytest.mark.parametrize("operation", ["read", "update", "delete"])
def test_a_missing_item_is_not_found_and_nothing_is_created(order_service: OrderService, operation: str) -> None:
    missing = new_id("missing")
    payload: dict[str, Any] = {"Key": {"id": missing}}
    if operation == "update":
        payload |= {"UpdateExpression": "SET price = :p", "ExpressionAttributeValues": {":p": 1}}
    answer = order_service.run(operation, payload)
    assert (answer.status, answer.error) == (404, "not_found")
    assert order_service.stored(missing) is None


@pytest.mark.parametrize("operation", ["update", "delete"])
@pytest.mark.parametrize(
    "condition",
    [
        "attribute_exists(id)) OR (attribute_not_exists(id)",
        "attribute_not_exists(id)",
        "attribute_not_exists(id) OR attribute_exists(id)",
    ],
)
def test_a_condition_cannot_get_round_the_check_that_the_item_exists(
    order_service: OrderService, operation: str, condition: str
) -> None:
    missing = new_id("missing")
    payload: dict[str, Any] = {"Key": {"id": missing}, "ConditionExpression": condition}
    if operation == "update":
        payload |= {"UpdateExpression": "SET price = :p", "ExpressionAttributeValues": {":p": 1}}
    assert order_service.run(operation, payload).status in {400, 404}
    assert order_service.stored(missing) is None


# ---- what the envelope refuses


@pytest.mark.parametrize(
    ("envelope", "code", "named"),
    [
        ({"operation": "drop"}, "unknown_operation", "drop"),
        ({"payload": {}}, "unknown_operation", "operation"),
        ({"operation": "read", "payload": {"Key": {"id": "1"}, "TableName": "x"}}, "invalid_request", "TableName"),
        ({"operation": "read", "payload": {"Key": {"id": "1"}, "AttributesToGet": []}}, "invalid_request", "Attrib"),
        ({"operation": "create", "payload": {"Item": {"id": "1"}, "ReturnValues": "ALL_OLD"}}, "invalid_request",
         "ReturnValues"),
        ({"operation": "read", "payload": {"Key": {"id": "1"}, "ExpressionAttributeValues": {":v": 1}}},
         "invalid_request", "ExpressionAttributeValues"),
        ({"operation": "update", "payload": {"Key": {"id": "1"}}}, "invalid_request", "UpdateExpression"),
        ({"operation": "list", "payload": {"IndexName": "i"}}, "invalid_request", "IndexName"),
        ({"operation": "list", "payload": {"Limit": 0}}, "invalid_request", "Limit"),
        ({"operation": "list", "payload": {"Limit": 1001}}, "invalid_request", "Limit"),
        ({"operation": "list", "payload": {"FilterExpression": "price >"}}, "invalid_request", "FilterExpression"),
        ({"operation": "create", "payload": {"Item": {"id": 5}}}, "invalid_request", "id"),
        ({"operation": "create", "payload": {"Item": {"price": 5}}}, "invalid_request", "id"),
        ({"operation": "create", "payload": {"Item": {"id": "x" * 2049}}}, "invalid_request", "id"),
        ({"operation": "create", "payload": {"Item": {"id": "x", "blob": "x" * 420_000}}}, "invalid_request", "larger"),
        ({"operation": "read", "payload": {"Key": {"id": "1"}}, "colour": "red"}, "invalid_request", "colour"),
        ([], "invalid_request", "object"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)  # fmt: skip
def test_what_the_envelope_does_not_take_is_refused_by_name(
    order_service: OrderService, envelope: Any, code: str, named: str
) -> None:
    answer = order_service.post(envelope)
    assert (answer.status, answer.error) == (400, code)
    assert named in answer.body["message"]


@pytest.mark.parametrize("expression", ["SET id = :v", "SET #key = :v", "REMOVE id", "DROP TABLE x", ""])
def test_a_wrong_update_expression_is_refused_and_changes_nothing(
    order_service: OrderService, item_id: str, expression: str
) -> None:
    values = {"ExpressionAttributeValues": {":v": "x"}} if ":v" in expression else {}
    names = {"ExpressionAttributeNames": {"#key": "id"}} if "#key" in expression else {}
    payload = {"Key": {"id": item_id}, "UpdateExpression": expression} | values | names
    answer = order_service.run("update", payload)
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert order_service.run("read", {"Key": {"id": item_id}}).body == {"Item": exact_jacket(item_id)}


@pytest.mark.parametrize(
    "body",
    ["", "free text", '{"operation": ', "[" * 50_000, '{"operation": "echo", "payload": NaN}', b"\xff\xfe",
     '{"operation": "echo", "operation": "ping"}', '{"operation": "echo", "payload": "\\ud800"}'],
    ids=lambda body: ascii(body)[:30],
)  # fmt: skip
def test_a_body_that_is_not_json_is_refused(order_service: OrderService, body: str | bytes) -> None:
    answer = order_service.post(body)
    assert (answer.status, answer.error) == (400, "invalid_json")


def test_only_the_own_table_is_touched_whatever_the_name(order_service: OrderService, item_id: str) -> None:
    read = functools.partial(order_service.run, "read", {"Key": {"id": item_id}})
    assert read(tableName="order-microservice-db").status == 200
    assert read(tableName=order_service.table).status == 200
    for other in ("orders", order_service.table.upper(), "", 5, None):
        answer = read(tableName=other)
        assert (answer.status, answer.error) == (400, "invalid_request"), other
        assert "tableName" in answer.body["message"]


# ---- who may call


def assert_forbidden(answer: Response) -> None:
    assert (answer.status, answer.error) == (403, "forbidden")


def test_an_unsigned_request_is_refused(order_service: OrderService) -> None:
    for method, url in (("POST", order_service.endpoint), ("GET", order_service.item_url("1"))):
        assert_forbidden(order_service.request(method, url, "{}" if method == "POST" else None, unsigned=True))


@pytest.fixture
def caller(order_service: OrderService) -> Iterator[Callable[[str | None], Credentials]]:
    """Makes the credentials of a new user, who may invoke what the ARN says or nothing at all."""
    iam, names = order_service.client("iam"), []

    def make(resource: str | None) -> Credentials:
        name = new_id("caller")
        iam.create_user(UserName=name)
        names.append(name)
        if resource is not None:
            allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
            iam.put_user_policy(UserName=name, PolicyName="invoke", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    yield make
    for name in names:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=policy)
        iam.delete_user(UserName=name)


def test_only_who_may_invoke_the_api_can_call_it(
    order_service: OrderService, caller: Callable[[str | None], Credentials]
) -> None:
    ping = functools.partial(order_service.post, {"operation": "ping"})
    anywhere = f"arn:aws:execute-api:{order_service.cloud.region}:*"
    assert ping(credentials=caller(f"{anywhere}:*/v1/POST/order")).status == 200
    # The emulator answers these itself, in IAM's own form; the API's form is a gateway response of the template.
    for other in (None, f"{anywhere}:another/v1/POST/order", f"{anywhere}:*/v1/GET/order"):
        assert ping(credentials=caller(other)).status == 403, other


def test_a_wrong_signature_is_refused(order_service: OrderService, caller: Callable[[str | None], Credentials]) -> None:
    right = caller("*")
    body = b'{"operation": "ping"}'
    assert order_service.post(body, credentials=right).status == 200
    wrong = (Credentials(right.access_key, "wrong"), Credentials("AKIAIOSFODNN7EXAMPLE", right.secret_key))
    assert [order_service.post(body, credentials=credentials).status for credentials in wrong] == [403, 403]

    signed = signed_headers("POST", order_service.endpoint, {}, body, right, order_service.cloud.region)
    assert order_service.post(body, headers=signed, unsigned=True).status == 200
    assert order_service.post(b'{"operation": "list"}', headers=signed, unsigned=True).status == 403


@pytest.mark.parametrize(("service", "region"), [("dynamodb", None), ("execute-api", "eu-central-1")])
def test_a_signature_for_something_else_is_refused(
    order_service: OrderService,
    caller: Callable[[str | None], Credentials],
    service: str,
    region: str | None,
) -> None:
    for credentials in (caller("*"), order_service.credentials):
        request = AWSRequest(method="POST", url=order_service.endpoint, data=b'{"operation": "ping"}')
        SigV4Auth(credentials, service, region or order_service.cloud.region).add_auth(request)
        answer = order_service.post(b'{"operation": "ping"}', headers=dict(request.headers.items()), unsigned=True)
        assert_forbidden(answer)


# ---- what the function may do


@pytest.fixture
def as_function(order_service: OrderService) -> Callable[[str], Any]:
    """Makes clients that have the rights of the function's role."""
    configuration = order_service.client("lambda").get_function_configuration(
        FunctionName=order_service.outputs["OrderServiceFunctionName"]
    )
    assumed = order_service.client("sts").assume_role(RoleArn=configuration["Role"], RoleSessionName="test")
    credentials = assumed["Credentials"]

    def make(service: str) -> Any:
        return boto3.session.Session().client(
            service,  # type: ignore[call-overload]
            region_name=order_service.cloud.region,
            endpoint_url=order_service.cloud.endpoint_url,
            verify=order_service.cloud.ca_bundle,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            config=Config(proxies={}),
        )

    return make


def denied(call: Callable[[], object]) -> bool:
    """Whether the call fails for want of a right."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}
    return False


def calls(dynamodb: Any, table: str, key: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """A harmless call of each action on a table."""
    return {
        "GetItem": lambda: dynamodb.get_item(TableName=table, Key=key),
        "PutItem": lambda: dynamodb.put_item(TableName=table, Item=key),
        "UpdateItem": lambda: dynamodb.update_item(TableName=table, Key=key),
        "DeleteItem": lambda: dynamodb.delete_item(TableName=table, Key=key),
        "Scan": lambda: dynamodb.scan(TableName=table, Limit=1),
        "DescribeTable": lambda: dynamodb.describe_table(TableName=table),
        "BatchGetItem": lambda: dynamodb.batch_get_item(RequestItems={table: {"Keys": [key]}}),
        "BatchWriteItem": lambda: dynamodb.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": key}}]}),
        "UpdateTable": lambda: dynamodb.update_table(TableName=table, BillingMode="PAY_PER_REQUEST"),
    }


def test_the_function_may_do_its_five_actions_on_its_table_and_nothing_else(
    order_service: OrderService, outputs: dict[str, dict[str, str]], as_function: Callable[[str], Any]
) -> None:
    dynamodb = as_function("dynamodb")
    orders = outputs[f"{order_service.cloud.stage}-order-pipeline"]["OrdersTableName"]
    own = calls(dynamodb, order_service.table, {"id": {"S": new_id("role")}})
    assert sorted(action for action, call in own.items() if not denied(call)) == ROLE_ACTIONS
    other = calls(dynamodb, orders, {"orderID": {"S": new_id("role")}})
    assert [action for action, call in other.items() if not denied(call)] == []
    assert denied(dynamodb.list_tables)
    assert denied(lambda: as_function("sqs").list_queues())


# ---- the whole table, page by page


@pytest.fixture(scope="module")
def many(order_service: OrderService) -> Iterator[set[str]]:
    """The ids of 50,000 items that are in the table."""
    prefix = new_id("walk")
    ids = {f"{prefix}-{number}" for number in range(ITEMS_TO_WALK)}
    order_service.fill(ids)
    yield ids
    order_service.clear(ids)


def test_a_table_of_50_000_items_can_be_walked_whole(order_service: OrderService, many: set[str]) -> None:
    pages = list(order_service.walk(LARGEST_PAGE))
    found = [item["id"] for page in pages for item in page]
    assert len(found) == len(set(found))
    assert many <= set(found)
    assert len(pages) <= len(found) // LARGEST_PAGE + 1


def test_a_filtered_walk_gives_each_match_once(order_service: OrderService, many: set[str]) -> None:
    prefix = min(many).rpartition("-")[0]
    filtered = {
        "FilterExpression": "begins_with(id, :start) AND contains(id, :nines)",
        "ExpressionAttributeValues": {":start": prefix, ":nines": "-999"},
        "ProjectionExpression": "id",
    }
    found = [item["id"] for page in order_service.walk(LARGEST_PAGE, **filtered) for item in page]
    assert sorted(found) == sorted(item_id for item_id in many if "-999" in item_id)


def test_cursors_lead_through_all_pages(order_service: OrderService, many: set[str]) -> None:
    assert many
    wanted, found, cursor = 3_000, list[str](), ""
    while len(found) < wanted:
        answer = order_service.page(f"limit=250{cursor}")
        assert answer.status == 200, answer
        assert set(answer.body) == {"items", "cursor"}
        assert len(answer.body["items"]) == 250
        found += [item["id"] for item in answer.body["items"]]
        cursor = f"&cursor={quote(answer.body['cursor'], safe='')}"
    assert len(set(found)) == len(found)
    walked = itertools.islice(order_service.walk(LARGEST_PAGE), wanted // LARGEST_PAGE)
    assert found == [item["id"] for page in walked for item in page]


def test_a_page_has_100_items_unless_asked_otherwise(order_service: OrderService, many: set[str]) -> None:
    assert many
    assert len(order_service.page().body["items"]) == 100
    assert order_service.run("list").body["Count"] == 100


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=", "limit=1&limit=2", "cursor=%21", "cursor=", "page=2"]
)
def test_a_wrong_query_is_refused(order_service: OrderService, query: str) -> None:
    answer = order_service.page(query)
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert query.partition("=")[0] in answer.body["message"]


# ---- resources


def test_put_creates_and_replaces(order_service: OrderService) -> None:
    put = new_id("put")
    created = order_service.on_item("PUT", put, {"price": 78.89, "sizes": [1, 2.5]})
    assert (created.status, created.body) == (201, {"id": put, "price": Decimal("78.89"), "sizes": [1, Decimal("2.5")]})
    assert urljoin(order_service.item_url(put), created.headers["location"]) == order_service.item_url(put)

    replaced = order_service.on_item("PUT", put, {"id": put, "colour": "red"})
    assert (replaced.status, replaced.body) == (200, {"id": put, "colour": "red"})
    assert "location" not in replaced.headers
    assert order_service.on_item("GET", put).body == {"id": put, "colour": "red"}

    other = order_service.on_item("PUT", put, {"id": "another"})
    assert (other.status, other.error) == (400, "invalid_request")


def test_patch_merges_top_level_fields(order_service: OrderService, item_id: str) -> None:
    patched = order_service.on_item("PATCH", item_id, {"price": 80.5, "order_date": None, "size": {"chest": 4}})
    after = {"id": item_id, "price": Decimal("80.5"), "product": "Beautiful Jacket", "size": {"chest": 4}}
    assert (patched.status, patched.body) == (200, after)
    assert order_service.on_item("GET", item_id).body == after
    too_many = order_service.on_item("PATCH", item_id, {f"f{number}": 1 for number in range(201)})
    assert (too_many.status, too_many.error) == (400, "invalid_request")
    missing = new_id("missing")
    assert order_service.on_item("PATCH", missing, {"price": 1}).error == "not_found"
    assert order_service.stored(missing) is None


def test_delete_removes_the_item(order_service: OrderService, item_id: str) -> None:
    deleted = order_service.on_item("DELETE", item_id)
    assert (deleted.status, deleted.body) == (204, None)
    assert order_service.on_item("GET", item_id).error == "not_found"
    assert order_service.on_item("DELETE", item_id).status == 404


def test_both_ways_in_lead_to_the_same_items(order_service: OrderService, item_id: str) -> None:
    assert order_service.on_item("GET", item_id).body == exact_jacket(item_id)
    order_service.on_item("PATCH", item_id, {"price": 1})
    read = order_service.run("read", {"Key": {"id": item_id}})
    assert read.body == {"Item": exact_jacket(item_id) | {"price": 1}}


def test_each_write_changes_the_etag(order_service: OrderService) -> None:
    item = new_id("etag")
    update = {"Key": {"id": item}, "UpdateExpression": "SET b = :b", "ExpressionAttributeValues": {":b": 1}}
    writes: list[Callable[[], Response]] = [
        lambda: order_service.run("create", {"Item": {"id": item}}),
        lambda: order_service.run("create", {"Item": {"id": item}}, overwrite=True),
        lambda: order_service.run("update", update),
        lambda: order_service.on_item("PATCH", item, {"a": 1}),
        lambda: order_service.on_item("PATCH", item, {"a": 1}),
        lambda: order_service.on_item("PUT", item, {"a": 1}),
    ]
    etags = []
    for write in writes:
        answer = write()
        assert answer.status in {200, 201}, answer
        etags.append(order_service.on_item("GET", item).etag)
        assert answer.headers.get("etag", etags[-1]) == etags[-1]
    assert len(set(etags)) == len(etags)
    assert order_service.on_item("GET", item).etag == etags[-1]


def test_a_client_that_has_the_version_gets_304(order_service: OrderService, item_id: str) -> None:
    etag = order_service.on_item("GET", item_id).etag
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        same = order_service.on_item("GET", item_id, If_None_Match=known)
        assert (same.status, same.body, same.etag) == (304, None, etag), known
    assert order_service.on_item("GET", item_id, If_None_Match='"other"').status == 200


def test_a_precondition_that_does_not_hold_changes_nothing(order_service: OrderService, item_id: str) -> None:
    stale = order_service.on_item("GET", item_id).etag
    current = order_service.on_item("PATCH", item_id, {"price": 1}, If_Match=stale)
    assert current.status == 200
    for method, body in (("PUT", {"price": 2}), ("PATCH", {"price": 2}), ("DELETE", None)):
        refused = order_service.on_item(method, item_id, body, If_Match=stale)
        assert (refused.status, refused.error) == (412, "precondition_failed"), method
    exists = order_service.on_item("PUT", item_id, {"price": 2}, If_None_Match="*")
    assert (exists.status, exists.error) == (412, "precondition_failed")
    unchanged = order_service.on_item("GET", item_id)
    assert (unchanged.body["price"], unchanged.etag) == (1, current.etag)

    missing = new_id("missing")
    assert order_service.on_item("PUT", missing, {}, If_Match="*").status == 412
    assert order_service.stored(missing) is None
    assert order_service.on_item("PUT", missing, {}, If_None_Match="*").status == 201
    assert order_service.on_item("DELETE", item_id, If_Match=current.etag).status == 204


@pytest.mark.parametrize(
    "name",
    ["a b", "a/b", "/", "100%", "%41", "%2F", "a+b", "😀 é", "..", ".", "a..b", "../../x", "?x=1&y", "#x", "a;b=c:@",
     '"quoted"', "back\\slash", "\u0000", "new\nline", "x" * 500],
    ids=lambda name: ascii(name)[:20],
)  # fmt: skip
def test_an_id_of_any_characters_has_a_resource(order_service: OrderService, name: str) -> None:
    item = name if name in {".", ".."} else f"{name}{new_id('')}"
    created = order_service.run("create", {"Item": {"id": item}}, overwrite=True)
    assert created.status == 201, created
    url = urljoin(order_service.endpoint, created.headers["location"])
    assert order_service.request("GET", url).body == {"id": item}
    assert order_service.on_item("PUT", item, {"n": 1}).body == {"id": item, "n": 1}
    stored = order_service.stored(item)
    assert stored is not None
    assert stored["n"] == {"N": "1"}
    assert order_service.on_item("PATCH", item, {"n": 2}).body == {"id": item, "n": 2}
    assert order_service.on_item("DELETE", item).status == 204
    assert order_service.stored(item) is None


def test_head_is_get_without_a_body(order_service: OrderService, item_id: str) -> None:
    got, head = order_service.on_item("GET", item_id), order_service.on_item("HEAD", item_id)
    assert (head.status, head.body, head.etag) == (200, None, got.etag)
    assert head.headers["content-type"] == "application/json"
    missing = order_service.on_item("HEAD", new_id("missing"))
    assert (missing.status, missing.body) == (404, None)
    assert order_service.request("HEAD", order_service.endpoint).status == 200


@pytest.mark.parametrize(
    ("on", "methods", "allow"),
    [
        ("collection", ["PUT", "PATCH", "DELETE", "OPTIONS"], {"POST", "GET", "HEAD"}),
        ("item", ["POST", "OPTIONS"], {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
    ],
)
def test_other_methods_are_refused_with_those_that_there_are(
    order_service: OrderService, on: str, methods: list[str], allow: set[str]
) -> None:
    url = order_service.endpoint if on == "collection" else order_service.item_url("1")
    for method in methods:
        answer = order_service.request(method, url)
        assert (answer.status, answer.error) == (405, "method_not_allowed"), method
        assert set(answer.headers["allow"].split(", ")) == allow


# ---- concurrent writers


def test_of_many_who_create_the_same_item_one_succeeds(order_service: OrderService) -> None:
    contended = new_id("contended")
    requests = [
        functools.partial(order_service.run, "create", {"Item": {"id": contended, "by": writer}})
        for writer in range(WRITERS)
    ]
    answers = order_service.at_once(requests)
    assert sorted(answer.status for answer in answers) == [201] + [409] * (WRITERS - 1)
    [winner] = [answer for answer in answers if answer.status == 201]
    assert order_service.run("read", {"Key": {"id": contended}}).body == winner.body


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_of_many_who_write_on_the_same_version_one_succeeds(
    order_service: OrderService, item_id: str, method: str
) -> None:
    etag = order_service.on_item("GET", item_id).etag
    requests = [
        functools.partial(order_service.on_item, method, item_id, {"by": writer}, If_Match=etag)
        for writer in range(WRITERS)
    ]
    answers = order_service.at_once(requests)
    assert sorted(answer.status for answer in answers) == [200] + [412] * (WRITERS - 1)
    [winner] = [answer for answer in answers if answer.status == 200]
    current = order_service.on_item("GET", item_id)
    assert (current.body, current.etag) == (winner.body, winner.etag)


def test_writers_who_read_and_put_with_if_match_lose_no_update(order_service: OrderService) -> None:
    counter, rounds, writers = new_id("counter"), 5, 5
    assert order_service.on_item("PUT", counter, {"n": 0}).status == 201

    def add_one() -> bool:
        current = order_service.on_item("GET", counter)
        answer = order_service.on_item("PUT", counter, {"n": current.body["n"] + 1}, If_Match=current.etag)
        assert answer.status in {200, 412}, answer
        return answer.status == 200

    def add_all() -> None:
        for _ in range(rounds):
            eventually(add_one, timeout=60)

    order_service.at_once([add_all] * writers, writers)
    assert order_service.on_item("GET", counter).body["n"] == rounds * writers


def test_updates_that_count_lose_none(order_service: OrderService) -> None:
    counter, count = new_id("counter"), 100
    assert order_service.on_item("PUT", counter, {"n": 0}).status == 201
    update = {
        "Key": {"id": counter},
        "UpdateExpression": "SET n = n + :one",
        "ExpressionAttributeValues": {":one": 1},
    }
    answers = order_service.at_once([functools.partial(order_service.run, "update", update)] * count)
    assert sorted(answer.body["Attributes"]["n"] for answer in answers) == list(range(1, count + 1))


# ---- failures


def test_a_failure_shows_a_request_id_and_the_log_the_rest(order_service: OrderService, item_id: str) -> None:
    configuration = order_service.client("lambda").get_function_configuration(
        FunctionName=order_service.outputs["OrderServiceFunctionName"]
    )
    iam, role = order_service.client("iam"), configuration["Role"].rpartition("/")[2]
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    without = [statement for statement in policy["Statement"] if "dynamodb:GetItem" not in statement["Action"]]
    assert len(without) == len(policy["Statement"]) - 1

    def put(statements: list[dict[str, Any]]) -> None:
        document = json.dumps({**policy, "Statement": statements})
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)

    since = int(time.time() * 1000)  # the emulator gives the first 10,000 lines only
    put(without)
    try:
        failed = order_service.run("read", {"Key": {"id": item_id}})
    finally:
        put(policy["Statement"])
    assert failed.status == 500
    assert set(failed.body) == {"error", "message", "requestId"}
    assert failed.body["error"] == "internal_error"
    for internal in ("AccessDenied", "dynamodb", order_service.table, "Traceback", "arn:"):
        assert internal not in json.dumps(failed.body)

    pages = order_service.client("logs").get_paginator("filter_log_events")
    group = configuration["LoggingConfig"]["LogGroup"]

    def logged() -> list[str]:
        found = pages.paginate(logGroupName=group, startTime=since)
        lines = (event["message"] for page in found for event in page["events"])
        return [line for line in lines if failed.body["requestId"] in line and "AccessDenied" in line]

    assert eventually(logged)
    assert order_service.run("read", {"Key": {"id": item_id}}).status == 200

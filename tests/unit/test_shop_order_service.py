"""The order service's client: the envelope's exact bytes, what each answer leads to, what is sent again."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import urllib3

from order_service import contract
from shop import order_service
from shop.errors import ShopError
from shop.http_client import Backoff
from shop.order_service import Expression, Listing, OrderService
from tests.unit.http_server import Reply, Server, serving

QUICK = Backoff(attempts=3, first=0.001, longest=0.002)
EVERYTHING = Expression()
FOUND = Reply(200, b'{"Item": {"id": "A-1", "price": 78.890, "count": 12345678901234567890123456789}}')
CHANGE = order_service.read_change(["price=80.50"], [])


def service(server: Server, backoff: Backoff = QUICK) -> OrderService:
    return OrderService(server.url, lambda *_: {"authorization": "signed"}, urllib3.PoolManager(), backoff)


def call(server: Server, operation: str) -> Any:
    """Have the service do an operation, whichever."""
    operations: dict[str, Callable[[], object]] = {
        "read": lambda: service(server).read("A-1"),
        "delete": lambda: service(server).delete("A-1"),
        "create": lambda: service(server).create(msgspec.Raw(b'{"id": "A-1"}'), overwrite=False),
        "update": lambda: service(server).update("A-1", CHANGE),
        "list": lambda: service(server).list_items(100, EVERYTHING),
        "ping": lambda: service(server).ping(),
    }
    return operations[operation]()


def test_an_item_is_sent_byte_for_byte() -> None:
    item = order_service.read_item(' {"id": "A", "p": 3.50, "q": 1E2, "t": "è \\u00e8 🍰"}\n'.encode(), "f")
    with serving(lambda *_: Reply(201, b'{"Item": {"id": "A"}}')) as server:
        service(server).create(item, overwrite=False)
        service(server).create(item, overwrite=True)
    raw = '{"id": "A", "p": 3.50, "q": 1E2, "t": "è \\u00e8 🍰"}'
    assert server.bodies == [
        f'{{"operation":"create","payload":{{"Item":{raw}}}}}'.encode(),
        f'{{"operation":"create","overwrite":true,"payload":{{"Item":{raw}}}}}'.encode(),
    ]
    assert server.headers[0]["authorization"] == "signed"


def test_numbers_in_an_answer_are_exact() -> None:
    with serving(lambda *_: FOUND) as server:
        item = service(server).read("A-1")
    assert item == {"id": "A-1", "price": Decimal("78.890"), "count": 12345678901234567890123456789}
    assert str(item["price"]) == "78.890"
    assert json.loads(server.bodies[0]) == {
        "operation": "read",
        "payload": {"Key": {"id": "A-1"}, "ConsistentRead": True},
    }


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_what_was_changed_or_deleted_comes_back(operation: str) -> None:
    with serving(lambda *_: Reply(200, b'{"Attributes": {"id": "A-1", "price": 80.50}}')) as server:
        assert call(server, operation) == {"id": "A-1", "price": Decimal("80.50")}


def test_an_update_has_a_placeholder_for_every_name_and_value() -> None:
    change = order_service.read_change(["price=80.50", 'a.b="x=y"'], ["size", "order"])
    with serving(lambda *_: Reply(200, b'{"Attributes": {}}')) as server:
        service(server).update("A-1", change)
    payload = json.loads(server.bodies[0])["payload"]
    assert payload == {
        "Key": {"id": "A-1"},
        "UpdateExpression": "SET #set0 = :set0, #set1 = :set1 REMOVE #remove0, #remove1",
        "ExpressionAttributeNames": {"#set0": "price", "#set1": "a.b", "#remove0": "size", "#remove1": "order"},
        "ExpressionAttributeValues": {":set0": 80.5, ":set1": "x=y"},
    }
    assert b'":set0":80.50,' in server.bodies[0]
    assert order_service.read_change([], ["size"]).payload() == {
        "UpdateExpression": "REMOVE #remove0",
        "ExpressionAttributeNames": {"#remove0": "size"},
    }


def test_an_expression_has_the_placeholders_that_are_given() -> None:
    texts = {"UpdateExpression": "SET #p = :p", "ConditionExpression": None}
    found = order_service.read_expression(texts, '{"#p": "price"}', '{":p": 80.50}')
    assert msgspec.json.encode(found.payload()) == (
        b'{"UpdateExpression":"SET #p = :p",'
        b'"ExpressionAttributeNames":{"#p":"price"},"ExpressionAttributeValues":{":p":80.50}}'
    )
    assert order_service.read_expression({"FilterExpression": None}, None, None).payload() == {}


def test_a_condition_stands_beside_what_is_set() -> None:
    found = order_service.read_expression({"ConditionExpression": "price < :p"}, None, '{":p": 1}', beside=CHANGE)
    assert found.parameters == {"UpdateExpression": "SET #set0 = :set0", "ConditionExpression": "price < :p"}
    assert found.values.keys() == {":set0", ":p"}
    with pytest.raises(ShopError, match=r"^--values: :set0 is a placeholder of --set and --remove; take another$"):
        order_service.read_expression({}, None, '{":set0": 1}', beside=CHANGE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("price", "--set: price is not NAME=JSON, such as price=80.50"),
        ("=1", "--set: =1 is not NAME=JSON, such as price=80.50"),
        ("note=text", "--set note: text is not JSON; a string goes in double quotes: --set 'note=\"text\"'"),
        ("note=", "--set note:  is not JSON; a string goes in double quotes: --set 'note=\"text\"'"),
        ("price=NaN", "--set price: NaN is not JSON; a string goes in double quotes: --set 'price=\"text\"'"),
        ("n=\x1b", "--set n: \\x1b is not JSON; a string goes in double quotes: --set 'n=\"text\"'"),
        ("deep=" + "[" * 200_000, "--set deep: " + "[" * 59 + "… is not JSON; "),
    ],
)
def test_a_value_that_is_not_json_says_how_to_write_a_string(text: str, line: str) -> None:
    with pytest.raises(ShopError) as caught:
        order_service.read_change([text], [])
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "\udc80"])
def test_placeholders_are_a_json_object(text: str) -> None:
    with pytest.raises(ShopError, match=r"^--values: .* is not a JSON object"):
        order_service.read_placeholders(text, "--values")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", r"f\.json: not JSON"),
        (b'{"id": "A"', r"f\.json: not JSON"),
        (b'{"id": NaN}', r"f\.json: not JSON"),
        (b'{"id": "A"}\n{"id": "B"}', r"f\.json: not JSON"),
        (b"[" * 200_000, r"f\.json: not JSON"),
        (b'[{"id": "A"}]', r"f\.json: an item is one JSON object"),
        (b'"A"', r"f\.json: an item is one JSON object"),
    ],
)
def test_a_file_holds_one_object(data: bytes, line: str) -> None:
    with pytest.raises(ShopError, match=line):
        order_service.read_item(data, "f.json")


class _Table:
    """Items that the service gives out in pages, the key to go on with opaque and to be passed back unchanged."""

    def __init__(self, count: int, longest_page: int = 10_000) -> None:
        self.items = [{"id": f"A-{number}"} for number in range(count)]
        self.longest_page = longest_page
        self.limits: list[int] = []

    def answer(self, _: int, body: bytes) -> Reply:
        payload = json.loads(body)["payload"]
        self.limits.append(payload["Limit"])
        start = payload.get("ExclusiveStartKey", {"at": 0})["at"]
        end = start + min(payload["Limit"], self.longest_page)
        page: dict[str, Any] = {"Items": self.items[start:end], "Count": 0}
        if end < len(self.items):
            page["LastEvaluatedKey"] = {"at": end}
        return Reply(200, json.dumps(page).encode())


@pytest.mark.parametrize(
    ("table", "limit", "found", "has_more", "limits"),
    [
        (_Table(0), 100, 0, False, [101]),
        (_Table(100), 100, 100, False, [101]),
        (_Table(101), 100, 100, True, [101]),
        (_Table(50, longest_page=7), 20, 20, True, [21] * 3),
        (_Table(2500), 2000, 2000, True, [1000] * 3),
        (_Table(2500), None, 2500, False, [1000] * 3),
    ],
)
def test_a_list_goes_through_the_pages(
    table: _Table, limit: int | None, found: int, has_more: bool, limits: list[int]
) -> None:
    with serving(table.answer) as server:
        listing = service(server).list_items(limit, EVERYTHING)
    assert listing == Listing(table.items[:found], has_more)
    assert table.limits == limits


def test_a_filter_reads_whole_pages() -> None:
    table = _Table(5)
    chosen = order_service.read_expression({"FilterExpression": "price > :p"}, None, '{":p": 1.50}')
    with serving(table.answer) as server:
        assert len(service(server).list_items(2, chosen).items) == 2
    assert table.limits == [1000]
    assert b'"FilterExpression":"price > :p","ExpressionAttributeValues":{":p":1.50}' in server.bodies[0]


def test_a_page_is_no_larger_than_the_service_gives() -> None:
    assert order_service.LARGEST_PAGE == contract.LARGEST_PAGE


def test_a_ping_takes_the_time_of_its_answer() -> None:
    with serving(lambda number, _: Reply(200, b'"pong"') if number else Reply(503)) as server:
        assert 0 < service(server, Backoff(attempts=2, first=0, longest=0)).ping() < 10_000
    assert [json.loads(body) for body in server.bodies] == [{"operation": "ping"}] * 2


@pytest.mark.parametrize("operation", ["create", "read", "update", "delete", "list", "ping"])
@pytest.mark.parametrize("status", [0, 500, 503, 504])
def test_only_what_changes_nothing_is_repeated_after_a_failure(operation: str, status: int) -> None:
    failure = Reply(status, b'{"error": "internal_error", "message": "no", "requestId": "r-1"}')
    with serving(lambda *_: failure) as server, pytest.raises(ShopError) as caught:
        call(server, operation)
    harmless = operation in {"read", "list", "ping"}
    assert len(server.bodies) == (QUICK.attempts if harmless else 1)
    if status:
        assert str(caught.value) == "internal_error: no (request id r-1)"
    else:
        assert str(caught.value).startswith("no answer from the order service (")
        assert ("it may have been done all the same" in str(caught.value)) == (not harmless)


@pytest.mark.parametrize("operation", ["create", "read", "update", "delete", "list", "ping"])
def test_what_is_throttled_is_sent_again(operation: str) -> None:
    throttled = Reply(429, b'{"error": "throttled", "message": "slow down"}')
    with serving(lambda number, _: throttled if number < 2 else Reply(400, b"{}")) as server:
        with pytest.raises(ShopError, match=r"^HTTP 400"):
            call(server, operation)
        assert len(server.bodies) == 3
    with serving(lambda *_: throttled) as server, pytest.raises(ShopError, match=r"^throttled: slow down$"):
        call(server, operation)
    assert len(server.bodies) == QUICK.attempts


def test_a_spent_quota_is_not_waited_for() -> None:
    body = b'{"error": "throttled", "message": "Limit Exceeded"}'
    quota = Reply(429, body, {"x-amzn-ErrorType": "LimitExceededException"})
    with serving(lambda *_: quota) as server, pytest.raises(ShopError, match="Limit Exceeded"):
        call(server, "ping")
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (Reply(404, b'{"error": "not_found", "message": "there is no A\\u001b"}'), r"not_found: there is no A\x1b"),
        (Reply(409, b'{"error": "already_exists", "message": "A"}'), "already_exists: A"),
        (Reply(403, b'{"error": "forbidden", "message": "no"}'), f"forbidden: no; {order_service._RIGHTS}"),
        (
            Reply(403, b'{"message": "Forbidden"}'),
            'HTTP 403, and not in the order service\'s form: {"message": "Forbidden"}; ' + order_service._RIGHTS,
        ),
        (Reply(400, b"<html>\x1b"), r"HTTP 400, and not in the order service's form: <html>\x1b"),
        (Reply(302, b""), "HTTP 302, and not in the order service's form: nothing"),
        (Reply(200, b"<html>"), "HTTP 200, and not in the order service's form: <html>"),
        (Reply(200, b'{"Attributes": {}}'), 'HTTP 200, and not in the order service\'s form: {"Attributes": {}}'),
        (Reply(200, b'{"Item": 7}'), 'HTTP 200, and not in the order service\'s form: {"Item": 7}'),
        (Reply(200, b'"\xff"'), 'HTTP 200, and not in the order service\'s form: "\N{REPLACEMENT CHARACTER}"'),
    ],
)
def test_what_is_no_item_is_one_line(reply: Reply, line: str) -> None:
    with serving(lambda *_: reply) as server, pytest.raises(ShopError) as caught:
        service(server).read("A-1")
    assert str(caught.value) == line
    assert len(server.bodies) == 1


def test_another_answer_to_a_ping_is_no_pong() -> None:
    with serving(lambda *_: Reply(200, b'"hello"')) as server, pytest.raises(ShopError, match=r'form: "hello"$'):
        service(server).ping()


def test_a_service_that_cannot_be_reached_is_one_line() -> None:
    with serving(lambda *_: FOUND) as server:
        gone = server
    with pytest.raises(ShopError, match=r"^the order service cannot be reached: .*refused"):
        service(gone).read("A-1")


def test_an_id_that_is_not_utf_8_is_one_line() -> None:
    with serving(lambda *_: FOUND) as server, pytest.raises(ShopError, match="not UTF-8"):
        service(server).read("A\udc80")
    assert server.bodies == []


def test_a_row_has_the_id_and_the_other_fields_exactly() -> None:
    item = {"price": Decimal("80.50"), "id": "A-1", "name": "Caffè"}
    assert order_service.row(item) == ("A-1", '{"name":"Caffè","price":80.50}')
    assert len(order_service.row({"id": "A", "text": "x" * 500})[1]) == order_service.LONGEST_ROW

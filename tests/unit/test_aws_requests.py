"""Requests of a client that sends parameters as they are given: the same as the SDK writes them."""

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from order_processor import handler as processor
from shared.aws import make_client, send_as_given

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    TEXTS.map(lambda text: {"S": text})
    | st.integers().map(lambda number: {"N": str(number)})
    | st.booleans().map(lambda truth: {"BOOL": truth})
    | st.just({"NULL": True})
    | st.lists(TEXTS, min_size=1, max_size=3).map(lambda texts: {"SS": texts}),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: {"L": values})
        | st.dictionaries(TEXTS, inner, max_size=3).map(lambda members: {"M": members})
    ),
    max_leaves=8,
)
STATEMENTS = st.lists(
    st.fixed_dictionaries(
        {"Statement": TEXTS},
        optional={"Parameters": st.lists(VALUES, max_size=4), "ConsistentRead": st.booleans()},
    ),
    max_size=4,
)


class Sent:
    """A client whose requests are caught where they would leave."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.requests: list[AWSPreparedRequest] = []
        self.client.meta.events.register("before-send", self._catch)

    def _catch(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        self.requests.append(request)
        body: Any = _Body()
        return AWSResponse(request.url or "", 200, HTTPHeaders(), body)

    def last(self) -> tuple[Any, ...]:
        """What the service gets, but for when it was signed."""
        request = self.requests.pop()
        signed = ("Authorization", "X-Amz-Date", "amz-sdk-invocation-id")
        headers = {name: value for name, value in request.headers.items() if name not in signed}
        return request.method, request.url, headers, request.body


class _Body:
    def stream(self) -> list[bytes]:
        return [b"{}"]


@pytest.fixture(scope="module")
def as_given() -> Sent:
    sent = Sent(make_client("dynamodb"))
    send_as_given(sent.client, "BatchExecuteStatement")
    return sent


@pytest.fixture(scope="module")
def by_description() -> Sent:
    return Sent(make_client("dynamodb"))


@given(STATEMENTS)
def test_statements_are_written_as_the_sdk_writes_them(
    as_given: Sent, by_description: Sent, statements: list[Mapping[str, Any]]
) -> None:
    for sent in (as_given, by_description):
        sent.client.batch_execute_statement(Statements=statements)
    assert as_given.last() == by_description.last()


def test_other_operations_are_left_to_the_sdk(as_given: Sent, by_description: Sent) -> None:
    for sent in (as_given, by_description):
        sent.client.batch_get_item(RequestItems={"orders": {"Keys": [{"id": {"S": "A-1"}}]}})
    assert as_given.last() == by_description.last()


def test_calls_one_after_the_other_send_each_its_own(as_given: Sent) -> None:
    as_given.client.batch_execute_statement(Statements=[{"Statement": "first"}])
    as_given.client.batch_execute_statement(Statements=[{"Statement": "second"}])
    assert b"second" in as_given.last()[3]
    assert b"first" in as_given.last()[3]


def test_what_a_caller_gives_stays_its_own(as_given: Sent) -> None:
    parameters: dict[str, Any] = {"Statements": [{"Statement": "first"}]}
    as_given.client._make_api_call("BatchExecuteStatement", parameters)  # as those who trace calls wrap it
    assert parameters == {"Statements": [{"Statement": "first"}]}
    assert b"first" in as_given.last()[3]


def test_the_sdk_looks_up_nothing(as_given: Sent, by_description: Sent) -> None:
    statements = [{"Statement": "", "Parameters": [{"of no type that the SDK knows": "1"}]}]
    as_given.client.batch_execute_statement(Statements=statements)
    assert json.loads(as_given.last()[3]) == {"Statements": statements}
    with pytest.raises(KeyError):
        by_description.client.batch_execute_statement(Statements=statements)


def test_the_order_processor_sends_its_statements_so() -> None:
    sent = Sent(cast("Any", processor._dynamodb))
    statements = [{"Statement": "", "Parameters": [{"of no type that the SDK knows": "1"}]}]
    try:
        sent.client.batch_execute_statement(Statements=statements)
    finally:
        sent.client.meta.events.unregister("before-send", sent._catch)
    assert json.loads(sent.last()[3]) == {"Statements": statements}


def test_a_service_that_does_not_speak_json_is_left_to_the_sdk() -> None:
    left, by_description = (Sent(make_client("sns")) for _ in range(2))
    send_as_given(left.client, "Publish")
    for sent in (left, by_description):
        with pytest.raises(ResponseParserError):  # SNS answers in XML
            sent.client.publish(TopicArn="arn:aws:sns:eu-west-1:111122223333:orders", Message="first")
    assert left.last() == by_description.last()


def test_the_header_that_names_the_caller_is_a_fixed_text(by_description: Sent) -> None:
    by_description.client.batch_execute_statement(Statements=[])
    assert by_description.last()[2]["User-Agent"] == b"serverless-shop"


def test_bytes_are_refused_before_anything_is_sent(as_given: Sent) -> None:
    with pytest.raises(TypeError, match="bytes is not JSON serializable"):
        as_given.client.batch_execute_statement(Statements=[{"Statement": "", "Parameters": [{"B": b"1"}]}])
    assert as_given.requests == []

"""The deployed order pipeline as a test's client sees it: sends, looks, counts."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from shop.local import mailbox
from shop.local.clients import client
from shop.local.cloud import Cloud
from shop.local.mailbox import Mail
from shop.local.paths import Paths

_CONNECTIONS = 16
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Response:
    status: int
    body: Any
    request_id: str | None = None
    """API Gateway's, which its access log has."""


@dataclass(frozen=True)
class Pipeline:
    cloud: Cloud
    outputs: Mapping[str, str]

    def client(self, service: str) -> Any:
        return client(self.cloud, service)

    @cached_property
    def api_key(self) -> str:
        answer = self.client("apigateway").get_api_key(apiKey=self.outputs["OrdersApiKeyId"], includeValue=True)
        return str(answer["value"])

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cloud.ca_bundle)

    @cached_property
    def _sqs(self) -> Any:
        return self.client("sqs")

    def post(self, body: str | bytes, headers: Mapping[str, str] | None = None) -> Response:
        """POST /orders with the API key, unless other headers are given."""
        sent = {"content-type": "application/json", "x-api-key": self.api_key} if headers is None else dict(headers)
        data = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(self.outputs["OrdersEndpoint"], data, sent, method="POST")  # noqa: S310
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
                return Response(answer.status, json.load(answer), answer.headers["x-amzn-RequestId"])
        except urllib.error.HTTPError as refusal:
            return Response(refusal.code, json.loads(refusal.read() or b"null"), refusal.headers["x-amzn-RequestId"])

    def post_all(self, bodies: Iterable[str]) -> list[Response]:
        """POST many orders over parallel connections."""
        with ThreadPoolExecutor(_CONNECTIONS) as threads:
            return list(threads.map(self.post, bodies))

    def enqueue(self, body: str, attributes: Mapping[str, str] | None = None) -> str:
        """Puts a message on the orders queue as an operator; returns its id."""
        values = {name: {"DataType": "String", "StringValue": text} for name, text in (attributes or {}).items()}
        answer = self._sqs.send_message(
            QueueUrl=self.outputs["OrdersQueueUrl"], MessageBody=body, MessageAttributes=values
        )
        return str(answer["MessageId"])

    def stored(self, order_id: str) -> dict[str, Any] | None:
        """The stored item in DynamoDB's low-level form."""
        table = self.outputs["OrdersTableName"]
        key = {"orderID": {"S": order_id}}
        item = self.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        return dict(item) if item else None

    def stored_ids(self, prefix: str, *, having: str = "orderID") -> set[str]:
        """The ids of all stored orders that start so and have this attribute."""
        pages = (
            self.client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=self.outputs["OrdersTableName"],
                ProjectionExpression="orderID",
                FilterExpression="attribute_exists(#having)",
                ExpressionAttributeNames={"#having": having},
                ConsistentRead=True,
            )
        )
        found = {item["orderID"]["S"] for page in pages for item in page["Items"]}
        return {order_id for order_id in found if order_id.startswith(prefix)}

    def mails(self, prefix: str) -> list[Mail]:
        """The announcements of orders whose ids start so."""
        topic = self.outputs["OrderTopicArn"]
        return [
            mail
            for mail in mailbox.read(self.cloud)
            if mail.topic == topic and mail.attributes.get("deduplication_id", "").startswith(prefix)
        ]

    def queued(self) -> dict[str, str]:
        """Body by message id of what is on the orders queue, visible or in flight."""
        return self._messages(self.outputs["OrdersQueueUrl"])

    def dead_letters(self) -> dict[str, str]:
        """Body by message id of what is in the orders' dead-letter queue."""
        return self._messages(self.outputs["OrdersDeadLetterQueueUrl"])

    def failed_announcements(self) -> dict[str, str]:
        """Body by message id of what is in the notifier's failure queue."""
        mappings = self.client("lambda").list_event_source_mappings(
            FunctionName=self.outputs["OrderNotifierFunctionName"]
        )
        [mapping] = mappings["EventSourceMappings"]
        return self._messages(mapping["DestinationConfig"]["OnFailure"]["Destination"].replace(":", "/"))

    def function(self, output: str) -> dict[str, Any]:
        """The configuration of the function that an output names."""
        return dict(self.client("lambda").get_function_configuration(FunctionName=self.outputs[output]))

    def log_lines(self, output: str) -> list[str]:
        """All that the function logged, oldest first."""
        pages = self.client("logs").get_paginator("filter_log_events")
        group = self.function(output)["LoggingConfig"]["LogGroup"]
        return [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]

    def kill_workers(self, output: str) -> int:
        """Kills the emulator's processes for a function, which is what out of memory does on AWS; how many there were.

        Such a process has among its arguments a file of the cloud's own: other clouds have functions of the same name.
        """
        command = ["ps", "-A", "-ww", "-o", "pid=,args="]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        folder = Paths(Path(self.cloud.log_file).parent).data / "tmp"
        code = f"{folder}/ministack-lambda-{self.outputs[output]}-"
        pids = [int(line.split()[0]) for line in lines.splitlines() if code in line]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def _messages(self, queue_url: str) -> dict[str, str]:
        return queue_messages(self.cloud, queue_url)


def queue_messages(cloud: Cloud, queue_url: str) -> dict[str, str]:
    """Body by message id: looks into a queue without receiving, so that no receive count rises."""
    context = ssl.create_default_context(cafile=cloud.ca_bundle)
    address = f"{cloud.endpoint_url}/_ministack/sqs/messages"
    with urllib.request.urlopen(address, context=context, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
        queues = json.load(answer)["messages"][cloud.account_id][cloud.region]
    name = queue_url.rsplit("/", 1)[-1]
    found: list[dict[str, str]] = next(
        (messages for queue, messages in queues.items() if queue.endswith(f"/{name}")), []
    )
    return {message["MessageId"]: message["Body"] for message in found}

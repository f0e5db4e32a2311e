"""Emulators without any of our stacks, for the probes of what the emulator lacks: one as it is, one mended."""

from __future__ import annotations

import io
import json
import os
import signal
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
import uuid
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from shop.local import clients, emulator, process, rds, tools
from shop.local import cloud as local_cloud
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from email.message import Message

    from shop.local.cloud import Cloud
    from shop.local.paths import Paths

PATIENCE_SECONDS = 90.0
"""For what an emulator does within ten seconds, on a machine that others keep busy."""

_SESSION = threading.Lock()
_STOP_SECONDS = 10
_TRUST = tuple({"Effect": "Allow", "Principal": {kind: "*"}, "Action": "sts:AssumeRole"} for kind in ("Service", "AWS"))
_ENDS = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}


@contextmanager
def unmended(paths: Paths) -> Iterator[Cloud]:
    """The installed emulator with nothing of ours in it but its settings, for as long as this lasts."""
    port = process.any_free_port()
    environment = emulator._environment(paths, port)
    del environment[rds.FOLDER_VARIABLE]
    command = [str(tools.venv_python(tools.EMULATOR)), "-m", "ministack"]
    with paths.log_file.open("wb") as log:
        # In a session of its own, as ours is: its functions' processes end with it.
        launched = subprocess.Popen(
            command, env=environment, cwd=paths.data, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        emulator._wait_until_healthy(paths, launched, port)
        yield _cloud(paths, port)
    finally:
        os.killpg(launched.pid, signal.SIGKILL)
        launched.wait(_STOP_SECONDS)


@contextmanager
def mended(paths: Paths) -> Iterator[Cloud]:
    """The emulator as the local cloud runs it, without a database, for as long as this lasts."""
    running = emulator.start(paths, process.any_free_port(), lambda _: None)
    try:
        yield _cloud(paths, running.port)
    finally:
        emulator.stop(paths, running)


def _cloud(paths: Paths, port: int) -> Cloud:
    return local_cloud._cloud(paths, process.Running(pid=0, port=port))


class Answer(NamedTuple):
    """What an HTTP request got; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Emulator:
    """An emulator as the probes use it: small resources made by a call or two, named so that none meets another."""

    cloud: Cloud

    def client(self, service: str, key: tuple[str, ...] = ()) -> Any:
        """A client with the account's own keys, or with `key`: id, secret and, for a role, the session's token."""
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        # Clients may be used by several threads, sessions may not (boto3's guide, "Session", thread safety).
        with _SESSION:
            if not key:
                return clients.client(self.cloud, service)
            return clients.session(self.cloud).client(
                service,  # type: ignore[call-overload]
                endpoint_url=self.cloud.endpoint_url,
                verify=self.cloud.ca_bundle,
                **dict(zip(names, key, strict=False)),
            )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cloud.ca_bundle)

    def request(self, url: str, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a POST of JSON, whatever its status."""
        sent = {"content-type": "application/json", **(headers or {})}
        try:
            with urllib.request.urlopen(  # noqa: S310 - the emulator's own address
                urllib.request.Request(url, body, sent, method="POST"),  # noqa: S310
                context=self._tls,
                timeout=30,
            ) as answer:
                return Answer(answer.status, _lower(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as refusal:
            return Answer(refusal.code, _lower(refusal.headers), refusal.read().decode())

    def stack(self, resources: dict[str, Any], outputs: dict[str, Any] | None = None) -> dict[str, Any]:
        """The outputs of a new stack, and its `StackStatus` and `StackName`."""
        name = unique("stack")
        found = {key: {"Value": value} for key, value in (outputs or {}).items()}
        template = json.dumps({"Resources": resources, "Outputs": found})
        self.client("cloudformation").create_stack(
            StackName=name, TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        return self.settled(name)

    def settled(self, stack: str) -> dict[str, Any]:
        """The outputs, `StackStatus` and `StackName` of a stack that is no longer worked on."""

        def look() -> dict[str, Any] | None:
            described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
            return described if described["StackStatus"] in _ENDS else None

        described = eventually(look, timeout=PATIENCE_SECONDS)
        outputs = {item["OutputKey"]: item["OutputValue"] for item in described.get("Outputs", [])}
        return {**outputs, "StackName": stack, "StackStatus": described["StackStatus"]}

    def removed(self, stack: str) -> str:
        """The status of a stack after it was to be removed."""
        stacks = self.client("cloudformation")
        stack_id = stacks.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
        stacks.delete_stack(StackName=stack)

        def look() -> str | None:
            status = stacks.describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"]
            return status if status in {"DELETE_COMPLETE", "DELETE_FAILED"} else None

        return eventually(look, timeout=PATIENCE_SECONDS)

    def role(self, *statements: dict[str, Any]) -> str:
        """The ARN of a new role with these statements, which any service and the account may assume."""
        name = unique("role")
        arn = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=_policy(*_TRUST))["Role"]["Arn"]
        if statements:
            self.client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=_policy(*statements))
        return str(arn)

    def user(self, *statements: dict[str, Any]) -> tuple[str, str]:
        """The access key of a new user with these statements."""
        name = unique("user")
        self.client("iam").create_user(UserName=name)
        self.client("iam").put_user_policy(UserName=name, PolicyName="p", PolicyDocument=_policy(*statements))
        key = self.client("iam").create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def function(self, code: str, *, allowed: tuple[dict[str, Any], ...] = (), **configuration: Any) -> str:
        """The ARN of a new function of this module, whose handler is `handler`; its role may do what is allowed."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", code)
        made = self.client("lambda").create_function(
            **{
                "FunctionName": unique("function"),
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": self.role(*allowed),
                "Code": {"ZipFile": packed.getvalue()},
                "Timeout": 10,
                **configuration,
            }
        )
        return str(made["FunctionArn"])

    def invoke(self, function: str, event: Any = None) -> Any:
        """What the function answers, an error too."""
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event or {}))
        return json.loads(answer["Payload"].read())

    def logged(self, function: str) -> list[str]:
        """The lines that the function has logged so far."""
        group = f"/aws/lambda/{function.rpartition(':')[2]}"
        logs = self.client("logs")
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            return [event["message"] for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            return []

    def queue(self, **attributes: str) -> tuple[str, str]:
        """The URL and ARN of a new queue."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=unique("queue"), Attributes=attributes)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return str(url), str(arn)

    def table(self, **configuration: Any) -> dict[str, Any]:
        """A new table with the key `id`, described."""
        made: dict[str, Any] = self.client("dynamodb").create_table(
            TableName=unique("table"),
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            **configuration,
        )["TableDescription"]
        return made


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def unique(kind: str) -> str:
    """A name that nothing else has."""
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def allow(actions: str | list[str], resource: str | list[str] = "*") -> dict[str, Any]:
    """A statement that allows this."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def refusal(call: Callable[[], object]) -> str:
    """The code of the error that the call ends with, or nothing where it succeeds."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})

"""A proxy in front of the local cloud that makes single calls of functions fail as AWS's services fail.

A function's calls go through it when its environment has the proxy's address as `AWS_ENDPOINT_URL`. What no rule
catches is passed on unchanged, signature included, so that roles and policies stay in force. Errors are written as the
service itself writes them: AWS JSON 1.0 (DynamoDB, SQS), the query protocol's XML (SNS) or REST XML (S3).
"""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from shop.local import tls
from shop.local.cloud import Cloud
from shop.local.process import HOST

_UPSTREAM_SECONDS = 60
_HOLD_SECONDS = 30
"""The longest that a call is held, so that a test that fails leaves no thread behind."""
_SNS = "http://sns.amazonaws.com/doc/2010-03-31/"
_REST_OPERATIONS = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject"}


class NoAnswer(Exception):
    """The connection ends without an answer."""


@dataclass(frozen=True)
class Call:
    """A call of an AWS service as a client sent it."""

    service: str
    """The name in the signature's scope, such as `dynamodb`."""
    operation: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What the client gets; one byte at a time with that many seconds between, where `pause` is not 0."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    pause: float = 0.0


Forward = Callable[[Call], Answer]
Fault = Callable[[Call, Forward], Answer]
"""What becomes of a call; it may raise NoAnswer."""


@dataclass
class Rule:
    """A fault for the next calls of one operation."""

    service: str
    operation: str
    fault: Fault
    times: int | None
    """How many calls it catches, None for all."""
    about: bytes
    """What the call's body must have in it."""
    caught: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """What the calls came to, whether or not the client was still there."""

    def matches(self, call: Call) -> bool:
        """Whether the rule catches this call."""
        is_used_up = self.times is not None and len(self.caught) >= self.times
        is_meant = (self.service, self.operation) == (call.service, call.operation) and self.about in call.body
        return is_meant and not is_used_up


# ---- faults


def refuse(code: str, status: int = HTTPStatus.BAD_REQUEST, message: str = "refused by a test") -> Fault:
    """The service answers with this error and does nothing."""
    return lambda call, _: _error(call, code, status, message)


def lose_answer(call: Call, forward: Forward) -> Answer:
    """The service does its work and the answer is lost on the way."""
    forward(call)
    raise NoAnswer


def disconnect(_call: Call, _forward: Forward) -> Answer:
    """The connection ends before the service has the call."""
    raise NoAnswer


def hold(release: threading.Event) -> Fault:
    """The service starts its work only when the test says so, whether or not the client still waits."""

    def fault(call: Call, forward: Forward) -> Answer:
        release.wait(_HOLD_SECONDS)
        return forward(call)

    return fault


def trickle(pause: float) -> Fault:
    """The service does its work and answers a byte at a time, so slowly that no timeout of a single read helps."""
    return lambda call, forward: replace(forward(call), pause=pause)


def half(code: str) -> Fault:
    """Every second entry of a batch is refused with this error, which is the service's fault; the others are done.

    The call that remains is signed anew, with the account's root credentials: see `FaultProxy`.
    """

    def fault(call: Call, forward: Forward) -> Answer:
        if call.operation == "BatchExecuteStatement":
            return _half_of_statements(call, forward, code)
        if call.operation == "PublishBatch":
            return _half_of_messages(call, forward, code)
        raise ValueError(f"{call.service} {call.operation}: is not a batch that the proxy can halve")

    return fault


def leave_half_unread(call: Call, forward: Forward) -> Answer:
    """Every second key of a BatchGetItem comes back as unprocessed, which is no error; the others are read.

    The remaining call is signed anew as by `half`. Source: DynamoDB API Reference, "BatchGetItem".
    """
    asked = json.loads(call.body)["RequestItems"]
    wanted = {table: {**rest, "Keys": rest["Keys"][::2]} for table, rest in asked.items()}
    left = {table: {**rest, "Keys": rest["Keys"][1::2]} for table, rest in asked.items() if len(rest["Keys"]) > 1}
    done = forward(_with_json(call, {"RequestItems": wanted}))
    if done.status != HTTPStatus.OK:
        return done
    return _json_answer({**json.loads(done.body), "UnprocessedKeys": left})


def _half_of_statements(call: Call, forward: Forward, code: str) -> Answer:
    statements = json.loads(call.body)["Statements"]
    done = forward(_with_json(call, {"Statements": statements[::2]}))
    if done.status != HTTPStatus.OK:
        return done
    document = json.loads(done.body)
    answers = iter(document["Responses"])
    refused = {"Error": {"Code": code, "Message": "refused by a test"}}
    document["Responses"] = [refused if place % 2 else next(answers) for place in range(len(statements))]
    return _json_answer(document)


def _half_of_messages(call: Call, forward: Forward, code: str) -> Answer:
    form = dict(urllib.parse.parse_qsl(call.body.decode(), keep_blank_values=True))
    prefix = "PublishBatchRequestEntries.member."
    numbers = sorted({int(name.removeprefix(prefix).partition(".")[0]) for name in form if name.startswith(prefix)})
    refused = [form.pop(f"{prefix}{number}.Id") for number in numbers[1::2]]
    dropped = tuple(f"{prefix}{number}." for number in numbers[1::2])
    kept = {name: value for name, value in form.items() if not (dropped and name.startswith(dropped))}
    places = {number: place for place, number in enumerate(numbers[::2], start=1)}
    renamed = {_at_place(name, prefix, places): value for name, value in kept.items()}
    done = forward(replace(call, body=urllib.parse.urlencode(renamed).encode()))
    if done.status != HTTPStatus.OK:
        return done
    return replace(done, body=_with_failures(done.body, refused, code))


def _at_place(name: str, prefix: str, places: Mapping[int, int]) -> str:
    if not name.startswith(prefix):
        return name
    number, _, rest = name.removeprefix(prefix).partition(".")
    return f"{prefix}{places[int(number)]}.{rest}"


def _with_failures(body: bytes, refused: Sequence[str], code: str) -> bytes:
    ET.register_namespace("", _SNS)
    root = ET.fromstring(body)  # noqa: S314 - the emulator's own answer
    failed = next(root.iter(f"{{{_SNS}}}Failed"), None)
    if failed is None:
        failed = ET.SubElement(next(root.iter(f"{{{_SNS}}}PublishBatchResult")), f"{{{_SNS}}}Failed")
    for entry_id in refused:
        entry = ET.SubElement(failed, f"{{{_SNS}}}member")
        values = {"Id": entry_id, "Code": code, "Message": "refused by a test", "SenderFault": "false"}
        for name, value in values.items():
            ET.SubElement(entry, f"{{{_SNS}}}{name}").text = value
    return ET.tostring(root)


def _with_json(call: Call, changes: Mapping[str, Any]) -> Call:
    return replace(call, body=json.dumps(json.loads(call.body) | changes).encode())


def _json_answer(document: Mapping[str, Any], status: int = HTTPStatus.OK) -> Answer:
    headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": str(uuid.uuid4())}
    return Answer(status, headers, json.dumps(document).encode())


def _error(call: Call, code: str, status: int, message: str) -> Answer:
    if "x-amz-target" in call.headers:
        target = call.headers["x-amz-target"].partition(".")[0]
        namespace = f"com.amazonaws.{target.lower().replace('_', '.v')}"
        return _json_answer({"__type": f"{namespace}#{code}", "message": message}, status)
    request_id, text = uuid.uuid4(), escape(message)
    if call.service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{text}</Message><RequestId>{request_id}</RequestId></Error>"
    else:
        kind = "Receiver" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "Sender"
        error = f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{text}</Message></Error>"
        body = f'<ErrorResponse xmlns="{_SNS}">{error}<RequestId>{request_id}</RequestId></ErrorResponse>'
    return Answer(status, {"content-type": "text/xml"}, f'<?xml version="1.0"?>{body}'.encode())


# ---- the proxy


class FaultProxy:
    """A running proxy of a local cloud. What a fault has changed is signed anew with the cloud's root credentials."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._rules: list[Rule] = []
        self._about = b""
        self._lock = threading.Lock()
        self._server = _Server((HOST, 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="fault proxy")
        _, certificate, key = tls.ensure_certificates(Path(cloud.ca_bundle).parent)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        # The handshake is made by the connection's own thread: a client that is slow with it holds up nobody.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """The address to be used instead of the cloud's."""
        return f"https://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextlib.contextmanager
    def about(self, text: str) -> Iterator[None]:
        """Rules made meanwhile meet calls with this text in the body only.

        A function may still be repeating a call of the test before, which would be caught instead of this test's.
        """
        self._about = text.encode()
        try:
            yield
        finally:
            self._about = b""

    @contextlib.contextmanager
    def rule(self, service: str, operation: str, fault: Fault, times: int | None = None) -> Iterator[Rule]:
        """The next `times` calls of an operation meet the fault, or all of them as long as the context lasts."""
        rule = Rule(service, operation, fault, times, self._about)
        with self._lock:
            self._rules.append(rule)
        try:
            yield rule
        finally:
            with self._lock:
                self._rules.remove(rule)

    def answer(self, call: Call) -> Answer:
        """What the client is to get; raises NoAnswer."""
        rule = self._catch(call)
        if rule is None:
            return self._send(call)
        answer = rule.fault(call, partial(self._forward, call))
        rule.answers.append(answer)
        return answer

    def _catch(self, call: Call) -> Rule | None:
        """The first rule for this call, which counts as caught from now on."""
        with self._lock:
            rule = next((rule for rule in self._rules if rule.matches(call)), None)
            if rule is not None:
                rule.caught.append(call)
            return rule

    def _forward(self, original: Call, call: Call) -> Answer:
        return self._send(call if call == original else self._signed(call))

    def _signed(self, call: Call) -> Call:
        kept = ("content-type", "x-amz-target", "host")
        request = AWSRequest(
            call.method,
            self.url + call.path,
            {name: value for name, value in call.headers.items() if name in kept},
            call.body,
        )
        credentials = Credentials(self._cloud.access_key_id, self._cloud.secret_access_key)
        SigV4Auth(credentials, call.service, self._cloud.region).add_auth(request)
        return replace(call, headers={name.lower(): value for name, value in request.headers.items()})

    def _send(self, call: Call) -> Answer:
        cloud = urllib.parse.urlsplit(self._cloud.endpoint_url)
        context = ssl.create_default_context(cafile=self._cloud.ca_bundle)
        connection = http.client.HTTPSConnection(
            cloud.hostname or HOST, cloud.port, timeout=_UPSTREAM_SECONDS, context=context
        )
        headers = {name: value for name, value in call.headers.items() if name not in _OF_A_CONNECTION}
        try:
            connection.request(call.method, call.path, call.body, headers)
            answer = connection.getresponse()
            sent = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, sent, answer.read())
        finally:
            connection.close()


_OF_A_CONNECTION = {"connection", "content-length", "transfer-encoding", "date", "server", "keep-alive"}


class _Server(ThreadingHTTPServer):
    """Its threads end with the process: one may be holding a call when a test fails."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, such as a function that was killed, is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else each small answer waits for an acknowledgement that the client holds back (Nagle's algorithm).
    disable_nagle_algorithm = True

    def __init__(self, proxy: FaultProxy, *connection: Any) -> None:
        self._proxy = proxy
        super().__init__(*connection)

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(_service(headers), _operation(self.command, headers, body), self.command, self.path, headers, body)
        try:
            self._answer(self._proxy.answer(call))
        except NoAnswer:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_HEAD = _handle  # noqa: N815 (the names that the base class calls)

    def _answer(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name not in _OF_A_CONNECTION:
                self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        if not answer.pause:
            self.wfile.write(answer.body)
            return
        never = threading.Event()
        for place in range(len(answer.body)):
            never.wait(answer.pause)
            self.wfile.write(answer.body[place : place + 1])

    def log_message(self, *_: object) -> None:
        """Say nothing: pytest would show it with every failure."""


def _service(headers: Mapping[str, str]) -> str:
    """The service in the credential scope (AWS General Reference, "Signature Version 4")."""
    _, _, scope = headers.get("authorization", "").partition("Credential=")
    parts = scope.partition(",")[0].split("/")
    return parts[3] if len(parts) > 3 else ""


def _operation(method: str, headers: Mapping[str, str], body: bytes) -> str:
    if "x-amz-target" in headers:
        return headers["x-amz-target"].rpartition(".")[2]
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return urllib.parse.parse_qs(body.decode()).get("Action", [""])[0]
    return _REST_OPERATIONS.get(method, "")

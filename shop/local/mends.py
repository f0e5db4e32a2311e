"""What the emulator lacks or does otherwise than AWS, made up for before it starts.

Each mend says what AWS does and what the emulator does instead, so that the templates stay those for AWS. A mend
changes one function of the pinned emulator (requirements-local.txt) and refuses to start where the place it changes
is gone: a new version has to be looked at, not guessed. Runs in the emulator's interpreter, without the project's
packages.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import threading
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from shop.local import (
    expressions,
    function_logs,
    invocations,
    log_lines,
    permissions_log,
    rds,
    schedules,
    validation_text,
    velocity,
)
from shop.local.mending import MendError, follow
from shop.local.mending import module as _module
from shop.local.mending import wrap as _wrap

if TYPE_CHECKING:
    pass

_MOST_LOG_EVENTS = 10_000
"""A page of FilterLogEvents (CloudWatch Logs API Reference)."""


def apply() -> None:
    """Mend the emulator. Raises MendError where it is not the version that this was written for."""
    _listen_on_the_chosen_port_only()
    _keep_request_validators()
    _read_patterns_like_ecma()
    _take_whole_numbers_for_integers()
    _explain_refused_bodies()
    _render_templates_like_velocity()
    _answer_queue_errors_as_json()
    _check_partiql_permissions()
    _check_batch_calls_as_their_action()
    _check_parameter_paths()
    _compare_roles_by_their_own_arn()
    _stream_partiql_inserts()
    _retry_streams_from_the_first_failure()
    _log_like_lambda()
    _page_log_events()
    _keep_paths_as_sent()
    _check_root_signatures()
    _check_signatures_scope()
    _tell_functions_the_request_id()
    _hide_why_a_function_failed()
    _check_expressions()
    _give_networks_their_range()
    _refer_to_secrets_by_arn()
    _take_code_deploy_for_made()
    rds.mend()
    schedules.mend()
    invocations.mend()
    log_lines.mend()
    permissions_log.mend()


def _listen_on_the_chosen_port_only() -> None:
    """With TLS the emulator also takes port 443 where it may: two clouds would fight for it, and nobody asked."""
    _wrap(_module("app"), "_port_is_bindable", lambda _: lambda *_: False)


def _keep_request_validators() -> None:
    """CloudFormation's request validators are real on AWS; the emulator's only gives them an id.

    Its API Gateway can validate: it must be told of the validator, and the method of the validator's id.
    """
    gateway = _module("services.apigateway_v1")
    handlers = _module("services.cloudformation.provisioners")._RESOURCE_HANDLERS

    def keep(physical_id: str, props: dict[str, Any]) -> None:
        gateway._request_validators.setdefault(props["RestApiId"], {})[physical_id] = {
            "id": physical_id,
            "name": props.get("Name", ""),
            "validateRequestBody": _is_true(props.get("ValidateRequestBody")),
            "validateRequestParameters": _is_true(props.get("ValidateRequestParameters")),
        }

    def forget(physical_id: str, props: dict[str, Any]) -> None:
        gateway._request_validators.get(props.get("RestApiId", ""), {}).pop(physical_id, None)

    def attach(_physical_id: str, props: dict[str, Any]) -> None:
        resource = gateway._resources[props["RestApiId"]][props["ResourceId"]]
        resource["resourceMethods"][props["HttpMethod"]]["requestValidatorId"] = props.get("RequestValidatorId")

    follow(handlers["AWS::ApiGateway::RequestValidator"], keep)
    handlers["AWS::ApiGateway::RequestValidator"]["delete"] = forget
    follow(handlers["AWS::ApiGateway::Method"], attach)


def _read_patterns_like_ecma() -> None:
    """A model's `pattern` is an ECMA 262 expression: its `$` is the end, Python's also before a last newline."""

    def search(original: Any) -> Any:
        def run(pattern: str, text: str) -> Any:
            is_anchored = pattern.endswith("$") and not pattern.endswith("\\$")
            return original(pattern[:-1] + r"\Z" if is_anchored else pattern, text)

        return run

    _wrap(_module("services.apigateway_v1"), "_regex_search", search)


def _take_whole_numbers_for_integers() -> None:
    """API Gateway's validator takes a number without a fraction, `2.0`, for an integer; the emulator does not.

    A client would be refused here and accepted there, where the order processor is the one that refuses.
    """
    types = _module("services.apigateway_v1")._JSON_TYPES
    is_integer = types["integer"]
    types["integer"] = lambda value: is_integer(value) or (isinstance(value, float) and value.is_integer())


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


_refusal: ContextVar[str] = ContextVar("refusal", default="")


def _explain_refused_bodies() -> None:
    """`$context.error.validationErrorString` says on AWS what is wrong with a body; the emulator leaves the name."""
    gateway = _module("services.apigateway_v1")

    def check(original: Any) -> Any:
        def run(method: dict[str, Any], api_id: str, request: Any, *sent: Any) -> Any:
            headers, body, query = sent
            # The emulator would guess at the encoding and put replacement characters into the message.
            error = original(method, api_id, request, headers, body if _is_utf_8(body) else b"", query)
            if getattr(error, "response_type", "") == "BAD_REQUEST_BODY":
                _refusal.set(_explanation(gateway, method, api_id, headers, body))
            return error

        return run

    def answer(original: Any) -> Any:
        def run(error: Any, request: Any) -> Any:
            status, headers, body = original(error, request)
            # The template has the variable inside a JSON string.
            text = json.dumps(_refusal.get() if error.response_type == "BAD_REQUEST_BODY" else "")[1:-1]
            for name in ("$context.error.validationErrorString", "${context.error.validationErrorString}"):
                body = body.replace(name.encode(), text.encode())
            return status, headers, body

        return run

    _wrap(gateway, "_check_request_validation", check)
    _wrap(gateway, "_gateway_error_response", answer)


def _is_utf_8(body: Any) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    except AttributeError:  # no bytes: no body, or text that was decoded already
        return True
    return True


def _explanation(gateway: Any, method: dict[str, Any], api_id: str, headers: Any, body: Any) -> str:
    models = method.get("requestModels") or {}
    content_type = (gateway._header_ci(headers, "content-type") or "application/json").split(";", 1)[0].strip()
    schema = gateway._model_schema(api_id, models.get(content_type) or models.get("application/json"))
    if not _is_utf_8(body):
        return "the body is not UTF-8"
    try:
        document = json.loads(body)
    except (ValueError, TypeError, RecursionError) as error:
        return f"the body is not JSON: {error}"
    try:
        return validation_text.explain(
            schema,
            document,
            lambda part, value: gateway._json_schema_valid(part, value, schema),
        )
    except RecursionError:
        return "the body is nested too deeply"


_request_id: ContextVar[str] = ContextVar("request_id", default="")
_status_override: ContextVar[int | None] = ContextVar("status_override", default=None)
_STATUS_OVERRIDE = re.compile(r"#set\s*\(\s*\$context\.responseOverride\.status\s*=\s*(\d{3})\s*\)")


def _render_templates_like_velocity() -> None:
    """Mapping templates have conditions, `$context.requestId` and `$context.responseOverride.status` on AWS.

    The emulator leaves conditions and the override as text and the request's id empty.
    """
    gateway = _module("services.apigateway_v1")

    def execute(original: Any) -> Any:
        async def run(request: dict[str, Any], *arguments: Any) -> Any:
            _request_id.set(request["request_id"])
            return await original(request, *arguments)

        return run

    def render(template: str, body: str, params: dict[str, Any], context: dict[str, Any] | None = None) -> str:
        known = {**(context or {}), "requestId": _request_id.get()}
        state = {"vars": {}, "context": known, "body": body, "params": params, "gobbled": False}

        def text_of(part: str) -> str:
            for match in _STATUS_OVERRIDE.finditer(part):
                _status_override.set(int(match[1]))
            rendered: str = gateway._vtl_render(_STATUS_OVERRIDE.sub("", part), state)
            return rendered

        return velocity.render(template, text_of, lambda expression: gateway._vtl_value(expression, state))

    def respond(original: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            _status_override.set(None)
            status, headers, body = original(*arguments, **options)
            return _status_override.get() or status, headers, body

        return run

    _wrap(gateway, "_execute_in_scope", execute)
    _wrap(gateway, "_render_request_template_v1", lambda _: render)
    _wrap(gateway, "_service_integration_response", respond)


def _answer_queue_errors_as_json() -> None:
    """API Gateway asks SQS for JSON and gives response templates a JSON error; the emulator gives them XML."""
    gateway = _module("services.apigateway_v1")
    element_tree = importlib.import_module("defusedxml.ElementTree")

    def respond(original: Any) -> Any:
        def run(integration: Any, status: int, text: str, *arguments: Any) -> Any:
            return original(integration, status, _error_as_json(element_tree, text), *arguments)

        return run

    _wrap(gateway, "_service_integration_response", respond)


def _error_as_json(element_tree: Any, text: str) -> str:
    if not text.lstrip().startswith("<"):
        return text
    found = {element.tag.rpartition("}")[2]: element.text for element in element_tree.fromstring(text).iter()}
    error = {name: found.get(name) for name in ("Type", "Code", "Message")}
    return json.dumps({"Error": error, "RequestId": found.get("RequestId")})


_PARTIQL_ACTIONS = {"INSERT": "PartiQLInsert", "UPDATE": "PartiQLUpdate", "DELETE": "PartiQLDelete"}


def _check_partiql_permissions() -> None:
    """AWS checks a PartiQL statement as dynamodb:PartiQLInsert (-Update, -Delete, -Select) on its table.

    The emulator checks an action that AWS does not have, named after the call, and does not look at the statements.
    """
    actions, parser = _module("core.iam_actions"), _module("services.dynamodb")
    lists = {"BatchExecuteStatement": "Statements", "ExecuteTransaction": "TransactStatements"}

    def checks(original: Any) -> Any:
        def run(action: str, body: bytes, region: str, account: str) -> list[tuple[str, str]]:
            operation = action.removeprefix("dynamodb:")
            if operation != "ExecuteStatement" and operation not in lists:
                found: list[tuple[str, str]] = original(action, body, region, account)
                return found
            try:
                request = json.loads(body)
                statements = request[lists[operation]] if operation in lists else [request]
                parsed = [parser._parse_partiql(item["Statement"], item.get("Parameters", [])) for item in statements]
            except (ValueError, KeyError, TypeError):
                # What cannot be read is not permitted either: the emulator's own check stands.
                return []
            return sorted({_partiql_check(actions, statement, region, account) for statement in parsed})

        return run

    _wrap(actions, "dynamodb_transaction_checks", checks)


def _partiql_check(actions: Any, parsed: dict[str, Any], region: str, account: str) -> tuple[str, str]:
    name = _PARTIQL_ACTIONS.get(parsed["op"], "PartiQLSelect")
    return f"dynamodb:{name}", actions._dynamodb_table_arn(parsed["table"], region, account)


_BATCH_CALLS = {
    "sns:PublishBatch": "sns:Publish",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}


def _check_batch_calls_as_their_action() -> None:
    """AWS has no actions for batch calls of SNS and SQS: the permission is that of the single call.

    The emulator checks an action named after the batch call, which no policy for AWS can allow.
    """

    def action(original: Any) -> Any:
        def run(*arguments: Any) -> str | None:
            name: str | None = original(*arguments)
            return _BATCH_CALLS.get(name, name) if name else name

        return run

    _wrap(_module("core.iam_actions"), "extract_iam_action", action)


def _check_parameter_paths() -> None:
    """AWS checks GetParametersByPath on the path that it names (Service Authorization Reference, "Systems Manager").

    The emulator checks it on `*`, which only a policy for all parameters would allow.
    """

    def resource(original: Any) -> Any:
        def run(
            service: str,
            method: str,
            path: str,
            headers: Any,
            body: bytes,
            query: Any,
            region: str,
            account: str,
        ) -> str:
            if service == "ssm" and headers.get("x-amz-target", "").endswith(".GetParametersByPath"):
                return f"arn:aws:ssm:{region}:{account}:parameter{_parameter_path(body)}"
            found: str = original(service, method, path, headers, body, query, region, account)
            return found

        return run

    _wrap(_module("core.iam_actions"), "extract_resource_arn", resource)


def _parameter_path(body: bytes) -> str:
    try:
        path = json.loads(body)["Path"]
    except (ValueError, KeyError, TypeError):
        return "/"
    return path if isinstance(path, str) else "/"


_ROLE_SESSION = re.compile(r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/(?P<role>[^/]+)/.+")


def _compare_roles_by_their_own_arn() -> None:
    """`aws:PrincipalArn` of a role's session is the role's ARN on AWS (IAM, "AWS global condition context keys").

    The emulator compares the session's ARN, so that a policy that excepts a role excepts nobody.
    """
    roles = _module("services.iam")._roles

    def resolve(original: Any) -> Any:
        def run(key: str, context: Any) -> Any:
            value = original(key, context)
            session = _ROLE_SESSION.fullmatch(value) if key.lower() == "aws:principalarn" and value else None
            if not session:
                return value
            role = roles.get_scoped(session["account"], None, session["role"]) or {}
            return role.get("Arn") or f"arn:{session['partition']}:iam::{session['account']}:role/{session['role']}"

        return run

    _wrap(_module("core.iam_evaluator"), "_resolve_condition_key", resolve)


def _stream_partiql_inserts() -> None:
    """An item inserted by PartiQL is in the table's stream on AWS; the emulator's stream has none of them."""
    tables = _module("services.dynamodb")

    def insert(original: Any) -> Any:
        def run(table: dict[str, Any], parsed: dict[str, Any]) -> Any:
            answer = original(table, parsed)
            if answer[0] == HTTPStatus.OK:
                # A value list is either the item itself or a map that holds it, as the emulator's own code has it.
                item = parsed["item"]["M"] if set(parsed["item"]) == {"M"} else parsed["item"]
                tables._emit_stream_event(table["TableName"], "INSERT", None, item)
            return answer

        return run

    _wrap(tables, "_partiql_insert", insert)


class _BatchPartlyDone(Exception):
    """A stream's batch is done up to its first failed record, and the stream's position says so."""


def _retry_streams_from_the_first_failure() -> None:
    """Lambda delivers a stream again from the first record that a partial batch response names.

    The emulator takes the response for a success. Here a failure of the first record counts as a failed batch, which
    the emulator retries until the records are too old and then sends to the failure destination; a failure further on
    moves the stream's position up to it.
    """
    lambdas, streams = _module("services.lambda_svc"), _module("services.dynamodb")

    def execute(original: Any) -> Any:
        def run(function: dict[str, Any], event: Any) -> Any:
            result = original(function, event)
            records = event.get("Records") if isinstance(event, dict) else None
            if not records or records[0].get("eventSource") != "aws:dynamodb" or result.get("error"):
                return result
            failed = _first_failure(records, result.get("body"))
            mapping = _stream_mapping(lambdas, function, records[0]["eventSourceARN"])
            if failed is None or "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
                return result
            if failed == 0:
                return {**result, "error": True, "body": {"errorType": "PartialBatchFailure", "errorMessage": ""}}
            _move_stream_to(lambdas, streams, mapping, records[failed])
            raise _BatchPartlyDone

        return run

    def poll(original: Any) -> Any:
        def run() -> bool:
            try:
                return bool(original())
            except _BatchPartlyDone:
                return True

        return run

    _wrap(lambdas, "_execute_function", execute)
    _wrap(lambdas, "_poll_dynamodb_streams", poll)


def _first_failure(records: list[dict[str, Any]], response: Any) -> int | None:
    """Which record failed first; the first one where the response names none of them (AWS: all of the batch failed)."""
    failures = response.get("batchItemFailures") if isinstance(response, dict) else None
    if not failures:
        return None
    named = {failure.get("itemIdentifier") for failure in failures}
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    return next((place for place, number in enumerate(numbers) if number in named), 0)


def _stream_mapping(lambdas: Any, function: dict[str, Any], source: str) -> dict[str, Any]:
    name = (function.get("config") or function)["FunctionName"]
    mappings = (mapping for _, _, mapping in lambdas._iter_all_esms())
    return next((m for m in mappings if m["EventSourceArn"] == source and m["FunctionName"] == name), {})


def _move_stream_to(lambdas: Any, streams: Any, mapping: dict[str, Any], record: dict[str, Any]) -> None:
    table, _ = lambdas._dynamodb_stream_table_from_arn_spec(lambdas.parse_arn(mapping["EventSourceArn"]))
    number = record["dynamodb"]["SequenceNumber"]
    with lambdas._dynamodb_stream_positions_lock:
        position = lambdas._dynamodb_stream_positions[mapping["UUID"]]
        batch = streams.stream_records_since(table, position, mapping.get("BatchSize", 100))
        passed = next(place for place, found in enumerate(batch) if found["dynamodb"]["SequenceNumber"] == number)
        lambdas._dynamodb_stream_positions[mapping["UUID"]] = position + passed


def _log_like_lambda() -> None:
    """Lambda sets up a function's logging and writes its own lines as JSON where the function's log format is JSON."""
    runtime = _module("core.lambda_runtime")
    lambdas, logs = _module("services.lambda_svc"), _module("services.cloudwatch_logs")
    anchor = "handler_fn = getattr(mod, handler_name)"
    if anchor not in runtime._PYTHON_WORKER_SCRIPT:
        raise MendError("the emulator's program for Python functions is another one")
    own = inspect.getsource(function_logs)
    script = runtime._PYTHON_WORKER_SCRIPT.replace(anchor, "handler_fn = logged(getattr(mod, handler_name))")
    before_import = "mod = importlib.import_module(module_name)"
    runtime._PYTHON_WORKER_SCRIPT = own + script.replace(before_import, f"set_up(); {before_import}")

    def spawn(original: Any) -> Any:
        def run(worker: Any) -> Any:
            config = worker.config
            variables = {**config.get("Environment", {}).get("Variables", {}), **_log_variables(config)}
            worker.config = {**config, "Environment": {"Variables": variables}}
            try:
                return original(worker)
            finally:
                worker.config = config

        return run

    json_lines = threading.local()

    def emit(original: Any) -> Any:
        def run(function: dict[str, Any], *arguments: Any, **options: Any) -> Any:
            config = function.get("config") or function
            json_lines.wanted = bool(_log_variables(config))
            if json_lines.wanted:
                # The emulator adds an error's trace as plain lines; `function_logs` has logged it as JSON.
                request_id, text, failed, duration_ms = arguments
                text = text.partition("Traceback (most recent call last):\n")[0]
                json_lines.status = _status(failed, duration_ms, config.get("Timeout", 3))
                arguments = (request_id, text, failed, duration_ms)
            try:
                return original(function, *arguments, **options)
            finally:
                json_lines.wanted = False

        return run

    def append(original: Any) -> Any:
        def run(stream: Any, events: list[dict[str, Any]]) -> Any:
            if getattr(json_lines, "wanted", False):
                mended = (_platform_event(event, json_lines.status) for event in events)
                events = [event for event in mended if event]
            return original(stream, events)

        return run

    _wrap(runtime.Worker, "_spawn", spawn)
    _wrap(lambdas, "_emit_lambda_logs", emit)
    _wrap(logs, "_append_log_events", append)


def _log_variables(config: dict[str, Any]) -> dict[str, str]:
    settings = config.get("LoggingConfig") or {}
    if settings.get("LogFormat") != "JSON":
        return {}
    return {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": settings.get("ApplicationLogLevel") or "INFO"}


def _status(failed: bool, duration_ms: float, timeout_seconds: float) -> str:
    if not failed:
        return "success"
    return "timeout" if duration_ms >= timeout_seconds * 1000 else "error"


def _platform_event(event: dict[str, Any], status: str) -> dict[str, Any] | None:
    """The emulator's START and REPORT lines as Lambda's platform events; END has no counterpart in JSON."""
    kind, _, rest = event["message"].partition(" RequestId: ")
    if kind not in {"START", "END", "REPORT"} or not rest:
        return event
    if kind == "END":
        return None
    record: dict[str, Any] = {"requestId": rest.split()[0]}
    if kind == "REPORT":
        # Its memory used is the most of any function so far, so that is left out.
        record |= {"status": status, "metrics": _metrics(rest)}
    line = {"type": f"platform.{kind.lower()}", "record": record}
    return {**event, "message": json.dumps(line)}


def _metrics(report: str) -> dict[str, float | int]:
    return {
        "durationMs": float(report.partition("Duration: ")[2].split()[0]),
        "memorySizeMB": int(report.partition("Memory Size: ")[2].split()[0]),
    }


def _page_log_events() -> None:
    """FilterLogEvents gives a token for what comes after a full page; the emulator drops the rest.

    The token is the time of the page's last event and how many events of that time the client has.
    """
    logs = _module("services.cloudwatch_logs")

    def filter_events(original: Any) -> Any:
        def run(data: dict[str, Any]) -> Any:
            limit = min(data.get("limit", _MOST_LOG_EVENTS), _MOST_LOG_EVENTS)
            at, _, had = data.get("nextToken", "").partition("/")
            start = {"startTime": int(at)} if at else {}
            status, headers, body = original({**data, **start, "limit": _MOST_LOG_EVENTS})
            if status != HTTPStatus.OK:
                return status, headers, body
            answer = json.loads(body)
            found = answer["events"]
            answer["events"] = page = found[int(had or 0) :][:limit]
            if page and (len(page) == limit or len(found) == _MOST_LOG_EVENTS):
                last = page[-1]["timestamp"]
                answer["nextToken"] = f"{last}/{_of_time(found[: int(had or 0) + len(page)], last)}"
            return status, headers, json.dumps(answer).encode()

        return run

    _wrap(logs, "_filter_log_events", filter_events)


def _of_time(events: list[dict[str, Any]], timestamp: int) -> int:
    return sum(event["timestamp"] == timestamp for event in events)


def _keep_paths_as_sent() -> None:
    """API Gateway's REST APIs route by the path as it was sent and give functions its parts percent-encoded.

    The emulator decodes it first, so that an id with `%2F` in it becomes two resources.
    """

    def handle(original: Any) -> Any:
        async def run(host: str, path: str, *request: Any, raw_path: str | None = None, **options: Any) -> Any:
            return await original(host, raw_path or path, *request, raw_path=raw_path, **options)

        return run

    _wrap(_module("app"), "_handle_execute_api_request", handle)


def _check_root_signatures() -> None:
    """API Gateway refuses a wrong signature whoever's it is; the emulator believes whoever names the root's key."""
    app, gateway = _module("app"), _module("services.apigateway_v1")
    evaluator, signing = _module("core.iam_evaluator"), _module("core.sigv4")

    def failure(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
            return None
        signature = signing.parse_header_signature(headers)
        if isinstance(signature, tuple) or not evaluator.is_root_access_key(signature.access_key_id):
            return None
        secret = evaluator.resolve_credential(signature.access_key_id).secret_access_key
        return signing.request_time_failure(signature) or signing.header_signature_failure(
            signature, secret, method, path, query, headers, body, explain=True
        )

    def handle(original: Any) -> Any:
        async def run(host: str, path: str, *request: Any, raw_path: str | None = None, **options: Any) -> Any:
            method, headers, body, query = request
            target = app._parse_execute_api_url(host, path)
            is_signed = target and gateway.method_authorization_type(target[0], target[1], method, target[2])
            refused = failure(method, raw_path or path, headers, body, query) if is_signed == "AWS_IAM" else None
            if refused:
                error = evaluator.AuthError(*refused)
                return gateway.authentication_error_response(target[0], target[1], error, headers, query)
            return await original(host, path, *request, raw_path=raw_path, **options)

        return run

    _wrap(app, "_handle_execute_api_request", handle)


def _check_signatures_scope() -> None:
    """API Gateway refuses a signature made for another region or service; the emulator looks only at the secret."""
    app, gateway = _module("app"), _module("services.apigateway_v1")
    evaluator, signing = _module("core.iam_evaluator"), _module("core.sigv4")
    region = os.environ["MINISTACK_REGION"]

    def failure(headers: Any) -> tuple[str, str] | None:
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
            return None
        signature = signing.parse_header_signature(headers)
        if isinstance(signature, tuple):  # what is wrong with it; the emulator's own check says so
            return None
        if signature.region != region:
            return "SignatureDoesNotMatch", f"Credential should be scoped to a valid region, not '{signature.region}'. "
        if signature.service != "execute-api":
            return "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'execute-api'. "
        return None

    def handle(original: Any) -> Any:
        async def run(host: str, path: str, *request: Any, **options: Any) -> Any:
            method, headers, _, query = request
            target = app._parse_execute_api_url(host, path)
            is_signed = target and gateway.method_authorization_type(target[0], target[1], method, target[2])
            refused = failure(headers) if is_signed == "AWS_IAM" else None
            if refused:
                error = evaluator.AuthError(*refused)
                return gateway.authentication_error_response(target[0], target[1], error, headers, query)
            return await original(host, path, *request, **options)

        return run

    _wrap(app, "_handle_execute_api_request", handle)


def _tell_functions_the_request_id() -> None:
    """A function's `requestContext.requestId` is the answer's `x-amzn-RequestId`; the emulator makes up two ids."""
    gateway = _module("services.apigateway_v1")

    def build(original: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            event = original(*arguments, **options)
            event["requestContext"]["requestId"] = _request_id.get()
            return event

        return run

    def execute(original: Any) -> Any:
        async def run(request: dict[str, Any], *arguments: Any) -> Any:
            response = await original(request, *arguments)
            if not isinstance(response, tuple):
                return response
            status, headers, body = response
            return status, {**headers, "x-amzn-requestid": request["request_id"]}, body

        return run

    _wrap(gateway, "_build_lambda_event_v1", build)
    _wrap(gateway, "_execute_in_scope", execute)


_function_failed: ContextVar[bool] = ContextVar("function_failed", default=False)


def _hide_why_a_function_failed() -> None:
    """A function that fails or times out is a 502 with the gateway response DEFAULT_5XX; its error stays inside.

    The emulator gives the function's error to the client, in a form of its own.
    """
    gateway = _module("services.apigateway_v1")

    def read(original: Any) -> Any:
        def run(result: Any) -> Any:
            answer, error = original(result)
            _function_failed.set(bool(error))
            return answer, error

        return run

    def invoke(original: Any) -> Any:
        async def run(*arguments: Any, **options: Any) -> Any:
            _function_failed.set(False)
            response = await original(*arguments, **options)
            return gateway._gw_error("DEFAULT_5XX", "Internal server error") if _function_failed.get() else response

        return run

    def answer(original: Any) -> Any:
        def run(error: Any, request: Any) -> Any:
            status, headers, body = original(error, request)
            return HTTPStatus.BAD_GATEWAY if error.response_type == "DEFAULT_5XX" else status, headers, body

        return run

    _wrap(gateway, "_lambda_proxy_response", read)
    _wrap(gateway, "_invoke_lambda_proxy_v1", invoke)
    _wrap(gateway, "_gateway_error_response", answer)


_EXPRESSION_CHECKS = {
    "UpdateExpression": expressions.check_update,
    "ProjectionExpression": expressions.check_projection,
}


def _check_expressions() -> None:
    """DynamoDB refuses a malformed update or projection expression with a ValidationException.

    The emulator carries out what it can make of it (of two `SET` sections the last), or fails with an InternalError.
    """
    tables = _module("services.dynamodb")

    def validate(original: Any) -> Any:
        def run(data: dict[str, Any], fields: tuple[str, ...], *arguments: Any) -> Any:
            return original(data, fields, *arguments) or _expression_refusal(tables, data, fields)

        return run

    _wrap(tables, "_validate_expression_attrs", validate)
    # Looks at projections before that, and fails over one that is none.
    _wrap(
        tables,
        "_projection_overlap_response",
        lambda original: lambda data: _expression_refusal(tables, data, ("ProjectionExpression",)) or original(data),
    )


def _expression_refusal(tables: Any, data: dict[str, Any], fields: tuple[str, ...]) -> Any:
    for field in fields:
        if field not in _EXPRESSION_CHECKS or data.get(field) is None:
            continue
        try:
            _EXPRESSION_CHECKS[field](data[field], data.get("ExpressionAttributeNames") or {})
        except expressions.SyntaxProblem as problem:
            return tables.error_response_json("ValidationException", f"Invalid {field}: {problem}", 400)
    return None


def _give_networks_their_range() -> None:
    """A VPC has its address range as the attribute CidrBlock; the emulator fails a template that asks for it."""
    handlers = _module("services.cloudformation.provisioners")._RESOURCE_HANDLERS["AWS::EC2::VPC"]
    follow(handlers, lambda _, props: {"CidrBlock": props["CidrBlock"]})


def _refer_to_secrets_by_arn() -> None:
    """`Ref` of a secret is its ARN, and policies and functions are given that; the emulator's is the secret's name."""
    secrets = _module("services.secretsmanager")
    handlers = _module("services.cloudformation.provisioners")._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create_by_name, update_by_name, delete_by_name = (handlers[action] for action in ("create", "update", "delete"))

    def name_of(arn: str) -> str:
        name, _ = secrets._resolve(arn)
        return name or arn

    def create(*arguments: Any) -> Any:
        _, attributes = create_by_name(*arguments)
        return attributes["Arn"], attributes

    def update(arn: str, *arguments: Any, **options: Any) -> Any:
        _, attributes = update_by_name(name_of(arn), *arguments, **options)
        return attributes["Arn"], attributes

    def delete(arn: str, props: dict[str, Any]) -> None:
        delete_by_name(name_of(arn), props)

    handlers.update(create=create, update=update, delete=delete)


def _take_code_deploy_for_made() -> None:
    """AWS CodeDeploy moves functions' aliases; the emulator has none, and refuses every template that has it.

    Its resources are names here that do nothing, so that what goes by an alias can be deployed: the emulator moves an
    alias at once.
    """
    handlers = _module("services.cloudformation.provisioners")._RESOURCE_HANDLERS
    for kind, name_field in (("Application", "ApplicationName"), ("DeploymentGroup", "DeploymentGroupName")):
        name = f"AWS::CodeDeploy::{kind}"
        if name in handlers:
            raise MendError(f"the emulator has {name} by now")
        handlers[name] = _named_only(name_field)


def _named_only(name_field: str) -> dict[str, Any]:
    """How CloudFormation makes a resource that is a name and nothing else."""

    def create(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        return props.get(name_field) or f"{stack}-{logical_id}", {}

    def update(physical_id: str, *_: Any, **__: Any) -> Any:
        return physical_id, {}

    return {"create": create, "update": update, "delete": lambda *_: None}

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
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from shop.local import function_logs, validation_text

if TYPE_CHECKING:
    from collections.abc import Callable


class MendError(Exception):
    """The emulator is not the version that the mends were made for."""


def apply() -> None:
    """Mend the emulator. Raises MendError where it is not the version that this was written for."""
    _listen_on_the_chosen_port_only()
    _keep_request_validators()
    _explain_refused_bodies()
    _know_the_request_id_in_templates()
    _answer_queue_errors_as_json()
    _check_partiql_permissions()
    _log_like_lambda()


def _module(name: str) -> Any:  # noqa: ANN401 - the emulator has no types
    return importlib.import_module(f"ministack.{name}")


def _wrap(module: Any, name: str, make: Callable[[Any], Any]) -> None:  # noqa: ANN401
    """Replace `module.name` by what `make` makes of it."""
    original = getattr(module, name, None)
    if original is None:
        raise MendError(f"the emulator has no {module.__name__}.{name}")
    setattr(module, name, make(original))


def _listen_on_the_chosen_port_only() -> None:
    """With TLS the emulator also takes port 443 where it may: two clouds would fight for it, and nobody asked."""
    _wrap(_module("app"), "_port_is_bindable", lambda _: lambda *_: False)


def _keep_request_validators() -> None:
    """CloudFormation's request validators are real on AWS; the emulator's only gives them an id.

    Its API Gateway can validate: it must be told of the validator, and the method of the validator's id.
    """
    provisioners, gateway = _module("services.cloudformation.provisioners"), _module("services.apigateway_v1")
    validators = provisioners._RESOURCE_HANDLERS["AWS::ApiGateway::RequestValidator"]  # noqa: SLF001
    methods = provisioners._RESOURCE_HANDLERS["AWS::ApiGateway::Method"]  # noqa: SLF001

    def keep(physical_id: str, props: dict[str, Any]) -> None:
        gateway._request_validators.setdefault(props["RestApiId"], {})[physical_id] = {  # noqa: SLF001
            "id": physical_id,
            "name": props.get("Name", ""),
            "validateRequestBody": _is_true(props.get("ValidateRequestBody")),
            "validateRequestParameters": _is_true(props.get("ValidateRequestParameters")),
        }

    def create(original: Any) -> Any:  # noqa: ANN401
        def run(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:  # noqa: ANN401
            physical_id, attributes = original(logical_id, props, stack_name)
            keep(physical_id, props)
            return physical_id, attributes

        return run

    def update(original: Any) -> Any:  # noqa: ANN401
        def run(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:  # noqa: ANN401
            new_id, attributes = original(physical_id, old, new, stack_name)
            keep(new_id, new)
            return new_id, attributes

        return run

    def delete(physical_id: str, props: dict[str, Any]) -> None:
        gateway._request_validators.get(props.get("RestApiId", ""), {}).pop(physical_id, None)  # noqa: SLF001

    def attach(props: dict[str, Any]) -> None:
        resource = gateway._resources[props["RestApiId"]][props["ResourceId"]]  # noqa: SLF001
        resource["resourceMethods"][props["HttpMethod"]]["requestValidatorId"] = props.get("RequestValidatorId")

    def create_method(original: Any) -> Any:  # noqa: ANN401
        def run(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:  # noqa: ANN401
            result = original(logical_id, props, stack_name)
            attach(props)
            return result

        return run

    def update_method(original: Any) -> Any:  # noqa: ANN401
        def run(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:  # noqa: ANN401
            result = original(physical_id, old, new, stack_name)
            attach(new)
            return result

        return run

    validators.update(create=create(validators["create"]), update=update(validators["update"]), delete=delete)
    methods.update(create=create_method(methods["create"]), update=update_method(methods["update"]))


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


_refusal: ContextVar[str] = ContextVar("refusal", default="")


def _explain_refused_bodies() -> None:
    """`$context.error.validationErrorString` says on AWS what is wrong with a body; the emulator leaves the name."""
    gateway = _module("services.apigateway_v1")

    def check(original: Any) -> Any:  # noqa: ANN401
        def run(method: dict[str, Any], api_id: str, request: Any, headers: Any, body: Any, query: Any) -> Any:  # noqa: ANN401
            error = original(method, api_id, request, headers, body, query)
            if getattr(error, "response_type", "") == "BAD_REQUEST_BODY":
                _refusal.set(_explanation(gateway, method, api_id, headers, body))
            return error

        return run

    def answer(original: Any) -> Any:  # noqa: ANN401
        def run(error: Any, request: Any) -> Any:  # noqa: ANN401
            status, headers, body = original(error, request)
            # The template has the variable inside a JSON string.
            text = json.dumps(_refusal.get() if error.response_type == "BAD_REQUEST_BODY" else "")[1:-1]
            for name in ("$context.error.validationErrorString", "${context.error.validationErrorString}"):
                body = body.replace(name.encode(), text.encode())
            return status, headers, body

        return run

    _wrap(gateway, "_check_request_validation", check)
    _wrap(gateway, "_gateway_error_response", answer)


def _explanation(gateway: Any, method: dict[str, Any], api_id: str, headers: Any, body: Any) -> str:  # noqa: ANN401
    models = method.get("requestModels") or {}
    content_type = (gateway._header_ci(headers, "content-type") or "application/json").split(";", 1)[0].strip()  # noqa: SLF001
    schema = gateway._model_schema(api_id, models.get(content_type) or models.get("application/json"))  # noqa: SLF001
    try:
        document = json.loads(body)
    except (ValueError, TypeError, RecursionError) as error:
        return f"the body is not JSON: {error}"
    try:
        return validation_text.explain(
            schema,
            document,
            lambda part, value: gateway._json_schema_valid(part, value, schema),  # noqa: SLF001
        )
    except RecursionError:
        return "the body is nested too deeply"


_request_id: ContextVar[str] = ContextVar("request_id", default="")


def _know_the_request_id_in_templates() -> None:
    """`$context.requestId` in an integration's templates is the request's id on AWS; the emulator has it empty."""
    gateway = _module("services.apigateway_v1")

    def execute(original: Any) -> Any:  # noqa: ANN401
        async def run(request: dict[str, Any], *arguments: Any) -> Any:  # noqa: ANN401
            _request_id.set(request["request_id"])
            answer = await original(request, *arguments)
            if isinstance(answer, tuple):
                # Clients and support cases find a request again by this header.
                answer[1].setdefault("x-amzn-RequestId", request["request_id"])
            return answer

        return run

    def render(original: Any) -> Any:  # noqa: ANN401
        def run(template: str, body: str, params: dict[str, Any], context: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
            return original(template, body, params, {**(context or {}), "requestId": _request_id.get()})

        return run

    _wrap(gateway, "_execute_in_scope", execute)
    _wrap(gateway, "_render_request_template_v1", render)


def _answer_queue_errors_as_json() -> None:
    """API Gateway asks SQS for JSON and gives response templates a JSON error; the emulator gives them XML."""
    gateway = _module("services.apigateway_v1")
    element_tree = importlib.import_module("defusedxml.ElementTree")

    def respond(original: Any) -> Any:  # noqa: ANN401
        def run(integration: Any, status: int, text: str, *arguments: Any) -> Any:  # noqa: ANN401
            return original(integration, status, _error_as_json(element_tree, text), *arguments)

        return run

    _wrap(gateway, "_service_integration_response", respond)


def _error_as_json(element_tree: Any, text: str) -> str:  # noqa: ANN401
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

    def checks(original: Any) -> Any:  # noqa: ANN401
        def run(action: str, body: bytes, region: str, account: str) -> list[tuple[str, str]]:
            operation = action.removeprefix("dynamodb:")
            if operation != "ExecuteStatement" and operation not in lists:
                found: list[tuple[str, str]] = original(action, body, region, account)
                return found
            try:
                request = json.loads(body)
                statements = request[lists[operation]] if operation in lists else [request]
                parsed = [parser._parse_partiql(item["Statement"], item.get("Parameters", [])) for item in statements]  # noqa: SLF001
            except (ValueError, KeyError, TypeError):
                # What cannot be read is not permitted either: the emulator's own check stands.
                return []
            return sorted({_partiql_check(actions, statement, region, account) for statement in parsed})

        return run

    _wrap(actions, "dynamodb_transaction_checks", checks)


def _partiql_check(actions: Any, parsed: dict[str, Any], region: str, account: str) -> tuple[str, str]:  # noqa: ANN401
    name = _PARTIQL_ACTIONS.get(parsed["op"], "PartiQLSelect")
    return f"dynamodb:{name}", actions._dynamodb_table_arn(parsed["table"], region, account)  # noqa: SLF001


def _log_like_lambda() -> None:
    """Lambda sets up a function's logging and writes its own lines as JSON where the function's log format is JSON."""
    runtime, lambdas, logs = _module("core.lambda_runtime"), _module("services.lambda_svc"), _module("services.cloudwatch_logs")
    anchor = "handler_fn = getattr(mod, handler_name)"
    if anchor not in runtime._PYTHON_WORKER_SCRIPT:  # noqa: SLF001
        raise MendError("the emulator's program for Python functions is another one")
    own = inspect.getsource(function_logs)
    script = runtime._PYTHON_WORKER_SCRIPT.replace(anchor, "handler_fn = logged(getattr(mod, handler_name))")  # noqa: SLF001
    before_import = "mod = importlib.import_module(module_name)"
    runtime._PYTHON_WORKER_SCRIPT = own + script.replace(before_import, f"set_up(); {before_import}")  # noqa: SLF001

    def spawn(original: Any) -> Any:  # noqa: ANN401
        def run(worker: Any) -> Any:  # noqa: ANN401
            config = worker.config
            variables = {**config.get("Environment", {}).get("Variables", {}), **_log_variables(config)}
            worker.config = {**config, "Environment": {"Variables": variables}}
            try:
                return original(worker)
            finally:
                worker.config = config

        return run

    json_lines = threading.local()

    def emit(original: Any) -> Any:  # noqa: ANN401
        def run(function: dict[str, Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            config = function.get("config") or function
            json_lines.wanted = bool(_log_variables(config))
            try:
                return original(function, *arguments, **options)
            finally:
                json_lines.wanted = False

        return run

    def append(original: Any) -> Any:  # noqa: ANN401
        def run(stream: Any, events: list[dict[str, Any]]) -> Any:  # noqa: ANN401
            if getattr(json_lines, "wanted", False):
                events = [event for event in map(_platform_event, events) if event]
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


def _platform_event(event: dict[str, Any]) -> dict[str, Any] | None:
    """The emulator's START and REPORT lines as Lambda's platform events; END has no counterpart in JSON."""
    kind, _, rest = event["message"].partition(" RequestId: ")
    if kind not in {"START", "END", "REPORT"} or not rest:
        return event
    if kind == "END":
        return None
    record: dict[str, Any] = {"requestId": rest.split()[0]}
    if kind == "REPORT":
        record["metrics"] = {"durationMs": float(rest.partition("Duration: ")[2].split()[0])}
    line = {"type": f"platform.{kind.lower()}", "record": record}
    return {**event, "message": json.dumps(line)}

"""The emulator's invocations of functions end as AWS's do.

A function that raises answers with the error's class and where it was raised; the emulator calls each error the same.
What Scheduler and EventBridge send to a function is on AWS an asynchronous invocation as any other, tried again and
then given to the failure destination; the emulator runs it once. And the record that a failure destination gets lacks
some of its fields (AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations").
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import time
import uuid
from contextvars import ContextVar
from typing import Any

from shop.local import mending

_DEFAULT_RETRIES = 2
_REQUEST_ID = re.compile(r"RequestId: ([0-9a-f-]{36})")


def mend() -> None:
    """Mend the emulator's asynchronous invocations. Raises MendError."""
    lambdas, events = mending.module("services.lambda_svc"), mending.module("services.eventbridge")
    queues = mending.module("services.sqs")

    def dispatch(original: Any) -> Any:
        def run(arn: str, payload: str) -> None:
            function, config, _ = lambdas._get_func_record_for_ref(arn)
            if not function or not config:
                original(arn, payload)
                return
            lambdas.invoke_async_with_retry(lambdas._execution_record_for_config(function, config), json.loads(payload))

        return run

    def route(original: Any) -> Any:
        def run(target: str, name: str, event: Any, result: dict[str, Any]) -> None:
            function = lambdas._functions.get(name) or {}
            queue = queues._queue_by_arn(target) if _failure_destination(function) == target else None
            if queue is None:  # a dead-letter queue of the old kind, or another kind of destination
                original(target, name, event, result)
                return
            queue["messages"].append(_message(queues, queue, json.dumps(record(function, event, result))))
            lambdas.esm_wake.set()

        return run

    mending.wrap(events, "_dispatch_to_lambda", dispatch)
    mending.wrap(lambdas, "_route_async_failure", route)
    _name_errors(lambdas)


def _name_errors(lambdas: Any) -> None:
    runtime = mending.module("core.lambda_runtime")
    anchor = '"trace": traceback.format_exc()'
    if anchor not in runtime._PYTHON_WORKER_SCRIPT:
        raise mending.MendError("the emulator's program for Python functions is another one")
    told = '"named": {"errorType": type(e).__name__, "stackTrace": traceback.format_tb(e.__traceback__)}'
    runtime._PYTHON_WORKER_SCRIPT = runtime._PYTHON_WORKER_SCRIPT.replace(anchor, f"{anchor}, {told}")
    named: ContextVar[dict[str, Any]] = ContextVar("named")

    def invoke(original: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            result = original(*arguments, **options)
            named.set(result.get("named") or {})
            return result

        return run

    def execute(original: Any) -> Any:
        def run(function: dict[str, Any], event: Any) -> Any:
            named.set({})
            result = original(function, event)
            if result.get("error") and isinstance(result.get("body"), dict):
                result["body"].update(named.get())
            return result

        return run

    mending.wrap(runtime.Worker, "invoke", invoke)
    mending.wrap(lambdas, "_execute_function", execute)


def record(function: dict[str, Any], event: Any, result: dict[str, Any]) -> dict[str, Any]:
    """What a failure destination gets when the last try of `function` with `event` had this `result`."""
    request_id = _REQUEST_ID.search(str(result.get("log", "")))
    retries = _settings(function).get("MaximumRetryAttempts", _DEFAULT_RETRIES)
    now = datetime.datetime.now(datetime.UTC)
    return {
        "version": "1.0",
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": request_id[1] if request_id else str(uuid.uuid4()),
            "functionArn": f"{function['config']['FunctionArn']}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": int(retries) + 1,
        },
        "requestPayload": event,
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": result.get("function_error") or "Unhandled",
        },
        "responsePayload": result.get("body"),
    }


def _settings(function: dict[str, Any]) -> dict[str, Any]:
    by_qualifier = function.get("event_invoke_configs") or {}
    return function.get("event_invoke_config") or by_qualifier.get("$LATEST") or {}


def _failure_destination(function: dict[str, Any]) -> str | None:
    destinations = _settings(function).get("DestinationConfig") or {}
    return (destinations.get("OnFailure") or {}).get("Destination")


def _message(queues: Any, queue: dict[str, Any], body: str) -> dict[str, Any]:
    """A message as the emulator keeps it."""
    now = time.time()
    return {
        "id": str(uuid.uuid4()),
        "body": body,
        "md5_body": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "md5_attrs": "",
        "receipt_handle": None,
        "sent_at": now,
        "visible_at": now + queues.queue_delay(queue),
        "receive_count": 0,
        "first_receive_at": None,
        "message_attributes": {},
        "sys": {"SenderId": queues.get_account_id(), "SentTimestamp": str(int(now * 1000))},
        "group_id": None,
        "dedup_id": None,
        "dedup_cache_key": None,
        "seq": None,
    }

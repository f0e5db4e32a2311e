"""Probes of Lambda and of what starts functions."""

from __future__ import annotations

import datetime
import json
import sys
from typing import TYPE_CHECKING, Any

from tests.integration.gap_probes.emulators import PATIENCE_SECONDS, allow, refusal, unique
from tests.integration.gap_probes.registry import probe
from tests.polling import eventually

if TYPE_CHECKING:
    from tests.integration.gap_probes.emulators import Emulator

_FAILS = "def handler(event, context):\n    raise ValueError('broken')\n"
_LOGS_EVENT = "import json\ndef handler(event, context):\n    print('event:' + json.dumps(event))\n"
_QUEUE_READER = allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"])
_STREAM_READER = allow(
    ["dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream", "dynamodb:ListStreams"]
)
_STREAM = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}


@probe("runtime", aws=True, emulator=False)
def _whether_a_function_runs_on_the_python_that_it_asks_for(emulator: Emulator) -> bool:
    asked = "3.12" if sys.version_info[:2] == (3, 13) else "3.13"
    code = "import sys\ndef handler(event, context):\n    return '%d.%d' % sys.version_info[:2]\n"
    return bool(emulator.invoke(emulator.function(code, Runtime=f"python{asked}")) == asked)


@probe("memory-limit", aws="Runtime.OutOfMemory", emulator="lived")
def _a_function_that_takes_more_memory_than_it_has(emulator: Emulator) -> str:
    code = "def handler(event, context):\n    block = b'x' * (256 * 1024 * 1024)\n    return {'errorType': 'lived'}\n"
    return str(emulator.invoke(emulator.function(code, MemorySize=128))["errorType"])


@probe("response-size", aws="Function.ResponseSizeTooLarge", emulator="taken")
def _what_becomes_of_an_answer_of_more_than_6_mb(emulator: Emulator) -> str:
    code = "def handler(event, context):\n    return {'errorType': 'taken', 'text': 'x' * 7 * 1024 * 1024}\n"
    return str(emulator.invoke(emulator.function(code))["errorType"])


@probe("functions-network", aws=False, emulator=True)
def _whether_a_function_in_closed_subnets_reaches_aws(emulator: Emulator) -> bool:
    resources = {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.0.1.0/24"}},
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "GroupDescription": "closed",
                "SecurityGroupEgress": [{"CidrIp": "255.255.255.255/32", "IpProtocol": "icmp"}],
            },
        },
    }
    made = emulator.stack(resources, {"Subnet": {"Ref": "Subnet"}, "Group": {"Fn::GetAtt": ["Group", "GroupId"]}})
    code = (
        "import os, socket\nfrom urllib.parse import urlsplit\n"
        "def handler(event, context):\n"
        "    address = urlsplit(os.environ['AWS_ENDPOINT_URL'])\n"
        "    socket.create_connection((address.hostname, address.port), 3).close()\n"
        "    return 'reached'\n"
    )
    network = {"SubnetIds": [made["Subnet"]], "SecurityGroupIds": [made["Group"]]}
    return bool(emulator.invoke(emulator.function(code, VpcConfig=network)) == "reached")


@probe("function-json-logs", aws=True, emulator=False)
def _whether_an_info_line_is_logged_as_json(emulator: Emulator) -> bool:
    code = "import logging\ndef handler(event, context):\n    logging.getLogger().info('told')\n"
    function = emulator.function(code, LoggingConfig={"LogFormat": "JSON"})
    emulator.invoke(function)
    # The report of an invocation is the last that is logged of it.
    lines = eventually(lambda: _lines_to_the_report(emulator, function), timeout=PATIENCE_SECONDS)
    return any('"message": "told"' in line for line in lines)


def _lines_to_the_report(emulator: Emulator, function: str) -> list[str]:
    lines = emulator.logged(function)
    return lines if any("report" in line.lower() for line in lines) else []


@probe("invocation-status", aws=True, emulator=False)
def _whether_the_report_of_a_failed_invocation_says_so(emulator: Emulator) -> bool:
    function = emulator.function(_FAILS, LoggingConfig={"LogFormat": "JSON"})
    emulator.invoke(function)
    lines = eventually(lambda: _lines_to_the_report(emulator, function), timeout=PATIENCE_SECONDS)
    return any('"status": "error"' in line for line in lines)


@probe("error-names", aws="ValueError", emulator="Runtime.HandlerError")
def _the_type_of_an_error_that_a_function_raises(emulator: Emulator) -> str:
    return str(emulator.invoke(emulator.function(_FAILS))["errorType"])


def _with_destination(emulator: Emulator) -> tuple[str, str]:
    """A function that fails and is not tried again, and the URL of the queue where its failures are to end."""
    url, arn = emulator.queue()
    function = emulator.function(_FAILS, allowed=(allow("sqs:SendMessage", arn),))
    emulator.client("lambda").put_function_event_invoke_config(
        FunctionName=function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    return function, url


def _record(emulator: Emulator, url: str, seconds: int) -> dict[str, Any]:
    found = emulator.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=seconds).get("Messages")
    record: dict[str, Any] = json.loads(found[0]["Body"]) if found else {}
    return record


@probe("failure-records", aws=1, emulator=3)
def _how_many_tries_a_failure_record_counts(emulator: Emulator) -> int | None:
    function, url = _with_destination(emulator)
    emulator.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=b"{}")
    count: int | None = _record(emulator, url, 10)["requestContext"].get("approximateInvokeCount")
    return count


def _schedule(emulator: Emulator, role: str, function: str, **more: Any) -> str:
    """The name of a schedule that invokes the function at once."""
    name = unique("schedule")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    emulator.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=f"at({now})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": function, "RoleArn": role, **more},
    )
    return name


def _ran(emulator: Emulator, function: str) -> list[str]:
    """The lines that the function's first invocation logs at its end."""
    return eventually(
        lambda: [line for line in emulator.logged(function) if "REPORT" in line or "event:" in line],
        timeout=PATIENCE_SECONDS,
    )


@probe("scheduled-failures", aws=True, emulator=False)
def _whether_the_failure_of_a_scheduled_function_is_recorded(emulator: Emulator) -> bool:
    function, url = _with_destination(emulator)
    _schedule(emulator, emulator.role(allow("lambda:InvokeFunction")), function)
    _ran(emulator, function)
    return bool(_record(emulator, url, 5))


@probe("schedule-role", aws=False, emulator=True)
def _whether_a_schedule_with_a_role_without_rights_invokes(emulator: Emulator) -> bool:
    function = emulator.function(_LOGS_EVENT)
    _schedule(emulator, emulator.role(), function)
    return bool(_ran(emulator, function))


@probe("schedule-inputs", aws=False, emulator=True)
def _whether_a_context_attribute_of_an_input_stays_as_it_is_written(emulator: Emulator) -> bool:
    function = emulator.function(_LOGS_EVENT)
    role = emulator.role(allow("lambda:InvokeFunction"))
    _schedule(emulator, role, function, Input='{"at": "<aws.scheduler.scheduled-time>"}')
    lines = eventually(
        lambda: [line for line in emulator.logged(function) if "event:" in line], timeout=PATIENCE_SECONDS
    )
    return "<aws.scheduler.scheduled-time>" in lines[0]


@probe("schedule-time-zone", aws="Europe/Berlin", emulator="UTC")
def _the_time_zone_of_a_schedule_of_a_template(emulator: Emulator) -> str:
    properties = {
        "ScheduleExpression": "cron(0 6 * * ? *)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": emulator.function(_LOGS_EVENT), "RoleArn": emulator.role()},
    }
    made = emulator.stack(
        {"Schedule": {"Type": "AWS::Scheduler::Schedule", "Properties": properties}}, {"Name": {"Ref": "Schedule"}}
    )
    return str(emulator.client("scheduler").get_schedule(Name=made["Name"]).get("ScheduleExpressionTimezone"))


@probe("schedule-dead-letters", aws=True, emulator=False)
def _whether_what_a_schedule_cannot_invoke_goes_to_its_dead_letter_queue(emulator: Emulator) -> bool:
    url, arn = emulator.queue()
    function = emulator.function(_LOGS_EVENT)
    role = emulator.role(allow("lambda:InvokeFunction"), allow("sqs:SendMessage", arn))
    retries = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    missing = function.replace("function-", "missing-")
    _schedule(emulator, role, missing, DeadLetterConfig={"Arn": arn}, RetryPolicy=retries)
    # Schedules fire in the order in which they were made.
    _schedule(emulator, role, function)
    _ran(emulator, function)
    return bool(emulator.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"))


@probe("mapping-rights", aws="InvalidParameterValueException", emulator="")
def _why_a_function_that_may_not_read_a_queue_is_not_mapped_to_it(emulator: Emulator) -> str:
    _, arn = emulator.queue()
    function = emulator.function(_LOGS_EVENT)
    mappings = emulator.client("lambda")
    return refusal(lambda: mappings.create_event_source_mapping(EventSourceArn=arn, FunctionName=function))


@probe("invoke-config-qualifier", aws="", emulator="ResourceNotFoundException")
def _whether_a_templates_event_invoke_config_is_found_without_qualifier(emulator: Emulator) -> str:
    function = emulator.function(_LOGS_EVENT)
    properties = {"FunctionName": function, "Qualifier": "$LATEST", "MaximumRetryAttempts": 1}
    emulator.stack({"Config": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": properties}})
    client = emulator.client("lambda")
    return refusal(lambda: client.get_function_event_invoke_config(FunctionName=function))


def _batches(emulator: Emulator, function: str, *, at_least: int) -> list[list[str]]:
    """The ids of each batch that the function was invoked with, once there are so many."""

    def look() -> list[list[str]] | None:
        lines = [line.partition("batch:")[2] for line in emulator.logged(function) if "batch:" in line]
        return [line.strip().split() for line in lines] if len(lines) >= at_least else None

    return eventually(look, timeout=PATIENCE_SECONDS)


_LOGS_BATCH = """
def handler(event, context):
    ids = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
    print("batch:" + " ".join(ids))
"""
_REPORTS_THE_FIRST = """
    first = event["Records"][0]["dynamodb"]["SequenceNumber"]
    return {"batchItemFailures": [{"itemIdentifier": first}]}
"""


@probe("stream-partial-batches", aws=["1", "2"], emulator=["2"])
def _what_comes_with_a_second_record_after_the_first_was_reported_as_failed(emulator: Emulator) -> list[str]:
    table = emulator.table(**_STREAM)
    function = emulator.function(_LOGS_BATCH + _REPORTS_THE_FIRST, allowed=(_STREAM_READER,))
    _map_stream(emulator, table, function, FunctionResponseTypes=["ReportBatchItemFailures"])
    put = emulator.client("dynamodb").put_item
    put(TableName=table["TableName"], Item={"id": {"S": "1"}})
    _batches(emulator, function, at_least=1)
    put(TableName=table["TableName"], Item={"id": {"S": "2"}})
    return eventually(lambda: next((b for b in _batches(emulator, function, at_least=2) if "2" in b), None))


@probe("stream-retries", aws=[2, 1, 1], emulator=[2, 2, 2])
def _how_large_the_first_tries_of_a_failing_batch_of_two_are(emulator: Emulator) -> list[int]:
    table = emulator.table(**_STREAM)
    for key in ("1", "2"):
        emulator.client("dynamodb").put_item(TableName=table["TableName"], Item={"id": {"S": key}})
    function = emulator.function(f"{_LOGS_BATCH}    raise ValueError('broken')\n", allowed=(_STREAM_READER,))
    _map_stream(emulator, table, function, BisectBatchOnFunctionError=True, MaximumRetryAttempts=1)
    return [len(batch) for batch in _batches(emulator, function, at_least=3)][:3]


def _map_stream(emulator: Emulator, table: dict[str, Any], function: str, **settings: Any) -> None:
    emulator.client("lambda").create_event_source_mapping(
        EventSourceArn=table["LatestStreamArn"],
        FunctionName=function,
        StartingPosition="TRIM_HORIZON",
        BatchSize=10,
        MaximumRecordAgeInSeconds=60,
        **settings,
    )

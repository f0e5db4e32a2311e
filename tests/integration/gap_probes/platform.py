"""Probes of CloudFormation, CloudWatch, X-Ray, EC2, Secrets Manager and Systems Manager."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tests.integration.gap_probes.emulators import allow, refusal, unique
from tests.integration.gap_probes.registry import probe
from tests.polling import eventually

if TYPE_CHECKING:
    from tests.integration.gap_probes.emulators import Emulator

_PARAMETER = {"Parameter": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1"}}}


@probe("outputs-only", aws="CREATE_COMPLETE", emulator="FAILED")
def _the_status_of_a_change_set_of_outputs_alone(emulator: Emulator) -> str:
    stack, stacks = emulator.stack(_PARAMETER, {"Told": "1"})["StackName"], emulator.client("cloudformation")
    template = json.dumps({"Resources": _PARAMETER, "Outputs": {"Told": {"Value": "2"}}})
    made = stacks.create_change_set(StackName=stack, ChangeSetName="outputs", TemplateBody=template)["Id"]

    def look() -> str | None:
        status = stacks.describe_change_set(ChangeSetName=made)["Status"]
        return status if status in {"CREATE_COMPLETE", "FAILED"} else None

    return eventually(look)


@probe("code-deploy", aws="CREATE_COMPLETE", emulator="ValidationError")
def _what_becomes_of_a_template_with_code_deploy(emulator: Emulator) -> str:
    application = {"Type": "AWS::CodeDeploy::Application", "Properties": {"ComputePlatform": "Lambda"}}
    try:
        return str(emulator.stack({"Application": application})["StackStatus"])
    except ClientError as error:
        return str(error.response["Error"]["Code"])


@probe("embedded-metrics", aws=True, emulator=False)
def _whether_a_metric_in_a_log_line_becomes_one(emulator: Emulator) -> bool:
    logs, group = emulator.client("logs"), unique("group")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    metrics = [{"Namespace": group, "Dimensions": [[]], "Metrics": [{"Name": "Made"}]}]
    line = json.dumps({"_aws": {"Timestamp": now, "CloudWatchMetrics": metrics}, "Made": 1})
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[{"timestamp": now, "message": line}])
    return bool(emulator.client("cloudwatch").list_metrics(Namespace=group)["Metrics"])


@probe("log-pages", aws=3, emulator=1)
def _how_many_of_three_log_events_come_in_pages_of_one(emulator: Emulator) -> int:
    logs, group = emulator.client("logs"), unique("group")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": text} for text in ("a", "b", "c")]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, limit=1)
    return sum(len(page["events"]) for page in pages)


@probe("metric-math", aws="ALARM", emulator="INSUFFICIENT_DATA")
def _the_state_of_an_alarm_on_a_sum_of_metrics(emulator: Emulator) -> str:
    watch, name = emulator.client("cloudwatch"), unique("alarm")
    stat = {"Metric": {"Namespace": name, "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    plain = {"MetricName": "m", "Namespace": name, "Statistic": "Sum", "Period": 60}
    math = {
        "Metrics": [
            {"Id": "a", "MetricStat": stat, "ReturnData": False},
            {"Id": "b", "Expression": "a * 2", "ReturnData": True},
        ]
    }
    above = {"EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}
    watch.put_metric_alarm(AlarmName=f"{name}-plain", **plain, **above)
    watch.put_metric_alarm(AlarmName=f"{name}-math", **math, **above)
    watch.put_metric_data(Namespace=name, MetricData=[{"MetricName": "m", "Value": 5}])
    # Alarms are looked at together: where the plain one has its state, the other had its turn.
    eventually(lambda: _alarm(watch, f"{name}-plain") == "ALARM")
    return _alarm(watch, f"{name}-math")


def _alarm(watch: Any, name: str) -> str:
    found = watch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(found[0]["StateValue"]) if found else "none"


@probe("traces", aws=True, emulator=False)
def _whether_there_is_x_ray(emulator: Emulator) -> bool:
    now = int(time.time())
    try:
        found = emulator.client("xray").get_trace_summaries(StartTime=now - 60, EndTime=now)
    except (ClientError, ValueError):
        return False
    return "TraceSummaries" in found


@probe("network-range", aws="10.0.0.0/16", emulator=None)
def _the_range_of_a_network_as_an_attribute(emulator: Emulator) -> str | None:
    network = {"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}}
    made: str | None = emulator.stack(network, {"Range": {"Fn::GetAtt": ["Vpc", "CidrBlock"]}}).get("Range")
    return made


_NETWORK = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    "Group": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "GroupDescription": "of a probe"},
    },
}


@probe("flow-logs", aws="", emulator="ValidationError")
def _how_flow_logs_of_a_template_are_refused(emulator: Emulator) -> str:
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {}}
    properties = {
        "ResourceId": {"Ref": "Vpc"},
        "ResourceType": "VPC",
        "TrafficType": "ALL",
        "LogGroupName": {"Ref": "Logs"},
        "DeliverLogsPermissionArn": emulator.role(),
    }
    flow = {"Type": "AWS::EC2::FlowLog", "Properties": properties}
    return refusal(lambda: emulator.stack({**_NETWORK, "Logs": group, "Flow": flow}))


@probe("separate-group-rules", aws="", emulator="ValidationError")
def _how_a_rule_of_a_group_as_its_own_resource_is_refused(emulator: Emulator) -> str:
    properties = {"GroupId": {"Fn::GetAtt": ["Group", "GroupId"]}, "IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}
    rule = {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": {**properties, "CidrIp": "10.0.0.0/16"}}
    return refusal(lambda: emulator.stack({**_NETWORK, "Rule": rule}))


@probe("secret-references", aws=True, emulator=False)
def _whether_a_reference_to_a_secret_is_its_arn(emulator: Emulator) -> bool:
    secret = {"Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "x"}}}
    return bool(emulator.stack(secret, {"Secret": {"Ref": "Secret"}})["Secret"].startswith("arn:"))


@probe("parameter-paths", aws="", emulator="AccessDeniedException")
def _how_a_reader_of_a_path_of_parameters_is_refused(emulator: Emulator) -> str:
    path = f"/{unique('path')}"
    cloud = emulator.cloud
    arn = f"arn:aws:ssm:{cloud.region}:{cloud.account_id}:parameter{path}"
    reader = emulator.client("ssm", emulator.user(allow("ssm:GetParametersByPath", [arn, f"{arn}/*"])))
    return refusal(lambda: reader.get_parameters_by_path(Path=path))

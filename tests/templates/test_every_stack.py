"""What holds for every stack of every stage: cdk-nag, cfn-lint, and the house rules, each shown to fail."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shop import diagrams
from stacks.settings import STAGES
from tests.templates import rules
from tests.templates.synthesis import (
    THREE_SIZES,
    Template,
    lint_stamp,
    resources,
    synthesise,
    the_only,
)

pytestmark = pytest.mark.xdist_group("templates")

Breakage = Callable[[Template], object]

CUSTOMER_MANAGED_KEYS = {
    "customer_managed_keys": "true",
    "operator_principal_arns": "arn:aws:iam::111122223333:role/operator",
}

CASES = [
    *(pytest.param(stage, {}, id=stage) for stage in STAGES),
    pytest.param("dev", {"order_service_authorization": "api_key"}, id="dev-api_key"),
    pytest.param("prod", {"vpc_flow_logs": "false", "database_multi_az": "false"}, id="prod-cheap-network"),
    pytest.param(diagrams.STAGE, diagrams.SETTINGS, id=f"{diagrams.STAGE}-subscribers"),
    pytest.param("dev", {"order_service_authorization": "aws_iam_and_api_key"}, id="dev-aws_iam_and_api_key"),
    pytest.param("prod", CUSTOMER_MANAGED_KEYS, id="prod-customer-managed-keys"),
    pytest.param("dev", {"manage_api_gateway_log_role": "false"}, id="dev-without-log-role"),
    pytest.param("dev", {"image_sizes": THREE_SIZES, "image_suffixes": ".jpg,.jpeg,.png"}, id="dev-three-sizes"),
]
"""Every stage as it ships, and the settings that change which resources there are."""


@pytest.mark.parametrize(("stage", "overrides"), CASES)
def test_nag_finds_nothing_that_nobody_acknowledged(stage: str, overrides: dict[str, str]) -> None:
    assert synthesise(stage, **overrides).findings == []


@pytest.mark.slow
def test_both_packs_look_at_every_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from aws_cdk import App, Stack, aws_sqs  # noqa: PLC0415

    import app as shop_app  # noqa: PLC0415 (and the next two: what starts the CDK)
    from tests.templates.cdk import synthesise_stage  # noqa: PLC0415

    stacks: list[str] = []
    build_stacks = shop_app.build

    def build(app: App) -> App:
        build_stacks(app)
        found = [child for child in app.node.children if isinstance(child, Stack)]
        stacks.extend(stack.stack_name for stack in found)
        for stack in found:
            aws_sqs.Queue(stack, "Bare")
        return app

    with monkeypatch.context() as patched:
        patched.setattr("app.build", build)
        findings = synthesise_stage(tmp_path, {"stage": "dev"})
    assert {finding for finding in findings if "/Bare/" in finding} >= {
        f"{rule}: {stack}/Bare/Resource"
        for rule in ("AwsSolutions-SQS4", "Serverless-SQSRedrivePolicy")
        for stack in stacks
    }
    assert len(stacks) >= 4


@pytest.mark.parametrize("stage", STAGES)
def test_stacks_are_protected_from_deletion_in_prod_and_only_there(stage: str) -> None:
    manifest = json.loads((synthesise(stage).folder / "manifest.json").read_text())
    stacks = [artifact for artifact in manifest["artifacts"].values() if artifact["type"] == "aws:cloudformation:stack"]
    assert {stack["properties"].get("terminationProtection", False) for stack in stacks} == {stage == "prod"}


@pytest.mark.parametrize("stage", STAGES)
def test_why_a_finding_stands_is_in_the_template(stage: str) -> None:
    acknowledged = [
        rule
        for template in synthesise(stage).templates.values()
        for resource in template["Resources"].values()
        for rule in resource.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", [])
    ]
    assert acknowledged
    assert all(rule["reason"] for rule in acknowledged)


@pytest.mark.parametrize(("stage", "overrides"), CASES)
def test_cfn_lint_is_clean(stage: str, overrides: dict[str, str]) -> None:
    templates = list(synthesise(stage, **overrides).folder.glob("*.template.json"))
    assert templates
    # Settings that change one stack leave the others' templates as they were in the stage before.
    if new := [template for template in templates if not lint_stamp(template).exists()]:
        answer = subprocess.run(
            [Path(sys.executable).with_name("cfn-lint"), *new], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
    for template in new:
        lint_stamp(template).parent.mkdir(exist_ok=True)
        lint_stamp(template).touch()


@pytest.mark.parametrize(("stage", "overrides"), CASES)
@pytest.mark.parametrize("rule", rules.ALL, ids=lambda rule: rule.__name__)
def test_house_rule(rule: rules.Rule, stage: str, overrides: dict[str, str]) -> None:
    findings = {name: list(rule(template)) for name, template in synthesise(stage, **overrides).templates.items()}
    assert not any(findings.values()), findings


@pytest.mark.parametrize("stage", STAGES)
def test_data_is_kept_in_prod_and_only_there(stage: str) -> None:
    findings = [
        finding for template in synthesise(stage).templates.values() for finding in rules.data_is_kept(template)
    ]
    assert bool(findings) == (stage != "prod"), findings


@pytest.mark.parametrize("stage", STAGES)
def test_stacks_carry_the_tags_that_commands_find_them_by(stage: str) -> None:
    manifest = json.loads((synthesise(stage).folder / "manifest.json").read_text())
    stacks = [artifact for artifact in manifest["artifacts"].values() if artifact["type"] == "aws:cloudformation:stack"]
    assert [stack["properties"]["tags"] for stack in stacks] == [
        {"application": "serverless-shop", "stage": stage} for _ in stacks
    ]
    assert stacks


def _first(template: Template, resource_type: str) -> Any:
    return next(iter(resources(template, resource_type).values()))


def _statements(template: Template, resource_type: str) -> Any:
    return _first(template, resource_type)["PolicyDocument"]["Statement"]


def _stream_mapping(template: Template) -> Any:
    return the_only(template, "AWS::Lambda::EventSourceMapping", "OrderNotifier")


def _rename_metric(template: Template, name: str) -> None:
    for alarm in resources(template, "AWS::CloudWatch::Alarm").values():
        if alarm["MetricName"] == name:
            alarm["MetricName"] = "Other"


def _alarm_on(template: Template, metric: str) -> Any:
    found = [a for a in resources(template, "AWS::CloudWatch::Alarm").values() if a["MetricName"] == metric]
    assert len(found) == 1
    return found[0]


def _change_depth_alarms(template: Template, change: dict[str, object]) -> None:
    for alarm in resources(template, "AWS::CloudWatch::Alarm").values():
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible":
            alarm.update(change)


def _share_a_role(template: Template) -> None:
    first, second, *_ = resources(template, "AWS::Lambda::Function").values()
    first["Role"] = second["Role"]


def _drop_key_use(template: Template) -> None:
    for policy in resources(template, "AWS::IAM::Policy").values():
        document = policy["PolicyDocument"]
        document["Statement"] = [s for s in document["Statement"] if "kms:Decrypt" not in s["Action"]]


def _let_key_be_used_for_any_account(template: Template) -> None:
    for statement in _first(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]:
        statement.pop("Condition", None)


def _widen(template: Template, field: str, value: object) -> None:
    _statements(template, "AWS::IAM::Policy")[0][field] = value


def _trust(template: Template) -> Any:
    return _first(template, "AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"][0]


BREAKAGES: list[tuple[rules.Rule, Breakage]] = [
    (rules.log_groups_have_retention, lambda t: _first(t, "AWS::Logs::LogGroup").pop("RetentionInDays")),
    (rules.functions_log_as_json_to_a_declared_group,
     lambda t: _first(t, "AWS::Lambda::Function").pop("LoggingConfig")),
    (rules.functions_are_traced, lambda t: _first(t, "AWS::Lambda::Function").pop("TracingConfig")),
    (rules.functions_have_roles_of_their_own, _share_a_role),
    (rules.functions_reserve_no_concurrency,
     lambda t: _first(t, "AWS::Lambda::Function").update(ReservedConcurrentExecutions=5)),
    (rules.permissions_have_no_wildcard, lambda t: _widen(t, "Action", "sqs:*")),
    (rules.permissions_have_no_wildcard, lambda t: _widen(t, "Resource", "*")),
    (rules.permissions_have_no_wildcard, lambda t: _widen(t, "Action", "sqs:SendMessag?")),
    (rules.permissions_have_no_wildcard, lambda t: _widen(t, "Resource", "arn:aws:logs:*:*:*")),
    (rules.permissions_have_no_wildcard,
     lambda t: _widen(t, "Resource", {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":ssm:",
                                                        {"Ref": "AWS::Region"}, ":*:parameter/dev/cafe"]]})),
    (rules.permissions_have_no_wildcard, lambda t: _widen(t, "Resource", "arn:aws:s3:::*")),
    (rules.mappings_answer_with_the_failed_ones,
     lambda t: _first(t, "AWS::Lambda::EventSourceMapping").pop("FunctionResponseTypes")),
    (rules.mappings_have_an_end_for_failures,
     lambda t: the_only(t, "AWS::SQS::Queue", "OrdersQueue").pop("RedrivePolicy")),
    *((rules.mappings_have_an_end_for_failures,
       lambda t, tries=tries: the_only(t, "AWS::SQS::Queue", "OrdersQueue")["RedrivePolicy"].update(
           maxReceiveCount=tries)) for tries in (1, 1000)),
    (rules.what_starts_functions_is_switched_on, lambda t: _stream_mapping(t).update(Enabled=False)),
    (rules.mappings_have_an_end_for_failures, lambda t: _stream_mapping(t).pop("DestinationConfig")),
    (rules.mappings_have_an_end_for_failures, lambda t: _stream_mapping(t).pop("MaximumRecordAgeInSeconds")),
    (rules.mappings_have_an_end_for_failures, lambda t: _stream_mapping(t).update(MaximumRetryAttempts=-1)),
    (rules.visibility_outlasts_the_worker,
     lambda t: the_only(t, "AWS::SQS::Queue", "OrdersQueue").update(VisibilityTimeout=59)),
    (rules.queues_are_encrypted_and_kept, lambda t: _first(t, "AWS::SQS::Queue").pop("SqsManagedSseEnabled")),
    (rules.queues_are_encrypted_and_kept,
     lambda t: the_only(t, "AWS::SQS::Queue", "OrdersQueue").update(MessageRetentionPeriod=1_209_600)),
    (rules.queues_topics_and_buckets_take_tls_only, lambda t: _statements(t, "AWS::SQS::QueuePolicy").pop(0)),
    (rules.queues_topics_and_buckets_take_tls_only, lambda t: _statements(t, "AWS::SNS::TopicPolicy").pop(0)),
    (rules.queues_topics_and_buckets_take_tls_only,
     lambda t: _statements(t, "AWS::SQS::QueuePolicy")[0].update(Action="sqs:PurgeQueue")),
    (rules.queues_topics_and_buckets_take_tls_only,
     lambda t: _statements(t, "AWS::SQS::QueuePolicy")[0].update(Principal={"Service": "sns.amazonaws.com"})),
    (rules.topics_have_a_key_that_publishers_may_use, lambda t: _first(t, "AWS::SNS::Topic").pop("KmsMasterKeyId")),
    (rules.topics_have_a_key_that_publishers_may_use, _drop_key_use),
    (rules.topics_have_a_key_that_publishers_may_use, _let_key_be_used_for_any_account),
    (rules.dead_letters_raise_an_alarm, lambda t: _rename_metric(t, "ApproximateNumberOfMessagesVisible")),
    *((rules.dead_letters_raise_an_alarm, lambda t, change=change: _change_depth_alarms(t, change))
      for change in ({"Threshold": 10}, {"ComparisonOperator": "LessThanThreshold"}, {"Statistic": "Minimum"},
                     {"Period": 86_400})),
    (rules.sources_that_nobody_reads_raise_an_alarm, lambda t: _rename_metric(t, "ApproximateAgeOfOldestMessage")),
    (rules.sources_that_nobody_reads_raise_an_alarm, lambda t: _rename_metric(t, "IteratorAge")),
    (rules.sources_that_nobody_reads_raise_an_alarm, lambda t: _rename_metric(t, "SuccessfulRequestLatency")),
    *((rules.sources_that_nobody_reads_raise_an_alarm,
       lambda t, name=name, change=change: _alarm_on(t, name).update(change))
      for name, change in (("ApproximateAgeOfOldestMessage", {"Threshold": 700_000}),
                           ("ApproximateAgeOfOldestMessage", {"ComparisonOperator": "LessThanThreshold"}),
                           ("IteratorAge", {"Threshold": 90_000_000}),
                           ("IteratorAge", {"Statistic": "Minimum"}),
                           ("SuccessfulRequestLatency", {"TreatMissingData": "notBreaching"}),
                           ("SuccessfulRequestLatency", {"Statistic": "Average"}),
                           ("SuccessfulRequestLatency", {"Threshold": 0}))),
    (rules.sources_that_nobody_reads_raise_an_alarm,
     lambda t: _alarm_on(t, "SuccessfulRequestLatency")["Dimensions"].pop()),
    (rules.alarms_act_and_name_their_runbook_entry, lambda t: _first(t, "AWS::CloudWatch::Alarm").pop("AlarmActions")),
    (rules.alarms_act_and_name_their_runbook_entry,
     lambda t: _first(t, "AWS::CloudWatch::Alarm").update(ActionsEnabled=False)),
    (rules.alarms_act_and_name_their_runbook_entry,
     lambda t: _first(t, "AWS::CloudWatch::Alarm").update(AlarmActions=["arn:aws:sns:eu-west-1:111122223333:none"])),
    (rules.alarms_act_and_name_their_runbook_entry,
     lambda t: _first(t, "AWS::CloudWatch::Alarm").update(AlarmDescription="Runbook: docs/runbook.md#no-such-entry")),
    *((rules.alarms_take_silence_for_good_or_for_bad,
       lambda t, name=name, missing=missing: _alarm_on(t, name).update(TreatMissingData=missing))
      for name, missing in (("IteratorAge", "breaching"), ("ApproximateAgeOfOldestMessage", "ignore"),
                            ("SuccessfulRequestLatency", "notBreaching"))),
    (rules.alarms_look_no_further_back_than_cloudwatch_does, lambda t: _alarm_on(t, "IteratorAge").update(Period=90_000,
     EvaluationPeriods=7)),
    (rules.alarms_look_no_further_back_than_cloudwatch_does,
     lambda t: _alarm_on(t, "IteratorAge").update(Period=1_800, EvaluationPeriods=49)),
    (rules.nothing_has_a_physical_name, lambda t: _first(t, "AWS::DynamoDB::Table").update(TableName="orders")),
    (rules.tables_can_be_restored,
     lambda t: _first(t, "AWS::DynamoDB::Table").pop("PointInTimeRecoverySpecification")),
    (rules.apis_are_logged_without_data, lambda t: _first(t, "AWS::ApiGateway::Stage").pop("AccessLogSetting")),
    (rules.apis_are_logged_without_data,
     lambda t: _first(t, "AWS::ApiGateway::Stage")["MethodSettings"][0].update(DataTraceEnabled=True)),
    (rules.apis_are_logged_without_data,
     lambda t: _first(t, "AWS::ApiGateway::Stage")["MethodSettings"].append(
         {"HttpMethod": "POST", "ResourcePath": "/orders", "DataTraceEnabled": True})),
    *((rules.apis_are_logged_without_data,
       lambda t, who=who: _first(t, "AWS::ApiGateway::Stage")["AccessLogSetting"].update(
           Format=f'{{"id": "$context.identity.apiKeyId", "who": "$context.{who}"}}'))
      for who in ("identity.sourceIp", "identity.user", "identity.userAgent", "authorizer.claims.email")),
    (rules.api_methods_are_authorised, lambda t: _first(t, "AWS::ApiGateway::Method").pop("ApiKeyRequired")),
    (rules.api_methods_are_authorised, lambda t: _add(t, "AWS::Lambda::Url", AuthType="NONE")),
    (rules.api_keys_have_a_throttle_and_a_quota, lambda t: _first(t, "AWS::ApiGateway::UsagePlan").pop("Quota")),
    (rules.api_keys_have_a_throttle_and_a_quota, lambda t: _first(t, "AWS::ApiGateway::UsagePlan").pop("Throttle")),
    (rules.api_keys_have_a_throttle_and_a_quota, lambda t: _add(t, "AWS::ApiGateway::ApiKey")),
    (rules.roles_trust_one_service, lambda t: _trust(t).update(Principal={"AWS": "*"})),
    (rules.roles_trust_one_service,
     lambda t: _trust(t).update(Principal={"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]})),
    (rules.roles_trust_one_service,
     lambda t: the_only(t, "AWS::IAM::Role", "OrderProcessorRole")["AssumeRolePolicyDocument"]["Statement"][0].update(
         Principal={"Service": "ec2.amazonaws.com"})),
    (rules.roles_have_no_managed_policies,
     lambda t: _first(t, "AWS::IAM::Role").update(ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"])),
]  # fmt: skip


def _drop_the_denial_to_code(template: Template) -> None:
    for policy in resources(template, "AWS::IAM::Policy").values():
        document = policy["PolicyDocument"]
        document["Statement"] = [s for s in document["Statement"] if s["Effect"] == "Allow"]


def _forbid_the_schedule_its_queue(template: Template) -> None:
    the_only(template, "AWS::IAM::Policy", "DailyReport")["PolicyDocument"]["Statement"].pop()


def _unwatch(template: Template, queue: str) -> None:
    alarms = template["Resources"]
    watching = [
        name for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible" and queue in json.dumps(alarm["Dimensions"])
    ]  # fmt: skip
    assert len(watching) == 1
    alarms.pop(watching[0])


def _database(template: Template) -> Any:
    return _first(template, "AWS::RDS::DBInstance")


def _bucket(template: Template) -> Any:
    return _first(template, "AWS::S3::Bucket")


def _variables(template: Template) -> Any:
    return the_only(template, "AWS::Lambda::Function", "SalesRecorder")["Environment"]["Variables"]


def _add(template: Template, resource_type: str, **properties: object) -> None:
    template["Resources"]["Added"] = {"Type": resource_type, "Properties": properties}


def _data_key(template: Template) -> Any:
    return the_only(template, "AWS::KMS::Key", "DataKey")


def _drop_from_key_policy(template: Template, mark: str) -> None:
    policy = _data_key(template)["KeyPolicy"]
    kept = [statement for statement in policy["Statement"] if mark not in json.dumps(statement)]
    assert len(kept) < len(policy["Statement"])
    policy["Statement"] = kept


def _statement_of(template: Template, role: str, mark: str) -> Any:
    """The one statement about a key in the policy of a role that has this mark in it."""
    statements = the_only(template, "AWS::IAM::Policy", role)["PolicyDocument"]["Statement"]
    found = [s for s in statements if mark in json.dumps(s) and "kms:Decrypt" in s["Action"] and "Condition" in s]
    assert len(found) == 1
    return found[0]


KEY_BREAKAGES: list[tuple[rules.Rule, Breakage]] = [
    (rules.queues_are_encrypted_and_kept, lambda t: _first(t, "AWS::SQS::Queue").pop("KmsMasterKeyId")),
    (rules.keys_rotate_and_serve_this_account_only, lambda t: _data_key(t).pop("EnableKeyRotation")),
    (rules.keys_rotate_and_serve_this_account_only,
     lambda t: _data_key(t)["KeyPolicy"]["Statement"][1].pop("Condition")),
    (rules.keys_rotate_and_serve_this_account_only,
     lambda t: _data_key(t)["KeyPolicy"]["Statement"][-1]["Condition"]["StringEquals"].pop("kms:CallerAccount")),
    (rules.keys_rotate_and_serve_this_account_only,
     lambda t: _data_key(t)["KeyPolicy"]["Statement"][0].update(Principal={"AWS": "111122223333"})),
    (rules.a_data_key_is_of_all_tables_queues_and_logs,
     lambda t: _first(t, "AWS::DynamoDB::Table").pop("SSESpecification")),
    (rules.a_data_key_is_of_all_tables_queues_and_logs, lambda t: _first(t, "AWS::Logs::LogGroup").pop("KmsKeyId")),
    (rules.a_data_key_is_of_all_tables_queues_and_logs,
     lambda t: _first(t, "AWS::SQS::Queue").update(KmsMasterKeyId={"Ref": "TopicKey"})),
    (rules.roles_may_use_the_keys_of_their_data,
     lambda t: _statement_of(t, "OrdersApiRole", "sqs.").update(Action=["kms:Decrypt"])),
    (rules.roles_may_use_the_keys_of_their_data,
     lambda t: _statement_of(t, "OrderNotifierRole", "dynamodb.").update(Effect="Deny")),
    (rules.roles_may_use_the_keys_of_their_data,
     lambda t: _statement_of(t, "OrderProcessorRole", "dynamodb.")["Action"].remove("kms:Encrypt")),
    (rules.roles_may_use_the_keys_of_their_data,
     lambda t: _statement_of(t, "OrderSimulatorRole", "sqs.").pop("Condition")),
    (rules.services_may_use_the_keys_of_their_data, lambda t: _drop_from_key_policy(t, '"logs."')),
]  # fmt: skip
REPORT_KEY_BREAKAGES: list[tuple[rules.Rule, Breakage]] = [
    (rules.services_may_use_the_keys_of_their_data, lambda t: _drop_from_key_policy(t, "sns.amazonaws.com")),
    (rules.roles_may_use_the_keys_of_their_data,
     lambda t: _statement_of(t, "DailyReport", "sqs.").update(Effect="Deny")),
    (rules.roles_may_use_the_keys_of_their_data,
     lambda t: _statement_of(t, "SalesReportRole", "sqs.").update(Effect="Deny")),
]  # fmt: skip


def _letting_sns_in(template: Template) -> Any:
    policy = the_only(template, "AWS::SQS::QueuePolicy", "SalesQueue")["PolicyDocument"]
    return next(statement for statement in policy["Statement"] if statement["Effect"] == "Allow")


REPORT_BREAKAGES: list[tuple[rules.Rule, Breakage]] = [
    (rules.permissions_have_no_wildcard, _drop_the_denial_to_code),
    (rules.queues_topics_and_buckets_take_tls_only, lambda t: _statements(t, "AWS::S3::BucketPolicy").pop(0)),
    (rules.dead_letters_raise_an_alarm, lambda t: _unwatch(t, "FailedReports")),
    (rules.dead_letters_raise_an_alarm, lambda t: _unwatch(t, "MissedReports")),
    (rules.dead_letters_raise_an_alarm, lambda t: _unwatch(t, "SalesDeadLetters")),
    (rules.subscribed_queues_have_an_end_for_failures,
     lambda t: _first(t, "AWS::SNS::Subscription").pop("RedrivePolicy")),
    (rules.schedules_have_an_end_for_failures,
     lambda t: _first(t, "AWS::Scheduler::Schedule")["Target"].pop("DeadLetterConfig")),
    (rules.schedules_have_an_end_for_failures,
     lambda t: _first(t, "AWS::Scheduler::Schedule")["Target"].pop("RetryPolicy")),
    (rules.schedules_have_an_end_for_failures, _forbid_the_schedule_its_queue),
    (rules.schedules_have_an_end_for_failures,
     lambda t: _first(t, "AWS::Scheduler::Schedule")["Target"]["RetryPolicy"].update(MaximumRetryAttempts=0)),
    (rules.what_starts_functions_is_switched_on,
     lambda t: _first(t, "AWS::Scheduler::Schedule").update(State="DISABLED")),
    (rules.asynchronous_invocations_have_an_end_for_failures,
     lambda t: the_only(t, "AWS::Lambda::EventInvokeConfig", "SalesReportEventInvoke").pop("DestinationConfig")),
    (rules.asynchronous_invocations_have_an_end_for_failures,
     lambda t: _add(t, "AWS::SNS::Subscription", Protocol="lambda", Endpoint={"Fn::GetAtt": ["SalesRecorder", "Arn"]})),
    (rules.functions_are_invoked_by_one_source, lambda t: _first(t, "AWS::Lambda::Permission").pop("SourceArn")),
    (rules.functions_are_invoked_by_one_source,
     lambda t: _first(t, "AWS::Lambda::Permission").update(Principal="111122223333")),
    (rules.resource_policies_let_in_this_account_only, lambda t: _letting_sns_in(t).pop("Condition")),
    (rules.resource_policies_let_in_this_account_only, lambda t: _letting_sns_in(t).update(Principal={"AWS": "*"})),
    (rules.resource_policies_let_in_this_account_only,
     lambda t: _letting_sns_in(t)["Condition"]["ArnEquals"].update({"aws:SourceArn": "arn:aws:sns:*:*:*"})),
    (rules.resource_policies_let_in_this_account_only,
     lambda t: _statements(t, "AWS::S3::BucketPolicy").append(
         {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:GetObject"})),
    (rules.buckets_are_private_encrypted_and_versioned,
     lambda t: _bucket(t)["PublicAccessBlockConfiguration"].update(BlockPublicPolicy=False)),
    (rules.buckets_are_private_encrypted_and_versioned, lambda t: _bucket(t).pop("BucketEncryption")),
    (rules.buckets_are_private_encrypted_and_versioned, lambda t: _bucket(t).update(BucketEncryption={})),
    (rules.buckets_are_private_encrypted_and_versioned, lambda t: _bucket(t).update(AccessControl="PublicRead")),
    (rules.buckets_are_private_encrypted_and_versioned, lambda t: _bucket(t).pop("VersioningConfiguration")),
    (rules.buckets_are_private_encrypted_and_versioned, lambda t: _bucket(t).pop("LifecycleConfiguration")),
    (rules.databases_are_private_encrypted_and_backed_up, lambda t: _database(t).update(StorageEncrypted=False)),
    (rules.databases_are_private_encrypted_and_backed_up, lambda t: _database(t).pop("PubliclyAccessible")),
    (rules.databases_are_private_encrypted_and_backed_up, lambda t: _database(t).update(BackupRetentionPeriod=0)),
    (rules.databases_are_private_encrypted_and_backed_up,
     lambda t: _first(t, "AWS::RDS::DBParameterGroup")["Parameters"].pop("require_secure_transport")),
    (rules.security_groups_admit_groups_only,
     lambda t: the_only(t, "AWS::EC2::SecurityGroup", "DatabaseSG").update(
         SecurityGroupIngress=[{"CidrIp": "10.0.0.0/8", "IpProtocol": "tcp", "FromPort": 3306, "ToPort": 3306}])),
    (rules.security_groups_admit_groups_only,
     lambda t: _add(t, "AWS::EC2::SecurityGroupIngress", CidrIp="0.0.0.0/0", IpProtocol="-1")),
    (rules.security_groups_admit_groups_only,
     lambda t: the_only(t, "AWS::EC2::SecurityGroup", "LambdaSG").pop("SecurityGroupEgress")),
    *((rules.security_groups_admit_groups_only,
       lambda t, way=way: the_only(t, "AWS::EC2::SecurityGroup", "LambdaSG")["SecurityGroupEgress"].append(way))
      for way in ({"CidrIp": "0.0.0.0/1"}, {"CidrIpv6": "::/0"}, {"DestinationPrefixListId": "pl-1"})),
    (rules.security_groups_admit_groups_only,
     lambda t: _add(t, "AWS::EC2::SecurityGroupEgress", CidrIp="128.0.0.0/1", IpProtocol="-1")),
    (rules.networks_have_no_way_out, lambda t: _add(t, "AWS::EC2::NatGateway")),
    (rules.networks_have_no_way_out, lambda t: _first(t, "AWS::EC2::Subnet").update(MapPublicIpOnLaunch=True)),
    (rules.secrets_are_in_no_template_or_environment,
     lambda t: _first(t, "AWS::SecretsManager::Secret").update(SecretString="secret")),
    (rules.secrets_are_in_no_template_or_environment, lambda t: _database(t).update(MasterUserPassword="secret")),
    (rules.secrets_are_in_no_template_or_environment, lambda t: _variables(t).update({"DB_PASSWORD": "secret"})),
    *((rules.secrets_are_in_no_template_or_environment,
       lambda t, name=name, value=value: _variables(t).update({name: value}))
      for name, value in (("DB_PASS", "x"), ("SIGNING_KEY", "x"), ("DB_URL", "mysql://sales:x@db"),
                          ("WHO", "AKIA" + "Q" * 16), ("PEM", "-----BEGIN RSA PRIVATE KEY-----"),
                          ("HEADER", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."), ("MODE", "Zq7" * 12))),
    (rules.secrets_are_in_no_template_or_environment,
     lambda t: _variables(t).update(DB_USER="{{resolve:secretsmanager:Secret:SecretString:password}}")),
    (rules.secrets_are_in_no_template_or_environment,
     lambda t: _first(t, "AWS::SSM::Parameter").update(Value="{{resolve:secretsmanager:Secret}}")),
]  # fmt: skip


def _writing(template: Template) -> Any:
    """What lets CreateThumbnail write."""
    policy = the_only(template, "AWS::IAM::Policy", "CreateThumbnailRole")["PolicyDocument"]
    return next(statement for statement in policy["Statement"] if "s3:PutObject" in statement["Action"])


def _let_write(template: Template, *keys: str) -> None:
    """Lets CreateThumbnail write these keys (a pattern) of the bucket; without, everywhere."""
    bucket = next(iter(resources(template, "AWS::S3::Bucket")))
    arn = {"Fn::Join": ["", [{"Fn::GetAtt": [bucket, "Arn"]}, *(f"/{key}" for key in keys)]]}
    _writing(template)["Resource"] = arn if keys else "*"


def _letting_s3_in(template: Template) -> Any:
    policy = the_only(template, "AWS::SNS::TopicPolicy", "ResizeTopic")["PolicyDocument"]
    return next(statement for statement in policy["Statement"] if statement["Effect"] == "Allow")


def _let_read_and_write_originals(template: Template) -> None:
    policy = the_only(template, "AWS::IAM::Policy", "CreateThumbnailRole")["PolicyDocument"]
    reading = next(statement for statement in policy["Statement"] if "s3:GetObjectVersion" in statement["Action"])
    reading["Action"].append("s3:Put*")


IMAGE_BREAKAGES: list[tuple[rules.Rule, Breakage]] = [
    (rules.functions_write_nothing_that_starts_them, _let_write),
    (rules.functions_write_nothing_that_starts_them, lambda t: _let_write(t, "*")),
    (rules.functions_write_nothing_that_starts_them, lambda t: _let_write(t, "i*")),
    (rules.functions_write_nothing_that_starts_them, lambda t: _let_write(t, "ingest/small/*")),
    (rules.functions_write_nothing_that_starts_them, _let_read_and_write_originals),
    (rules.notified_topics_let_in_their_bucket_only, lambda t: _letting_s3_in(t).update(Effect="Deny")),
    (rules.notified_topics_let_in_their_bucket_only, lambda t: _letting_s3_in(t)["Condition"].pop("StringEquals")),
    (rules.notified_topics_let_in_their_bucket_only, lambda t: _letting_s3_in(t)["Condition"].pop("ArnEquals")),
    (rules.topics_have_a_key_that_publishers_may_use,
     lambda t: _first(t, "AWS::KMS::Key")["KeyPolicy"]["Statement"][1].update(
         Principal={"Service": ["cloudwatch.amazonaws.com"]})),
    (rules.dead_letters_raise_an_alarm, lambda t: _unwatch(t, "ThumbnailDeadLetters")),
    (rules.dead_letters_raise_an_alarm, lambda t: _unwatch(t, "MobileDeadLetters")),
]  # fmt: skip


def _group(template: Template) -> Any:
    return the_only(template, "AWS::CodeDeploy::DeploymentGroup", "DeploymentsOrderProcessor")


def _name_the_function(template: Template, resource_type: str, name_starts: str, *path: str) -> None:
    """Has what invokes a function by its alias name the function itself."""
    place = the_only(template, resource_type, name_starts)
    for step in path[:-1]:
        place = place[step]
    text = json.dumps(place[path[-1]])
    for name, alias in resources(template, "AWS::Lambda::Alias").items():
        text = text.replace(f'"{name}"', json.dumps(alias["FunctionName"]["Ref"]))
    place[path[-1]] = json.loads(text)


DEPLOYMENT_BREAKAGES: list[tuple[rules.Rule, Breakage]] = [
    (rules.aliases_are_moved_by_deployments_that_roll_back,
     lambda t: [resource.pop("UpdatePolicy", None) for resource in t["Resources"].values()]),
    (rules.aliases_are_moved_by_deployments_that_roll_back,
     lambda t: _group(t).update(DeploymentConfigName="CodeDeployDefault.LambdaAllAtOnce")),
    (rules.aliases_are_moved_by_deployments_that_roll_back,
     lambda t: _group(t)["AutoRollbackConfiguration"]["Events"].remove("DEPLOYMENT_STOP_ON_ALARM")),
    (rules.aliases_are_moved_by_deployments_that_roll_back, lambda t: _group(t).pop("AlarmConfiguration")),
    (rules.aliases_are_moved_by_deployments_that_roll_back,
     lambda t: the_only(t, "AWS::CloudWatch::Alarm", "AlarmsOrderProcessorNewVersion")["Dimensions"].pop(0)),
    (rules.nothing_goes_past_an_alias,
     lambda t: _name_the_function(t, "AWS::Lambda::EventSourceMapping", "OrdersMapping", "FunctionName")),
    (rules.visibility_outlasts_the_worker,
     lambda t: the_only(t, "AWS::SQS::Queue", "OrdersQueue").update(VisibilityTimeout=59)),
    (rules.sources_that_nobody_reads_raise_an_alarm, lambda t: _rename_metric(t, "IteratorAge")),
]  # fmt: skip
REPORT_DEPLOYMENT_BREAKAGES: list[tuple[rules.Rule, Breakage]] = [
    (rules.nothing_goes_past_an_alias,
     lambda t: _name_the_function(t, "AWS::Scheduler::Schedule", "DailyReport", "Target", "Arn")),
    (rules.nothing_goes_past_an_alias,
     lambda t: _name_the_function(t, "AWS::IAM::Policy", "SalesReportApiRole", "PolicyDocument", "Statement")),
    (rules.nothing_goes_past_an_alias,
     lambda t: _name_the_function(t, "AWS::ApiGateway::Method", "SalesReportRestApi", "Integration", "Uri")),
    (rules.nothing_goes_past_an_alias,
     lambda t: _name_the_function(t, "AWS::Lambda::Permission", "SalesReportRestApi", "FunctionName")),
    (rules.asynchronous_invocations_have_an_end_for_failures,
     lambda t: the_only(t, "AWS::Lambda::EventInvokeConfig", "SalesReportLive").pop("DestinationConfig")),
]  # fmt: skip
ALL_BREAKAGES = [
    *(("dev", {}, "dev-order-pipeline", *breakage) for breakage in BREAKAGES),
    *(("dev", {}, "dev-sales-report", *breakage) for breakage in REPORT_BREAKAGES),
    *(("dev", {}, "dev-image-fanout", *breakage) for breakage in IMAGE_BREAKAGES),
    *(("prod", CUSTOMER_MANAGED_KEYS, "prod-order-pipeline", *breakage) for breakage in KEY_BREAKAGES),
    *(("prod", CUSTOMER_MANAGED_KEYS, "prod-sales-report", *breakage) for breakage in REPORT_KEY_BREAKAGES),
    *(("prod", CUSTOMER_MANAGED_KEYS, "prod-order-pipeline", *breakage) for breakage in DEPLOYMENT_BREAKAGES),
    *(("prod", CUSTOMER_MANAGED_KEYS, "prod-sales-report", *breakage) for breakage in REPORT_DEPLOYMENT_BREAKAGES),
]


@pytest.mark.parametrize(
    ("stage", "overrides", "stack", "rule", "break_it"), ALL_BREAKAGES, ids=lambda value: getattr(value, "__name__", "")
)
def test_house_rule_fails_on_a_template_that_breaks_it(
    stage: str, overrides: dict[str, str], stack: str, rule: rules.Rule, break_it: Breakage
) -> None:
    template = copy.deepcopy(synthesise(stage, **overrides).templates[stack])
    assert not list(rule(template))
    break_it(template)
    assert list(rule(template))


def test_every_house_rule_is_shown_to_fail() -> None:
    assert {rule for *_, rule, _ in ALL_BREAKAGES} == set(rules.ALL)


def test_customer_managed_keys_are_for_all_data_by_setting_and_else_for_none() -> None:
    with_keys = synthesise("prod", **CUSTOMER_MANAGED_KEYS).templates
    without = synthesise("prod").templates
    assert with_keys.keys() == without.keys()
    for name, template in with_keys.items():
        if keyed := _keyed(template):
            assert keyed.keys() == _keyed(without[name]).keys()
            assert set(keyed.values()) == {json.dumps({"Fn::GetAtt": [_id_of_data_key(template), "Arn"]})}
            assert set(_keyed(without[name]).values()) == {"null"}
    assert not any(name.startswith("DataKey") for template in without.values() for name in template["Resources"])


def _keyed(template: Template) -> dict[str, str]:
    """The key of each table, queue and log group."""
    fields = {"AWS::SQS::Queue": "KmsMasterKeyId", "AWS::Logs::LogGroup": "KmsKeyId"}
    keys = {
        name: properties.get(field)
        for resource_type, field in fields.items()
        for name, properties in resources(template, resource_type).items()
    }
    for name, table in resources(template, "AWS::DynamoDB::Table").items():
        keys[name] = table.get("SSESpecification", {}).get("KMSMasterKeyId")
    return {name: json.dumps(key) for name, key in keys.items()}


def _id_of_data_key(template: Template) -> str:
    return next(name for name in resources(template, "AWS::KMS::Key") if name.startswith("DataKey"))


def test_a_table_that_may_be_deleted_is_not_kept() -> None:
    template = copy.deepcopy(synthesise("prod").templates["prod-order-pipeline"])
    assert not list(rules.data_is_kept(template))
    _first(template, "AWS::DynamoDB::Table").update(DeletionProtectionEnabled=False)
    assert list(rules.data_is_kept(template))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda t: t.update(DeletionPolicy="Delete"),
        lambda t: t.update(UpdateReplacePolicy="Delete"),
        lambda t: t["Properties"].update(DeletionProtection=False),
    ],
)
def test_a_database_without_protection_or_snapshot_is_not_kept(break_it: Breakage) -> None:
    template = copy.deepcopy(synthesise("prod").templates["prod-sales-report"])
    database = next(r for r in template["Resources"].values() if r["Type"] == "AWS::RDS::DBInstance")
    break_it(database)
    assert list(rules.data_is_kept(template))

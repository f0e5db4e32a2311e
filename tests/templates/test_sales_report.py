"""What the sales report's template must say and the local cloud cannot show."""

import json
from typing import Any

import pytest

from shop.sales_dead_letters import is_watch
from stacks.settings import STAGES, load_settings
from tests.templates.synthesis import Template, own_outputs, resources, synthesise, the_only

pytestmark = pytest.mark.xdist_group("templates")

OUTPUTS = {
    "SalesReportEndpoint", "SalesReportFunctionName", "SalesDataExtractorFunctionName", "SalesReportTopicArn",
    "DatabaseEndpointAddress", "DatabaseSecretArn", "SalesReportsBucketName", "SalesRecorderFunctionName",
    "SalesRecorderQueueUrl", "SalesRecorderDeadLetterQueueUrl", "FailedReportsQueueUrl", "MissedReportsQueueUrl",
    "ReportWatchFunctionName",
}  # fmt: skip
IN_VPC = {"SalesDataExtractor", "SalesRecorder", "DatabaseMigrator"}
OUTSIDE = {"SalesReport", "SalesReportApi", "ReportWatch", "DatabaseSetup"}
VARIABLES = {
    "SalesReport": {
        "SALES_REPORT_TOPIC_ARN", "DB_PARAMETER_PATH", "EXTRACTOR_FUNCTION_NAME", "SALES_REPORTS_BUCKET",
        "SHOP_TIME_ZONE",
    },
    "SalesReportApi": {"SALES_REPORT_FUNCTION_NAME", "SHOP_TIME_ZONE"},
    "ReportWatch": {"SALES_REPORTS_BUCKET", "SHOP_TIME_ZONE"},
    "SalesDataExtractor": {"SHOP_TIME_ZONE", "QUERY_SECONDS"},
    "SalesRecorder": {"DB_URL", "DB_NAME", "DB_USER"},
    "DatabaseMigrator": set(),
    "DatabaseSetup": {
        "MIGRATOR_FUNCTION_NAME", "DATABASE_SECRET_ARN", "DB_URL", "DB_NAME", "EXTRACTOR_USER", "RECORDER_USER",
        "SAMPLE_DATA", "SHOP_TIME_ZONE",
    },
}  # fmt: skip
SECRET_VARIABLES = {
    "SalesReport": {"EXTRACTOR_SECRET_ARN"},
    "SalesRecorder": {"DB_SECRET_ARN"},
    "DatabaseSetup": {"EXTRACTOR_SECRET_ARN", "RECORDER_SECRET_ARN"},
}
ZONED = {"SalesReport", "SalesReportApi", "SalesDataExtractor", "DatabaseMigrator", "ReportWatch"}
"""Those whose packages bring time zones."""
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
ATTACHING = {
    "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
}  # fmt: skip


def report(stage: str = "dev", **overrides: str) -> Template:
    return synthesise(stage, **overrides).templates[f"{stage}-sales-report"]


@pytest.fixture
def template() -> Template:
    return report()


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_are_those_that_others_rely_on(stage: str) -> None:
    assert set(own_outputs(report(stage))) == OUTPUTS


# Network


@pytest.mark.parametrize("stage", STAGES)
def test_subnets_are_in_two_zones_and_routed_nowhere(stage: str) -> None:
    template = report(stage)
    subnets = resources(template, "AWS::EC2::Subnet").values()
    zones = [subnet["AvailabilityZone"]["Fn::Select"][0] for subnet in subnets]
    assert sorted(zones) == [0, 1]
    assert not resources(template, "AWS::EC2::Route")
    assert not resources(template, "AWS::EC2::VPCEndpoint")


@pytest.mark.parametrize("stage", STAGES)
def test_the_database_admits_mariadb_from_the_functions_group_only(stage: str) -> None:
    template = report(stage)
    group = the_only(template, "AWS::EC2::SecurityGroup", "DatabaseSG")
    (rule,) = group["SecurityGroupIngress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 3306, 3306)
    assert _target(rule["SourceSecurityGroupId"]).startswith("LambdaSG")
    assert not resources(template, "AWS::EC2::SecurityGroupIngress")  # the emulator takes none
    assert _target(the_only(template, "AWS::RDS::DBInstance")["VPCSecurityGroups"][0]).startswith("DatabaseSG")


def test_the_database_reaches_nothing(template: Template) -> None:
    (rule,) = the_only(template, "AWS::EC2::SecurityGroup", "DatabaseSG")["SecurityGroupEgress"]
    assert rule["CidrIp"] == "255.255.255.255/32"  # the CDK's way to write nothing: without a rule, AWS lets all out


def test_functions_reach_mariadb_in_the_vpc_only(template: Template) -> None:
    group = the_only(template, "AWS::EC2::SecurityGroup", "LambdaSG")
    (rule,) = group["SecurityGroupEgress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 3306, 3306)
    assert rule["CidrIp"] == {"Fn::GetAtt": [next(iter(resources(template, "AWS::EC2::VPC"))), "CidrBlock"]}
    assert "SecurityGroupIngress" not in group


def test_only_what_talks_to_the_database_is_in_its_network(template: Template) -> None:
    functions = {_name(name): function for name, function in resources(template, "AWS::Lambda::Function").items()}
    assert {name for name, function in functions.items() if "VpcConfig" in function} == IN_VPC
    assert functions.keys() == IN_VPC | OUTSIDE
    for name in IN_VPC:
        config = functions[name]["VpcConfig"]
        assert [_target(group)[:8] for group in config["SecurityGroupIds"]] == ["LambdaSG"]
        assert {subnet["Ref"] for subnet in config["SubnetIds"]} == set(resources(template, "AWS::EC2::Subnet"))


@pytest.mark.parametrize(("setting", "count"), [("true", 1), ("false", 0)])
def test_flow_logs_are_as_the_setting_says(setting: str, count: int) -> None:
    assert len(resources(report(vpc_flow_logs=setting), "AWS::EC2::FlowLog")) == count


# Database


@pytest.mark.parametrize("stage", STAGES)
def test_database_is_as_the_settings_say(stage: str) -> None:
    settings = load_settings({"stage": stage})
    database = the_only(report(stage), "AWS::RDS::DBInstance")
    assert (database["Engine"], database["EngineVersion"].rpartition(".")[0]) == ("mariadb", "11.4")
    assert database["DBInstanceClass"] == f"db.{settings.database_instance_type}"
    assert database["MultiAZ"] is settings.database_multi_az
    assert database["DeletionProtection"] is settings.keep_data
    assert database["BackupRetentionPeriod"] == settings.database_backup_days
    assert database["AllocatedStorage"] == str(settings.database_storage_gb)
    assert database["StorageType"] == "gp3"
    assert database["EnableIAMDatabaseAuthentication"] is True
    assert database["CACertificateIdentifier"] == "rds-ca-rsa2048-g1"
    assert (database["DBName"], database["MasterUsername"]) == ("cafe", "shop_admin")
    assert database["CopyTagsToSnapshot"] is True
    assert database["AutoMinorVersionUpgrade"] is True


def test_prod_is_in_two_zones_and_leaves_a_snapshot() -> None:
    template = report("prod")
    database = next(r for r in template["Resources"].values() if r["Type"] == "AWS::RDS::DBInstance")
    assert database["Properties"]["MultiAZ"] is True
    assert database["DeletionPolicy"] == "Snapshot"


def test_parameters_let_the_schema_in_and_plain_connections_out(template: Template) -> None:
    group = the_only(template, "AWS::RDS::DBParameterGroup")
    assert group["Family"] == "mariadb11.4"
    assert group["Parameters"] == {
        "require_secure_transport": "1",
        "log_bin_trust_function_creators": "1",
        "character_set_server": "utf8mb4",
        "time_zone": "UTC",
    }


def test_where_and_as_whom_to_read_is_in_parameter_store(template: Template) -> None:
    parameters = {p["Name"]: (p["Type"], p["Value"]) for p in resources(template, "AWS::SSM::Parameter").values()}
    assert parameters.keys() == {"/dev/cafe/dbUrl", "/dev/cafe/dbName", "/dev/cafe/dbUser"}
    assert {kind for kind, _ in parameters.values()} == {"String"}
    assert parameters["/dev/cafe/dbName"][1] == "cafe"
    assert parameters["/dev/cafe/dbUser"][1] == "sales_reader"
    assert parameters["/dev/cafe/dbUrl"][1] == _variables(template, "SalesRecorder")["DB_URL"]
    host, colon, port = parameters["/dev/cafe/dbUrl"][1]["Fn::Join"][1]
    assert [host["Fn::GetAtt"][1], colon, port["Fn::GetAtt"][1]] == ["Endpoint.Address", ":", "Endpoint.Port"]


# Migration


def test_custom_resource_has_a_revision_and_no_secret(template: Template) -> None:
    migration = the_only(template, "Custom::DatabaseMigration")
    assert migration.keys() == {"ServiceToken", "ServiceTimeout", "Revision"}
    assert _target(migration["ServiceToken"]).startswith("DatabaseSetup")
    digest, resource_id = migration["Revision"]["Fn::Join"][1]
    assert len(digest) == 65
    assert resource_id["Fn::GetAtt"][1] == "DbiResourceId"


@pytest.mark.parametrize("change", [{"sample_data": "false"}, {"time_zone": "Europe/Vienna"}])
def test_revision_changes_with_what_the_migration_takes(change: dict[str, str]) -> None:
    assert _revision(report(**change)) != _revision(report())


@pytest.mark.parametrize("change", [{"report_schedule": "rate(1 day)"}, {"sales_recorder_memory_mb": "1024"}])
def test_revision_stays_where_the_migration_takes_nothing_new(change: dict[str, str]) -> None:
    assert _revision(report(**change)) == _revision(report())


def test_timeouts_of_the_migration_are_nested(template: Template) -> None:
    migrator = the_only(template, "AWS::Lambda::Function", "DatabaseMigrator")["Timeout"]
    setup = the_only(template, "AWS::Lambda::Function", "DatabaseSetup")["Timeout"]
    assert migrator < setup <= 900 < int(the_only(template, "Custom::DatabaseMigration")["ServiceTimeout"]) <= 3600


def test_lambda_does_not_repeat_a_migration(template: Template) -> None:
    config = the_only(template, "AWS::Lambda::EventInvokeConfig", "DatabaseSetup")
    assert config["MaximumRetryAttempts"] == 0
    migration = template["Resources"]["DatabaseMigration"]
    assert any(name.startswith("DatabaseSetupEventInvokeConfig") for name in migration["DependsOn"])


@pytest.mark.parametrize(
    ("resource_type", "name"),
    [
        ("AWS::Lambda::Function", "SalesRecorder"),
        ("AWS::Lambda::Function", "SalesDataExtractor"),
        ("AWS::Scheduler::Schedule", "DailyReport"),
    ],
)
def test_what_needs_the_schema_comes_after_the_migration(template: Template, resource_type: str, name: str) -> None:
    (resource,) = [
        resource
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == resource_type and logical_id.startswith(name)
    ]
    assert "DatabaseMigration" in resource["DependsOn"]


# Functions and what they may do


@pytest.mark.parametrize("stage", STAGES)
def test_functions_get_the_environment_they_rely_on(stage: str) -> None:
    template = report(stage)
    settings = load_settings({"stage": stage})
    for name, expected in VARIABLES.items():
        more = SECRET_VARIABLES.get(name, set()) if settings.database_sign_in == "password" else set()
        zones = {"PYTHONTZPATH"} if settings.build_for == "aws" and name in ZONED else set()
        assert _variables(template, name).keys() == expected | more | zones | {"SHOP_STAGE"}, name


def test_time_zones_are_read_where_lambda_unpacks_the_package() -> None:
    assert _variables(report(), "SalesDataExtractor")["PYTHONTZPATH"] == "/var/task/tzdata/zoneinfo"


def test_values_of_the_environment_are_what_the_settings_say() -> None:
    template = report(time_zone="Europe/Vienna", report_query_seconds="33", sample_data="false")
    for name in ("SalesReport", "SalesReportApi", "SalesDataExtractor", "DatabaseSetup"):
        assert _variables(template, name)["SHOP_TIME_ZONE"] == "Europe/Vienna"
    assert _variables(template, "SalesDataExtractor")["QUERY_SECONDS"] == "33"
    assert _variables(template, "DatabaseSetup")["SAMPLE_DATA"] == "false"
    assert _variables(report(), "DatabaseSetup")["SAMPLE_DATA"] == "true"
    setup = _variables(template, "DatabaseSetup")
    assert (setup["EXTRACTOR_USER"], setup["RECORDER_USER"]) == ("sales_reader", "sales_recorder")
    assert _variables(template, "SalesRecorder")["DB_USER"] == "sales_recorder"


@pytest.mark.parametrize("stage", STAGES)
def test_each_waits_for_the_next_one_and_not_the_other_way_round(stage: str) -> None:
    template = report(stage)
    query = int(_variables(template, "SalesDataExtractor")["QUERY_SECONDS"])
    extractor = the_only(template, "AWS::Lambda::Function", "SalesDataExtractor")["Timeout"]
    assert query < extractor < _function(template, "SalesReport")["Timeout"]


def test_functions_sign_in_by_iam_as_exactly_their_user(template: Template) -> None:
    for function, user in (("SalesDataExtractor", "sales_reader"), ("SalesRecorder", "sales_recorder")):
        (resource,) = _allowed(template, function)["rds-db:connect"]
        *_, kind, resource_id, name = resource["Fn::Join"][1]
        assert (kind, name) == (":dbuser:", f"/{user}")
        assert resource_id["Fn::GetAtt"][1] == "DbiResourceId"


@pytest.mark.parametrize(
    ("function", "actions"),
    [
        ("SalesDataExtractor", ATTACHING | {"rds-db:connect"}),
        ("SalesRecorder",
         ATTACHING | {"rds-db:connect", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}),
        ("DatabaseMigrator", ATTACHING),
        ("DatabaseSetup", {"lambda:InvokeFunction", "secretsmanager:GetSecretValue"}),
        ("SalesReportApi", {"lambda:InvokeFunction"}),
        ("ReportWatch", {"s3:GetObject", "s3:ListBucket"}),
        ("SalesReport",
         {"lambda:InvokeFunction", "ssm:GetParametersByPath", "s3:PutObject", "sns:Publish", "kms:Decrypt",
          "kms:GenerateDataKey", "sqs:SendMessage"}),
    ],
)  # fmt: skip
def test_functions_may_do_exactly_this(template: Template, function: str, actions: set[str]) -> None:
    assert _allowed(template, function).keys() == actions | LOGS | TRACES


def test_functions_may_do_it_on_exactly_these(template: Template) -> None:
    assert _targets(template, "SalesReport", "lambda:InvokeFunction") == {"SalesDataExtractor"}
    assert _targets(template, "SalesReportApi", "lambda:InvokeFunction") == {"SalesReport"}
    assert _targets(template, "DatabaseSetup", "lambda:InvokeFunction") == {"DatabaseMigrator"}
    assert _targets(template, "DatabaseSetup", "secretsmanager:GetSecretValue") == {"DatabaseSecretAttachment"}
    assert _targets(template, "SalesReport", "sns:Publish") == {"SalesReportTopic"}
    assert _targets(template, "SalesReport", "sqs:SendMessage") == {"FailedReports"}
    assert _targets(template, "SalesRecorder", "sqs:ReceiveMessage") == {"SalesQueue"}
    written = {objects["Fn::Join"][1][1] for objects in _allowed(template, "SalesReport")["s3:PutObject"]}
    assert written == {"/reports/*", "/mailed/*"}
    (looked_for,) = _allowed(template, "ReportWatch")["s3:GetObject"]
    assert looked_for["Fn::Join"][1][1] == "/mailed/*"
    paths = [path["Fn::Join"][1][-1] for path in _allowed(template, "SalesReport")["ssm:GetParametersByPath"]]
    assert paths == [":parameter/dev/cafe", ":parameter/dev/cafe/"]


def test_code_in_the_vpc_is_denied_what_lambda_needs(template: Template) -> None:
    for function in IN_VPC:
        (denial,) = [s for s in _statements(template, function) if s["Effect"] == "Deny"]
        assert set(denial["Action"]) == ATTACHING
        assert denial["Resource"] == "*"
        assert denial["Condition"]["ArnLike"].keys() == {"lambda:SourceFunctionArn"}


def test_no_function_has_a_managed_policy(template: Template) -> None:
    assert not [name for name, role in resources(template, "AWS::IAM::Role").items() if "ManagedPolicyArns" in role]


def test_by_password_each_secret_has_its_readers_and_nobody_signs_in_by_iam() -> None:
    template = report("local")
    reading = {
        function: _targets(template, function, "secretsmanager:GetSecretValue")
        for function in IN_VPC | OUTSIDE
        if "secretsmanager:GetSecretValue" in _allowed(template, function)
    }
    assert reading == {
        "SalesReport": {"ExtractorSecret"},
        "SalesRecorder": {"RecorderSecret"},
        "DatabaseSetup": {"DatabaseSecretAttachment", "ExtractorSecret", "RecorderSecret"},
    }
    assert not [function for function in IN_VPC | OUTSIDE if "rds-db:connect" in _allowed(template, function)]


def test_by_iam_the_users_have_no_secrets(template: Template) -> None:
    [master] = resources(template, "AWS::SecretsManager::Secret")
    assert "DatabaseSecret" in master  # with a hash of its rule, so that another rule makes another secret


# Recording


def test_announcements_come_raw_to_the_recorders_queue(template: Template) -> None:
    subscription = the_only(template, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["RawMessageDelivery"]) == ("sqs", True)
    assert "OrderTopic" in subscription["TopicArn"]["Fn::ImportValue"]
    assert _target(subscription["Endpoint"]).startswith("SalesQueue")
    assert _target(subscription["RedrivePolicy"]["deadLetterTargetArn"]).startswith("SalesDeadLetters")
    assert "FilterPolicy" not in subscription


def test_only_the_order_topic_may_send_to_the_recorders_queues(template: Template) -> None:
    topic = the_only(template, "AWS::SNS::Subscription")["TopicArn"]
    for queue in ("SalesQueuePolicy", "SalesDeadLettersPolicy"):
        statements = the_only(template, "AWS::SQS::QueuePolicy", queue)["PolicyDocument"]["Statement"]
        (allowed,) = [statement for statement in statements if statement["Effect"] == "Allow"]
        assert allowed["Principal"] == {"Service": "sns.amazonaws.com"}
        assert allowed["Action"] == "sqs:SendMessage"
        assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": topic}}


@pytest.mark.parametrize("stage", STAGES)
def test_recorder_takes_batches_of_ten_with_bounded_concurrency(stage: str) -> None:
    mapping = the_only(report(stage), "AWS::Lambda::EventSourceMapping")
    assert mapping["BatchSize"] == 10
    assert mapping["ScalingConfig"] == {
        "MaximumConcurrency": load_settings({"stage": stage}).sales_recorder_max_concurrency
    }


def test_local_stage_dead_letters_within_a_minute() -> None:
    queue = the_only(report("local"), "AWS::SQS::Queue", "SalesQueue")
    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] < 60


@pytest.mark.parametrize("stage", STAGES)
def test_stacks_depend_on_the_pipeline_and_not_the_other_way_round(stage: str) -> None:
    artifacts = json.loads((synthesise(stage).folder / "manifest.json").read_text())["artifacts"]
    assert f"{stage}-order-pipeline" in artifacts[f"{stage}-sales-report"]["dependencies"]
    assert f"{stage}-sales-report" not in artifacts[f"{stage}-order-pipeline"]["dependencies"]
    assert "Fn::ImportValue" not in json.dumps(synthesise(stage).templates[f"{stage}-order-pipeline"])


# Schedule, failures, request


def test_schedules_are_as_the_settings_say() -> None:
    due = {"DailyReport": "cron(30 4 ? * MON-FRI *)", "ReportDue": "cron(30 7 ? * MON-FRI *)"}
    template = report(report_schedule=due["DailyReport"], report_due=due["ReportDue"], time_zone="Europe/Vienna")
    targets = {"DailyReport": "SalesReport", "ReportDue": "ReportWatch"}
    for name, expression in due.items():
        schedule = the_only(template, "AWS::Scheduler::Schedule", name)
        assert schedule["ScheduleExpression"] == expression
        assert schedule["ScheduleExpressionTimezone"] == "Europe/Vienna"
        assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
        assert _name(_target(schedule["Target"]["Arn"])) == targets[name]
        assert _target(schedule["Target"]["DeadLetterConfig"]["Arn"]).startswith("MissedReports")


def test_schedules_role_may_start_the_report_and_send_to_its_dead_letters(template: Template) -> None:
    statements = the_only(template, "AWS::IAM::Policy", "DailyReport")["PolicyDocument"]["Statement"]
    assert [(s["Action"], _name(_target(s["Resource"]))) for s in statements] == [
        ("lambda:InvokeFunction", "SalesReport"),
        ("sqs:SendMessage", "MissedReports"),
    ]
    role = the_only(template, "AWS::IAM::Role", "DailyReportRole")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert trust["Condition"]["StringEquals"]["aws:SourceArn"]["Fn::Join"][1][-1] == ":schedule-group/default"


def test_a_look_that_was_missed_is_told_apart_from_a_missed_report(template: Template) -> None:
    inputs = {
        _name(name): schedule["Target"]["Input"]
        for name, schedule in resources(template, "AWS::Scheduler::Schedule").items()
    }
    assert {name: is_watch(body) for name, body in inputs.items()} == {
        "DailyReportSchedule": False,
        "ReportDueSchedule": True,
    }
    assert {json.loads(body)["scheduled_time"] for body in inputs.values()} == {"<aws.scheduler.scheduled-time>"}


def test_an_alarm_hears_of_a_report_that_was_not_mailed_and_one_look_is_enough(template: Template) -> None:
    alarm = the_only(template, "AWS::CloudWatch::Alarm", "AlarmsSalesReportNotSent")
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/Lambda", "Errors", "Sum")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert [_name(_target(dimension["Value"])) for dimension in alarm["Dimensions"]] == ["ReportWatch"]
    assert the_only(template, "AWS::Lambda::EventInvokeConfig", "ReportWatch")["MaximumRetryAttempts"] == 0


@pytest.mark.parametrize(
    ("stage", "connections"),
    [("dev", 2 * 5 + 10), ("prod", 2 * 20 + 10)],
)
def test_alarms_watch_what_the_database_may_run_out_of(stage: str, connections: int) -> None:
    template = report(stage)
    found = {
        alarm["MetricName"]: (
            alarm["ComparisonOperator"], alarm["Threshold"], alarm["Statistic"], alarm["EvaluationPeriods"],
        )
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "AWS/RDS"
    }  # fmt: skip
    assert found == {
        "FreeStorageSpace": ("LessThanThreshold", pytest.approx(2 * 1024**3), "Minimum", 6),
        "CPUUtilization": ("GreaterThanThreshold", 80, "Average", 3),
        "DatabaseConnections": ("GreaterThanThreshold", connections, "Maximum", 3),
    }


def test_a_failed_report_is_tried_twice_more_and_kept(template: Template) -> None:
    config = the_only(template, "AWS::Lambda::EventInvokeConfig", "SalesReport")
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (2, 21_600)
    assert _target(config["DestinationConfig"]["OnFailure"]["Destination"]).startswith("FailedReports")


def test_an_alarm_hears_of_any_failed_report(template: Template) -> None:
    alarm = the_only(template, "AWS::CloudWatch::Alarm", "AlarmsSalesReportFails")
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/Lambda", "Errors", "Sum")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert [_name(_target(dimension["Value"])) for dimension in alarm["Dimensions"]] == ["SalesReport"]


def test_request_is_a_signed_post_to_the_starter(template: Template) -> None:
    method = the_only(template, "AWS::ApiGateway::Method")
    assert (method["HttpMethod"], method["AuthorizationType"]) == ("POST", "AWS_IAM")
    assert method["Integration"]["Type"] == "AWS_PROXY"
    assert the_only(template, "AWS::ApiGateway::Resource")["PathPart"] == "report"
    assert any("SalesReportApi" in _target(part) for part in method["Integration"]["Uri"]["Fn::Join"][1])
    permission = the_only(template, "AWS::Lambda::Permission")
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert permission["SourceArn"]["Fn::Join"][1][-1] == "/POST/report"


def test_refusals_of_the_gateway_read_like_the_functions(template: Template) -> None:
    def answers(of: Template) -> dict[str, str]:
        found = resources(of, "AWS::ApiGateway::GatewayResponse").values()
        return {answer["ResponseType"]: answer["ResponseTemplates"]["application/json"] for answer in found}

    assert answers(template) == answers(synthesise("dev").templates["dev-order-service"])
    assert answers(template)


@pytest.mark.parametrize("stage", STAGES)
def test_gateway_throttles_as_settings_say(stage: str) -> None:
    settings = load_settings({"stage": stage})
    throttle = the_only(report(stage), "AWS::ApiGateway::Stage")["MethodSettings"][0]
    assert throttle["ThrottlingRateLimit"] == settings.report_api_requests_per_second
    assert throttle["ThrottlingBurstLimit"] == settings.report_api_burst


def test_reports_are_mailed_to_whom_the_settings_name() -> None:
    template = report(report_emails="a@example.com,b@example.com")
    mails = [s for s in resources(template, "AWS::SNS::Subscription").values() if s["Protocol"] == "email"]
    assert {mail["Endpoint"] for mail in mails} == {"a@example.com", "b@example.com"}
    assert {_name(mail["TopicArn"]["Ref"]) for mail in mails} == {"SalesReportTopic"}


def test_old_versions_of_a_report_go_when_the_settings_say() -> None:
    bucket = the_only(report(report_old_versions_days="12"), "AWS::S3::Bucket")
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 12}
    assert "ExpirationInDays" not in rule


def _name(logical_id: str) -> str:
    """The construct id, from a logical id that ends in the CDK's hash of eight digits."""
    return logical_id[:-8]


def _target(value: Any) -> str:
    """The logical id that a Ref or GetAtt is about; nothing for anything else."""
    if not isinstance(value, dict):
        return ""
    return str(value.get("Ref") or value.get("Fn::GetAtt", [""])[0])


def _function(template: Template, name: str) -> dict[str, Any]:
    found = {
        _name(logical_id): function for logical_id, function in resources(template, "AWS::Lambda::Function").items()
    }
    return found[name]


def _variables(template: Template, function: str) -> dict[str, Any]:
    return dict(_function(template, function).get("Environment", {}).get("Variables", {}))


def _revision(template: Template) -> str:
    return json.dumps(the_only(template, "Custom::DatabaseMigration")["Revision"])


def _statements(template: Template, function: str) -> list[dict[str, Any]]:
    """What the policy of the function's role says."""
    policy = the_only(template, "AWS::IAM::Policy", f"{function}Role")
    return list(policy["PolicyDocument"]["Statement"])


def _allowed(template: Template, function: str) -> dict[str, list[Any]]:
    """The function's allowed actions, each with its resources."""
    allowed: dict[str, list[Any]] = {}
    for statement in _statements(template, function):
        if statement["Effect"] == "Allow":
            for action in _as_list(statement["Action"]):
                allowed.setdefault(action, []).extend(_as_list(statement["Resource"]))
    return allowed


def _targets(template: Template, function: str, action: str) -> set[str]:
    return {_name(_target(resource)) for resource in _allowed(template, function)[action]}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

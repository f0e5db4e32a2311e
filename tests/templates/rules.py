"""The house rules: what holds for every resource of every stack, each rule a function from a template to findings."""

import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.templates.synthesis import Template, resources

Rule = Callable[[Template], Iterator[str]]

_RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
_FUNCTION = "AWS::Lambda::Function"
_ALIAS = "AWS::Lambda::Alias"
_MAPPING = "AWS::Lambda::EventSourceMapping"
_QUEUE = "AWS::SQS::Queue"
_TOPIC = "AWS::SNS::Topic"
_PHYSICAL_NAMES = {
    "AWS::SQS::Queue": "QueueName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::IAM::Role": "RoleName",
}
_KEEPS_DATA = {
    "AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Logs::LogGroup",
    "AWS::KMS::Key", "AWS::SecretsManager::Secret",
}  # fmt: skip
_WITHOUT_NARROWER_RESOURCE = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
_ATTACHES_TO_A_VPC = {
    "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
}  # fmt: skip
"""What the Lambda service needs of a function's role on every resource (AWS Lambda Developer Guide, VPC access)."""
_DATABASE = "AWS::RDS::DBInstance"
_SCHEDULE = "AWS::Scheduler::Schedule"
_KEY = "AWS::KMS::Key"
_TABLE = "AWS::DynamoDB::Table"
_LOG_GROUP = "AWS::Logs::LogGroup"
_KEY_OF = {_QUEUE: "KmsMasterKeyId", _TABLE: "SSESpecification", _LOG_GROUP: "KmsKeyId"}
"""Where resources with data name their key."""
_READS_ITEMS = {"kms:Decrypt", "kms:DescribeKey"}
_WRITES_ITEMS = _READS_ITEMS | {"kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"}
_WRITING = {"dynamodb:PartiQLInsert", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
_BUCKET = "AWS::S3::Bucket"
_RESOURCE_POLICIES = (
    "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::S3::BucketPolicy", "AWS::SecretsManager::ResourcePolicy",
)  # fmt: skip
_API_GATEWAYS_LOG_POLICY = ':iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"]]}]'
_NOTIFICATIONS = "Custom::BucketNotifications"
_S3 = "s3.amazonaws.com"


def log_groups_have_retention(template: Template) -> Iterator[str]:
    """Every log group drops its events after a set time."""
    for name, group in resources(template, "AWS::Logs::LogGroup").items():
        if not group.get("RetentionInDays"):
            yield f"{name}: no retention"


def functions_log_as_json_to_a_declared_group(template: Template) -> Iterator[str]:
    """Every function writes JSON logs to a log group of the stack, so that retention holds from the first line."""
    for name, function in resources(template, _FUNCTION).items():
        logging = function.get("LoggingConfig", {})
        group = logging.get("LogGroup", {}).get("Ref")
        if logging.get("LogFormat") != "JSON" or group not in resources(template, "AWS::Logs::LogGroup"):
            yield f"{name}: {logging}"


def functions_are_traced(template: Template) -> Iterator[str]:
    """Every function is traced by X-Ray."""
    for name, function in resources(template, _FUNCTION).items():
        if function.get("TracingConfig", {}).get("Mode") != "Active":
            yield f"{name}: not traced"


def functions_have_roles_of_their_own(template: Template) -> Iterator[str]:
    """No two functions share a role."""
    owners: dict[str, str] = {}
    for name, function in resources(template, _FUNCTION).items():
        role = json.dumps(function["Role"])
        if role in owners:
            yield f"{name}: has the role of {owners[role]}"
        owners[role] = name


def functions_reserve_no_concurrency(template: Template) -> Iterator[str]:
    """Concurrency is bounded at the event source; a reserve would throttle, and throttled receives count."""
    for name, function in resources(template, _FUNCTION).items():
        if "ReservedConcurrentExecutions" in function:
            yield f"{name}: reserves {function['ReservedConcurrentExecutions']}"


def permissions_have_no_wildcard(template: Template) -> Iterator[str]:
    """No role may do `service:*`, nor anything to `*`, or in any region or account, where AWS takes something narrower.

    What attaches a function to a VPC may stand on `*` where the same policy denies it to the function's own code.
    """
    denied = _denied_to_code(template)
    for name, statement in _identity_statements(template):
        actions = _as_list(statement["Action"])
        if statement["Effect"] == "Deny":
            continue
        if any(re.search(r"[*?]", action) for action in actions):
            yield f"{name}: {actions}"
        if wide := [resource for resource in _as_list(statement["Resource"]) if _is_of_anybody(resource)]:
            yield f"{name}: {actions} on {wide}"
        on_all = _WITHOUT_NARROWER_RESOURCE | (_ATTACHES_TO_A_VPC & denied.get(name, set()))
        if "*" in _as_list(statement["Resource"]) and not set(actions) <= on_all:
            yield f"{name}: {actions} on every resource"


def mappings_answer_with_the_failed_ones(template: Template) -> Iterator[str]:
    """Every event source mapping takes partial batch responses."""
    for name, mapping in resources(template, _MAPPING).items():
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name}: no partial batch responses"


def mappings_have_an_end_for_failures(template: Template) -> Iterator[str]:
    """A queue's mapping has three tries and then a dead-letter queue; a stream's has bounds (-1 is none) and an end."""
    queues = resources(template, _QUEUE)
    for name, mapping in resources(template, _MAPPING).items():
        source = _reference(mapping["EventSourceArn"])
        if source in queues:
            tries = queues[source].get("RedrivePolicy", {}).get("maxReceiveCount")
            if tries != _TRIES:
                yield f"{name}: its queue has no dead-letter queue, or one after {tries} tries"
            continue
        bounds = {"MaximumRetryAttempts", "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError"}
        missing = {bound for bound in bounds if mapping.get(bound, -1) == -1}
        if missing or not mapping.get("DestinationConfig", {}).get("OnFailure"):
            yield f"{name}: without {sorted(missing)} or a failure destination"


def what_starts_functions_is_switched_on(template: Template) -> Iterator[str]:
    """No mapping is disabled and no schedule: what they should start would only be missed."""
    for name, mapping in resources(template, _MAPPING).items():
        if mapping.get("Enabled", True) is not True:
            yield f"{name}: disabled"
    for name, schedule in resources(template, _SCHEDULE).items():
        if schedule.get("State", "ENABLED") != "ENABLED":
            yield f"{name}: disabled"


def visibility_outlasts_the_worker(template: Template) -> Iterator[str]:
    """A queue's visibility timeout is at least six timeouts of its function (AWS Lambda, SQS event sources)."""
    queues, functions = resources(template, _QUEUE), resources(template, _FUNCTION)
    for mapping in resources(template, _MAPPING).values():
        source = _reference(mapping["EventSourceArn"])
        function = functions[_function_of(template, mapping["FunctionName"])]
        window = mapping.get("MaximumBatchingWindowInSeconds", 0)
        if source in queues and queues[source].get("VisibilityTimeout", 30) < 6 * function["Timeout"] + window:
            yield f"{source}: {queues[source].get('VisibilityTimeout')} s for a worker of {function['Timeout']} s"


def queues_are_encrypted_and_kept(template: Template) -> Iterator[str]:
    """Every queue is encrypted and says how long it keeps messages; a dead-letter queue keeps them longest."""
    queues = resources(template, _QUEUE)
    for name, queue in queues.items():
        encrypted = queue.get("SqsManagedSseEnabled") is True or "KmsMasterKeyId" in queue
        if not encrypted or "MessageRetentionPeriod" not in queue:
            yield f"{name}: encryption or retention not set"
        if redrive := queue.get("RedrivePolicy"):
            dead_letters = queues[_reference(redrive["deadLetterTargetArn"])]
            if dead_letters["MessageRetentionPeriod"] <= queue["MessageRetentionPeriod"]:
                yield f"{name}: its dead-letter queue does not keep messages longer"


def queues_topics_and_buckets_take_tls_only(template: Template) -> Iterator[str]:
    """Every queue, topic and bucket has a policy that denies unencrypted connections."""
    policies = {
        _QUEUE: ("AWS::SQS::QueuePolicy", "Queues"),
        _TOPIC: ("AWS::SNS::TopicPolicy", "Topics"),
        "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", "Bucket"),
    }
    for resource_type, (policy_type, field) in policies.items():
        covered = {
            _reference(target)
            for policy in resources(template, policy_type).values()
            if any(map(_denies_all_plain_connections, policy["PolicyDocument"]["Statement"]))
            for target in _as_list(policy[field])
        }
        for name in resources(template, resource_type).keys() - covered:
            yield f"{name}: takes unencrypted connections"


def topics_have_a_key_that_publishers_may_use(template: Template) -> Iterator[str]:
    """Every topic has a customer-managed key; who may publish (role or service) may use it, services for us only."""
    topics = resources(template, _TOPIC)
    for name, topic in topics.items():
        if "KmsMasterKeyId" not in topic:
            yield f"{name}: no key"
            continue
        key = _reference(topic["KmsMasterKeyId"])
        for role, statements in _statements_by_role(template).items():
            publishes = any(_allows(statement, "sns:Publish", name) for statement in statements)
            may = {action for statement in statements for action in _KEY_USE if _allows(statement, action, key)}
            if publishes and may != _KEY_USE:
                yield f"{name}: {role} may publish but not use the key"
        for service in _publishing_services(template, name) - _services_of_key(template, key):
            yield f"{name}: {service} may publish but not use the key, or not for this account only"


def keys_rotate_and_serve_this_account_only(template: Template) -> Iterator[str]:
    """Every key is rotated, and lets in nobody who does not act for this account."""
    for name, key in resources(template, _KEY).items():
        if key.get("EnableKeyRotation") is not True:
            yield f"{name}: not rotated"
        for statement in key["KeyPolicy"]["Statement"]:
            if not (_is_this_account(statement["Principal"]) or _for_this_account(statement)):
                yield f"{name}: lets in {statement['Principal']} for any account"


def a_data_key_is_of_all_tables_queues_and_logs(template: Template) -> Iterator[str]:
    """Where a stack has a key for data, all its tables, queues and log groups have that one."""
    keys = {f"{kind} {name}": key for kind, field in _KEY_OF.items() for name, key in _keys(template, kind, field)}
    data_keys = {key for key in keys.values() if key}
    if len(data_keys) > 1:
        yield f"several keys: {sorted(data_keys)}"
    for name, key in keys.items():
        if data_keys and not key:
            yield f"{name}: not encrypted by {sorted(data_keys)}"


def roles_may_use_the_keys_of_their_data(template: Template) -> Iterator[str]:
    """A role that may use a queue or a table may use its key for that, through the service and not by itself."""
    keys = {name: key for kind in (_QUEUE, _TABLE) for name, key in _keys(template, kind, _KEY_OF[kind]) if key}
    for role, statements in _statements_by_role(template).items():
        for statement in statements:
            for name in filter(keys.__contains__, map(_reference, _as_list(statement["Resource"]))):
                service, needed = _needed_of_key(_as_list(statement["Action"]))
                if missing := needed - _may_do_with_key(statements, keys[name], service):
                    yield f"{role}: may use {name} but not {sorted(missing)} with its key"
        for statement in statements:
            used = {_reference(resource) for resource in _as_list(statement["Resource"])} & set(keys.values())
            if used and "kms:ViaService" not in statement.get("Condition", {}).get("StringEquals", {}):
                yield f"{role}: may use {sorted(used)} by itself"


def services_may_use_the_keys_of_their_data(template: Template) -> Iterator[str]:
    """A data key lets CloudWatch Logs in for log groups, and Amazon SNS for the topics that queues subscribe to."""
    queues = dict(_keys(template, _QUEUE, _KEY_OF[_QUEUE]))
    for name, key in _keys(template, _LOG_GROUP, _KEY_OF[_LOG_GROUP]):
        if key and not any(map(_lets_logs_in, _key_policy(template, key))):
            yield f"{name}: CloudWatch Logs may not use its key"
    for name, subscription in resources(template, "AWS::SNS::Subscription").items():
        ends = (subscription["Endpoint"], subscription.get("RedrivePolicy", {}).get("deadLetterTargetArn"))
        for key in filter(None, (queues.get(_reference(end)) for end in ends)):
            if not any(_lets_topic_in(each, subscription["TopicArn"]) for each in _key_policy(template, key)):
                yield f"{name}: its topic may not use {key}"


def dead_letters_raise_an_alarm(template: Template) -> Iterator[str]:
    """Every queue that only failures reach has an alarm that the first visible message raises within minutes."""
    watched = {
        _reference(dimension["Value"])
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible" and _is_raised_by_one(alarm)
        for dimension in alarm["Dimensions"]
    }
    for name in set(_ends_of_failures(template)) - watched:
        yield f"{name}: nobody hears of its messages"


def subscribed_queues_have_an_end_for_failures(template: Template) -> Iterator[str]:
    """Every queue's subscription to a topic has a dead-letter queue, for what SNS could not put on the queue."""
    for name, subscription in resources(template, "AWS::SNS::Subscription").items():
        dead_letters = _reference(subscription.get("RedrivePolicy", {}).get("deadLetterTargetArn"))
        if subscription["Protocol"] == "sqs" and dead_letters not in resources(template, _QUEUE):
            yield f"{name}: no dead-letter queue"


def schedules_have_an_end_for_failures(template: Template) -> Iterator[str]:
    """Every schedule has retries (none is not enough), bounded, and a dead-letter queue that its role may send to."""
    statements = _statements_by_role(template)
    for name, schedule in resources(template, _SCHEDULE).items():
        target = schedule["Target"]
        dead_letters = _reference(target.get("DeadLetterConfig", {}).get("Arn"))
        may_send = any(
            _allows(statement, "sqs:SendMessage", dead_letters)
            for statement in statements.get(_reference(target["RoleArn"]), [])
        )
        retries = target.get("RetryPolicy", {})
        bounds = {bound for bound in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds") if not retries.get(bound)}
        if dead_letters not in resources(template, _QUEUE) or not may_send or bounds:
            yield f"{name}: without {sorted(bounds)}, or a dead-letter queue that its role may send to"


def sources_that_nobody_reads_raise_an_alarm(template: Template) -> Iterator[str]:
    """Every mapping's source has an alarm on its age: what nobody reads fails no try, and would expire unseen.

    A queue has an age by itself. A stream's is measured by its reader, so an alarm on no reads at all goes with it.
    """
    queues = resources(template, _QUEUE)
    alarms = resources(template, "AWS::CloudWatch::Alarm").values()
    for name, mapping in resources(template, _MAPPING).items():
        source = _reference(mapping["EventSourceArn"])
        reader = _function_of(template, mapping["FunctionName"])
        if source in queues:
            kept = queues[source].get("MessageRetentionPeriod", 0)
            heard = any(_is_on_age(alarm, "ApproximateAgeOfOldestMessage", source, kept) for alarm in alarms)
        else:
            heard = any(_is_on_age(alarm, "IteratorAge", reader, _STREAM_KEEPS_MS) for alarm in alarms)
            heard = heard and any(_is_on_no_reads(alarm, source) for alarm in alarms)
        if not heard:
            yield f"{name}: nobody hears in time when {source} is not read"


def alarms_act_and_name_their_runbook_entry(template: Template) -> Iterator[str]:
    """Every alarm tells a topic that it may publish on; its description leads to a heading of the runbook."""
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", _RUNBOOK.read_text(), re.MULTILINE)
    }
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        entry = re.search(r"docs/runbook\.md#([a-z0-9-]+)$", alarm.get("AlarmDescription", ""))
        told = [_reference(action) for action in alarm.get("AlarmActions", [])]
        heard = any("cloudwatch.amazonaws.com" in _publishing_services(template, topic) for topic in told)
        if not heard or alarm.get("ActionsEnabled") is False or not entry or entry[1] not in anchors:
            yield f"{name}: no action, or no runbook entry: {alarm.get('AlarmDescription')!r}"


def alarms_take_silence_for_good_or_for_bad(template: Template) -> Iterator[str]:
    """Every alarm but one on silence takes missing data for good: what nobody used failed nobody, and calls nobody."""
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        on_silence = alarm.get("Statistic") == "SampleCount" and alarm["ComparisonOperator"] == "LessThanThreshold"
        if alarm.get("TreatMissingData") != ("breaching" if on_silence else "notBreaching"):
            yield f"{name}: missing data is {alarm.get('TreatMissingData')}"


def alarms_look_no_further_back_than_cloudwatch_does(template: Template) -> Iterator[str]:
    """An alarm's periods are a day at most, or seven where each is an hour or more (Amazon CloudWatch, PutMetricAlarm).

    CloudFormation refuses another one when it deploys, and the local cloud does not.
    """
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        at_most = _DAY_SECONDS * (7 if alarm["Period"] >= _HOUR_SECONDS else 1)
        if alarm["Period"] * alarm["EvaluationPeriods"] > at_most:
            yield f"{name}: {alarm['EvaluationPeriods']} periods of {alarm['Period']} s"


def nothing_has_a_physical_name(template: Template) -> Iterator[str]:
    """CloudFormation names things, so that two stages fit in one account and replacements can happen."""
    for resource_type, field in _PHYSICAL_NAMES.items():
        for name, properties in resources(template, resource_type).items():
            if field in properties:
                yield f"{name}: {field} is fixed to {properties[field]!r}"


def tables_can_be_restored(template: Template) -> Iterator[str]:
    """Every table has point-in-time recovery and is billed on demand."""
    for name, table in resources(template, "AWS::DynamoDB::Table").items():
        recovery = table.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled")
        if not recovery or table.get("BillingMode") != "PAY_PER_REQUEST":
            yield f"{name}: no point-in-time recovery, or not on demand"


def apis_are_logged_without_data(template: Template) -> Iterator[str]:
    """Every API stage is traced, throttled and logged, with no data trace and nobody's name or address in its logs."""
    execution_logs = [
        json.dumps(group.get("LogGroupName", "")) for group in resources(template, "AWS::Logs::LogGroup").values()
    ]
    for name, stage in resources(template, "AWS::ApiGateway::Stage").items():
        settings = stage.get("MethodSettings", [{}])[0]
        api = json.dumps(stage["RestApiId"])
        logs = any("API-Gateway-Execution-Logs_" in group and api in group for group in execution_logs)
        throttled = settings.get("ThrottlingRateLimit") and settings.get("ThrottlingBurstLimit")
        traced = stage.get("TracingEnabled")
        if not (logs and throttled and traced and "AccessLogSetting" in stage):
            yield f"{name}: not logged, traced or throttled"
        if any(each.get("DataTraceEnabled") is not False for each in stage.get("MethodSettings", [{}])):
            yield f"{name}: data trace is not off"
        if told := _TELLS_WHO.findall(stage.get("AccessLogSetting", {}).get("Format", "")):
            yield f"{name}: logs {told}"


def api_methods_are_authorised(template: Template) -> Iterator[str]:
    """Every API method asks for a signature (AWS_IAM) or an API key, and no function has a URL beside the APIs."""
    for name, method in resources(template, "AWS::ApiGateway::Method").items():
        if method.get("AuthorizationType") != "AWS_IAM" and method.get("ApiKeyRequired") is not True:
            yield f"{name}: open to everybody"
    for name in resources(template, "AWS::Lambda::Url"):
        yield f"{name}: a way past the APIs"


def buckets_are_private_encrypted_and_versioned(template: Template) -> Iterator[str]:
    """No bucket can be opened to the public; every one is encrypted, and has older versions that end some day."""
    for name, bucket in resources(template, _BUCKET).items():
        blocks = bucket.get("PublicAccessBlockConfiguration", {})
        if len(blocks) != len(_PUBLIC_ACCESS_BLOCKS) or not all(
            blocks.get(block) is True for block in _PUBLIC_ACCESS_BLOCKS
        ):
            yield f"{name}: can be opened to the public"
        if "AccessControl" in bucket:
            yield f"{name}: has an access control list"
        encryption = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        if not any(each.get("ServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for each in encryption):
            yield f"{name}: not encrypted"
        if bucket.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            yield f"{name}: not versioned"
        lifecycle = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        if not any("NoncurrentVersionExpiration" in rule and rule["Status"] == "Enabled" for rule in lifecycle):
            yield f"{name}: keeps old versions for ever"


def databases_are_private_encrypted_and_backed_up(template: Template) -> Iterator[str]:
    """Every database is encrypted, has backups and no public address, and takes TLS connections only."""
    groups = resources(template, "AWS::RDS::DBParameterGroup")
    for name, database in resources(template, _DATABASE).items():
        if database.get("StorageEncrypted") is not True:
            yield f"{name}: not encrypted"
        if database.get("PubliclyAccessible") is not False:
            yield f"{name}: may get a public address"
        if not database.get("BackupRetentionPeriod"):
            yield f"{name}: no backups"
        parameters = groups.get(_reference(database.get("DBParameterGroupName")), {}).get("Parameters", {})
        if parameters.get("require_secure_transport") != "1":
            yield f"{name}: takes unencrypted connections"


def security_groups_admit_groups_only(template: Template) -> Iterator[str]:
    """No security group admits an address range, nor lets anything out but to groups, its VPC, or nowhere."""
    groups = resources(template, "AWS::EC2::SecurityGroup")
    rules = [(name, rule) for name, group in groups.items() for rule in group.get("SecurityGroupIngress", [])]
    rules += resources(template, "AWS::EC2::SecurityGroupIngress").items()
    for name, rule in rules:
        if "SourceSecurityGroupId" not in rule:
            yield f"{name}: admits {rule.get('CidrIp') or rule.get('CidrIpv6') or 'a prefix list'}"
    ways_out = list(resources(template, "AWS::EC2::SecurityGroupEgress").items())
    for name, group in groups.items():
        ways_out += [(name, rule) for rule in group.get("SecurityGroupEgress", [])]
        if not group.get("SecurityGroupEgress"):  # then EC2 makes a rule that lets all out
            yield f"{name}: lets everything out"
    for name, rule in ways_out:
        to = rule.get("CidrIp")
        in_vpc = isinstance(to, dict) and to.get("Fn::GetAtt", ["", ""])[1] == "CidrBlock"
        if "DestinationSecurityGroupId" not in rule and not in_vpc and to != _NOWHERE:
            yield f"{name}: lets out to {to or rule.get('CidrIpv6') or 'a prefix list'}"


def networks_have_no_way_out(template: Template) -> Iterator[str]:
    """No VPC has a gateway or a route beyond itself, nor gives public addresses."""
    ways_out = (
        "AWS::EC2::InternetGateway", "AWS::EC2::EgressOnlyInternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route",
        "AWS::EC2::VPCPeeringConnection", "AWS::EC2::TransitGatewayAttachment",
    )  # fmt: skip
    for resource_type in ways_out:
        for name in resources(template, resource_type):
            yield f"{name}: a way out"
    for name, subnet in resources(template, "AWS::EC2::Subnet").items():
        if subnet.get("MapPublicIpOnLaunch") is not False:
            yield f"{name}: gives public addresses"


def secrets_are_in_no_template_or_environment(template: Template) -> Iterator[str]:
    """Secrets are generated, only a database's master password refers to one, and no parameter or variable has one."""
    for name, secret in resources(template, "AWS::SecretsManager::Secret").items():
        if "SecretString" in secret or "GenerateSecretString" not in secret:
            yield f"{name}: its value is in the template"
    for name, database in resources(template, _DATABASE).items():
        if not json.dumps(database.get("MasterUserPassword", "")).startswith(_RESOLVED_SECRET):
            yield f"{name}: its master password is in the template"
    for name, resource in template["Resources"].items():
        if resource["Type"] != _DATABASE and re.search(
            r"\{\{resolve:(secretsmanager|ssm-secure)", json.dumps(resource)
        ):
            yield f"{name}: has a secret's value"
    for name, function in resources(template, _FUNCTION).items():
        for variable, value in function.get("Environment", {}).get("Variables", {}).items():
            if _SECRET_NAME.search(variable) or (isinstance(value, str) and _SECRET_VALUE.search(value)):
                yield f"{name}: {variable} looks like a secret"


def resource_policies_let_in_this_account_only(template: Template) -> Iterator[str]:
    """Policies of queues, topics, buckets and secrets let in services that act for one resource or this account."""
    for kind in _RESOURCE_POLICIES:
        for name, policy in resources(template, kind).items():
            document = policy.get("PolicyDocument") or policy["ResourcePolicy"]
            for statement in document["Statement"]:
                limited = _for_this_account(statement) or _has_source_arn(statement)
                if statement["Effect"] == "Allow" and not (limited and _is_one_service(statement["Principal"])):
                    yield f"{name}: lets in {statement['Principal']}"


def functions_are_invoked_by_one_source(template: Template) -> Iterator[str]:
    """A function's own policy lets a service invoke it for one source or for this account, and nobody else."""
    for name, permission in resources(template, "AWS::Lambda::Permission").items():
        limited = permission.get("SourceArn") or permission.get("SourceAccount") == {"Ref": "AWS::AccountId"}
        if not limited or not str(permission["Principal"]).endswith(".amazonaws.com"):
            yield f"{name}: {permission['Principal']} may invoke it, whoever it acts for"


def roles_trust_one_service(template: Template) -> Iterator[str]:
    """Each role is assumed by the one AWS service that uses it: no person, no account, nobody by a wildcard."""
    users = {kind: set(map(_reference, roles)) for kind, roles in _roles_in_use(template).items()}
    for name, role in resources(template, "AWS::IAM::Role").items():
        statements = role["AssumeRolePolicyDocument"]["Statement"]
        if len(statements) != 1 or not _is_one_service(statements[0]["Principal"]):
            yield f"{name}: trusts {[statement['Principal'] for statement in statements]}"
            continue
        service = statements[0]["Principal"]["Service"]
        if others := {used_by for used_by, roles in users.items() if name in roles} - {service}:
            yield f"{name}: trusts {service} and is used by {sorted(others)}"


def roles_have_no_managed_policies(template: Template) -> Iterator[str]:
    """What a role may do stands in this stack, but for the account's role that API Gateway writes logs by."""
    for name, role in resources(template, "AWS::IAM::Role").items():
        policies = json.dumps(role.get("ManagedPolicyArns", []))
        if policies != "[]" and not policies.endswith(_API_GATEWAYS_LOG_POLICY):
            yield f"{name}: {policies}"


def api_keys_have_a_throttle_and_a_quota(template: Template) -> Iterator[str]:
    """Every API key is in a usage plan that bounds its rate and its requests of a day."""
    plans = resources(template, "AWS::ApiGateway::UsagePlan")
    bounded = {
        _reference(each["KeyId"])
        for each in resources(template, "AWS::ApiGateway::UsagePlanKey").values()
        if {"Throttle", "Quota"} <= plans[_reference(each["UsagePlanId"])].keys()
    }
    for name in resources(template, "AWS::ApiGateway::ApiKey").keys() - bounded:
        yield f"{name}: without a throttle or a quota"


def asynchronous_invocations_have_an_end_for_failures(template: Template) -> Iterator[str]:
    """What a schedule or topic invokes has a failure destination, or fails once and an alarm tells of that."""
    started = [_reference(schedule["Target"]["Arn"]) for schedule in resources(template, _SCHEDULE).values()]
    started += [
        _reference(subscription["Endpoint"])
        for subscription in resources(template, "AWS::SNS::Subscription").values()
        if subscription["Protocol"] == "lambda"
    ]
    settings = {
        _alias_in(template, each["Qualifier"]) or _reference(each["FunctionName"]): each
        for each in resources(template, "AWS::Lambda::EventInvokeConfig").values()
    }
    alarmed = {
        _reference(alarm["Dimensions"][0]["Value"])
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        # One with more dimensions is of a version, and only while it is deployed.
        if alarm.get("MetricName") == "Errors" and len(alarm["Dimensions"]) == 1
    }
    for name in started:
        how = settings.get(name, {})
        fails_once = how.get("MaximumRetryAttempts") == 0 and _function_of(template, {"Ref": name}) in alarmed
        if not fails_once and not how.get("DestinationConfig", {}).get("OnFailure"):
            yield f"{name}: its failures end nowhere"


def aliases_are_moved_by_deployments_that_roll_back(template: Template) -> Iterator[str]:
    """CodeDeploy moves every alias, little by little, and back on alarms: one is on errors of the new version alone."""
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    groups = resources(template, "AWS::CodeDeploy::DeploymentGroup")
    for name, alias in resources(template, _ALIAS).items():
        update = template["Resources"][name].get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
        group = groups.get(_reference(update.get("DeploymentGroupName")))
        if not group or not re.search(r"Canary|Linear", group["DeploymentConfigName"]):
            yield f"{name}: moves at once"
            continue
        rollback = group.get("AutoRollbackConfiguration", {})
        if not rollback.get("Enabled") or not set(rollback.get("Events", [])) >= _ROLL_BACK:
            yield f"{name}: is not moved back by itself"
        watched = group.get("AlarmConfiguration", {})
        named = [alarms[_reference(alarm["Name"])] for alarm in watched.get("Alarms", [])]
        if not watched.get("Enabled") or not any(_is_on_version(alarm, alias) for alarm in named):
            yield f"{name}: no alarm on its new version"


def nothing_goes_past_an_alias(template: Template) -> Iterator[str]:
    """Where a function has an alias, all that may invoke it name that: mappings, schedules, APIs and roles."""
    aliases = resources(template, _ALIAS).values()
    behind = {_reference(alias["FunctionName"]) for alias in aliases}
    invoking = {name: mapping["FunctionName"] for name, mapping in resources(template, _MAPPING).items()}
    invoking |= {name: schedule["Target"]["Arn"] for name, schedule in resources(template, _SCHEDULE).items()}
    invoking |= {name: each["FunctionName"] for name, each in resources(template, "AWS::Lambda::Permission").items()}
    for name, method in resources(template, "AWS::ApiGateway::Method").items():
        invoking[name] = method["Integration"].get("Uri")
    for name, statement in _identity_statements(template):
        if "lambda:InvokeFunction" in _as_list(statement["Action"]):
            invoking[name] = statement["Resource"]
    for name, invoked in invoking.items():
        if past := behind.intersection(_references(invoked)):
            yield f"{name}: invokes {sorted(past)} and not what is live of it"


def functions_write_nothing_that_starts_them(template: Template) -> Iterator[str]:
    """No role may write objects where a bucket announces new ones: that could go round for ever."""
    for name, notifications in resources(template, _NOTIFICATIONS).items():
        bucket = _reference(notifications["BucketName"])
        for policy, statement in _identity_statements(template):
            writes = any(fnmatchcase("s3:PutObject", action) for action in _as_list(statement["Action"]))
            patterns = [_object_pattern(resource, bucket) for resource in _as_list(statement["Resource"])]
            loops = any(pattern and _overlap(pattern, notifications["Prefix"]) for pattern in patterns)
            if statement["Effect"] == "Allow" and writes and loops:
                yield f"{policy}: may write what {name} announces"


def notified_topics_let_in_their_bucket_only(template: Template) -> Iterator[str]:
    """A topic that a bucket's notifications go to lets S3 publish on behalf of this account's one bucket."""
    for name, notifications in resources(template, _NOTIFICATIONS).items():
        bucket, topic = _reference(notifications["BucketName"]), _reference(notifications["TopicArn"])
        letting_in = [
            statement
            for policy in resources(template, "AWS::SNS::TopicPolicy").values()
            if topic in map(_reference, policy["Topics"])
            for statement in policy["PolicyDocument"]["Statement"]
            if _may_publish(statement, _S3)
        ]
        if not letting_in:
            yield f"{name}: S3 may not publish on its topic"
        if not all(_for_this_account(found) and _for_this_resource(found, bucket) for found in letting_in):
            yield f"{name}: any bucket or account may have S3 publish on its topic"


ALL: list[Rule] = [
    log_groups_have_retention,
    functions_log_as_json_to_a_declared_group,
    functions_are_traced,
    functions_have_roles_of_their_own,
    functions_reserve_no_concurrency,
    permissions_have_no_wildcard,
    mappings_answer_with_the_failed_ones,
    mappings_have_an_end_for_failures,
    what_starts_functions_is_switched_on,
    visibility_outlasts_the_worker,
    queues_are_encrypted_and_kept,
    queues_topics_and_buckets_take_tls_only,
    topics_have_a_key_that_publishers_may_use,
    keys_rotate_and_serve_this_account_only,
    a_data_key_is_of_all_tables_queues_and_logs,
    roles_may_use_the_keys_of_their_data,
    services_may_use_the_keys_of_their_data,
    dead_letters_raise_an_alarm,
    subscribed_queues_have_an_end_for_failures,
    schedules_have_an_end_for_failures,
    sources_that_nobody_reads_raise_an_alarm,
    alarms_act_and_name_their_runbook_entry,
    alarms_take_silence_for_good_or_for_bad,
    alarms_look_no_further_back_than_cloudwatch_does,
    nothing_has_a_physical_name,
    tables_can_be_restored,
    apis_are_logged_without_data,
    api_methods_are_authorised,
    buckets_are_private_encrypted_and_versioned,
    databases_are_private_encrypted_and_backed_up,
    security_groups_admit_groups_only,
    networks_have_no_way_out,
    secrets_are_in_no_template_or_environment,
    resource_policies_let_in_this_account_only,
    functions_are_invoked_by_one_source,
    roles_trust_one_service,
    roles_have_no_managed_policies,
    api_keys_have_a_throttle_and_a_quota,
    asynchronous_invocations_have_an_end_for_failures,
    aliases_are_moved_by_deployments_that_roll_back,
    nothing_goes_past_an_alias,
    functions_write_nothing_that_starts_them,
    notified_topics_let_in_their_bucket_only,
]


def data_is_kept(template: Template) -> Iterator[str]:
    """Where a stage keeps data, what holds data outlives its stack."""
    for name, resource in template["Resources"].items():
        if resource["Type"] in _KEEPS_DATA and (
            resource.get("DeletionPolicy") != "Retain" or resource.get("UpdateReplacePolicy") != "Retain"
        ):
            yield f"{name}: goes with its stack"
        if resource["Type"] == _TABLE and resource["Properties"].get("DeletionProtectionEnabled") is not True:
            yield f"{name}: may be deleted"
        if resource["Type"] == _DATABASE and not _leaves_a_snapshot(resource):
            yield f"{name}: may be deleted, or goes without a snapshot"


def _leaves_a_snapshot(database: dict[str, Any]) -> bool:
    policies = {database.get("DeletionPolicy"), database.get("UpdateReplacePolicy")}
    return policies == {"Snapshot"} and database["Properties"].get("DeletionProtection") is True


_PUBLIC_ACCESS_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
_RESOLVED_SECRET = '{"Fn::Join": ["", ["{{resolve:secretsmanager:"'  # noqa: S105 - how a template refers to one
_LOG_GROUP_OF_KEY = "kms:EncryptionContext:aws:logs:arn"
_KEY_USE = {"kms:Decrypt", "kms:GenerateDataKey"}
_TELLS_WHO = re.compile(r"\$context\.(?:identity\.(?!apiKeyId\b)|authorizer|authenticate|authorize)[\w.]*")
"""API Gateway Developer Guide, "Variables for access logging": addresses, user agents, users and their claims."""
_NOWHERE = "255.255.255.255/32"
"""What the CDK writes into a group that lets nothing out, since one without a rule gets EC2's own."""
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|TOKEN|CREDENTIAL|(^|_)(PASS|PWD|PW|PIN|KEY|SECRET)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"  # an access key's id (IAM User Guide, "Understanding unique ID prefixes")
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\beyJ[\w-]+\.eyJ"  # a key in PEM; a JSON web token
    r"|://[^/\s:@]+:[^/\s@]+@"  # a password in an address
    r"|^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w+/=-]{32,}$"  # a text of many kinds of characters and no words
)
_TRIES = 3
_HOUR_SECONDS = 3_600
_DAY_SECONDS = 86_400
_SOON = 300
"""Seconds in which a person is to hear of what failed."""
_STREAM_KEEPS_MS = 24 * 3_600_000
"""Amazon DynamoDB keeps a stream's records for 24 hours."""
_ROLL_BACK = {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST", "DEPLOYMENT_STOP_ON_ALARM"}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _reference(value: Any) -> str:
    """The logical id that a Ref or GetAtt is about."""
    if isinstance(value, dict) and "Ref" in value:
        return str(value["Ref"])
    if isinstance(value, dict) and "Fn::GetAtt" in value:
        return str(value["Fn::GetAtt"][0])
    return ""


def _references(value: Any) -> set[str]:
    """The logical ids that an expression is made of."""
    if isinstance(value, list):
        return {found for each in value for found in _references(each)}
    if not isinstance(value, dict):
        return set()
    return {_reference(value)} if _reference(value) else _references(list(value.values()))


def _alias_in(template: Template, value: Any) -> str:
    """The logical id of the alias that an expression is made of; empty where it is made of none."""
    return next(iter(_references(value) & resources(template, _ALIAS).keys()), "")


def _function_of(template: Template, value: Any) -> str:
    """The logical id of the function that is named, by itself or by its alias."""
    alias = _alias_in(template, value)
    return _reference(resources(template, _ALIAS)[alias]["FunctionName"] if alias else value)


def _is_on_version(alarm: dict[str, Any], alias: dict[str, Any]) -> bool:
    """Whether an alarm is on errors of the version that the alias is about to be on, as it is called by the alias."""
    function = alias["FunctionName"]
    return alarm.get("MetricName") == "Errors" and {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == {
        "FunctionName": function,
        "Resource": {"Fn::Join": ["", [function, f":{alias['Name']}"]]},
        "ExecutedVersion": alias["FunctionVersion"],
    }


def _identity_statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, policy in resources(template, "AWS::IAM::Policy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            yield name, statement
    for name, role in resources(template, "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement


def _roles_in_use(template: Template) -> dict[str, list[Any]]:
    """The roles that services use, by the service."""
    integrations = [method["Integration"] for method in resources(template, "AWS::ApiGateway::Method").values()]
    return {
        "lambda.amazonaws.com": [each["Role"] for each in resources(template, _FUNCTION).values()],
        "scheduler.amazonaws.com": [each["Target"]["RoleArn"] for each in resources(template, _SCHEDULE).values()],
        "apigateway.amazonaws.com": [each["Credentials"] for each in integrations if "Credentials" in each],
    }


def _is_of_anybody(resource: Any) -> bool:
    """Whether an ARN's partition, service, region or account has a wildcard, or it is of all resources there."""
    parts = _as_text(resource).split(":", 5)
    return len(parts) > 1 and (any(re.search(r"[*?]", part) for part in parts[:5]) or parts[5:] == ["*"])


def _as_text(value: Any) -> str:
    """An expression as text, with each reference as the name of what it is about."""
    if isinstance(value, dict) and "Fn::Join" in value:
        return "".join(map(_as_text, value["Fn::Join"][1]))
    return value if isinstance(value, str) else f"<{_reference(value).removeprefix('AWS::')}>"


def _denied_to_code(template: Template) -> dict[str, set[str]]:
    """What each policy denies, on every resource, to calls that come from a function's own code."""
    denied: dict[str, set[str]] = {}
    for name, statement in _identity_statements(template):
        of_code = "lambda:SourceFunctionArn" in statement.get("Condition", {}).get("ArnLike", {})
        if statement["Effect"] == "Deny" and of_code and statement["Resource"] == "*":
            denied.setdefault(name, set()).update(_as_list(statement["Action"]))
    return denied


def _ends_of_failures(template: Template) -> Iterator[str]:
    """The queues that failures end in: of queues, event sources, asynchronous invocations, schedules, subscriptions."""
    for owner in (_QUEUE, "AWS::SNS::Subscription"):
        for properties in resources(template, owner).values():
            if "RedrivePolicy" in properties:
                yield _reference(properties["RedrivePolicy"]["deadLetterTargetArn"])
    for owner in (_MAPPING, "AWS::Lambda::EventInvokeConfig"):
        for properties in resources(template, owner).values():
            if "DestinationConfig" in properties:
                yield _reference(properties["DestinationConfig"]["OnFailure"]["Destination"])
    for schedule in resources(template, _SCHEDULE).values():
        if "DeadLetterConfig" in schedule["Target"]:
            yield _reference(schedule["Target"]["DeadLetterConfig"]["Arn"])


def _is_on_age(alarm: dict[str, Any], metric: str, of: str, kept: int) -> bool:
    """Whether it is raised by the age of what waits, long before that is kept no longer (both in the metric's unit)."""
    named = alarm.get("MetricName") == metric and of in {_reference(each["Value"]) for each in alarm["Dimensions"]}
    above = (alarm["ComparisonOperator"], alarm.get("Statistic")) == ("GreaterThanThreshold", "Maximum")
    return bool(named and above and alarm["Threshold"] <= kept / 2)


def _is_on_no_reads(alarm: dict[str, Any], table: str) -> bool:
    """Whether it is raised when nobody reads the table's stream: no data must count as none read."""
    if alarm.get("MetricName") != "SuccessfulRequestLatency" or alarm.get("Statistic") != "SampleCount":
        return False
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
    label = {"Fn::Select": [3, {"Fn::Split": ["/", {"Fn::GetAtt": [table, "StreamArn"]}]}]}
    of_stream = {"TableName": {"Ref": table}, "Operation": "GetRecords", "StreamLabel": label}
    below_one = (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    return dimensions == of_stream and below_one and alarm.get("TreatMissingData") == "breaching"


def _is_raised_by_one(alarm: dict[str, Any]) -> bool:
    above_zero = (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    return above_zero and alarm["Statistic"] == "Maximum" and alarm["Period"] * alarm["EvaluationPeriods"] <= _SOON


def _statements_by_role(template: Template) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for policy in resources(template, "AWS::IAM::Policy").values():
        for role in policy["Roles"]:
            found.setdefault(_reference(role), []).extend(policy["PolicyDocument"]["Statement"])
    return found


def _allows(statement: dict[str, Any], action: str, on: str) -> bool:
    targets = {_reference(resource) for resource in _as_list(statement["Resource"])}
    return statement["Effect"] == "Allow" and action in _as_list(statement["Action"]) and on in targets


def _denies_all_plain_connections(statement: dict[str, Any]) -> bool:
    """Whether it denies everybody all that unencrypted connections could do (a topic's policy takes no `sns:*`)."""
    plain = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
    everybody = statement["Principal"] in ("*", {"AWS": "*"})
    everything = {"sqs:*", "s3:*", "sns:Publish"} & set(_as_list(statement["Action"]))
    return bool(statement["Effect"] == "Deny" and plain and everybody and everything)


def _for_this_account(statement: dict[str, Any]) -> bool:
    """Whether what the statement allows is only for who acts for this account."""
    condition = statement.get("Condition", {})
    equals = condition.get("StringEquals", {})
    context = json.dumps(condition.get("ArnLike", {}).get(_LOG_GROUP_OF_KEY, ""))
    accounts = (equals.get("aws:SourceAccount"), equals.get("kms:CallerAccount"))
    return {"Ref": "AWS::AccountId"} in accounts or '{"Ref": "AWS::AccountId"}, ":log-group:' in context


def _has_source_arn(statement: dict[str, Any]) -> bool:
    """Whether what the statement allows is only for who acts for one resource, which the template knows."""
    source = statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn")
    return isinstance(source, dict) and not source.keys().isdisjoint({"Ref", "Fn::GetAtt", "Fn::ImportValue"})


def _is_one_service(principal: Any) -> bool:
    return isinstance(principal, dict) and principal.keys() == {"Service"} and isinstance(principal["Service"], str)


def _is_this_account(principal: Any) -> bool:
    """Whether a policy's principal is the account itself, which its own policies then say more about."""
    parts = principal.get("AWS", {}) if isinstance(principal, dict) else {}
    names = parts.get("Fn::Join", ["", []])[1] if isinstance(parts, dict) else []
    return names[-2:] == [{"Ref": "AWS::AccountId"}, ":root"] and len(principal) == 1


def _keys(template: Template, resource_type: str, field: str) -> Iterator[tuple[str, str]]:
    """Each resource of a type and its key's logical id, empty where AWS's own key does."""
    for name, properties in resources(template, resource_type).items():
        key = properties.get(field, {})
        yield name, _reference(key.get("KMSMasterKeyId", key))


def _key_policy(template: Template, key: str) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = template["Resources"][key]["Properties"]["KeyPolicy"]["Statement"]
    return statements


def _needed_of_key(actions: list[str]) -> tuple[str, set[str]]:
    """Through which service a role that may do these actions must be able to do what with the key."""
    if {"sqs:SendMessage", "sqs:ReceiveMessage"} & set(actions):
        return "sqs", _KEY_USE
    if any(action.startswith("dynamodb:") for action in actions):
        return "dynamodb", _WRITES_ITEMS if _WRITING & set(actions) else _READS_ITEMS
    return "", set()


def _may_do_with_key(statements: list[dict[str, Any]], key: str, service: str) -> set[str]:
    endpoint = {"Fn::Join": ["", [f"{service}.", {"Ref": "AWS::Region"}, ".amazonaws.com"]]}
    return {
        action
        for statement in statements
        if statement.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService") == endpoint
        for action in _as_list(statement["Action"])
        if _allows(statement, action, key)
    }


def _lets_logs_in(statement: dict[str, Any]) -> bool:
    service = json.dumps(statement["Principal"])
    in_context = _LOG_GROUP_OF_KEY in statement.get("Condition", {}).get("ArnLike", {})
    return '"logs."' in service and in_context and {"kms:Encrypt", "kms:Decrypt"} <= set(statement["Action"])


def _lets_topic_in(statement: dict[str, Any], topic: Any) -> bool:
    source = statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn")
    is_sns = statement["Principal"] == {"Service": "sns.amazonaws.com"}
    return bool(is_sns and source == topic and set(_as_list(statement["Action"])) >= _KEY_USE)


def _publishing_services(template: Template, topic: str) -> set[str]:
    return {
        statement["Principal"]["Service"]
        for policy in resources(template, "AWS::SNS::TopicPolicy").values()
        if topic in map(_reference, policy["Topics"])
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and "Service" in statement["Principal"]
    }


def _services_of_key(template: Template, key: str) -> set[str]:
    return {
        service
        for statement in template["Resources"][key]["Properties"]["KeyPolicy"]["Statement"]
        if "Service" in statement["Principal"]
        and _for_this_account(statement)
        and set(_as_list(statement["Action"])) >= _KEY_USE
        for service in _as_list(statement["Principal"]["Service"])
    }


def _object_pattern(resource: Any, bucket: str) -> str | None:
    """Which keys of the bucket a statement's resource is about; None for other resources."""
    if resource == "*":
        return "*"
    parts = resource.get("Fn::Join", ["", []])[1] if isinstance(resource, dict) else []
    if not parts or _reference(parts[0]) != bucket:
        return None
    return "".join(str(part) for part in parts[1:]).removeprefix("/")


def _overlap(pattern: str, prefix: str) -> bool:
    """Whether keys under the prefix may match the pattern."""
    fixed = re.split(r"[*?]", pattern)[0]
    return fixed.startswith(prefix) or prefix.startswith(fixed)


def _may_publish(statement: dict[str, Any], service: str) -> bool:
    principals = statement["Principal"]
    is_for_it = principals == "*" or service in _as_list(principals.get("Service"))
    return bool(statement["Effect"] == "Allow" and is_for_it)


def _for_this_resource(statement: dict[str, Any], resource: str) -> bool:
    source = statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn")
    return _reference(source) == resource

"""What a stage consists of that costs money, read from its synthesised templates.

Every resource type that the templates may have is here: in `PRICED`, with what it is billed by, or in `FREE`, with why
it costs nothing. So is every function, because its runs are what it costs. A type or a function that is in none of the
lists is an error, so that nothing new stays out of the bill unnoticed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shop.errors import ShopError
from shop.synthesis import Template

PRICED: Final[Mapping[str, str]] = {
    "AWS::ApiGateway::Stage": "requests, traces, detailed metrics, access logs",
    "AWS::CloudWatch::Alarm": "each of its metrics",
    "AWS::CloudWatch::Dashboard": "each",
    "AWS::DynamoDB::Table": "write and read units, storage, continuous backups",
    "AWS::EC2::FlowLog": "log lines",
    "AWS::KMS::Key": "each, with its rotations, and requests",
    "AWS::Lambda::EventSourceMapping": "the receives of its pollers",
    "AWS::Lambda::Function": "requests, GB-seconds, snapshots, log lines, traces",
    "AWS::Logs::LogGroup": "its retention",
    "AWS::RDS::DBInstance": "hours and storage",
    "AWS::S3::Bucket": "requests and storage",
    "AWS::SNS::Subscription": "deliveries by its protocol",
    "AWS::SNS::Topic": "publishing",
    "AWS::SQS::Queue": "requests",
    "AWS::Scheduler::Schedule": "invocations",
    "AWS::SecretsManager::Secret": "each",
}
_DESCRIBES: Final = "part of an API, which is billed by its requests"
_RIGHTS: Final = "access rights cost nothing"
_NETWORK: Final = "networks cost nothing without gateways and endpoints"
_OF_THE_DATABASE: Final = "part of the database instance"
_OF_A_FUNCTION: Final = "part of its function, which is billed by its runs"
_AT_DEPLOYMENT: Final = "runs a function at deployments only"
FREE: Final[Mapping[str, str]] = {
    "AWS::ApiGateway::Account": _DESCRIBES,
    "AWS::ApiGateway::ApiKey": _DESCRIBES,
    "AWS::ApiGateway::Deployment": _DESCRIBES,
    "AWS::ApiGateway::GatewayResponse": _DESCRIBES,
    "AWS::ApiGateway::Method": _DESCRIBES,
    "AWS::ApiGateway::Model": _DESCRIBES,
    "AWS::ApiGateway::RequestValidator": _DESCRIBES,
    "AWS::ApiGateway::Resource": _DESCRIBES,
    "AWS::ApiGateway::RestApi": _DESCRIBES,
    "AWS::ApiGateway::UsagePlan": _DESCRIBES,
    "AWS::ApiGateway::UsagePlanKey": _DESCRIBES,
    "AWS::CodeDeploy::Application": "deployments to Lambda are free (AWS CodeDeploy pricing)",
    "AWS::CodeDeploy::DeploymentGroup": "deployments to Lambda are free (AWS CodeDeploy pricing)",
    "AWS::EC2::RouteTable": _NETWORK,
    "AWS::EC2::SecurityGroup": _NETWORK,
    "AWS::EC2::Subnet": _NETWORK,
    "AWS::EC2::SubnetRouteTableAssociation": _NETWORK,
    "AWS::EC2::VPC": _NETWORK,
    "AWS::IAM::ManagedPolicy": _RIGHTS,
    "AWS::IAM::Policy": _RIGHTS,
    "AWS::IAM::Role": _RIGHTS,
    "AWS::Lambda::Alias": _OF_A_FUNCTION,
    "AWS::Lambda::EventInvokeConfig": _OF_A_FUNCTION,
    "AWS::Lambda::Permission": _RIGHTS,
    "AWS::Lambda::Version": _OF_A_FUNCTION,
    "AWS::RDS::DBParameterGroup": _OF_THE_DATABASE,
    "AWS::RDS::DBSubnetGroup": _OF_THE_DATABASE,
    "AWS::S3::BucketPolicy": _RIGHTS,
    "AWS::SNS::TopicPolicy": _RIGHTS,
    "AWS::SQS::QueuePolicy": _RIGHTS,
    "AWS::SSM::Parameter": "standard parameters are free (AWS Systems Manager pricing)",
    "AWS::SecretsManager::SecretTargetAttachment": _OF_THE_DATABASE,
    "Custom::BucketNotifications": _AT_DEPLOYMENT,
    "Custom::DatabaseMigration": _AT_DEPLOYMENT,
}

PRICED_FUNCTIONS: Final = frozenset(
    {
        "order_processor",
        "order_notifier",
        "order_service",
        "sales_recorder",
        "sales_report",
        "sales_data_extractor",
        "sales_report_watch",
    }
)
"""Those whose runs `shop.cost` prices, by folder, beside one for each size of the images."""
_BY_HAND: Final = "runs only when a person asks it to"
UNPRICED_FUNCTIONS: Final[Mapping[str, str]] = {
    "bucket_notifications": _AT_DEPLOYMENT,
    "database_migrator": _AT_DEPLOYMENT,
    "database_setup": _AT_DEPLOYMENT,
    "order_simulator": _BY_HAND,
    "sales_report_api": _BY_HAND,
}
"""Those whose runs are in no bill, with why."""

_RESIZER: Final = "image_resizer"
_FOR_EVER_DAYS: Final = 36_500


@dataclass(frozen=True)
class Function:
    """A function as it is billed."""

    memory_mb: int
    architecture: str
    """`arm64` or `x86_64`."""
    traced: bool
    has_snapshot: bool
    """Whether its environments start from a snapshot instead of by its imports."""


@dataclass(frozen=True)
class Mapped:
    """How a function is fed from a queue or a stream."""

    batch_size: int
    window_seconds: float


@dataclass(frozen=True)
class Database:
    """The database instance."""

    instance_class: str
    storage_gb: int
    multi_az: bool


@dataclass(frozen=True)
class System:
    """One stack of the stage."""

    alarms: int
    """Their metrics."""
    dashboards: int
    keys: int
    topic_keys: int
    """Those of them that topics are encrypted by; the others are for tables, queues and log groups."""
    secrets: int
    schedules: int
    polled_queues: int
    encrypted_topics: int
    encrypted_queues: int
    """Those with a key of ours: of topics and queues."""
    traced_apis: int
    measured_methods: int
    """Methods with metrics of their own."""
    flow_logs: int
    emails: int
    """People subscribed to what the system announces; those who get its alarms are not counted."""
    log_retention_days: int
    restorable_tables: int
    snapshot_mb: int
    """The memory of all functions that have a snapshot."""


@dataclass(frozen=True)
class Stage:
    """What of a stage is billed."""

    name: str
    systems: Mapping[str, System]
    """By the stack's name without the stage: `order-pipeline` and so on."""
    functions: Mapping[str, Function]
    """By folder; those that make images by the prefix of what they make."""
    mappings: Mapping[str, Mapped]
    """By the same names."""
    database: Database
    original_days: int
    """How long originals of images are kept."""
    logs_metrics: bool = True
    """Whether the functions' log lines carry metrics (docs/decisions/0017)."""

    @property
    def image_sizes(self) -> list[str]:
        """The prefixes of the images that are made."""
        return sorted(self.functions.keys() - PRICED_FUNCTIONS - UNPRICED_FUNCTIONS.keys())


def read(stage: str, templates: Mapping[str, Template]) -> Stage:
    """Return what of a stage is billed.

    Raises:
        ShopError: a template has a resource of a type, or a function, that is neither priced nor known to be free.
    """
    systems = {name.removeprefix(f"{stage}-"): template["Resources"] for name, template in templates.items()}
    for name, resources in systems.items():
        _refuse_unknown(name, resources)
    functions: dict[str, Function] = {}
    mappings: dict[str, Mapped] = {}
    for resources in systems.values():
        names = {
            logical_id: _function_name(properties) for logical_id, properties in _of(resources, "Lambda::Function")
        }
        for logical_id, properties in _of(resources, "Lambda::Function"):
            _refuse_unknown_function(names[logical_id], properties)
            functions[names[logical_id]] = _function(properties)
        for _, properties in _of(resources, "Lambda::EventSourceMapping"):
            mappings[names[_target(properties, resources)]] = _mapped(properties)
    return Stage(
        name=stage,
        systems={name: _system(resources) for name, resources in sorted(systems.items())},
        functions=functions,
        mappings=mappings,
        database=_database(systems["sales-report"]),
        original_days=_original_days(systems["image-fanout"]),
    )


def _refuse_unknown(name: str, resources: Mapping[str, Any]) -> None:
    unknown = sorted({resource["Type"] for resource in resources.values()} - PRICED.keys() - FREE.keys())
    if unknown:
        raise ShopError(f"{name}: {', '.join(unknown)} is neither in PRICED nor in FREE of shop/cost_stage.py")


def _refuse_unknown_function(name: str, properties: Mapping[str, Any]) -> None:
    if _folder(properties) == _RESIZER or name in PRICED_FUNCTIONS or name in UNPRICED_FUNCTIONS:
        return
    raise ShopError(f"{name}: neither in PRICED_FUNCTIONS nor in UNPRICED_FUNCTIONS of shop/cost_stage.py")


def _of(resources: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for logical_id, resource in resources.items():
        if resource["Type"] == f"AWS::{kind}":
            yield logical_id, resource.get("Properties", {})


def _count(resources: Mapping[str, Any], kind: str, has: str | None = None) -> int:
    return sum(has is None or bool(properties.get(has)) for _, properties in _of(resources, kind))


def _folder(properties: Mapping[str, Any]) -> str:
    return str(properties["Handler"]).partition(".")[0]


def _function_name(properties: Mapping[str, Any]) -> str:
    folder = _folder(properties)
    if folder != _RESIZER:
        return folder
    return str(properties["Environment"]["Variables"]["TARGET_PREFIX"]).rstrip("/")


def _function(properties: Mapping[str, Any]) -> Function:
    return Function(
        memory_mb=int(properties["MemorySize"]),
        architecture=str(properties["Architectures"][0]),
        traced=properties.get("TracingConfig", {}).get("Mode") == "Active",
        has_snapshot=properties.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions",
    )


def _target(mapping: Mapping[str, Any], resources: Mapping[str, Any]) -> str:
    """The logical id of the function that a mapping feeds, through its alias where there is one."""
    target = next(_references(mapping["FunctionName"]))
    if resources[target]["Type"] == "AWS::Lambda::Alias":
        return next(_references(resources[target]["Properties"]["FunctionName"]))
    return target


def _references(value: Any) -> Iterator[str]:
    """The logical ids that a value of a template refers to."""
    if isinstance(value, Mapping):
        if isinstance(value.get("Ref"), str):
            yield value["Ref"]
        if "Fn::GetAtt" in value:
            yield value["Fn::GetAtt"][0]
        yield from _references(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _mapped(properties: Mapping[str, Any]) -> Mapped:
    return Mapped(int(properties["BatchSize"]), float(properties.get("MaximumBatchingWindowInSeconds", 0)))


def _system(resources: Mapping[str, Any]) -> System:
    retentions = [
        properties.get("RetentionInDays", _FOR_EVER_DAYS) for _, properties in _of(resources, "Logs::LogGroup")
    ]
    mappings = [properties for _, properties in _of(resources, "Lambda::EventSourceMapping")]
    functions = [_function(properties) for _, properties in _of(resources, "Lambda::Function")]
    return System(
        alarms=sum(_metrics_of(alarm) for _, alarm in _of(resources, "CloudWatch::Alarm")),
        dashboards=_count(resources, "CloudWatch::Dashboard"),
        keys=_count(resources, "KMS::Key"),
        topic_keys=_topic_keys(resources),
        secrets=_count(resources, "SecretsManager::Secret"),
        schedules=_count(resources, "Scheduler::Schedule"),
        polled_queues=sum("StartingPosition" not in properties for properties in mappings),
        encrypted_topics=_count(resources, "SNS::Topic", has="KmsMasterKeyId"),
        encrypted_queues=_count(resources, "SQS::Queue", has="KmsMasterKeyId"),
        traced_apis=_count(resources, "ApiGateway::Stage", has="TracingEnabled"),
        measured_methods=_measured_methods(resources),
        flow_logs=_count(resources, "EC2::FlowLog"),
        emails=_emails(resources),
        log_retention_days=max(map(int, retentions), default=0),
        restorable_tables=_restorable_tables(resources),
        snapshot_mb=sum(function.memory_mb for function in functions if function.has_snapshot),
    )


def _topic_keys(resources: Mapping[str, Any]) -> int:
    used = {each for _, topic in _of(resources, "SNS::Topic") for each in _references(topic.get("KmsMasterKeyId"))}
    return sum(logical_id in used for logical_id, _ in _of(resources, "KMS::Key"))


def _restorable_tables(resources: Mapping[str, Any]) -> int:
    backups = (table.get("PointInTimeRecoverySpecification", {}) for _, table in _of(resources, "DynamoDB::Table"))
    return sum(bool(backup.get("PointInTimeRecoveryEnabled")) for backup in backups)


def _metrics_of(alarm: Mapping[str, Any]) -> int:
    """How many metrics an alarm watches, which is what it is billed by; one unless it computes with several."""
    return max(1, sum("MetricStat" in metric for metric in alarm.get("Metrics", ())))


def _measured_methods(resources: Mapping[str, Any]) -> int:
    settings: Iterable[Mapping[str, Any]] = (
        setting for _, stage in _of(resources, "ApiGateway::Stage") for setting in stage.get("MethodSettings", ())
    )
    measured = any(setting.get("MetricsEnabled") for setting in settings)
    return _count(resources, "ApiGateway::Method") if measured else 0


def _emails(resources: Mapping[str, Any]) -> int:
    return sum(
        properties["Protocol"] == "email" and not str(properties["TopicArn"].get("Ref", "")).startswith("Alarms")
        for _, properties in _of(resources, "SNS::Subscription")
    )


def _database(resources: Mapping[str, Any]) -> Database:
    _, properties = next(_of(resources, "RDS::DBInstance"))
    return Database(
        instance_class=str(properties["DBInstanceClass"]),
        storage_gb=int(properties["AllocatedStorage"]),
        multi_az=bool(properties.get("MultiAZ")),
    )


def _original_days(resources: Mapping[str, Any]) -> int:
    _, properties = next(_of(resources, "S3::Bucket"))
    rules = properties["LifecycleConfiguration"]["Rules"]
    return next((int(rule["ExpirationInDays"]) for rule in rules if "ExpirationInDays" in rule), _FOR_EVER_DAYS)

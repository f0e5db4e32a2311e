"""Everything that differs between stages, typed and validated in one place.

A stage is an entry in `STAGES`. What is given with `cdk … -c name=value` wins over the stage's entry, which wins
over the defaults below. Anything wrong (an unknown stage, an unknown name, a value out of range) raises
`SettingsError`, whose text is one line that names the setting, the value and the rule.
"""

import json
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

APPLICATION = "serverless-shop"
"""Value of the tag `application` on every stack of the shop and on what is in it."""

DEFAULT_STAGE = "dev"

_STAGE_NAME = r"\A[a-z][a-z0-9-]{0,19}\Z"
_EMAIL = r"\A[^@\s]+@[^@\s]+\.[^@\s]+\Z"
_PHONE_NUMBER = r"\A\+[1-9][0-9]{6,14}\Z"
_PRINCIPAL_ARN = r"\Aarn:[a-z-]+:iam::([0-9]{12}|\*):[^\s]+\Z"
_CRON_FIELD = r"[0-9A-Za-z*,/#-]+"
_SCHEDULE = (
    rf"\A(cron\({_CRON_FIELD} {_CRON_FIELD} (\? {_CRON_FIELD} {_CRON_FIELD}|{_CRON_FIELD} {_CRON_FIELD} \?)"
    rf" {_CRON_FIELD}\)|rate\([1-9][0-9]* (minutes?|hours?|days?)\))\Z"
)
_DAILY = r"cron\(([0-9]+) ([0-9]+) (?:\* \* \?|\? \* \*) \*\)"
_INSTANCE_TYPE = r"\A[a-z][a-z0-9-]*\.[a-z0-9]+\Z"
_PREFIX = r"\A(?!(ingest|original|all)\Z)[a-z][a-z0-9-]{0,29}\Z"
_CONSTRUCT_ID = r"\A[A-Z][A-Za-z0-9]{0,39}\Z"
_PATTERNS_IN_WORDS = {
    _STAGE_NAME: "1-20 lower-case letters, digits and hyphens, a letter first",
    _EMAIL: "an e-mail address",
    _PHONE_NUMBER: "a telephone number in E.164 form, such as +12065550100",
    _PRINCIPAL_ARN: "an IAM principal's ARN, such as arn:aws:iam::111122223333:role/operator",
    _SCHEDULE: "cron(minutes hours day-of-month month day-of-week year), one of the days a ?, or rate(value unit)",
    _INSTANCE_TYPE: "an instance type without its db., such as t4g.micro",
    _PREFIX: "1-30 lower-case letters, digits and hyphens, a letter first, and not ingest, original or all",
    _CONSTRUCT_ID: "1-40 letters and digits, a capital letter first",
}

StageName = Annotated[str, Meta(pattern=_STAGE_NAME)]
Email = Annotated[str, Meta(pattern=_EMAIL, max_length=254)]
PhoneNumber = Annotated[str, Meta(pattern=_PHONE_NUMBER)]
PrincipalArn = Annotated[str, Meta(pattern=_PRINCIPAL_ARN)]
ScheduleExpression = Annotated[str, Meta(pattern=_SCHEDULE)]
"""EventBridge Scheduler, "Schedule types": what recurs."""
InstanceType = Annotated[str, Meta(pattern=_INSTANCE_TYPE)]
MemoryMegabytes = Annotated[int, Meta(ge=128, le=10240)]
"""AWS Lambda quotas: memory from 128 MB to 10,240 MB."""
TimeoutSeconds = Annotated[int, Meta(ge=1, le=900)]
"""AWS Lambda quotas: a function runs for at most 900 seconds."""
ImageSuffix = Literal[".jpg", ".jpeg", ".JPG", ".png", ".webp"]
LogRetentionDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]  # fmt: skip
"""The retention periods that Amazon CloudWatch Logs offers (PutRetentionPolicy)."""


_IMAGE_BYTES_A_PIXEL = 12
_BESIDE_THE_IMAGE_MB = 120
"""What resizing takes at its peak: so many bytes for each pixel of the worst kind of image (measured: decision 0015),
the file, and the interpreter with its libraries."""


class SettingsError(ValueError):
    """A setting is wrong; the text is one line that names the setting, the value and the rule."""


class ImageSize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the sizes that images are made in: it has a queue and a function of its own."""

    prefix: Annotated[str, Meta(pattern=_PREFIX)]
    """Where the results are in the bucket, without the slash."""
    function: Annotated[str, Meta(pattern=_CONSTRUCT_ID)]
    """The function's construct id."""
    width: Annotated[int, Meta(ge=1, le=4_096)]
    height: Annotated[int, Meta(ge=1, le=4_096)]
    """Pixels that the image is made to fit into."""
    quality: Annotated[int, Meta(ge=1, le=95)] = 85
    """Of the encoder. Pillow, "JPEG: Saving": above 95 files grow and images do not get better."""
    format: Literal["jpeg", "webp"] = "jpeg"

    @property
    def queue(self) -> str:
        """The queue's construct id: the prefix in Pascal case."""
        return "".join(word[:1].upper() + word[1:] for word in self.prefix.split("-"))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage's settings. Durations are in the unit of the name's ending."""

    stage: StageName

    keep_data: bool = False
    """Tables, buckets, queues, topics, keys and logs outlive their stack and refuse deletion where AWS can."""
    log_retention_days: LogRetentionDays = 30
    customer_managed_keys: bool = False
    """Tables, queues and log groups are encrypted by a key of their stack's own instead of keys that AWS owns."""
    gradual_deployments: Literal["off", "canary", "linear"] = "off"
    """How a new version of a function takes over: at once, with a tenth of the events for five minutes, or with a tenth
    more each minute; the latter two by AWS CodeDeploy, which goes back to the old version when the new one fails."""
    build_for: Literal["aws", "host"] = "aws"
    """Functions' packages are for AWS Lambda, or for the Python and processor of the machine that synthesises."""
    manage_api_gateway_log_role: bool = True
    """API Gateway writes logs by one role for the whole account and region; off where somebody else owns it."""

    alarm_email: Email | None = None
    order_emails: tuple[Email, ...] = ()
    order_phone_numbers: tuple[PhoneNumber, ...] = ()
    operator_principal_arns: tuple[PrincipalArn, ...] = ()
    """Who, besides the shop's own roles, may send to and receive from the orders queue (`*` and `?` match)."""

    orders_requests_per_second: Annotated[int, Meta(ge=1, le=10_000)] = 100
    orders_burst: Annotated[int, Meta(ge=1, le=5_000)] = 200
    orders_daily_quota: Annotated[int, Meta(ge=1)] = 1_000_000

    order_processor_memory_mb: MemoryMegabytes = 512
    order_processor_timeout_seconds: TimeoutSeconds = 10
    order_processor_max_concurrency: Annotated[int, Meta(ge=2, le=1_000)] = 50
    """AWS Lambda, MaximumConcurrency of an SQS event source: 2 to 1,000."""

    order_notifier_memory_mb: MemoryMegabytes = 512
    order_notifier_timeout_seconds: TimeoutSeconds = 15
    order_notifier_retry_attempts: Annotated[int, Meta(ge=1, le=10_000)] = 10
    order_notifier_max_record_age_seconds: Annotated[int, Meta(ge=60, le=86_400)] = 14_400
    """A record lives for 24 hours in the stream; what fails for longer than this goes to the failure queue."""

    order_simulator_memory_mb: MemoryMegabytes = 512

    order_service_authorization: Literal["aws_iam", "api_key", "aws_iam_and_api_key"] = "aws_iam"
    """AWS_IAM: requests are signed (SigV4). An API key alone tells callers apart; it proves nothing about them."""
    order_service_requests_per_second: Annotated[int, Meta(ge=1, le=10_000)] = 100
    order_service_burst: Annotated[int, Meta(ge=1, le=5_000)] = 200
    order_service_daily_quota: Annotated[int, Meta(ge=1)] = 1_000_000
    """Of the API key, where there is one."""
    order_service_memory_mb: MemoryMegabytes = 512
    order_service_timeout_seconds: Annotated[int, Meta(ge=1, le=29)] = 5
    """API Gateway waits for a function for at most 29 seconds (quotas of REST APIs)."""

    order_service_snap_start: bool = False
    """Cold starts restore a snapshot instead of importing; that has its own price (decision 0026)."""

    time_zone: str = "UTC"
    """Where the shop's days begin and end: a name of the IANA time zone database."""
    report_schedule: ScheduleExpression = "cron(0 2 * * ? *)"
    """When the report of the day before is made, in the shop's time zone."""
    report_due: ScheduleExpression = "cron(0 6 * * ? *)"
    """When somebody is told that the report of the day before was not mailed: later than it is made, same zone.

    What is not later is refused where both are daily, `cron(minutes hours * * ? *)` with one number each. Of other
    schedules it is not known: see to it yourself, also that it looks on days only on which a report is made.
    """
    report_emails: tuple[Email, ...] = ()
    report_query_seconds: Annotated[int, Meta(ge=1, le=600)] = 20
    report_api_requests_per_second: Annotated[int, Meta(ge=1, le=10_000)] = 5
    report_api_burst: Annotated[int, Meta(ge=1, le=5_000)] = 10
    report_old_versions_days: Annotated[int, Meta(ge=1)] = 30
    """How long a report that was made anew is kept beside the new one."""
    sales_report_memory_mb: MemoryMegabytes = 512
    sales_data_extractor_memory_mb: MemoryMegabytes = 512

    sales_recorder_memory_mb: MemoryMegabytes = 512
    sales_recorder_timeout_seconds: TimeoutSeconds = 15
    sales_recorder_max_concurrency: Annotated[int, Meta(ge=2, le=1_000)] = 5
    """Each has a connection to the database. AWS Lambda, MaximumConcurrency of an SQS event source: 2 to 1,000."""

    database_sign_in: Literal["iam", "password"] = "iam"
    """How functions sign in. By password only off AWS: in the isolated subnets nothing could read the secret there."""
    database_instance_type: InstanceType = "t4g.micro"
    database_storage_gb: Annotated[int, Meta(ge=20, le=13_107)] = 20
    """To begin with. Amazon RDS, gp3: 20 to 65,536 GiB, and it may grow to five times as much."""
    database_multi_az: bool = False
    database_backup_days: Annotated[int, Meta(ge=1, le=35)] = 7
    """Amazon RDS, automated backups: up to 35 days."""
    database_migrator_memory_mb: MemoryMegabytes = 512
    sample_data: bool = False
    """The first deployment fills the database with a café's products and some days' orders."""
    vpc_flow_logs: bool = True

    image_sizes: Annotated[tuple[ImageSize, ...], Meta(min_length=1)] = (
        ImageSize(prefix="thumbnail", function="CreateThumbnail", width=128, height=128),
        ImageSize(prefix="mobile", function="CreateMobileImage", width=640, height=640),
    )
    image_suffixes: Annotated[tuple[ImageSuffix, ...], Meta(min_length=1)] = (".jpg",)
    """Of keys whose objects are images to make smaller; S3 tells upper case from lower case."""
    image_memory_mb: MemoryMegabytes = 1_024
    image_timeout_seconds: TimeoutSeconds = 30
    image_max_megapixels: Annotated[int, Meta(ge=1, le=1_000)] = 60
    """Larger images are refused, because they would not fit into the memory."""
    image_max_file_mb: Annotated[int, Meta(ge=1, le=5_000)] = 100
    image_max_concurrency: Annotated[int, Meta(ge=2, le=1_000)] = 20
    """For each size. AWS Lambda, MaximumConcurrency of an SQS event source: 2 to 1,000."""
    image_originals_days: Annotated[int, Meta(ge=1)] = 30
    """How long originals are kept."""
    image_old_versions_days: Annotated[int, Meta(ge=1)] = 1
    """How long an image that was overwritten or deleted is kept."""
    image_emails: tuple[Email, ...] = ()
    """Who gets a mail for each original that comes in."""


STAGES: Mapping[str, Mapping[str, Any]] = {
    "local": {
        "build_for": "host",
        "log_retention_days": 7,
        "operator_principal_arns": ["arn:aws:iam::000000000000:root"],
        "orders_requests_per_second": 2_000,
        "orders_burst": 4_000,
        "order_processor_timeout_seconds": 3,
        # More at once would only wait for one another's share of a laptop's processors, some beyond their timeout.
        "order_processor_max_concurrency": 4,
        "order_notifier_retry_attempts": 3,
        "order_notifier_max_record_age_seconds": 60,
        "order_service_requests_per_second": 2_000,
        "order_service_burst": 4_000,
        "sample_data": True,
        "database_sign_in": "password",
        "report_query_seconds": 5,
        "sales_recorder_timeout_seconds": 3,
        "sales_recorder_max_concurrency": 2,
        "vpc_flow_logs": False,
        "image_timeout_seconds": 3,
        "image_max_concurrency": 4,
    },
    "dev": {"sample_data": True},
    "test": {"log_retention_days": 14},
    "prod": {
        "keep_data": True,
        "gradual_deployments": "canary",
        "log_retention_days": 365,
        "orders_requests_per_second": 1_000,
        "orders_burst": 2_000,
        "orders_daily_quota": 10_000_000,
        "order_processor_max_concurrency": 200,
        "order_service_requests_per_second": 1_000,
        "order_service_burst": 2_000,
        "order_service_daily_quota": 10_000_000,
        "database_instance_type": "t4g.small",
        "database_multi_az": True,
        "database_backup_days": 35,
        "sales_recorder_max_concurrency": 20,
    },
}
"""The stages that ship. To add one, add an entry: only what differs from the defaults of `Settings`."""


def load_settings(context: Mapping[str, Any]) -> Settings:
    """The settings of the stage that the CDK context names (`stage`, default `dev`), with the context's overrides.

    Values may be text, as `cdk -c` gives them: numbers and booleans are read from it, lists by their commas, or
    as JSON where they begin with `[`.
    Keys of CDK's own and of plug-ins, which have a `:`, `@` or `/` in them, are passed over.

    Raises:
        SettingsError: the stage or a setting is unknown, or a value breaks its rule.
    """
    overrides = {key: value for key, value in context.items() if not any(mark in key for mark in ":@/")}
    stage = overrides.pop("stage", DEFAULT_STAGE)
    if not isinstance(stage, str) or stage not in STAGES:
        raise SettingsError(f"stage: {stage!r} is not one of {', '.join(STAGES)} (see STAGES in stacks/settings.py)")
    values: dict[str, Any] = {**STAGES[stage], "stage": stage}
    for name, value in overrides.items():
        if name not in _FIELDS or name == "stage":
            raise SettingsError(_unknown(name))
        is_list = isinstance(_FIELDS[name].default, tuple)
        values[name] = _read_list(name, value) if is_list and isinstance(value, str) else value
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_in_words(str(error), values)) from error
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """What types cannot say.

    Raises:
        SettingsError: the time zone is unknown, or settings contradict each other.
    """
    if settings.time_zone not in zoneinfo.available_timezones():
        raise SettingsError(
            f"time_zone: {settings.time_zone!r} is refused for stage {settings.stage}: "
            "Expected a name of the IANA time zone database, such as Europe/Vienna"
        )
    if settings.database_sign_in == "password" and settings.build_for == "aws":
        raise SettingsError(
            f"database_sign_in: 'password' is refused for stage {settings.stage}: "
            "Expected iam with build_for aws, where nothing in the isolated subnets can read a secret"
        )
    _check_report_times(settings)
    if settings.order_service_snap_start and settings.build_for == "host":
        raise SettingsError(
            f"order_service_snap_start: True is refused for stage {settings.stage}: "
            "Expected false with build_for host, because only Lambda makes snapshots, of Python 3.12 and later"
        )
    _check_images(settings)


def _check_report_times(settings: Settings) -> None:
    made, due = _minute_of_day(settings.report_schedule), _minute_of_day(settings.report_due)
    if made is not None and due is not None and due <= made:
        raise SettingsError(
            f"report_due: {settings.report_due!r} is refused for stage {settings.stage}: "
            f"Expected a time of the day later than report_schedule, {settings.report_schedule}"
        )


def _minute_of_day(expression: str) -> int | None:
    """When each day a schedule is due, in minutes after midnight; None for one that is not once each day."""
    found = re.fullmatch(_DAILY, expression)
    return int(found[2]) * 60 + int(found[1]) if found else None


def _check_images(settings: Settings) -> None:
    sizes = settings.image_sizes
    names = [*(size.queue for size in sizes), *(size.function for size in sizes)]
    if repeated := _first_repeated(names):
        raise SettingsError(
            f"image_sizes: {repeated!r} is refused for stage {settings.stage}: "
            "Expected prefixes and functions that name each queue (Pascal case) and function once"
        )
    if repeated := _first_repeated(settings.image_suffixes):
        raise SettingsError(
            f"image_suffixes: {repeated!r} is refused for stage {settings.stage}: Expected each suffix once"
        )
    needed_mb = _IMAGE_BYTES_A_PIXEL * settings.image_max_megapixels + settings.image_max_file_mb + _BESIDE_THE_IMAGE_MB
    if settings.image_memory_mb < needed_mb:
        raise SettingsError(
            f"image_memory_mb: {settings.image_memory_mb} is refused for stage {settings.stage}: Expected >= "
            f"{needed_mb} for {settings.image_max_megapixels} megapixels in a file of {settings.image_max_file_mb} MB"
        )


def _first_repeated(values: Sequence[str]) -> str | None:
    return next((value for value in values if values.count(value) > 1), None)


_FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}


def _unknown(name: str) -> str:
    similar = get_close_matches(name, _FIELDS, n=1)
    guess = f" (did you mean {similar[0]}?)" if similar else ""
    return f"{name}: unknown setting{guess}; class Settings in stacks/settings.py has them all"


def _read_list(name: str, text: str) -> Any:
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{name}: {text!r} is not JSON: {error}") from error


def _in_words(problem: str, values: Mapping[str, Any]) -> str:
    """The validator's message as one line for a person: setting, value, rule."""
    rule, _, path = problem.partition(" - at `$.")
    place = path.rstrip("`")
    if not place:
        return f"stage {values['stage']}: {rule}"
    for pattern, words in _PATTERNS_IN_WORDS.items():
        rule = rule.replace(f"`str` matching regex {pattern!r}", words)
    expected, value = _at(place, values)
    if choices := get_args(expected) if rule.startswith("Invalid enum value") else ():
        rule = f"Expected one of {', '.join(map(str, choices))}"
    return f"{place}: {value!r} is refused for stage {values['stage']}: {rule}"


def _at(place: str, values: Mapping[str, Any]) -> tuple[Any, Any]:
    """The type and the value of what stands at a place, such as `image_sizes[1].format`."""
    expected: Any = Settings
    value: Any = values
    for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", place):
        types = {field.name: field.type for field in msgspec.structs.fields(expected)}
        expected, value = _plain(types[name]), value[name]
        if index:
            expected, value = _plain(get_args(expected)[0]), value[int(index)]
    return expected, value


def _plain(annotated: Any) -> Any:
    """A type without its rules."""
    return get_args(annotated)[0] if get_origin(annotated) is Annotated else annotated

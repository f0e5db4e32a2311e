"""What the image fan-out's template must say and the local cloud cannot show."""

from typing import Any

import pytest

from stacks.settings import STAGES, load_settings
from tests.templates import rules
from tests.templates.synthesis import THREE_SIZES, Template, own_outputs, resources, synthesise, the_only

pytestmark = pytest.mark.xdist_group("templates")

SIZES = {"Thumbnail": "CreateThumbnail", "Mobile": "CreateMobileImage"}
PREFIXES = {"CreateThumbnail": "thumbnail", "CreateMobileImage": "mobile"}
BUCKET_OUTPUTS = {"ImagesBucketName", "ResizeTopicArn"}


def fanout(stage: str = "dev", **overrides: str) -> Template:
    return synthesise(stage, **overrides).templates[f"{stage}-image-fanout"]


@pytest.fixture
def template() -> Template:
    return fanout()


def _outputs(sizes: dict[str, str]) -> set[str]:
    of_sizes = [
        {f"{queue}QueueUrl", f"{queue}DeadLetterQueueUrl", f"{function}FunctionName"}
        for queue, function in sizes.items()
    ]
    return BUCKET_OUTPUTS.union(*of_sizes)


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_are_those_that_others_rely_on(stage: str) -> None:
    assert set(own_outputs(fanout(stage))) == _outputs(SIZES)


def test_outputs_lead_to_what_they_name(template: Template) -> None:
    led_to = {key: _name(_target(output["Value"])) for key, output in own_outputs(template).items()}
    assert led_to == {
        "ImagesBucketName": "Images",
        "ResizeTopicArn": "ResizeTopic",
        "ThumbnailQueueUrl": "ThumbnailQueue",
        "ThumbnailDeadLetterQueueUrl": "ThumbnailDeadLetters",
        "CreateThumbnailFunctionName": "CreateThumbnail",
        "MobileQueueUrl": "MobileQueue",
        "MobileDeadLetterQueueUrl": "MobileDeadLetters",
        "CreateMobileImageFunctionName": "CreateMobileImage",
    }


@pytest.mark.parametrize("stage", STAGES)
def test_stack_stands_alone(stage: str) -> None:
    assert "Fn::ImportValue" not in str(fanout(stage))


# Bucket


def test_originals_expire_and_results_stay() -> None:
    bucket = the_only(fanout(image_originals_days="12", image_old_versions_days="3"), "AWS::S3::Bucket")
    everywhere, originals = bucket["LifecycleConfiguration"]["Rules"]
    assert everywhere == {
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        "Status": "Enabled",
    }
    assert originals == {"Prefix": "ingest/", "ExpirationInDays": 12, "Status": "Enabled"}


def test_originals_are_kept_for_thirty_days_and_old_versions_for_one(template: Template) -> None:
    everywhere, originals = the_only(template, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert originals["ExpirationInDays"] == 30
    assert everywhere["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1


# Notifications


def test_bucket_tells_the_topic_of_originals_of_every_suffix() -> None:
    notifications = the_only(fanout(image_suffixes=".jpg,.JPG,.webp"), "Custom::BucketNotifications")
    assert _name(_target(notifications["BucketName"])) == "Images"
    assert _name(_target(notifications["TopicArn"])) == "ResizeTopic"
    assert (notifications["Prefix"], notifications["Suffixes"]) == ("ingest/", [".jpg", ".JPG", ".webp"])
    assert _name(_target(notifications["ServiceToken"])) == "NotificationsFunction"


@pytest.mark.parametrize("stage", STAGES)
def test_only_jpg_is_told_of_as_it_ships(stage: str) -> None:
    assert the_only(fanout(stage), "Custom::BucketNotifications")["Suffixes"] == [".jpg"]


def test_cloudformation_waits_longer_than_the_function_runs(template: Template) -> None:
    waits = int(the_only(template, "Custom::BucketNotifications")["ServiceTimeout"])
    assert waits > the_only(template, "AWS::Lambda::Function", "NotificationsFunction")["Timeout"]


def test_first_image_finds_every_queue(template: Template) -> None:
    (notifications,) = [r for r in template["Resources"].values() if r["Type"] == "Custom::BucketNotifications"]
    needed = ("AWS::SNS::Subscription", "AWS::SQS::QueuePolicy", "AWS::Lambda::EventSourceMapping")
    for resource_type in needed:
        assert set(resources(template, resource_type)) <= set(notifications["DependsOn"])
    policies = {name for name in resources(template, "AWS::SNS::TopicPolicy") if name.startswith("ResizeTopic")}
    assert policies <= set(notifications["DependsOn"])


def test_s3_may_publish_for_this_bucket_of_this_account_only(template: Template) -> None:
    statements = the_only(template, "AWS::SNS::TopicPolicy", "ResizeTopicPolicy")["PolicyDocument"]["Statement"]
    (allowed,) = [statement for statement in statements if statement["Effect"] == "Allow"]
    bucket = _logical_id(template, "AWS::S3::Bucket", "Images")
    assert allowed == {
        "Sid": allowed["Sid"],
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": {"Ref": _logical_id(template, "AWS::SNS::Topic", "ResizeTopic")},
        "Condition": {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [bucket, "Arn"]}},
        },
    }


def test_s3_and_alarms_and_no_other_service_may_use_the_key(template: Template) -> None:
    statements = the_only(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (services,) = [statement for statement in statements if "Service" in statement["Principal"]]
    assert services["Principal"] == {"Service": ["cloudwatch.amazonaws.com", "s3.amazonaws.com"]}
    assert services["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert services["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


# Queues


@pytest.mark.parametrize("queue", SIZES)
def test_events_come_raw_to_each_queue(template: Template, queue: str) -> None:
    subscription = the_only(template, "AWS::SNS::Subscription", queue)
    assert (subscription["Protocol"], subscription["RawMessageDelivery"]) == ("sqs", True)
    assert _name(_target(subscription["TopicArn"])) == "ResizeTopic"
    assert _name(_target(subscription["Endpoint"])) == f"{queue}Queue"
    assert _name(_target(subscription["RedrivePolicy"]["deadLetterTargetArn"])) == f"{queue}DeadLetters"
    assert "FilterPolicy" not in subscription


@pytest.mark.parametrize("queue", ["ThumbnailQueue", "ThumbnailDeadLetters", "MobileQueue", "MobileDeadLetters"])
def test_only_the_resize_topic_may_send_to_a_queue(template: Template, queue: str) -> None:
    statements = the_only(template, "AWS::SQS::QueuePolicy", f"{queue}Policy")["PolicyDocument"]["Statement"]
    (allowed,) = [statement for statement in statements if statement["Effect"] == "Allow"]
    topic = _logical_id(template, "AWS::SNS::Topic", "ResizeTopic")
    assert allowed == {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": {"Fn::GetAtt": [_logical_id(template, "AWS::SQS::Queue", queue), "Arn"]},
        "Condition": {"ArnEquals": {"aws:SourceArn": {"Ref": topic}}},
    }


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("queue", SIZES)
def test_images_come_one_by_one_with_bounded_concurrency(stage: str, queue: str) -> None:
    mapping = the_only(fanout(stage), "AWS::Lambda::EventSourceMapping", f"{queue}Mapping")
    assert _name(_target(mapping["EventSourceArn"])) == f"{queue}Queue"
    assert _name(rules._function_of(fanout(stage), mapping["FunctionName"])) == SIZES[queue]
    assert mapping["BatchSize"] == 1
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": load_settings({"stage": stage}).image_max_concurrency}


@pytest.mark.parametrize("queue", SIZES)
def test_local_stage_dead_letters_within_a_minute(queue: str) -> None:
    found = the_only(fanout("local"), "AWS::SQS::Queue", f"{queue}Queue")
    assert found["VisibilityTimeout"] * found["RedrivePolicy"]["maxReceiveCount"] < 60


@pytest.mark.parametrize("queue", SIZES)
def test_each_queue_has_alarms_of_its_own(template: Template, queue: str) -> None:
    watched = {
        (alarm["MetricName"], _name(_target(dimension["Value"])))
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Dimensions"]
    }
    assert ("ApproximateNumberOfMessagesVisible", f"{queue}DeadLetters") in watched
    assert ("ApproximateAgeOfOldestMessage", f"{queue}Queue") in watched


# Functions and what they may do


@pytest.mark.parametrize("stage", STAGES)
def test_functions_get_what_the_settings_say(stage: str) -> None:
    template, settings = fanout(stage), load_settings({"stage": stage})
    for name, (prefix, pixels) in {
        "CreateThumbnail": ("thumbnail/", "128"),
        "CreateMobileImage": ("mobile/", "640"),
    }.items():
        function = the_only(template, "AWS::Lambda::Function", name)
        variables = dict(function["Environment"]["Variables"])
        assert _name(_target(variables.pop("IMAGES_BUCKET"))) == "Images"
        assert variables == {
            "SOURCE_PREFIX": "ingest/",
            "TARGET_PREFIX": prefix,
            "IMAGE_WIDTH": pixels,
            "IMAGE_HEIGHT": pixels,
            "IMAGE_QUALITY": "85",
            "IMAGE_FORMAT": "jpeg",
            "MAX_PIXELS": "60000000",
            "MAX_FILE_BYTES": "100000000",
            "SHOP_STAGE": stage,
        }
        assert function["Handler"] == "image_resizer.handler.handler"
        assert function["MemorySize"] == settings.image_memory_mb
        assert function["Timeout"] == settings.image_timeout_seconds


def test_limits_are_what_the_settings_say() -> None:
    template = fanout(image_max_megapixels="24", image_max_file_mb="30", image_memory_mb="512")
    function = the_only(template, "AWS::Lambda::Function", "CreateMobileImage")
    variables = function["Environment"]["Variables"]
    assert (variables["MAX_PIXELS"], variables["MAX_FILE_BYTES"]) == ("24000000", "30000000")
    assert function["MemorySize"] == 512


@pytest.mark.parametrize(("queue", "function"), SIZES.items())
def test_a_function_may_do_exactly_this(template: Template, queue: str, function: str) -> None:
    bucket = {"Fn::GetAtt": [_logical_id(template, "AWS::S3::Bucket", "Images"), "Arn"]}
    source = {"Fn::GetAtt": [_logical_id(template, "AWS::SQS::Queue", f"{queue}Queue"), "Arn"]}
    assert _statements(template, function) == [
        *_own_logs_and_traces(template, function),
        _allow(["s3:GetObject", "s3:GetObjectVersion"], {"Fn::Join": ["", [bucket, "/ingest/*"]]}),
        _allow("s3:ListBucket", bucket)
        | {"Condition": {"StringLikeIfExists": {"s3:prefix": ["ingest/*", f"{PREFIXES[function]}/*"]}}},
        _allow(["s3:GetObject", "s3:PutObject"], {"Fn::Join": ["", [bucket, f"/{PREFIXES[function]}/*"]]}),
        _allow(["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"], source),
    ]


def test_the_function_of_the_notifications_may_do_exactly_this(template: Template) -> None:
    bucket = {"Fn::GetAtt": [_logical_id(template, "AWS::S3::Bucket", "Images"), "Arn"]}
    assert _statements(template, "NotificationsFunction") == [
        *_own_logs_and_traces(template, "NotificationsFunction"),
        _allow("s3:PutBucketNotification", bucket),
    ]


def test_no_role_has_more_than_its_policy(template: Template) -> None:
    roles = resources(template, "AWS::IAM::Role")
    assert {_name(name) for name in roles} == {
        "CreateThumbnailRole",
        "CreateMobileImageRole",
        "NotificationsFunctionRole",
    }
    assert not [name for name, role in roles.items() if "ManagedPolicyArns" in role or "Policies" in role]
    assert len(resources(template, "AWS::IAM::Policy")) == len(roles)


def test_both_sizes_are_one_package(template: Template) -> None:
    packages = [the_only(template, "AWS::Lambda::Function", name)["Code"]["S3Key"] for name in SIZES.values()]
    assert len(set(packages)) == 1


# Sizes by settings


def test_an_entry_in_settings_makes_all_that_a_size_needs() -> None:
    two, three = fanout(), fanout(image_sizes=THREE_SIZES)
    assert set(own_outputs(three)) == _outputs(SIZES | {"ShopWindow": "CreateBanner"})
    added = {
        (resource["Type"], _name(name)) for name, resource in three["Resources"].items() if name not in two["Resources"]
    }
    assert {what for what in added if what[0] != "AWS::SNS::Subscription"} == {
        ("AWS::SQS::Queue", "ShopWindowQueue"),
        ("AWS::SQS::Queue", "ShopWindowDeadLetters"),
        ("AWS::SQS::QueuePolicy", "ShopWindowQueuePolicy"),
        ("AWS::SQS::QueuePolicy", "ShopWindowDeadLettersPolicy"),
        ("AWS::Lambda::EventSourceMapping", "ShopWindowMapping"),
        ("AWS::Lambda::Function", "CreateBanner"),
        ("AWS::IAM::Role", "CreateBannerRole"),
        ("AWS::IAM::Policy", "CreateBannerRoleDefaultPolicy"),
        ("AWS::Logs::LogGroup", "CreateBannerLogs"),
        ("AWS::CloudWatch::Alarm", "AlarmsShopWindowDeadLettersNotEmpty"),
        ("AWS::CloudWatch::Alarm", "AlarmsShopWindowWaiting"),
        ("AWS::CloudWatch::Alarm", "AlarmsCreateBannerFails"),
        ("AWS::CloudWatch::Alarm", "AlarmsCreateBannerThrottled"),
    }
    assert _name(_target(the_only(three, "AWS::SNS::Subscription", "ShopWindow")["Endpoint"])) == "ShopWindowQueue"


def test_an_added_size_is_made_as_its_entry_says() -> None:
    template = fanout(image_sizes=THREE_SIZES)
    variables = the_only(template, "AWS::Lambda::Function", "CreateBanner")["Environment"]["Variables"]
    names = ("TARGET_PREFIX", "IMAGE_WIDTH", "IMAGE_HEIGHT", "IMAGE_QUALITY", "IMAGE_FORMAT")
    assert [variables[name] for name in names] == ["shop-window/", "1600", "400", "90", "webp"]
    (writing,) = [s for s in _statements(template, "CreateBanner") if "s3:PutObject" in s["Action"]]
    assert writing["Resource"]["Fn::Join"][1][1] == "/shop-window/*"


def test_what_was_there_stays_where_it_was_when_a_size_is_added() -> None:
    two, three = fanout(), fanout(image_sizes=THREE_SIZES)
    for name, resource in two["Resources"].items():
        if "Notifications" not in name:  # which comes after the new queue too
            assert three["Resources"][name] == resource, name


def test_events_are_mailed_to_whom_the_settings_name() -> None:
    template = fanout(image_emails="a@example.com,b@example.com")
    mails = [s for s in resources(template, "AWS::SNS::Subscription").values() if s["Protocol"] == "email"]
    assert {mail["Endpoint"] for mail in mails} == {"a@example.com", "b@example.com"}
    assert {_name(mail["TopicArn"]["Ref"]) for mail in mails} == {"ResizeTopic"}


def _own_logs_and_traces(template: Template, function: str) -> list[dict[str, Any]]:
    logs = _logical_id(template, "AWS::Logs::LogGroup", f"{function}Logs")
    return [
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], {"Fn::GetAtt": [logs, "Arn"]}),
        _allow(["xray:PutTelemetryRecords", "xray:PutTraceSegments"], "*"),
    ]


def _allow(actions: list[str] | str, resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _statements(template: Template, function: str) -> list[dict[str, Any]]:
    """What the policy of the function's role says."""
    policy = the_only(template, "AWS::IAM::Policy", f"{function}Role")
    return list(policy["PolicyDocument"]["Statement"])


def _logical_id(template: Template, resource_type: str, name: str) -> str:
    (found,) = [logical_id for logical_id in resources(template, resource_type) if _name(logical_id) == name]
    return found


def _name(logical_id: str) -> str:
    """The construct id, from a logical id that ends in the CDK's hash of eight digits."""
    return logical_id[:-8]


def _target(value: Any) -> str:
    """The logical id that a Ref or GetAtt is about; nothing for anything else."""
    if not isinstance(value, dict):
        return ""
    return str(value.get("Ref") or value.get("Fn::GetAtt", [""])[0])

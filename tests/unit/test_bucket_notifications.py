"""The custom resource that has a bucket tell a topic: what S3 is asked for, and that CloudFormation gets an answer."""

from typing import Any

import boto3
import pytest
from moto import mock_aws

from bucket_notifications import handler as notifications
from shared.aws import CLIENT_CONFIG
from tests.unit.cloudformation import request
from tests.unit.fakes import Clock, client_error, timeout

TOPIC = "arn:aws:sns:us-east-1:123456789012:resize"


class _S3:
    """Remembers each bucket's configuration, after the failures that it is told to have."""

    def __init__(self) -> None:
        self.configurations: dict[str, Any] = {}
        self.failures: list[Exception] = []

    def put_bucket_notification_configuration(self, *, Bucket: str, NotificationConfiguration: Any) -> None:  # noqa: N803
        if self.failures:
            raise self.failures.pop(0)
        self.configurations[Bucket] = NotificationConfiguration


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> _S3:
    found = _S3()
    monkeypatch.setattr(notifications, "_s3", found)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(60)
    monkeypatch.setattr("time.sleep", clock.sleep)
    return clock


def _event(request_type: str, *, bucket: str = "images", **more: str) -> dict[str, Any]:
    properties = {"BucketName": bucket, "TopicArn": TOPIC, "Prefix": "ingest/", "Suffixes": [".jpg", ".png"]}
    return request(request_type, "Notifications", properties, **more)


def _rules(configuration: Any) -> list[dict[str, str]]:
    return [
        {rule["Name"].lower(): rule["Value"] for rule in entry["Filter"]["Key"]["FilterRules"]}
        for entry in configuration["TopicConfigurations"]
    ]


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_each_suffix_is_told_of(request_type: str, s3: _S3, clock: Clock, answers: list[dict[str, Any]]) -> None:
    notifications.handler(_event(request_type), clock)

    configuration = s3.configurations["images"]
    assert configuration.keys() == {"TopicConfigurations"}
    assert _rules(configuration) == [
        {"prefix": "ingest/", "suffix": ".jpg"},
        {"prefix": "ingest/", "suffix": ".png"},
    ]
    for entry in configuration["TopicConfigurations"]:
        assert (entry["TopicArn"], entry["Events"]) == (TOPIC, ["s3:ObjectCreated:*"])
    assert (answers[0]["Status"], answers[0]["PhysicalResourceId"]) == ("SUCCESS", "images")


@pytest.mark.usefixtures("clock")
def test_s3_takes_the_configuration_and_its_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.custom_resource._answer", lambda *_: None)
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", config=CLIENT_CONFIG)
        monkeypatch.setattr(notifications, "_s3", s3)
        s3.create_bucket(Bucket="images")
        topic = boto3.client("sns", region_name="us-east-1").create_topic(Name="resize")["TopicArn"]
        created = _event("Create")
        created["ResourceProperties"]["TopicArn"] = topic

        notifications.handler(created, Clock(60))
        stored = s3.get_bucket_notification_configuration(Bucket="images")
        assert _rules(stored) == [{"prefix": "ingest/", "suffix": ".jpg"}, {"prefix": "ingest/", "suffix": ".png"}]
        assert {entry["TopicArn"] for entry in stored["TopicConfigurations"]} == {topic}

        notifications.handler(created | {"RequestType": "Delete", "PhysicalResourceId": "images"}, Clock(60))
        assert "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket="images")


def test_a_deletion_removes_all(s3: _S3, clock: Clock, answers: list[dict[str, Any]]) -> None:
    s3.configurations["images"] = notifications.configuration(TOPIC, "ingest/", [".jpg"])
    notifications.handler(_event("Delete", PhysicalResourceId="images"), clock)

    assert s3.configurations["images"] == {}
    assert answers[0]["Status"] == "SUCCESS"


def test_the_deletion_for_a_bucket_that_is_gone_has_nothing_to_do(
    s3: _S3, clock: Clock, answers: list[dict[str, Any]]
) -> None:
    s3.failures = [client_error("NoSuchBucket", 404)]
    notifications.handler(_event("Delete", PhysicalResourceId="images"), clock)

    assert answers[0]["Status"] == "SUCCESS"
    assert not clock.pauses


def test_a_failed_creation_is_deleted_under_the_id_that_it_had(
    s3: _S3, clock: Clock, answers: list[dict[str, Any]]
) -> None:
    notifications.handler(_event("Delete", PhysicalResourceId="made-by-cloudformation"), clock)

    assert answers[0]["PhysicalResourceId"] == "made-by-cloudformation"
    assert s3.configurations == {"images": {}}


@pytest.mark.usefixtures("s3")
def test_another_bucket_is_another_resource(clock: Clock, answers: list[dict[str, Any]]) -> None:
    notifications.handler(_event("Update", bucket="newer", PhysicalResourceId="images"), clock)

    assert answers[0]["PhysicalResourceId"] == "newer"


@pytest.mark.parametrize(
    "failure",
    [
        client_error("InvalidArgument"),  # S3 may not publish on the topic (yet)
        client_error("AccessDenied", 403),
        client_error("OperationAborted", 409),
        client_error("SlowDown", 503),
        timeout(),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_may_pass_is_waited_out(failure: Exception, s3: _S3, clock: Clock, answers: list[dict[str, Any]]) -> None:
    s3.failures = [failure] * 4
    notifications.handler(_event("Create"), clock)

    assert len(clock.pauses) == 4
    assert "images" in s3.configurations
    assert answers[0]["Status"] == "SUCCESS"


def test_what_does_not_pass_fails_the_deployment_in_time(s3: _S3, clock: Clock, answers: list[dict[str, Any]]) -> None:
    s3.failures = [client_error("InvalidArgument")] * 10_000
    notifications.handler(_event("Create"), clock)

    assert answers[0]["Status"] == "FAILED"
    assert "InvalidArgument" in answers[0]["Reason"]
    assert sum(clock.pauses) > 20
    # A last try that S3 leaves without an answer, and telling CloudFormation, still fit.
    assert clock.seconds_left > notifications._READ_SECONDS + 5


@pytest.mark.parametrize("request_type", ["Create", "Delete"])
def test_other_refusals_are_not_waited_out(
    request_type: str, s3: _S3, clock: Clock, answers: list[dict[str, Any]]
) -> None:
    s3.failures = [client_error("MalformedXML")]
    notifications.handler(_event(request_type, PhysicalResourceId="images"), clock)

    assert not clock.pauses
    assert (answers[0]["Status"], answers[0]["PhysicalResourceId"]) == ("FAILED", "images")
    assert "MalformedXML" in answers[0]["Reason"]


def test_a_bucket_that_is_gone_cannot_be_told(s3: _S3, clock: Clock, answers: list[dict[str, Any]]) -> None:
    s3.failures = [client_error("NoSuchBucket", 404)]
    notifications.handler(_event("Update"), clock)

    assert answers[0]["Status"] == "FAILED"

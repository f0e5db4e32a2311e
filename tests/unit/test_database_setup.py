"""The custom resource's handler: what it hands to the migrator, and that CloudFormation always gets an answer."""

import io
import json
import logging
from typing import Any

import pytest

from database_setup import handler as setup
from tests.unit.cloudformation import request
from tests.unit.fakes import Clock, client_error

_ENVIRONMENT = {
    "MIGRATOR_FUNCTION_NAME": "migrator",
    "DATABASE_SECRET_ARN": "arn:master",
    "DB_URL": "db.example.com:3306",
    "DB_NAME": "cafe",
    "EXTRACTOR_USER": "sales_reader",
    "RECORDER_USER": "sales_recorder",
    "SAMPLE_DATA": "true",
    "SHOP_TIME_ZONE": "Europe/Rome",
}
_SECRETS = {
    "arn:master": {"username": "shop_admin", "password": "master-password"},
    "arn:reader": {"username": "sales_reader", "password": "reader-password"},
    "arn:recorder": {"username": "sales_recorder", "password": "recorder-password"},
}


class _Secrets:
    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 (boto3's spelling)
        return {"SecretString": json.dumps(_SECRETS[SecretId])}


class _Migrator:
    """The Lambda client: remembers what the migrator was invoked with, and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.result: Any = {"applied": []}
        self.failed = False
        self.refusals: list[str] = []
        """Error codes of the next invocations, which do not run it."""

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "migrator"
        if self.refusals:
            raise client_error(self.refusals.pop(0), 502)
        self.requests.append(json.loads(Payload))
        answer: dict[str, Any] = {"Payload": io.BytesIO(json.dumps(self.result).encode())}
        return answer | ({"FunctionError": "Unhandled"} if self.failed else {})


@pytest.fixture
def migrator(monkeypatch: pytest.MonkeyPatch) -> _Migrator:
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    found = _Migrator()
    monkeypatch.setattr(setup, "_secrets", _Secrets())
    monkeypatch.setattr(setup, "_lambda_client", lambda _: found)
    return found


def _event(request_type: str, **more: str) -> dict[str, Any]:
    return request(request_type, "Schema", {"Revision": "abc"}, **more)


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_the_migrator_gets_the_secrets_and_cloudformation_a_success(
    request_type: str, migrator: _Migrator, answers: list[dict[str, Any]]
) -> None:
    setup.handler(_event(request_type), Clock())

    assert migrator.requests == [
        {
            "dbUrl": "db.example.com:3306",
            "dbName": "cafe",
            "dbUser": "shop_admin",
            "dbPassword": "master-password",
            "users": {"sales_reader": None, "sales_recorder": None},
            "sampleData": True,
            "timeZone": "Europe/Rome",
        }
    ]
    assert answers == [
        {
            "Status": "SUCCESS",
            "Reason": "",
            "PhysicalResourceId": "database-schema",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "Schema",
        }
    ]


@pytest.mark.usefixtures("answers")
def test_users_with_secrets_sign_in_by_password(migrator: _Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTRACTOR_SECRET_ARN", "arn:reader")
    monkeypatch.setenv("RECORDER_SECRET_ARN", "arn:recorder")
    monkeypatch.setenv("SAMPLE_DATA", "false")
    setup.handler(_event("Create"), Clock())

    [invoked] = migrator.requests
    assert invoked["users"] == {"sales_reader": "reader-password", "sales_recorder": "recorder-password"}
    assert invoked["sampleData"] is False


def test_a_deletion_leaves_the_database_alone(migrator: _Migrator, answers: list[dict[str, Any]]) -> None:
    setup.handler(_event("Delete", PhysicalResourceId="earlier"), Clock())

    assert migrator.requests == []
    assert (answers[0]["Status"], answers[0]["PhysicalResourceId"]) == ("SUCCESS", "earlier")


def test_a_failed_migration_fails_the_deployment_with_its_reason(
    migrator: _Migrator, answers: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "shop")
    migrator.failed = True
    migrator.result = {"errorType": "MigrationRefused", "errorMessage": "0001_x.sql: was changed" + "é" * 5_000}
    setup.handler(_event("Update"), Clock())

    assert answers[0]["Status"] == "FAILED"
    assert answers[0]["Reason"].startswith("MigrationRefused: 0001_x.sql: was changed")
    assert len(json.dumps(answers[0]).encode()) < 4_096
    logged = " ".join(str(record.__dict__) for record in caplog.records)
    assert "was changed" in logged
    assert "password" not in logged + json.dumps(answers)


@pytest.mark.usefixtures("migrator")
def test_whatever_fails_is_answered(answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DB_NAME")
    setup.handler(_event("Create"), Clock())

    assert (answers[0]["Status"], answers[0]["Reason"]) == ("FAILED", "KeyError: 'DB_NAME'")


def test_the_migrator_is_waited_for_and_invoked_once() -> None:
    config: Any = setup._lambda_client(lambda: 600_000).meta.config

    assert config.read_timeout == 590
    assert config.retries["total_max_attempts"] == 1
    # A migration may take longer than a connection may be idle on its way.
    assert config.tcp_keepalive is True


def test_a_migrator_whose_network_lambda_has_to_bring_back_is_waited_for(
    migrator: _Migrator, answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(900)
    monkeypatch.setattr("time.sleep", clock.sleep)
    migrator.refusals = ["ResourceNotReadyException", "ResourceConflictException", "ResourceConflictException"]
    setup.handler(_event("Update"), clock)

    assert (answers[0]["Status"], len(migrator.requests), len(clock.pauses)) == ("SUCCESS", 1, 3)


@pytest.mark.parametrize(("seconds", "most"), [(900, 180), (60, 50)])
def test_a_migrator_that_never_gets_ready_fails_the_deployment_in_time(
    seconds: float, most: float, migrator: _Migrator, answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(seconds)
    monkeypatch.setattr("time.sleep", clock.sleep)
    migrator.refusals = ["ResourceNotReadyException"] * 1_000
    setup.handler(_event("Update"), clock)

    assert answers[0]["Status"] == "FAILED"
    assert "ResourceNotReadyException" in answers[0]["Reason"]
    assert 0 < sum(clock.pauses) <= most


def test_other_refusals_are_not_waited_out(
    migrator: _Migrator, answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", pytest.fail)
    migrator.refusals = ["AccessDeniedException"]
    setup.handler(_event("Update"), Clock(900))

    assert "AccessDeniedException" in answers[0]["Reason"]

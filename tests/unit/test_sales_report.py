"""The report function: which day, what it asks and keeps and mails, and that a failure is never an empty report."""

import csv
import io
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody
from moto import mock_aws

from sales_report import handler as report
from sales_report.extractor import ReportFailed
from shared import shop_days
from shared.report_days import InvalidEvent, read_day
from tests.embedded_metrics import counts
from tests.unit.fakes import Clock, client_error

PLAIN = "correct-horse-42"
"""The part of the password that looks the same however often it is quoted."""
PASSWORD = f'"{PLAIN}/ö\\'
BUCKET = "reports-bucket"
EXTRACTOR = "extractor-function"
TODAY = date(2026, 11, 26)
YESTERDAY = {"date": "2026-11-25"}
ROWS = [
    {
        "product_group_number": 1,
        "product_group_name": "Drinks",
        "product_id": 3,
        "product_name": "Caffè Latte",
        "quantity": 5,
    },
    {
        "product_group_number": 2,
        "product_group_name": "Pastries",
        "product_id": 1,
        "product_name": "Croissant",
        "quantity": 2,
    },
]


class FakeLambda:
    """`invoke` with one answer; keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.payload: bytes = json.dumps({"statusCode": 200, "body": ROWS}).encode()
        self.function_error: str | None = None
        self.error: Exception | None = None

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == EXTRACTOR
        self.requests.append(json.loads(Payload))
        if self.error:
            raise self.error
        answer = {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(self.payload), len(self.payload))}
        return answer | ({"FunctionError": self.function_error} if self.function_error else {})

    def fail(self, error_type: str, message: str) -> None:
        self.function_error = "Unhandled"
        self.payload = json.dumps({"errorType": error_type, "errorMessage": message, "stackTrace": []}).encode()


class Stage:
    """What the function finds around it, and what it left there."""

    def __init__(self, extractor: FakeLambda, mailbox_url: str, secret_arn: str) -> None:
        self.extractor = extractor
        self.secret_arn = secret_arn
        self._mailbox_url = mailbox_url

    def mails(self) -> list[dict[str, Any]]:
        found = boto3.client("sqs").receive_message(QueueUrl=self._mailbox_url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in found.get("Messages", [])]

    def files(self) -> dict[str, bytes]:
        s3 = boto3.client("s3")
        keys = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with mock_aws():
        sns, sqs, ssm = boto3.client("sns"), boto3.client("sqs"), boto3.client("ssm")
        topic = sns.create_topic(Name="report")["TopicArn"]
        url = sqs.create_queue(QueueName="mailbox")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        for name, value in {"dbUrl": "db.test:3307", "dbName": "cafe", "dbUser": "sales_reader", "more": "x"}.items():
            ssm.put_parameter(Name=f"/test/cafe/{name}", Value=value, Type="String")
        secret = boto3.client("secretsmanager").create_secret(
            Name="reader", SecretString=json.dumps({"username": "sales_reader", "password": PASSWORD})
        )["ARN"]
        environment = {
            "SALES_REPORT_TOPIC_ARN": topic,
            "DB_PARAMETER_PATH": "/test/cafe/",
            "EXTRACTOR_FUNCTION_NAME": EXTRACTOR,
            "SALES_REPORTS_BUCKET": BUCKET,
            "SHOP_TIME_ZONE": "Europe/Berlin",
            "SHOP_STAGE": "test",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        extractor = FakeLambda()
        monkeypatch.setattr(report, "_lambda", extractor)
        monkeypatch.setattr(report, "today", lambda _: TODAY)
        secrets = boto3.client("secretsmanager")
        monkeypatch.setattr(report, "_secrets", lambda: secrets)
        for name, service in {"_ssm": "ssm", "_s3": "s3", "_sns": "sns"}.items():
            monkeypatch.setattr(report, name, boto3.client(service))  # type: ignore[call-overload]
        yield Stage(extractor, url, secret)


def run(event: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return report.handler(event, Clock())


def test_a_report_is_kept_and_mailed(stage: Stage) -> None:
    answer = run({"date": "2026-11-26", "another": [1]})
    (mail,) = stage.mails()
    text = mail["Message"]
    assert mail["Subject"] == "Daily Sales Analysis Report"
    assert "2026-11-26 (time zone Europe/Berlin)" in text
    assert "Fetch it with: python -m shop report get 2026-11-26 --stage test\n" in text
    assert answer == {
        "statusCode": 200,
        "date": "2026-11-26",
        "products": 2,
        "quantity": 7,
        "csv": "reports/2026-11-26.csv",
        "message": text,
    }
    (key,) = stage.files()
    assert key == answer["csv"]
    rows = list(csv.DictReader(io.StringIO(stage.files()[key].decode())))
    assert rows == [{name: str(value) for name, value in row.items()} for row in ROWS]
    stored = boto3.client("s3").head_object(Bucket=BUCKET, Key=key)
    assert stored["ContentType"] == "text/csv; charset=utf-8"


def test_a_report_counts_once_it_is_mailed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    run({"date": "2026-11-26"})
    stage.extractor.fail("DatabaseUnreachable", "no connection")
    with pytest.raises(ReportFailed):
        run({"date": "2026-11-26"})
    assert counts(caplog.records) == {"ReportsMailed": 1}


def test_the_extractor_gets_the_parameters_and_the_day(stage: Stage) -> None:
    run({"date": "2026-11-26"})
    (request,) = stage.extractor.requests
    assert request == {"dbUrl": "db.test:3307", "dbName": "cafe", "dbUser": "sales_reader", "date": "2026-11-26"}


def test_parameters_are_read_at_each_run(stage: Stage) -> None:
    run({"date": "2026-11-26"})
    boto3.client("ssm").put_parameter(Name="/test/cafe/dbUrl", Value="moved.test", Overwrite=True)
    run({"date": "2026-11-26"})
    assert [request["dbUrl"] for request in stage.extractor.requests] == ["db.test:3307", "moved.test"]


def test_the_password_goes_along_where_there_is_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTRACTOR_SECRET_ARN", stage.secret_arn)
    run({"date": "2026-11-26"})
    (request,) = stage.extractor.requests
    assert request["dbPassword"] == PASSWORD


def test_the_local_stage_needs_no_option_to_fetch(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_STAGE", "local")
    assert run({"date": "2026-11-26"})["message"].endswith("python -m shop report get 2026-11-26\n")
    assert len(stage.mails()) == 1


def test_a_day_without_orders_is_mailed_too(stage: Stage) -> None:
    stage.extractor.payload = b'{"statusCode": 200, "body": []}'
    answer = run({"date": "2026-11-26"})
    assert (answer["products"], answer["quantity"]) == (0, 0)
    (mail,) = stage.mails()
    assert "There were no orders today." in mail["Message"]
    assert stage.files() == {
        "reports/2026-11-26.csv": b"product_group_number,product_group_name,product_id,product_name,quantity\r\n"
    }


def test_an_error_of_the_extractor_fails_the_run_under_its_name(stage: Stage) -> None:
    stage.extractor.fail("DatabaseUnreachable", "database db.test:3307: no connection (2003)")
    line = r"^the extractor failed: DatabaseUnreachable: database db\.test:3307: no connection \(2003\)$"
    with pytest.raises(ReportFailed, match=line):
        run({"date": "2026-11-26"})
    assert (stage.mails(), stage.files()) == ([], {})


@pytest.mark.parametrize(
    ("payload", "function_error", "line"),
    [
        (b"", "Unhandled", "the extractor failed: it named no error"),
        (b"{}", "Unhandled", "the extractor failed: it named no error"),
        (b'{"errorMessage": "Task timed out"}', "Unhandled", "the extractor failed: Task timed out"),
        (b'{"statusCode": 200, "body": []}', "Unhandled", "the extractor failed: it named no error"),
        (b"null", None, "the extractor's answer has no statusCode 200"),
        (b"broken", None, "the extractor's answer has no statusCode 200"),
        (b'{"statusCode": 500, "body": []}', None, "the extractor's answer has no statusCode 200"),
        (b'{"statusCode": 200}', None, "the extractor's answer is not of the agreed form: body: is not a list"),
    ],
)
def test_no_other_answer_becomes_an_empty_report(
    stage: Stage, payload: bytes, function_error: str | None, line: str
) -> None:
    stage.extractor.payload, stage.extractor.function_error = payload, function_error
    with pytest.raises(ReportFailed, match=f"^{line}$"):
        run({"date": "2026-11-26"})
    assert (stage.mails(), stage.files()) == ([], {})


@pytest.mark.parametrize(
    "error", [client_error("TooManyRequestsException", 429), ReadTimeoutError(endpoint_url="https://lambda.test")]
)
def test_an_extractor_that_does_not_answer_fails_the_run(stage: Stage, error: Exception) -> None:
    stage.extractor.error = error
    with pytest.raises(ReportFailed, match=r"^the extractor could not be invoked: "):
        run({"date": "2026-11-26"})
    assert len(stage.extractor.requests) == 1
    assert (stage.mails(), stage.files()) == ([], {})


@pytest.mark.parametrize("name", ["dbUrl", "dbName", "dbUser"])
def test_a_missing_parameter_is_named(stage: Stage, name: str) -> None:
    boto3.client("ssm").delete_parameter(Name=f"/test/cafe/{name}")
    with pytest.raises(ReportFailed, match=f"^Parameter Store has no /test/cafe/{name}$"):
        run()
    assert stage.extractor.requests == []


def test_nothing_is_mailed_when_the_csv_cannot_be_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALES_REPORTS_BUCKET", "no-such-bucket")
    with pytest.raises(Exception, match="NoSuchBucket"):
        run({"date": "2026-11-26"})
    assert stage.mails() == []


def test_a_whole_days_report_is_noted_as_mailed(stage: Stage) -> None:
    run(YESTERDAY)
    note = json.loads(stage.files()["mailed/2026-11-25.json"])
    assert datetime.fromisoformat(note.pop("mailed_at")).utcoffset() == timedelta(0)
    assert note == {"date": "2026-11-25", "products": 2, "quantity": 7}


def test_a_report_before_its_day_is_over_is_not_noted(stage: Stage) -> None:
    run({"date": TODAY.isoformat()})
    assert stage.files().keys() == {"reports/2026-11-26.csv"}


def test_a_report_that_could_not_be_mailed_is_not_noted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALES_REPORT_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:gone")
    with pytest.raises(ClientError):
        run(YESTERDAY)
    assert stage.files().keys() == {"reports/2026-11-25.csv"}


def test_a_note_that_cannot_be_kept_does_not_fail_the_run_which_would_mail_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep = report._s3.put_object

    def refuse_notes(*, Key: str, **more: Any) -> Any:  # noqa: N803
        if Key.startswith("mailed/"):
            raise client_error("AccessDenied", 403)
        return keep(Key=Key, **more)

    monkeypatch.setattr(report._s3, "put_object", refuse_notes)
    assert run(YESTERDAY)["statusCode"] == 200
    assert len(stage.mails()) == 1
    (line,) = [record for record in caplog.records if record.message == "report mailed and not noted"]
    assert (line.date, line.error_code) == ("2026-11-25", "AccessDenied")  # type: ignore[attr-defined]


@pytest.mark.parametrize("failure", ["none", "extractor quotes it", "invoke", "secret"])
def test_the_password_is_in_no_log_and_no_error(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    monkeypatch.setenv("EXTRACTOR_SECRET_ARN", stage.secret_arn)
    caplog.set_level(logging.DEBUG)
    if failure == "extractor quotes it":
        stage.extractor.fail("DatabaseAccessDenied", f"user sales_reader, password {PASSWORD}")
    if failure == "invoke":
        # The real client, so that the SDK's own log lines are there; nothing of that name is in moto.
        monkeypatch.setattr(report, "_lambda", boto3.client("lambda"))
    if failure == "secret":
        boto3.client("secretsmanager").put_secret_value(SecretId="reader", SecretString=PASSWORD)
    errors: list[BaseException] = []
    try:
        run({"date": "2026-11-26"})
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not tell)
        errors = chain(error)
    assert bool(errors) == (failure != "none")
    said = [caplog.text, *(str(vars(record)) for record in caplog.records)]
    said += [f"{error!r} {error} {vars(error)}" for error in errors]
    assert not any(PLAIN in text for text in said)
    if failure == "extractor quotes it":
        assert str(errors[0]) == "the extractor failed: DatabaseAccessDenied: user sales_reader, password ***"


def test_the_sdk_would_log_the_password_at_level_debug(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EXTRACTOR_SECRET_ARN", stage.secret_arn)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "botocore")
    run({"date": "2026-11-26"})
    assert PLAIN in caplog.text


def chain(error: BaseException) -> list[BaseException]:
    """The error with those that it came from."""
    others = [other for other in (error.__cause__, error.__context__) if other is not None]
    return [error, *(found for other in others for found in chain(other))]


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("event", "day"),
    [
        ({"date": "2026-11-26"}, date(2026, 11, 26)),
        ({"date": "2026-11-26", "scheduled_time": "2020-01-01T00:00:00Z"}, date(2026, 11, 26)),
        ({"scheduled_time": "2026-11-26T01:00:00Z"}, date(2026, 11, 25)),
        pytest.param({"scheduled_time": "2026-11-26T23:30:00Z"}, date(2026, 11, 26), id="tomorrow already in the zone"),
        ({"scheduled_time": "2026-11-26T23:30:00-08:00"}, date(2026, 11, 26)),
        pytest.param({"scheduled_time": "2026-03-29T22:30:00Z"}, date(2026, 3, 29), id="a day of 23 hours"),
    ],
)
def test_which_day(event: object, day: date) -> None:
    assert read_day(event, BERLIN) == day


@pytest.mark.parametrize("event", [{}, None, {"another": 1}])
def test_today_in_the_shops_zone(event: object, monkeypatch: pytest.MonkeyPatch) -> None:
    class Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2026, 11, 26, 23, 30, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr(shop_days, "datetime", Now)
    assert read_day(event, BERLIN) == date(2026, 11, 27)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ([], "event: is not a JSON object"),
        ({"date": "2026-02-30"}, "date: '2026-02-30' is not a day of the calendar"),
        ({"date": "26.11.2026"}, "date: '26.11.2026' is not of the form YYYY-MM-DD"),
        ({"date": None}, "date: None is not of the form YYYY-MM-DD"),
        (
            {"scheduled_time": "<aws.scheduler.scheduled-time>"},
            "scheduled_time: '<aws.scheduler.scheduled-time>' is not a date-time with an offset, "
            "as in 2026-11-26T02:00:00Z",
        ),
        (
            {"scheduled_time": "2026-11-26T02:00:00"},
            "scheduled_time: '2026-11-26T02:00:00' is not a date-time with an offset, as in 2026-11-26T02:00:00Z",
        ),
        (
            {"scheduled_time": 7},
            "scheduled_time: 7 is not a date-time with an offset, as in 2026-11-26T02:00:00Z",
        ),
    ],
)
def test_what_names_no_day_is_refused(event: object, line: str) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        read_day(event, BERLIN)
    assert str(refusal.value) == line


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_schedule_at_the_ends_of_time_is_refused(time: str) -> None:
    with pytest.raises(InvalidEvent):
        read_day({"scheduled_time": time}, BERLIN)


def test_the_extractor_is_waited_for_and_asked_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("lambda", config=report._EXTRACTOR_CONFIG)
    assert client.meta.config.read_timeout >= 900  # type: ignore[attr-defined]  # Lambda's longest timeout
    attempts: list[object] = []

    def lose(**_: object) -> None:
        attempts.append(1)
        raise ReadTimeoutError(endpoint_url="https://lambda.test")

    client.meta.events.register("before-send.lambda.Invoke", lose)
    monkeypatch.setattr(report, "_lambda", client)
    with pytest.raises(ReportFailed, match=r"^the extractor could not be invoked: Read timeout"):
        run({"date": "2026-11-26"})
    assert len(attempts) == 1
    assert stage.mails() == []

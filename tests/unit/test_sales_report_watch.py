"""The function that watches over the sales report: it fails exactly where a day's report was not mailed."""

from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from sales_report_watch import handler as watch
from shared.report_days import InvalidEvent
from tests.unit.fakes import Clock, client_error

BUCKET = "reports-bucket"


@pytest.fixture(autouse=True)
def mailed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The report of 26 November 2026 was mailed, that of the 25th only made."""
    monkeypatch.setenv("SALES_REPORTS_BUCKET", BUCKET)
    monkeypatch.setenv("SHOP_TIME_ZONE", "Europe/Berlin")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        for key in ("reports/2026-11-25.csv", "reports/2026-11-26.csv", "mailed/2026-11-26.json"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
        monkeypatch.setattr(watch, "_s3", s3)
        yield


@pytest.mark.parametrize("scheduled", ["2026-11-26T23:00:00Z", "2026-11-27T05:00:00Z", "2026-11-27T22:59:59Z"])
def test_the_day_before_in_the_shops_zone_was_mailed(scheduled: str) -> None:
    assert watch.handler({"scheduled_time": scheduled}, Clock()) == {"date": "2026-11-26"}


@pytest.mark.parametrize(
    ("event", "day"),
    [
        ({"scheduled_time": "2026-11-26T22:59:59Z"}, "2026-11-25"),
        ({"scheduled_time": "2026-11-27T23:00:00Z"}, "2026-11-27"),
        ({"date": "2026-11-25"}, "2026-11-25"),
    ],
)
def test_a_day_that_was_not_mailed_fails(event: dict[str, str], day: str) -> None:
    with pytest.raises(watch.ReportNotSent, match=f"^the sales report of {day} has not been mailed"):
        watch.handler(event, Clock())


def test_a_refusal_of_s3_is_told_apart_from_a_report_that_was_not_mailed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise client_error("AccessDenied", 403)

    monkeypatch.setattr(watch._s3, "head_object", refuse)
    with pytest.raises(ClientError, match="AccessDenied"):
        watch.handler({"date": "2026-11-26"}, Clock())


def test_an_event_without_a_right_day_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="scheduled_time"):
        watch.handler({"scheduled_time": "soon"}, Clock())

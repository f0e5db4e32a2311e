"""The panel `mailbox`: newest first, ids that stay, and read no more often than is good for the cloud."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from shop.local import mailbox as local_mailbox
from shop.local.cloud import Cloud
from shop.local.mailbox import Mail
from shop.target import Target
from tests.unit.console_panels import KnownStage, browse, parse, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient

TOPIC = "arn:aws:sns:us-east-1:000000000000:local-order-pipeline-OrderTopic1A2B3C4D-0123456789ab"


def mail(number: int, **change: Any) -> Mail:
    return Mail(
        **{
            "topic": TOPIC,
            "subject": f"New order A-{number}",
            "message": json.dumps({"orderID": f"A-{number}"}),
            "attributes": {"event": "order.created", "deduplication_id": f"A-{number}"},
            "received_at": f"2026-11-26T09:{number // 60:02}:{number % 60:02}.000Z",
        }
        | change
    )


class Box:
    """The cloud's mailbox: moto's queue for how many there are, a list for what they are."""

    def __init__(self) -> None:
        self.sqs = boto3.client("sqs", "us-east-1")
        self.url = self.sqs.create_queue(QueueName="serverless-shop-mailbox")["QueueUrl"]
        self.mails: list[Mail] = []
        self.readings = 0
        self.reading_seconds = 0.0
        self.now = 1_000.0

    def receive(self, *mails: Mail) -> None:
        self.mails.extend(mails)
        for _ in mails:
            self.sqs.send_message(QueueUrl=self.url, MessageBody="as many as there are mails")

    def read(self, _: Cloud) -> list[Mail]:
        self.readings += 1
        self.now += self.reading_seconds
        return list(self.mails)


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """A mailbox with no mail in it."""
    with mock_aws():
        box = Box()
        monkeypatch.setattr(local_mailbox, "read", box.read)
        monkeypatch.setattr(time, "monotonic", lambda: box.now)
        yield box


class LocalTarget(Target):
    """The local cloud, its AWS moto's."""

    def client(self, service: str, config: Any = None) -> Any:
        return self.session.client(service, config=config)  # type: ignore[call-overload]


def session() -> boto3.Session:
    return boto3.Session("key", "secret", region_name="us-east-1")


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(
        endpoint_url="https://localhost:1",
        region="us-east-1",
        account_id="000000000000",
        access_key_id="key",
        secret_access_key="secret",  # noqa: S106
        ca_bundle=str(tmp_path / "ca.crt"),
        log_file=str(tmp_path / "log"),
        stage="local",
    )


@pytest.fixture
def systems(cloud: Cloud) -> dict[str, Target]:
    """The systems that the page finds in the local cloud."""
    return {"order-pipeline": LocalTarget("local", {}, session(), cloud)}


@pytest.fixture
def browser(box: Box, systems: dict[str, Target]) -> FlaskClient:
    """A browser at the page of a local cloud."""
    assert box.mails == []
    return browse(KnownStage(systems))


def test_an_empty_mailbox_says_what_comes_here(browser: FlaskClient) -> None:
    assert "No mail yet" in browser.get("/mailbox/").text


def test_mail_is_newest_first_and_the_caption_says_how_many_there_are(browser: FlaskClient, box: Box) -> None:
    box.receive(*(mail(number) for number in range(35)))
    root = parse(browser.get("/mailbox/").text)
    assert text(root, ".//caption") == "30 of 35 mails, newest first"
    subjects = ["".join(each.itertext()) for each in root.iter("summary")]
    assert subjects == [f"New order A-{number}" for number in range(34, 4, -1)]


def test_a_mail_keeps_its_ids_when_others_come(browser: FlaskClient, box: Box) -> None:
    """An open message is found again by its id, equal mails of one moment by where they stand."""
    box.receive(mail(1), mail(1))
    first = [each.get("id") for each in parse(browser.get("/mailbox/").text).iter("details")]
    box.receive(mail(2))
    box.now += 60
    second = [each.get("id") for each in parse(browser.get("/mailbox/").text).iter("details")]
    assert len(set(first)) == 2
    assert second[1:] == first


def test_an_announcement_leads_to_its_orders_trace(browser: FlaskClient, box: Box) -> None:
    box.receive(mail(1, attributes={"event": "order.created", "deduplication_id": 'A&b="1"'}), mail(2, attributes={}))
    [button] = parse(browser.get("/mailbox/").text).iter("button")
    assert button.get("hx-post") == "/orders/trace?id=A%26b%3D%221%22"
    assert button.get("hx-target") == "#trace"
    assert button.get("aria-label") == 'Trace A&b="1"'


def test_the_text_of_a_mail_stays_text(browser: FlaskClient, box: Box) -> None:
    box.receive(mail(1, subject="<img src=x onerror=alert(1)>", message="</pre><script>alert(1)</script>"))
    root = parse(browser.get("/mailbox/").text)
    assert not list(root.iter("script")) + list(root.iter("img"))
    assert text(root, ".//pre") == "</pre><script>alert(1)</script>"


def test_a_long_message_says_where_the_rest_is(browser: FlaskClient, box: Box) -> None:
    box.receive(mail(1, message="x" * 200_000))
    html = browser.get("/mailbox/").text
    assert len(html) < 25_000
    assert "shop mailbox --json has the whole message" in html


def test_mail_is_read_anew_only_where_there_is_more(browser: FlaskClient, box: Box) -> None:
    box.receive(mail(1))
    for _ in range(3):
        browser.get("/mailbox/")
    assert box.readings == 1
    box.receive(mail(2))
    box.now += 1
    assert "New order A-2" in browser.get("/mailbox/").text
    assert box.readings == 2


def test_reading_takes_a_tenth_of_the_time_while_mail_pours_in(browser: FlaskClient, box: Box) -> None:
    box.reading_seconds = 0.5
    for number in range(40):
        box.receive(mail(number))
        browser.get("/mailbox/")
        box.now += 1
    assert box.readings == pytest.approx(40 / 5.5, abs=2)
    box.now += 5
    assert "New order A-39" in browser.get("/mailbox/").text


def test_a_mailbox_that_was_reset_is_empty_at_once(browser: FlaskClient, box: Box) -> None:
    box.reading_seconds = 60
    box.receive(mail(1))
    assert "New order" in browser.get("/mailbox/").text
    box.mails.clear()
    box.sqs.purge_queue(QueueUrl=box.url)
    assert "No mail yet" in browser.get("/mailbox/").text


def test_another_clouds_mailbox_is_read_at_once_though_as_much_is_in_it(
    browser: FlaskClient, box: Box, systems: dict[str, Target], cloud: Cloud
) -> None:
    box.receive(mail(1))
    assert "New order A-1" in browser.get("/mailbox/").text
    box.mails[:] = [mail(2)]
    assert "New order A-1" in browser.get("/mailbox/").text
    systems["order-pipeline"] = LocalTarget("local", {}, session(), replace(cloud, endpoint_url="https://localhost:2"))
    shown = browser.get("/mailbox/").text
    assert ("New order A-1" in shown, "New order A-2" in shown) == (False, True)


def test_on_aws_the_subscribers_have_the_mail() -> None:
    with mock_aws():
        sns = boto3.client("sns", "us-east-1")
        topic = sns.create_topic(Name="orders")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="shop@example.com")
        where = Target("dev", {"OrderTopicArn": topic}, session(), None)
        answer = browse(KnownStage({"order-pipeline": where}, "dev", may_act=False)).get("/mailbox/")
        assert answer.status_code == 200
        assert "SNS keeps no copy" in answer.text
        assert "email shop@example.com" in answer.text
        assert "alert" not in answer.text

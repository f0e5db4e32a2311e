"""The local cloud itself: what others take for granted of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from shop.local import clients, console_page, emulator, mailbox, process
from shop.local import cloud as local_cloud
from shop.local.paths import Paths
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop.local.cloud import Cloud
    from tests.integration.pipeline import Pipeline


def _quiet(_: str) -> None:
    """Progress for nobody."""


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a second cloud, up beside the session's, for what would disturb other tests."""
    folder = tmp_path_factory.mktemp("second cloud")  # a space in the path, too
    local_cloud.up(folder, port=None, progress=_quiet)
    yield folder
    local_cloud.reset(folder, progress=_quiet)


def test_status_tells_what_runs(cloud: Cloud, cloud_folder: Path) -> None:
    status = local_cloud.status(cloud_folder)
    assert status.running
    assert status.cloud == cloud
    assert cloud.endpoint_url == f"https://localhost:{status.port}"
    assert "local-order-pipeline" in status.stacks
    assert status.console is not None
    assert cloud.console_url == f"http://127.0.0.1:{status.console.port}/"
    assert Path(cloud.log_file).is_file()


def test_cloud_json_has_what_a_client_needs_and_is_private(cloud: Cloud, cloud_folder: Path) -> None:
    path = cloud_folder / "cloud.json"
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text()) == {
        "endpoint_url": cloud.endpoint_url,
        "region": "us-east-1",
        "account_id": "000000000000",
        "access_key_id": "test",
        "secret_access_key": "test",
        "ca_bundle": cloud.ca_bundle,
        "log_file": cloud.log_file,
        "stage": "local",
        "console_url": cloud.console_url,
    }


def test_the_endpoint_is_reached_by_curl_as_it_stands(cloud: Cloud, pipeline: Pipeline) -> None:
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("no curl on this machine")
    command = [curl, "--silent", "--show-error", "--cacert", cloud.ca_bundle, "--write-out", "%{http_code}"]
    headers = ["--header", f"x-api-key: {pipeline.api_key}", "--header", "content-type: application/json"]
    body = ["--data", json.dumps({"product": "Tea", "quantity": 1, "price_per_item": 2.5})]
    done = subprocess.run(
        [*command, *headers, *body, pipeline.outputs["OrdersEndpoint"]],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.defpath},
    )
    assert done.stdout.endswith("202")


def test_the_endpoint_is_reached_by_urllib_as_it_stands(cloud: Cloud, pipeline: Pipeline) -> None:
    context = ssl.create_default_context(cafile=cloud.ca_bundle)
    request = urllib.request.Request(pipeline.outputs["OrdersEndpoint"], b"{}", method="POST")  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, context=context, timeout=30)  # noqa: S310
    assert refusal.value.code == 403  # no API key: the API itself has answered


def test_nothing_listens_beyond_the_chosen_port(cloud: Cloud, cloud_folder: Path) -> None:
    log = Path(cloud.log_file).read_text()
    port = local_cloud.status(cloud_folder).port
    assert f"Running on https://127.0.0.1:{port} " in log
    assert ":443" not in log


@pytest.fixture
def nobody(cloud: Cloud) -> Iterator[Any]:
    """A session of a user without any permission."""
    iam = clients.client(cloud, "iam")
    name = f"nobody-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    yield (key["AccessKeyId"], key["SecretAccessKey"])
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)


@pytest.mark.parametrize(
    ("service", "call", "output"),
    [
        ("dynamodb", "scan", {"TableName": "OrdersTableName"}),
        ("sqs", "receive_message", {"QueueUrl": "OrdersDeadLetterQueueUrl"}),
        ("sns", "publish", {"TopicArn": "OrderTopicArn", "Message": "OrderTopicArn"}),
        ("lambda", "invoke", {"FunctionName": "OrderSimulatorFunctionName"}),
    ],
)
def test_permissions_are_enforced(
    pipeline: Pipeline, nobody: tuple[str, str], service: str, call: str, output: dict[str, str]
) -> None:
    key, secret = nobody
    denied = clients.session(pipeline.cloud).client(
        service,  # type: ignore[call-overload]
        endpoint_url=pipeline.cloud.endpoint_url,
        verify=pipeline.cloud.ca_bundle,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )
    arguments = {name: pipeline.outputs[key] for name, key in output.items()}
    with pytest.raises(ClientError) as refusal:
        getattr(denied, call)(**arguments)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403}
    assert "not authorized" in str(refusal.value)


@pytest.fixture
def topic(cloud: Cloud) -> Iterator[str]:
    """A topic that came after the cloud was up."""
    sns = clients.client(cloud, "sns")
    arn = str(sns.create_topic(Name=f"later-{uuid.uuid4().hex[:8]}")["TopicArn"])
    yield arn
    sns.delete_topic(TopicArn=arn)


def test_the_mailbox_keeps_each_message_once_whoever_subscribes_or_reads_again(cloud: Cloud, topic: str) -> None:
    sns = clients.client(cloud, "sns")
    for number in range(3):
        mailbox.subscribe(cloud)
        sns.publish(
            TopicArn=topic,
            Subject="three of them",
            Message=f"message {number} ü",
            MessageAttributes={"event": {"DataType": "String", "StringValue": "test"}},
        )

    def found() -> list[mailbox.Mail]:
        return [mail for mail in mailbox.read(cloud) if mail.topic == topic]

    eventually(lambda: len(found()) >= 3)
    mails = found()
    assert [mail.message for mail in mails] == [f"message {number} ü" for number in range(3)]
    assert {(mail.subject, mail.attributes["event"]) for mail in mails} == {("three of them", "test")}
    assert found() == mails
    assert len(sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]) == 1


def test_two_clouds_run_side_by_side(cloud: Cloud, own_folder: Path) -> None:
    other = local_cloud.status(own_folder)
    assert other.running
    assert other.cloud is not None
    assert other.cloud.endpoint_url != cloud.endpoint_url


def test_up_again_changes_nothing(own_folder: Path) -> None:
    before = local_cloud.status(own_folder)
    said: list[str] = []
    assert local_cloud.up(own_folder, port=None, progress=said.append) == before.cloud
    assert local_cloud.status(own_folder) == before
    assert said == ["The stacks are deployed and unchanged"]


def test_a_cloud_of_an_older_checkout_is_read_and_gets_its_console_page(own_folder: Path) -> None:
    description = own_folder / "cloud.json"
    before = local_cloud.status(own_folder)
    assert before.cloud is not None
    assert before.console is not None
    written = json.loads(description.read_text())
    assert written.pop("console_url") == console_page.url(before.console)
    description.write_text(json.dumps(written))
    assert local_cloud.status(own_folder).cloud == replace(before.cloud, console_url=None)
    assert local_cloud.up(own_folder, port=None, progress=_quiet) == before.cloud


def test_two_ups_at_once_bring_a_killed_console_page_back_once(own_folder: Path) -> None:
    before = local_cloud.status(own_folder)
    assert before.console is not None
    os.killpg(before.console.pid, signal.SIGKILL)
    with ThreadPoolExecutor() as threads:
        both = [threads.submit(local_cloud.up, own_folder, port=None, progress=_quiet) for _ in range(2)]
        assert [up.result() for up in both] == [before.cloud, before.cloud]
    after = local_cloud.status(own_folder).console
    assert after is not None
    assert after.pid != before.console.pid


def test_a_console_page_that_does_not_start_stops_nothing_else(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console_page.stop(Paths(own_folder))
    said: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(console_page, "_START_SECONDS", 0.0)
        patched.setattr(console_page, "_ANSWER_SECONDS", 0.001)
        cloud = local_cloud.up(own_folder, port=None, progress=said.append)
    assert cloud.console_url is None
    assert [line for line in said if line.startswith("The console page does not start: it did not answer in 0 s")]
    assert local_cloud.status(own_folder).cloud == cloud
    assert local_cloud.up(own_folder, port=None, progress=_quiet).console_url


def test_another_port_than_the_running_clouds_is_refused(own_folder: Path) -> None:
    with pytest.raises(emulator.EmulatorError, match="already runs on"):
        local_cloud.up(own_folder, port=process.any_free_port(), progress=_quiet)


def test_a_killed_emulator_is_noticed_and_the_next_up_starts_afresh(own_folder: Path) -> None:
    pid = local_cloud.status(own_folder).pid
    assert pid is not None
    os.killpg(pid, signal.SIGKILL)
    eventually(lambda: not local_cloud.status(own_folder).running)

    cloud = local_cloud.up(own_folder, port=None, progress=_quiet)

    status = local_cloud.status(own_folder)
    assert status.pid != pid
    assert clients.client(cloud, "dynamodb").list_tables()["TableNames"]


def test_mail_is_kept_over_a_restart(own_folder: Path) -> None:
    before = local_cloud.status(own_folder).cloud
    assert before is not None
    sns = clients.client(before, "sns")
    sns.publish(TopicArn=sns.list_topics()["Topics"][0]["TopicArn"], Subject="kept", Message="over a restart")
    [mail] = eventually(lambda: mailbox.read(before))
    local_cloud.down(own_folder, progress=_quiet)
    for _ in range(2):
        cloud = local_cloud.up(own_folder, port=None, progress=_quiet)
        assert mailbox.read(cloud) == [mail]


def test_down_stops_everything_and_is_harmless_when_repeated(own_folder: Path) -> None:
    assert local_cloud.down(own_folder, progress=_quiet) is True
    assert not local_cloud.status(own_folder).running
    assert not (own_folder / "cloud.json").exists()
    assert not Paths(own_folder).pid_file.exists()
    assert local_cloud.status(own_folder).console is None
    assert not Paths(own_folder).console_pid.exists()
    assert local_cloud.down(own_folder, progress=_quiet) is False


def test_reset_forgets_the_mail_too(own_folder: Path) -> None:
    kept = Paths(own_folder).mailbox_json
    assert json.loads(kept.read_text()), "the mail of the cloud that was stopped"
    local_cloud.reset(own_folder, progress=_quiet)
    assert not kept.exists()
    assert not Paths(own_folder).data.exists()

"""Which cloud a command talks to, and what a person is told when it cannot."""

import json
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from shop import target
from shop.errors import ShopError
from shop.local import cloud as local_cloud
from shop.local.cloud import Cloud, Status

CLOUD = Cloud(
    endpoint_url="https://localhost:4999",
    region="us-east-1",
    account_id="000000000000",
    access_key_id="local-key",
    secret_access_key="local-secret",  # noqa: S106
    ca_bundle="/somewhere/ca.crt",
    log_file="/somewhere/emulator.log",
    stage="local",
)
EMPTY_STACK = json.dumps(
    {"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}, "Outputs": {"OrdersQueueUrl": {"Value": {"Ref": "Q"}}}}
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP_LOCAL_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def running(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(local_cloud, "status", lambda found: Status(found, 1, 4999, CLOUD, ("local-order-pipeline",)))
    (folder / "outputs.json").write_text('{"local-order-pipeline": {"OrdersTableName": "orders-1"}}')
    return folder


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user with credentials and a region, and no files of the machine's."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "users-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "users-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.mark.usefixtures("folder")
def test_a_cloud_that_is_down_says_how_to_start_it() -> None:
    with pytest.raises(ShopError, match=r"^the local cloud is not running: run make up$"):
        target.find("local")


def test_a_stack_that_is_not_deployed_is_named(running: Path) -> None:
    (running / "outputs.json").write_text("{}")
    with pytest.raises(ShopError, match="local-order-pipeline is not deployed to the local cloud: run make up"):
        target.find("local")


@pytest.mark.usefixtures("running")
def test_a_missing_output_is_named() -> None:
    found = target.find("local")
    assert found.output("OrdersTableName") == "orders-1"
    with pytest.raises(ShopError, match="stack local-order-pipeline has no output OrderTopicArn"):
        found.output("OrderTopicArn")


def test_each_system_has_its_own_stack(running: Path) -> None:
    outputs = '{"local-order-pipeline": {"A": "1"}, "local-order-service": {"OrderServiceTableName": "t-1"}}'
    (running / "outputs.json").write_text(outputs)
    found = target.find("local", target.ORDER_SERVICE)
    assert found.outputs == {"OrderServiceTableName": "t-1"}
    assert (found.region, found.credentials.access_key) == ("us-east-1", "local-key")
    with pytest.raises(ShopError, match=r"^stack local-order-service has no output OrderServiceEndpoint: "):
        found.output("OrderServiceEndpoint")


@pytest.mark.usefixtures("running")
def test_a_system_that_is_not_deployed_is_named() -> None:
    with pytest.raises(ShopError, match=r"^stack local-order-service is not deployed to the local cloud: run make up$"):
        target.find("local", target.ORDER_SERVICE)


@pytest.mark.usefixtures("user")
@mock_aws
def test_a_system_that_is_not_deployed_to_aws_is_named() -> None:
    with pytest.raises(ShopError, match=r"^stack dev-order-service not found in region eu-central-1"):
        target.find("dev", target.ORDER_SERVICE)


@pytest.mark.usefixtures("running", "user")
def test_the_local_target_is_closed_to_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "https://elsewhere.example",
        "AWS_ENDPOINT_URL_SQS": "https://elsewhere.example",
        "AWS_PROFILE": "a-profile-that-is-nowhere",
        "AWS_REGION": "eu-west-3",
        "AWS_SESSION_TOKEN": "users-token",
        "AWS_CA_BUNDLE": "/users/ca.pem",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }.items():
        monkeypatch.setenv(name, value)
    found = target.find("local")
    client = found.client("sqs")
    credentials = found.session.get_credentials()
    assert credentials is not None
    assert (credentials.access_key, credentials.token) == ("local-key", None)
    assert client.meta.endpoint_url == "https://localhost:4999"
    assert client.meta.region_name == "us-east-1"
    assert client.meta.config.proxies == {}
    assert client.generate_presigned_url("list_queues").startswith("https://localhost:4999")
    assert client._endpoint.http_session._verify == "/somewhere/ca.crt"
    assert found.ca_bundle == "/somewhere/ca.crt"


@pytest.mark.usefixtures("user")
@mock_aws
def test_a_deployed_stage_has_its_stacks_outputs_and_the_users_credentials() -> None:
    boto3.client("cloudformation").create_stack(StackName="dev-order-pipeline", TemplateBody=EMPTY_STACK)
    found = target.find("dev")
    assert found.cloud is None
    assert "dev-order-pipeline" in found.output("OrdersQueueUrl")
    assert found.client("sqs").meta.region_name == "eu-central-1"


@pytest.mark.usefixtures("user")
@mock_aws
def test_a_region_for_the_cdk_is_the_region_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(
        ShopError, match=r"^stack dev-order-pipeline not found in region eu-west-1 of account 123456789012"
    ):
        target.find("dev")


def test_an_unknown_stage_is_refused_before_credentials_and_region_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "Session", lambda **_: pytest.fail("AWS settings were read"))
    with pytest.raises(ShopError, match=r"^stage: 'nope' is not one of local, dev, test, prod"):
        target.find("nope")


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("AWS_DEFAULT_REGION", "^no AWS region: set AWS_REGION"),
        ("AWS_ACCESS_KEY_ID", "^no AWS credentials: set AWS_PROFILE"),
    ],
)
def test_what_is_missing_for_aws_is_one_line(monkeypatch: pytest.MonkeyPatch, missing: str, line: str) -> None:
    monkeypatch.delenv(missing)
    if missing == "AWS_ACCESS_KEY_ID":
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ShopError, match=line):
        target.find("dev")

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shop.local import deployment, tools
from shop.local.cloud import Cloud
from shop.local.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

CLOUD = Cloud(
    endpoint_url="https://localhost:4999",
    region="us-east-1",
    account_id="000000000000",
    access_key_id="test",
    secret_access_key="test",  # noqa: S106
    ca_bundle="/somewhere/ca.crt",
    log_file="/somewhere/emulator.log",
    stage="local",
)
FOREIGN = {
    "AWS_PROFILE": "production",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/real",
    "AWS_ENDPOINT_URL_S3": "https://s3.example.com",
    "CDK_DEFAULT_ACCOUNT": "111122223333",
}


@pytest.fixture
def foreign_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**FOREIGN, "AWS_ACCESS_KEY_ID": "real", "AWS_CONFIG_FILE": "/home/me/.aws/config"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/company.pem")


@pytest.mark.usefixtures("foreign_settings")
def test_nothing_of_a_real_account_reaches_the_deployment() -> None:
    environment = deployment.emulator_environment(CLOUD)
    assert not FOREIGN.keys() & environment.keys()
    assert "https_proxy" not in environment
    assert environment["AWS_ACCESS_KEY_ID"] == "test"
    assert environment["AWS_ENDPOINT_URL"] == "https://localhost:4999"
    assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert environment["NODE_EXTRA_CA_CERTS"] == environment["AWS_CA_BUNDLE"] == "/somewhere/ca.crt"


@pytest.mark.usefixtures("foreign_settings")
def test_synthesis_has_the_users_network_and_no_account() -> None:
    environment = deployment.synthesis_environment()
    assert not (FOREIGN.keys() | {"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"}) & environment.keys()
    assert environment["https_proxy"] == "http://proxy.example.com:3128"
    assert environment["SSL_CERT_FILE"] == "/etc/company.pem"
    assert environment["AWS_CONFIG_FILE"] == "/dev/null"


def test_any_change_of_an_input_changes_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "a.py").write_text("1")
    (tmp_path / "app.py").write_text("1")
    inputs = ("app.py", "stacks", "absent")
    seen = [deployment.fingerprint(tmp_path, inputs)]
    assert deployment.fingerprint(tmp_path, inputs) == seen[0]

    (tmp_path / "stacks" / "a.py").write_text("2")
    seen.append(deployment.fingerprint(tmp_path, inputs))
    (tmp_path / "stacks" / "a.py").rename(tmp_path / "stacks" / "b.py")
    seen.append(deployment.fingerprint(tmp_path, inputs))
    (tmp_path / "app.py").unlink()
    seen.append(deployment.fingerprint(tmp_path, inputs))

    assert len(set(seen)) == len(seen)


def test_byte_code_is_no_input(tmp_path: Path) -> None:
    before = deployment.fingerprint(tmp_path, (".",))
    cache = tmp_path / "lambdas" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "handler.cpython-311.pyc").write_bytes(b"x")
    assert deployment.fingerprint(tmp_path, (".",)) == before


def test_a_failures_reason_is_what_matters_of_the_output() -> None:
    lines = ["one", "Resource handler failed: no such thing", "two", "❌  local-order-pipeline failed"]
    assert deployment.reason(lines) == "Resource handler failed: no such thing / ❌  local-order-pipeline failed"
    assert deployment.reason(["a", "b", "c", "d", ""]) == "b / c / d"
    assert deployment.reason([]) == "it printed nothing"
    assert len(deployment.reason(["error " + "x" * 5_000])) < 1_000


def test_a_failures_reason_is_the_first_resource_that_failed() -> None:
    failed = "a-stack | 32/90 | 4:18:25 PM | CREATE_FAILED        | Custom::Migration | Migration (Migration) no right"
    cancelled = "a-stack | 33/90 | 4:18:25 PM | CREATE_FAILED        | AWS::SQS::Queue | Errors (Errors) cancelled"
    complete = "a-stack | 31/90 | 4:18:24 PM | CREATE_COMPLETE       | AWS::SQS::Queue | FailedReports (FailedReports)"
    reason = deployment.reason([complete, failed, cancelled, "❌  a-stack failed"])
    assert reason == "a-stack: Migration (Migration) no right"


def test_stacks_can_be_left_out(tmp_path: Path) -> None:
    kinds = {"b": "aws:cloudformation:stack", "a": "aws:cloudformation:stack", "a.assets": "cdk:asset-manifest"}
    artifacts = {name: {"type": kind} for name, kind in kinds.items()}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    assert deployment._stacks(tmp_path, []) == ["a", "b"]
    assert deployment._stacks(tmp_path, ["a"]) == ["b"]


@pytest.mark.parametrize(("afterwards", "kept"), [("inputs", True), ("edited meanwhile", False)])
def test_a_synthesis_is_kept_for_the_next_deployment_of_just_its_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, afterwards: str, kept: bool
) -> None:
    paths = Paths(tmp_path)
    paths.assembly.mkdir()
    monkeypatch.setattr(tools, "cdk_command", lambda: ["true"])
    monkeypatch.setattr(deployment, "fingerprint", lambda *_: afterwards)
    with paths.deploy_log.open("wb") as log:
        deployment._synthesise(paths, "local", "inputs", log)
    assert deployment._is_synthesised(paths, "inputs") is kept
    assert not deployment._is_synthesised(paths, "other inputs")


def test_a_synthesis_that_failed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path)
    paths.assembly.mkdir()
    (paths.assembly / ".inputs").write_text("inputs")
    monkeypatch.setattr(tools, "cdk_command", lambda: ["false"])
    with paths.deploy_log.open("wb") as log, pytest.raises(deployment.DeploymentError):
        deployment._synthesise(paths, "local", "inputs", log)
    assert not deployment._is_synthesised(paths, "inputs")

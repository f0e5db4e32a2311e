"""The load tests as a person runs them, against the deployed order service and the deployed pipeline."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shop.local import clients
from shop.local.cloud import Cloud
from tests.integration.pipeline import Pipeline

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = {"create", "read", "update", "delete", "list"}


def loadtest(folder: Path, *words: str, module: str = "loadtest") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"bench.{module}", "--users", "4", "--seconds", "3", *words],
        cwd=ROOT,
        env={**os.environ, "SHOP_LOCAL_DIR": str(folder), "PYTHONPATH": str(ROOT / "lambdas")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def stored_ids(cloud: Cloud, outputs: dict[str, dict[str, str]]) -> list[str]:
    """Ids of the load test's items that are in the table."""
    table = outputs[f"{cloud.stage}-order-service"]["OrderServiceTableName"]
    pages = clients.client(cloud, "dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    ids = [item["id"]["S"] for page in pages for item in page["Items"]]
    return [item_id for item_id in ids if item_id.startswith("loadtest-")]


def test_a_short_run_answers_every_request_and_leaves_nothing(
    cloud_folder: Path, cloud: Cloud, outputs: dict[str, dict[str, str]]
) -> None:
    # The first requests may wait for a cold start as long as the whole of a short run.
    assert loadtest(cloud_folder).returncode == 0
    done = loadtest(cloud_folder, "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    counts = {row["operation"]: row["requests"] for row in results["operations"]}
    assert counts.keys() == OPERATIONS
    assert all(counts.values())
    assert results["total"]["requests"] == sum(counts.values())
    assert (results["total"]["failures"], results["total"]["left_behind"], results["errors"]) == (0, 0, {})
    assert 0 < results["total"]["p50_ms"] <= results["total"]["p99_ms"] <= results["total"]["longest_ms"] * 1.1
    assert "<html" in Path(results["report"]).read_text(encoding="utf-8")
    assert stored_ids(cloud, outputs) == []


def _folder_with_a_wrong_path(
    folder: Path, cloud_folder: Path, outputs: dict[str, dict[str, str]], stack: str, output: str
) -> Path:
    """The same cloud in another folder, but the endpoint that an output names is a path that its API does not have."""
    # Links, because that the emulator runs is told by its lock on the very file.
    for name in ("cloud.json", "emulator.pid"):
        (folder / name).symlink_to(cloud_folder / name)
    changed: dict[str, Any] = {**outputs, stack: {**outputs[stack], output: f"{outputs[stack][output]}/a/b"}}
    (folder / "outputs.json").write_text(json.dumps(changed))
    return folder


@pytest.fixture
def folder_with_a_wrong_endpoint(
    cloud_folder: Path, cloud: Cloud, outputs: dict[str, dict[str, str]], tmp_path: Path
) -> Path:
    """The same cloud, but the order service's endpoint is a path that its API does not have."""
    stack = f"{cloud.stage}-order-service"
    return _folder_with_a_wrong_path(tmp_path, cloud_folder, outputs, stack, "OrderServiceEndpoint")


def test_failed_requests_are_named_and_fail_the_run(folder_with_a_wrong_endpoint: Path) -> None:
    done = loadtest(folder_with_a_wrong_endpoint)
    assert done.returncode == 1
    assert "create" in done.stdout
    assert " times create: 40" in done.stderr


def test_without_a_cloud_it_says_what_to_do(tmp_path: Path) -> None:
    done = loadtest(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the local cloud is not running: run make up\n"


@pytest.fixture
def folder_with_a_wrong_pipeline(
    cloud_folder: Path, cloud: Cloud, outputs: dict[str, dict[str, str]], tmp_path: Path
) -> Path:
    """The same cloud, but the pipeline's endpoint is a path that its API does not have."""
    stack = f"{cloud.stage}-order-pipeline"
    return _folder_with_a_wrong_path(tmp_path, cloud_folder, outputs, stack, "OrdersEndpoint")


def left_of_the_test(pipeline: Pipeline) -> tuple[list[str], list[str]]:
    """Queues and subscriptions of load tests that are still there."""
    queues = pipeline.client("sqs").list_queues(QueueNamePrefix="loadtest-").get("QueueUrls", [])
    topic = pipeline.outputs["OrderTopicArn"]
    found = pipeline.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return queues, [each["Endpoint"] for each in found if "loadtest-" in each["Endpoint"]]


def test_every_order_of_a_short_run_on_the_pipeline_is_stored_and_announced(
    cloud_folder: Path, pipeline: Pipeline
) -> None:
    done = loadtest(cloud_folder, "--json", module="pipeline_load")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["problems"] == []
    assert [phase["name"] for phase in results["phases"]] == ["steady", "spike"]
    accepted = sum(phase["accepted"] for phase in results["phases"])
    verdict = results["verdict"]
    assert verdict["accepted"] == verdict["stored"] == accepted > 0
    for phase in results["phases"]:
        assert phase["announced"]["measured"] == phase["accepted"]
        assert 0 < phase["answered"]["p50_ms"] <= phase["announced"]["longest_ms"]
    assert sum(phase["stored"]["measured"] for phase in results["phases"]) > 0
    assert results["processors"].keys() == {"emulator and its functions", "load test", "everything on this machine"}
    page = Path(results["report"]).read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    run_id = Path(results["report"]).stem.removeprefix("order-pipeline-local-")
    assert len(pipeline.stored_ids(f"loadtest-{run_id}-")) == accepted
    assert left_of_the_test(pipeline) == ([], [])


def test_a_pipeline_that_accepts_nothing_fails_the_run(folder_with_a_wrong_pipeline: Path, pipeline: Pipeline) -> None:
    done = loadtest(folder_with_a_wrong_pipeline, module="pipeline_load")
    assert done.returncode == 1
    assert "error: no order was accepted" in done.stderr
    assert "requests failed for another reason than throttling" in done.stderr
    assert left_of_the_test(pipeline) == ([], [])


def test_without_a_cloud_the_pipelines_says_what_to_do(tmp_path: Path) -> None:
    done = loadtest(tmp_path, module="pipeline_load")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the local cloud is not running: run make up\n"

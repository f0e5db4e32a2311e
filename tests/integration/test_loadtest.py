"""The load test as a person runs it, against the deployed order service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shop.local import clients
from shop.local.cloud import Cloud

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = {"create", "read", "update", "delete", "list"}


def loadtest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.loadtest", "--users", "4", "--seconds", "3", *words],
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


@pytest.fixture
def folder_with_a_wrong_endpoint(
    cloud_folder: Path, cloud: Cloud, outputs: dict[str, dict[str, str]], tmp_path: Path
) -> Path:
    """The same cloud, but the order service's endpoint is a path that its API does not have."""
    # Links, because that the emulator runs is told by its lock on the very file.
    for name in ("cloud.json", "emulator.pid"):
        (tmp_path / name).symlink_to(cloud_folder / name)
    stack = f"{cloud.stage}-order-service"
    endpoint = outputs[stack]["OrderServiceEndpoint"]
    changed: dict[str, Any] = {**outputs, stack: {**outputs[stack], "OrderServiceEndpoint": f"{endpoint}/a/b"}}
    (tmp_path / "outputs.json").write_text(json.dumps(changed))
    return tmp_path


def test_failed_requests_are_named_and_fail_the_run(folder_with_a_wrong_endpoint: Path) -> None:
    done = loadtest(folder_with_a_wrong_endpoint)
    assert done.returncode == 1
    assert "create" in done.stdout
    assert " times create: 40" in done.stderr


def test_without_a_cloud_it_says_what_to_do(tmp_path: Path) -> None:
    done = loadtest(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the local cloud is not running: run make up\n"

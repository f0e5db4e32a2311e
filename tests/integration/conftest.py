"""A local cloud for the integration tests: a port and a folder of its own, so that it never meets the user's.

SHOP_TEST_CLOUD=FOLDER brings up the cloud in that folder instead and leaves it running, so that the next run needs
no start: for the inner loop. With pytest-xdist all workers share one cloud.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shop.local import cloud as local_cloud
from shop.local import process
from shop.local.files import exclusive
from tests.integration.order_service import OrderService
from tests.integration.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop.local.cloud import Cloud

_KEPT_CLOUD = "SHOP_TEST_CLOUD"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - pytest shows it with a failure


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[Path]:
    """A cloud that is up as long as anybody is in here: workers of one session count themselves in and out."""
    users = folder / "users"
    try:
        with exclusive(folder / "users.lock"):
            count = int(users.read_text()) if users.exists() else 0
            if count == 0:
                local_cloud.up(folder, port=process.any_free_port(), progress=_say)
            users.write_text(str(count + 1))
        yield folder
    finally:
        with exclusive(folder / "users.lock"):
            count = int(users.read_text()) - 1 if users.exists() else 0
            users.write_text(str(count))
            if count <= 0:
                local_cloud.down(folder, progress=_say)


@pytest.fixture(scope="session")
def cloud_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a cloud that is up for as long as the session lasts."""
    kept = os.environ.get(_KEPT_CLOUD)
    if kept:
        local_cloud.up(Path(kept), port=None, progress=_say)
        yield Path(kept).resolve()
        return
    session = tmp_path_factory.getbasetemp()
    # Each of xdist's workers has a folder of its own in the session's, which is the place that they share.
    shared = session.parent if "PYTEST_XDIST_WORKER" in os.environ else session
    with _running(shared / "local-cloud") as folder:
        yield folder


@pytest.fixture(scope="session")
def cloud(cloud_folder: Path) -> Cloud:
    """How to reach the session's cloud."""
    found = local_cloud.status(cloud_folder).cloud
    assert found is not None
    return found


@pytest.fixture(scope="session")
def outputs(cloud_folder: Path) -> dict[str, dict[str, str]]:
    """The outputs of all stacks in the session's cloud: stack name → output key → value."""
    found: dict[str, dict[str, str]] = json.loads((cloud_folder / "outputs.json").read_text())
    return found


@pytest.fixture(scope="session")
def pipeline(cloud: Cloud, outputs: dict[str, dict[str, str]]) -> Pipeline:
    """The deployed order pipeline."""
    return Pipeline(cloud, outputs[f"{cloud.stage}-order-pipeline"])


@pytest.fixture(scope="session")
def order_service(cloud: Cloud, outputs: dict[str, dict[str, str]]) -> OrderService:
    """The deployed order service."""
    return OrderService(cloud, outputs[f"{cloud.stage}-order-service"])

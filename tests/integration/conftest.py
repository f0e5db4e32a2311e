"""A local cloud for the integration tests: a port and a folder of its own, so that it never meets the user's.

SHOP_TEST_CLOUD=FOLDER brings up the cloud in that folder instead and leaves it running, so that the next run needs
no start: for the inner loop. With pytest-xdist each worker has a cloud of its own: most of a test's time is waiting for
queues and functions, and what one test does to its cloud (a function killed, a queue's timeout changed) meets no other.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shop.local import cloud as local_cloud
from shop.local import process
from tests.integration.images import ImageFanout
from tests.integration.order_service import OrderService
from tests.integration.pipeline import Pipeline
from tests.integration.sales_report import SalesReport
from tests.mariadb import mariadb_server, sales_database

__all__ = ["mariadb_server", "sales_database"]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop.local.cloud import Cloud

_KEPT_CLOUD = "SHOP_TEST_CLOUD"

# pytest-xdist's workers have a terminal of 80 columns, in which tables would be folded that are whole in a pipe.
os.environ.pop("COLUMNS", None)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - pytest shows it with a failure


@pytest.fixture(scope="session")
def cloud_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a cloud that is up for as long as the session lasts."""
    kept = os.environ.get(_KEPT_CLOUD)
    if kept:
        local_cloud.up(Path(kept), port=None, progress=_say)
        yield Path(kept).resolve()
        return
    folder = tmp_path_factory.getbasetemp() / "local-cloud"
    # Once for these tests and once for those in the browser: the second finds the cloud up.
    port = None if local_cloud.status(folder).running else process.any_free_port()
    try:
        local_cloud.up(folder, port=port, progress=_say)
        yield folder
    finally:
        local_cloud.down(folder, progress=_say)


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


@pytest.fixture(scope="session")
def sales_report(cloud: Cloud, outputs: dict[str, dict[str, str]]) -> SalesReport:
    """The deployed sales report."""
    return SalesReport(cloud, outputs[f"{cloud.stage}-sales-report"])


@pytest.fixture(scope="session")
def images(cloud: Cloud, outputs: dict[str, dict[str, str]]) -> ImageFanout:
    """The deployed image fan-out."""
    return ImageFanout(cloud, outputs[f"{cloud.stage}-image-fanout"])

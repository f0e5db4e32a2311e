"""What README shows of the order service, run as it stands there."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from shop.local.cloud import Cloud
from tests.integration.images import ImageFanout, picture
from tests.integration.order_service import OrderService
from tests.integration.sales_report import SalesReport
from tests.polling import eventually

README = Path(__file__).parents[2] / "README.md"


def block(text: str) -> str:
    """The README's shell block that has this text in it."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if text in block]
    return str(found)


def test_the_order_service_answers_curl(order_service: OrderService, cloud_folder: Path, tmp_path: Path) -> None:
    order_service.client("dynamodb").delete_item(TableName=order_service.table, Key={"id": {"S": "1234ABCG"}})
    (tmp_path / ".local").symlink_to(cloud_folder)
    answer = subprocess.run(
        ["sh", "-eu", "-c", block("--aws-sigv4")],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    jacket = {"id": "1234ABCG", "price": 78.89}
    dressed = {**jacket, "product": "Beautiful Jacket"}
    assert [json.loads(line) for line in answer.stdout.splitlines() if line] == [
        {"Item": jacket},
        {"Item": jacket},
        dressed,
        dressed,
    ]


@pytest.mark.usefixtures("sales_report")
def test_the_sales_report_is_made_and_fetched(cloud_folder: Path) -> None:
    answer = subprocess.run(
        ["sh", "-eu", "-c", block("shop report run --print")],
        cwd=README.parent, env={**os.environ, "SHOP_LOCAL_DIR": str(cloud_folder)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Daily Sales Analysis Report" in answer.stdout
    assert "product_group_number,product_group_name,product_id,product_name,quantity" in answer.stdout


def test_a_report_is_started_with_curl(sales_report: SalesReport, cloud_folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".local").symlink_to(cloud_folder)
    definitions, _, _ = block("--aws-sigv4").partition("\n\n")
    answer = subprocess.run(
        ["sh", "-eu", "-c", f"{definitions}\n{block('SalesReportEndpoint')}"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    day = json.loads(answer.stdout)["date"]
    assert f'"date": "{day}"' in block("SalesReportEndpoint")
    assert eventually(lambda: sales_report.mails(day))


def test_a_picture_is_made_small_and_fetched(images: ImageFanout, cloud_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "original.jpg").write_bytes(picture(1600, 1200))
    script = block("shop images put")
    for shown, here in {".local/demo": tmp_path, ".local/pictures": tmp_path / "pictures"}.items():
        assert shown in script
        script = script.replace(shown, str(here))
    subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=README.parent, env={**os.environ, "SHOP_LOCAL_DIR": str(cloud_folder)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for prefix, stored in images.results("original.jpg").items():
        assert (tmp_path / "pictures" / prefix / "original.jpg").read_bytes() == stored.content
    assert (tmp_path / "pictures" / "original" / "original.jpg").is_file()


def test_curl_is_told_the_region_of_the_local_cloud(cloud: Cloud) -> None:
    assert f"aws:amz:{cloud.region}:execute-api" in block("--aws-sigv4")

"""What docs/getting-started.md shows is what its commands print: they are run, the local cloud in `dev`'s place.

A shell block that a block of output follows is run; the others need AWS. Of what differs from run to run (ids, times,
durations, numbers of bytes) only the form is compared. A line `…` stands for any number of lines.
"""

import functools
import itertools
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from shop.local.cloud import Cloud
from tests.integration.images import picture
from tests.polling import eventually
from tests.unit.test_docs_commands import FENCE, ROOT

PAGE = ROOT / "docs" / "getting-started.md"
ORDER = "G-1001"
VARIES = {
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}": "UUID",
    r"\d{4}-\d\d-\d\dT[\d:.]+Z": "TIME",
    r"\d{4}-\d\d-\d\d": "DAY",
    r"(?<=TIME) +[\d,]+(?= )": " MS",
    r"(?<=UUID) +[\d,]+ +[\d,]+$": " BYTES",
    r"(?<=Latte) +\d+$": " QUANTITY",
}
AWS_CLI = """\
#!{python}
import sys, boto3
service, operation, *options = sys.argv[1:]
assert (service, operation, options[0], *options[2:]) == (
    "apigateway", "get-api-key", "--api-key", "--include-value", "--query", "value", "--output", "text"), sys.argv
print(boto3.client("apigateway").get_api_key(apiKey=options[1], includeValue=True)["value"])
"""
"""The one call of the AWS CLI that the page needs here, for machines that do not have it."""


def shown() -> list[tuple[str, str]]:
    """The page's shell blocks that a block of output follows, each with it."""
    blocks = [(block["language"], block["text"]) for block in FENCE.finditer(PAGE.read_text())]
    pairs = itertools.pairwise(blocks)
    return [(script, output) for (first, script), (second, output) in pairs if (first, second) == ("sh", "text")]


def form(output: str) -> list[str]:
    """Lines without what differs from run to run: rules below headings, widths, ids, times and figures.

    Lines with a time are sorted: what two functions do at the same moment may come in either sequence.
    """
    lines = [" ".join(_without_values(line).split()) for line in output.splitlines()]
    runs = itertools.groupby((line for line in lines if line.strip("─")), key=lambda line: line.startswith("TIME"))
    return [line for timed, run in runs for line in (sorted(run) if timed else run)]


def _without_values(line: str) -> str:
    for pattern, name in VARIES.items():
        line = re.sub(pattern, name, line)
    return line


def matches(output: str, expected: str) -> bool:
    """Whether the output is of the form that is shown."""
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else f"{re.escape(line)}\n" for line in form(expected))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in form(output))) is not None


@pytest.fixture
def folder(tmp_path: Path, outputs: dict[str, dict[str, str]]) -> Path:
    """A folder in which the page's commands find what they do in a checkout from which stage `dev` was deployed."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "cdk.out").mkdir()
    of_dev = {name.replace("local-", "dev-", 1): values for name, values in outputs.items()}
    (tmp_path / "cdk.out" / "outputs-dev.json").write_text(json.dumps(of_dev))
    (tmp_path / "red.jpg").write_bytes(picture(1600, 1200))
    (tmp_path / "bin").mkdir()
    aws = tmp_path / "bin" / "aws"
    aws.write_text(AWS_CLI.format(python=sys.executable))
    aws.chmod(0o755)
    return tmp_path


@pytest.mark.usefixtures("sales_report")
def test_each_step_shows_what_the_page_says(folder: Path, cloud: Cloud, cloud_folder: Path) -> None:
    order = f"G-{uuid.uuid4().hex[:8]}"
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SHOP_LOCAL_DIR": str(cloud_folder),
        "CURL_CA_BUNDLE": cloud.ca_bundle,
        "AWS_CA_BUNDLE": cloud.ca_bundle,
        "AWS_ENDPOINT_URL": cloud.endpoint_url,
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": cloud.access_key_id,
        "AWS_SECRET_ACCESS_KEY": cloud.secret_access_key,
    }

    def run(script: str) -> str:
        here = script.replace(" --stage dev", "").replace(ORDER, order)
        answer = subprocess.run(
            ["sh", "-eu", "-c", here], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def check(script: str, wanted: str) -> bool:
        printed = run(script)
        assert matches(printed, wanted), f"{script}\nprinted\n{printed}\nin the place of\n{wanted}"
        return True

    steps = shown()
    assert len(steps) == PAGE.read_text().count("```text")
    for script, expected in steps:
        wanted = expected.replace(ORDER, order)
        eventually(functools.partial(check, script, wanted), timeout=60)


def test_another_output_is_not_of_the_form() -> None:
    expected = "Order A\n─────\nat  2026-11-26T19:57:23.033Z   271  stored\n…\nDone.\n"
    assert matches("Order A\n──\nat 2027-01-01T00:00:00.000Z 1,271 stored\nmore\nDone.\n", expected)
    assert not matches("Order A\n──\nat 2027-01-01T00:00:00.000Z 1,271 lost\nDone.\n", expected)
    assert not matches("Order A\n──\nat 2027-01-01T00:00:00.000Z 1,271 stored\nFailed.\n", expected)

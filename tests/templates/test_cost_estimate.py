"""The estimate in docs/getting-started.md counts what stage `dev` has."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.templates.synthesis import resources, synthesise

pytestmark = pytest.mark.xdist_group("templates")

PAGE = Path(__file__).parents[2] / "docs" / "getting-started.md"
TYPES = {
    "KMS keys": "AWS::KMS::Key",
    "CloudWatch alarms": "AWS::CloudWatch::Alarm",
    "dashboards": "AWS::CloudWatch::Dashboard",
    "secrets": "AWS::SecretsManager::Secret",
}
ROW = re.compile(r"^\| ([^|]+) \| (\d+)(?: GB)? \| [^|]+ \| \$([\d.]+) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[int, float]]:
    """What the idle stage's table says: how many, and dollars a month."""
    return {what: (int(many), float(dollars)) for what, many, dollars in ROW.findall(PAGE.read_text())}


def test_the_estimate_counts_what_the_templates_have() -> None:
    found: Counter[str] = Counter()
    polled = 0
    for template in synthesise("dev").templates.values():
        found.update(resource["Type"] for resource in template["Resources"].values())
        mappings = resources(template, "AWS::Lambda::EventSourceMapping").values()
        polled += sum("Queue" in mapping["EventSourceArn"]["Fn::GetAtt"][0] for mapping in mappings)
    counts = {what: many for what, (many, _) in rows().items()}
    assert {what: counts[what] for what in TYPES} == {what: found[kind] for what, kind in TYPES.items()}
    assert counts["queues that Lambda polls"] == polled


def test_the_estimate_has_the_database_that_ships() -> None:
    template = synthesise("dev").templates["dev-sales-report"]
    [database] = resources(template, "AWS::RDS::DBInstance").values()
    assert f"RDS for MariaDB, `{database['DBInstanceClass']}`, one zone" in rows()
    assert not database["MultiAZ"]
    assert rows()["its storage, gp3"][0] == int(database["AllocatedStorage"])
    assert database["StorageType"] == "gp3"


def test_the_estimate_adds_up() -> None:
    text = PAGE.read_text()
    stated = re.search(r"\| together \| \| \| about \$(\d+) \|", text)
    assert stated
    table = text[text.index("| what | how many |") : stated.start()]
    assert len(rows()) == len(table.splitlines()) - len(["headings", "rule"]), "a row that cannot be read"
    assert round(sum(dollars for _, dollars in rows().values())) == int(stated[1])

"""The migration that the runbook shows for a shop's own product groups, applied to a real database."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from database_migrator import migrate

if TYPE_CHECKING:
    from tests.mariadb import Database

_RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The schema's migrations and, with the next number, the runbook's."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.FOLDER, folder)
    number = 1 + max(int(path.name[:4]) for path in folder.iterdir())
    script = _RUNBOOK.read_text().partition("```sql\n")[2].partition("```")[0]
    (folder / f"{number:04}_own_product_groups.sql").write_text(script)
    return folder


def test_a_product_that_an_order_has_created_moves_to_its_group(sales_database: Database, folder: Path) -> None:
    sales_database.query("INSERT INTO product (product_name) VALUES ('Orange Juice')")
    with sales_database.connect(client_flag=migrate.CLIENT_FLAG) as connection:
        applied = migrate.run(connection, folder)
    assert [name[5:] for name in applied] == ["own_product_groups.sql"]
    assert _groups(sales_database) == [("Orange Juice", "Juices")]


def test_it_can_be_applied_over_itself(sales_database: Database, folder: Path) -> None:
    for _ in range(2):
        with sales_database.connect(client_flag=migrate.CLIENT_FLAG) as connection:
            assert len(migrate.run(connection, folder)) == 1
        sales_database.query("DELETE FROM schema_migration WHERE file_name LIKE '%%own_product_groups.sql'")
    assert _groups(sales_database) == [("Orange Juice", "Juices")]


def _groups(database: Database) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT product_name, product_group_name FROM product JOIN product_group"
        " ON product_group_number = product_group"
    )

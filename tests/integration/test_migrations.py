"""The migrator on a real MariaDB: once each, again after it was cut short, and never from changed files."""

import re
import shutil
import threading
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from database_migrator import handler as migrator
from database_migrator import migrate, users
from shared.database import connect
from tests.mariadb import USER_PASSWORD, Database
from tests.unit.fakes import Clock

FILES = sorted(path.name for path in migrate.FOLDER.iterdir())
FIRST, SECOND = FILES[:2]  # a shop's own are among those that follow
_TABLES = ("product_group", "product", "orders", "order_item")
_STATEMENT = re.compile("^(CREATE|INSERT)", re.MULTILINE)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the migrations, to be changed."""
    return Path(shutil.copytree(migrate.FOLDER, tmp_path / "migrations"))


def _run(database: Database, folder: Path) -> list[str]:
    with database.connect(client_flag=migrate.CLIENT_FLAG) as connection:
        return migrate.run(connection, folder)


def _schema(database: Database) -> list[object]:
    columns = database.query(
        "SELECT table_name, column_name, column_type, collation_name, is_nullable, column_key, extra"
        " FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1, ordinal_position"
    )
    keys = database.query(
        "SELECT table_name, index_name, seq_in_index, column_name FROM information_schema.statistics"
        " WHERE table_schema = DATABASE() ORDER BY 1, 2, 3"
    )
    triggers = database.query(
        "SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
    )
    unassigned = database.query("SELECT * FROM product_group WHERE product_group_number = 9999")
    return [columns, keys, triggers, unassigned]


def _start_anew(database: Database) -> None:
    database.query(f"DROP DATABASE {database.name}")
    root = connect(database.url, "mysql", "root", database.server.root_password)
    with root, root.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database.name}")


def test_what_was_applied_is_not_applied_again(sales_database: Database, files: Path) -> None:
    before = _schema(sales_database)
    assert _run(sales_database, files) == []
    assert _schema(sales_database) == before


def test_a_new_file_is_applied_alone(sales_database: Database, files: Path) -> None:
    (files / "9000_add_a_note.sql").write_text("ALTER TABLE product ADD COLUMN IF NOT EXISTS note VARCHAR(10) NULL;")
    assert _run(sales_database, files) == ["9000_add_a_note.sql"]
    assert _run(sales_database, files) == []


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_a_changed_file_is_refused_and_nothing_is_applied(name: str, sales_database: Database, files: Path) -> None:
    path = files / name
    path.write_text(path.read_text() + "-- one more remark\n")
    (files / "9000_new.sql").write_text("CREATE TABLE new_one (id INT);")
    with pytest.raises(migrate.MigrationRefused, match=f"^{name}: was changed after it was applied; add a new file$"):
        _run(sales_database, files)
    assert sales_database.query("SHOW TABLES LIKE 'new_one'") == []


def test_a_file_before_an_applied_one_is_refused(sales_database: Database, files: Path) -> None:
    (files / "9000_new.sql").write_text("SELECT 1;")
    _run(sales_database, files)
    (files / "8999_late.sql").write_text("SELECT 1;")
    with pytest.raises(migrate.MigrationRefused, match=r"^8999_late\.sql: comes before number 9000"):
        _run(sales_database, files)


def test_a_removed_file_is_missed(sales_database: Database, files: Path) -> None:
    (files / FIRST).unlink()
    with pytest.raises(migrate.MigrationRefused, match=f"^{FIRST}: was applied and is not among the files any more$"):
        _run(sales_database, files)


def test_a_database_that_is_ahead_is_left_alone_so_that_a_rollback_works(sales_database: Database, files: Path) -> None:
    (files / "9000_new.sql").write_text("CREATE TABLE IF NOT EXISTS new_one (id INT);")
    _run(sales_database, files)
    (files / "9000_new.sql").unlink()
    assert _run(sales_database, files) == []
    assert sales_database.query("SHOW TABLES LIKE 'new_one'") != []


@pytest.mark.parametrize("name", ["1_short.sql", "0003-dashes.sql", "0003_Upper.sql", "notes.txt", "0001_again.sql"])
def test_a_wrongly_named_file_is_refused(name: str, sales_database: Database, files: Path) -> None:
    (files / name).write_text("SELECT 1;")
    with pytest.raises(migrate.MigrationRefused, match=name.replace(".", r"\.")):
        _run(sales_database, files)


def test_a_file_that_is_not_utf_8_is_named(sales_database: Database, files: Path) -> None:
    (files / "9000_latin.sql").write_bytes(b"SELECT '\xe9';")
    with pytest.raises(migrate.MigrationRefused, match=r"^9000_latin\.sql: is not UTF-8 \(byte 8\)$"):
        _run(sales_database, files)


def test_a_migration_that_was_cut_short_is_finished_by_the_next(sales_database: Database, files: Path) -> None:
    """Before each statement of each file, and after the last: the next run ends with the schema of a whole one."""
    whole = _schema(sales_database)
    for name in (FIRST, SECOND):
        script = (files / name).read_text()
        for place in [*(match.start() for match in _STATEMENT.finditer(script)), len(script)]:
            _start_anew(sales_database)
            (files / name).write_text(script[:place] + "DROP TABLE there_is_no_such_table;")
            with pytest.raises(migrate.MigrationFailed, match=rf"^{name}: .*there_is_no_such_table.* \(1051\)$"):
                _run(sales_database, files)
            (files / name).write_text(script)
            _run(sales_database, files)
            assert _schema(sales_database) == whole


@pytest.mark.parametrize("number", range(1, len(FILES)), ids=lambda number: f"from-{FILES[number - 1][:4]}")
def test_sales_of_every_older_schema_are_kept(number: int, sales_database: Database, tmp_path: Path) -> None:
    """What an older version recorded is there after the upgrade, and the present version records beside it."""
    older = tmp_path / "older"
    older.mkdir()
    for name in FILES[:number]:
        shutil.copy(migrate.FOLDER / name, older)
    _start_anew(sales_database)
    _run(sales_database, older)
    sales_database.query("INSERT INTO product (id, product_name, price) VALUES (7, 'Orange Juice ', 2.5)")
    sales_database.query("INSERT INTO orders (id, order_date) VALUES (3, '2026-11-20 09:15:00.250')")
    sales_database.query("INSERT INTO order_item (order_id, product_id, quantity, order_date, price_per_item)"
                         " SELECT id, 7, 2, order_date, 2.5 FROM orders")  # fmt: skip
    before = [sales_database.query(f"SELECT * FROM {table}") for table in _TABLES]  # noqa: S608 - no one's text

    assert _run(sales_database, migrate.FOLDER) == FILES[number:]

    assert [sales_database.query(f"SELECT * FROM {table}") for table in _TABLES] == before  # noqa: S608
    sales_database.query("INSERT INTO orders (order_date, order_key, product_name, quantity)"
                         " VALUES ('2026-11-21', 'A-1', 'Orange Juice ', 3)")  # fmt: skip
    assert sales_database.query("SELECT product_id, quantity FROM order_item ORDER BY id") == [(7, 2), (7, 3)]


def test_two_migrations_at_a_time_apply_each_file_once(sales_database: Database, files: Path) -> None:
    _start_anew(sales_database)
    applied: list[str] = []
    threads = [threading.Thread(target=lambda: applied.extend(_run(sales_database, files))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == FILES


def test_the_handler_makes_users_who_may_do_what_they_must_and_no_more(sales_database: Database) -> None:
    event = {
        "dbUrl": sales_database.url,
        "dbName": sales_database.name,
        "dbUser": "root",
        "dbPassword": sales_database.server.root_password,
        "users": {users.READER: USER_PASSWORD, users.RECORDER: USER_PASSWORD},
        "sampleData": True,
        "timeZone": str(ZoneInfo("Europe/Rome")),
    }
    for _ in range(2):
        assert migrator.handler(event, Clock()) == {"applied": []}
    assert sales_database.query("SELECT COUNT(*) FROM order_item")[0][0] > 0
    name = sales_database.name
    for user, rights in {
        users.READER: {f"SELECT ON `{name}`.`{table}`" for table in ("product_group", "product", "order_item")},
        users.RECORDER: {f"INSERT ON `{name}`.`orders`"},
    }.items():
        usage, *grants = (row[0] for row in sales_database.query("SHOW GRANTS FOR %s@'%%'", (user,)))
        assert usage.startswith("GRANT USAGE ON *.* TO ")
        assert "REQUIRE SSL" in usage
        # Users are the server's, so those of other tests' databases are among their rights.
        assert {grant.removeprefix("GRANT ").split(" TO ")[0] for grant in grants if f"`{name}`" in grant} == rights

"""The local cloud's MariaDB: as safe as the database on AWS, and there for as long as the cloud is."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pymysql
import pytest

from shop.local import cloud as local_cloud
from shop.local import database, database_accounts, mariadb, process
from shop.local.paths import Paths
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

    from shop.local.database import Database

OTHER_PASSWORD = "another one"  # noqa: S105 - of a server that the test starts
MASTER = {"user": "shop_admin", "password": 'it\'s "a" \\ pass%word', "database": "cafe"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """The folder of a database of its own, with a space in its path."""
    if not database.is_available():
        pytest.skip("no MariaDB on this machine")
    found = Paths(tmp_path_factory.mktemp("own database"))
    yield found
    database.stop(found)


@pytest.fixture
def server(paths: Paths) -> Database:
    """A database that runs."""
    return database.start(paths)


def _connect(paths: Paths, server: Database, **options: Any) -> Connection[Cursor]:
    wanted: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "ssl_ca": str(paths.tls / "ca.crt"),
        "ssl_verify_cert": True,
        "ssl_verify_identity": True,
        "autocommit": True,
    }
    return pymysql.connect(**{**wanted, **options})


def _rows(connection: Connection[Cursor], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_it_is_set_as_the_database_on_aws(paths: Paths, server: Database) -> None:
    settings = (
        "@@character_set_server, @@time_zone, @@sql_mode LIKE '%STRICT_TRANS_TABLES%', @@require_secure_transport"
    )
    assert _rows(_connect(paths, server), f"SELECT {settings}") == (("utf8mb4", "+00:00", 1, 1),)


def test_only_root_has_an_account_and_only_with_its_password(paths: Paths, server: Database) -> None:
    accounts = _rows(_connect(paths, server), "SELECT user, host FROM mysql.user WHERE user <> 'mariadb.sys'")
    assert accounts == (("root", "127.0.0.1"),)
    for attempt in ({"password": ""}, {"password": "wrong"}, {"user": "", "password": ""}, {"user": "mariadb.sys"}):
        with pytest.raises(pymysql.err.OperationalError) as refusal:
            _connect(paths, server, **attempt)
        assert refusal.value.args[0] in {1045, 4151}  # access denied; the account is locked


def test_nobody_gets_in_without_tls(paths: Paths, server: Database) -> None:
    plain = {"ssl_ca": None, "ssl_verify_cert": None, "ssl_verify_identity": None, "ssl_disabled": True}
    with pytest.raises(pymysql.err.OperationalError):
        _connect(paths, server, **plain)


def test_it_listens_on_the_loopback_address_alone(paths: Paths, server: Database) -> None:
    assert _rows(_connect(paths, server), "SELECT @@bind_address, @@socket") == (("127.0.0.1", ""),)
    for other in ("127.0.0.2", "::1"):
        with pytest.raises(OSError, match=r"refused|assign|unreachable|not supported"):
            socket.create_connection((other, server.port), timeout=2)


def test_what_opens_it_is_in_private_files_and_in_no_argument(paths: Paths, server: Database) -> None:
    assert json.loads(paths.database_json.read_text())["password"] == server.password
    secret = [
        path for path in paths.folder.rglob("*") if path.is_file() and server.password.encode() in path.read_bytes()
    ]
    assert paths.database_json in secret
    assert {path.stat().st_mode & 0o077 for path in secret} == {0}
    assert server.password not in paths.database_log.read_text()
    running = database.find(paths)
    assert running is not None
    arguments = f"/proc/{running.pid}/cmdline"
    if os.path.exists(arguments):  # noqa: PTH110 - Linux only
        with open(arguments) as stream:  # noqa: PTH123
            assert server.password not in stream.read()


def test_data_and_port_survive_the_servers_death(paths: Paths, server: Database) -> None:
    _rows(_connect(paths, server), "CREATE OR REPLACE TABLE mysql.kept SELECT 'still here' AS word")
    running = database.find(paths)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    eventually(lambda: database.find(paths) is None)
    assert database.start(paths) == server
    assert _rows(_connect(paths, server), "SELECT word FROM mysql.kept") == (("still here",),)


def test_a_port_that_is_taken_by_then_is_said_in_one_line(paths: Paths, server: Database) -> None:
    database.stop(paths)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((process.HOST, server.port))
        other.listen()
        with pytest.raises(database.DatabaseError, match=f"port {server.port} is used by another program"):
            database.start(paths)
    assert database.start(paths) == server


def test_two_of_them_run_side_by_side(server: Database, tmp_path: Path) -> None:
    other = Paths(tmp_path)
    try:
        second = database.start(other)
        assert second.port != server.port
        assert _rows(_connect(other, second), "SELECT 1") == ((1,),)
    finally:
        database.stop(other)


def test_an_instance_has_a_master_user_as_on_rds(paths: Paths, server: Database) -> None:
    database_accounts.carry_out("create", paths.folder, MASTER)
    master = {"user": MASTER["user"], "password": MASTER["password"], "database": "cafe"}
    for sql in (
        "CREATE TABLE sales (id INT PRIMARY KEY, word VARCHAR(9))",
        "CREATE TRIGGER noted BEFORE INSERT ON sales FOR EACH ROW SET NEW.word = 'noted'",
        "INSERT INTO sales (id) VALUES (1)",
        "CREATE USER reader IDENTIFIED BY 'another one'",
        "GRANT SELECT ON cafe.sales TO reader",
    ):
        _rows(_connect(paths, server, **master), sql)
    reader = _connect(paths, server, user="reader", password=OTHER_PASSWORD, database="cafe")
    assert _rows(reader, "SELECT word FROM sales") == (("noted",),)
    with pytest.raises(pymysql.err.OperationalError) as refusal:
        _rows(_connect(paths, server, **master), "SET GLOBAL read_only = 1")
    assert refusal.value.args[0] == 1227  # needs a privilege that nobody has on RDS


def test_an_instances_password_can_change_and_the_data_stays(paths: Paths, server: Database) -> None:
    database_accounts.carry_out("create", paths.folder, MASTER)
    _rows(_connect(paths, server, database="cafe"), "CREATE TABLE kept (id INT)")
    database_accounts.carry_out("password", paths.folder, {**MASTER, "password": OTHER_PASSWORD})
    changed = _connect(paths, server, user=MASTER["user"], password=OTHER_PASSWORD, database="cafe")
    assert _rows(changed, "SHOW TABLES") == (("kept",),)
    with pytest.raises(pymysql.err.OperationalError):
        _connect(paths, server, user=MASTER["user"], password=MASTER["password"])


@pytest.mark.parametrize(("action", "databases"), [("create", ["cafe"]), ("delete", [])])
def test_nothing_of_an_earlier_instance_is_left(
    paths: Paths, server: Database, action: str, databases: list[str]
) -> None:
    database_accounts.carry_out("create", paths.folder, MASTER)
    _rows(_connect(paths, server), "CREATE TABLE cafe.old (id INT)")
    _rows(_connect(paths, server), "CREATE USER left_over")
    database_accounts.carry_out(action, paths.folder, MASTER)
    left = [name for (name,) in _rows(_connect(paths, server), "SHOW DATABASES")]
    assert sorted(set(left) - set(database_accounts._SYSTEM_SCHEMAS)) == databases
    assert not _rows(_connect(paths, server), "SHOW TABLES FROM mysql LIKE 'old'")
    assert not _rows(_connect(paths, server), "SELECT 1 FROM mysql.user WHERE user = 'left_over'")
    if databases:
        assert not _rows(_connect(paths, server), "SHOW TABLES FROM cafe")


def test_what_the_server_refuses_is_said_without_the_password(paths: Paths, server: Database) -> None:
    assert server.port
    with pytest.raises(database.DatabaseError) as refusal:
        database_accounts.carry_out("create", paths.folder, {**MASTER, "user": "u" * 200})
    assert "refuses to create" in str(refusal.value)
    assert MASTER["password"] not in str(refusal.value)


def test_a_cloud_and_its_database_come_and_go_together(cloud_folder: Path) -> None:
    paths = Paths(cloud_folder)
    status = local_cloud.status(cloud_folder)
    server = database.read(paths.database_json)
    assert server is not None
    assert status.database == database.find(paths)
    assert status.database is not None
    assert status.database.port == server.port
    assert f"{local_cloud.STAGE}-sales-report" in status.stacks
    outputs = json.loads(paths.outputs_json.read_text())[f"{local_cloud.STAGE}-sales-report"]
    assert outputs["DatabaseEndpointAddress"] == server.host
    os.kill(status.database.pid, signal.SIGKILL)
    eventually(lambda: local_cloud.status(cloud_folder).database is None)

    said: list[str] = []
    local_cloud.up(cloud_folder, port=None, progress=said.append)

    assert said == ["Starting MariaDB", "The stacks are deployed and unchanged"]
    assert database.read(paths.database_json) == server
    assert _rows(_connect(paths, server), "SHOW TABLES FROM cafe LIKE 'order_item'")


def test_without_mariadb_all_but_the_sales_report_comes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mariadb.CHOICE, mariadb.NONE)
    said: list[str] = []
    try:
        local_cloud.up(tmp_path, port=process.any_free_port(), progress=said.append)
        status = local_cloud.status(tmp_path)
        assert status.database is None
        assert status.stacks == ("local-image-fanout", "local-order-pipeline", "local-order-service")
        assert len([line for line in said if "MariaDB" in line]) == 1

        monkeypatch.delenv(mariadb.CHOICE)
        local_cloud.up(tmp_path, port=None, progress=said.append)
        status = local_cloud.status(tmp_path)
        assert status.database is not None
        assert local_cloud.SALES_REPORT_STACK in status.stacks
    finally:
        local_cloud.down(tmp_path, progress=said.append)
    assert local_cloud.status(tmp_path).database is None
    assert not Paths(tmp_path).database_json.exists()

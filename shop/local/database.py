"""The local cloud's database: a real MariaDB on the loopback address, started, found again and stopped.

It stands for the RDS instance of the sales report (`rds` says how), so it is set as that one is: TLS required,
utf8mb4, UTC, strict. Its data lives as long as the emulator's.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shop.errors import ShopError
from shop.local import mariadb, process, tls, tools
from shop.local.files import write_json, write_private

if TYPE_CHECKING:
    from shop.local.mariadb import Server
    from shop.local.paths import Paths

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_PROBE_SECONDS = 2.0
_LOG_TAIL_LINES = 3

# A name of the server's certificate; it resolves to the one address that the server listens on.
_HOST_NAME = "localhost"
# Names of hosts are not looked up, so the account is that of the address.
_ROOT = "root@'127.0.0.1'"
# How the files of the data folder are laid out: the same when they are made and when they are used.
_LAYOUT = ("--innodb-log-file-size=16M", "--innodb-use-native-aio=OFF")
# The data's own scripts make accounts without a password, some of them anonymous.
_NO_ACCOUNTS = (
    "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';",
    "DELETE FROM mysql.proxies_priv;",
    "DELETE FROM mysql.db;",
)


class DatabaseError(ShopError):
    """The database does not start, or cannot have its port."""


@dataclass(frozen=True)
class Database:
    """How to reach the database as its root; the keys of `database.json`."""

    host: str
    port: int
    user: str
    password: str


def is_available() -> bool:
    """Whether this machine has a MariaDB server. Raises DatabaseError where SHOP_MARIADBD names none."""
    return _server() is not None


def find(paths: Paths) -> process.Running | None:
    """The database of this folder, or None where none runs."""
    return process.find(paths.database_pid)


def start(paths: Paths) -> Database:
    """The running database of this folder, started if there is none, ready for connections. Raises DatabaseError.

    Data that is there is kept, and so is its port.
    """
    found = launch(paths)
    wait(paths, found)
    return found


def launch(paths: Paths) -> Database:
    """As `start`, without waiting until it is ready (`wait` does). Raises DatabaseError."""
    known = read(paths.database_json)
    if known and find(paths):
        return known
    server = _server()
    if server is None:
        raise DatabaseError("no MariaDB server is on this machine")
    data = paths.data / "mariadb"
    if known and data.exists():
        if not process.is_free(known.port):
            raise DatabaseError(f"the database's port {known.port} is used by another program; `make down` gives it up")
        database = known
    else:
        _make_data(server, data)
        database = Database(_HOST_NAME, process.any_free_port(), "root", secrets.token_urlsafe(24))
        write_json(paths.database_json, asdict(database))
    _launch(server, paths, data, database)
    return database


def wait(paths: Paths, database: Database) -> None:
    """Wait until the database takes connections. Raises DatabaseError where it ends before, or takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        if find(paths) is None:
            raise DatabaseError(f"MariaDB ended while starting: {_log_tail(paths)}")
        if _greets(database.port):
            return
        if time.monotonic() > deadline:
            stop(paths)
            raise DatabaseError(f"MariaDB did not answer in {_START_SECONDS:.0f} s: {_log_tail(paths)}")
        time.sleep(process.POLL_SECONDS)


def stop(paths: Paths) -> bool:
    """Stop the database and wait for its end; its data stays. False where none runs."""
    running = find(paths)
    if running:
        process.stop(paths.database_pid, running, seconds=_STOP_SECONDS)
    return running is not None


def forget(paths: Paths) -> None:
    """Remove the data of a database that is stopped, and how it was reached."""
    paths.database_json.unlink(missing_ok=True)
    for name in ("mariadb", "mariadb-tmp"):
        shutil.rmtree(paths.data / name, ignore_errors=True)


def read(database_json: Path) -> Database | None:
    """How to reach the database that `database.json` describes; None where there is no such file."""
    try:
        value: dict[str, Any] = json.loads(database_json.read_text())
        return Database(str(value["host"]), int(value["port"]), str(value["user"]), str(value["password"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _server() -> Server | None:
    try:
        return mariadb.find(tools.MARIADB)
    except mariadb.MariadbError as error:
        raise DatabaseError(str(error)) from error


def _make_data(server: Server, data: Path) -> None:
    """Make a data folder without any account that could be used.

    Not with `mariadb-install-db`: it needs programs of packages that are not unpacked.
    """
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True, mode=0o700)
    scripts = [path.read_text() for path in server.sql_files]
    # The server reads one statement a line here.
    sql = "\n".join(["CREATE DATABASE mysql;", "USE mysql;", *scripts, *_NO_ACCOUNTS, ""])
    command = [str(server.program), *_common_options(server, data), "--bootstrap"]
    done = subprocess.run(  # noqa: S603 - the server that was found
        command, input=sql, env=server.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise DatabaseError(f"MariaDB cannot make its data folder: {' / '.join(errors) or done.returncode}")


def _launch(server: Server, paths: Paths, data: Path, database: Database) -> None:
    _, certificate, key = tls.ensure_certificates(paths.tls)
    accounts = paths.data / "mariadb.sql"
    # By a file and not by arguments, which everybody on the machine can read.
    write_private(accounts, _root_account(database.password).encode())
    options = {
        "bind-address": process.HOST,
        "port": database.port,
        # No Unix socket: its path may be longer than the system allows.
        "socket": "",
        "pid-file": data / "mariadbd.pid",
        "init-file": accounts,
        "ssl-cert": certificate,
        "ssl-key": key,
        "require-secure-transport": "ON",
        "skip-name-resolve": "ON",
        "local-infile": "OFF",
        "character-set-server": "utf8mb4",
        "collation-server": "utf8mb4_unicode_ci",
        "default-time-zone": "+00:00",
        "sql-mode": "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
        # The rest fits a laptop. A commit is handed to the system, not to the disk: it outlives the server's crash,
        # though not the machine's, and then the emulator, whose data this belongs to, is gone as well.
        "innodb-flush-log-at-trx-commit": 2,
        "innodb-buffer-pool-size": "64M",
        "performance-schema": "OFF",
    }
    command = [str(server.program), *_common_options(server, data), *(f"--{key}={options[key]}" for key in options)]
    holder = [sys.executable, "-P", process.__file__, str(paths.database_pid), str(database.port)]
    with paths.database_log.open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - both programs are the project's own
            [*holder, *command],
            env=server.environment(),
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _wait_for_lock(paths, child)


def _wait_for_lock(paths: Paths, child: subprocess.Popen[bytes]) -> None:
    while find(paths) is None:
        if child.poll() is not None:
            raise DatabaseError(f"MariaDB ended while starting: {_log_tail(paths)}")
        time.sleep(process.POLL_SECONDS)


def _common_options(server: Server, data: Path) -> list[str]:
    # A server removes temporary tables that it finds when it starts, so it must not share their folder with another.
    temporary = data.with_name(f"{data.name}-tmp")
    temporary.mkdir(mode=0o700, exist_ok=True)
    # No file of the machine's settings: they are meant for another server.
    options = ["--no-defaults", f"--datadir={data}", f"--tmpdir={temporary}", f"--lc-messages-dir={server.share}"]
    options += _LAYOUT
    return [*options, "--user=root"] if os.geteuid() == 0 else options


def _root_account(password: str) -> str:
    return "\n".join(
        (
            f"CREATE OR REPLACE USER {_ROOT} IDENTIFIED BY '{password}';",
            f"GRANT ALL PRIVILEGES ON *.* TO {_ROOT} WITH GRANT OPTION;",
            "",
        )
    )


def _greets(port: int) -> bool:
    try:
        with socket.create_connection((process.HOST, port), timeout=_PROBE_SECONDS) as connection:
            connection.settimeout(_PROBE_SECONDS)
            return bool(connection.recv(1))
    except OSError:
        return False


def _log_tail(paths: Paths) -> str:
    lines = [line.strip() for line in paths.database_log.read_text(errors="replace").splitlines() if line.strip()]
    # Most of what it prints are notes on its start.
    telling = [line for line in lines if "[Note]" not in line] or lines
    return " / ".join(telling[-_LOG_TAIL_LINES:]) + f" (log: {paths.database_log})"

"""The local cloud: brought up, looked at, stopped, forgotten. What others call.

A cloud lives in a folder of its own (`.local` of the checkout unless SHOP_LOCAL_DIR says otherwise). It is an AWS
emulator and a MariaDB on loopback ports, with the very stacks that go to AWS deployed into it, as stage `local`, and
the console page that shows it.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shop.errors import ShopError
from shop.local import console_page, database, emulator, mailbox, tools
from shop.local.files import exclusive, write_json
from shop.local.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shop.local.database import Database
    from shop.local.process import Running

    Progress = Callable[[str], None]

ACCOUNT_ID = "000000000000"
# Keys of the emulator's account root. They open nothing but an emulator on this machine's loopback address.
ROOT_ACCESS_KEY_ID = "test"
ROOT_SECRET_ACCESS_KEY = "test"  # noqa: S105
STAGE = "local"
SALES_REPORT_STACK = f"{STAGE}-sales-report"
_WITHOUT_DATABASE = (SALES_REPORT_STACK, f"{STAGE}-operations")
"""What is left out where there is no database; the second is a dashboard of all others and reads their outputs."""


class LocalCloudError(ShopError):
    """The local cloud is not in the state that a command needs."""


@dataclass(frozen=True)
class Cloud:
    """What a client needs to talk to the local cloud; the keys of `cloud.json`.

    `console_url` is the address of the console page, None where that does not run.
    """

    endpoint_url: str
    region: str
    account_id: str
    access_key_id: str
    secret_access_key: str
    ca_bundle: str
    log_file: str
    stage: str
    console_url: str | None = None


@dataclass(frozen=True)
class Status:
    """What runs: with no emulator, `pid`, `port` and `cloud` are None and `stacks` is empty.

    `database` and `console` are the processes of the database and of the console page, None where none runs.
    """

    folder: Path
    pid: int | None
    port: int | None
    cloud: Cloud | None
    stacks: tuple[str, ...]
    database: Running | None = None
    console: Running | None = None

    @property
    def running(self) -> bool:
        """Whether the emulator runs and the stacks are deployed into it."""
        return self.cloud is not None


def default_folder() -> Path:
    """The folder of the user's local cloud: SHOP_LOCAL_DIR, else `.local` in the checkout."""
    return Path(os.environ.get("SHOP_LOCAL_DIR") or tools.ROOT / ".local")


def up(folder: Path, *, port: int | None, progress: Progress) -> Cloud:
    """Start the emulator unless it runs, deploy what has changed, and say how to reach it.

    Harmless on a cloud that is up, and takes over whatever an interrupted `up` left. `port` must be free; None takes
    4566 or any free one. Raises ShopError with one line.
    """
    from shop.local import deployment  # noqa: PLC0415 - boto3 takes a third of a second, `down` needs none

    paths = Paths(folder.resolve())
    with exclusive(paths.lock_file), _saying_how_to_go_on(progress):
        served = _launch_database(paths, progress)  # starts while the emulator does
        page = _launch_console(paths, progress)
        running = emulator.start(paths, port, progress)
        if served:
            database.wait(paths, served)
        cloud = _cloud(paths, running)
        deployment.deploy(paths, cloud, progress, without=() if served else _WITHOUT_DATABASE)
        mailbox.subscribe(cloud)
        mailbox.restore(cloud, paths.mailbox_json)
        cloud = replace(cloud, console_url=_wait_for_console(paths, page, progress))
        write_json(paths.outputs_json, deployment.outputs(cloud))
        write_json(paths.cloud_json, asdict(cloud))
    return cloud


def _launch_database(paths: Paths, progress: Progress) -> Database | None:
    """The database, which runs or starts; None where this machine has no MariaDB."""
    if emulator.find(paths) is None:
        # Its data belonged to an emulator that is gone.
        database.stop(paths)
        database.forget(paths)
    if not database.is_available():
        progress("There is no MariaDB here: all but the sales report comes up (macOS: brew install mariadb)")
        return None
    if database.find(paths) is None:
        progress("Starting MariaDB")
    return database.launch(paths)


def _launch_console(paths: Paths, progress: Progress) -> Running | None:
    """The console page, which runs or starts; None where it cannot, which stops nothing else."""
    try:
        return console_page.launch(paths)
    except (console_page.ConsolePageError, OSError) as error:
        progress(f"The console page does not start: {error}")
        return None


def _wait_for_console(paths: Paths, launched: Running | None, progress: Progress) -> str | None:
    if launched is None:
        return None
    try:
        return console_page.url(console_page.wait(paths, launched))
    except (console_page.ConsolePageError, OSError) as error:
        progress(f"The console page does not start: {error}")
        return None


@contextmanager
def _saying_how_to_go_on(progress: Progress) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        progress("Interrupted: the emulator may run without the stacks. `make up` goes on, `make down` stops it.")
        raise


def down(folder: Path, *, progress: Progress) -> bool:
    """Stop the emulator, and with it end the cloud: the next `up` has new queues and tables, and the mail of before.

    False where none runs.
    """
    paths = Paths(folder.resolve())
    with exclusive(paths.lock_file):
        _keep_mail(paths, progress)
        return _stop(paths, progress)


def reset(folder: Path, *, progress: Progress) -> None:
    """Stop the emulator and remove all that it wrote, mail included."""
    paths = Paths(folder.resolve())
    with exclusive(paths.lock_file):
        _stop(paths, progress)
        paths.mailbox_json.unlink(missing_ok=True)
        for leftover in (paths.tls, paths.assembly):
            shutil.rmtree(leftover, ignore_errors=True)


def status(folder: Path) -> Status:
    """What runs in this folder; asks, and changes nothing."""
    paths = Paths(folder.resolve())
    running, served, page = emulator.find(paths), database.find(paths), console_page.find(paths)
    if running is None:
        return Status(paths.folder, None, None, None, (), served, page)
    cloud = _read_cloud(paths)
    stacks = tuple(_read_json(paths.outputs_json)) if cloud else ()
    return Status(paths.folder, running.pid, running.port, cloud, stacks, served, page)


def _keep_mail(paths: Paths, progress: Progress) -> None:
    cloud = _read_cloud(paths)
    if cloud is None or emulator.find(paths) is None:
        return
    try:
        mailbox.save(cloud, paths.mailbox_json)
    except mailbox.MailboxError as error:
        progress(f"Mail is not kept: {error}")


def _stop(paths: Paths, progress: Progress) -> bool:
    running = emulator.find(paths)
    # The page before all else: what it would say of a cloud half gone misleads who looks at it.
    console_page.stop(paths)
    # Then these, so that no client takes what is about to go for a cloud that runs.
    for description in (paths.cloud_json, paths.outputs_json):
        description.unlink(missing_ok=True)
    if running:
        progress("Stopping the emulator")
        emulator.stop(paths, running)
    database.stop(paths)
    database.forget(paths)
    shutil.rmtree(paths.data, ignore_errors=True)
    return running is not None


def _cloud(paths: Paths, running: Running) -> Cloud:
    return Cloud(
        endpoint_url=f"https://localhost:{running.port}",
        region=emulator.REGION,
        account_id=ACCOUNT_ID,
        access_key_id=ROOT_ACCESS_KEY_ID,
        secret_access_key=ROOT_SECRET_ACCESS_KEY,
        ca_bundle=str(paths.tls / "ca.crt"),
        log_file=str(paths.log_file),
        stage=STAGE,
    )


def _read_cloud(paths: Paths) -> Cloud | None:
    values = _read_json(paths.cloud_json)
    console_url = values.pop("console_url", None)  # a cloud of an older checkout has none
    try:
        known = {field.name: str(values[field.name]) for field in fields(Cloud) if field.name != "console_url"}
    except KeyError:
        return None
    return Cloud(**known, console_url=str(console_url) if console_url else None)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}

"""The emulator's RDS instance is the local cloud's MariaDB.

On AWS a DB instance is a server that answers at its endpoint, with a master user and a database made. The emulator's is
a record whose endpoint does not resolve. Here its endpoint is that of the MariaDB beside the emulator, and making the
instance makes the user and the database, so that all that the template says of it holds during the deployment. The
work is done by the project's interpreter (`database_accounts`): the emulator's has no client, and its functions must
not find one by accident.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from shop.local import mending, tools

# Set by `emulator`, for this module only.
FOLDER_VARIABLE = "SHOP_CLOUD_FOLDER"

_TYPE = "AWS::RDS::DBInstance"
_ENGINES = ("mariadb", "mysql")
_SECONDS = 60


@dataclass(frozen=True)
class _Place:
    """The emulator's modules, the cloud's folder, and which instance (at most one) the one server is."""

    provisioners: Any
    instances: Any
    folder: Path
    served: list[str]

    def attributes(self, physical_id: str) -> Any:
        """The attributes of an instance whose endpoint is the server's."""
        server = json.loads((self.folder / "database.json").read_text())
        instance = self.instances[physical_id]
        instance["Endpoint"].update(Address=server["host"], Port=server["port"])
        return self.provisioners._rds_db_instance_attrs(instance)


def mend() -> None:
    """Make the emulator's MariaDB and MySQL instances real. Raises MendError."""
    provisioners = mending.module("services.cloudformation.provisioners")
    # Functions inherit the emulator's environment and must not know where the database's root password is.
    folder = Path(os.environ.pop(FOLDER_VARIABLE))
    place = _Place(provisioners, mending.module("services.rds")._instances, folder, [])
    handlers = provisioners._RESOURCE_HANDLERS[_TYPE]
    for action, make in (("create", _creating), ("update", _updating), ("delete", _deleting)):
        # By name too: the emulator's own update calls the others when it replaces an instance.
        name = f"_rds_db_instance_{action}"
        mending.wrap(provisioners, name, partial(make, place))
        handlers[action] = getattr(provisioners, name)


def _creating(place: _Place, original: Any) -> Any:
    def run(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        if not _is_ours(props):
            return original(logical_id, props, stack_name)
        _do(place.folder, "create", props)
        physical_id, _ = original(logical_id, props, stack_name)
        place.served[:] = [physical_id]
        return physical_id, place.attributes(physical_id)

    return run


def _updating(place: _Place, original: Any) -> Any:
    def run(physical_id: str, old: dict[str, Any], new: dict[str, Any], *stack: Any, **options: Any) -> Any:
        result = original(physical_id, old, new, *stack, **options)
        if not _is_ours(new):
            return result
        if result[0] == physical_id and old.get("MasterUserPassword") != new.get("MasterUserPassword"):
            _do(place.folder, "password", new)
        return result[0], place.attributes(result[0])

    return run


def _deleting(place: _Place, original: Any) -> Any:
    def run(physical_id: str, props: dict[str, Any]) -> None:
        original(physical_id, props)
        # A replacement has made the new instance by now, and that one is to stay.
        if place.served == [physical_id]:
            place.served.clear()
            _do(place.folder, "delete", props)

    return run


def _is_ours(props: dict[str, Any]) -> bool:
    return str(props.get("Engine", "")).lower() in _ENGINES


def _do(folder: Path, action: str, props: dict[str, Any]) -> None:
    """Have it done in the server; the password goes by a pipe. Raises ValueError, which CloudFormation shows."""
    request = {
        "user": props.get("MasterUsername", "admin"),
        "password": props.get("MasterUserPassword", ""),
        "database": props.get("DBName", ""),
    }
    command = [str(tools.venv_python()), "-m", "shop.local.database_accounts", action, str(folder)]
    done = subprocess.run(  # noqa: S603 - the project's own interpreter and module
        command,
        input=json.dumps(request),
        cwd=tools.ROOT,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ValueError(f"{_TYPE} {action} failed: {lines[-1]}")

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from shop.local import mending, rds

if TYPE_CHECKING:
    from pathlib import Path

PROPS = {"Engine": "mariadb", "MasterUsername": "shop_admin", "MasterUserPassword": "one", "DBName": "cafe"}


class _Emulator:
    """The emulator's part that makes DB instances of templates; a change of the database's name replaces."""

    def __init__(self) -> None:
        self.instances: dict[str, Any] = {}
        module = SimpleNamespace(
            __name__="provisioners",
            _rds_db_instance_attrs=lambda instance: dict(instance["Endpoint"]),
            _rds_db_instance_create=self._create,
            _rds_db_instance_update=self._update,
            _rds_db_instance_delete=lambda physical_id, _: self.instances.pop(physical_id),
        )
        self.provisioners = module
        names = ("create", "update", "delete")
        handlers = {name: getattr(module, f"_rds_db_instance_{name}") for name in names}
        module._RESOURCE_HANDLERS = {"AWS::RDS::DBInstance": handlers}
        self.handlers = handlers

    def _create(self, logical_id: str, props: dict[str, Any], _stack: str) -> Any:
        physical_id = f"{logical_id}-{props['DBName']}"
        self.instances[physical_id] = {"Endpoint": {"Address": "x.rds.amazonaws.com", "Port": 3306}}
        return physical_id, {}

    def _update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        if old["DBName"] == new["DBName"]:
            return physical_id, {}
        made = self.provisioners._rds_db_instance_create("db", new, stack)
        self.provisioners._rds_db_instance_delete(physical_id, old)
        return made


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done in the server, in order."""
    actions: list[str] = []
    monkeypatch.setattr(rds, "_do", lambda _, action, props: actions.append(f"{action} {props['DBName']}"))
    return actions


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Emulator:
    found = _Emulator()
    modules = {
        "services.cloudformation.provisioners": found.provisioners,
        "services.rds": SimpleNamespace(_instances=found.instances),
    }
    monkeypatch.setattr(mending, "module", modules.__getitem__)
    monkeypatch.setenv(rds.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "database.json").write_text(json.dumps({"host": "localhost", "port": 50123}))
    rds.mend()
    return found


@pytest.mark.usefixtures("emulator")
def test_functions_do_not_inherit_where_the_password_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError):
        monkeypatch.delenv(rds.FOLDER_VARIABLE)


def test_an_instance_is_made_in_the_server_and_has_its_endpoint(emulator: _Emulator, done: list[str]) -> None:
    made = emulator.handlers["create"]("db", PROPS, "stack")
    assert made == ("db-cafe", {"Address": "localhost", "Port": 50123})
    assert emulator.instances["db-cafe"]["Endpoint"] == {"Address": "localhost", "Port": 50123}
    assert done == ["create cafe"]


def test_another_engine_stays_the_emulators(emulator: _Emulator, done: list[str]) -> None:
    emulator.handlers["create"]("db", {**PROPS, "Engine": "postgres"}, "stack")
    assert emulator.instances["db-cafe"]["Endpoint"]["Port"] == 3306
    assert done == []


def test_a_changed_password_is_changed_in_the_server_and_nothing_else_is(emulator: _Emulator, done: list[str]) -> None:
    emulator.handlers["create"]("db", PROPS, "stack")
    endpoint = {"Address": "localhost", "Port": 50123}
    assert emulator.handlers["update"]("db-cafe", PROPS, {**PROPS, "MultiAZ": True}, "stack") == ("db-cafe", endpoint)
    assert done == ["create cafe"]
    emulator.handlers["update"]("db-cafe", PROPS, {**PROPS, "MasterUserPassword": "two"}, "stack")
    assert done == ["create cafe", "password cafe"]


def test_a_replacement_is_not_deleted_with_the_one_that_it_replaces(emulator: _Emulator, done: list[str]) -> None:
    emulator.handlers["create"]("db", PROPS, "stack")
    made, attributes = emulator.handlers["update"]("db-cafe", PROPS, {**PROPS, "DBName": "bar"}, "stack")
    assert (made, attributes["Port"]) == ("db-bar", 50123)
    assert done == ["create cafe", "create bar"]
    emulator.handlers["delete"]("db-bar", {**PROPS, "DBName": "bar"})
    assert done == ["create cafe", "create bar", "delete bar"]


def test_what_the_server_refuses_fails_the_deployment_with_its_reason(emulator: _Emulator, tmp_path: Path) -> None:
    (tmp_path / "database.json").unlink()
    with pytest.raises(
        ValueError, match="AWS::RDS::DBInstance create failed: the local cloud has no database"
    ) as refusal:
        emulator.handlers["create"]("db", PROPS, "stack")
    assert "\n" not in str(refusal.value)
    assert emulator.instances == {}

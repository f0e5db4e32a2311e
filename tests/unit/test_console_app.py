"""The page as a whole: panels that could not be filled come back, and no call holds up all others."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from shop.console.stage import Console
from tests.unit.console_panels import browse, parse

if TYPE_CHECKING:
    from pathlib import Path

SECONDS_FOR_ONE_CALL = 15


@pytest.fixture
def without_cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOP_LOCAL_DIR", str(tmp_path))


@pytest.mark.usefixtures("without_cloud")
@pytest.mark.parametrize(
    ("path", "again"),
    [("/report/", "/report/"), ("/images/", "/images/"), ("/overview/", None), ("/orders/latest", None)],
)
def test_a_panel_that_the_page_asks_for_once_is_asked_for_again_where_it_failed(path: str, again: str | None) -> None:
    console = Console("local", may_act=True)
    answer = browse(console).get(path)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    [alert] = parse(answer.text).iterfind(".//*[@role='alert']")
    assert alert.get("hx-get") == again
    if again:
        assert alert.get("hx-target") == f"#{again.strip('/')}-panel"
        assert alert.get("hx-trigger") == f"every {console.refresh_seconds}s"


def test_a_call_that_hangs_is_given_up_before_the_page_has_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "eu-central-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    config = Console("dev", may_act=False).connect().client("sqs").meta.config
    assert config.connect_timeout + config.read_timeout <= SECONDS_FOR_ONE_CALL

"""`python -m shop console` as a person runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING

import pytest

from shop.local import process, tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "of-nobody", "AWS_REGION": "eu-central-1"}


@contextmanager
def console(folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The command, with no settings of the user's, no local cloud, and no network needed."""
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    command = [sys.executable, "-m", "shop", "console", *arguments]
    with subprocess.Popen(
        command,
        cwd=tools.ROOT,
        env={"PATH": os.defpath, "SHOP_LOCAL_DIR": str(folder), "AWS_EC2_METADATA_DISABLED": "true"}
        | {"PYTHONUNBUFFERED": "1"}
        | nothing
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def said(running: subprocess.Popen[str]) -> str:
    """The first line that the command prints."""
    assert running.stdout is not None
    return running.stdout.readline().strip()


def test_it_says_where_it_is_and_ends_quietly_when_interrupted(tmp_path: Path) -> None:
    with console(tmp_path) as running:
        address = said(running)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        with urllib.request.urlopen(address) as answer:  # noqa: S310 - http, as matched
            assert "stage local" in answer.read().decode()
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=30)
    assert (running.returncode, rest.strip(), errors.strip()) == (130, "", "")


def test_a_deployed_stage_is_shown_read_only_to_who_has_the_address_with_its_token(tmp_path: Path) -> None:
    with console(tmp_path, "--stage", "prod", **AWS) as running:
        address = said(running)
        bare, token = address.split("?token=")
        assert len(token) >= 43  # 256 bits
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(bare)  # noqa: S310 - http
        assert refusal.value.code == HTTPStatus.FORBIDDEN
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with browser.open(address) as answer:
            page = answer.read().decode()
        assert answer.url == bare
    assert "stage prod, read-only" in page
    for secret in (token, *AWS.values()):
        assert secret not in page


@pytest.mark.parametrize(
    ("arguments", "environment", "line"),
    [
        (["--stage", "nope"], {}, "error: stage: 'nope' is not one of local, dev, test, prod"),
        (["--stage", "dev"], {}, "error: no AWS region: set AWS_REGION"),
        (["--stage", "dev"], {"AWS_REGION": "eu-central-1"}, "error: no AWS credentials"),
    ],
)
def test_what_a_person_can_mend_is_one_line(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], line: str
) -> None:
    with console(tmp_path, *arguments, **environment) as running:
        out, errors = running.communicate(timeout=30)
    assert (running.returncode, out) == (1, "")
    assert errors.startswith(line)
    assert errors.count("\n") == 1


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.create_server((process.HOST, 0)) as owner:
        port = owner.getsockname()[1]
        with console(tmp_path, "--port", str(port)) as running:
            errors = running.communicate(timeout=30)[1]
    assert (running.returncode, errors) == (1, f"error: --port: {port} is taken on 127.0.0.1\n")

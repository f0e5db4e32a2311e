"""Who gets an answer of the console page, and what every answer says to the browser."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from flask import request

from shop.console import security
from shop.console.app import create_app
from shop.console.stage import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

OWN = "http://localhost"
TOKEN = "of-this-run"  # noqa: S105 - of an application that only the test sees
ANSWERS = {
    "page": ("GET", "/", {}),
    "panel": ("GET", "/bug", {}),
    "own style": ("GET", "/static/console.css", {}),
    "script of npm": ("GET", "/scripts/htmx.js", {}),
    "no such page": ("GET", "/nothing", {}),
    "no such script": ("GET", "/scripts/../app.py", {}),
    "wrong method": ("DELETE", "/", {"Origin": OWN}),
    "options": ("OPTIONS", "/", {"Origin": OWN}),
    "other host": ("GET", "/", {"Host": "example.com"}),
    "other origin": ("POST", "/act", {"Origin": "https://example.com"}),
    "too large": ("POST", "/act", {"Origin": OWN, "Content-Length": str(2**40)}),
}


def application(console: Console) -> Flask:
    """The console's application, with a page that has a bug and one that changes something."""
    app = create_app(console)

    @app.get("/bug")
    def bug() -> str:
        raise ValueError("internals of the bug")

    @app.post("/act")
    @security.action
    def act() -> str:
        return f"done with {len(request.form)} fields"

    return app


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """A browser at the local cloud's page."""
    return application(Console("local", may_act=True)).test_client()


@pytest.fixture
def with_token() -> FlaskClient:
    """A browser that does not know the token of a deployed stage's page yet."""
    return application(Console("dev", may_act=False, token=TOKEN)).test_client()


def ask(client: FlaskClient, method: str, path: str, headers: Mapping[str, str]) -> TestResponse:
    """Send one request, with the headers in place of the test client's own."""
    environ = {"CONTENT_LENGTH": headers["Content-Length"]} if "Content-Length" in headers else {}
    return client.open(path, method=method, headers=dict(headers), environ_overrides=environ)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:4580", "LOCALHOST:4580"])
def test_the_page_is_at_the_names_of_the_loopback_address(client: FlaskClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    "host",
    ["example.com", "localhost.example.com", "example.com:4580", "localhost@example.com", "[::1", "localhost:x", ""],
)
def test_a_name_that_another_site_lets_resolve_to_this_machine_is_refused(client: FlaskClient, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST}
    assert "<html" not in answer.text


def test_the_page_itself_may_change_something(client: FlaskClient) -> None:
    assert client.post("/act", headers={"Origin": OWN}, data={"a": "b"}).text == "done with 1 fields"


@pytest.mark.parametrize(
    "origin", [None, "", "null", "https://localhost", "http://localhost:8000", "http://127.0.0.1", "http://a.localhost"]
)
def test_nothing_is_changed_for_another_origin_or_for_none(client: FlaskClient, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    assert client.post("/act", headers=headers).status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_what_is_no_mere_reading_takes_the_own_origin_by_whatever_method(client: FlaskClient, method: str) -> None:
    assert client.open("/act", method=method).status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, HTTPStatus.OK),
        ("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, HTTPStatus.OK),
        ("/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, HTTPStatus.FORBIDDEN),
        ("/static/console.css", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"}, HTTPStatus.OK),
        ("/static/console.css", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, HTTPStatus.FORBIDDEN),
        ("/static/console.css", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, HTTPStatus.FORBIDDEN),
    ],
)
def test_another_site_may_link_to_the_page_and_no_more(
    client: FlaskClient, path: str, headers: dict[str, str], status: HTTPStatus
) -> None:
    assert client.get(path, headers=headers).status_code == status


def test_a_stage_that_is_shown_read_only_is_not_changed_by_its_own_page_either() -> None:
    reader = application(Console("dev", may_act=False)).test_client()
    answer = reader.post("/act", headers={"Origin": OWN})
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "stage dev is shown read-only: --allow-actions" in answer.text


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token=%ff%fe", "/static/console.css"])
def test_without_the_token_there_is_no_answer(with_token: FlaskClient, path: str) -> None:
    answer = with_token.get(path)
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "open the address that the command printed" in answer.text
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("cookie", ["shop_console_80=wrong", f"shop_console={TOKEN}", "shop_console_80=\xff\xfe"])
def test_a_wrong_cookie_opens_nothing(with_token: FlaskClient, cookie: str) -> None:
    assert with_token.get("/", headers={"Cookie": cookie}).status_code == HTTPStatus.FORBIDDEN


def test_the_token_leaves_the_address_for_a_cookie_that_scripts_and_other_sites_do_not_get(
    with_token: FlaskClient,
) -> None:
    answer = with_token.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["Location"]) == (HTTPStatus.FOUND, "/")
    parts = answer.headers["Set-Cookie"].split("; ")
    assert parts[0] == f"shop_console_80={TOKEN}"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(parts)
    assert with_token.get("/").status_code == HTTPStatus.OK
    assert TOKEN not in with_token.get("/").text


def test_pages_on_two_ports_of_one_machine_do_not_take_each_others_cookie() -> None:
    browser = application(Console("dev", may_act=False, token=TOKEN)).test_client()
    other = application(Console("prod", may_act=False, token="another")).test_client()  # noqa: S106
    names = {
        answer.headers["Set-Cookie"].partition("=")[0]
        for answer in (
            browser.get(f"/?token={TOKEN}", base_url="http://127.0.0.1:4581"),
            other.get("/?token=another", base_url="http://127.0.0.1:4582"),
        )
    }
    assert names == {"shop_console_4581", "shop_console_4582"}


@pytest.mark.parametrize(("method", "path", "headers"), ANSWERS.values(), ids=ANSWERS)
def test_every_answer_is_closed_to_other_sites(
    client: FlaskClient, method: str, path: str, headers: dict[str, str]
) -> None:
    sent = ask(client, method, path, headers).headers
    policy = dict(rule.strip().split(" ", 1) for rule in sent["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert sent["X-Content-Type-Options"] == "nosniff"
    assert sent["Cross-Origin-Resource-Policy"] == "same-origin"
    assert sent["Cross-Origin-Opener-Policy"] == "same-origin"
    assert sent["Referrer-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in sent


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        (*ANSWERS["no such page"], HTTPStatus.NOT_FOUND),
        (*ANSWERS["no such script"], HTTPStatus.NOT_FOUND),
        (*ANSWERS["wrong method"], HTTPStatus.METHOD_NOT_ALLOWED),
        (*ANSWERS["too large"], HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ],
)
def test_what_is_refused_is_said_in_the_place_of_what_was_asked_for(
    client: FlaskClient, method: str, path: str, headers: dict[str, str], status: HTTPStatus
) -> None:
    answer = ask(client, method, path, headers)
    assert answer.status_code == status
    assert answer.text.startswith('<p class="alert" role="alert">')


def test_of_a_bug_only_the_log_has_the_details(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = client.get("/bug")
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert 'role="alert"' in answer.text
    assert "internals" not in answer.text
    assert "Traceback" not in answer.text
    assert "internals of the bug" in caplog.text


@pytest.mark.parametrize("path", ["/", "/overview/"])
def test_what_is_live_is_not_kept_by_a_browser(client: FlaskClient, path: str) -> None:
    assert client.get(path).headers["Cache-Control"] == "no-store"

"""Who may ask the console page for something: a browser of this machine that shows the page itself, nobody else's.

A page on the loopback address is reached by every web site that the same browser shows, which may post forms to it, or
have its own name resolve to 127.0.0.1 (DNS rebinding). So the name that was asked for has to be the loopback's, what
changes anything has to come from the page's own origin, and answers are closed to other sites. Where the page acts with
a person's AWS credentials, other users of the machine are kept out by a token in the address that the command prints.
"""

import hmac
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, abort, redirect, request
from werkzeug.wrappers import Response as Answer

from shop.console import stage

P = ParamSpec("P")
R = TypeVar("R")

_HOSTS: Final = ("localhost", "127.0.0.1")
_SAFE: Final = ("GET", "HEAD")
_OWN_SITES: Final = ("same-origin", "none")
"""Fetch Metadata (W3C), Sec-Fetch-Site: asked for by the page itself, or by a person in the address bar."""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # To itself it may say where it came from: without, browsers send `Origin: null` with some forms (Fetch, 3.2).
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def protect(app: Flask) -> None:
    """Have every request of the app checked, and every answer closed to other sites."""
    app.before_request(_check)
    app.after_request(_close)


def _check() -> Answer | None:
    if _host_name() not in _HOSTS:
        abort(HTTPStatus.FORBIDDEN, "this page is at 127.0.0.1 and localhost only: the request names another host")
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITES and not _follows_a_link():
        abort(HTTPStatus.FORBIDDEN, "only this page itself may ask: the request comes from another site")
    if request.method not in _SAFE and request.headers.get("Origin") != request.host_url.rstrip("/"):
        abort(HTTPStatus.FORBIDDEN, "only this page itself may change anything: the request has another origin")
    return _check_token(stage.current().token)


def _host_name() -> str | None:
    try:
        return urlsplit(f"//{request.host}").hostname
    except ValueError:  # such as a bracket that nothing closes
        return None


def _follows_a_link() -> bool:
    """Whether a person opens the page from elsewhere; only the page: what its panels answer is for the page alone."""
    return request.method in _SAFE and request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"


def _check_token(token: str | None) -> Answer | None:
    if token is None:
        return None
    if request.method in _SAFE and _is(token, request.args.get("token")):
        # Out of the address at once: that is in the browser's history and on the screen.
        answer = redirect("/")
        answer.set_cookie(_cookie(), token, httponly=True, samesite="Strict")
        return answer
    if not _is(token, request.cookies.get(_cookie())):
        abort(HTTPStatus.FORBIDDEN, "open the address that the command printed: it has the token that is missing here")
    return None


def _cookie() -> str:
    """The cookie's name: cookies know no ports (RFC 6265, 8.5), and a person may look at several stages at once."""
    return f"shop_console_{request.server[1] if request.server else ''}"


def _is(token: str, given: str | None) -> bool:
    return given is not None and hmac.compare_digest(token.encode(), given.encode())


def _close(response: Response) -> Response:
    # A view may be stricter than the page, with what it shows of others.
    for name, value in {**_HEADERS, "Cache-Control": "no-store"}.items():
        response.headers.setdefault(name, value)
    return response


def action(view: Callable[P, R]) -> Callable[P, R]:
    """Let a view that changes something run only where the page may act."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not stage.current().may_act:
            abort(HTTPStatus.FORBIDDEN, f"stage {stage.current().stage} is shown read-only: --allow-actions")
        return view(*args, **kwargs)

    return checked

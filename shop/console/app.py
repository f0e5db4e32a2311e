"""The console as a web application: one page, whose panels are asked for one by one and fill themselves."""

from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, make_response, render_template, request, send_from_directory
from werkzeug.exceptions import HTTPException, NotFound

from shop.console import dead_letters, images, mailbox, orders, overview, report, security, stage
from shop.console.stage import Console
from shop.errors import explain
from shop.local.tools import NODE_MODULES

_PANELS: Final = (overview, orders, dead_letters, mailbox, report, images)
"""In the page's sequence; each has a `blueprint` whose name is the panel's, a `TITLE`, and whether it is `LIVE`."""
_SCRIPTS: Final = {
    "htmx.js": ("htmx.org", "dist/htmx.min.js"),
    "idiomorph.js": ("idiomorph", "dist/idiomorph-ext.min.js"),
}
_LARGEST_REQUEST: Final = 64 * 1024 * 1024


def create_app(console: Console) -> Flask:
    """Return the application that shows a stage."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_REQUEST
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    stage.install(app, console)
    security.protect(app)
    app.context_processor(_shown_everywhere)
    app.add_url_rule("/", view_func=page)
    app.add_url_rule("/scripts/<name>", view_func=script)
    for panel in _PANELS:
        app.register_blueprint(panel.blueprint, url_prefix=f"/{panel.blueprint.name}")
    app.register_error_handler(Exception, _explained)
    return app


def _shown_everywhere() -> dict[str, Any]:
    return {"console": stage.current()}


def page() -> str:
    """The page, its panels empty: what one of them waits for, the others do not."""
    panels = [(panel.blueprint.name, panel.TITLE, panel.LIVE) for panel in _PANELS]
    return render_template("page.html", panels=panels)


def script(name: str) -> Response:
    """A script that npm brought."""
    if name not in _SCRIPTS:
        raise NotFound
    package, file = _SCRIPTS[name]
    return send_from_directory(Path(NODE_MODULES, package), file, max_age=3600)


def _explained(error: Exception) -> Response:
    """One line where a person can mend it, in the place of what was asked for; a bug stays one."""
    if isinstance(error, HTTPException):
        return _alert(error.description or error.name, error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    line = explain(error)
    if line is None:
        raise error
    return _alert(line, HTTPStatus.UNPROCESSABLE_ENTITY)


def _alert(line: str, status: int) -> Response:
    return make_response(render_template("alert.html", line=line, panel=_panel_to_ask_again()), status)


def _panel_to_ask_again() -> str | None:
    """The panel that was asked for, where the page itself does not ask again: a cloud that is down comes back."""
    asked = next((panel for panel in _PANELS if panel.blueprint.name == request.blueprint), None)
    is_whole = asked is not None and request.endpoint == f"{asked.blueprint.name}.panel"
    return asked.blueprint.name if asked is not None and is_whole and not asked.LIVE else None

"""The panel `mailbox`."""

from typing import Final

from flask import Blueprint, render_template

TITLE: Final = "Mailbox"
LIVE: Final = True
blueprint = Blueprint("mailbox", __name__)


@blueprint.get("/")
def panel() -> str:
    """The panel as it is now."""
    return render_template("mailbox.html")

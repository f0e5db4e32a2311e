"""The panel `overview`."""

from typing import Final

from flask import Blueprint, render_template

TITLE: Final = "The shop"
LIVE: Final = True
blueprint = Blueprint("overview", __name__)


@blueprint.get("/")
def panel() -> str:
    """The panel as it is now."""
    return render_template("overview.html")

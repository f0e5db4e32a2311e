"""The panel `dead_letters`."""

from typing import Final

from flask import Blueprint, render_template

TITLE: Final = "Dead letters"
LIVE: Final = True
blueprint = Blueprint("dead_letters", __name__)


@blueprint.get("/")
def panel() -> str:
    """The panel as it is now."""
    return render_template("dead_letters.html")

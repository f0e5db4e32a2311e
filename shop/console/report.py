"""The panel `report`."""

from typing import Final

from flask import Blueprint, render_template

TITLE: Final = "Sales report"
LIVE: Final = False
blueprint = Blueprint("report", __name__)


@blueprint.get("/")
def panel() -> str:
    """The panel as it is now."""
    return render_template("report.html")

"""The panel `images`."""

from typing import Final

from flask import Blueprint, render_template

TITLE: Final = "Images"
LIVE: Final = False
blueprint = Blueprint("images", __name__)


@blueprint.get("/")
def panel() -> str:
    """The panel as it is now."""
    return render_template("images.html")

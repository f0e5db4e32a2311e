"""The panel `orders`."""

from typing import Final

from flask import Blueprint, render_template

TITLE: Final = "Orders"
LIVE: Final = True
blueprint = Blueprint("orders", __name__)


@blueprint.get("/")
def panel() -> str:
    """The panel as it is now."""
    return render_template("orders.html")

"""The panel `overview`: the shop as a picture, each part at its place with what it does now."""

from typing import Final

from flask import Blueprint, render_template

from shop.console import activity, picture, stage
from shop.console.parts import KINDS, SYSTEMS

TITLE: Final = "The shop"
LIVE: Final = True
blueprint = Blueprint("overview", __name__)

_ICONS: Final = {
    "API": "M5 2 1 7l4 5M9 2l4 5-4 5",
    "bucket": "M1 2h12l-2 11H3z",
    "database": "M1 3a6 2 0 0 0 12 0a6 2 0 0 0-12 0v8a6 2 0 0 0 12 0V3",
    "function": "M3 1h2l6 12M7 6 3 13",
    "queue": "M1 2v10M5 2v10M9 2v10M13 2v10",
    "schedule": "M7 1a6 6 0 1 0 .01 0M7 4v3.5l2.5 1.5",
    "table": "M1 2h12v10H1zM1 5.5h12M6 5.5V12",
    "topic": "M1 7h4M5 7l6-5M5 7h7M5 7l6 5",
}
"""By kind of part: a path in a square of 14."""


@blueprint.get("/")
def panel() -> str:
    """The panel as it is now."""
    now = activity.snapshot(stage.current())
    return render_template(
        "overview.html",
        now=now,
        picture=picture.draw(now.parts),
        box=(picture.BOX_WIDTH, picture.BOX_HEIGHT),
        others=picture.others(now.parts),
        kinds=KINDS,
        systems=SYSTEMS,
        icons=_ICONS,
    )

"""The panel `dead_letters`: how deep each dead-letter queue is, what is in one and why, and the way back from there.

Only depths are polled. To look at messages is to receive them, which raises their receive counts, so it takes a click.
Nothing is deleted here but what was sent: `dlq purge` keeps a file of what it deletes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

from flask import Blueprint, Response, current_app, make_response, render_template, request
from flask.blueprints import BlueprintSetupState

from shop import dead_letter_queues, redrive
from shop.console import stage
from shop.console.security import action
from shop.dead_letter_queues import Filters, Place, purpose, takes_edits
from shop.dead_letters import HOLD_SECONDS, DeadLetter
from shop.errors import ShopError
from shop.health import depth
from shop.insights import ID
from shop.json_merge_patch import NotEditable, Patch, difference, read_patch
from shop.local.cloud import Cloud
from shop.redrive import Change, Outcome, Redrive

TITLE: Final = "Dead letters"
LIVE: Final = False
blueprint = Blueprint("dead_letters", __name__)

_STATE: Final = "shop_console_dead_letters"
_MOST_SHOWN: Final = 50
_LONGEST_BODY: Final = 4_000
"""Characters of a body that are shown unasked."""
_FOUND_FOR_SECONDS: Final = 60.0
"""Which queues there are changes with a deployment only, and to find out takes a call for each function."""


@dataclass
class _State:
    """The queues of the stage, as they were found last."""

    places: list[Place] = field(default_factory=list)
    cloud: Cloud | None = None
    until: float = 0.0
    lock: Lock = field(default_factory=Lock)


@blueprint.record
def _install(setup: BlueprintSetupState) -> None:
    setup.app.extensions[_STATE] = _State()


def _places() -> list[Place]:
    state: _State = current_app.extensions[_STATE]
    cloud = stage.current().connect().cloud
    with state.lock:
        if not state.places or cloud != state.cloud or time.monotonic() > state.until:
            state.places = dead_letter_queues.find_by(stage.current().find)
            state.cloud, state.until = cloud, time.monotonic() + _FOUND_FOR_SECONDS
        return state.places


def _place(name: str) -> Place:
    for place in _places():
        if place.queue.name == name:
            return place
    raise ShopError(f"no dead-letter queue is called {name!r}")


@blueprint.get("/")
def panel() -> str:
    """The panel; its queues are asked for by themselves."""
    return render_template("dead_letters.html")


@blueprint.get("/queues")
def queues() -> str:
    """Each queue, what ends in it and how deep it is."""
    found = [(place, purpose(place), depth(place.where.client("sqs"), place.queue.url)) for place in _places()]
    return render_template("dead_letters_queues.html", found=found)


@blueprint.post("/messages")
def messages() -> str:
    """What a queue holds, and why; not by GET, because another site could ask for that."""
    place = _place(request.args.get("queue", ""))
    letters = dead_letter_queues.read_letters([place], Filters(), _MOST_SHOWN)
    return render_template(
        "dead_letters_messages.html",
        place=place,
        letters=[(letter, _form(place, letter)) for letter in letters],
        most=_MOST_SHOWN,
        longest=_LONGEST_BODY,
        hold_seconds=HOLD_SECONDS,
        all_form={"queue": place.queue.name, "patch": "", "error": None, "editable": takes_edits(place)},
    )


def _form(place: Place, letter: DeadLetter, *, whole: bool = False) -> dict[str, Any]:
    """One message's form.

    `body` is what may be edited, None where that is nothing; `fixed` says why it cannot be, and `is_large` that it can
    be once it is asked for: all of a queue's bodies may be megabytes.
    """
    fixed = _why_fixed(letter.body) if takes_edits(place) else None
    is_editable, is_large = takes_edits(place) and fixed is None, len(letter.body) > _LONGEST_BODY
    return {
        "queue": place.queue.name,
        "message_id": letter.message_id,
        "body": letter.body if is_editable and (whole or not is_large) else None,
        "is_large": is_editable and is_large and not whole,
        "fixed": fixed,
        "error": None,
    }


def _why_fixed(body: str) -> str | None:
    try:
        read_patch(body)
    except NotEditable as error:
        return str(error)
    return None


@blueprint.post("/body")
@action
def body() -> Response:
    """A message's form with all of its body, however large; the message is received once more for that."""
    place, message_id = _place(request.form.get("queue", "")), _message_id()
    for letter in dead_letter_queues.read_letters([place], Filters(ids=frozenset({message_id}))):
        return _redrawn(f"#letter-{message_id}", "dead_letters_form.html", form=_form(place, letter, whole=True))
    raise ShopError(f"message {message_id} is not in the queue: it is gone, or held for up to {HOLD_SECONDS} s")


def _message_id() -> str:
    message_id = request.form.get("message_id", "")
    if not ID.fullmatch(message_id):
        raise ShopError(f"{message_id!r} is no message id")
    return message_id


@blueprint.post("/redrive")
@action
def redrive_one() -> Response:
    """Send one message back, its body edited where it was; without `go` only say what would become of it."""
    place, message_id, typed = _place(request.form.get("queue", "")), _message_id(), request.form.get("body")
    change = None if typed is None else _Typed(typed)
    outcomes = _redrive(place, Filters((place.queue.name,), ids=frozenset({message_id})), change)
    form = {
        "queue": place.queue.name,
        "message_id": message_id,
        "body": typed,
        "is_large": "is_large" in request.form,
        "error": None,
    }
    if change is not None and change.error is not None:
        wrong = {**form, "error": f"the body {change.error}"}
        return _redrawn(f"#letter-{message_id}", "dead_letters_form.html", form=wrong)
    return _redrawn(f"#letter-{message_id}", "dead_letters_form.html", form=form, outcomes=outcomes, **_told(outcomes))


@dataclass
class _Typed:
    """What a person made of a body. What that changes is found where the message is received, so that no page has to
    say what its body was."""

    text: str
    error: str | None = None
    """Why it cannot be made of the body."""

    def __call__(self, body: str) -> Patch:
        try:
            return difference(body, self.text)
        except NotEditable as error:
            self.error = str(error)
            raise


@blueprint.post("/redrive-all")
@action
def redrive_all() -> Response:
    """Send all of a queue back, changed by a merge patch if there is one; without `go` only say what would happen."""
    place = _place(request.form.get("queue", ""))
    typed = request.form.get("patch", "").strip()
    form = {"queue": place.queue.name, "patch": typed, "error": None, "editable": takes_edits(place)}
    try:
        patch = read_patch(typed) if typed else None
    except NotEditable as error:
        return _redrawn("#redrive-all", "dead_letters_all.html", all_form={**form, "error": f"the patch {error}"})
    outcomes = _redrive(place, Filters((place.queue.name,)), patch)
    return _redrawn("#redrive-all", "dead_letters_all.html", all_form=form, outcomes=outcomes, **_told(outcomes))


def _redrive(place: Place, filters: Filters, patch: Change | None) -> list[Outcome]:
    act = redrive.run if "go" in request.form else redrive.plan
    return act([place], Redrive(filters, patch))


def _told(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"asked": True, "done": bool(outcomes) and all(outcome.state == "sent" for outcome in outcomes)}


def _redrawn(target: str, template: str, **shown: Any) -> Response:
    """A form once more, with what came of it; what else goes wrong stands beside it, where the form says."""
    form = shown.get("form") or shown["all_form"]
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form["error"] else HTTPStatus.OK
    answer = make_response(render_template(template, hold_seconds=HOLD_SECONDS, **shown), status)
    answer.headers["HX-Retarget"] = target
    answer.headers["HX-Reswap"] = "outerHTML"
    return answer

"""The panel `mailbox`: what e-mail subscribers got, newest first; of a stage on AWS who they are."""

import time
from collections import Counter
from dataclasses import dataclass
from threading import Lock
from typing import Final

from flask import Blueprint, current_app, render_template

from shop import mailbox
from shop.console import stage
from shop.local.cloud import Cloud
from shop.local.mailbox import Mail
from shop.target import Target

TITLE: Final = "Mailbox"
LIVE: Final = True
blueprint = Blueprint("mailbox", __name__)

_SHOWN: Final = 30
_LONGEST_MESSAGE: Final = 20_000
"""Characters of a message: all of it is asked for again and again. `shop mailbox --json` has every mail whole."""
_SHARE: Final = 0.1
"""Of the time, that reading may take while mail pours in: the emulator that answers has the same processors to run
functions on, and it can only be asked for all mail at once."""


@blueprint.get("/")
def panel() -> str:
    """The newest mails, each with its message folded away."""
    target = stage.current().find()
    if target.cloud is None:
        topic = target.output("OrderTopicArn")
        subscribers = mailbox.describe(mailbox.subscriptions(target.client("sns"), topic))
        return render_template("mailbox_of_subscribers.html", topic=topic, subscribers=subscribers)
    box = current_app.extensions.setdefault("shop_console_mailbox", _Box()).look(target, target.cloud)
    return render_template("mailbox.html", box=box, longest=_LONGEST_MESSAGE)


@dataclass(frozen=True)
class _Entry:
    """A mail as it is shown; `id` stays the same from one look to the next."""

    id: str
    topic: str
    order_id: str | None
    mail: Mail


@dataclass(frozen=True)
class _Look:
    """What was in the mailbox when it was read."""

    cloud: Cloud
    count: int
    """As the queue counts."""
    entries: list[_Entry]
    total: int
    next_at: float
    """Moment of the monotonic clock before which it is not read anew."""


class _Box:
    """The mailbox as it was last read: read again when there is more, and not more often than is good for the cloud."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: _Look | None = None

    def look(self, target: Target, cloud: Cloud) -> _Look:
        """Return what is in it; may be called by many threads."""
        count = mailbox.count(target)
        with self._lock:
            if self._last is None or self._is_outdated(self._last, cloud, count):
                self._last = _read(target, cloud, count)
            return self._last

    @staticmethod
    def _is_outdated(last: _Look, cloud: Cloud, count: int) -> bool:
        if last.cloud != cloud or count < last.count:
            return True
        return count > last.count and time.monotonic() >= last.next_at


def _read(target: Target, cloud: Cloud, count: int) -> _Look:
    began = time.monotonic()
    mails = mailbox.read(target)
    ended = time.monotonic()
    return _Look(cloud, count, _entries(mails[: -_SHOWN - 1 : -1]), len(mails), ended + (ended - began) / _SHARE)


def _entries(mails: list[Mail]) -> list[_Entry]:
    seen: Counter[str] = Counter()
    entries = []
    for mail in mails:
        own = mailbox.identity(mail)
        seen[own] += 1
        name = own if seen[own] == 1 else f"{own}-{seen[own]}"
        entries.append(_Entry(name, mailbox.topic_name(mail), mailbox.order_id(mail), mail))
    return entries

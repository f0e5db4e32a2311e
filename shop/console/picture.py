"""Where each part of the shop stands in the picture, and which way data goes between them.

A table, not an algorithm: who knows the shop finds every part at its place, in every stage. tests/templates compares it
with the synthesised templates. What a stage has not is left out of its picture; sizes of images, which are a setting,
get a row each.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from shop.console.parts import SYSTEMS, Key, Parts
from shop.target import IMAGE_FANOUT, ORDER_PIPELINE, ORDER_SERVICE, SALES_REPORT

BOX_WIDTH: Final = 168
BOX_HEIGHT: Final = 62
_MARGIN: Final = 12
_PITCH_X: Final = 206
_PITCH_Y: Final = 90
_LANE_HEAD: Final = 40
_LANE_GAP: Final = 12
_COLUMNS: Final = 6
WIDTH: Final = 2 * _MARGIN + (_COLUMNS - 1) * _PITCH_X + BOX_WIDTH
_NEAR: Final = 9
_FAR: Final = 18
"""How far from the boxes a way runs that goes round some of them: two fit between two rows."""

LEFT_OUT: Final = {
    "AlarmsTopic": "alarms go by mail, no data of the shop's",
    "NotificationsFunction": "runs at a deployment only",
    "DatabaseSetup": "runs at a deployment only",
    "DatabaseMigrator": "runs at a deployment only",
}
"""Parts that are in no picture, and why."""


@dataclass(frozen=True)
class Place:
    """Where a part stands in its system's lane; columns and rows count from 0, halves are between two."""

    key: Key
    column: float
    row: float
    is_failure: bool = False
    """Whether what failed ends here: a message in it waits for a person."""


@dataclass(frozen=True)
class Arrow:
    """The way that data takes from one part to another."""

    source: Key
    target: Key
    seen_at: Key | None
    """The part whose rate says that something goes this way now; None where no part's does."""
    fails: bool = False
    """Whether this way is taken after a failure."""
    way: str = ""
    """`over` or `under` the boxes between the two, `far` where another way runs nearer; straight without."""

    @property
    def id(self) -> str:
        """The arrow's id in the page."""
        return f"{self.source.id}-{self.target.name}"


@dataclass(frozen=True)
class Box:
    """A part as it is drawn: its upper left corner in the picture's units."""

    place: Place
    x: float
    y: float

    @property
    def key(self) -> Key:
        """The part."""
        return self.place.key

    @property
    def middle(self) -> tuple[float, float]:
        """The centre."""
        return self.x + BOX_WIDTH / 2, self.y + BOX_HEIGHT / 2


@dataclass(frozen=True)
class Lane:
    """A system's part of the picture."""

    system: str
    title: str
    y: float
    height: float
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Drawn:
    """An arrow with the path that it takes, in SVG's syntax."""

    arrow: Arrow
    path: str


@dataclass(frozen=True)
class Picture:
    """All that is drawn of a stage."""

    lanes: tuple[Lane, ...]
    arrows: tuple[Drawn, ...]
    width: float
    height: float


def _places(system: str, *rows: Sequence[str]) -> list[Place]:
    """Places row by row; `` leaves one free, `!` marks a queue in which what failed ends."""
    return [
        Place(Key(system, name.removeprefix("!")), column, row, name.startswith("!"))
        for row, names in enumerate(rows)
        for column, name in enumerate(names)
        if name
    ]


_PLACES: Final = (
    *_places(
        ORDER_PIPELINE,
        ("OrdersApi", "OrdersQueue", "OrderProcessor", "OrdersTable", "OrderNotifier", "OrderTopic"),
        ("OrderSimulator", "!OrdersDeadLetters", "", "", "!UnannouncedOrders"),
    ),
    *_places(ORDER_SERVICE, ("OrderServiceApi", "OrderService", "OrderServiceTable")),
    *_places(
        SALES_REPORT,
        ("SalesReportRestApi", "SalesReportApi", "SalesReportTopic"),
        ("DailyReportSchedule", "SalesReport", "SalesDataExtractor", "DatabaseInstance", "SalesRecorder", "SalesQueue"),
        ("!MissedReports", "!FailedReports", "SalesReports", "ReportWatch", "ReportDueSchedule", "!SalesDeadLetters"),
    ),
)


def _arrow(source: str, target: str, seen_at: str | None, *, fails: bool = False, way: str = "") -> Arrow:
    """An arrow between two places by their constructs, which differ in all fixed lanes."""
    return Arrow(_key(source), _key(target), _key(seen_at) if seen_at else None, fails, way)


def _key(name: str) -> Key:
    return next(place.key for place in _PLACES if place.key.name == name)


def _failure(source: str, target: str, way: str = "") -> Arrow:
    return _arrow(source, target, target, fails=True, way=way)


_ARROWS: Final = (
    _arrow("OrdersApi", "OrdersQueue", "OrdersApi"),
    _arrow("OrderSimulator", "OrdersQueue", "OrderSimulator"),
    _arrow("OrdersQueue", "OrderProcessor", "OrderProcessor"),
    _failure("OrdersQueue", "OrdersDeadLetters"),
    _arrow("OrderProcessor", "OrdersTable", "OrderProcessor"),
    _arrow("OrdersTable", "OrderNotifier", "OrderNotifier"),
    _arrow("OrderNotifier", "OrderTopic", "OrderTopic"),
    _failure("OrderNotifier", "UnannouncedOrders"),
    _arrow("OrderTopic", "SalesQueue", "SalesRecorder"),
    _arrow("OrderServiceApi", "OrderService", "OrderService"),
    _arrow("OrderService", "OrderServiceTable", "OrderService"),
    _arrow("SalesReportRestApi", "SalesReportApi", "SalesReportApi"),
    _arrow("SalesReportApi", "SalesReport", "SalesReportApi"),
    _arrow("DailyReportSchedule", "SalesReport", None),
    _failure("DailyReportSchedule", "MissedReports"),
    _arrow("SalesReport", "SalesDataExtractor", "SalesDataExtractor"),
    _arrow("SalesReport", "SalesReportTopic", "SalesReportTopic"),
    _arrow("SalesReport", "SalesReports", "SalesReport"),
    _failure("SalesReport", "FailedReports"),
    _arrow("SalesDataExtractor", "DatabaseInstance", "SalesDataExtractor"),
    _arrow("SalesQueue", "SalesRecorder", "SalesRecorder"),
    _failure("SalesQueue", "SalesDeadLetters"),
    _arrow("SalesRecorder", "DatabaseInstance", "SalesRecorder"),
    _arrow("ReportDueSchedule", "ReportWatch", "ReportWatch"),
    _failure("ReportDueSchedule", "MissedReports", "under"),
    _arrow("ReportWatch", "SalesReports", "ReportWatch"),
)


def draw(parts: Parts) -> Picture:
    """Return the picture of what a stage has."""
    lanes = _lanes(_places_of(parts))
    boxes = {box.key: box for lane in lanes for box in lane.boxes}
    _, image_arrows = _images(parts.image_queues)
    arrows = [arrow for arrow in (*_ARROWS, *image_arrows) if arrow.source in boxes and arrow.target in boxes]
    drawn = tuple(Drawn(arrow, _path(arrow, boxes[arrow.source], boxes[arrow.target])) for arrow in arrows)
    return Picture(lanes, drawn, WIDTH, lanes[-1].y + lanes[-1].height if lanes else 0)


def failures(parts: Parts) -> frozenset[Key]:
    """Return the queues of a stage in which what failed ends."""
    return frozenset(place.key for place in _places_of(parts) if place.is_failure)


def others(parts: Parts) -> list[Key]:
    """Return the parts that have no place in the picture and are not left out of it either: somebody's own."""
    shown = {place.key for place in _places_of(parts)}
    return [key for key in parts.by_key if key not in shown and key.name not in LEFT_OUT]


def _places_of(parts: Parts) -> list[Place]:
    image_places, _ = _images(parts.image_queues)
    return [place for place in (*_PLACES, *image_places) if place.key in parts.by_key]


def _images(queues: Sequence[tuple[str, str]]) -> tuple[list[Place], list[Arrow]]:
    """A row for each size: its queue, the function that reads it, and its dead-letter queue."""

    def key(name: str) -> Key:
        return Key(IMAGE_FANOUT, name)

    middle = (len(queues) - 1) / 2
    bucket, topic = key("Images"), key("ResizeTopic")
    places = [Place(bucket, 0, middle), Place(topic, 1, middle)]
    # Only what came this way is worked on, so the first function's rate says that something came.
    arrows = [Arrow(bucket, topic, key(queues[0][1]))] if queues else []
    for row, (queue, function) in enumerate(queues):
        # stacks/constructs/queues.py: a queue and its dead-letter queue differ in the last word.
        dead_letters = key(queue.removesuffix("Queue") + "DeadLetters")
        places += [Place(key(queue), 2, row), Place(key(function), 3, row), Place(dead_letters, 4, row, True)]
        arrows += [
            Arrow(topic, key(queue), key(function)),
            Arrow(key(queue), key(function), key(function)),
            Arrow(key(queue), dead_letters, dead_letters, True, "under"),
            # Above the others' rows or below them: the bucket and the topic stand between.
            Arrow(key(function), bucket, key(function), way="over" if row < middle or not row else "under far"),
        ]
    return places, arrows


def _lanes(places: Collection[Place]) -> tuple[Lane, ...]:
    """Lanes from top to bottom, of those systems that have something in them."""
    lanes: list[Lane] = []
    y = 0.0
    for system, title in SYSTEMS.items():
        own = [place for place in places if place.key.system == system]
        if not own:
            continue
        height = _LANE_HEAD + (max(place.row for place in own) + 1) * _PITCH_Y
        boxes = [Box(place, _MARGIN + place.column * _PITCH_X, y + _LANE_HEAD + place.row * _PITCH_Y) for place in own]
        lanes.append(Lane(system, title, y, height, tuple(boxes)))
        y += height + _LANE_GAP
    return tuple(lanes)


def _path(arrow: Arrow, source: Box, target: Box) -> str:
    """From the edge of one box to the edge of another."""
    if arrow.way:
        return _path_round(arrow, source, target)
    if source.x == target.x:
        x = source.middle[0]
        begin, end = (source.y + BOX_HEIGHT, target.y) if source.y < target.y else (source.y, target.y + BOX_HEIGHT)
        return f"M{x:g} {begin:g}V{end:g}"
    begin, end = (source.x + BOX_WIDTH, target.x) if source.x < target.x else (source.x, target.x + BOX_WIDTH)
    (_, y1), (_, y2), bend = source.middle, target.middle, (begin + end) / 2
    return f"M{begin:g} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {end:g} {y2:g}"


def _path_round(arrow: Arrow, source: Box, target: Box) -> str:
    """Out of one box and into the other on the same side, along the row of the source."""
    away = _FAR if arrow.way.endswith("far") else _NEAR
    over = arrow.way.startswith("over")
    (x1, _), (x2, _) = source.middle, target.middle
    begin, level = (source.y, source.y - away) if over else (source.y + BOX_HEIGHT, source.y + BOX_HEIGHT + away)
    end = target.y if over else target.y + BOX_HEIGHT
    return f"M{x1:g} {begin:g}V{level:g}H{x2:g}V{end:g}"

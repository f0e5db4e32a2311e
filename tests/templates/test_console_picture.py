"""The console's picture has each part of the templates at a place, and arrows only where the templates have a way."""

from typing import Any

import pytest

from shop import diagrams
from shop.console import picture
from shop.console.parts import KINDS, SYSTEMS, Key, Part, Parts
from shop.names import logical_name
from shop.target import IMAGE_FANOUT
from shop.template_graph import Edge, Shop, edges, load
from tests.templates.synthesis import THREE_SIZES, synthesise

pytestmark = pytest.mark.xdist_group("templates")

STAGES: dict[str, tuple[str, dict[str, str]]] = {
    "local": ("local", {}),
    "prod": (diagrams.STAGE, dict(diagrams.SETTINGS)),
    "three sizes": ("dev", {"image_sizes": THREE_SIZES}),
}
_NOT_DELIVERED = "not delivered"
"""What a topic cannot deliver ends in the dead-letter queue of the queue that it was for: that one's arrow is drawn."""


@pytest.fixture(params=STAGES)
def shop(request: pytest.FixtureRequest) -> Shop:
    """The templates of one stage."""
    stage, settings = STAGES[request.param]
    found = synthesise(stage, **settings).templates
    return load({system: found[f"{stage}-{system}"] for system in SYSTEMS})


def _parts(shop: Shop) -> Parts:
    """What the console would find deployed."""
    keys = {key: Key(key[0], logical_name(key[1])) for key, _ in shop.of_type(*KINDS)}
    by_key = {found: Part(found, shop.resources[key]["Type"], key[1]) for key, found in keys.items()}
    read = [(keys[edge.source], keys[edge.target]) for edge in edges(shop)
            if edge.source in keys and edge.target in keys and edge.label.startswith("batches of")]  # fmt: skip
    sizes = [(queue.name, function.name) for queue, function in read if queue.system == IMAGE_FANOUT]
    return Parts(by_key, (), tuple(sizes))


def _ways(shop: Shop) -> dict[tuple[Key, Key, bool], Edge]:
    return {(_key(edge.source), _key(edge.target), edge.fails): edge for edge in edges(shop)}


def _key(key: tuple[str, str]) -> Key:
    return Key(key[0], logical_name(key[1]))


def test_every_part_is_in_the_picture_or_left_out_with_a_reason(shop: Shop) -> None:
    assert picture.others(_parts(shop)) == []


def test_nothing_is_left_out_that_is_not_there(shop: Shop) -> None:
    assert picture.LEFT_OUT.keys() <= {key.name for key in _parts(shop).by_key}
    assert all(picture.LEFT_OUT.values())


def test_arrows_are_the_ways_of_the_templates(shop: Shop) -> None:
    parts = _parts(shop)
    drawn = {(each.arrow.source, each.arrow.target, each.arrow.fails) for each in picture.draw(parts).arrows}
    shown = {box.key for lane in picture.draw(parts).lanes for box in lane.boxes}
    ways = {way for way, edge in _ways(shop).items()
            if way[0] in shown and way[1] in shown and edge.label != _NOT_DELIVERED}  # fmt: skip
    assert drawn == ways


def test_queues_in_which_failures_end_are_marked(shop: Shop) -> None:
    ends = {target for _, target, fails in _ways(shop) if fails}
    assert picture.failures(_parts(shop)) == ends


def test_every_place_of_the_table_is_filled(shop: Shop) -> None:
    """A part that was renamed or removed does not leave its old place behind."""
    fixed = {place.key for place in picture._PLACES}
    assert fixed <= _parts(shop).by_key.keys()


def test_no_box_lies_on_another(shop: Shop) -> None:
    boxes = [box for lane in picture.draw(_parts(shop)).lanes for box in lane.boxes]
    assert boxes
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            apart = abs(one.x - other.x) >= picture.BOX_WIDTH or abs(one.y - other.y) >= picture.BOX_HEIGHT
            assert apart, (one.key, other.key)


def test_a_part_of_ones_own_is_told_apart(shop: Shop) -> None:
    parts = _parts(shop)
    own = Key(IMAGE_FANOUT, "OwnQueue")
    more: dict[Key, Any] = {**parts.by_key, own: Part(own, "AWS::SQS::Queue", "own")}
    assert picture.others(Parts(more, (), parts.image_queues)) == [own]

"""A second stage in the same account, from its first version over an upgrade to its end, beside a stage that works.

One story, because each deployment takes a while: each fixture is a chapter and goes on from the one before.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from shop.local import tools
from stacks.constructs.function import LIVE
from tests.integration.images import picture
from tests.integration.second_stage import STAGE, SYSTEMS, SecondStage, account, older_tree
from tests.integration.sent import Sent
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop.local.cloud import Cloud
    from tests.integration.order_service import OrderService
    from tests.integration.pipeline import Pipeline

# As the shop was before orders had one id in all logs (decision 0016): the items had no `message_id`.
_OLDER_CODE = {
    "lambdas/order_processor/handler.py": (
        'StoredOrder(order, _received_at(record), ids["message_id"])',
        "StoredOrder(order, _received_at(record))",
    ),
}
# And with one size of images, and a queue that hid messages for 24 s (now 18).
_OLDER_SETTINGS = {
    "image_sizes": [{"prefix": "thumbnail", "function": "CreateThumbnail", "width": 128, "height": 128}],
    "order_processor_timeout_seconds": 4,
}
_PAUSE_SECONDS = 0.05
"""Between two orders: enough to have some in flight at any time, and most of the processors' time for the upgrade."""
_FEW = 10
_MANY = 100
"""To the new version, once it is there: one that loses an order in a hundred is found out."""
_ITEM = {"id": "kept", "price": 78.89, "product": "Beautiful Jacket"}


@dataclass(frozen=True)
class Older:
    """The second stage in its older version, and what was in the account before it."""

    stage: SecondStage
    before: set[tuple[str, str]]
    orders: Sent
    """Taken, stored and announced by the older version."""


@dataclass(frozen=True)
class Upgraded:
    """The second stage in its present version, and the orders that came while it took over."""

    older: Older
    orders: Sent
    by_older_code: set[str]
    """The ids of those that the older version had stored before."""


@pytest.fixture(scope="module")
def older(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Older]:
    """An older version of the second stage, with data of every kind."""
    before = account(cloud)
    stage = SecondStage(cloud, tmp_path_factory.mktemp("second-stage"))
    try:
        stage.deploy(older_tree(tmp_path_factory.mktemp("older"), _OLDER_CODE), **_OLDER_SETTINGS)
        orders = Sent(stage.pipeline)
        orders.post(20)
        orders.settled()
        assert stage.order_service.run("create", {"Item": _ITEM}).status == 201
        stage.images.put("old.jpg", picture())
        eventually(lambda: stage.images.get("thumbnail/old.jpg"))
        yield Older(stage, before, orders)
    finally:
        # Whatever failed: other tests' cloud must not have it.
        if stage.stacks():
            stage.destroy()


@pytest.fixture(scope="module")
def upgraded(older: Older) -> Upgraded:
    """The present version, deployed over the older one while orders come in without a pause."""
    orders = Sent(older.stage.pipeline)
    with _flowing(orders):
        eventually(lambda: len(older.stage.pipeline.stored_ids(orders.prefix)) > _FEW)
        by_older_code = older.stage.pipeline.stored_ids(orders.prefix)
        older.stage.deploy(tools.ROOT)
        # Some are to come after it, too.
        sent = len(orders.accepted)
        eventually(lambda: len(orders.accepted) > sent + _FEW)
    orders.post(_MANY)
    return Upgraded(older, orders, by_older_code)


@pytest.fixture(scope="module")
def left(upgraded: Upgraded) -> list[dict[str, str]]:
    """What `make destroy` says is left of the second stage."""
    return upgraded.older.stage.destroy()


def test_two_stages_in_one_account_do_not_meet(older: Older, pipeline: Pipeline, order_service: OrderService) -> None:
    here = Sent(pipeline)
    here.post(5)
    here.settled()

    assert older.stage.pipeline.stored_ids(here.prefix) == set()
    assert pipeline.stored_ids(older.orders.prefix) == set()
    assert older.stage.pipeline.mails(here.prefix) == []
    assert pipeline.mails(older.orders.prefix) == []
    assert order_service.stored("kept") is None
    # Each has its own key for its API.
    refused = pipeline.post(here.order(99), {"content-type": "application/json", "x-api-key": _key_of(older)})
    assert refused.status == 403


def test_no_order_is_lost_while_a_stage_is_upgraded(upgraded: Upgraded) -> None:
    seen = upgraded.orders.settled()

    assert len(seen.accepted) == len(seen.stored)
    assert not seen.dead
    by_new_code = upgraded.older.stage.pipeline.stored_ids(upgraded.orders.prefix, having="message_id")
    assert len(by_new_code) >= _MANY + _FEW
    assert by_new_code.isdisjoint(upgraded.by_older_code)


def test_an_upgrade_changes_what_it_is_to_change(upgraded: Upgraded) -> None:
    stage, prefix = upgraded.older.stage, upgraded.orders.prefix
    upgraded.orders.settled()
    newest = f"{prefix}{len(upgraded.orders.accepted) - 1}"

    noted = {order_id for order_id in (*upgraded.by_older_code, newest) if _has_message_id(stage.pipeline, order_id)}
    assert noted == {newest}
    url = stage.pipeline.outputs["OrdersQueueUrl"]
    answer = stage.pipeline.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert answer["Attributes"] == {"VisibilityTimeout": "18"}


def test_what_serves_goes_by_the_alias_that_the_upgrade_moved(upgraded: Upgraded) -> None:
    """Orders and requests took that way in the tests above; of the emulator's aliases one is as new as its function."""
    stage = upgraded.older.stage
    functions = stage.pipeline.client("lambda")
    mappings = [
        mapping["FunctionArn"]
        for page in functions.get_paginator("list_event_source_mappings").paginate()
        for mapping in page["EventSourceMappings"]
        if f":{STAGE}-" in mapping["FunctionArn"]
    ]

    assert mappings
    assert all(arn.endswith(f":{LIVE}") for arn in mappings)
    for arn in mappings:
        alias = functions.get_alias(FunctionName=arn.removesuffix(f":{LIVE}"), Name=LIVE)
        present = functions.get_function_configuration(FunctionName=arn.removesuffix(f":{LIVE}"))["CodeSha256"]
        version = functions.get_function_configuration(FunctionName=arn)
        assert version["CodeSha256"] == present
        assert version["Version"] == alias["FunctionVersion"] != "$LATEST"


def test_an_upgrade_keeps_what_the_older_version_stored(upgraded: Upgraded) -> None:
    stage, orders = upgraded.older.stage, upgraded.older.orders

    assert len(orders.settled().stored) == 20
    answer = stage.order_service.run("update", {"Key": {"id": "kept"}, "UpdateExpression": "SET sold = :yes",
                                                "ExpressionAttributeValues": {":yes": True}})  # fmt: skip
    assert answer.status == 200
    stored = stage.order_service.stored("kept") or {}
    assert stored.items() >= {**_low_level(_ITEM), "sold": {"BOOL": True}}.items()
    assert set(stage.images.results("old.jpg")) == {"thumbnail"}


def test_new_code_knows_an_older_versions_orders_again(upgraded: Upgraded) -> None:
    """The same order sent once more is a duplicate, and another under its id a conflict, whoever stored the first."""
    pipeline, orders = upgraded.older.stage.pipeline, upgraded.older.orders
    before = pipeline.stored(f"{orders.prefix}0")
    again = pipeline.enqueue(orders.order(0))

    eventually(lambda: again not in pipeline.queued())
    assert again not in pipeline.dead_letters()
    assert pipeline.stored(f"{orders.prefix}0") == before


def test_a_size_that_an_upgrade_adds_is_made_of_new_images(upgraded: Upgraded) -> None:
    images = upgraded.older.stage.images
    images.put("new.jpg", picture())

    eventually(lambda: set(images.results("new.jpg")) == {"thumbnail", "mobile"})


def test_destroying_a_stage_leaves_what_it_lists_and_nothing_else(
    upgraded: Upgraded, left: list[dict[str, str]], cloud: Cloud
) -> None:
    stays = {(each["kind"], each["name"]) for each in left}
    added = account(cloud) - upgraded.older.before

    assert not upgraded.older.stage.stacks()
    assert {name for _, name in added} <= {name for _, name in stays}
    one_a_stack = ["key"] * len(SYSTEMS)
    assert sorted(kind for kind, _ in stays) == ["API Gateway's log role", "CDK's bucket", *one_a_stack, "role"]
    assert all(each["why"] and each["remove"] for each in left)


@pytest.mark.usefixtures("left")
def test_the_stage_beside_a_destroyed_one_works(pipeline: Pipeline) -> None:
    orders = Sent(pipeline)
    orders.post(5)
    orders.settled()


@contextmanager
def _flowing(orders: Sent) -> Iterator[None]:
    """Orders come in one after another, each of which must be accepted."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(_PAUSE_SECONDS):
            orders.post(1)

    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send)
        try:
            yield
        finally:
            stop.set()
        sending.result()


def _key_of(older: Older) -> str:
    return older.stage.pipeline.api_key


def _has_message_id(pipeline: Pipeline, order_id: str) -> bool:
    return "message_id" in (pipeline.stored(order_id) or {})


def _low_level(item: dict[str, object]) -> dict[str, dict[str, object]]:
    return {name: {"S": value} if isinstance(value, str) else {"N": str(value)} for name, value in item.items()}

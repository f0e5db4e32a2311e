"""`python -m shop audit` on a deployed pipeline: what was accepted is found, what was never sent is not."""

import json
import uuid
from pathlib import Path

import pytest

from tests.integration.pipeline import Pipeline
from tests.integration.test_cli import Shell
from tests.polling import eventually


@pytest.fixture(scope="module")
def shell(cloud_folder: Path) -> Shell:
    return Shell(cloud_folder)


def order(order_id: str, quantity: str = "2") -> str:
    return f'{{"orderID": "{order_id}", "product": "Tea", "quantity": {quantity}, "price_per_item": 3.50}}'


def test_the_answers_of_orders_place_are_audited(shell: Shell, pipeline: Pipeline, tmp_path: Path) -> None:
    prefix = f"audit-{uuid.uuid4().hex[:8]}"
    stored = [f"{prefix}-{number}" for number in range(30)]
    sent = [*map(order, stored), order(f"{prefix}-refused", "0")]
    code, answers, _ = shell.run("orders", "place", "-", "--json", stdin="\n".join(sent))
    assert code == 1
    message_id = pipeline.client("sqs").send_message(
        QueueUrl=pipeline.outputs["OrdersDeadLetterQueueUrl"], MessageBody="not JSON"
    )["MessageId"]
    file = tmp_path / "answers.json"
    file.write_text(json.dumps([*json.loads(answers), {"messageId": message_id}]))

    def found() -> dict[str, str] | None:
        result = json.loads(shell.run("audit", str(file), "--json")[1])
        assert result["accepted"] == result["stored"] + result["dead"] + result["queued"] + result["unknown"] == 31
        return dict(result["places"]) if result["stored"] == 30 else None

    places = eventually(found)
    assert places == {
        **dict.fromkeys(stored, "stored"),
        message_id: "dead-lettered",
        f"{prefix}-refused": "refused",
    }


def test_an_order_that_is_nowhere_ends_it_with_exit_code_1(shell: Shell) -> None:
    lost = f"audit-lost-{uuid.uuid4().hex[:8]}"

    def verdict() -> tuple[int, str, str] | None:
        ended = shell.run("audit", "-", stdin=f"{lost}\n")
        # Other tests' orders may be on the queue: as long as they are, this one might be, too.
        return ended if ended[0] else None

    code, out, err = eventually(verdict, timeout=90)
    assert code == 1
    assert out.startswith("Orders of stage local\n")
    assert f"unknown: {lost}\n" in err


def test_without_a_file_the_counts_are_shown(shell: Shell, pipeline: Pipeline) -> None:
    result = shell.json("audit")
    assert result["accepted"] is None
    assert result["stored"] >= len(pipeline.stored_ids("audit-"))


def test_a_file_that_is_not_there_is_named(shell: Shell) -> None:
    assert shell.run("audit", "nowhere.txt") == (1, "", "error: nowhere.txt: No such file or directory\n")

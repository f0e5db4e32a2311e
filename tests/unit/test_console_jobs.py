"""Work in the background of the console page: one of a kind at a time, its end kept, its errors explained."""

from threading import Event

import pytest

from shop.console.jobs import Job, Jobs, Progress
from shop.errors import ShopError
from tests.polling import eventually


def ended(job: Job[object]) -> Job[object]:
    eventually(lambda: job.state != "running")
    return job


def test_work_tells_how_far_it_is_and_its_result_is_kept() -> None:
    jobs, go_on = Jobs(), Event()

    def work(progress: Progress) -> object:
        progress.begin("counting", 3)
        progress.advance(2)
        go_on.wait()
        return "counted"

    job = jobs.start("the count", work)
    eventually(lambda: job.progress.done == 2)
    assert (job.state, job.progress.text, job.progress.total, job.result) == ("running", "counting", 3, None)
    go_on.set()
    assert (ended(job).state, job.result, job.error) == ("done", "counted", None)
    assert jobs.last("the count") is job


def test_a_second_of_the_kind_waits_for_the_first_to_end() -> None:
    jobs, go_on = Jobs(), Event()
    first: Job[object] = jobs.start("the report", lambda _: go_on.wait())
    with pytest.raises(ShopError, match="the report is running already"):
        jobs.start("the report", lambda _: None)
    other: Job[object] = jobs.start("the upload", lambda _: None)
    assert ended(other).state == "done"
    go_on.set()
    ended(first)
    again: Job[object] = jobs.start("the report", lambda _: "again")
    assert ended(again).result == "again"
    assert jobs.last("the report") is again


def test_what_a_person_can_mend_is_one_line() -> None:
    def work(_: Progress) -> object:
        raise ShopError("no report of 2026-11-26")

    job = ended(Jobs().start("the report", work))
    assert (job.state, job.error, job.result) == ("failed", "no report of 2026-11-26", None)


def test_a_bug_is_in_the_log_and_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    def work(_: Progress) -> object:
        raise ZeroDivisionError("the secret of the bug")

    job = ended(Jobs().start("the report", work))
    assert job.error == "the report failed: ZeroDivisionError; the console's log has the traceback"
    assert "the secret of the bug" in caplog.text

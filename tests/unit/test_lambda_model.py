"""The model of memory, time and price, and the report on the order service's memory that is made with it."""

import pytest

from bench import lambda_model as model
from bench import order_service_memory as memory
from bench.lambda_model import Work
from bench.memory_chart import draw
from stacks.settings import STAGES, load_settings


@pytest.mark.parametrize(("memory_mb", "share"), [(1_769, 1.0), (3_008, 1.0), (128, 128 / 1_769), (8_845, 1.0)])
def test_a_thread_gets_its_share_and_never_more_than_one_vcpu(memory_mb: int, share: float) -> None:
    assert model.cpu_share(memory_mb) == pytest.approx(share)


def test_only_cpu_time_grows_when_the_share_shrinks() -> None:
    work = Work(cpu_ms=10, wait_ms=4)
    assert model.duration_ms(work, 1_769) == pytest.approx(14)
    assert model.duration_ms(work, 3_008) == pytest.approx(14)
    assert model.duration_ms(work, 128) == pytest.approx(10 * 1_769 / 128 + 4)


def test_each_request_is_billed_by_the_started_millisecond() -> None:
    # A million requests of 1 s with 1,024 MB are a million gigabyte-seconds.
    assert model.dollars_a_million(1_000, 1_024) == pytest.approx(0.20 + 13.3334)
    assert model.dollars_a_million(7.01, 512) == pytest.approx(0.20 + 8 * 500 * 0.0000133334)
    assert model.dollars_a_million(7.0, 512) < model.dollars_a_million(7.01, 512) == model.dollars_a_million(8, 512)


def test_an_estimate_puts_the_three_together() -> None:
    found = model.estimate(Work(1, 4), Work(200, 4), 884)
    assert (found.memory_mb, round(found.warm_ms, 2), round(found.cold_ms, 1)) == (884, 6.0, 404.2)
    assert found.dollars_a_million == model.dollars_a_million(found.warm_ms, 884)


@pytest.mark.parametrize(
    ("work", "size"),
    [
        (Work(cpu_ms=0, wait_ms=4), 128),  # only waits
        (Work(cpu_ms=0.8, wait_ms=4), 512),
        (Work(cpu_ms=1_000, wait_ms=0), 1_769),  # only computes: worth it until it has a whole vCPU
    ],
)
def test_the_recommended_size_is_the_first_that_is_not_worth_doubling(work: Work, size: int) -> None:
    found = model.recommended_mb(work)
    smaller = [each for each in model.SIZES_MB if each < found]
    assert model.gain_of_doubling(work, found) < model.WORTH_DOUBLING
    assert all(model.gain_of_doubling(work, each) >= model.WORTH_DOUBLING for each in smaller)
    assert found == size


def test_the_default_memory_is_what_the_report_recommends() -> None:
    recommended = model.recommended_mb(memory.read_figures().warm)
    assert {stage: load_settings({"stage": stage}).order_service_memory_mb for stage in STAGES} == dict.fromkeys(
        STAGES, recommended
    )


def test_the_report_and_its_chart_are_made_from_the_kept_figures() -> None:
    figures = memory.read_figures()
    assert memory.REPORT.read_text(encoding="utf-8") == memory.report(figures)
    assert memory.CHART.read_bytes() == draw(figures.estimates)


def test_the_labs_finding_holds_that_512_mb_beats_128_mb_by_far() -> None:
    warm = memory.read_figures().warm
    gain = model.duration_ms(warm, 128) / model.duration_ms(warm, 512)
    assert 2 < gain < 512 / 128

"""What is billed, against figures computed by hand."""

import math

import pytest

from shop import cost_formulas as aws
from shop.cost_formulas import DAYS, GIGABYTE, HOURS, SECONDS

MILLION = 1_000_000


def test_a_month_has_730_hours() -> None:
    assert (HOURS, SECONDS) == (730, 2_628_000)
    assert pytest.approx(30.4167, abs=1e-4) == DAYS


def test_periods_with_events_are_as_many_as_events_when_few_come_and_all_when_many_do() -> None:
    assert aws.periods_with(1, 3_600) == pytest.approx(1, rel=1e-3)
    assert aws.periods_with(730, 3_600) == pytest.approx(730 * (1 - 1 / math.e))
    assert aws.periods_with(MILLION, 3_600) == pytest.approx(730)
    assert aws.periods_with(0, 1) == 0


@pytest.mark.parametrize(
    ("items", "window", "spikes", "batch"),
    [
        (SECONDS, 0, 0, 1),  # an order a second, at once
        (SECONDS, 5, 0, 6),  # the one that opens the window and five more
        (SECONDS * 10, 5, 0, 10),
        (SECONDS, 0, 1, 10),
        (SECONDS, 0, 0.5, 1 / (0.5 / 10 + 0.5)),
    ],
)
def test_a_batch_has_what_its_window_gathers_and_is_full_in_spikes(
    items: float, window: float, spikes: float, batch: float
) -> None:
    assert aws.mean_batch(items, 10, window, spikes) == pytest.approx(batch)


def test_sqs_bills_each_call_for_every_64_kb() -> None:
    assert aws.sqs(1_000, 100) == {"sqs.request": 1_000 + 200}
    # 65 KB are two requests to send; ten of them 11 to receive, and one to delete them.
    assert aws.sqs(10, 1, 65 * 1_024, 10) == {"sqs.request": 20 + 11 + 1}


def test_an_idle_queue_is_polled_five_times_in_20_seconds() -> None:
    assert aws.idle_polling(1) == {"sqs.request": 657_000}
    assert aws.idle_polling(4) == {"sqs.request": 2_628_000}


def test_lambda_bills_whole_milliseconds_by_memory() -> None:
    # 10,000 in a second, so that none of them is cold: 10 ms of half a gigabyte.
    many = 10_000 * SECONDS
    found = aws.lambda_runs(many, 9.1, 500, 512, "arm64")
    assert found == {"lambda.request": many, "lambda.gb_second_arm64": pytest.approx(many * 0.005)}


def test_lambda_bills_the_start_of_runs_that_find_no_environment() -> None:
    # A run an hour finds an environment of ten minutes in one case of 6.5: exp(-1/6) = 0.846 are cold.
    found = aws.lambda_runs(730, 100, 1_000, 1_024, "x86_64")
    assert found["lambda.gb_second_x86_64"] == pytest.approx(730 * (0.1 + math.exp(-1 / 6)))
    daily = aws.lambda_runs(30, 100, 1_000, 1_024, "x86_64", always_cold=True)
    assert daily["lambda.gb_second_x86_64"] == pytest.approx(30 * 1.1)


def test_snapshots_are_billed_by_the_memory_that_is_kept_and_restored() -> None:
    # The pricing page's example is a GB for the 2,678,400 s of a month of 31 days, restored 74,400 times.
    assert aws.kept_snapshots(1_024) == {"lambda.snapshot_gb_second": 2_628_000}
    assert aws.restored_snapshots(74_400, 1_024) == {"lambda.snapshot_restored_gb": 74_400}
    assert aws.restored_snapshots(4, 512) == {"lambda.snapshot_restored_gb": 2}
    assert aws.kept_snapshots(0) == {"lambda.snapshot_gb_second": 0}


@pytest.mark.parametrize(("size", "units"), [(1, 1), (1_024, 1), (1_025, 2), (4_096, 4)])
def test_a_write_unit_is_a_kilobyte(size: int, units: int) -> None:
    assert aws.write_units(10, size) == {"dynamodb.write_request_unit": 10 * units}


@pytest.mark.parametrize(("size", "consistent", "units"), [(300, True, 1), (300, False, 0.5), (4_097, True, 2)])
def test_a_read_unit_is_four_kilobytes(size: int, consistent: bool, units: float) -> None:
    assert aws.read_units(10, size, consistent=consistent) == {"dynamodb.read_request_unit": 10 * units}


def test_capacity_is_billed_by_the_hour() -> None:
    found = aws.provisioned(5, 1)
    assert found == {"dynamodb.write_capacity_unit_hour": 3_650, "dynamodb.read_capacity_unit_hour": 730}


def test_items_are_stored_with_100_bytes_more_and_backed_up_where_restorable() -> None:
    million = MILLION * 400 / GIGABYTE
    assert aws.table_storage(MILLION, 300, restorable=True) == {
        "dynamodb.storage": pytest.approx(million),
        "dynamodb.continuous_backup": pytest.approx(million),
    }
    assert aws.table_storage(MILLION, 300, restorable=False)["dynamodb.continuous_backup"] == 0


def test_a_standby_doubles_a_database() -> None:
    assert aws.database("db.t4g.micro", 20, multi_az=False) == {"rds.db.t4g.micro": 730, "rds.storage": 20}
    assert aws.database("db.t4g.small", 20, multi_az=True) == {"rds.db.t4g.small": 1_460, "rds.storage": 40}


def test_logs_are_billed_with_26_bytes_an_event_and_kept_compressed() -> None:
    found = aws.logs(GIGABYTE / 1_000, 974, 3)
    assert found == {"cloudwatch.log_ingestion": pytest.approx(1), "cloudwatch.log_storage": pytest.approx(0.45)}


def test_flow_logs_are_four_lines_of_each_interface_every_ten_minutes() -> None:
    # 4,380 intervals x 3 interfaces x 4 flows of 136 bytes: 7.1 MB
    found = aws.flow_logs(3, 1)["cloudwatch.log_ingestion"]
    assert found * GIGABYTE == pytest.approx(4_380 * 12 * 136)


def test_a_metric_is_billed_for_the_hours_in_which_it_has_data() -> None:
    assert aws.metrics(5, 100 * MILLION)["cloudwatch.metric"] == pytest.approx(5)
    assert aws.metrics(1, 1)["cloudwatch.metric"] == pytest.approx(1 / 730, rel=1e-3)
    assert aws.method_metrics(2, 100 * MILLION)["cloudwatch.metric"] == pytest.approx(10)


@pytest.mark.parametrize(("months", "dollars"), [(1, 4), (12, 4), (13, 8), (25, 12), (60, 12)])
def test_a_key_is_billed_again_for_its_first_two_rotations(months: int, dollars: float) -> None:
    assert aws.keys(4, months) == {"kms.key": dollars}


def test_a_data_key_is_used_for_five_minutes() -> None:
    # All day long: 8,760 periods, each made, made again for the other principal, and decrypted.
    assert aws.data_keys(100 * MILLION, 1)["kms.request"] == pytest.approx(8_760 * 3)
    assert aws.data_keys(1, 1)["kms.request"] == pytest.approx(3, rel=1e-3)


def test_the_first_request_of_a_second_is_traced_and_a_twentieth_of_the_others() -> None:
    assert aws.traces(1)["xray.trace"] == pytest.approx(1)
    hundred_a_second = 100 * SECONDS
    assert aws.traces(hundred_a_second)["xray.trace"] == pytest.approx(SECONDS + 0.05 * 99 * SECONDS)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (aws.rest_api(7), {"api_gateway.rest_request": 7}),
        (aws.http_api(7), {"api_gateway.http_request": 7}),
        (aws.sns(7, 14), {"sns.request": 7, "sns.email": 14}),
        (aws.s3(1, 2, GIGABYTE), {"s3.write_request": 1, "s3.read_request": 2, "s3.storage": 1}),
        (aws.watching(33, 1), {"cloudwatch.alarm": 33, "cloudwatch.dashboard": 1}),
        (aws.secrets(2), {"secrets_manager.secret": 2}),
        (aws.schedules(60), {"scheduler.invocation": 60}),
        (aws.nat_gateway(), {"vpc.nat_gateway_hour": 730}),
        (aws.transfer(1_024, 1_024 * 1_024), {"data_transfer.out": 1}),
    ],
)
def test_what_is_billed_by_the_piece(found: aws.Quantities, expected: aws.Quantities) -> None:
    assert found == expected

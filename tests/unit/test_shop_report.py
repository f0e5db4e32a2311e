"""`report run` and `report get`: what they ask of the stage, what they show, and one line for what goes wrong."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from sales_report.sales import Sale, to_csv
from shop import report, target
from shop.cli import app
from shop.errors import ShopError
from shop.local import database
from shop.output import print_csv
from shop.target import Target

BUCKET = "reports"
MADE = {
    "statusCode": 200,
    "date": "2026-11-26",
    "products": 1,
    "quantity": 1200,
    "csv": "reports/2026-11-26.csv",
    "message": "Daily Sales Analysis Report\nDay: 2026-11-26 [bold]\n  \u2068תה\u2069\n",
}
SALES = [Sale(1, "Drinks", 3, 'Caffè "Latte"\n', 5), Sale(9999, "Unassigned", 4, "=1+1 ", 10**25)]


class FakeLambda:
    """`invoke` with one answer; keeps what it was asked."""

    def __init__(self) -> None:
        self.payload: bytes = json.dumps(MADE).encode()
        self.function_error: str | None = None
        self.invoked: list[dict[str, Any]] = []

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.invoked.append(arguments)
        error = {"FunctionError": self.function_error} if self.function_error else {}
        return {"Payload": io.BytesIO(self.payload), **error}

    def fail(self, error_type: str, message: str) -> None:
        self.function_error = "Unhandled"
        self.payload = json.dumps({"errorType": error_type, "errorMessage": message}).encode()


class Stage:
    """A stage's sales report: the function is a fake, the bucket is moto's."""

    def __init__(self, functions: FakeLambda, stage: str = "dev") -> None:
        self.stage = stage
        self.functions = functions

    def output(self, key: str) -> str:
        return {"SalesReportFunctionName": "report-function", "SalesReportsBucketName": BUCKET}[key]

    def client(self, service: str, config: Any = None) -> Any:
        if service != "lambda":
            return boto3.client(service)  # type: ignore[call-overload]
        assert config.retries == {"total_max_attempts": 1}
        assert config.read_timeout > 900
        return SimpleNamespace(invoke=self.functions.invoke)


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLambda]:
    """The functions of the stage that the commands find, whatever stage is asked for."""
    functions = FakeLambda()

    def find(stage: str, system: str) -> Stage:
        assert system == "sales-report"
        return Stage(functions, stage)

    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        monkeypatch.setattr(target, "find", find)
        yield functions


@pytest.fixture
def kept(functions: FakeLambda) -> bytes:
    """The CSV of a day, as the function has put it into the bucket."""
    assert functions.invoked == []
    data = to_csv(SALES)
    boto3.client("s3").put_object(Bucket=BUCKET, Key="reports/2026-11-26.csv", Body=data)
    return data


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_report_is_made_and_said(functions: FakeLambda) -> None:
    result = run("report", "run")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "Report of 2026-11-26 mailed: 1 product, quantity 1,200; reports/2026-11-26.csv\n"
    assert functions.invoked == [{"FunctionName": "report-function", "Payload": b"{}"}]


def test_the_mails_text_is_printed_as_it_is(functions: FakeLambda) -> None:
    result = run("report", "run", "--date", "2026-11-26", "--print", "--stage", "dev")
    assert result.stdout == f"{MADE['message']}\n"
    assert functions.invoked[0]["Payload"] == b'{"date":"2026-11-26"}'


def test_a_program_gets_the_figures_and_the_text(functions: FakeLambda) -> None:
    result = run("report", "run", "--json", "--print")
    assert json.loads(result.stdout) == {name: value for name, value in MADE.items() if name != "statusCode"}
    assert len(functions.invoked) == 1


@pytest.mark.parametrize("arguments", [("run", "--date"), ("get",)])
@pytest.mark.parametrize(
    ("day", "line"),
    [
        ("2026-02-30", "error: date: '2026-02-30' is not a day of the calendar\n"),
        ("yesterday", "error: date: 'yesterday' is not of the form YYYY-MM-DD\n"),
        ("../x", "error: date: '../x' is not of the form YYYY-MM-DD\n"),
    ],
)
def test_what_is_no_day_is_one_line(functions: FakeLambda, arguments: tuple[str, ...], day: str, line: str) -> None:
    result = run("report", *arguments, day)
    assert (result.exit_code, result.stderr) == (1, line)
    assert functions.invoked == []


@pytest.mark.parametrize(
    ("error_type", "advice"),
    [
        ("DatabaseUnreachable", "does the database run"),
        ("DatabaseAccessDenied", "deploy again"),
        ("DatabaseObjectMissing", "deploy again"),
        ("QueryTimedOut", "report_query_seconds"),
        ("ReportTooLarge", "more products"),
    ],
)
def test_an_error_of_the_extractor_says_what_to_look_at(functions: FakeLambda, error_type: str, advice: str) -> None:
    functions.fail("ReportFailed", f"the extractor failed: {error_type}: database db.test:3306: a reason (1)")
    result = run("report", "run", "--stage", "dev")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    reason = f"ReportFailed: the extractor failed: {error_type}: database db.test:3306: a reason (1)"
    assert line.startswith(f"error: no report was made: {reason}; ")
    assert advice in line


def test_a_local_database_that_has_ended_is_started_by_make_up(functions: FakeLambda) -> None:
    functions.fail("ReportFailed", "the extractor failed: DatabaseUnreachable: database localhost:1: refused (2003)")
    assert "; make up starts the database" in run("report", "run").stderr


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (b'{"errorMessage": "2026 Task timed out"}', "no report was made: 2026 Task timed out"),
        (b'{"errorType": "ClientError", "errorMessage": "a\\nb"}', r"no report was made: ClientError: a\nb"),
        (b"", "no report was made: None"),
    ],
)
def test_any_other_error_of_the_function_is_one_line_too(functions: FakeLambda, payload: bytes, line: str) -> None:
    functions.payload, functions.function_error = payload, "Unhandled"
    result = run("report", "run")
    assert (result.exit_code, result.stderr) == (1, f"error: {line}\n")


def test_a_csv_is_fetched_byte_for_byte(kept: bytes) -> None:
    result = run("report", "get", "2026-11-26")
    assert result.exit_code == 0
    assert result.stdout_bytes == kept


def test_a_csv_goes_to_a_file(kept: bytes, tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    result = run("report", "get", "2026-11-26", "--output", str(file))
    assert result.stdout == ""
    assert result.stderr == f"{len(kept)} bytes written to {file}\n"
    assert file.read_bytes() == kept


def test_a_dash_for_a_file_is_stdout(kept: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("report", "get", "2026-11-26", "--output", "-")
    assert (result.stdout_bytes, result.stderr) == (kept, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("kept")
def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = run("report", "get", "2026-11-26", "--output", str(tmp_path))
    assert (result.exit_code, result.stderr) == (1, f"error: {tmp_path}: Is a directory\n")


@pytest.mark.usefixtures("kept")
def test_a_program_gets_the_rows() -> None:
    result = run("report", "get", "2026-11-26", "--json")
    assert json.loads(result.stdout) == [one._asdict() for one in SALES]


def test_a_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", terminal)
    print_csv("product\r\nTea\x1b[31m\u2028,1\r\nAt\n[bold]\r\n".encode())
    assert terminal.getvalue() == "product\nTea\\x1b[31m\\u2028,1\nAt\\n[bold]\n"


@pytest.mark.parametrize(("stage", "option"), [("dev", " --stage dev"), ("local", "")])
@pytest.mark.usefixtures("functions")
def test_a_report_that_was_not_made_says_how_to_make_it(stage: str, option: str) -> None:
    result = run("report", "get", "2026-11-25", "--stage", stage)
    command = f".venv/bin/python -m shop report run --date 2026-11-25{option}"
    line = f"error: no report of 2026-11-25 was made in stage {stage}: {command} makes it\n"
    assert (result.exit_code, result.stderr) == (1, line)


def missing(monkeypatch: pytest.MonkeyPatch, *, pipeline: bool, mariadb: bool) -> str:
    """Says what `report.find` raises for a local cloud without the sales report."""

    def find(stage: str, system: str = target.ORDER_PIPELINE) -> Target:
        if system == target.SALES_REPORT or not pipeline:
            raise ShopError(f"{stage}: no {system}")
        return Target(stage, {}, boto3.Session(), None)

    monkeypatch.setattr(target, "find", find)
    monkeypatch.setattr(database, "is_available", lambda: mariadb)
    with pytest.raises(ShopError) as refusal:
        report.find("local")
    return str(refusal.value)


def test_a_local_cloud_without_mariadb_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(monkeypatch, pipeline=True, mariadb=False) == report.NO_DATABASE
    assert "\n" not in report.NO_DATABASE


def test_any_other_reason_keeps_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(monkeypatch, pipeline=False, mariadb=False) == "local: no sales-report"
    assert missing(monkeypatch, pipeline=True, mariadb=True) == "local: no sales-report"

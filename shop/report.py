"""The sales report from the outside: have one made, fetch one that was made."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec
from botocore.config import Config
from botocore.exceptions import ClientError

from shop import target
from shop.errors import ShopError
from shop.local import database
from shop.order_rules import parse_day
from shop.orders import function_error
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_s3.client import S3Client

REPORT_SECONDS: Final = 910
"""A function runs at most 900 s (Lambda quotas); the client must not hang up on it before."""
NO_DATABASE: Final = (
    "the sales report is not deployed to the local cloud, because this machine has no MariaDB server: "
    "install one (Debian, Ubuntu: mariadb-server-core; macOS: brew install mariadb), then make up"
)
_EXTRACTOR_ERROR: Final = re.compile(r"the extractor failed: (\w+)")
_UNREACHABLE: Final = "does the database run, and is it where the parameter dbUrl says?"
_UNREACHABLE_HERE: Final = "make up starts the database where it does not run, make status says where its log is"
_ADVICE: Final = {
    "DatabaseUnreachable": _UNREACHABLE,
    "DatabaseAccessDenied": "a deployment gives the users their rights and passwords: deploy again",
    "DatabaseObjectMissing": "a deployment migrates the schema: deploy again",
    "QueryTimedOut": "the database is busy, or report_query_seconds in stacks/settings.py is too short",
    "ReportTooLarge": "more products were sold that day than an answer of AWS Lambda holds",
}
"""By the extractor's name of the error: what a person can look at."""


@dataclass(frozen=True)
class Report:
    """What the report function says of a report that it made and mailed."""

    date: str
    products: int
    quantity: int
    csv: str
    """Key of the CSV in the stage's bucket."""
    message: str
    """The mail's text."""


def find(stage: str) -> Target:
    """Return the target of a stage's sales report; raise ShopError as `target.find` does.

    Where a local cloud is without it for want of a MariaDB server, the error says so.
    """
    with _missing_database_named(stage):
        return target.find(stage, target.SALES_REPORT)


def at(connection: Target) -> Target:
    """Return the target of the sales report of a stage that `target.connect` gave; raise ShopError as `find` does."""
    with _missing_database_named(connection.stage):
        return target.at(connection, target.SALES_REPORT)


@contextmanager
def _missing_database_named(stage: str) -> Iterator[None]:
    try:
        yield
    except ShopError:
        if stage == target.LOCAL and _runs_without_database():
            raise ShopError(NO_DATABASE) from None
        raise


def _runs_without_database() -> bool:
    try:
        target.find(target.LOCAL)
    except ShopError:
        return False
    return not database.is_available()


def time_zone(where: Target) -> ZoneInfo:
    """Return the zone whose days the reports are of: the deployed function's, as the settings may have changed."""
    functions: LambdaClient = where.client("lambda")
    found = functions.get_function_configuration(FunctionName=where.output("SalesReportFunctionName"))
    return ZoneInfo(found["Environment"]["Variables"]["SHOP_TIME_ZONE"])


def command(stage: str, verb: str, arguments: str) -> str:
    """Return the command line that does something with a stage's reports."""
    return f"python -m shop report {verb} {arguments}{target.stage_option(stage)}"


class NoReport(ShopError):
    """No report of a day was made; `what` says just that, the whole line also which command makes one."""

    def __init__(self, stage: str, day: str) -> None:
        self.what = f"no report of {day} was made in stage {stage}"
        super().__init__(f"{self.what}: .venv/bin/{command(stage, 'run', f'--date {day}')} makes it")


def csv_key(day: str) -> str:
    """Return the key of a day's newest report in the bucket of reports."""
    return f"reports/{day}.csv"


def check_day(text: str) -> str:
    """Return a day `YYYY-MM-DD` as it is; raise ShopError for anything else."""
    try:
        return parse_day(text).isoformat()
    except ValueError as error:
        raise ShopError(str(error)) from None


def run(where: Target, day: str | None = None) -> Report:
    """Have the report of a day made and mailed, of today in the shop's zone without one; return it.

    Raises ShopError for what is no day, and when the function raised, with what it says and what to look at.
    """
    event = {} if day is None else {"date": check_day(day)}
    # A second invocation would mail a second report, so the client never repeats it.
    config = Config(read_timeout=REPORT_SECONDS, retries={"total_max_attempts": 1})
    client: LambdaClient = where.client("lambda", config)
    answer = client.invoke(FunctionName=where.output("SalesReportFunctionName"), Payload=msgspec.json.encode(event))
    payload = answer["Payload"].read()
    if "FunctionError" in answer:
        raise ShopError(_failure(where.stage, msgspec.json.decode(payload or b"null")))
    return msgspec.json.decode(payload, type=Report)


def _failure(stage: str, error: Any) -> str:
    line = f"no report was made: {function_error(error)}"
    named = _EXTRACTOR_ERROR.search(line)
    advice = _ADVICE.get(named[1]) if named else None
    if advice == _UNREACHABLE and stage == target.LOCAL:
        advice = _UNREACHABLE_HERE
    return f"{line}; {advice}" if advice else line


def fetch(where: Target, day: str) -> bytes:
    """Return the CSV of a day's newest report, byte for byte.

    Raises ShopError for what is no day, and NoReport where no report of that day was made.
    """
    key = csv_key(check_day(day))
    s3: S3Client = where.client("s3")
    try:
        return s3.get_object(Bucket=where.output("SalesReportsBucketName"), Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"].get("Code") != "NoSuchKey":
            raise
        raise NoReport(where.stage, day) from None


def read_rows(data: bytes) -> list[dict[str, Any]]:
    """Return the rows of a report's CSV by column, what the CSV's columns count or number as integers."""
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    return [{name: text if name.endswith("_name") else int(text) for name, text in row.items()} for row in rows]


def write(data: bytes, file: str) -> None:
    """Write a report's CSV to a file, replacing it; raise ShopError where that cannot be done."""
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise ShopError(f"{file}: {error.strerror or error}") from None

"""The panel `report`: a day's sales as table, chart, mail and CSV; made once however often it is asked for."""

from __future__ import annotations

import io
import json
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from sales_report.sales import Sale, to_csv
from sales_report.text import Source, report_text
from shop import report, target
from shop.errors import ShopError
from shop.order_rules import parse_day
from shop.target import Target
from tests.polling import eventually
from tests.unit.console_panels import OWN, KnownStage, browse, parse, text

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator

    from flask.testing import FlaskClient

BUCKET = "reports"
DAY = "2026-11-26"
SALES = [
    Sale(1, "Drinks", 3, 'Caffè "Latte" <b>', 5),
    Sale(1, "Drinks", 4, "Tea ", 20),
    Sale(9999, "Unassigned", 7, "=1+1", 10**25),
]


class Functions:
    """The report function and its configuration; `invoke` waits until it may answer."""

    def __init__(self) -> None:
        self.go_on = Event()
        self.go_on.set()
        self.invoked: list[Any] = []
        self.error: dict[str, str] | None = None

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "report-function"
        return {"Environment": {"Variables": {"SHOP_TIME_ZONE": "Pacific/Kiritimati"}}}

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == "report-function"
        self.invoked.append(json.loads(Payload))
        assert self.go_on.wait(30)
        if self.error is not None:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(self.error).encode())}
        keep(SALES)
        made = {"date": DAY, "products": 3, "quantity": 25, "csv": f"reports/{DAY}.csv", "message": "as mailed"}
        return {"Payload": io.BytesIO(json.dumps(made).encode())}


def keep(sales: list[Sale]) -> None:
    """Put a day's CSV where the function puts it."""
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"reports/{DAY}.csv", Body=to_csv(sales))


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """The functions of a stage that has made no report yet."""
    functions = Functions()
    outputs = {"SalesReportFunctionName": "report-function", "SalesReportsBucketName": BUCKET}
    session = SimpleNamespace(client=lambda name, config=None: functions if name == "lambda" else boto3.client(name))  # noqa: ARG005
    where = Target("dev", outputs, session, None, "sales-report")  # type: ignore[arg-type]
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        monkeypatch.setattr(target, "at", lambda _, system: {"sales-report": where}[system])
        yield functions


def browser_at(*, may_act: bool = True) -> FlaskClient:
    return browse(KnownStage({"any": SimpleNamespace(stage="dev")}, "dev", may_act=may_act))


@pytest.fixture
def browser(functions: Functions) -> FlaskClient:
    """A browser at the page of the stage, which may act."""
    assert functions.invoked == []
    return browser_at()


def run_to_its_end(browser: FlaskClient) -> ET.Element:
    """Run the report of the day by the button; return what the page shows at the end."""
    assert browser.post("/report/run", data={"day": DAY}, headers=OWN).status_code == 200

    def shown() -> ET.Element | None:
        root = parse(browser.get(f"/report/made?day={DAY}").text)
        return root if root.find(".//*[@id='report-running']") is None else None

    return eventually(shown)


def test_the_day_is_todays_in_the_shops_zone(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shop.console.report.today", lambda zone: SimpleNamespace(isoformat=lambda: zone.key))
    [day] = parse(browser.get("/report/").text).iter("input")
    assert day.get("value") == "Pacific/Kiritimati"


def test_a_day_is_shown_as_table_chart_mail_and_file(browser: FlaskClient) -> None:
    keep(SALES)
    answer = browser.get(f"/report/day?day={DAY}")
    root = parse(answer.text)
    assert answer.status_code == 200
    assert text(root, ".//caption") == f"Sales of {DAY}: 3 products"
    cells = [text(row) for row in root.findall(".//table//tr")]
    assert cells[1:] == [
        "Drinks",
        'Caffè "Latte" <b>5',
        "Tea\\x2020",
        "Total of the group25",
        "Unassigned",
        f"=1+1{10**25:,}",
        f"Total of the group{10**25:,}",
        f"Total of all groups{10**25 + 25:,}",
    ]
    bars = [(bar.get("width"), text(label)) for bar, label in zip(root.iter("rect"), root.iter("text"), strict=True)]
    assert bars == [("100.0%", f"{10**25:,} =1+1"), ("0.0%", "20 Tea\\x20"), ("0.0%", '5 Caffè "Latte" <b>')]
    [chart] = root.iter("svg")
    named = (chart.get("aria-labelledby") or "").split()
    assert [text(root, f".//*[@id='{each}']") for each in named] == [
        f"Quantity by product on {DAY}",
        "Bars of the 3 products; the table has the same figures.",
    ]
    [link] = root.iter("a")
    file = browser.get(link.get("href") or "")
    assert (file.data, file.mimetype) == (to_csv(SALES), "text/csv")
    assert file.headers["Content-Disposition"] == f'attachment; filename="sales-{DAY}.csv"'


def test_the_mails_text_is_the_functions_own(
    browser: FlaskClient, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte what the function writes, its advice on the command line included."""
    with monkeypatch.context() as environment:
        environment.setenv("SHOP_STAGE", "dev")
        from sales_report import handler  # noqa: PLC0415 - makes AWS clients

        day = parse_day(DAY)
        zone = report.time_zone(SimpleNamespace(client=lambda _: functions, output=lambda _: "report-function"))  # type: ignore[arg-type]
        source = Source(day, zone.key, f"reports/{DAY}.csv", handler._fetch_command(day))
        expected = report_text(SALES, source)
    keep(SALES)
    [shown] = parse(browser.get(f"/report/day?day={DAY}").text).findall(".//*[@id='report-text']")
    assert shown.text == expected


def test_a_large_report_is_cut_and_says_so(browser: FlaskClient) -> None:
    keep([Sale(1, "Drinks", number, f"Tea {number}", number) for number in range(700)])
    root = parse(browser.get(f"/report/day?day={DAY}").text)
    assert text(root, ".//caption") == f"Sales of {DAY}: 700 products, the first 500 here, all in the CSV"
    assert len(root.findall(".//tbody/tr")) == 501
    assert [text(label) for label in root.iter("text")][:2] == ["699 Tea 699", "698 Tea 698"]
    assert "The 12 products of the largest quantity, of 700." in text(root)
    assert text(root, ".//tfoot/tr/td") == f"{sum(range(700)):,}"


def test_a_day_without_a_report_says_how_to_make_one(browser: FlaskClient) -> None:
    answer = browser.get(f"/report/day?day={DAY}")
    root = parse(answer.text)
    assert answer.status_code == 422
    assert text(root, ".//*[@role='alert']") == f"no report of {DAY} was made in stage dev: Run the report makes it"
    assert [button.get("id") for button in root.iter("button")] == [None, "report-run"]


@pytest.mark.usefixtures("functions")
def test_a_day_without_a_report_names_the_command_where_there_is_no_button() -> None:
    root = parse(browser_at(may_act=False).get(f"/report/day?day={DAY}").text)
    command = f".venv/bin/python -m shop report run --date {DAY} --stage dev"
    assert text(root, ".//*[@role='alert']").endswith(f": {command} makes it")


def test_a_day_of_no_sales_has_its_mail_and_no_chart(browser: FlaskClient) -> None:
    keep([])
    root = parse(browser.get(f"/report/day?day={DAY}").text)
    assert not list(root.iter("svg")) + list(root.iter("table"))
    assert "There were no orders today." in text(root, ".//*[@id='report-text']")


def test_a_day_of_nothing_but_quantities_of_0_has_bars_of_no_width(browser: FlaskClient) -> None:
    keep([Sale(1, "Drinks", number, f"Tea {number}", 0) for number in range(2)])
    answer = browser.get(f"/report/day?day={DAY}")
    assert answer.status_code == 200
    root = parse(answer.text)
    bars = [(bar.get("width"), text(label)) for bar, label in zip(root.iter("rect"), root.iter("text"), strict=True)]
    assert bars == [("0.0%", "0 Tea 0"), ("0.0%", "0 Tea 1")]


@pytest.mark.parametrize("method", ["show", "run"])
def test_what_is_no_day_is_said_beside_the_field(browser: FlaskClient, functions: Functions, method: str) -> None:
    day = '2026-02-30"'
    if method == "show":
        answer = browser.get("/report/day", query_string={"day": day})
    else:
        answer = browser.post("/report/run", data={"day": day}, headers=OWN)
    root = parse(answer.text)
    [field] = root.iter("input")
    assert answer.status_code == 422
    assert (field.get("value"), field.get("aria-invalid")) == (day, "true")
    assert "is not of the form YYYY-MM-DD" in text(root, f".//*[@id='{field.get('aria-describedby')}']")
    assert functions.invoked == []


def test_the_report_is_made_and_shown(browser: FlaskClient, functions: Functions) -> None:
    root = run_to_its_end(browser)
    assert functions.invoked == [{"date": DAY}]
    assert text(root, ".//*[@role='status']") == f"Report of {DAY} mailed: 3 products, quantity 25."
    assert text(root, ".//caption") == f"Sales of {DAY}: 3 products"


def test_a_report_that_is_being_made_is_not_made_twice(browser: FlaskClient, functions: Functions) -> None:
    functions.go_on.clear()
    first = parse(browser.post("/report/run", data={"day": DAY}, headers=OWN).text)
    assert [button.get("disabled") for button in first.iter("button")] == ["", ""]
    second = browser.post("/report/run", data={"day": DAY}, headers=OWN)
    assert second.status_code == 422
    assert "the report is running already" in second.text
    assert parse(second.text).find(".//*[@id='report-running']") is not None
    assert parse(browser.get("/report/").text).find(".//*[@id='report-running']") is not None
    functions.go_on.set()
    assert run_polls(browser)
    assert len(functions.invoked) == 1


def run_polls(browser: FlaskClient) -> bool:
    """Whether the report that runs gets shown."""
    return eventually(lambda: "mailed" in browser.get(f"/report/made?day={DAY}").text)


def test_the_extractors_error_comes_with_advice(browser: FlaskClient, functions: Functions) -> None:
    functions.error = {"errorType": "ReportFailed", "errorMessage": "the extractor failed: DatabaseAccessDenied: no"}
    root = run_to_its_end(browser)
    line = text(root, ".//*[@role='alert']")
    assert line.startswith("no report was made: ReportFailed: the extractor failed: DatabaseAccessDenied")
    assert line.endswith("a deployment gives the users their rights and passwords: deploy again")
    assert [button.get("disabled") for button in root.iter("button")] == [None, None]


def test_who_may_only_look_is_shown_no_button_and_refused(functions: Functions) -> None:
    browser = browser_at(may_act=False)
    assert [text(button) for button in parse(browser.get("/report/").text).iter("button")] == ["Show"]
    assert browser.post("/report/run", data={"day": DAY}, headers=OWN).status_code == 403
    assert functions.invoked == []


def test_a_machine_without_a_database_is_told(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Target:
        raise ShopError("stack local-sales-report is not deployed")

    monkeypatch.setattr(target, "at", missing)
    monkeypatch.setattr(report, "_runs_without_database", lambda: True)
    console = KnownStage({"any": SimpleNamespace(stage="local")})
    answer = browse(console).get("/report/")
    assert answer.status_code == 422
    assert text(parse(answer.text), ".//*[@role='alert']") == report.NO_DATABASE
    assert browser.get("/report/").status_code == 422

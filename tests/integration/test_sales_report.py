"""The sales report deployed, with IAM enforced, on a real MariaDB: from an order to the mail, and every failure."""

import csv
import io
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pymysql
import pytest

from tests.integration.pipeline import Pipeline
from tests.integration.sales_report import SUBJECT, Result, SalesReport
from tests.polling import eventually

REPORT = "SalesReportFunctionName"
EXTRACTOR = "SalesDataExtractorFunctionName"
WATCH = "ReportWatchFunctionName"


@pytest.fixture
def day() -> str:
    """A day that no other test has orders on."""
    return (date(2100, 1, 1) + timedelta(days=secrets.randbelow(1_000_000))).isoformat()


@pytest.fixture
def product() -> str:
    """A product that nobody has entered."""
    return f"Café {secrets.token_hex(4)} ☕ "


@pytest.fixture
def other_database(sales_report: SalesReport) -> Iterator[str]:
    """A database beside the shop's, with empty tables that the extractor's user may read; it may be damaged."""
    name = f"other_{secrets.token_hex(4)}"
    user = sales_report.parameters["dbUser"]
    sales_report.query(f"CREATE DATABASE {name}")
    for table in ("product_group", "product", "order_item"):
        sales_report.query(f"CREATE TABLE {name}.{table} LIKE {table}")
    sales_report.query(f"GRANT SELECT ON {name}.* TO %s@'%%'", user)
    yield name
    sales_report.query(f"REVOKE SELECT ON {name}.* FROM %s@'%%'", user)  # noqa: S608
    sales_report.query(f"DROP DATABASE {name}")


def _order(product: str, day: str, **change: Any) -> str:
    order = {"product": product, "quantity": 2, "price_per_item": 3.5, "order_date": f"{day}T12:00:00Z"} | change
    return json.dumps(order)


def _place(pipeline: Pipeline, *orders: str) -> None:
    for answer in pipeline.post_all(orders):
        assert answer.status == 202, answer


def test_an_order_shows_in_its_days_report(
    pipeline: Pipeline, sales_report: SalesReport, day: str, product: str
) -> None:
    """From POST /orders to the mail and the CSV, with a product of the catalogue and one that nobody has entered."""
    [(group, known), *_] = sales_report.query(
        "SELECT product_group_name, product_name FROM product JOIN product_group"
        " ON product_group = product_group_number WHERE product_group <> 9999 ORDER BY id"
    )
    _place(pipeline, _order(product, day), _order(known, day, quantity=7), _order(product, day, quantity=3))
    eventually(lambda: len(sales_report.sold(day)) == 2 and sales_report.sold(day)[product][1] == 5)
    assert sales_report.sold(day)[product] == ("Unassigned", 5)

    result = sales_report.report(date=day)
    assert (result["date"], result["products"], result["quantity"]) == (day, 2, 12)
    [mail] = eventually(lambda: sales_report.mails(day))
    assert mail.subject == SUBJECT
    assert mail.message == result["message"]
    lines = mail.message.splitlines()
    assert any(line.strip().startswith(known) and line.endswith(" 7") for line in lines)
    assert any(product.strip() in line and line.endswith(" 5") for line in lines)
    assert result["csv"] in mail.message
    assert f"python -m shop report get {day}" in mail.message

    rows = list(csv.DictReader(io.StringIO(sales_report.csv(result["csv"]).decode())))
    assert {(row["product_group_name"], row["product_name"], row["quantity"]) for row in rows} == {
        (group, known, "7"),
        ("Unassigned", product, "5"),
    }


def test_an_announcement_that_comes_twice_is_one_sale(
    pipeline: Pipeline, sales_report: SalesReport, day: str, product: str
) -> None:
    order_id = f"twice-{secrets.token_hex(4)}"
    _place(pipeline, _order(product, day, orderID=order_id))
    eventually(lambda: sales_report.sold(day).get(product) == ("Unassigned", 2))
    [mail] = eventually(lambda: pipeline.mails(order_id))

    marker = f"marker-{secrets.token_hex(4)}"
    sns = sales_report.client("sns")
    again = {"TopicArn": pipeline.outputs["OrderTopicArn"]}
    for _ in range(3):
        sns.publish(**again, Message=mail.message)
    sns.publish(**again, Message=mail.message.replace(order_id, marker))
    eventually(lambda: sales_report.query("SELECT id FROM orders WHERE order_key = %s", marker))
    eventually(lambda: _backlog(sales_report) == 0)
    assert sales_report.query("SELECT COUNT(*) FROM orders WHERE order_key = %s", order_id) == [(1,)]
    assert sales_report.sold(day)[product] == ("Unassigned", 4)


def _backlog(sales_report: SalesReport) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = sales_report.outputs["SalesRecorderQueueUrl"]
    found = sales_report.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_what_is_no_order_ends_in_the_recorders_dead_letter_queue(
    pipeline: Pipeline, sales_report: SalesReport, day: str, product: str
) -> None:
    nonsense = f"nonsense {secrets.token_hex(4)}"
    sales_report.client("sns").publish(TopicArn=pipeline.outputs["OrderTopicArn"], Message=nonsense)
    _place(pipeline, _order(product, day))

    eventually(lambda: product in sales_report.sold(day))  # it blocks nobody
    url = sales_report.outputs["SalesRecorderDeadLetterQueueUrl"]
    eventually(lambda: nonsense in sales_report.messages(url).values(), timeout=90)


def test_a_day_without_orders_says_so(sales_report: SalesReport, day: str) -> None:
    result = sales_report.report(date=day)

    assert (result["products"], result["quantity"]) == (0, 0)
    assert "There were no orders today." in result["message"]
    assert day in result["message"]
    assert sales_report.csv(result["csv"]).decode().splitlines() == [
        "product_group_number,product_group_name,product_id,product_name,quantity"
    ]


def test_without_a_date_it_is_todays_report(sales_report: SalesReport) -> None:
    zone = ZoneInfo(str(sales_report.function(REPORT)["Environment"]["Variables"]["SHOP_TIME_ZONE"]))
    before = datetime.now(zone).date()
    result = sales_report.report(ignored=True)
    assert before <= date.fromisoformat(result["date"]) <= datetime.now(zone).date()


def test_the_watch_tells_a_day_that_was_mailed_from_one_that_was_not(sales_report: SalesReport) -> None:
    past = date(2001, 1, 1) + timedelta(days=secrets.randbelow(7_000))  # a day that no other test takes
    event = {"date": past.isoformat()}

    before = sales_report.invoke(WATCH, event)
    assert before.error == "ReportNotSent", before
    assert past.isoformat() in before.value["errorMessage"]

    sales_report.report(**event)
    assert sales_report.invoke(WATCH, event) == Result(event, None)


def test_the_sample_has_sales_on_each_of_the_last_days(sales_report: SalesReport) -> None:
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    sold = sales_report.sold(yesterday)
    assert len({group for group, _ in sold.values()} - {"Unassigned"}) >= 2


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"dbUrl": "localhost:1"}, "DatabaseUnreachable", "localhost:1"),
        ({"dbUrl": "no-such-host.invalid"}, "DatabaseUnreachable", "no-such-host.invalid"),
        ({"dbPassword": "wrong"}, "DatabaseAccessDenied", "Access denied"),
        ({"dbUser": "nobody"}, "DatabaseAccessDenied", "Access denied"),
        ({"dbUrl": "a b"}, "InvalidEvent", "dbUrl"),
        ({"date": "2026-02-30"}, "InvalidEvent", "is not a day of the calendar"),
        ({"date": None}, "InvalidEvent", "is not of the form YYYY-MM-DD"),
    ],
)
def test_the_extractor_names_what_is_wrong(
    change: dict[str, Any], error: str, words: str, sales_report: SalesReport
) -> None:
    result = sales_report.extract("2026-11-21", **change)
    assert result.error == error, result
    assert words in result.value["errorMessage"]


def test_a_missing_table_has_a_name_and_fails_the_run(sales_report: SalesReport, other_database: str, day: str) -> None:
    sales_report.query(f"DROP TABLE {other_database}.order_item")
    result = sales_report.extract(day, dbName=other_database)
    assert result.error == "DatabaseObjectMissing"
    assert f"{other_database}.order_item" in result.value["errorMessage"]
    with sales_report.parameter("dbName", other_database):
        _assert_run_fails(sales_report, day, "DatabaseObjectMissing")


def test_a_query_over_its_time_has_a_name_and_fails_the_run(
    sales_report: SalesReport, other_database: str, day: str
) -> None:
    with sales_report.connection(other_database) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES order_item WRITE")
        assert sales_report.extract(day, dbName=other_database).error == "QueryTimedOut"
        with sales_report.parameter("dbName", other_database):
            _assert_run_fails(sales_report, day, "QueryTimedOut")
    assert sales_report.extract(day, dbName=other_database).value["body"] == []


def test_a_database_that_is_down_fails_the_run(sales_report: SalesReport, day: str) -> None:
    with sales_report.parameter("dbUrl", "localhost:1"):
        _assert_run_fails(sales_report, day, "DatabaseUnreachable")


def test_a_wrong_user_fails_the_run(sales_report: SalesReport, day: str) -> None:
    with sales_report.parameter("dbUser", "nobody"):
        _assert_run_fails(sales_report, day, "DatabaseAccessDenied")


def _assert_run_fails(sales_report: SalesReport, day: str, name: str) -> None:
    """The run raises, names the extractor's error, and mails nothing and keeps nothing."""
    result = sales_report.invoke(REPORT, {"date": day})
    assert result.error == "ReportFailed", result
    assert name in result.value["errorMessage"]
    assert sales_report.mails(day) == []
    listed = sales_report.client("s3").list_objects_v2(Bucket=sales_report.bucket, Prefix=f"reports/{day}")
    assert listed["KeyCount"] == 0


def test_a_failed_run_is_kept_where_a_person_finds_it(sales_report: SalesReport, day: str) -> None:
    """Invoked as the schedule and the API do it: its event and its error end in the failure queue."""
    config = sales_report.client("lambda").get_function_event_invoke_config(
        FunctionName=sales_report.outputs[REPORT], Qualifier="$LATEST"
    )
    queue = config["DestinationConfig"]["OnFailure"]["Destination"].replace(":", "/")
    with sales_report.parameter("dbUrl", "localhost:1"):
        _invoke_asynchronously(sales_report, {"date": day})
        [found] = eventually(
            lambda: [body for body in sales_report.messages(queue).values() if day in body], timeout=60
        )
    failure = json.loads(found)
    assert failure["requestPayload"] == {"date": day}
    assert failure["responsePayload"]["errorType"] == "ReportFailed"
    assert sales_report.mails(day) == []


def _invoke_asynchronously(sales_report: SalesReport, event: dict[str, Any]) -> None:
    sales_report.client("lambda").invoke(
        FunctionName=sales_report.outputs[REPORT], InvocationType="Event", Payload=json.dumps(event)
    )


def test_the_api_starts_a_report_of_a_date(sales_report: SalesReport, day: str) -> None:
    answer = sales_report.post(json.dumps({"date": day, "other": 1}))
    assert (answer.status, answer.body) == (202, {"date": day})
    assert len(eventually(lambda: sales_report.mails(day))) == 1


def test_the_api_without_a_body_starts_todays(sales_report: SalesReport) -> None:
    before = len(sales_report.mails(SUBJECT))
    answer = sales_report.post("")
    assert answer.status == 202
    assert abs(date.fromisoformat(answer.body["date"]) - datetime.now(UTC).date()) <= timedelta(days=1)
    eventually(lambda: len(sales_report.mails(SUBJECT)) > before)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"date": "21.11.2026"}', "is not of the form YYYY-MM-DD"),
        ('{"date": "2026-02-30"}', "is not a day of the calendar"),
        ('{"date": null}', "is not of the form YYYY-MM-DD"),
        ("[]", "is not a JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_the_api_refuses_by_name(body: str, words: str, sales_report: SalesReport) -> None:
    answer = sales_report.post(body)
    assert (answer.status, answer.body["error"]) == (400, "bad_request"), answer
    assert words in answer.body["message"]


def test_the_api_takes_signed_requests_only(sales_report: SalesReport, day: str) -> None:
    assert sales_report.post(json.dumps({"date": day}), signed=False).status == 403
    assert sales_report.mails(day) == []


def test_orders_wait_while_they_cannot_be_recorded(
    pipeline: Pipeline, sales_report: SalesReport, day: str, product: str
) -> None:
    """The recorder's user loses its right for a moment; what it took meanwhile comes back to it."""
    user = sales_report.secret(sales_report.recorder_secret)["username"]
    sales_report.query("REVOKE INSERT ON orders FROM %s@'%%'", user)
    try:
        _place(pipeline, _order(product, day))
        eventually(lambda: "DatabaseAccessDenied" in sales_report.log("SalesRecorderFunctionName"))
        assert sales_report.sold(day) == {}
    finally:
        sales_report.query("GRANT INSERT ON orders TO %s@'%%'", user)
    eventually(lambda: sales_report.sold(day) == {product: ("Unassigned", 2)}, timeout=60)


def test_the_database_takes_no_connection_without_tls(sales_report: SalesReport) -> None:
    master = sales_report.secret(sales_report.outputs["DatabaseSecretArn"])
    # To a user who must come over TLS, MariaDB says no more than this. Over TLS the same password is right.
    with pytest.raises(pymysql.OperationalError, match=r"Access denied|insecure transport"):
        pymysql.connect(
            host=master["host"],
            port=int(master["port"]),
            user=master["username"],
            password=master["password"],
            ssl_disabled=True,
        )


def test_the_reader_may_only_select_and_the_recorder_only_insert(sales_report: SalesReport) -> None:
    tries = {
        sales_report.extractor_secret: ["INSERT INTO product (product_name) VALUES ('x')", "DELETE FROM order_item",
                                        "UPDATE product SET price = 1", "DROP TABLE product", "SELECT * FROM orders"],
        sales_report.recorder_secret: ["SELECT * FROM orders", "DELETE FROM orders", "UPDATE orders SET quantity = 1",
                                       "INSERT INTO product (product_name) VALUES ('x')", "SELECT * FROM product"],
    }  # fmt: skip
    for secret, statements in tries.items():
        with sales_report.connection(secret=secret) as connection, connection.cursor() as cursor:
            for statement in statements:
                with pytest.raises(pymysql.OperationalError, match="denied"):
                    cursor.execute(statement)


def test_no_password_is_in_a_log_a_template_a_parameter_or_an_environment(sales_report: SalesReport) -> None:
    """Whatever the other tests had the functions do; the deployment's own invocations included."""
    secrets_of_all = [sales_report.outputs["DatabaseSecretArn"], sales_report.extractor_secret,
                      sales_report.recorder_secret]  # fmt: skip
    passwords = [sales_report.secret(arn)["password"] for arn in secrets_of_all]
    assert len(set(passwords)) == 3
    sales_report.extract("2026-11-21", dbPassword=passwords[0])  # of another user: refused, and named
    stack = f"{sales_report.cloud.stage}-sales-report"
    cloudformation = sales_report.client("cloudformation")
    places = {
        "logs": sales_report.all_logs(stack),
        "template": json.dumps(cloudformation.get_template(StackName=stack)["TemplateBody"], default=str),
        "events": json.dumps(cloudformation.describe_stack_events(StackName=stack), default=str),
        "parameters": json.dumps(sales_report.parameters),
        "functions": json.dumps(sales_report.client("lambda").list_functions(), default=str),
    }
    assert "DatabaseAccessDenied" in places["logs"]
    for place, text in places.items():
        assert len(text) > 50, place
        assert not any(password in text for password in passwords), place


def test_a_days_report_is_of_the_shops_zone(
    pipeline: Pipeline, sales_report: SalesReport, day: str, product: str
) -> None:
    """The last moment of a day and the first of the next, in the shop's zone, are on two reports."""
    zone = ZoneInfo(str(sales_report.function(EXTRACTOR)["Environment"]["Variables"]["SHOP_TIME_ZONE"]))
    next_day = date.fromisoformat(day) + timedelta(days=1)
    midnight = datetime.combine(next_day, datetime.min.time(), zone)
    moments = {1: midnight - timedelta(milliseconds=1), 10: midnight}
    _place(pipeline, *(_order(product, day, quantity=quantity, order_date=moment.isoformat())
                       for quantity, moment in moments.items()))  # fmt: skip
    eventually(lambda: product in sales_report.sold(day) and product in sales_report.sold(next_day.isoformat()))
    assert sales_report.sold(day)[product][1] == 1
    assert sales_report.sold(next_day.isoformat())[product][1] == 10

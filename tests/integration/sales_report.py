"""The deployed sales report as a test's client sees it: its functions, its mail, its database."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pymysql
from botocore.credentials import ReadOnlyCredentials

from shop.local import mailbox
from shop.local.clients import client
from shop.local.cloud import Cloud
from shop.local.mailbox import Mail
from shop.signing import signed_headers
from tests.integration.pipeline import Response, queue_messages

_TIMEOUT_SECONDS = 30
SUBJECT = "Daily Sales Analysis Report"


@dataclass(frozen=True)
class Result:
    """A function's answer, or the name and text of the error that it raised."""

    value: Any
    error: str | None = None


@dataclass(frozen=True)
class SalesReport:
    cloud: Cloud
    outputs: Mapping[str, str]

    def client(self, service: str) -> Any:
        return client(self.cloud, service)

    def invoke(self, output: str, event: Mapping[str, Any]) -> Result:
        """Invokes the function that an output names, and waits."""
        answer = self.client("lambda").invoke(FunctionName=self.outputs[output], Payload=json.dumps(event))
        value = json.load(answer["Payload"])
        return Result(value, value["errorType"] if "FunctionError" in answer else None)

    def report(self, **event: Any) -> dict[str, Any]:
        """The figures of a report, which must succeed."""
        result = self.invoke("SalesReportFunctionName", event)
        assert result.error is None, result
        return dict(result.value)

    def extract(self, day: str, /, **change: Any) -> Result:
        """What the extractor answers when it is asked as the report function asks it; `change` replaces members."""
        event = {**self.parameters, "dbPassword": self.secret(self.extractor_secret)["password"], "date": day}
        return self.invoke("SalesDataExtractorFunctionName", {**event, **change})

    def sold(self, date: str) -> dict[str, tuple[str, int]]:
        """Group and quantity of each product that the extractor finds for a day, by the product's name."""
        result = self.extract(date)
        assert result.error is None, result
        return {row["product_name"]: (row["product_group_name"], row["quantity"]) for row in result.value["body"]}

    @property
    def parameters(self) -> dict[str, str]:
        """Where and as whom to read the database."""
        answer = self.client("ssm").get_parameters_by_path(Path=self.parameter_path)
        return {item["Name"].rpartition("/")[2]: item["Value"] for item in answer["Parameters"]}

    @property
    def parameter_path(self) -> str:
        return f"/{self.cloud.stage}/cafe/"

    @property
    def extractor_secret(self) -> str:
        """The ARN of the extractor's secret."""
        return str(self.function("SalesReportFunctionName")["Environment"]["Variables"]["EXTRACTOR_SECRET_ARN"])

    @property
    def recorder_secret(self) -> str:
        """The ARN of the recorder's secret."""
        return str(self.function("SalesRecorderFunctionName")["Environment"]["Variables"]["DB_SECRET_ARN"])

    def secret(self, arn: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
        return value

    def function(self, output: str) -> dict[str, Any]:
        """The configuration of the function that an output names."""
        return dict(self.client("lambda").get_function_configuration(FunctionName=self.outputs[output]))

    @contextmanager
    def parameter(self, name: str, value: str) -> Iterator[None]:
        """A connection parameter with another value for a while."""
        ssm = self.client("ssm")
        before = self.parameters[name]
        ssm.put_parameter(Name=self.parameter_path + name, Value=value, Overwrite=True)
        try:
            yield
        finally:
            ssm.put_parameter(Name=self.parameter_path + name, Value=before, Overwrite=True)

    @contextmanager
    def connection(self, database: str = "cafe", secret: str | None = None) -> Iterator["pymysql.Connection[Any]"]:
        """The database as its master user, or as the user of a secret."""
        master = self.secret(self.outputs["DatabaseSecretArn"])
        user = self.secret(secret) if secret else master
        connection = pymysql.connect(
            host=master["host"],
            port=int(master["port"]),
            user=user["username"],
            password=user["password"],
            database=database,
            ssl_ca=self.cloud.ca_bundle,
            ssl_verify_identity=True,
            autocommit=True,
        )
        with connection:
            yield connection

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What the master user gets for a statement."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def mails(self, date: str) -> list[Mail]:
        """The reports of a day that were mailed."""
        topic = self.outputs["SalesReportTopicArn"]
        return [mail for mail in mailbox.read(self.cloud) if mail.topic == topic and date in mail.message]

    @cached_property
    def bucket(self) -> str:
        return self.outputs["SalesReportsBucketName"]

    def csv(self, key: str) -> bytes:
        """A report's CSV."""
        content: bytes = self.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def post(self, body: str, *, signed: bool = True) -> Response:
        """POST /report as the account's root."""
        url = self.outputs["SalesReportEndpoint"]
        headers = {"content-type": "application/json"}
        if signed:
            credentials = ReadOnlyCredentials(self.cloud.access_key_id, self.cloud.secret_access_key, None)
            headers = signed_headers("POST", url, headers, body.encode(), credentials, self.cloud.region)
        request = urllib.request.Request(url, body.encode(), headers, method="POST")  # noqa: S310
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
                return Response(answer.status, json.load(answer))
        except urllib.error.HTTPError as refusal:
            return Response(refusal.code, json.loads(refusal.read() or b"null"))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cloud.ca_bundle)

    def messages(self, queue_url: str) -> dict[str, str]:
        """Body by message id of what is in a queue, looked at without receiving."""
        return queue_messages(self.cloud, queue_url)

    def log(self, output: str) -> str:
        """All that the function logged."""
        return self._log(self.function(output)["LoggingConfig"]["LogGroup"])

    def all_logs(self, stack: str) -> str:
        """All that any function of a stack logged."""
        groups = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        found = [resource for page in groups for resource in page["StackResourceSummaries"]]
        names = [item["PhysicalResourceId"] for item in found if item["ResourceType"] == "AWS::Logs::LogGroup"]
        return "\n".join(self._log(name) for name in names)

    def _log(self, group: str) -> str:
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return "\n".join(event["message"] for page in pages for event in page["events"])

"""The sales report: announced orders → recorder → database → extractor → report → topic, each day and by request."""

import hashlib
import json
from collections.abc import Mapping

from aws_cdk import (
    CustomResource,
    Duration,
    aws_apigateway,
    aws_cloudwatch,
    aws_ssm,
)
from constructs import Construct

from stacks.constructs.bucket import SecureBucket
from stacks.constructs.custom_resource import answered_by
from stacks.constructs.data_key import MESSAGES
from stacks.constructs.database import READ_SECRET, Database, DatabaseNetwork, UserSecret
from stacks.constructs.deployments import GradualDeployments
from stacks.constructs.failure_destination import FailedInvocations
from stacks.constructs.function import PythonFunction
from stacks.constructs.queues import DeadLetterQueue, WorkQueue
from stacks.constructs.rest_api import ApiGatewayLogRole, RestApi
from stacks.constructs.schedule import SCHEDULED_TIME, FunctionSchedule
from stacks.constructs.shop_stack import ShopStack, acknowledge, let_use_data_key
from stacks.constructs.topics import Alarms, SecureTopic, TopicKey
from stacks.settings import Settings

_DATABASE_NAME = "cafe"
_MASTER_USER = "shop_admin"
_EXTRACTOR_USER = "sales_reader"
_RECORDER_USER = "sales_recorder"

_BATCH_SIZE = 10
_SMALL_FUNCTION_MB = 512
_BESIDE_THE_QUERY_SECONDS = 10
"""For the extractor's cold start, its connection, and the answer."""
_BESIDE_THE_EXTRACTOR_SECONDS = 30
"""For the report's cold start, the text, the bucket and the topic."""
_API_SECONDS = 10
_WATCH_SECONDS = 30
_WATCH = {"purpose": "watch"}
"""In the event of a look whether the report was mailed: a redrive must start no report for it, which mails again."""
_MAILED_PREFIX = "mailed/"
"""Where the report notes that a day's was mailed (`lambdas/shared/report_days.py`)."""
_MIGRATION_SECONDS = 840
_SETUP_SECONDS = 900
"""AWS Lambda's longest; what the migration leaves is for reading secrets and answering CloudFormation."""
_CLOUDFORMATION_WAITS_SECONDS = _SETUP_SECONDS + 60
_ASYNC_RETRIES = 2
_ASYNC_MAX_AGE = Duration.hours(6)
"""AWS Lambda, asynchronous invocation: the most of both."""


class SalesReportStack(ShopStack):
    """Records announced orders in a database, and mails what was sold each day.

    `order_topic` announces the orders; `log_role` is the account's role for API Gateway's logs. Both are in the order
    pipeline, which knows nothing of this stack.
    """

    def __init__(
        self, scope: Construct, settings: Settings, *, order_topic: SecureTopic, log_role: ApiGatewayLogRole
    ) -> None:
        super().__init__(scope, "sales-report", settings, description="Shop: sales database and daily sales report")
        key = TopicKey(self, "TopicKey", services=[Alarms.SERVICE])
        alarms = Alarms(self, "Alarms", key=key)

        self._network = DatabaseNetwork(self, "Network")
        self._database = Database(
            self, "Database", network=self._network, name=_DATABASE_NAME, master_user=_MASTER_USER
        )
        self._database.alarm_when_short(alarms)
        self._secrets = self._user_secrets()
        migration = self._migration()
        recorder = self._recorder()
        orders = self._announced_orders(recorder, order_topic, alarms)
        extractor = self._extractor()

        topic = SecureTopic(
            self, "SalesReportTopic", key=key, display_name="Sales reports", emails=settings.report_emails
        )
        bucket = SecureBucket(self, "SalesReports", old_versions_days=settings.report_old_versions_days)
        report = self._report(extractor, topic, bucket)
        failed = self._end_failures(report, alarms)
        missed = self._missed_reports(alarms)
        schedule = self._schedule(report, missed)
        self._watch(bucket, missed, alarms)
        endpoint = self._api(report, log_role, alarms)
        for newer in (recorder, extractor, schedule):
            newer.node.add_dependency(migration)  # new code meets the new schema
        GradualDeployments(self, "Deployments", alarms=alarms)

        self.output("SalesReportEndpoint", endpoint, "POST here to have a report made")
        self.output("SalesReportFunctionName", report.function_name, "Makes and mails the report")
        self.output("SalesDataExtractorFunctionName", extractor.function_name, "Reads a day's sales")
        self.output("SalesReportTopicArn", topic.topic_arn, "Reports")
        self.output("SalesReportsBucketName", bucket.bucket_name, "Reports as CSV")
        self.output("DatabaseEndpointAddress", self._database.address, "The database's host name")
        self.output("DatabaseSecretArn", self._database.secret.secret_arn, "The database's master user")
        self.output("SalesRecorderFunctionName", recorder.function_name, "Records announced orders")
        self.output("SalesRecorderQueueUrl", orders.queue.queue_url, "Announced orders, to be recorded")
        self.output("SalesRecorderDeadLetterQueueUrl", orders.dead_letters.queue_url, "Orders that are not recorded")
        self.output("FailedReportsQueueUrl", failed.queue_url, "Events of reports that failed three times")
        self.output("MissedReportsQueueUrl", missed.queue_url, "Events of reports that could not be started")

    def _user_secrets(self) -> dict[str, UserSecret]:
        """The secrets of the database's users by user; none where users sign in by IAM."""
        if self.settings.database_sign_in == "iam":
            return {}
        return {
            _EXTRACTOR_USER: UserSecret(self, "ExtractorSecret", user=_EXTRACTOR_USER),
            _RECORDER_USER: UserSecret(self, "RecorderSecret", user=_RECORDER_USER),
        }

    def _secret_arns(self, **variables: str) -> dict[str, str]:
        """Environment variables for secrets, each given as variable=user; none where users sign in by IAM."""
        return {name: self._secrets[user].secret_arn for name, user in variables.items() if user in self._secrets}

    def _function_in_vpc(
        self,
        construct_id: str,
        *,
        folder: str,
        description: str,
        memory_mb: int,
        timeout_seconds: int,
        environment: Mapping[str, str],
    ) -> PythonFunction:
        return PythonFunction(
            self,
            construct_id,
            folder=folder,
            description=description,
            memory_mb=memory_mb,
            timeout_seconds=timeout_seconds,
            environment=environment,
            vpc=self._network.vpc,
            security_group=self._network.lambda_group,
        )

    def _migration(self) -> CustomResource:
        """The custom resource whose creation and update bring the database's schema and users up to date.

        Its properties hold no secret, because CloudFormation shows them and frameworks log them: the set-up function
        reads the secrets and hands them to the migrator, which cannot read them itself in its isolated subnet.
        """
        migrator = self._migrator()
        setup = PythonFunction(
            self,
            "DatabaseSetup",
            folder="database_setup",
            description="Has the database migrated when CloudFormation deploys",
            memory_mb=_SMALL_FUNCTION_MB,
            timeout_seconds=_SETUP_SECONDS,
            environment={
                "MIGRATOR_FUNCTION_NAME": migrator.function_name,
                "DATABASE_SECRET_ARN": self._database.secret.secret_arn,
                "DB_URL": self._database.url,
                "DB_NAME": _DATABASE_NAME,
                "EXTRACTOR_USER": _EXTRACTOR_USER,
                "RECORDER_USER": _RECORDER_USER,
                "SAMPLE_DATA": "true" if self.settings.sample_data else "false",
                "SHOP_TIME_ZONE": self.settings.time_zone,
                **self._secret_arns(EXTRACTOR_SECRET_ARN=_EXTRACTOR_USER, RECORDER_SECRET_ARN=_RECORDER_USER),
            },
        )
        setup.allow("lambda:InvokeFunction", on=migrator.function_arn)
        setup.allow(READ_SECRET, on=self._database.secret.secret_arn)
        for secret in self._secrets.values():
            secret.readable_by(setup)
        # A second try would change the database of a deployment that CloudFormation has given up.
        setup.configure_async_invoke(retry_attempts=0)
        migration = answered_by(
            setup,
            self,
            "DatabaseMigration",
            resource_type="Custom::DatabaseMigration",
            waits_seconds=_CLOUDFORMATION_WAITS_SECONDS,
            properties={"Revision": self._revision(migrator, setup)},
        )
        migration.node.add_dependency(setup)  # how it is retried included
        return migration

    def _migrator(self) -> PythonFunction:
        migrator = self._function_in_vpc(
            "DatabaseMigrator",
            folder="database_migrator",
            description="Brings the database's schema and users up to date",
            memory_mb=self.settings.database_migrator_memory_mb,
            timeout_seconds=_MIGRATION_SECONDS,
            environment={},
        )
        acknowledge(migrator, "Serverless-LambdaDLQ", "Never invoked asynchronously; its caller sees what fails.")
        return migrator

    def _revision(self, migrator: PythonFunction, setup: PythonFunction) -> str:
        """Changes when the migration must run anew: by new code, other settings, another database or other secrets."""
        settings = self.settings
        inputs = [migrator.package_hash, setup.package_hash, settings.database_sign_in, settings.sample_data]
        digest = hashlib.sha256(json.dumps([*inputs, settings.time_zone]).encode()).hexdigest()
        return "/".join([digest, self._database.resource_id, *(s.secret_arn for s in self._secrets.values())])

    def _recorder(self) -> PythonFunction:
        recorder = self._function_in_vpc(
            "SalesRecorder",
            folder="sales_recorder",
            description="Records announced orders in the database",
            memory_mb=self.settings.sales_recorder_memory_mb,
            timeout_seconds=self.settings.sales_recorder_timeout_seconds,
            environment={
                "DB_URL": self._database.url,
                "DB_NAME": _DATABASE_NAME,
                "DB_USER": _RECORDER_USER,
                **self._secret_arns(DB_SECRET_ARN=_RECORDER_USER),
            },
        )
        self._let_sign_in(recorder, _RECORDER_USER, password_reader=recorder)
        return recorder

    def _let_sign_in(self, function: PythonFunction, user: str, *, password_reader: PythonFunction) -> None:
        """By IAM, the function itself; by password, `password_reader` may read the user's secret for it."""
        if secret := self._secrets.get(user):
            secret.readable_by(password_reader)
            return
        self._database.allow_sign_in(function, user)

    def _announced_orders(self, recorder: PythonFunction, order_topic: SecureTopic, alarms: Alarms) -> WorkQueue:
        orders = WorkQueue(
            self,
            "Sales",
            worker=recorder,
            batch_size=_BATCH_SIZE,
            max_concurrency=self.settings.sales_recorder_max_concurrency,
            alarms=alarms,
            dead_letters_say="Announced orders could not be recorded and wait in the dead-letter queue.",
            dead_letters_entry="sales-in-the-dead-letter-queue",
            waiting_say="Announced orders wait to be recorded and nobody takes them.",
            waiting_entry="sales-waiting-in-the-queue",
        )
        orders.subscribe_to(order_topic)
        return orders

    def _extractor(self) -> PythonFunction:
        extractor = self._function_in_vpc(
            "SalesDataExtractor",
            folder="sales_data_extractor",
            description="Reads a day's sales from the database",
            memory_mb=self.settings.sales_data_extractor_memory_mb,
            timeout_seconds=self._extractor_seconds,
            environment={
                "SHOP_TIME_ZONE": self.settings.time_zone,
                "QUERY_SECONDS": str(self.settings.report_query_seconds),
            },
        )
        acknowledge(extractor, "Serverless-LambdaDLQ", "Never invoked asynchronously; its caller sees what fails.")
        return extractor

    @property
    def _extractor_seconds(self) -> int:
        return self.settings.report_query_seconds + _BESIDE_THE_QUERY_SECONDS

    def _report(self, extractor: PythonFunction, topic: SecureTopic, bucket: SecureBucket) -> PythonFunction:
        path = self._connection_parameters()
        report = PythonFunction(
            self,
            "SalesReport",
            folder="sales_report",
            description="Makes a day's sales report, keeps it as CSV and mails it",
            memory_mb=self.settings.sales_report_memory_mb,
            timeout_seconds=self._extractor_seconds + _BESIDE_THE_EXTRACTOR_SECONDS,
            environment={
                "SALES_REPORT_TOPIC_ARN": topic.topic_arn,
                "DB_PARAMETER_PATH": path,
                "EXTRACTOR_FUNCTION_NAME": extractor.live.function_name,
                "SALES_REPORTS_BUCKET": bucket.bucket_name,
                "SHOP_TIME_ZONE": self.settings.time_zone,
                **self._secret_arns(EXTRACTOR_SECRET_ARN=_EXTRACTOR_USER),
            },
        )
        self._let_sign_in(extractor, _EXTRACTOR_USER, password_reader=report)
        parameters = f"arn:{self.partition}:ssm:{self.region}:{self.account}:parameter{path}"
        # The call is authorised on the path as it was asked for; both ways to write it mean the same.
        report.allow("ssm:GetParametersByPath", on=[parameters, parameters.rstrip("/")])
        report.allow("lambda:InvokeFunction", on=extractor.live.function_arn)
        for prefix in ("reports/", _MAILED_PREFIX):
            report.allow("s3:PutObject", on=self._days_under(prefix, bucket, report))
        topic.allow_publishing_by(report)
        return report

    def _days_under(self, prefix: str, bucket: SecureBucket, function: PythonFunction) -> str:
        """The ARN pattern of the objects under a prefix, which the function's role is then known to need."""
        bucket_id = self.resolve(bucket.bucket_arn)["Fn::GetAtt"][0]
        acknowledge(
            function.execution_role,
            f"AwsSolutions-IAM5[Resource::<{bucket_id}.Arn>/{prefix}*]",
            "Each day has a key of its own under this prefix.",
        )
        return bucket.arn_for_objects(f"{prefix}*")

    def _connection_parameters(self) -> str:
        """Where and as whom to read the database, in Parameter Store; gives their path."""
        path = f"/{self.settings.stage}/cafe/"
        values = {"dbUrl": self._database.url, "dbName": _DATABASE_NAME, "dbUser": _EXTRACTOR_USER}
        for name, value in values.items():
            aws_ssm.StringParameter(self, f"Parameter{name}", parameter_name=f"{path}{name}", string_value=value)
        return path

    def _end_failures(self, report: PythonFunction, alarms: Alarms) -> DeadLetterQueue:
        """A failed run is tried twice more and then kept in a queue, given back; somebody hears of each failure."""
        failures = DeadLetterQueue(
            self,
            "FailedReports",
            alarms=alarms,
            says="A sales report failed three times, or waited too long; its event is in the failure queue.",
            runbook_entry="the-sales-report-fails",
        )
        for invoked in report.invocable:  # what is live by the schedule and the API, the function itself by a person
            invoked.configure_async_invoke(
                retry_attempts=_ASYNC_RETRIES,
                max_event_age=_ASYNC_MAX_AGE,
                on_failure=FailedInvocations(failures),
            )
        let_use_data_key(report.execution_role, MESSAGES)
        acknowledge(report, "Serverless-LambdaDLQ", "It has a failure destination, which tells more.")
        alarms.when_above(
            "SalesReportFails",
            report.metric_errors(period=Duration.minutes(5), statistic=aws_cloudwatch.Stats.SUM),
            0,
            says="A sales report failed.",
            entry="the-sales-report-fails",
        )
        return failures

    def _missed_reports(self, alarms: Alarms) -> DeadLetterQueue:
        return DeadLetterQueue(
            self,
            "MissedReports",
            alarms=alarms,
            says="The schedule could not start the sales report; its event is in the schedule's dead-letter queue.",
            runbook_entry="the-sales-report-was-not-started",
        )

    def _schedule(self, report: PythonFunction, missed: DeadLetterQueue) -> FunctionSchedule:
        return FunctionSchedule(
            self,
            "DailyReport",
            function=report.live,
            description=f"Sales report of the day before, stage {self.settings.stage}",
            expression=self.settings.report_schedule,
            payload={"scheduled_time": SCHEDULED_TIME},
            failures=missed,
        )

    def _watch(self, bucket: SecureBucket, missed: DeadLetterQueue, alarms: Alarms) -> None:
        """Each day, some time after the report, tells somebody if it was not mailed, whatever the reason."""
        watch = PythonFunction(
            self,
            "ReportWatch",
            folder="sales_report_watch",
            description="Fails where the day's sales report was not mailed",
            memory_mb=_SMALL_FUNCTION_MB,
            timeout_seconds=_WATCH_SECONDS,
            environment={"SALES_REPORTS_BUCKET": bucket.bucket_name, "SHOP_TIME_ZONE": self.settings.time_zone},
        )
        watch.allow("s3:GetObject", on=self._days_under(_MAILED_PREFIX, bucket, watch))
        # Without it a missing object is a 403. S3 asks for it then without a prefix, which is in listings only.
        watch.allow(
            "s3:ListBucket",
            on=bucket.bucket_arn,
            conditions={"StringLikeIfExists": {"s3:prefix": f"{_MAILED_PREFIX}*"}},
        )
        # It fails on purpose, and a second look a minute later would see nothing else.
        watch.configure_async_invoke(retry_attempts=0)
        for rule in ("Serverless-LambdaDLQ", "Serverless-LambdaAsyncFailureDestination"):
            acknowledge(watch, rule, "That it failed is all there is to know, and the alarm tells it.")
        alarms.when_above(
            "SalesReportNotSent",
            watch.metric_errors(period=Duration.minutes(5), statistic=aws_cloudwatch.Stats.SUM),
            0,
            says="Yesterday's sales report has not been mailed.",
            entry="the-sales-report-was-not-sent",
        )
        FunctionSchedule(
            self,
            "ReportDue",
            function=watch,
            description=f"Looks whether the sales report was mailed, stage {self.settings.stage}",
            expression=self.settings.report_due,
            payload={"scheduled_time": SCHEDULED_TIME, **_WATCH},
            failures=missed,
        )
        self.output("ReportWatchFunctionName", watch.function_name, "Fails where a report was not mailed")

    def _api(self, report: PythonFunction, log_role: ApiGatewayLogRole, alarms: Alarms) -> str:
        """POST /report, which starts the report and does not wait for it; gives its URL."""
        starter = PythonFunction(
            self,
            "SalesReportApi",
            folder="sales_report_api",
            description="Starts a sales report by request",
            memory_mb=_SMALL_FUNCTION_MB,
            timeout_seconds=_API_SECONDS,
            environment={
                "SALES_REPORT_FUNCTION_NAME": report.live.function_name,
                "SHOP_TIME_ZONE": self.settings.time_zone,
            },
        )
        starter.allow("lambda:InvokeFunction", on=report.live.function_arn)
        acknowledge(starter, "Serverless-LambdaDLQ", "Never invoked asynchronously; the client sees what fails.")
        api = RestApi(
            self,
            "SalesReportRestApi",
            description=f"Sales report of stage {self.settings.stage}",
            requests_per_second=self.settings.report_api_requests_per_second,
            burst=self.settings.report_api_burst,
            log_role=log_role,
        )
        method = api.root.add_resource("report").add_method(
            "POST",
            api.answered_by(starter),
            authorization_type=aws_apigateway.AuthorizationType.IAM,
        )
        api.alarm_when_failing_or_slow(
            alarms,
            says="More than one request in a hundred for a sales report is answered with a 5xx.",
            entry="sales-reports-cannot-be-asked-for",
        )
        acknowledge(method, "AwsSolutions-COG4", "Programs and operators call it by AWS_IAM; it has no user accounts.")
        acknowledge(api, "AwsSolutions-APIG2", "The function checks the body, and answers by name.")
        acknowledge(api.deployment_stage, "AwsSolutions-APIG3", "Only callers with rights get in, throttled.")
        api.answer_like_our_functions()
        return api.url_for_path("/report")

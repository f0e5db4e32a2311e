"""What a person looks at: one dashboard of the stage, made of what the other stacks have.

It finds the queues, functions, APIs, alarms and databases of those stacks by their kind, so that a new one is on the
dashboard as soon as it is in a stack. It only reads names, and by weak references: nothing in another stack is ever
held up by it.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from aws_cdk import ArnFormat, CrossStackReferences, Duration, ReferenceStrength, aws_cloudwatch
from constructs import Construct

from stacks.constructs.database import Database
from stacks.constructs.function import PythonFunction
from stacks.constructs.queues import DeadLetterQueue, WorkQueue
from stacks.constructs.rest_api import SLOWEST, RestApi
from stacks.constructs.shop_stack import ShopStack
from stacks.constructs.topics import Alarms
from stacks.settings import Settings

METRICS_NAMESPACE = "ServerlessShop"
"""Of the metrics in our functions' log lines (`lambdas/shared/metrics.py`)."""
_PERIOD = Duration.minutes(5)
_MINUTE = Duration.minutes(1)
_WHOLE_WIDTH = 24
_HEIGHT = 6
_SUM = aws_cloudwatch.Stats.SUM
_MAXIMUM = aws_cloudwatch.Stats.MAXIMUM

_Kind = TypeVar("_Kind", bound=Construct)


class OperationsStack(ShopStack):
    """The dashboard of a stage. It answers in this order: do orders flow, is anything stuck, does anything fail.

    `systems` are the other stacks; `stream_readers` the functions among theirs that read a table's stream.
    """

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        systems: Sequence[ShopStack],
        stream_readers: Sequence[PythonFunction],
    ) -> None:
        super().__init__(scope, "operations", settings, description="Shop: dashboard")
        CrossStackReferences.of(self).consume(ReferenceStrength.WEAK)
        self._systems = systems
        self._stream_readers = stream_readers
        dashboard = aws_cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=f"{settings.stage}-shop",
            default_interval=Duration.hours(6),
        )
        for title, graphs in (
            ("Do orders flow?", self._flow()),
            ("Is anything stuck?", self._stuck()),
            ("Does anything fail?", self._failing()),
            ("What is sold, refused, made and mailed?", self._business()),
            ("Does the database keep up?", self._databases()),
        ):
            dashboard.add_widgets(aws_cloudwatch.TextWidget(markdown=f"## {title}", width=_WHOLE_WIDTH, height=1))
            dashboard.add_widgets(*graphs)
        self.output("DashboardName", dashboard.dashboard_name, "CloudWatch dashboard of the stage")

    def _flow(self) -> list[aws_cloudwatch.IWidget]:
        steps = ("OrdersAccepted", "OrdersStored", "OrdersAnnounced", "SalesRecorded")
        requests = [api.metric_count(label=api.node.id, period=_PERIOD, statistic=_SUM) for api in self._apis()]
        return [
            _graph("Orders, step by step", [self._counted(step) for step in steps], width=12),
            _graph("Requests", requests, width=12),
        ]

    def _stuck(self) -> list[aws_cloudwatch.IWidget]:
        ages = [
            work.queue.metric_approximate_age_of_oldest_message(label=work.node.id, period=_MINUTE, statistic=_MAXIMUM)
            for work in self._all(WorkQueue)
        ]
        behind = [
            reader.metric("IteratorAge", label=reader.node.id, period=_MINUTE, statistic=_MAXIMUM)
            for reader in self._stream_readers
        ]
        dead = [
            queue.metric_approximate_number_of_messages_visible(
                label=queue.name_in_stack, period=_MINUTE, statistic=_MAXIMUM
            )
            for queue in self._all(DeadLetterQueue)
        ]
        return [
            _graph("Age of the oldest message, seconds", ages),
            _graph("How far behind the stream, milliseconds", behind),
            _graph("Messages in dead-letter queues", dead),
        ]

    def _failing(self) -> list[aws_cloudwatch.IWidget]:
        functions = list(self._all(PythonFunction))
        errors = [self._of_function(function, "Errors") for function in functions]
        throttles = [self._of_function(function, "Throttles") for function in functions]
        failed = [
            api.metric_server_error(label=f"{api.node.id} 5xx", period=_PERIOD, statistic=_SUM) for api in self._apis()
        ]
        slow = [api.metric_latency(label=api.node.id, period=_PERIOD, statistic=SLOWEST) for api in self._apis()]
        return [
            aws_cloudwatch.AlarmStatusWidget(
                title="Alarms", alarms=list(self._alarms()), width=_WHOLE_WIDTH, height=_HEIGHT
            ),
            _graph("Failed runs of functions", errors, width=6),
            _graph("Throttled runs of functions", throttles, width=6),
            _graph("Failed requests", failed, width=6),
            _graph("Latency, the slowest hundredth, milliseconds", slow, width=6),
        ]

    def _business(self) -> list[aws_cloudwatch.IWidget]:
        stage = self.settings.stage
        invalid = aws_cloudwatch.MathExpression(
            expression=(
                f'SEARCH(\'{{{METRICS_NAMESPACE},stage,reason}} MetricName="OrdersInvalid" stage="{stage}"\', '
                f"'{_SUM}', {_PERIOD.to_seconds():.0f})"
            ),
            label="invalid: ${PROP('Dim.reason')}",
            using_metrics={},
            period=_PERIOD,
        )
        images = [
            self._counted(name, f"{size.prefix}: {name}", size=size.prefix)
            for size in self.settings.image_sizes
            for name in ("ImagesMade", "ImagesFailed")
        ]
        return [
            _graph("Items sold", [self._counted("ItemsSold")], width=6),
            _graph("Refused orders, by reason", [invalid, self._counted("OrdersConflicted", "conflict")], width=6),
            _graph("Images", images, width=6),
            _graph("Reports mailed", [self._counted("ReportsMailed")], width=6),
        ]

    def _databases(self) -> list[aws_cloudwatch.IWidget]:
        instances = [database.instance for database in self._all(Database)]
        return [
            _graph(
                "Processors busy, percent",
                [instance.metric_cpu_utilization(period=_PERIOD) for instance in instances],
            ),
            _graph(
                "Free storage, bytes",
                [instance.metric_free_storage_space(period=_PERIOD) for instance in instances],
            ),
            _graph(
                "Connections",
                [instance.metric_database_connections(period=_PERIOD, statistic=_MAXIMUM) for instance in instances],
            ),
        ]

    def _counted(self, name: str, label: str | None = None, **dimensions: str) -> aws_cloudwatch.Metric:
        """A metric of our functions' log lines."""
        return aws_cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"stage": self.settings.stage, **dimensions},
            label=label or name,
            statistic=_SUM,
            period=_PERIOD,
        )

    def _of_function(self, function: PythonFunction, name: str) -> aws_cloudwatch.Metric:
        return function.metric(name, label=function.node.path.partition("/")[2], period=_PERIOD, statistic=_SUM)

    def _apis(self) -> Iterator[RestApi]:
        return self._all(RestApi)

    def _alarms(self) -> Iterator[aws_cloudwatch.IAlarm]:
        """All alarms, found by ARNs made of their names, which need no reference."""
        for alarms in self._all(Alarms):
            for name in alarms.names:
                arn = self.format_arn(
                    service="cloudwatch", resource="alarm", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
                )
                yield aws_cloudwatch.Alarm.from_alarm_arn(self, f"Alarm-{name}", arn)

    def _all(self, kind: type[_Kind]) -> Iterator[_Kind]:
        """Every construct of that kind in the other stacks."""
        for system in self._systems:
            for construct in system.node.find_all():
                if isinstance(construct, kind):
                    yield construct


def _graph(
    title: str, metrics: Sequence[aws_cloudwatch.IMetric], *, width: int = _WHOLE_WIDTH // 3
) -> aws_cloudwatch.GraphWidget:
    # A value below zero makes no sense for any of them, and a flat line of zeroes is to look like one.
    axis = aws_cloudwatch.YAxisProps(min=0, show_units=False)
    return aws_cloudwatch.GraphWidget(title=title, left=metrics, left_y_axis=axis, width=width, height=_HEIGHT)

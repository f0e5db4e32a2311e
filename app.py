"""The CDK app: `cdk synth|deploy -c stage=NAME` (settings: stacks/settings.py)."""

import sys

from aws_cdk import App, Aspects
from cdk_nag import WriteNagSuppressionsToCloudFormationAspect

from stacks.constructs.packages import PackageError
from stacks.image_fanout import ImageFanoutStack
from stacks.operations import OperationsStack
from stacks.order_pipeline import OrderPipelineStack
from stacks.order_service import OrderServiceStack
from stacks.sales_report import SalesReportStack
from stacks.settings import SettingsError, load_settings


def build(app: App) -> App:
    """Adds the stage's stacks to the app."""
    settings = load_settings(app.node.get_all_context())
    pipeline = OrderPipelineStack(app, settings)
    service = OrderServiceStack(app, settings, log_role=pipeline.log_role)
    report = SalesReportStack(app, settings, order_topic=pipeline.topic, log_role=pipeline.log_role)
    images = ImageFanoutStack(app, settings)
    OperationsStack(app, settings, systems=[pipeline, service, report, images], stream_readers=[pipeline.notifier])
    # Why a finding of cdk-nag stands goes with the template, for whoever checks that.
    Aspects.of(app).add(WriteNagSuppressionsToCloudFormationAspect())
    return app


if __name__ == "__main__":
    try:
        build(App()).synth()
    except (SettingsError, PackageError) as error:
        sys.exit(f"serverless-shop: {error}")

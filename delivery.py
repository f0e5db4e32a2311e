"""The CDK app of what lets GitHub Actions deploy: `make delivery-role GITHUB=OWNER/REPOSITORY` (stacks/delivery.py)."""

import sys

from aws_cdk import App

from stacks.delivery import DeliveryStack
from stacks.delivery_settings import DeliverySettings
from stacks.settings import SettingsError


def build(app: App) -> App:
    """Adds the delivery stack to the app. Raises SettingsError for a wrong setting."""
    DeliveryStack(app, DeliverySettings(app.node.get_all_context()))
    return app


if __name__ == "__main__":
    try:
        build(App()).synth()
    except SettingsError as error:
        sys.exit(f"serverless-shop: {error}")

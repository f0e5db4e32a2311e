"""Synthesis by the CDK itself, with cdk-nag's packs on.

Importing this starts the CDK's process, about a second: tests that find their templates kept do without.
"""

import json
from pathlib import Path
from typing import Any

from aws_cdk import App, Stack, Validations
from aws_cdk.assertions import Template
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

import app as shop_app
import delivery
from stacks.order_pipeline import OrderPipelineStack
from stacks.settings import load_settings
from tests.templates.inputs import ROOT

_FLAGS = json.loads((ROOT / "cdk.json").read_text())["context"]
"""Which shape the templates, and which only the CDK's command line reads by itself."""


def synthesise_stage(folder: Path, settings: dict[str, str]) -> list[str]:
    """Synthesise a stage into the folder; returns what cdk-nag found and nobody acknowledged."""
    # No template says where an asset lies, and copying all packages is an eighth of a synthesis.
    app = App(context=_FLAGS | settings | {"aws:cdk:disable-asset-staging": True}, outdir=str(folder))
    return _synthesise(shop_app.build(app), folder)


def synthesise_delivery(folder: Path, settings: dict[str, str]) -> list[str]:
    """Synthesise the delivery stack into the folder; returns what cdk-nag found and nobody acknowledged."""
    return _synthesise(delivery.build(App(context=_FLAGS | settings, outdir=str(folder))), folder)


def prod_pipeline(**overrides: str) -> OrderPipelineStack:
    """The order pipeline of prod by itself, which takes less time than the whole stage."""
    return OrderPipelineStack(App(), load_settings({"stage": "prod", **overrides}))


def template_of(stack: Stack) -> dict[str, Any]:
    """What CloudFormation is given of a stack."""
    return dict(Template.from_stack(stack).to_json())


def _synthesise(app: App, folder: Path) -> list[str]:
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
        return _findings(json.loads((folder / "validation-report.json").read_text()))
    return []


def _findings(report: dict[str, Any]) -> list[str]:
    return [
        f"{violation['ruleName']}: {resource['constructPath']}"
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for resource in violation["violatingConstructs"]
    ]

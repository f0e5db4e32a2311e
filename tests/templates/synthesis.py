"""Synthesises a stage once for all template tests, with cdk-nag's packs on."""

import atexit
import functools
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

import app as shop_app

Template = dict[str, Any]

_CDK_JSON = Path(__file__).parents[2] / "cdk.json"
"""Its feature flags shape the templates, and only the CDK's command line reads them by itself."""

THREE_SIZES = json.dumps(
    [
        {"prefix": "thumbnail", "function": "CreateThumbnail", "width": 128, "height": 128},
        {"prefix": "mobile", "function": "CreateMobileImage", "width": 640, "height": 640},
        {
            "prefix": "shop-window",
            "function": "CreateBanner",
            "width": 1600,
            "height": 400,
            "quality": 90,
            "format": "webp",
        },
    ]
)
"""A setting that adds a size to those that ship."""


@dataclass(frozen=True)
class Synthesis:
    folder: Path
    templates: dict[str, Template]
    findings: list[str]
    """What cdk-nag found and nobody acknowledged."""


@functools.cache
def synthesise(stage: str, **overrides: str) -> Synthesis:
    """The stage's stacks, with settings given as `cdk … -c name=value` gives them."""
    folder = Path(tempfile.mkdtemp(prefix=f"synth-{stage}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    flags = json.loads(_CDK_JSON.read_text())["context"]
    app = App(context=flags | {"stage": stage} | overrides, outdir=str(folder))
    shop_app.build(app)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    findings = []
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
        findings = _findings(json.loads((folder / "validation-report.json").read_text()))
    paths = folder.glob("*.template.json")
    return Synthesis(folder, {path.name.split(".")[0]: json.loads(path.read_text()) for path in paths}, findings)


def _findings(report: dict[str, Any]) -> list[str]:
    return [
        f"{violation['ruleName']}: {resource['constructPath']}"
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for resource in violation["violatingConstructs"]
    ]


def resources(template: Template, resource_type: str) -> dict[str, dict[str, Any]]:
    """The properties of the template's resources of one type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == resource_type
    }


def own_outputs(template: Template) -> dict[str, Any]:
    """The template's outputs but those that the CDK adds for what another stack takes from this one."""
    of_the_cdk = ("ExportsOutput", "PublishOutput")
    return {key: output for key, output in template["Outputs"].items() if not key.startswith(of_the_cdk)}


def the_only(template: Template, resource_type: str, name_starts: str = "") -> dict[str, Any]:
    """The properties of the one resource of that type whose logical id starts so."""
    found = {name: properties for name, properties in resources(template, resource_type).items()
             if name.startswith(name_starts)}  # fmt: skip
    assert len(found) == 1, f"{resource_type} {name_starts}*: {sorted(found)}"
    return next(iter(found.values()))

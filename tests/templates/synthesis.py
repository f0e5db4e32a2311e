"""Synthesises a stage for all template tests, with cdk-nag's packs on: once, until something that goes into it changes.

What comes out is kept in `.local/synthesised`, under a digest of all that goes in, so that pytest-xdist's workers share
it and a run after a change of nothing but tests does without the CDK.
"""

import functools
import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shop.local.files import exclusive
from stacks.constructs import packages
from tests.templates.inputs import AT_START, ROOT, digest

Template = dict[str, Any]

_KEPT = ROOT / ".local" / "synthesised"
_KEPT_SECONDS = 24 * 3600
_FINDINGS = "findings.json"

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
    settings = {"stage": stage} | overrides
    name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    folder = _folder_of_these_inputs() / f"{stage}-{name}"
    with exclusive(folder.with_suffix(".lock")):
        if not folder.is_dir():
            folder = _keep(folder, settings)
    templates = {path.name.split(".")[0]: json.loads(path.read_text()) for path in folder.glob("*.template.json")}
    return Synthesis(folder, templates, json.loads((folder / _FINDINGS).read_text()))


def lint_stamp(template: Path) -> Path:
    """The file that is there once cfn-lint of just this version has passed a template of just this content."""
    content = hashlib.sha256((ROOT / "requirements-dev.txt").read_bytes() + template.read_bytes()).hexdigest()
    return _KEPT / "cfn-lint" / content


def _keep(folder: Path, settings: dict[str, str]) -> Path:
    """Synthesise into the folder in one step; into one for this session only where an input has changed meanwhile."""
    from tests.templates.cdk import synthesise_stage  # noqa: PLC0415 (starts the CDK)

    draft = Path(tempfile.mkdtemp(prefix=f"synth-{folder.name}-", dir=folder.parent))
    try:
        (draft / _FINDINGS).write_text(json.dumps(synthesise_stage(draft, settings)))
    except BaseException:
        shutil.rmtree(draft)
        raise
    return draft.rename(folder) if digest() == AT_START else draft


@functools.cache
def _folder_of_these_inputs() -> Path:
    """Where what these inputs make is kept; what others made goes a day after it was made."""
    # Whether there is an interpreter for byte-code is in the packages' hashes and in warnings.
    compiler = packages.find_python(packages.aws_target().python)
    folder = _KEPT / hashlib.sha256(f"{AT_START} {bool(compiler)}".encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    for other in _KEPT.iterdir():
        if other != folder and other.stat().st_mtime < time.time() - _KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
    return folder


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

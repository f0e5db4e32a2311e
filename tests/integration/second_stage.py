"""A stage beside the one that the local cloud came up with, deployed, upgraded and destroyed as one would on AWS.

Commands find the local cloud by the settings that every AWS client reads, so nothing of the shop's own is in between.
The sales report is left out: the local cloud has one database, and that is the first stage's.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from shop.local import mailbox, tools
from shop.local.clients import client
from shop.local.cloud import Cloud
from shop.local.deployment import emulator_environment
from shop.local.outputs import reachable
from stacks.settings import STAGES
from tests.integration.images import ImageFanout
from tests.integration.order_service import OrderService
from tests.integration.pipeline import Pipeline

STAGE = "test"
SYSTEMS = ("order-pipeline", "order-service", "image-fanout")
_APP = ("app.py", "cdk.json", "stacks", "lambdas", "package-lock.json")
_SET_UP = (".venv", ".local/packages")


@dataclass(frozen=True)
class SecondStage:
    """The second stage of a cloud; `folder` is for what deployments write."""

    cloud: Cloud
    folder: Path

    def deploy(self, tree: Path, **context: object) -> None:
        """Deploy the app in `tree` with the settings that stage `local` has for this machine and those of `context`.

        With aliases, as prod has them, in front of what serves.
        """
        settings = {**STAGES["local"], "gradual_deployments": "canary", **context, "stage": STAGE}
        given = [word for name, value in settings.items() for word in ("--context", f"{name}={_text(value)}")]
        stacks = [f"{STAGE}-{system}" for system in SYSTEMS]
        files = ["--output", str(self.folder / "cdk.out"), "--outputs-file", str(self._outputs_file)]
        self._run([*tools.cdk_command(), "--no-notices", "deploy", *stacks, "--exclusively",
                   "--require-approval", "never", *files, *given], tree)  # fmt: skip
        mailbox.subscribe(self.cloud)

    def destroy(self) -> list[dict[str, str]]:
        """What `make destroy STAGE=test` runs; what it says is left."""
        command = [sys.executable, "-m", "shop", "destroy", "--stage", STAGE, "--json"]
        left: list[dict[str, str]] = json.loads(self._run(command, tools.ROOT))
        return left

    def stacks(self) -> set[str]:
        """The names of its stacks that are there."""
        pages = client(self.cloud, "cloudformation").get_paginator("describe_stacks").paginate()
        names = {stack["StackName"] for page in pages for stack in page["Stacks"]}
        return {name for name in names if name.startswith(f"{STAGE}-")}

    @cached_property
    def outputs(self) -> dict[str, dict[str, str]]:
        """Of its stacks; the keys that are used here are the same in both versions."""
        return reachable(json.loads(self._outputs_file.read_text()), self.cloud.endpoint_url)

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.cloud, self.outputs[f"{STAGE}-order-pipeline"])

    @property
    def order_service(self) -> OrderService:
        return OrderService(self.cloud, self.outputs[f"{STAGE}-order-service"])

    @property
    def images(self) -> ImageFanout:
        return ImageFanout(self.cloud, self.outputs[f"{STAGE}-image-fanout"])

    @property
    def _outputs_file(self) -> Path:
        return self.folder / "outputs.json"

    def _run(self, command: list[str], folder: Path) -> str:
        # The template tests validate; here it would only take time.
        environment = {**emulator_environment(self.cloud), "CDK_VALIDATION": "false"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
        return done.stdout


def older_tree(folder: Path, edits: Mapping[str, tuple[str, str]]) -> Path:
    """A copy of the app with edits by file (what is there, and what was there before), and with this one's set-up."""
    for name in _APP:
        source = tools.ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    for name in _SET_UP:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(tools.ROOT / name)
    for name, (now, before) in edits.items():
        text = (folder / name).read_text()
        assert text.count(now) == 1, f"{name} has not one {now!r}"
        (folder / name).write_text(text.replace(now, before))
    return folder


def account(cloud: Cloud) -> set[tuple[str, str]]:
    """Kind and name of all that the account has, of the kinds that the stacks make, whoever made it."""
    return {
        (service, str(name))
        for service, listing, result, field in _LISTINGS
        for name in _listed(cloud, service, listing, result, field)
        if not (service == "kms" and _is_going(cloud, name))
    }


_LISTINGS = (
    ("sqs", "list_queues", "QueueUrls", None),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    ("dynamodb", "list_tables", "TableNames", None),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("lambda", "list_functions", "Functions", "FunctionName"),
    ("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("iam", "list_policies", "Policies", "PolicyName"),
    ("apigateway", "get_rest_apis", "items", "id"),
    ("apigateway", "get_api_keys", "items", "id"),
    ("apigateway", "get_usage_plans", "items", "id"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("kms", "list_keys", "Keys", "KeyId"),
    ("ssm", "describe_parameters", "Parameters", "Name"),
    ("secretsmanager", "list_secrets", "SecretList", "Name"),
    ("scheduler", "list_schedules", "Schedules", "Name"),
    ("cloudformation", "list_exports", "Exports", "Name"),
)


def _listed(cloud: Cloud, service: str, listing: str, result: str, field: str | None) -> Iterable[str]:
    options = {"Scope": "Local"} if listing == "list_policies" else {}
    caller = client(cloud, service)
    pages = caller.get_paginator(listing).paginate(**options) if caller.can_paginate(listing) else [
        getattr(caller, listing)(**options)
    ]  # fmt: skip
    return [item if field is None else item[field] for page in pages for item in page.get(result, [])]


def _is_going(cloud: Cloud, key: str) -> bool:
    found: str = client(cloud, "kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    return found == "PendingDeletion"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

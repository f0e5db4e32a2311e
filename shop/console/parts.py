"""The parts of a stage that the picture may show: what its stacks have, by the names of their constructs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from shop.deployed import listed, stage_stacks
from shop.names import logical_name
from shop.queues import queue_name
from shop.target import IMAGE_FANOUT, ORDER_PIPELINE, ORDER_SERVICE, SALES_REPORT, Target, stack_name

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient

API: Final = "AWS::ApiGateway::RestApi"
BUCKET: Final = "AWS::S3::Bucket"
DATABASE: Final = "AWS::RDS::DBInstance"
FUNCTION: Final = "AWS::Lambda::Function"
QUEUE: Final = "AWS::SQS::Queue"
SCHEDULE: Final = "AWS::Scheduler::Schedule"
TABLE: Final = "AWS::DynamoDB::Table"
TOPIC: Final = "AWS::SNS::Topic"
KINDS: Final = {
    API: "API",
    BUCKET: "bucket",
    DATABASE: "database",
    FUNCTION: "function",
    QUEUE: "queue",
    SCHEDULE: "schedule",
    TABLE: "table",
    TOPIC: "topic",
}
"""What data passes through or rests in: the type → what a person calls it."""
_LOG_GROUP: Final = "AWS::Logs::LogGroup"

SYSTEMS: Final = {
    ORDER_PIPELINE: "Order pipeline",
    ORDER_SERVICE: "Order service",
    SALES_REPORT: "Sales report",
    IMAGE_FANOUT: "Image fan-out",
}


class Key(NamedTuple):
    """A part by its system and its construct, such as `order-pipeline` and `OrdersQueue`."""

    system: str
    name: str

    @property
    def id(self) -> str:
        """The part's id in the page: stable, so that a refresh changes what is there rather than replaces it."""
        return f"part-{self.system}-{self.name}"


@dataclass(frozen=True)
class Part:
    """A resource that data passes through or rests in."""

    key: Key
    kind: str
    """The CloudFormation type, one of `KINDS`."""
    resource: str
    """The physical id: of a queue the URL, of a topic the ARN, of anything else its name or id."""
    log_group: str | None = None
    """Of a function."""


@dataclass(frozen=True)
class Parts:
    """What a stage has now."""

    by_key: Mapping[Key, Part]
    """In the templates' sequence, system by system."""
    missing: tuple[str, ...]
    """Names of the stacks that the stage should have and has not."""
    image_queues: tuple[tuple[str, str], ...] = field(default=())
    """Of each size of images the constructs of its queue and of the function that reads that."""

    def of(self, *kinds: str) -> Iterator[Part]:
        """The parts of these types."""
        return (part for part in self.by_key.values() if part.kind in kinds)


def find(target: Target) -> Parts:
    """Return the parts of the stage that `target` leads to, as CloudFormation lists them."""
    cloudformation = target.client("cloudformation")
    deployed = {stack["StackName"] for stack in stage_stacks(cloudformation, target.stage)}
    stacks = {system: stack_name(target.stage, system) for system in SYSTEMS}
    by_key: dict[Key, Part] = {}
    for system, stack in stacks.items():
        if stack in deployed:
            by_key |= _parts(target, system, stack)
    missing = tuple(stack for stack in stacks.values() if stack not in deployed)
    return Parts(by_key, missing, _image_queues(target.client("lambda"), by_key))


def _parts(target: Target, system: str, stack: str) -> dict[Key, Part]:
    found = listed(target.client("cloudformation"), stack)
    groups = {logical_name(each.logical_id): each.name for each in found if each.kind == _LOG_GROUP}
    parts = {}
    for kind, logical_id, resource in found:
        name = logical_name(logical_id)
        if kind in KINDS:
            # stacks/constructs/function.py: a function's log group is named after it.
            group = groups.get(f"{name}Logs") if kind == FUNCTION else None
            parts[Key(system, name)] = Part(Key(system, name), kind, resource, group)
    return parts


def _image_queues(functions: "LambdaClient", by_key: Mapping[Key, Part]) -> tuple[tuple[str, str], ...]:
    """Which sizes there are is a setting, so who reads which queue is asked of Lambda."""
    own = [part for part in by_key.values() if part.key.system == IMAGE_FANOUT]
    queues = {queue_name(part.resource): part.key.name for part in own if part.kind == QUEUE}
    names = {part.resource: part.key.name for part in own if part.kind == FUNCTION}
    if not queues:
        return ()
    pages = functions.get_paginator("list_event_source_mappings").paginate()
    arns = [(each["EventSourceArn"], each["FunctionArn"]) for page in pages for each in page["EventSourceMappings"]
            if "EventSourceArn" in each]  # fmt: skip
    # A function's ARN may end in the alias that is called.
    pairs = {(source.split(":")[-1], function.split(":")[6]) for source, function in arns}
    found = ((queues[queue], names[function]) for queue, function in pairs if queue in queues and function in names)
    sequence = list(queues.values())
    return tuple(sorted(found, key=lambda pair: sequence.index(pair[0])))

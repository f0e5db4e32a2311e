"""What goes where in the stacks, read from their synthesised templates.

A resource that data passes through or rests in is a node (`DRAWN`). Edges are what the templates say of nodes: routes,
event source mappings, subscriptions, schedules, redrive policies, failure destinations, and the calls that a role is
allowed. `shop.diagrams` draws them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Template = Mapping[str, Any]
Key = tuple[str, str]
"""A resource: the stack's name in the stage, such as `order-pipeline`, and the logical id in its template."""

DRAWN: Final = frozenset(
    {
        "AWS::ApiGateway::RestApi",
        "AWS::Lambda::Function",
        "AWS::CloudWatch::Dashboard",
        "AWS::SQS::Queue",
        "AWS::SNS::Topic",
        "AWS::DynamoDB::Table",
        "AWS::S3::Bucket",
        "AWS::RDS::DBInstance",
        "AWS::SecretsManager::Secret",
        "AWS::Scheduler::Schedule",
    }
)
CLIENTS: Final = "clients"
DEPLOYMENT: Final = "deployment"
PROTOCOLS: Final = {"email": "e-mail", "sms": "SMS"}
"""Where a topic's messages leave the stage: a subscription's protocol → what it is called."""

_STANDS_FOR: Final = {
    "AWS::Lambda::Alias": "FunctionName",
    "AWS::Lambda::Version": "FunctionName",
    "AWS::SecretsManager::SecretTargetAttachment": "SecretId",
}
"""Resources that are another one by a second name, and the property that names that one."""

_HANDS_OVER: Final = {"sqs:SendMessage", "lambda:InvokeFunction", "sns:Publish"}
"""What a role needs so that a destination or target of its owner is reached: said already where that is drawn."""
_RECEIVES: Final = {
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}
"""What a role needs for an event source mapping: said already by the mapping's edge."""


@dataclass(frozen=True)
class Edge:
    """What goes from one node to another. `fails` marks the way that is taken after a failure."""

    source: Key
    target: Key
    label: str
    fails: bool = False


@dataclass(frozen=True)
class Shop:
    """The stage's resources with what refers to what."""

    resources: dict[Key, dict[str, Any]]
    exports: dict[str, Key] = field(default_factory=dict)
    """What a stack exports for others to import: the export's name → the resource."""

    def of_type(self, *types: str) -> Iterator[tuple[Key, dict[str, Any]]]:
        """The resources of these types with their properties, in the templates' sequence."""
        for key, resource in self.resources.items():
            if resource["Type"] in types:
                yield key, resource.get("Properties", {})

    def is_drawn(self, key: Key) -> bool:
        """Whether the resource is a node."""
        return self.resources.get(key, {}).get("Type") in DRAWN

    def references(self, stack: str, value: object) -> list[Key]:
        """The resources that a value in a stack's template refers to, through aliases and imports."""
        match value:
            case {"Ref": str(name)}:
                return [self._resolved((stack, name))]
            case {"Fn::GetAtt": [str(name), _]}:
                return [self._resolved((stack, name))]
            case {"Fn::ImportValue": str(name)}:
                return [self.exports[name]] if name in self.exports else []
            case dict():
                return [key for each in value.values() for key in self.references(stack, each)]
            case list():
                return [key for each in value for key in self.references(stack, each)]
        return []

    def nodes(self, stack: str, value: object) -> list[Key]:
        """Those of the references that are nodes."""
        return [key for key in self.references(stack, value) if self.is_drawn(key)]

    def _resolved(self, key: Key) -> Key:
        """The resource that an alias, a version or an attachment stands for; any other one itself."""
        resource = self.resources.get(key)
        if resource is None or resource["Type"] not in _STANDS_FOR:
            return key
        [original] = self.references(key[0], resource["Properties"][_STANDS_FOR[resource["Type"]]])
        return original


def load(templates: Mapping[str, Template]) -> Shop:
    """The stage's templates, by the stack's name in the stage, as one."""
    resources = {(stack, name): each for stack, template in templates.items() for name, each in
                 template["Resources"].items()}  # fmt: skip
    within = Shop(resources)
    exports = {
        output["Export"]["Name"]: key
        for stack, template in templates.items()
        for output in template.get("Outputs", {}).values()
        if "Export" in output
        for key in within.references(stack, output["Value"])
    }
    return Shop(resources, exports)


def edges(shop: Shop) -> list[Edge]:
    """All edges, each pair of nodes once for each way, in the sequence of the templates."""
    drawn = [*_routes(shop), *_mappings(shop), *_invocations(shop), *_schedules(shop), *_topics(shop),
             *_redrives(shop), *_custom_resources(shop)]  # fmt: skip
    drawn += _permissions(shop, drawn)
    drawn += _connections(shop, drawn)
    labels: dict[tuple[Key, Key, bool], list[str]] = defaultdict(list)
    for edge in drawn:
        known = labels[edge.source, edge.target, edge.fails]
        if edge.label not in known:
            known.append(edge.label)
    order = {key: place for place, key in enumerate(shop.resources)}
    by_place = sorted(labels, key=lambda pair: [order.get(key, -1) for key in pair[:2]])
    return [Edge(source, target, "<br>".join(labels[source, target, fails]), fails)
            for source, target, fails in by_place]  # fmt: skip


def _routes(shop: Shop) -> Iterator[Edge]:
    """Clients to an API by each of its methods, and the API to the function behind a method."""
    for (stack, _), method in shop.of_type("AWS::ApiGateway::Method"):
        api = the_one(shop.nodes(stack, method["RestApiId"]))
        path = _path(shop, stack, method["ResourceId"])
        yield Edge((stack, CLIENTS), api, f"{method['HttpMethod']} {path} ({_authorisation(method)})")
        for target in shop.nodes(stack, method["Integration"].get("Uri")):
            if shop.resources[target]["Type"] == "AWS::Lambda::Function":
                yield Edge(api, target, "invokes")


def _path(shop: Shop, stack: str, resource_id: object) -> str:
    """The path of a resource of an API, such as `/order/{id}`; empty for its root."""
    key = the_one(shop.references(stack, resource_id))
    resource = shop.resources[key]
    if resource["Type"] != "AWS::ApiGateway::Resource":
        return ""
    properties = resource["Properties"]
    return f"{_path(shop, stack, properties['ParentId'])}/{properties['PathPart']}"


def _authorisation(method: Mapping[str, Any]) -> str:
    needed = ["signed"] if method["AuthorizationType"] == "AWS_IAM" else []
    needed += ["API key"] if method.get("ApiKeyRequired") else []
    return ", ".join(needed) or "open"


def _mappings(shop: Shop) -> Iterator[Edge]:
    for (stack, _), mapping in shop.of_type("AWS::Lambda::EventSourceMapping"):
        source = the_one(shop.nodes(stack, mapping["EventSourceArn"]))
        function = the_one(shop.nodes(stack, mapping["FunctionName"]))
        stream = "stream, " if shop.resources[source]["Type"] == "AWS::DynamoDB::Table" else ""
        yield Edge(source, function, f"{stream}batches of {mapping['BatchSize']}")
        for destination in shop.nodes(stack, mapping.get("DestinationConfig")):
            yield Edge(function, destination, "batch given up", fails=True)


def _invocations(shop: Shop) -> Iterator[Edge]:
    for (stack, _), config in shop.of_type("AWS::Lambda::EventInvokeConfig"):
        function = the_one(shop.nodes(stack, config["FunctionName"]))
        for destination in shop.nodes(stack, config.get("DestinationConfig")):
            yield Edge(function, destination, f"failed {1 + config['MaximumRetryAttempts']} times", fails=True)


def _schedules(shop: Shop) -> Iterator[Edge]:
    for key, schedule in shop.of_type("AWS::Scheduler::Schedule"):
        target = schedule["Target"]
        yield Edge(key, the_one(shop.nodes(key[0], target["Arn"])), "invokes")
        for destination in shop.nodes(key[0], target.get("DeadLetterConfig")):
            yield Edge(key, destination, "not invoked", fails=True)


def _topics(shop: Shop) -> Iterator[Edge]:
    for (stack, _), subscription in shop.of_type("AWS::SNS::Subscription"):
        topic = the_one(shop.nodes(stack, subscription["TopicArn"]))
        protocol = subscription["Protocol"]
        if protocol in PROTOCOLS:
            yield Edge(topic, (stack, PROTOCOLS[protocol]), "mails" if protocol == "email" else "texts")
            continue
        raw = subscription.get("RawMessageDelivery")
        for target in shop.nodes(stack, subscription["Endpoint"]):
            yield Edge(topic, target, "raw message" if raw else "message")
        for destination in shop.nodes(stack, subscription.get("RedrivePolicy")):
            yield Edge(topic, destination, "not delivered", fails=True)


def _redrives(shop: Shop) -> Iterator[Edge]:
    for key, queue in shop.of_type("AWS::SQS::Queue"):
        policy = queue.get("RedrivePolicy")
        if policy:
            dead_letters = the_one(shop.nodes(key[0], policy["deadLetterTargetArn"]))
            yield Edge(key, dead_letters, f"after {policy['maxReceiveCount']} receives", fails=True)


def _custom_resources(shop: Shop) -> Iterator[Edge]:
    """What runs at a deployment, and the notifications of a bucket, which a custom resource sets."""
    for (stack, _), resource in shop.resources.items():
        service, _, kind = resource["Type"].partition("::")
        if service != "Custom":
            continue
        properties = resource["Properties"]
        yield Edge(
            (stack, DEPLOYMENT),
            the_one(shop.nodes(stack, properties["ServiceToken"])),
            resource["Type"].partition("::")[2],
        )
        if kind == "BucketNotifications":
            bucket, topic = (the_one(shop.nodes(stack, properties[of])) for of in ("BucketName", "TopicArn"))
            keys = ", ".join(f"{properties['Prefix']}…{suffix}" for suffix in properties["Suffixes"])
            yield Edge(bucket, topic, f"object created: {keys}")


def _permissions(shop: Shop, drawn: Iterable[Edge]) -> Iterator[Edge]:
    """Who may call what, but for the calls that an edge is drawn of already."""
    ahead = {(edge.source, edge.target) for edge in drawn}
    owners = _owners(shop)
    for stack, role, statement in _statements(shop):
        for owner in owners.get((stack, role), []):
            for resource in _listed(statement.get("Resource")):
                for target in shop.nodes(stack, resource):
                    said = _HANDS_OVER if (owner, target) in ahead else set()
                    said = said | (_RECEIVES if (target, owner) in ahead else set())
                    actions = [action for action in _listed(statement["Action"]) if action not in said]
                    if actions and owner != target:
                        yield Edge(owner, target, _call(actions, resource))


def _owners(shop: Shop) -> dict[Key, list[Key]]:
    """The nodes that act by a role: functions, schedules, and APIs that call a service themselves."""
    owners: dict[Key, list[Key]] = defaultdict(list)
    roles = [
        *((key, key, properties["Role"]) for key, properties in shop.of_type("AWS::Lambda::Function")),
        *((key, key, properties["Target"]["RoleArn"]) for key, properties in shop.of_type("AWS::Scheduler::Schedule")),
        *(
            (key, the_one(shop.nodes(key[0], properties["RestApiId"])), properties["Integration"].get("Credentials"))
            for key, properties in shop.of_type("AWS::ApiGateway::Method")
        ),
    ]
    for (stack, _), owner, role in roles:
        for key in shop.references(stack, role):
            if owner not in owners[key]:
                owners[key].append(owner)
    return owners


def _statements(shop: Shop) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The statements that allow something: stack, logical id of the role, statement."""
    for key, properties in shop.of_type("AWS::IAM::Policy", "AWS::IAM::Role"):
        documents = [
            properties.get("PolicyDocument"),
            *(each["PolicyDocument"] for each in properties.get("Policies", [])),
        ]
        roles = (
            [role for _, role in shop.references(key[0], properties["Roles"])] if "Roles" in properties else [key[1]]
        )
        for document in filter(None, documents):
            for statement in document["Statement"]:
                if statement["Effect"] == "Allow":
                    yield from ((key[0], role, statement) for role in roles)


def _call(actions: Iterable[str], resource: object) -> str:
    """Actions without their service, and the part of the resource that they are limited to."""
    names = ", ".join(action.partition(":")[2] for action in actions)
    match resource:
        case {"Fn::Join": [_, [*_, str(end)]]} if end.startswith("/"):
            return f"{names} {end[1:]}"
    return names


def _connections(shop: Shop, drawn: Iterable[Edge]) -> Iterator[Edge]:
    """Functions that a database's security group lets in without an IAM sign-in of theirs."""
    ahead = {(edge.source, edge.target) for edge in drawn}
    let_in = {
        (group, source)
        for group, properties in shop.of_type("AWS::EC2::SecurityGroup")
        for rule in properties.get("SecurityGroupIngress", [])
        for source in shop.references(group[0], rule.get("SourceSecurityGroupId"))
    }
    for database, properties in shop.of_type("AWS::RDS::DBInstance"):
        groups = shop.references(database[0], properties.get("VPCSecurityGroups"))
        for function, configuration in shop.of_type("AWS::Lambda::Function"):
            own = shop.references(function[0], configuration.get("VpcConfig"))
            reaches = any((group, source) in let_in for group in groups for source in own)
            if reaches and (function, database) not in ahead:
                yield Edge(function, database, "connects with a password")


def the_one(keys: list[Key]) -> Key:
    """The one resource that a property names. Raises ValueError where there is none, or more."""
    [key] = dict.fromkeys(keys)
    return key


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

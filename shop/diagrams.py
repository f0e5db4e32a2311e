"""Diagrams of the stacks, drawn from their synthesised templates into docs/architecture.md.

    python -m shop.diagrams

What is drawn is in `shop.template_graph`; here it gets names and shapes. What a call is for stays with the prose.
Mermaid's flowchart syntax ("Flowcharts - Basic Syntax"), which GitHub shows.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from shop.errors import ShopError
from shop.local import tools
from shop.names import logical_name
from shop.synthesis import synthesise
from shop.template_graph import DEPLOYMENT, Edge, Key, Shop, Template, edges, load

STAGE: Final = "prod"
SETTINGS: Final = {
    "alarm_email": "alarms@example.com",
    "order_emails": "orders@example.com",
    "order_phone_numbers": "+12065550100",
    "report_emails": "report@example.com",
}
"""The stage that has the most to show, with somebody subscribed to each topic."""

STACKS: Final = ("order-pipeline", "order-service", "sales-report", "image-fanout", "operations")
"""The stacks in the page's sequence."""
OVERVIEW: Final = "overview"
PAGE: Final = Path(__file__).parents[1] / "docs" / "architecture.md"

_SHAPES: Final = {
    "AWS::ApiGateway::RestApi": '["{}"]',
    "AWS::Lambda::Function": '["{}"]',
    "AWS::CloudWatch::Dashboard": '["{}"]',
    "AWS::SQS::Queue": '[["{}"]]',
    "AWS::SNS::Topic": '{{{{"{}"}}}}',
    "AWS::DynamoDB::Table": '[("{}")]',
    "AWS::S3::Bucket": '[("{}")]',
    "AWS::RDS::DBInstance": '[("{}")]',
    "AWS::SecretsManager::Secret": '[/"{}"/]',
    "AWS::Scheduler::Schedule": '(["{}"])',
}
_OUTSIDE: Final = '(["{}"])'


class DiagramError(ShopError):
    """A page has no place for a diagram."""


def stack_diagram(shop: Shop, stack: str) -> str:
    """The flowchart of one stack, and of what others have to do with it."""
    own = [edge for edge in edges(shop) if edge.source[0] == stack or edge.target[0] == stack]
    keys = _in_sequence(shop, [key for edge in own for key in (edge.source, edge.target)], stack)
    names = _identifiers(keys)
    alarms = _alarms(shop)
    inside = {
        key for key in keys if "VpcConfig" in _properties(shop, key) or "VPCSecurityGroups" in _properties(shop, key)
    }
    lines = [f"  {_node(shop, key, names, _details(shop, key, stack, alarms))}" for key in keys if key not in inside]
    if inside:
        lines += ['  subgraph vpc ["VPC"]']
        lines += [f"    {_node(shop, key, names, _details(shop, key, stack, alarms))}" for key in keys if key in inside]
        lines += ["  end"]
    lines += [f"  {_arrow(edge, names)}" for edge in own]
    return _flowchart(lines)


def overview(shop: Shop, stacks: Iterable[str]) -> str:
    """The flowchart of all stacks together: where data goes when all is well."""
    well = _when_all_is_well(shop, edges(shop))
    drawn = {key for edge in well for key in (edge.source, edge.target)}
    drawn |= {key for key, _ in shop.of_type("AWS::CloudWatch::Dashboard")}
    keys = _in_sequence(shop, drawn, None)
    names = _identifiers(keys)
    lines = []
    for stack in stacks:
        lines.append(f'  subgraph {stack} ["{stack}"]')
        lines += [f"    {_node(shop, key, names, [])}" for key in keys if key[0] == stack]
        lines.append("  end")
    lines += [f"  {names[edge.source]} --> {names[edge.target]}" for edge in well]
    return _flowchart(lines)


def _when_all_is_well(shop: Shop, all_edges: Iterable[Edge]) -> list[Edge]:
    """The edges without failures, alarms, secrets and what only a deployment does."""
    well = [edge for edge in all_edges if not edge.fails]
    alarm_topics = {topic for _, topics in _alarm_actions(shop) for topic in topics}
    left_out = alarm_topics | {key for key, _ in shop.of_type("AWS::SecretsManager::Secret")}
    left_out |= {edge.source for edge in well if edge.source[1] == DEPLOYMENT}
    for _ in shop.resources:
        callers: dict[Key, set[Key]] = defaultdict(set)
        for edge in well:
            callers[edge.target].add(edge.source)
        more = {key for key, by in callers.items() if by <= left_out and _is_function(shop, key)} - left_out
        if not more:
            break
        left_out |= more
    return [edge for edge in well if not {edge.source, edge.target} & left_out]


def _is_function(shop: Shop, key: Key) -> bool:
    return key in shop.resources and shop.resources[key]["Type"] == "AWS::Lambda::Function"


def _in_sequence(shop: Shop, keys: Iterable[Key], stack: str | None) -> list[Key]:
    """The nodes once each: those outside first, then as the templates have them, other stacks' before the stack's."""
    order = {key: place for place, key in enumerate(shop.resources)}
    return sorted(set(keys), key=lambda key: (key in order, key[0] == stack, order.get(key, 0), key))


def _name(key: Key) -> str:
    """The construct's name: the logical id without its hash and, where the CDK puts them there, stage and stack."""
    stack, logical_id = key
    return logical_name(logical_id).removeprefix(f"{STAGE}-{stack}".replace("-", ""))


def _identifiers(keys: Iterable[Key]) -> dict[Key, str]:
    """What a node is called in the diagram's text: its name, with the stack where that alone is not its own."""
    listed = list(keys)
    named = Counter(_name(key) for key in listed)
    return {key: _name(key) if named[_name(key)] == 1 else f"{key[0]}.{_name(key)}" for key in listed}


def _properties(shop: Shop, key: Key) -> dict[str, Any]:
    found: dict[str, Any] = shop.resources.get(key, {}).get("Properties", {})
    return found


def _details(shop: Shop, key: Key, stack: str, alarms: Mapping[Key, int]) -> list[str]:
    """What stands below a node's name: its stack where that is another, when it runs, its alias, how many alarms."""
    lines = [f"of {key[0]}"] if key[0] != stack else []
    properties = _properties(shop, key)
    if "ScheduleExpression" in properties:
        lines.append(f"{properties['ScheduleExpression']} {properties.get('ScheduleExpressionTimezone', 'UTC')}")
    aliases = [each["Name"] for at, each in shop.of_type("AWS::Lambda::Alias")
               if key in shop.references(at[0], each["FunctionName"])]  # fmt: skip
    lines += [f"alias {name}" for name in aliases]
    if alarms.get(key):
        lines.append(f"{alarms[key]} alarm{'s' if alarms[key] > 1 else ''}")
    return lines


def _alarm_actions(shop: Shop) -> Iterator[tuple[Key, list[Key]]]:
    for key, alarm in shop.of_type("AWS::CloudWatch::Alarm"):
        yield key, shop.nodes(key[0], alarm.get("AlarmActions"))


def _alarms(shop: Shop) -> Counter[Key]:
    """How many alarms watch a node, or tell a topic."""
    found: Counter[Key] = Counter()
    apis = {(key[0], properties["Name"]): key for key, properties in shop.of_type("AWS::ApiGateway::RestApi")}
    for key, topics in _alarm_actions(shop):
        alarm = shop.resources[key]["Properties"]
        dimensions = [alarm.get("Dimensions", []), *_metric_dimensions(alarm)]
        named = {apis[key[0], each["Value"]] for some in dimensions for each in some
                 if each["Name"] == "ApiName" and (key[0], each["Value"]) in apis}  # fmt: skip
        found.update({*shop.nodes(key[0], dimensions), *named, *topics})
    return found


def _metric_dimensions(alarm: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    metrics = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
    return [metric.get("Dimensions", []) for metric in metrics]


def _node(shop: Shop, key: Key, names: Mapping[Key, str], details: Iterable[str]) -> str:
    shape = _SHAPES[shop.resources[key]["Type"]] if key in shop.resources else _OUTSIDE
    return names[key] + shape.format("<br>".join([_text(_name(key)), *map(_text, details)]))


def _arrow(edge: Edge, names: Mapping[Key, str]) -> str:
    label = "<br>".join(_text(line) for line in edge.label.split("<br>"))
    arrow = "-." if edge.fails else "--"
    return f'{names[edge.source]} {arrow} "{label}" {arrow[::-1]}> {names[edge.target]}'


def _text(text: str) -> str:
    """Text that Mermaid takes as it is, between quotation marks."""
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _flowchart(lines: Iterable[str]) -> str:
    return "\n".join(["```mermaid", "flowchart LR", *lines, "```"])


def diagrams(templates: Mapping[str, Template]) -> dict[str, str]:
    """The overview and one of each stack in which something goes somewhere, by name: the stack's in the stage."""
    shop = load(templates)
    stacks = [stack for stack in templates if any(edge.source[0] == stack for edge in edges(shop))]
    return {OVERVIEW: overview(shop, templates)} | {stack: stack_diagram(shop, stack) for stack in stacks}


def written(page: str, made: Mapping[str, str]) -> str:
    """The page with each diagram between its markers. Raises DiagramError where one has no place."""
    for name, diagram in made.items():
        begin, end = f"<!-- Made by `make diagrams`: {name} -->\n", "<!-- End of what is made. -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise DiagramError(f"no place for the diagram {name}: {begin.strip()} … {end.strip()}")
        page = f"{before}{begin}{diagram}\n{end}{after}"
    return page


def main() -> None:
    """Draw all diagrams anew into docs/architecture.md."""
    found = synthesise(STAGE, [f"{name}={value}" for name, value in SETTINGS.items()])
    made = diagrams({name: found[f"{STAGE}-{name}"] for name in STACKS})
    PAGE.write_text(written(PAGE.read_text(), made))
    print(f"wrote {PAGE.relative_to(tools.ROOT)}", file=sys.stderr)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    try:
        main()
    except ShopError as error:
        sys.exit(f"error: {error}")

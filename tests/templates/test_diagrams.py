"""The diagrams of docs/architecture.md are those of the synthesised templates, and Mermaid can read them."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from shop import diagrams
from shop.local import tools
from shop.template_graph import DRAWN, edges, load
from tests.templates.synthesis import Template, synthesise

pytestmark = pytest.mark.xdist_group("templates")

Templates = dict[str, Any]

# Mermaid's flowchart grammar as far as the diagrams use it: identifiers, quoted texts, two kinds of arrow.
_ID = r"[A-Za-z][A-Za-z.-]*"
_TEXT = r'"(?:[^"<>#]|<br>|#(?:35|quot|lt|gt);)+"'
_SHAPE = rf"\[{_TEXT}\]|\[\[{_TEXT}\]\]|\{{\{{{_TEXT}\}}\}}|\[\({_TEXT}\)\]|\[/{_TEXT}/\]|\(\[{_TEXT}\]\)"
_NODE = re.compile(rf"({_ID})(?:{_SHAPE})")
_GROUP = re.compile(rf"subgraph ({_ID}) \[{_TEXT}\]")
_ARROW = re.compile(rf"({_ID}) (?:-->|-- {_TEXT} -->|-\. {_TEXT} \.->) ({_ID})")
_RESERVED = {"end", "graph", "subgraph", "flowchart", "style", "class", "click", "default"}
"""Words that Mermaid takes for its own where an identifier is expected."""


@pytest.fixture(scope="module")
def templates() -> Templates:
    """The templates that the command draws, from the synthesis that all template tests share."""
    found = synthesise(diagrams.STAGE, **diagrams.SETTINGS).templates
    return {name: found[f"{diagrams.STAGE}-{name}"] for name in diagrams.STACKS}


def test_the_page_has_the_diagrams_of_the_templates(templates: Templates) -> None:
    page = diagrams.PAGE.read_text()
    assert diagrams.written(page, diagrams.diagrams(templates)) == page, "make diagrams"


def test_every_stack_is_drawn(templates: Templates) -> None:
    found = synthesise(diagrams.STAGE, **diagrams.SETTINGS).templates
    assert {name.removeprefix(f"{diagrams.STAGE}-") for name in found} == templates.keys()


def test_nothing_that_data_goes_through_is_left_out(templates: Templates) -> None:
    shop = load(templates)
    drawn = {key for edge in edges(shop) for key in (edge.source, edge.target)}
    dashboards = {key for key, _ in shop.of_type("AWS::CloudWatch::Dashboard")}
    assert {key for key, _ in shop.of_type(*DRAWN)} - drawn == dashboards


def _without(resource_type: str) -> Callable[[Template], None]:
    def change(template: Template) -> None:
        name = next(name for name, each in template["Resources"].items() if each["Type"] == resource_type)
        del template["Resources"][name]

    return change


def _without_redrive(template: Template) -> None:
    for resource in template["Resources"].values():
        resource.get("Properties", {}).pop("RedrivePolicy", None)


def _without_writes(template: Template) -> None:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::Policy":
            statements = resource["Properties"]["PolicyDocument"]["Statement"]
            statements[:] = [each for each in statements if "dynamodb:PartiQLInsert" not in each["Action"]]


def _with_open_route(template: Template) -> None:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::ApiGateway::Method":
            resource["Properties"]["ApiKeyRequired"] = False


@pytest.mark.parametrize(
    ("change", "gone", "come"),
    [
        (_without("AWS::ApiGateway::Method"), 'clients -- "POST /orders (API key)" --> OrdersApi', None),
        (_with_open_route, '"POST /orders (API key)"', '"POST /orders (open)"'),
        (_without("AWS::Lambda::EventSourceMapping"), 'OrdersQueue -- "batches of 10" --> OrderProcessor',
         'OrderProcessor -- "DeleteMessage, GetQueueAttributes, ReceiveMessage" --> OrdersQueue'),
        (_without_redrive, 'OrdersQueue -. "after 3 receives" .-> OrdersDeadLetters', None),
        (_without_writes, 'OrderProcessor -- "BatchGetItem, PartiQLInsert" --> OrdersTable', None),
        (_without("AWS::SNS::Subscription"), 'AlarmsTopic -- "mails" --> e-mail', None),
    ],
)  # fmt: skip
def test_a_changed_template_changes_the_diagram(
    templates: Templates, change: Callable[[Template], None], gone: str, come: str | None
) -> None:
    before = diagrams.diagrams(templates)["order-pipeline"]
    changed = copy.deepcopy(templates)
    change(changed["order-pipeline"])
    after = diagrams.diagrams(changed)["order-pipeline"]
    assert gone in before
    assert gone not in after
    if come is not None:
        assert come not in before
        assert come in after


def check_mermaid(diagram: str) -> None:
    """Raise AssertionError unless the flowchart keeps to the grammar, declares what it joins, and closes its groups."""
    fence, first, *lines, end = diagram.splitlines()
    assert (fence, first, end) == ("```mermaid", "flowchart LR", "```")
    declared: list[str] = []
    open_groups = 0
    for line in map(str.strip, lines):
        if line == "end":
            open_groups -= 1
            assert open_groups >= 0, "an end too many"
        elif group := _GROUP.fullmatch(line):
            open_groups += 1
            declared.append(group[1])
        elif node := _NODE.fullmatch(line):
            declared.append(node[1])
        else:
            arrow = _ARROW.fullmatch(line)
            assert arrow, f"not of the grammar: {line}"
            assert set(arrow.groups()) <= set(declared), f"not declared: {line}"
    assert open_groups == 0, "a group is not closed"
    assert len(set(declared)) == len(declared), "declared twice"
    assert not _RESERVED & {name.lower() for name in declared}


def test_mermaid_can_read_the_diagrams(templates: Templates) -> None:
    made = diagrams.diagrams(templates)
    assert made.keys() == templates.keys() - {"operations"} | {diagrams.OVERVIEW}
    for diagram in made.values():
        check_mermaid(diagram)


@pytest.mark.parametrize(
    "line",
    [
        "a[unquoted]",
        'a["one" two"]',
        'a["left"',
        'a["a"]\n  a --> b',
        'end["end"]',
        'a["a"]\n  a["again"]',
        'subgraph g ["g"]',
        "end",
        'a["a"]\n  a -> a',
    ],
)
def test_the_check_refuses_what_mermaid_cannot_read(line: str) -> None:
    with pytest.raises(AssertionError):
        check_mermaid(f"```mermaid\nflowchart LR\n  {line}\n```")


def test_text_of_a_template_cannot_break_a_diagram() -> None:
    topic = {"Type": "AWS::SNS::Topic"}
    subscription = {
        "Type": "AWS::SNS::Subscription",
        "Properties": {"TopicArn": {"Ref": "T"}, "Protocol": "email", "Endpoint": "a@example.com"},
    }
    schedule = {
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {
            "ScheduleExpression": '"]<b>#1;',
            "Target": {"Arn": {"Fn::GetAtt": ["F", "Arn"]}, "RoleArn": "x"},
        },
    }
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Role": "x"}}
    resources = {"T": topic, "S": subscription, "P": schedule, "F": function}
    for diagram in diagrams.diagrams({"stack": {"Resources": resources}}).values():
        check_mermaid(diagram)


def test_an_alias_is_drawn_as_its_function() -> None:
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Worker": {"Type": "AWS::Lambda::Function", "Properties": {"Role": "x"}},
        "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Worker"}}},
        "Live": {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Ref": "Version"}, "Name": "live"}},
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
                "FunctionName": {"Ref": "Live"},
                "BatchSize": 1,
            },
        },
    }
    made = diagrams.diagrams({"stack": {"Resources": resources}})["stack"]
    assert 'Queue -- "batches of 1" --> Worker' in made
    assert 'Worker["Worker<br>alias live"]' in made


def test_a_page_without_a_place_for_a_diagram_is_refused() -> None:
    with pytest.raises(diagrams.DiagramError, match="sales"):
        diagrams.written("# Architecture", {"sales": "x"})


def test_synthesis_uses_the_project_s_node(monkeypatch: pytest.MonkeyPatch) -> None:
    # jsii takes the node on PATH: there may be none, or one that is too old.
    asked = []

    def node_path(path: str) -> str:
        asked.append(path)
        raise LookupError

    monkeypatch.setattr(tools, "node_path", node_path)
    monkeypatch.setenv("PATH", "/usr/bin")
    with pytest.raises(LookupError):
        diagrams.main()
    assert asked == ["/usr/bin"]

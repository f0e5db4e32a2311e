"""Gradual deployments: which functions have them, what moves their aliases, and what is left without the setting."""

from functools import cache
from typing import Any

import pytest

from stacks.settings import STAGES
from tests.templates.synthesis import Template, resources, synthesise, the_only

pytestmark = pytest.mark.xdist_group("templates")

ALIAS = "AWS::Lambda::Alias"
GROUP = "AWS::CodeDeploy::DeploymentGroup"
VERSION = "AWS::Lambda::Version"
ONLY_FOR_GRADUAL = {ALIAS, GROUP, VERSION, "AWS::CodeDeploy::Application"}


def prod(system: str) -> Template:
    return synthesise("prod").templates[f"prod-{system}"]


@cache
def pipeline(**overrides: str) -> Template:
    """The order pipeline of prod by itself, which takes less time than the whole stage."""
    from tests.templates.cdk import prod_pipeline, template_of  # noqa: PLC0415 (starts the CDK)

    return template_of(prod_pipeline(**overrides))


def version_of(template: Template, function: str) -> str:
    """The logical id of a function's version, by which CloudFormation tells whether it is another."""
    found = [name for name in resources(template, VERSION) if name.startswith(f"{function}CurrentVersion")]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("system", "functions"),
    [
        ("order-pipeline", {"OrderProcessor", "OrderNotifier"}),
        ("order-service", {"OrderService"}),
        ("sales-report", {"SalesRecorder", "SalesDataExtractor", "SalesReport", "SalesReportApi"}),
        ("image-fanout", {"CreateThumbnail", "CreateMobileImage"}),
    ],
)
def test_prod_deploys_what_serves_little_by_little(system: str, functions: set[str]) -> None:
    template = prod(system)
    groups = resources(template, GROUP)
    assert {name.removeprefix("Deployments")[:-8] for name in groups} == functions
    assert {group["DeploymentConfigName"] for group in groups.values()} == {
        "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    }
    assert len(resources(template, ALIAS)) == len(functions)
    assert len(resources(template, "AWS::CodeDeploy::Application")) == 1


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - {"prod"}))
def test_other_stages_deploy_at_once_and_have_nothing_for_it(stage: str) -> None:
    for template in synthesise(stage).templates.values():
        assert not ONLY_FOR_GRADUAL & {resource["Type"] for resource in template["Resources"].values()}
        alarms = resources(template, "AWS::CloudWatch::Alarm")
        assert not [name for name in alarms if "NewVersion" in name or "FailsNow" in name]
        assert not [role for role in resources(template, "AWS::IAM::Role") if role.startswith("Deployments")]


@pytest.mark.slow
def test_switched_off_invokers_name_the_function_itself_as_in_other_stages() -> None:
    off = pipeline(gradual_deployments="off")
    assert not ONLY_FOR_GRADUAL & {resource["Type"] for resource in off["Resources"].values()}
    dev = synthesise("dev").templates["dev-order-pipeline"]
    mapping = "AWS::Lambda::EventSourceMapping"
    invoked = {name: properties["FunctionName"] for name, properties in resources(off, mapping).items()}
    assert invoked == {name: properties["FunctionName"] for name, properties in resources(dev, mapping).items()}
    assert all(set(function) == {"Ref"} for function in invoked.values())


@pytest.mark.slow
def test_linear_moves_a_tenth_more_each_minute() -> None:
    groups = resources(pipeline(gradual_deployments="linear"), GROUP).values()
    assert {group["DeploymentConfigName"] for group in groups} == {
        "CodeDeployDefault.LambdaLinear10PercentEvery1Minute"
    }


@pytest.mark.slow
def test_only_a_function_that_changed_gets_a_new_version() -> None:
    before, after = pipeline(), pipeline(order_processor_memory_mb="1024")
    assert version_of(before, "OrderProcessor") != version_of(after, "OrderProcessor")
    assert version_of(before, "OrderNotifier") == version_of(after, "OrderNotifier")


def test_a_version_that_a_rollback_leaves_behind_is_removed() -> None:
    """Lambda publishes no second version of the same code: one left behind would fail the next try."""
    for resource in prod("order-pipeline")["Resources"].values():
        if resource["Type"] == VERSION:
            assert resource.get("DeletionPolicy", "Delete") == "Delete"


def test_code_deploy_may_move_the_aliases_of_its_stack_for_its_application_only() -> None:
    template = prod("order-service")
    [function] = resources(template, "AWS::Lambda::Function")
    arn = {"Fn::GetAtt": [function, "Arn"]}
    statements = the_only(template, "AWS::IAM::Policy", "DeploymentsMayMoveOrderService")["PolicyDocument"]["Statement"]
    assert statements == [
        {
            "Effect": "Allow",
            "Action": ["lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"],
            "Resource": [arn, {"Fn::Join": ["", [arn, ":live"]]}],
        },
        {
            "Effect": "Allow",
            "Action": "cloudwatch:DescribeAlarms",
            "Resource": of_this_account("cloudwatch", "alarm:*"),
        },
    ]
    role = the_only(template, "AWS::IAM::Role", "DeploymentsRole")
    [application] = resources(template, "AWS::CodeDeploy::Application")
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {"aws:SourceArn": of_this_account("codedeploy", "deploymentgroup:", {"Ref": application}, "/*")},
    }


def of_this_account(service: str, *resource: Any) -> dict[str, Any]:
    """The CDK's expression for an ARN of this account and region."""
    first, *rest = resource
    region, account = {"Ref": "AWS::Region"}, {"Ref": "AWS::AccountId"}
    return {
        "Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, f":{service}:", region, ":", account, f":{first}", *rest]]
    }


@pytest.mark.parametrize(
    ("system", "function", "api"),
    [("order-service", "OrderService", "OrderServiceApi"), ("sales-report", "SalesReportApi", "SalesReportRestApi")],
)
def test_what_answers_requests_is_rolled_back_on_failed_requests_too(system: str, function: str, api: str) -> None:
    """It answers what it fails with a 5xx, which is no error of the function's."""
    template = prod(system)
    group = next(properties for name, properties in resources(template, GROUP).items() if name[:-8].endswith(function))
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    named = [alarms[alarm["Name"]["Ref"]] for alarm in group["AlarmConfiguration"]["Alarms"]]
    assert [(alarm["Namespace"], alarm["MetricName"], alarm["Period"]) for alarm in named] == [
        ("AWS/Lambda", "Errors", 60),
        ("AWS/ApiGateway", "5XXError", 60),
    ]
    assert named[1]["AlarmName"] == f"prod-{system}-{api}FailsNow"


def test_no_alarm_that_outlasts_a_fault_stops_the_deployment_of_its_mend() -> None:
    """A dead-letter queue stays full until somebody redrives, which takes the mended version."""
    for template in synthesise("prod").templates.values():
        alarms = resources(template, "AWS::CloudWatch::Alarm")
        for group in resources(template, GROUP).values():
            namespaces = {alarms[each["Name"]["Ref"]]["Namespace"] for each in group["AlarmConfiguration"]["Alarms"]}
            assert "AWS/Lambda" in namespaces
            assert "AWS/SQS" not in namespaces


def test_a_report_that_fails_for_good_is_kept_however_it_was_invoked() -> None:
    configurations = [
        properties
        for name, properties in resources(prod("sales-report"), "AWS::Lambda::EventInvokeConfig").items()
        if name.startswith("SalesReport")
    ]
    qualifiers = [configuration.pop("Qualifier") for configuration in map(dict, configurations)]
    assert "$LATEST" in qualifiers
    assert len(qualifiers) == 2
    ends = [{key: value for key, value in each.items() if key != "Qualifier"} for each in configurations]
    assert ends[0] == ends[1]
    assert ends[0]["DestinationConfig"]["OnFailure"]


def _version_for(key: str, table_id: str) -> str:
    from stacks.constructs.function import PythonFunction  # noqa: PLC0415 (and the next two: what starts the CDK)
    from stacks.constructs.table import Table  # noqa: PLC0415
    from tests.templates.cdk import prod_pipeline, template_of  # noqa: PLC0415

    stack = prod_pipeline()
    table = Table(stack, table_id, partition_key=key)
    function = next(each for each in stack.node.find_all() if each.node.id == "OrderProcessor")
    assert isinstance(function, PythonFunction)
    function.add_environment("OTHER_TABLE", table.table_name)
    return version_of(template_of(stack), "OrderProcessor")


@pytest.mark.slow
def test_only_a_new_construct_id_publishes_a_version_for_a_replaced_table() -> None:
    """Decision 0021's rule for who changes a table's key: CDK takes the same logical id for the same table."""
    before = _version_for("id", "Other")
    assert _version_for("another", "Other") == before
    assert _version_for("another", "OtherByAnother") != before

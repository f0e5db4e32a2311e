"""What the order service's template must say and the local cloud cannot show."""

import json

import pytest

from stacks.settings import STAGES, load_settings
from tests.templates.synthesis import Template, own_outputs, resources, synthesise, the_only

pytestmark = pytest.mark.xdist_group("templates")

OUTPUTS = {"OrderServiceEndpoint", "OrderServiceTableName", "OrderServiceFunctionName"}
BY_KEY = {"order_service_authorization": "api_key"}
BY_BOTH = {"order_service_authorization": "aws_iam_and_api_key"}


def service(stage: str = "dev", **overrides: str) -> Template:
    return synthesise(stage, **overrides).templates[f"{stage}-order-service"]


@pytest.fixture
def template() -> Template:
    return service()


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_are_those_that_others_rely_on(stage: str) -> None:
    assert set(own_outputs(service(stage))) == OUTPUTS


@pytest.mark.parametrize("overrides", [BY_KEY, BY_BOTH])
def test_with_a_key_its_id_is_an_output_too(overrides: dict[str, str]) -> None:
    template = service(**overrides)
    assert set(own_outputs(template)) == OUTPUTS | {"OrderServiceApiKeyId"}
    assert template["Outputs"]["OrderServiceApiKeyId"]["Value"]["Ref"] in resources(template, "AWS::ApiGateway::ApiKey")


@pytest.mark.parametrize(
    ("overrides", "authorization", "key"),
    [({}, "AWS_IAM", False), (BY_KEY, "NONE", True), (BY_BOTH, "AWS_IAM", True)],
)
def test_every_method_is_authorised_as_the_setting_says(
    overrides: dict[str, str], authorization: str, key: bool
) -> None:
    template = service(**overrides)
    paths = {name: resource["PathPart"] for name, resource in resources(template, "AWS::ApiGateway::Resource").items()}
    methods = {
        paths[method["ResourceId"]["Ref"]]: (
            method["HttpMethod"], method["AuthorizationType"], method["ApiKeyRequired"], method["Integration"]["Type"],
        )
        for method in resources(template, "AWS::ApiGateway::Method").values()
    }  # fmt: skip
    expected = ("ANY", authorization, key, "AWS_PROXY")
    assert methods == {"order": expected, "{id}": expected}


def test_only_this_api_may_invoke_the_function(template: Template) -> None:
    permissions = resources(template, "AWS::Lambda::Permission").values()
    api = next(iter(resources(template, "AWS::ApiGateway::RestApi")))
    assert permissions
    for permission in permissions:
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert {"Ref": api} in permission["SourceArn"]["Fn::Join"][1]


def test_function_may_do_exactly_its_operations_on_exactly_its_table(template: Template) -> None:
    table = next(iter(resources(template, "AWS::DynamoDB::Table")))
    policy = the_only(template, "AWS::IAM::Policy", "OrderServiceRole")
    on_tables = [
        statement
        for statement in policy["PolicyDocument"]["Statement"]
        if any(action.startswith("dynamodb:") for action in _as_list(statement["Action"]))
    ]
    assert len(on_tables) == 1
    assert on_tables[0]["Resource"] == {"Fn::GetAtt": [table, "Arn"]}
    assert sorted(on_tables[0]["Action"]) == [
        "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem",
    ]  # fmt: skip


def test_function_knows_its_table_and_nothing_else(template: Template) -> None:
    table = next(iter(resources(template, "AWS::DynamoDB::Table")))
    function = the_only(template, "AWS::Lambda::Function")
    assert function["Environment"]["Variables"] == {"ORDER_SERVICE_TABLE": {"Ref": table}, "SHOP_STAGE": "dev"}
    assert function["Handler"] == "order_service.handler.handler"


@pytest.mark.parametrize("stage", STAGES)
def test_function_is_as_large_and_patient_as_settings_say(stage: str) -> None:
    settings = load_settings({"stage": stage})
    function = the_only(service(stage), "AWS::Lambda::Function")
    assert function["MemorySize"] == settings.order_service_memory_mb
    assert function["Timeout"] == settings.order_service_timeout_seconds


def test_with_snapshots_a_version_serves_and_nothing_goes_past_it() -> None:
    snapped = service(order_service_snap_start="true")
    assert the_only(snapped, "AWS::Lambda::Function", "OrderService")["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    [(alias, properties)] = resources(snapped, "AWS::Lambda::Alias").items()
    assert properties["FunctionVersion"]["Fn::GetAtt"][0] in resources(snapped, "AWS::Lambda::Version")
    permissions = resources(snapped, "AWS::Lambda::Permission").values()
    assert {permission["FunctionName"]["Ref"] for permission in permissions} == {alias}
    methods = resources(snapped, "AWS::ApiGateway::Method").values()
    invoked = [method["Integration"] for method in methods if method["Integration"]["Type"] == "AWS_PROXY"]
    assert invoked
    assert all({"Ref": alias} in integration["Uri"]["Fn::Join"][1] for integration in invoked)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_no_stage_that_ships_pays_for_snapshots(stage: str) -> None:
    assert "SnapStart" not in the_only(service(stage), "AWS::Lambda::Function", "OrderService")


def test_table_has_a_string_key_named_id_and_no_stream(template: Template) -> None:
    table = the_only(template, "AWS::DynamoDB::Table")
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "id", "AttributeType": "S"}]
    assert "StreamSpecification" not in table


def test_prod_refuses_deletion() -> None:
    assert the_only(service("prod"), "AWS::DynamoDB::Table")["DeletionProtectionEnabled"] is True


@pytest.mark.parametrize("stage", STAGES)
def test_stage_throttles_as_settings_say(stage: str) -> None:
    settings = load_settings({"stage": stage})
    throttle = the_only(service(stage), "AWS::ApiGateway::Stage")["MethodSettings"][0]
    assert throttle["ThrottlingRateLimit"] == settings.order_service_requests_per_second
    assert throttle["ThrottlingBurstLimit"] == settings.order_service_burst


def test_usage_plan_throttles_and_counts_as_settings_say() -> None:
    settings = load_settings({})
    plan = the_only(service(**BY_KEY), "AWS::ApiGateway::UsagePlan")
    assert plan["Throttle"] == {
        "RateLimit": settings.order_service_requests_per_second,
        "BurstLimit": settings.order_service_burst,
    }
    assert plan["Quota"] == {"Limit": settings.order_service_daily_quota, "Period": "DAY"}


def test_local_stage_takes_a_thousand_requests_a_second_and_a_million_a_day() -> None:
    settings = load_settings({"stage": "local"})
    assert settings.order_service_requests_per_second >= 1_000
    assert settings.order_service_daily_quota == 1_000_000


def test_refusals_of_the_gateway_read_like_the_services_own(template: Template) -> None:
    answers = {
        answer["ResponseType"]: answer["ResponseTemplates"]["application/json"]
        for answer in resources(template, "AWS::ApiGateway::GatewayResponse").values()
    }
    # API Gateway replaces the variable by a JSON string, with its quotes.
    bodies = {kind: json.loads(text.replace("$context.error.messageString", '"why"')) for kind, text in answers.items()}
    assert {kind: body["error"] for kind, body in bodies.items()} == {
        "DEFAULT_4XX": "forbidden",
        "THROTTLED": "throttled",
        "QUOTA_EXCEEDED": "throttled",
        "REQUEST_TOO_LARGE": "too_large",
        "BAD_REQUEST_BODY": "bad_request",
        "BAD_REQUEST_PARAMETERS": "bad_request",
        "RESOURCE_NOT_FOUND": "bad_request",
        "UNSUPPORTED_MEDIA_TYPE": "bad_request",
        "DEFAULT_5XX": "internal_error",
    }
    assert all(body.keys() == {"error", "message"} for kind, body in bodies.items() if kind != "DEFAULT_5XX")


def test_a_failure_of_the_gateway_tells_its_request_id_and_no_internals(template: Template) -> None:
    answer = the_only(template, "AWS::ApiGateway::GatewayResponse", "OrderServiceApiDEFAULT5XX")
    body = json.loads(answer["ResponseTemplates"]["application/json"])
    assert body["requestId"] == "$context.requestId"
    assert "$" not in body["message"]


def test_the_stack_comes_after_the_one_with_the_accounts_log_role() -> None:
    manifest = json.loads((synthesise("dev").folder / "manifest.json").read_text())
    assert "dev-order-pipeline" in manifest["artifacts"]["dev-order-service"]["dependencies"]


def _as_list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]

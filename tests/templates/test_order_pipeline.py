"""What the order pipeline's template must say and the local cloud cannot show."""

import json
from typing import Any

import pytest

from stacks.settings import STAGES, load_settings
from tests.stream_poller import NOTIFIER, EventSourceMapping
from tests.templates.synthesis import Template, own_outputs, resources, synthesise, the_only

pytestmark = pytest.mark.xdist_group("templates")

OUTPUTS = {
    "OrdersEndpoint", "OrdersApiKeyId", "OrdersQueueUrl", "OrdersDeadLetterQueueUrl", "OrdersTableName",
    "OrderTopicArn", "OrderProcessorFunctionName", "OrderNotifierFunctionName", "OrderSimulatorFunctionName",
    "UnannouncedOrdersQueueUrl",
}  # fmt: skip


def pipeline(stage: str = "dev") -> Template:
    return synthesise(stage).templates[f"{stage}-order-pipeline"]


@pytest.fixture
def template() -> Template:
    return pipeline()


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_are_those_that_others_rely_on(stage: str) -> None:
    assert set(own_outputs(pipeline(stage))) == OUTPUTS


def test_functions_get_the_environment_they_rely_on(template: Template) -> None:
    environments = {
        name: dict(function["Environment"]["Variables"])
        for name, function in resources(template, "AWS::Lambda::Function").items()
    }
    expected = {
        "DYNAMODB_ORDERS_TABLE": "OrdersTable",
        "ORDER_TOPIC_ARN": "OrderTopic",
        "ORDERS_QUEUE_URL": "OrdersQueue",
    }
    assert {variables.pop("SHOP_STAGE") for variables in environments.values()} == {"dev"}
    found = {variable: value["Ref"] for variables in environments.values() for variable, value in variables.items()}
    assert found.keys() == expected.keys()
    assert all(found[variable].startswith(prefix) for variable, prefix in expected.items())


def test_on_aws_functions_are_arm64_and_python_3_13(template: Template) -> None:
    for function in resources(template, "AWS::Lambda::Function").values():
        assert (function["Architectures"], function["Runtime"]) == (["arm64"], "python3.13")


def test_processor_takes_batches_of_ten_at_once_with_bounded_concurrency(template: Template) -> None:
    mapping = the_only(template, "AWS::Lambda::EventSourceMapping", "OrdersMapping")
    assert mapping["BatchSize"] == 10
    assert mapping["MaximumBatchingWindowInSeconds"] == 0
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": load_settings({}).order_processor_max_concurrency}


def test_notifier_reads_inserts_from_the_oldest_record(template: Template) -> None:
    mapping = the_only(template, "AWS::Lambda::EventSourceMapping", "OrderNotifier")
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert [json.loads(f["Pattern"]) for f in mapping["FilterCriteria"]["Filters"]] == [{"eventName": ["INSERT"]}]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["BatchSize"] == 10


def test_notifier_reads_the_stream_as_the_tests_of_its_failures_do() -> None:
    mapping = the_only(pipeline("prod"), "AWS::Lambda::EventSourceMapping", "OrderNotifier")
    assert EventSourceMapping.of_template(mapping) == NOTIFIER


def test_queue_is_closed_to_all_but_its_own() -> None:
    template = synthesise("local").templates["local-order-pipeline"]
    statements = the_only(template, "AWS::SQS::QueuePolicy", "OrdersQueue")["PolicyDocument"]["Statement"]
    root = "arn:aws:iam::000000000000:root"
    allowed = {
        action: {_role(arn) for arn in statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]}
        for statement in statements
        if "ArnNotLike" in statement["Condition"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if statement["Effect"] == "Deny" and statement["Principal"] == {"AWS": "*"}
    }
    assert allowed["sqs:SendMessage"] == {"OrdersApiRole", "OrderSimulatorRole", root}
    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:PurgeQueue"):
        assert allowed[action] == {"OrderProcessorRole", root}


def test_operators_are_nobody_unless_set(template: Template) -> None:
    statements = the_only(template, "AWS::SQS::QueuePolicy", "OrdersQueue")["PolicyDocument"]["Statement"]
    principals = [arn for s in statements for arn in s["Condition"].get("ArnNotLike", {}).get("aws:PrincipalArn", [])]
    assert principals
    assert not [arn for arn in principals if isinstance(arn, str)]


def test_operators_may_use_the_data_key_for_what_bringing_orders_back_takes() -> None:
    operator = "arn:aws:iam::111122223333:role/operator"
    found = synthesise("prod", customer_managed_keys="true", operator_principal_arns=operator).templates
    key = the_only(found["prod-order-pipeline"], "AWS::KMS::Key", "DataKey")
    policies = resources(found["prod-order-pipeline"], "AWS::IAM::Policy").items()
    [processor] = [policy for name, policy in policies if name.startswith("OrderProcessorRole")]
    mine = [s for s in key["KeyPolicy"]["Statement"] if operator in json.dumps(s)]
    assert _uses_of_tables(mine) == _uses_of_tables(processor["PolicyDocument"]["Statement"]) != set()


def _uses_of_tables(statements: list[dict[str, Any]]) -> set[str]:
    """What the statements let somebody do with a key through DynamoDB, such as it needs for PutItem."""
    services = [
        (json.dumps(s.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService")), s) for s in statements
    ]
    return {action for service, s in services if "dynamodb." in service for action in s["Action"]}


def test_method_needs_the_api_key_and_validates_the_body(template: Template) -> None:
    method = the_only(template, "AWS::ApiGateway::Method")
    validator = the_only(template, "AWS::ApiGateway::RequestValidator")
    assert method["ApiKeyRequired"] is True
    assert method["HttpMethod"] == "POST"
    assert validator["ValidateRequestBody"] is True
    assert method["RequestValidatorId"]["Ref"] in template["Resources"]
    assert method["RequestModels"]["application/json"]["Ref"] in template["Resources"]
    refusal = the_only(template, "AWS::ApiGateway::GatewayResponse")
    assert refusal["ResponseType"] == "BAD_REQUEST_BODY"
    assert json.loads(refusal["ResponseTemplates"]["application/json"]) == {
        "message": "$context.error.validationErrorString"
    }


def test_body_goes_to_the_queue_url_encoded_and_only_json_is_taken(template: Template) -> None:
    integration = the_only(template, "AWS::ApiGateway::Method")["Integration"]
    assert integration["PassthroughBehavior"] == "NEVER"
    assert list(integration["RequestTemplates"]) == ["application/json"]
    order, _, rest = integration["RequestTemplates"]["application/json"].partition("#if($context.requestId != '')&")
    assert dict(part.split("=") for part in order.split("&")) == {
        "Action": "SendMessage",
        "Version": "2012-11-05",
        "MessageBody": "$util.urlEncode($input.body)",
    }
    attribute, _, behind = rest.partition("#end")
    assert dict(part.split("=") for part in attribute.split("&")) == {
        "MessageAttribute.1.Name": "request_id",
        "MessageAttribute.1.Value.DataType": "String",
        "MessageAttribute.1.Value.StringValue": "$context.requestId",
    }
    assert behind == ""
    assert _role(integration["Credentials"]) == "OrdersApiRole"


def test_only_what_the_queue_accepted_becomes_a_2xx(template: Template) -> None:
    answers = the_only(template, "AWS::ApiGateway::Method")["Integration"]["IntegrationResponses"]
    by_pattern = {answer.get("SelectionPattern"): answer["StatusCode"] for answer in answers}
    assert by_pattern == {"200": "202", "400": "400", None: "500"}


@pytest.mark.parametrize("stage", STAGES)
def test_usage_plan_and_stage_throttle_as_settings_say(stage: str) -> None:
    settings = load_settings({"stage": stage})
    plan = the_only(pipeline(stage), "AWS::ApiGateway::UsagePlan")
    throttle = the_only(pipeline(stage), "AWS::ApiGateway::Stage")["MethodSettings"][0]
    rates = settings.orders_requests_per_second, settings.orders_burst
    assert (plan["Throttle"]["RateLimit"], plan["Throttle"]["BurstLimit"]) == rates
    assert (throttle["ThrottlingRateLimit"], throttle["ThrottlingBurstLimit"]) == rates
    assert plan["Quota"] == {"Limit": settings.orders_daily_quota, "Period": "DAY"}


def test_local_stage_dead_letters_within_a_minute_and_takes_a_thousand_a_second() -> None:
    template = pipeline("local")
    queue = the_only(template, "AWS::SQS::Queue", "OrdersQueue")
    assert the_only(template, "AWS::Lambda::Function", "OrderProcessor")["Timeout"] == 3
    assert queue["VisibilityTimeout"] == 18
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 3
    assert load_settings({"stage": "local"}).orders_requests_per_second >= 1_000


def test_log_role_of_the_account_outlives_the_stack_and_can_be_left_to_others() -> None:
    kinds = ("AWS::ApiGateway::Account", "AWS::IAM::Role")
    kept = [
        resource["DeletionPolicy"]
        for name, resource in pipeline()["Resources"].items()
        if resource["Type"] in kinds and name.startswith("ApiGatewayLogs")
    ]
    assert kept == ["Retain", "Retain"]


def test_prod_refuses_deletion() -> None:
    assert the_only(pipeline("prod"), "AWS::DynamoDB::Table")["DeletionProtectionEnabled"] is True


def _role(arn: Any) -> str:
    """A role's construct id, from a GetAtt on it; text stays as it is."""
    return arn if isinstance(arn, str) else str(arn["Fn::GetAtt"][0])[:-8]

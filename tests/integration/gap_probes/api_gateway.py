"""Probes of API Gateway."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.integration.gap_probes.emulators import Answer, unique
from tests.integration.gap_probes.registry import probe

if TYPE_CHECKING:
    from tests.integration.gap_probes.emulators import Emulator

_MOCK = {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
_SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}, "quantity": {"type": "integer"}},
}
_SAY_WHY = '{"message": "$context.error.validationErrorString"}'


def _api(
    emulator: Emulator,
    integration: dict[str, Any],
    responses: dict[str, str] | None = None,
    *,
    authorization: str = "NONE",
    validates: bool = False,
    path: str = "orders",
) -> str:
    """The URL of a new API's only method, a POST; `responses` is from a status (a pattern of them) to its template."""
    gateway = emulator.client("apigateway")
    api = gateway.create_rest_api(name=unique("api"))["id"]
    top = gateway.get_resources(restApiId=api)["items"][0]["id"]
    resource = gateway.create_resource(restApiId=api, parentId=top, pathPart=path)["id"]
    where = {"restApiId": api, "resourceId": resource, "httpMethod": "POST"}
    gateway.put_method(**where, authorizationType=authorization, **(_validation(gateway, api) if validates else {}))
    gateway.put_integration(**where, integrationHttpMethod="POST", **integration)
    for status, template in (responses or {"200": "{}"}).items():
        code = "200" if status == "200" else "400"
        pattern = {} if status == "200" else {"selectionPattern": status}
        gateway.put_method_response(**where, statusCode=code)
        gateway.put_integration_response(
            **where, statusCode=code, responseTemplates={"application/json": template}, **pattern
        )
    gateway.create_deployment(restApiId=api, stageName="v1")
    return _url(emulator, api, path)


def _url(emulator: Emulator, api: str, path: str) -> str:
    return f"{emulator.cloud.endpoint_url}/restapis/{api}/v1/_user_request_/{path}"


def _validation(gateway: Any, api: str) -> dict[str, Any]:
    gateway.create_model(restApiId=api, name="Order", contentType="application/json", schema=json.dumps(_SCHEMA))
    gateway.put_gateway_response(
        restApiId=api, responseType="BAD_REQUEST_BODY", responseTemplates={"application/json": _SAY_WHY}
    )
    validator = gateway.create_request_validator(restApiId=api, name="body", validateRequestBody=True)["id"]
    return {"requestValidatorId": validator, "requestModels": {"application/json": "Order"}}


def _proxy(function: str) -> dict[str, str]:
    region = function.split(":")[3]
    uri = f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function}/invocations"
    return {"type": "AWS_PROXY", "uri": uri}


def _queue(emulator: Emulator, name: str, template: str = "Action=SendMessage&MessageBody=x") -> dict[str, Any]:
    """An integration that sends to a queue, with a role that may do nothing."""
    return {
        "type": "AWS",
        "uri": f"arn:aws:apigateway:{emulator.cloud.region}:sqs:path/{emulator.cloud.account_id}/{name}",
        "credentials": emulator.role(),
        "passthroughBehavior": "NEVER",
        "requestParameters": {"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"},
        "requestTemplates": {"application/json": template},
    }


_REST_API = {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}}
_MOCK_METHOD = {
    "RestApiId": {"Ref": "Api"},
    "ResourceId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
    "HttpMethod": "POST",
    "AuthorizationType": "NONE",
    "Integration": {
        "Type": "MOCK",
        "RequestTemplates": {"application/json": '{"statusCode": 200}'},
        "IntegrationResponses": [{"StatusCode": "200"}],
    },
    "MethodResponses": [{"StatusCode": "200"}],
}


def _deployed_api(
    emulator: Emulator, *, method: dict[str, Any], stage: dict[str, Any], others: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The id of an API that CloudFormation has made, and its stage described."""
    resources = {
        "Api": _REST_API,
        "Method": {"Type": "AWS::ApiGateway::Method", "Properties": {**_MOCK_METHOD, **method}},
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "DependsOn": "Method",
            "Properties": {"RestApiId": {"Ref": "Api"}},
        },
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "DeploymentId": {"Ref": "Deployment"},
                "StageName": "v1",
                **stage,
            },
        },
        **others,
    }
    api = emulator.stack(resources, {"Api": {"Ref": "Api"}})["Api"]
    return api, emulator.client("apigateway").get_stage(restApiId=api, stageName="v1")


@probe("request-validators", aws=400, emulator=200)
def _a_body_that_the_model_refuses(emulator: Emulator) -> int:
    method = {"RequestValidatorId": {"Ref": "Validator"}, "RequestModels": {"application/json": {"Ref": "Model"}}}
    others = {
        "Model": {
            "Type": "AWS::ApiGateway::Model",
            "Properties": {"RestApiId": {"Ref": "Api"}, "ContentType": "application/json", "Schema": _SCHEMA},
        },
        "Validator": {
            "Type": "AWS::ApiGateway::RequestValidator",
            "Properties": {"RestApiId": {"Ref": "Api"}, "ValidateRequestBody": True},
        },
    }
    api, _ = _deployed_api(emulator, method=method, stage={}, others=others)
    return emulator.request(_url(emulator, api, ""), b'{"name": "1"}').status


@probe("model-patterns", aws=400, emulator=200)
def _a_newline_at_the_end_of_what_a_pattern_ends(emulator: Emulator) -> int:
    return emulator.request(_api(emulator, _MOCK, validates=True), b'{"name": "a\\n"}').status


@probe("whole-numbers", aws=200, emulator=400)
def _a_number_with_a_fraction_of_zero(emulator: Emulator) -> int:
    return emulator.request(_api(emulator, _MOCK, validates=True), b'{"quantity": 2.0}').status


@probe("validation-text", aws=True, emulator=False)
def _whether_a_refusal_names_the_field(emulator: Emulator) -> bool:
    answer = emulator.request(_api(emulator, _MOCK, validates=True), b'{"quantity": "two"}')
    assert answer.status == 400
    return "quantity" in answer.body


@probe("template-conditions", aws="yes", emulator="#if(b == 'b')yes#{else}no#end")
def _a_condition_of_a_request_template(emulator: Emulator) -> str:
    url, arn = emulator.queue()
    name = arn.rpartition(":")[2]
    template = "Action=SendMessage&MessageBody=#if($input.path('$.a') == 'b')yes#{else}no#end"
    emulator.request(_api(emulator, _queue(emulator, name, template)), b'{"a": "b"}')
    return _received(emulator, url)


def _received(emulator: Emulator, url: str) -> str:
    messages = emulator.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages", [])
    return str(messages[0]["Body"]) if messages else ""


@probe("template-request-id", aws=True, emulator=False)
def _whether_a_template_has_the_requests_id(emulator: Emulator) -> bool:
    url, arn = emulator.queue()
    template = "Action=SendMessage&MessageBody=id:$context.requestId"
    emulator.request(_api(emulator, _queue(emulator, arn.rpartition(":")[2], template)))
    return len(_received(emulator, url)) > len("id:")


@probe("queue-errors", aws='"AWS.SimpleQueueService.NonExistentQueue"', emulator='""')
def _the_code_of_a_queues_error_in_a_response_template(emulator: Emulator) -> str:
    responses = {"200": "{}", r"4\d{2}": "\"$input.path('$.Error.Code')\""}
    return emulator.request(_api(emulator, _queue(emulator, unique("none")), responses)).body


@probe("integration-role", aws=False, emulator=True)
def _whether_a_role_without_rights_sends(emulator: Emulator) -> bool:
    url, arn = emulator.queue()
    emulator.request(_api(emulator, _queue(emulator, arn.rpartition(":")[2])))
    return _received(emulator, url) == "x"


_ECHO = """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""


def _invocable(emulator: Emulator, code: str) -> str:
    function = emulator.function(code)
    emulator.client("lambda").add_permission(
        FunctionName=function,
        StatementId="gateway",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    return function


@probe("paths-as-sent", aws="a%2Fb", emulator=None)
def _a_part_of_a_path_with_an_encoded_slash(emulator: Emulator) -> Any:
    api = _api(emulator, _proxy(_invocable(emulator, _ECHO)), path="{id}").rpartition("/")[0]
    answer = emulator.request(f"{api}/a%2Fb")
    return json.loads(answer.body).get("pathParameters", {}).get("id") if answer.status == 200 else None


@probe("function-request-id", aws=True, emulator=False)
def _whether_function_and_client_know_the_request_by_one_id(emulator: Emulator) -> bool:
    answer = emulator.request(_api(emulator, _proxy(_invocable(emulator, _ECHO))))
    return bool(json.loads(answer.body)["requestContext"]["requestId"] == answer.headers["x-amzn-requestid"])


@probe("function-errors-hidden", aws=(502, False), emulator=(502, True))
def _what_a_client_gets_of_a_functions_error(emulator: Emulator) -> tuple[int, bool]:
    code = "def handler(event, context):\n    raise ValueError('internals')\n"
    answer = emulator.request(_api(emulator, _proxy(_invocable(emulator, code))))
    return answer.status, "internals" in answer.body


@probe("function-policies", aws=False, emulator=True)
def _whether_an_api_invokes_a_function_that_does_not_let_it(emulator: Emulator) -> bool:
    return emulator.request(_api(emulator, _proxy(emulator.function(_ECHO)))).status == 200


def _signed(emulator: Emulator, *, secret: str, region: str) -> Answer:
    url = _api(emulator, _MOCK, authorization="AWS_IAM")
    request = AWSRequest("POST", url, data=b"{}", headers={"content-type": "application/json"})
    SigV4Auth(Credentials(emulator.cloud.access_key_id, secret), "execute-api", region).add_auth(request)
    return emulator.request(url, b"{}", dict(request.headers.items()))


@probe("root-signatures", aws=403, emulator=200)
def _a_request_signed_with_a_wrong_secret_of_the_accounts_own_key(emulator: Emulator) -> int:
    return _signed(emulator, secret="wrong", region=emulator.cloud.region).status  # noqa: S106


@probe("signature-scope", aws=403, emulator=200)
def _a_request_signed_for_another_region(emulator: Emulator) -> int:
    return _signed(emulator, secret=emulator.cloud.secret_access_key, region="eu-west-1").status


@probe("access-logs", aws=True, emulator=False)
def _whether_a_stage_has_the_access_log_of_its_template(emulator: Emulator) -> bool:
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {}}
    setting = {"AccessLogSetting": {"DestinationArn": {"Fn::GetAtt": ["Group", "Arn"]}, "Format": "$context.requestId"}}
    _, stage = _deployed_api(emulator, method={}, stage=setting, others={"Group": group})
    return bool(stage.get("accessLogSettings"))

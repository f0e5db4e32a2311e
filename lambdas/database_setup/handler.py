"""Has the database migrated while the stack is deployed: the handler of a CloudFormation custom resource.

Only this function, outside the database's network, reads the secrets, and hands them on in the migrator's invocation,
which nothing logs. CloudFormation's request and answer, which are logged and shown, have none of them.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared import custom_resource
from shared.aws import Config, error_code, make_client
from shared.times import Context, RemainingTime

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationResponseTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

_PHYSICAL_ID: Final = "database-schema"
_RESERVE_SECONDS: Final = 10
"""What is left for the answer, without which CloudFormation would wait for the time it is told to."""
_NOT_READY: Final = {"ResourceNotReadyException", "ResourceConflictException"}
"""After some weeks without an invocation Lambda takes a function's connection to its VPC away. The next invocation is
refused and starts to bring it back, those meanwhile are refused as well ("Lambda function states", AWS Lambda
Developer Guide). The migrator is invoked at deployments only."""
_NOT_READY_MS: Final = 180_000
_NOT_READY_PAUSE_MS: Final = 5_000

_secrets: "SecretsManagerClient" = make_client("secretsmanager", Config())


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Migrates for a Create or an Update, does nothing for a Delete, and tells CloudFormation the outcome.

    Whatever fails fails the deployment, which names the reason and rolls back.
    """

    def work() -> None:
        if event["RequestType"] != "Delete":
            _migrate(context.get_remaining_time_in_millis)

    custom_resource.run(event, work, _PHYSICAL_ID)


def _migrate(remaining_ms: RemainingTime) -> None:
    master = _secret(os.environ["DATABASE_SECRET_ARN"])
    request = {
        "dbUrl": os.environ["DB_URL"],
        "dbName": os.environ["DB_NAME"],
        "dbUser": master["username"],
        "dbPassword": master["password"],
        "users": {
            os.environ["EXTRACTOR_USER"]: _password(os.environ.get("EXTRACTOR_SECRET_ARN")),
            os.environ["RECORDER_USER"]: _password(os.environ.get("RECORDER_SECRET_ARN")),
        },
        "sampleData": os.environ["SAMPLE_DATA"] == "true",
        "timeZone": os.environ["SHOP_TIME_ZONE"],
    }
    answer = _invoke(json.dumps(request), remaining_ms)
    result = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise custom_resource.WorkFailed(f"{result.get('errorType', 'error')}: {result.get('errorMessage', '')}")


def _invoke(payload: str, remaining_ms: RemainingTime) -> "InvocationResponseTypeDef":
    """Invokes the migrator once it is ready; what is refused before has not run it."""
    gives_up_at = max(remaining_ms() - _NOT_READY_MS, _RESERVE_SECONDS * 1000)
    while True:
        try:
            return _lambda_client(remaining_ms).invoke(
                FunctionName=os.environ["MIGRATOR_FUNCTION_NAME"], Payload=payload
            )
        except ClientError as error:
            if error_code(error) not in _NOT_READY or remaining_ms() - _NOT_READY_PAUSE_MS < gives_up_at:
                raise
        time.sleep(_NOT_READY_PAUSE_MS / 1000)


def _lambda_client(remaining_ms: RemainingTime) -> "LambdaClient":
    """A client that waits as long as this function may, and never migrates a second time beside the first."""
    seconds = max(1, remaining_ms() // 1000 - _RESERVE_SECONDS)
    config = Config(read_timeout=seconds, tcp_keepalive=True, retries={"total_max_attempts": 1})
    client: LambdaClient = make_client("lambda", config)
    return client


def _secret(arn: str) -> dict[str, str]:
    value: dict[str, str] = json.loads(_secrets.get_secret_value(SecretId=arn)["SecretString"])
    return value


def _password(secret_arn: str | None) -> str | None:
    """The password in a user's secret; None where there is none, because the user signs in by IAM."""
    return _secret(secret_arn)["password"] if secret_arn else None

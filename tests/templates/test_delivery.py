"""The delivery stack: whom its roles trust, what they may do, and that CloudFormation may do what stages need."""

import functools
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.delivery_settings import STACK_NAME, DeliverySettings
from stacks.settings import SettingsError
from tests.templates.synthesis import Template, resources, synthesise, the_only

pytestmark = [pytest.mark.xdist_group("templates"), pytest.mark.slow]

_SCHEMAS = Path(sysconfig.get_path("purelib")) / "cfnlint" / "data" / "schemas"
_GITHUB = "token.actions.githubusercontent.com"
_PROVIDER = f"arn:aws:iam::111122223333:oidc-provider/{_GITHUB}"
_PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "ap-southeast-1", "AWS::AccountId": "111122223333"}
STAGES_AS_DEPLOYED = [
    ("dev", {}),
    ("prod", {}),
    ("dev", {"order_service_authorization": "api_key"}),
    (
        "prod",
        {"customer_managed_keys": "true", "operator_principal_arns": "arn:aws:iam::111122223333:role/operator"},
    ),
]
"""What is deployed by the policies: with the settings that add resource types."""

NOT_NEEDED = {
    "(autoscaling|docdb-elastic|elasticfilesystem|firehose|kinesis|redshift.*|s3files|s3tables):.*": "not used",
    "dynamodb:(AssociateTableReplica|CreateTableReplica|BatchWriteItem|DeleteItem|GetItem|PutItem|Query|Scan|UpdateItem)":
        "replicas of global tables",
    "dynamodb:.*(Import|KinesisStreamingDestination)(?<!DescribeKinesisStreamingDestination)|dynamodb:ImportTable":
        "imports and Kinesis",
    "dynamodb:(UpdateContributorInsights|UpdateTimeToLive|PutResourcePolicy|DeleteResourcePolicy)": "no such property",
    "ec2:.*(VpcEncryptionControl|VpcEncryptionControls)|ec2:.*SubnetCidrBlock|ec2:ModifyVpcTenancy": "no such property",
    "iam:.*(GroupPolicy|UserPolicy|PermissionsBoundary)": "policies are of roles, and roles have no boundary",
    "iam:ListRoles|sqs:ListQueues|sns:ListTopics|s3:ListAllMyBuckets|kms:ListAliases": "names are known",
    "lambda:.*(CodeSigningConfig|LayerVersion|RuntimeAlias|CapacityProvider|FunctionConcurrency)"
    "(?<!GetFunctionCodeSigningConfig)": "no such property",
    "lambda:(Put.*(RecursionConfig|ScalingConfig|RuntimeManagementConfig)|.*ProvisionedConcurrencyConfig)":
        "no such property",
    "logs:(CreateLogDelivery|DeleteLogDelivery|CreateLogStream|DescribeLogStreams|PutLogEvents)": "no such property",
    "logs:.*(ResourcePolicy|ResourcePolicies|BearerTokenAuthentication|DeletionProtection)": "no such property",
    "logs:(Put|Delete)(DataProtectionPolicy|IndexPolicy)": "no such property",
    "rds:.*(ReadReplica|RoleToDBInstance|RoleFromDBInstance|FromDBSnapshot|PointInTime|BackupsReplication)":
        "no such property",
    "s3:(Put|Delete).*(Accelerate|Analytics|Abac|Acl|CORS|Cors|Logging|Metadata|Notification|ObjectLock|Replication"
    "|Website|IntelligentTiering|Inventory|Metrics)(Configuration|TableConfiguration)?": "no such property",
    "s3:(UpdateBucketMetadata.*|CreateBucketMetadataTableConfiguration|DeleteBucketEncryption|DeleteBucketLifecycle|DeleteObject|GetObjectMetadata"
    "|REST.PUT.OBJECT)": "no such property",
    "secretsmanager:(ReplicateSecretToRegions|RemoveRegionsFromReplication|ListSecrets)": "no replicas",
    "codedeploy:RegisterOnPremisesInstance": "Lambda has no instances",
    "sns:PutDataProtectionPolicy|apigateway:UpdateRestApiPolicy|kms:RevokeGrant": "no such property",
}  # fmt: skip
"""What handlers may call for properties that our templates do not have, as patterns and why."""


@functools.cache
def delivered(**context: str) -> tuple[Template, list[str], Path]:
    """The delivery stack's template, what cdk-nag found in it, and its folder."""
    from tests.templates.cdk import synthesise_delivery  # noqa: PLC0415 (starts the CDK)

    folder = Path(tempfile.mkdtemp(prefix="synth-delivery-"))
    findings = synthesise_delivery(folder, {"github": "octo/shop"} | context)
    path = folder / f"{STACK_NAME}.template.json"
    return json.loads(path.read_text()), findings, path


def flat(node: Any) -> Any:
    """A template's value as it would be in one account."""
    if isinstance(node, dict):
        if "Fn::Join" in node:
            separator, parts = node["Fn::Join"]
            return separator.join(str(flat(part)) for part in parts)
        if "Ref" in node:
            return _PSEUDO.get(node["Ref"], node["Ref"])
        return {key: flat(value) for key, value in node.items()}
    return [flat(each) for each in node] if isinstance(node, list) else node


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def execution_statements(template: Template) -> list[dict[str, Any]]:
    policies = resources(template, "AWS::IAM::ManagedPolicy").values()
    return [flat(statement) for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def allowed_actions(template: Template) -> set[str]:
    return {action for statement in execution_statements(template) for action in as_list(statement["Action"])}


@functools.cache
def handlers() -> dict[str, set[str]]:
    """What the CloudFormation registry says that each type's handlers need, but for listing (as cfn-lint has it)."""
    found: dict[str, set[str]] = {}
    for path in (_SCHEMAS / "resources").glob("*.json"):
        schema = json.loads(path.read_text())
        for name, handler in schema.get("handlers", {}).items():
            if name != "list":
                found.setdefault(schema["typeName"], set()).update(handler.get("permissions") or ())
    return found


def deployed() -> Iterator[tuple[str, dict[str, Any]]]:
    """Type and properties of every resource that the stages have."""
    for stage, overrides in STAGES_AS_DEPLOYED:
        for template in synthesise(stage, **overrides).templates.values():
            for resource in template["Resources"].values():
                yield resource["Type"], resource.get("Properties", {})


def needed() -> dict[str, set[str]]:
    """The actions that each type needs, but for what our templates make no use of."""
    needs = {}
    for kind in {kind for kind, _ in deployed()}:
        stated = {"lambda:InvokeFunction"} if kind.startswith("Custom::") else handlers()[kind]
        needs[kind] = {each for each in stated if not any(re.fullmatch(pattern, each) for pattern in NOT_NEEDED)}
    return needs


def missing(actions: set[str]) -> dict[str, set[str]]:
    return {kind: lacking for kind, needs in needed().items() if (lacking := needs - actions)}


def test_cloudformation_may_do_what_every_resource_type_needs() -> None:
    assert missing(allowed_actions(delivered()[0])) == {}


@pytest.mark.parametrize("action", ["sqs:CreateQueue", "iam:PassRole", "lambda:InvokeFunction", "kms:PutKeyPolicy"])
def test_an_action_that_is_missing_is_found(action: str) -> None:
    assert missing(allowed_actions(delivered()[0]) - {action})


def test_cloudformation_may_do_nothing_else() -> None:
    of_types = set().union(*needed().values())
    assert allowed_actions(delivered()[0]) - of_types == set()


def test_what_is_said_not_to_be_needed_is_asked_for_by_some_type() -> None:
    stated = set().union(*(handlers().get(kind, set()) for kind, _ in deployed()))
    idle = [pattern for pattern in NOT_NEEDED if not any(re.fullmatch(pattern, action) for action in stated)]
    assert idle == []


def test_actions_are_named_and_on_every_resource_only_where_nothing_narrower_is() -> None:
    for statement in execution_statements(delivered()[0]):
        actions = as_list(statement["Action"])
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in actions)
        if statement["Resource"] == "*":
            reads = [a for a in actions if re.match(r"\w+:(Describe|Get)", a)]
            rest = set(actions) - set(reads)
            assert rest <= {"lambda:CreateEventSourceMapping", "kms:CreateKey", "kms:TagResource"}, statement


def test_roles_that_stages_make_are_within_what_may_be_passed_and_attached() -> None:
    statements = execution_statements(delivered()[0])
    (passed,) = (each for each in statements if each["Action"] == "iam:PassRole")
    (attached,) = (each for each in statements if "iam:AttachRolePolicy" in as_list(each["Action"]))
    for kind, properties in deployed():
        if kind != "AWS::IAM::Role":
            continue
        service = properties["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        assert service in passed["Condition"]["StringEquals"]["iam:PassedToService"]
        for arn in properties.get("ManagedPolicyArns", []):
            assert flat(arn) == attached["Condition"]["ArnEquals"]["iam:PolicyARN"]


def test_names_that_templates_choose_are_within_the_policies() -> None:
    statements = execution_statements(delivered()[0])
    arns = [arn for statement in statements for arn in as_list(statement["Resource"]) if arn != "*"]
    patterns = [arn.split(":", 5)[5] for arn in arns]
    chosen = {
        "AWS::SSM::Parameter": lambda p: f"parameter{flat(p['Name'])}",
        "AWS::CloudWatch::Alarm": lambda p: f"alarm:{p['AlarmName']}",
        "AWS::CloudWatch::Dashboard": lambda p: f"dashboard/{p['DashboardName']}",
    }
    names = [chosen[kind](properties) for kind, properties in deployed() if kind in chosen]
    assert names
    assert [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)] == []


def on_what(action: str) -> list[str]:
    """The ends of the ARNs on which CloudFormation may do this."""
    statements = [each for each in execution_statements(delivered()[0]) if action in as_list(each["Action"])]
    return [arn.split(":", 5)[5] for statement in statements for arn in as_list(statement["Resource"])]


@pytest.mark.parametrize("action", ["CreateSecret", "GetSecretValue", "DeleteSecret"])
def test_secrets_are_within_the_policies(action: str) -> None:
    """Named after their logical ids ("Create an AWS Secrets Manager secret with CloudFormation"), not their stacks."""
    patterns = on_what(f"secretsmanager:{action}")
    names = [
        f"secret:{logical_id}-a1b2c3d4e5f6-AbCdEf"
        for stage, overrides in STAGES_AS_DEPLOYED
        for template in synthesise(stage, **overrides).templates.values()
        for logical_id in resources(template, "AWS::SecretsManager::Secret")
    ]
    assert names
    assert [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)] == []


def test_a_database_may_have_its_engines_default_option_group() -> None:
    """RDS asks for it too (Amazon RDS User Guide, "Allow a user to create DB instances in an AWS account")."""
    instances = [properties for kind, properties in deployed() if kind == "AWS::RDS::DBInstance"]
    assert instances
    assert not any("OptionGroupName" in properties for properties in instances)
    for action in ("rds:CreateDBInstance", "rds:ModifyDBInstance"):
        assert "og:default:*" in on_what(action)


def test_keys_carry_the_tag_that_lets_cloudformation_manage_them() -> None:
    keys = [properties for kind, properties in deployed() if kind == "AWS::KMS::Key"]
    assert keys
    assert all({"Key": "application", "Value": "serverless-shop"} in key["Tags"] for key in keys)


def test_policies_are_of_the_size_that_iam_takes_and_the_template_needs_no_bucket() -> None:
    template = delivered(stages="dev,test,prod")[0]
    for policy in resources(template, "AWS::IAM::ManagedPolicy").values():
        assert len(json.dumps(flat(policy["PolicyDocument"]), separators=(",", ":"))) <= 6_144
    assert len(yaml.safe_dump(template)) <= 50 * 1024


@pytest.mark.parametrize("context", [{}, {"stages": "prod"}, {"oidc_provider_arn": _PROVIDER}])
def test_nag_and_cfn_lint_find_nothing(context: dict[str, str]) -> None:
    _, findings, path = delivered(**context)
    assert findings == []
    command = [str(Path(sys.executable).with_name("cfn-lint")), str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


def subjects(template: Template) -> dict[str, str]:
    """Who may assume each role; fails where a role trusts anyone by more or less than GitHub's two claims."""
    found = {}
    for name, role in resources(template, "AWS::IAM::Role").items():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        claims = dict(trust["Condition"]["StringEquals"])
        assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert set(trust["Principal"]) == {"Federated"}
        assert set(trust["Condition"]) == {"StringEquals"}
        assert claims.pop(f"{_GITHUB}:aud") == "sts.amazonaws.com"
        assert role["MaxSessionDuration"] == 3600
        found[name[:-8]] = claims.pop(f"{_GITHUB}:sub")
        assert not claims
    return found


def test_each_role_trusts_one_kind_of_run_of_one_repository() -> None:
    assert subjects(delivered()[0]) == {
        "DiffRole": "repo:octo/shop:pull_request",
        "DevRole": "repo:octo/shop:environment:dev",
        "ProdRole": "repo:octo/shop:environment:prod",
    }
    assert subjects(delivered(github="octo@12/shop@345", stages="prod")[0]) == {
        "ProdRole": "repo:octo@12/shop@345:environment:prod"
    }


def may(template: Template, role: str) -> dict[str, list[str]]:
    """A role's actions and what they are on."""
    policy = the_only(template, "AWS::IAM::Policy", f"{role}DefaultPolicy")
    statements = [flat(each) for each in policy["PolicyDocument"]["Statement"]]
    return {action: as_list(each["Resource"]) for each in statements for action in as_list(each["Action"])}


def test_roles_go_by_the_bootstrap_and_read_no_orders_of_prod() -> None:
    template = delivered(qualifier="shop")[0]
    here = "ap-southeast-1:111122223333"
    assert may(template, "ProdRole") == {
        "sts:AssumeRole": [
            f"arn:aws:iam::111122223333:role/cdk-shop-{name}-role-111122223333-ap-southeast-1"
            for name in ("deploy", "file-publishing")
        ],
        "cloudformation:DescribeStacks": [f"arn:aws:cloudformation:{here}:stack/prod-order-service/*"],
        "execute-api:Invoke": [f"arn:aws:execute-api:{here}:*/v1/POST/order"],
    }
    assert may(template, "DevRole").keys() - may(template, "ProdRole").keys() == {"apigateway:GET", "dynamodb:GetItem"}
    assert may(template, "DiffRole") == {
        "cloudformation:DescribeStacks": [f"arn:aws:cloudformation:{here}:stack/dev-*"],
        "cloudformation:GetTemplate": [f"arn:aws:cloudformation:{here}:stack/dev-*"],
    }


def test_an_identity_provider_that_exists_is_used() -> None:
    template = delivered(oidc_provider_arn=_PROVIDER)[0]
    assert resources(template, "AWS::IAM::OIDCProvider") == {}
    trust = next(iter(resources(template, "AWS::IAM::Role").values()))["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Federated": _PROVIDER}
    made = the_only(delivered()[0], "AWS::IAM::OIDCProvider")
    assert (made["Url"], made["ClientIdList"]) == (f"https://{_GITHUB}", ["sts.amazonaws.com"])


def test_the_stack_asks_for_nothing_of_a_bootstrap_and_is_in_no_stage() -> None:
    _, _, path = delivered()
    manifest = json.loads(path.with_name("manifest.json").read_text())
    properties = manifest["artifacts"][STACK_NAME]["properties"]
    assert not {"assumeRoleArn", "requiresBootstrapStackVersion"} & properties.keys()
    assert properties["terminationProtection"] is True
    assert all(STACK_NAME not in synthesise(stage, **overrides).templates for stage, overrides in STAGES_AS_DEPLOYED)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"github": ""}, "github: '' is refused: Expected OWNER/REPOSITORY"),
        ({"github": "octo"}, "github: 'octo' is refused"),
        ({"github": "octo/*"}, "github: 'octo/*' is refused"),
        ({"github": "https://github.com/octo/shop"}, "is refused"),
        ({"github": "octo/shop.git"}, "without repo:, https:// and .git"),
        ({"github": "octo@1/shop"}, "github: 'octo@1/shop' is refused"),
        ({"github": "octo/shop@1"}, "github: 'octo/shop@1' is refused"),
        ({"github": "octo/shop\n"}, "is refused"),
        ({"stages": "local"}, "stages: 'local' is refused: Expected some of dev, test, prod"),
        ({"stages": "dev,dev"}, "stages: 'dev' is refused"),
        ({"stages": ""}, "stages: '' is refused"),
        ({"oidc_provider_arn": "arn:aws:iam::1:oidc-provider/x"}, "oidc_provider_arn: "),
        ({"qualifier": "Shop"}, "qualifier: 'Shop' is refused"),
        ({"stage": "dev"}, "stage: unknown setting of the delivery stack; there are github, stages"),
    ],
)
def test_a_wrong_setting_is_named(context: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        DeliverySettings({"github": "octo/shop", "@aws-cdk/core:x": True} | context)

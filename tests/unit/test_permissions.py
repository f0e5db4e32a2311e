"""The proof's pure parts: what a policy grants, what a request needed, and what is left unexplained."""

from pathlib import Path
from typing import Any

import pytest

from tests.permissions import document, not_shown, proof
from tests.permissions.grants import Grant, as_list, grants, managed, policies, resource_name
from tests.permissions.proof import Proof
from tests.permissions.shop import DeployedPolicy, Use, covers

TABLE = {"Fn::GetAtt": ["OrdersTable315BB997", "Arn"]}
QUEUE = {"Fn::GetAtt": ["OrdersQueueC538DD4C", "Arn"]}
ALLOWED = {"Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:PutItem"], "Resource": TABLE}
SENDS = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": [QUEUE]}
DENIED = {"Effect": "Deny", "Action": "ec2:CreateNetworkInterface", "Resource": "*"}
READS = Grant("orders", "Reader", "dynamodb:GetItem", "OrdersTable")


def _template(*statements: dict[str, Any], **more: Any) -> dict[str, Any]:
    role = {"Type": "AWS::IAM::Role", "Properties": more}
    policy = {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyDocument": {"Statement": list(statements)},
            "PolicyName": "Policy",
            "Roles": [{"Ref": "ReaderRole12345678"}],
        },
    }
    return {"Resources": {"ReaderRole12345678": role, "Policy": policy}}


def test_a_grant_is_one_action_on_one_resource_by_readable_names() -> None:
    assert grants({"dev-orders": _template(ALLOWED, SENDS, DENIED)}, "dev") == [
        READS,
        Grant("orders", "Reader", "dynamodb:PutItem", "OrdersTable"),
        Grant("orders", "Reader", "sqs:SendMessage", "OrdersQueue"),
    ]


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("*", "*"),
        ({"Ref": "OrderTopic5B3ACBDB"}, "OrderTopic"),
        ({"Fn::GetAtt": ["OrdersTable315BB997", "StreamArn"]}, "OrdersTable.StreamArn"),
        ({"Fn::Join": ["", [{"Fn::GetAtt": ["Images2D38C313", "Arn"]}, "/ingest/*"]]}, "Images/ingest/*"),
        ({"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":ssm:", {"Ref": "AWS::Region"}, ":",
                            {"Ref": "AWS::AccountId"}, ":parameter/dev/cafe"]]}, "ssm:parameter/<stage>/cafe"),
        ("arn:aws:ssm:*:*:parameter/dev/cafe", "arn:aws:ssm:*:*:parameter/<stage>/cafe"),
        ({"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":ssm:", {"Ref": "AWS::Region"}, ":*:parameter/x"]]},
         "arn:<partition>:ssm:<region>:*:parameter/x"),
        ({"Fn::Join": ["", ["arn:aws:ssm:eu-west-1:", {"Ref": "AWS::AccountId"}, ":parameter/x"]]},
         "arn:aws:ssm:eu-west-1:<account>:parameter/x"),
        ("arn:aws:sqs:eu-west-1:111122223333:q", "arn:aws:sqs:eu-west-1:111122223333:q"),
        ("arn:*:s3:::images", "arn:*:s3:::images"),
        ({"Fn::ImportValue": "dev-order-pipeline:ExportsOutputRefOrderTopic5B3ACBDB8B4B9D58"}, "OrderTopic"),
        ({"Fn::ImportValue": "dev-x:ExportsOutputFnGetAttOrdersTable315BB997Arn1A2B3C4D"}, "OrdersTable"),
    ],
)  # fmt: skip
def test_a_resource_has_its_constructs_name(expression: Any, name: str) -> None:
    assert resource_name(expression, "dev") == name


VIA_SQS = {"Fn::Join": ["", ["sqs.", {"Ref": "AWS::Region"}, ".amazonaws.com"]]}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({}, ""),
        ({"StringLikeIfExists": {"s3:prefix": ["ingest/*", "mobile/*"]}},
         "StringLikeIfExists s3:prefix=ingest/*,mobile/*"),
        ({"StringEquals": {"kms:ViaService": VIA_SQS}, "Bool": {"aws:SecureTransport": "true"}},
         "Bool aws:SecureTransport=true StringEquals kms:ViaService=sqs.<region>.amazonaws.com"),
    ],
)  # fmt: skip
def test_a_grant_has_its_conditions(condition: dict[str, Any], words: str) -> None:
    conditional = SENDS | ({"Condition": condition} if condition else {})
    [grant] = grants({"dev-orders": _template(conditional)}, "dev")
    assert grant == Grant("orders", "Reader", "sqs:SendMessage", "OrdersQueue", words)


def test_an_expression_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="Fn::Select"):
        resource_name({"Fn::Select": [0, []]}, "dev")


@pytest.mark.parametrize(
    "template",
    [
        _template(ALLOWED, Policies=[{"PolicyName": "inline"}]),
        {"Resources": {"Managed": {"Type": "AWS::IAM::ManagedPolicy"}}},
    ],
)
def test_a_policy_that_would_be_left_out_is_refused(template: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not looked at"):
        grants({"dev-orders": template}, "dev")


def test_a_managed_policy_is_a_grant_by_its_name() -> None:
    template = _template(ALLOWED, ManagedPolicyArns=["arn:aws:iam::aws:policy/Everything"])
    assert managed({"dev-orders": template}, "dev") == [Grant("orders", "Reader", "iam:policy/Everything", "*")]


@pytest.mark.parametrize(
    ("action", "arn", "needed"),
    [
        ("s3:GetObject", "arn:aws:s3:::images/ingest/*", True),
        ("s3:getobject", "arn:aws:s3:::images/ingest/*", True),
        ("s3:GetObjectVersion", "arn:aws:s3:::images/ingest/*", False),
        ("s3:GetObject", "arn:aws:s3:::images/mobile/*", False),
        ("s3:GetObject", "arn:aws:s3:::images/Ingest/*", False),
    ],
)
def test_a_request_needs_the_grant_that_covers_it(action: str, arn: str, needed: bool) -> None:
    use = Use("role", "s3:GetObject", "arn:aws:s3:::images/ingest/a[1].jpg", allowed=True)
    assert covers(action, arn, use) is needed


def _deployed(*statements: dict[str, Any]) -> DeployedPolicy:
    template = _template(*statements)
    [policy] = policies({"dev-orders": template}, "dev")
    document = {"Version": "2012-10-17", "Statement": [dict(statement, Resource="arn:x") for statement in statements]}
    return DeployedPolicy(policy, "role", "Policy", document)


def test_a_policy_without_an_action_keeps_all_else() -> None:
    policy = _deployed(ALLOWED, SENDS, DENIED)
    left = policy.without("dynamodb:GetItem")["Statement"]
    assert [as_list(statement["Action"]) for statement in left] == [
        ["dynamodb:PutItem"],
        ["sqs:SendMessage"],
        ["ec2:CreateNetworkInterface"],
    ]
    assert [statement["Effect"] for statement in policy.without("sqs:SendMessage")["Statement"]] == ["Allow", "Deny"]


def test_what_is_neither_used_nor_listed_is_unexplained() -> None:
    logs = Grant("orders", "Reader", "logs:PutLogEvents", "ReaderLogs")
    assert proof.unexplained([READS, logs], []) == [READS]
    assert proof.unexplained([READS, logs], [READS]) == []


def test_what_is_listed_and_used_after_all_is_found() -> None:
    logs = Grant("orders", "Reader", "logs:PutLogEvents", "ReaderLogs")
    assert proof.used_after_all([READS, logs]) == [logs]


@pytest.mark.parametrize(
    "grant",
    [
        Grant("orders", "Reader", "logs:DeleteLogGroup", "ReaderLogs"),
        Grant("orders", "Reader", "logs:PutLogEvents", "OtherLogs"),
        Grant("orders", "Reader", "ec2:RunInstances", "ec2:instance/*"),
        Grant("orders", "OrderNotifier", "dynamodb:DeleteItem", "OrdersTable"),
        Grant("orders", "Reader", "kms:CreateGrant", "DataKey"),
        Grant("report", "DailyReport", "lambda:InvokeFunction", "DatabaseMigrator"),
        Grant("report", "DailyReport", "s3:DeleteObject", "SalesReports/*"),
        Grant("images", "Reader", "s3:ListBucket", "Images"),
        Grant("images", "Reader", "s3:ListBucket", "Images", "StringLikeIfExists s3:prefix=*"),
        Grant("orders", "Reader", "kms:Decrypt", "DataKey"),
    ],
)
def test_a_reason_is_for_what_it_names_and_not_for_its_whole_service(grant: Grant) -> None:
    assert proof.unexplained([grant], []) == [grant]


def test_a_line_that_no_grant_needs_is_found() -> None:
    assert set(not_shown.superfluous([])) == set(not_shown.NOT_SHOWN)


LISTS = Grant("images", "Reader", "s3:ListBucket", "Images", "StringLike s3:prefix=ingest/*")
FOUND = Proof(
    {READS: "an order is read", LISTS: "images are listed"},
    {("Reader", "dynamodb:GetItem"): "an order is read"},
    {"x": (("A",), 2)},
)


def test_a_proof_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    file.write_text(proof.as_json(FOUND))
    assert proof.read(file) == FOUND


def test_the_tables_replace_those_before_and_nothing_else() -> None:
    empty = document.FILE.read_text()
    filled = document.with_tables(empty, FOUND)
    assert "| Reader | `dynamodb:GetItem` | `OrdersTable` | an order is read (taken away: it fails) |" in filled
    assert "| `Images` where `StringLike s3:prefix=ingest/*` | images are listed |" in filled
    assert document.with_tables(filled, FOUND) == filled
    assert document.with_tables(filled, proof.read()) == document.with_tables(empty, proof.read())


def test_a_document_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="permissions in use"):
        document.with_tables("# Security\n", FOUND)

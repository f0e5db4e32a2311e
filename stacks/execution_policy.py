"""What CloudFormation may do when it makes the shop's stacks: the policies of the CDK bootstrap's execution role.

`cdk bootstrap` gives that role AdministratorAccess where nobody says otherwise. These policies allow instead what the
resource types in the stages' templates need (`tests/templates/test_delivery.py` compares them, both ways, with the
permissions that the CloudFormation registry states for each type's handlers). There are several because a managed
policy holds 6,144 characters (IAM and AWS STS quotas).

Where a resource's name begins with its stack's name, a grant is for names that begin with a stage's. Where AWS makes
up the name (VPC resources, APIs, keys), it is for the account and the region, and for keys that carry the shop's tag.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Aws, aws_iam

from stacks.settings import APPLICATION

_PASSED_TO = [
    "apigateway.amazonaws.com",
    "codedeploy.amazonaws.com",
    "lambda.amazonaws.com",
    "scheduler.amazonaws.com",
    "vpc-flow-logs.amazonaws.com",
]
_API_GATEWAYS_LOG_POLICY = f"arn:{Aws.PARTITION}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
_ROLES = ("role/{stage}-*",)
_FUNCTIONS = ("function:{stage}-*",)

Conditions = Mapping[str, Mapping[str, str | list[str]]]


@dataclass(frozen=True)
class Grant:
    """Actions of one service, their names in one text, on some of its resources.

    `on` has the ends of ARNs, after `arn:…:service:region:account:`; `{stage}` in one stands for each stage. Without
    any it is every resource, for actions where AWS knows no narrower one.
    """

    service: str
    actions: str
    on: tuple[str, ...] = ()
    conditions: Conditions = field(default_factory=dict)
    region: str = Aws.REGION
    account: str = Aws.ACCOUNT_ID

    def statement(self, stages: Sequence[str]) -> aws_iam.PolicyStatement:
        """The policy statement that allows this for these stages."""
        start = f"arn:{Aws.PARTITION}:{self.service}:{self.region}:{self.account}:"
        ends = dict.fromkeys(end.replace("{stage}", stage) for end in self.on for stage in stages)
        return aws_iam.PolicyStatement(
            actions=[f"{self.service}:{action}" for action in self.actions.split()],
            resources=[start + end for end in ends] or ["*"],
            conditions={operator: dict(values) for operator, values in self.conditions.items()},
        )


def grants(qualifier: str) -> dict[str, list[Grant]]:
    """What CloudFormation needs for the shop's stacks, as policies by name; `qualifier` is the CDK bootstrap's."""
    assets = f"cdk-{qualifier}-assets-{Aws.ACCOUNT_ID}-{Aws.REGION}/*"
    return {
        "Functions": [
            Grant(
                "iam",
                "CreateRole DeleteRole GetRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy TagRole "
                "UntagRole PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies ListAttachedRolePolicies",
                _ROLES,
                region="",
            ),
            Grant(
                "iam",
                "AttachRolePolicy DetachRolePolicy",
                _ROLES,
                {"ArnEquals": {"iam:PolicyARN": _API_GATEWAYS_LOG_POLICY}},
                region="",
            ),
            Grant("iam", "PassRole", _ROLES, {"StringEquals": {"iam:PassedToService": _PASSED_TO}}, region=""),
            Grant(
                "lambda",
                "CreateFunction DeleteFunction GetFunction UpdateFunctionCode UpdateFunctionConfiguration "
                "GetFunctionCodeSigningConfig GetFunctionRecursionConfig GetFunctionScalingConfig "
                "GetRuntimeManagementConfig AddPermission RemovePermission GetPolicy "
                "PutFunctionEventInvokeConfig UpdateFunctionEventInvokeConfig GetFunctionEventInvokeConfig "
                "DeleteFunctionEventInvokeConfig InvokeFunction",  # custom resources are functions of their stack
                _FUNCTIONS,
            ),
            Grant(
                "lambda",
                "UpdateEventSourceMapping DeleteEventSourceMapping ListTags TagResource UntagResource",
                (*_FUNCTIONS, "event-source-mapping:*"),
            ),
            Grant(
                "lambda",
                "PublishVersion GetFunctionConfiguration ListVersionsByFunction CreateAlias GetAlias UpdateAlias "
                "DeleteAlias",
                _FUNCTIONS,
            ),
            Grant(
                "codedeploy",
                "CreateApplication DeleteApplication GetApplication GetApplicationRevision "
                "RegisterApplicationRevision CreateDeploymentGroup DeleteDeploymentGroup UpdateDeploymentGroup "
                "GetDeploymentGroup CreateDeployment GetDeployment StopDeployment ListDeployments GetDeploymentConfig "
                "ListTagsForResource TagResource UntagResource",
                ("application:{stage}-*", "deploymentgroup:{stage}-*", "deploymentconfig:CodeDeployDefault.*"),
            ),
            # AWS Lambda knows no resource for these two (Service Authorization Reference).
            Grant("lambda", "CreateEventSourceMapping GetEventSourceMapping"),
            Grant(
                "scheduler", "CreateSchedule UpdateSchedule GetSchedule DeleteSchedule", ("schedule/default/{stage}-*",)
            ),
            Grant(
                "apigateway",
                "GET POST PUT PATCH DELETE",
                ("/account", "/restapis*", "/apikeys*", "/usageplans*", "/tags/*"),
                account="",
            ),
            Grant("s3", "GetObject GetObjectVersion", (assets,), region="", account=""),
            # The stacks' parameter with the bootstrap's version, which CloudFormation reads as this role.
            Grant("ssm", "GetParameters", (f"parameter/cdk-bootstrap/{qualifier}/version", "parameter/{stage}/*")),
        ],
        "Data": [
            Grant(
                "sqs",
                "CreateQueue DeleteQueue GetQueueAttributes SetQueueAttributes GetQueueUrl ListQueueTags TagQueue "
                "UntagQueue",
                ("{stage}-*",),
            ),
            Grant(
                "sns",
                "CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes GetDataProtectionPolicy "
                "ListSubscriptionsByTopic ListTagsForResource TagResource UntagResource Subscribe Unsubscribe "
                "GetSubscriptionAttributes SetSubscriptionAttributes",
                ("{stage}-*",),
            ),
            Grant(
                "dynamodb",
                "CreateTable DeleteTable UpdateTable DescribeTable DescribeContinuousBackups "
                "UpdateContinuousBackups DescribeContributorInsights DescribeKinesisStreamingDestination "
                "DescribeTimeToLive GetResourcePolicy ListTagsOfResource TagResource UntagResource",
                ("table/{stage}-*",),
            ),
            Grant(
                "s3",
                "CreateBucket DeleteBucket ListBucket PutEncryptionConfiguration GetEncryptionConfiguration "
                "PutLifecycleConfiguration GetLifecycleConfiguration PutBucketVersioning GetBucketVersioning "
                "PutBucketPublicAccessBlock GetBucketPublicAccessBlock PutBucketOwnershipControls "
                "GetBucketOwnershipControls PutBucketPolicy GetBucketPolicy DeleteBucketPolicy PutBucketTagging "
                "GetBucketTagging TagResource UntagResource ListTagsForResource GetAccelerateConfiguration "
                "GetAnalyticsConfiguration GetBucketAbac GetBucketAcl GetBucketCORS GetBucketLogging "
                "GetBucketMetadataTableConfiguration GetBucketNotification GetBucketObjectLockConfiguration "
                "GetBucketWebsite GetIntelligentTieringConfiguration GetInventoryConfiguration "
                "GetMetricsConfiguration GetReplicationConfiguration",
                ("{stage}-*",),
                region="",
                account="",
            ),
            Grant(
                "ssm",
                "PutParameter DeleteParameter AddTagsToResource RemoveTagsFromResource ListTagsForResource",
                ("parameter/{stage}/*",),
            ),
            # CloudFormation names a secret after its logical id, and that the CDK makes of stack and construct for RDS.
            Grant(
                "secretsmanager",
                "CreateSecret DeleteSecret DescribeSecret UpdateSecret GetSecretValue PutSecretValue TagResource "
                "UntagResource",
                ("secret:{stage}salesreportDatabase*",),
            ),
            Grant("secretsmanager", "GetRandomPassword"),
        ],
        "Platform": [
            Grant("kms", "CreateKey TagResource", (), {"StringEquals": {"aws:RequestTag/application": APPLICATION}}),
            Grant(
                "kms",
                "DescribeKey EnableKey DisableKey EnableKeyRotation DisableKeyRotation GetKeyPolicy "
                "GetKeyRotationStatus ListResourceTags PutKeyPolicy ScheduleKeyDeletion UntagResource "
                "UpdateKeyDescription CreateGrant Decrypt Encrypt GenerateDataKey",
                ("key/*",),
                {"StringEquals": {"aws:ResourceTag/application": APPLICATION}},
            ),
            Grant(
                "rds",
                "CreateDBInstance DeleteDBInstance ModifyDBInstance RebootDBInstance CreateDBSnapshot "
                "CreateDBParameterGroup DeleteDBParameterGroup ModifyDBParameterGroup ResetDBParameterGroup "
                "DescribeDBParameters CreateDBSubnetGroup DeleteDBSubnetGroup ModifyDBSubnetGroup AddTagsToResource "
                "RemoveTagsFromResource ListTagsForResource",
                # An instance without an option group of its own has its engine's default one, which RDS asks for too.
                ("db:{stage}-*", "pg:{stage}-*", "subgrp:{stage}-*", "snapshot:{stage}-*", "og:default:*"),
            ),
            Grant(
                "rds",
                "DescribeDBInstances DescribeDBInstanceAutomatedBackups DescribeDBParameterGroups "
                "DescribeDBSubnetGroups DescribeDBSnapshots DescribeDBEngineVersions DescribeEvents "
                "DescribeEngineDefaultParameters DescribeDBClusters DescribeDBClusterSnapshots",
            ),
            Grant(
                "iam",
                "CreateServiceLinkedRole",
                ("role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS",),
                {"StringEquals": {"iam:AWSServiceName": "rds.amazonaws.com"}},
                region="",
            ),
            Grant(
                "ec2",
                "CreateVpc DeleteVpc ModifyVpcAttribute CreateSubnet DeleteSubnet ModifySubnetAttribute "
                "CreateRouteTable DeleteRouteTable AssociateRouteTable DisassociateRouteTable "
                "ReplaceRouteTableAssociation CreateSecurityGroup DeleteSecurityGroup AuthorizeSecurityGroupEgress "
                "AuthorizeSecurityGroupIngress RevokeSecurityGroupEgress RevokeSecurityGroupIngress "
                "UpdateSecurityGroupRuleDescriptionsEgress UpdateSecurityGroupRuleDescriptionsIngress "
                "CreateFlowLogs DeleteFlowLogs CreateTags DeleteTags",
                ("vpc/*", "subnet/*", "route-table/*", "security-group/*", "security-group-rule/*", "vpc-flow-log/*"),
            ),
            Grant(
                "ec2",
                "DescribeAccountAttributes DescribeAvailabilityZones DescribeFlowLogs DescribeInstances "
                "DescribeInternetGateways DescribeNetworkAcls DescribeNetworkInterfaces DescribeRouteTables "
                "DescribeSecurityGroups DescribeSubnets DescribeTags DescribeVpcAttribute DescribeVpcs",
            ),
            Grant(
                "logs",
                "CreateLogGroup DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy AssociateKmsKey "
                "DisassociateKmsKey ListTagsForResource TagResource UntagResource GetDataProtectionPolicy "
                "DescribeIndexPolicies",
                ("log-group:{stage}-*", "log-group:API-Gateway-Execution-Logs_*"),
            ),
            Grant("logs", "DescribeLogGroups"),
            Grant(
                "cloudwatch",
                "PutMetricAlarm DeleteAlarms DescribeAlarms ListTagsForResource TagResource UntagResource",
                ("alarm:{stage}-*",),
            ),
            Grant(
                "cloudwatch",
                "PutDashboard GetDashboard DeleteDashboards ListTagsForResource TagResource UntagResource",
                ("dashboard/{stage}-*",),
                region="",
            ),
        ],
    }

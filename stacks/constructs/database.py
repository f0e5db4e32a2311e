"""The network without a way out, and the database in it that only the functions of that network reach."""

from aws_cdk import Duration, RemovalPolicy, Stack, aws_cloudwatch, aws_ec2, aws_rds, aws_secretsmanager
from constructs import Construct

from stacks.constructs.function import PythonFunction
from stacks.constructs.shop_stack import acknowledge, log_group, removal_policy, settings_of
from stacks.constructs.topics import Alarms

PORT = 3306
READ_SECRET = "secretsmanager:GetSecretValue"  # noqa: S105 - the name of an action
_CIDR = "10.20.0.0/22"
_SUBNET_MASK = 24
"""256 addresses a zone: RDS takes one or two of them, Lambda one for each subnet and set of security groups."""
_STORAGE_MAY_GROW_TO = 5
"""Times the storage of the setting, before the database is full (storage autoscaling)."""
_UNSAFE_IN_PASSWORDS = "\"'`@/\\%:;#&$ {}[]<>?|"
"""What RDS refuses in a master password, and what shells, URLs and option files read as something else."""
_PARAMETERS = {
    "require_secure_transport": "1",
    # The schema has a trigger. With binary logs, which backups need, MariaDB lets only SUPER make one, and RDS gives
    # nobody SUPER (Amazon RDS User Guide, "Working with parameters for MariaDB").
    "log_bin_trust_function_creators": "1",
    "character_set_server": "utf8mb4",
    "time_zone": "UTC",
}


_GIBIBYTE = 1024**3
_LEAST_FREE_SHARE = 0.1
_STORAGE_PERIODS = 6
"""Below a tenth, RDS enlarges the storage by itself, within minutes (Amazon RDS User Guide, "Managing capacity
automatically with Amazon RDS storage autoscaling"). Half an hour later it has not: it is at its bound, or was enlarged
less than six hours ago. The tenth is of the storage to begin with, so the alarm comes later once that has grown."""
_BUSY_PERCENT = 80
_BUSY_PERIODS = 3
"""A report or a backlog of sales may use all of it for a few minutes, which harms nobody."""
_CONNECTIONS_A_RECORDER = 2
"""One is in use, and one may stay open in an environment of the function that Lambda has retired but not ended."""
_OTHER_CONNECTIONS = 10
"""For reports, migrations, RDS itself and a person. What the sum leaves to the server's own limit depends on the
instance's memory (Amazon RDS User Guide, "Maximum number of database connections": the memory in bytes / 12,582,880 for
MariaDB, less than 85 for one GiB): with the stages that ship it is less than half of that."""


class DatabaseNetwork(Construct):
    """A VPC over two zones with isolated subnets only: no NAT, no internet gateway, no route out.

    `lambda_group` is of the functions; all it lets out is MariaDB's protocol to addresses of the VPC. `database_group`
    lets in that protocol from `lambda_group`, and nothing out.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.vpc = aws_ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=aws_ec2.IpAddresses.cidr(_CIDR),
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[
                aws_ec2.SubnetConfiguration(
                    name="Isolated", subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=_SUBNET_MASK
                )
            ],
            # To close the default security group takes a custom resource that runs on Node. Nothing is in that group.
            restrict_default_security_group=False,
        )
        self._log_flows()
        self.lambda_group = self._group(scope, "LambdaSG", "Functions that use the database")
        # By address range: a rule that names the database's group would make each group wait for the other.
        self.lambda_group.add_egress_rule(
            aws_ec2.Peer.ipv4(self.vpc.vpc_cidr_block), aws_ec2.Port.tcp(PORT), "MariaDB, in this VPC"
        )
        self.database_group = self._group(scope, "DatabaseSG", "The database")
        # By the group's id, so that the rule stands in the group itself and is there as soon as the group is.
        self.database_group.add_ingress_rule(
            aws_ec2.Peer.security_group_id(self.lambda_group.security_group_id),
            aws_ec2.Port.tcp(PORT),
            "MariaDB, from the functions",
        )

    def _group(self, scope: Construct, construct_id: str, description: str) -> aws_ec2.SecurityGroup:
        return aws_ec2.SecurityGroup(
            scope, construct_id, vpc=self.vpc, description=description, allow_all_outbound=False
        )

    def _log_flows(self) -> None:
        if not settings_of(self).vpc_flow_logs:
            acknowledge(self.vpc, "AwsSolutions-VPC7", "The stage's settings turn flow logs off.")
            return
        self.vpc.add_flow_log(
            "FlowLog", destination=aws_ec2.FlowLogDestination.to_cloud_watch_logs(log_group(self, "FlowLogs"))
        )


class Database(Construct):
    """RDS for MariaDB: encrypted, TLS only, backed up, in the isolated subnets, its master user's secret generated.

    Where the stage keeps its data, it refuses deletion and leaves a snapshot if it is removed all the same.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, network: DatabaseNetwork, name: str, master_user: str
    ) -> None:
        super().__init__(scope, construct_id)
        settings = settings_of(self)
        engine = aws_rds.DatabaseInstanceEngine.maria_db(
            # To begin with: RDS applies later minor versions by itself, and CloudFormation does not take them back.
            version=aws_rds.MariaDbEngineVersion.VER_11_4_10
        )
        secret = aws_rds.DatabaseSecret(
            self,
            "Secret",
            username=master_user,
            exclude_characters=_UNSAFE_IN_PASSWORDS,
            # Else a change of the rule would make a new password, and the instance would keep the old one.
            replace_on_password_criteria_changes=True,
        )
        secret.apply_removal_policy(removal_policy(self))  # a restored snapshot still has this password
        instance = aws_rds.DatabaseInstance(
            self,
            "Instance",
            engine=engine,
            instance_type=aws_ec2.InstanceType(settings.database_instance_type),
            vpc=network.vpc,
            vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[network.database_group],
            publicly_accessible=False,
            port=PORT,
            database_name=name,
            credentials=aws_rds.Credentials.from_secret(secret, master_user),
            iam_authentication=True,
            ca_certificate=aws_rds.CaCertificate.RDS_CA_RSA2048_G1,
            parameter_group=aws_rds.ParameterGroup(
                self, "Parameters", engine=engine, description="MariaDB of the shop: TLS only", parameters=_PARAMETERS
            ),
            storage_type=aws_rds.StorageType.GP3,
            storage_encrypted=True,
            allocated_storage=settings.database_storage_gb,
            max_allocated_storage=_STORAGE_MAY_GROW_TO * settings.database_storage_gb,
            multi_az=settings.database_multi_az,
            backup_retention=Duration.days(settings.database_backup_days),
            delete_automated_backups=not settings.keep_data,
            copy_tags_to_snapshot=True,
            auto_minor_version_upgrade=True,
            deletion_protection=settings.keep_data,
            removal_policy=RemovalPolicy.SNAPSHOT if settings.keep_data else RemovalPolicy.DESTROY,
        )
        assert instance.secret  # noqa: S101 - made above, now with the host in it; for the type checker
        self.secret: aws_secretsmanager.ISecret = instance.secret
        self.name = name
        self.address = instance.db_instance_endpoint_address
        self.url = f"{instance.db_instance_endpoint_address}:{instance.db_instance_endpoint_port}"
        assert instance.instance_resource_id  # noqa: S101 - of an instance made here; for the type checker
        self.resource_id: str = instance.instance_resource_id
        self.instance = instance
        self._acknowledge(instance)

    def alarm_when_short(self, alarms: Alarms) -> None:
        """Alarms when storage, processor time or connections run out."""
        settings = settings_of(self)
        period = Duration.minutes(5)
        alarms.when_below(
            "DatabaseStorageLow",
            self.instance.metric_free_storage_space(period=period, statistic=aws_cloudwatch.Stats.MINIMUM),
            _LEAST_FREE_SHARE * settings.database_storage_gb * _GIBIBYTE,
            periods=_STORAGE_PERIODS,
            says="The database's storage has been nearly full for half an hour, and has not grown by itself.",
            entry="the-databases-storage-is-low",
        )
        alarms.when_above(
            "DatabaseBusy",
            self.instance.metric_cpu_utilization(period=period, statistic=aws_cloudwatch.Stats.AVERAGE),
            _BUSY_PERCENT,
            periods=_BUSY_PERIODS,
            says=f"The database's processors have been more than {_BUSY_PERCENT} % busy for fifteen minutes.",
            entry="the-database-is-busy",
        )
        alarms.when_above(
            "DatabaseConnectionsHigh",
            self.instance.metric_database_connections(period=period, statistic=aws_cloudwatch.Stats.MAXIMUM),
            _CONNECTIONS_A_RECORDER * settings.sales_recorder_max_concurrency + _OTHER_CONNECTIONS,
            periods=_BUSY_PERIODS,
            says="The database has had more connections for fifteen minutes than the shop's functions account for.",
            entry="the-database-has-many-connections",
        )

    def allow_sign_in(self, function: PythonFunction, user: str) -> None:
        """Lets the function sign in as this user by IAM database authentication, and as no other."""
        stack = Stack.of(self)
        resource = f"dbuser:{self.resource_id}/{user}"
        function.allow("rds-db:connect", on=f"arn:{stack.partition}:rds-db:{stack.region}:{stack.account}:{resource}")

    def _acknowledge(self, instance: aws_rds.DatabaseInstance) -> None:
        settings = settings_of(self)
        kept_by_subnets = "No route leads to it from outside its subnets; another port would hide nothing."
        acknowledge(instance, "AwsSolutions-RDS11", kept_by_subnets)
        acknowledge(
            self,
            "AwsSolutions-SMG4",
            "Used at deployments only; to rotate it, a function in the isolated subnets would need paid endpoints.",
        )
        if not settings.database_multi_az:
            acknowledge(instance, "AwsSolutions-RDS3", "The stage's settings ask for one zone.")
        if not settings.keep_data:
            acknowledge(instance, "AwsSolutions-RDS10", "The stage's settings let its data go with its stack.")


class UserSecret(aws_secretsmanager.Secret):
    """The generated password of a database user, for a stage whose users sign in by password."""

    def __init__(self, scope: Construct, construct_id: str, *, user: str) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"The database user {user}",
            generate_secret_string=aws_secretsmanager.SecretStringGenerator(
                secret_string_template=f'{{"username":"{user}"}}',
                generate_string_key="password",
                password_length=30,
                exclude_characters=_UNSAFE_IN_PASSWORDS,
            ),
            removal_policy=removal_policy(scope),
        )
        acknowledge(self, "AwsSolutions-SMG4", "For stages without IAM database authentication, which are not on AWS.")

    def readable_by(self, function: PythonFunction) -> None:
        """Lets the function read the secret."""
        function.allow(READ_SECRET, on=self.secret_arn)

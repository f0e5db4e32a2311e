"""The table of what the local cloud's emulator does otherwise than AWS, and what stands in for it.

`make emulator-gaps` writes it into docs/local-cloud.md. tests/unit/test_emulator_gaps.py fails where the two differ, or
where a mend, a rule or a test that is named here does not exist; tests/integration/test_emulator_gaps.py looks at the
emulator itself, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "local-cloud.md"
BEGIN: Final = "<!-- Made by `make emulator-gaps` from tests/emulator_gaps.py. -->"
END: Final = "<!-- End of what is made. -->"

_MENDS = "shop/local/mends.py"
_SCHEDULES = "shop/local/schedules.py"
_INVOCATIONS = "shop/local/invocations.py"
_RULES = "tests/templates/rules.py"
_BEYOND = "tests/templates/test_beyond_the_emulator.py"
_PIPELINE = "tests/templates/test_order_pipeline.py"
_SERVICE = "tests/templates/test_order_service.py"
_REPORT = "tests/templates/test_sales_report.py"
_IMAGES = "tests/templates/test_image_fanout.py"
_STREAM = "tests/unit/test_stream_failures.py"
_REDRIVE = "tests/unit/test_shop_redrive.py"
_FAULTS = "tests/integration/test_faults.py"


@dataclass(frozen=True)
class Gap:
    """One line of the table: something that AWS and the emulator do differently. Texts are Markdown of one line.

    Places are `path::name`, the path from the top of the repository and the name of a function there.
    """

    key: str
    """Names the row's probe."""
    service: str
    aws: str
    emulator: str
    """What the emulator does as it is installed."""
    mend: str = ""
    """The place of what closes the gap in the local cloud; without one the gap is in the local cloud too."""
    stands_in: tuple[str, ...] = ()
    """The places of the rules and tests that show what the local cloud cannot."""
    not_probed: str = ""
    """Why there is no probe."""


GAPS: Final = (
    Gap(
        key="request-validators",
        service="API Gateway",
        aws="A template's request validator refuses what the model does not allow.",
        emulator="Its CloudFormation drops the validator; everything is let through.",
        mend=f"{_MENDS}::_keep_request_validators",
    ),
    Gap(
        key="model-patterns",
        service="API Gateway",
        aws="`$` in a model's pattern is the end of the text.",
        emulator="A newline may follow.",
        mend=f"{_MENDS}::_read_patterns_like_ecma",
    ),
    Gap(
        key="whole-numbers",
        service="API Gateway",
        aws="`2.0` is an integer to a model.",
        emulator="It is refused.",
        mend=f"{_MENDS}::_take_whole_numbers_for_integers",
    ),
    Gap(
        key="validation-text",
        service="API Gateway",
        aws="`$context.error.validationErrorString` says what is wrong with a body.",
        emulator="The variable's name stays in the answer.",
        mend=f"{_MENDS}::_explain_refused_bodies",
        stands_in=(f"{_PIPELINE}::test_method_needs_the_api_key_and_validates_the_body",),
    ),
    Gap(
        key="template-conditions",
        service="API Gateway",
        aws="Mapping templates have conditions (`#if`) and can override the status.",
        emulator="Both stay as text.",
        mend=f"{_MENDS}::_render_templates_like_velocity",
    ),
    Gap(
        key="template-request-id",
        service="API Gateway",
        aws="Mapping templates know the request's id.",
        emulator="`$context.requestId` is empty.",
        mend=f"{_MENDS}::_render_templates_like_velocity",
    ),
    Gap(
        key="queue-errors",
        service="API Gateway",
        aws="Response templates get an error of SQS as JSON.",
        emulator="They get XML.",
        mend=f"{_MENDS}::_answer_queue_errors_as_json",
    ),
    Gap(
        key="paths-as-sent",
        service="API Gateway",
        aws="A path is routed as it was sent: `a%2Fb` is one part of it.",
        emulator="The path is decoded first.",
        mend=f"{_MENDS}::_keep_paths_as_sent",
    ),
    Gap(
        key="function-request-id",
        service="API Gateway",
        aws="A function's `requestContext.requestId` is the answer's `x-amzn-RequestId`.",
        emulator="The two differ.",
        mend=f"{_MENDS}::_tell_functions_the_request_id",
    ),
    Gap(
        key="function-errors-hidden",
        service="API Gateway",
        aws="Why a function failed stays inside; the client gets `Internal server error`.",
        emulator="The client gets the function's error.",
        mend=f"{_MENDS}::_hide_why_a_function_failed",
    ),
    Gap(
        key="root-signatures",
        service="API Gateway",
        aws="A wrong signature is refused, whoever's it is.",
        emulator="Whoever names the account's own access key is let in.",
        mend=f"{_MENDS}::_check_root_signatures",
    ),
    Gap(
        key="signature-scope",
        service="API Gateway",
        aws="A signature is good for one region and service.",
        emulator="It is good for all.",
        mend=f"{_MENDS}::_check_signatures_scope",
    ),
    Gap(
        key="integration-role",
        service="API Gateway",
        aws="An API sends to a queue only what its role may send.",
        emulator="The role is not looked at.",
        stands_in=(
            f"{_BEYOND}::test_each_api_may_send_to_its_queue",
            f"{_PIPELINE}::test_queue_is_closed_to_all_but_its_own",
        ),
    ),
    Gap(
        key="function-policies",
        service="API Gateway",
        aws="An API invokes a function only if the function's policy lets it.",
        emulator="The policy is not looked at.",
        stands_in=(
            f"{_BEYOND}::test_each_api_may_invoke_its_functions",
            f"{_SERVICE}::test_only_this_api_may_invoke_the_function",
        ),
    ),
    Gap(
        key="access-logs",
        service="API Gateway",
        aws="Each request is a line in the stage's access log.",
        emulator="Its CloudFormation drops the setting; there are no lines.",
        stands_in=(f"{_RULES}::apis_are_logged_without_data",),
    ),
    Gap(
        key="api-addresses",
        service="API Gateway",
        aws="An API has an address of its own, `<id>.execute-api.<region>.amazonaws.com`.",
        emulator="That name does not lead to it.",
        mend="shop/local/outputs.py::reachable",
        stands_in=("tests/integration/test_local_cloud.py::test_the_endpoint_is_reached_by_curl_as_it_stands",),
        not_probed="the name is AWS's: asking for it would leave the machine",
    ),
    Gap(
        key="runtime",
        service="Lambda",
        aws="A function runs on the Python and the processor that it asks for.",
        emulator="It runs on the emulator's own Python and the machine's processor.",
        stands_in=(f"{_PIPELINE}::test_on_aws_functions_are_arm64_and_python_3_13",),
    ),
    Gap(
        key="memory-limit",
        service="Lambda",
        aws="A function that takes more memory than it has is killed.",
        emulator="It goes on.",
        stands_in=("tests/unit/test_image_resize_memory.py::test_the_largest_image_of_each_kind_fits",),
    ),
    Gap(
        key="response-size",
        service="Lambda",
        aws="An answer of more than 6 MB is an error.",
        emulator="It is passed on.",
        stands_in=(
            "tests/unit/test_order_service.py::test_an_answer_too_large_for_lambda_is_refused",
            "tests/unit/test_sales_data_extractor.py::test_more_than_lambda_can_answer_has_a_name",
        ),
    ),
    Gap(
        key="functions-network",
        service="Lambda",
        aws="A function in a VPC reaches what its subnets and security groups let it.",
        emulator="The VPC is ignored; it reaches everything.",
        stands_in=(
            f"{_REPORT}::test_functions_reach_mariadb_in_the_vpc_only",
            f"{_RULES}::security_groups_admit_groups_only",
            f"{_RULES}::networks_have_no_way_out",
        ),
    ),
    Gap(
        key="function-json-logs",
        service="Lambda",
        aws="A function with JSON logs has its lines, from `INFO` on, and Lambda's own as JSON.",
        emulator="The log format is ignored; only warnings and errors are logged, as text.",
        mend=f"{_MENDS}::_log_like_lambda",
    ),
    Gap(
        key="log-lines",
        service="Lambda",
        aws="All that a function writes is logged.",
        emulator="What it writes last is missing, or comes with its next invocation, when the machine is busy.",
        mend="shop/local/log_lines.py::mend",
        stands_in=("tests/unit/test_local_function_logs.py::test_what_is_read_late_is_logged_with_its_invocation",),
        not_probed="what is missing depends on how busy the machine is",
    ),
    Gap(
        key="invocation-status",
        service="Lambda",
        aws="The report of an invocation says whether it failed or timed out.",
        emulator="It does not.",
        mend=f"{_MENDS}::_log_like_lambda",
    ),
    Gap(
        key="memory-used",
        service="Lambda",
        aws="The report of an invocation says how much memory it took.",
        emulator="It says how much the largest of all its processes took; the local cloud leaves that out.",
        stands_in=("tests/unit/test_shop_logs.py::test_reports_are_read_in_both_forms",),
        not_probed="the figure is that of whatever ran before",
    ),
    Gap(
        key="error-names",
        service="Lambda",
        aws="The `errorType` of a function that raises is the class of the error.",
        emulator="Each is a `Runtime.HandlerError`.",
        mend=f"{_INVOCATIONS}::mend",
    ),
    Gap(
        key="failure-records",
        service="Lambda",
        aws="A failure destination's record says how often the function was tried.",
        emulator="It says 3 whatever was set.",
        mend=f"{_INVOCATIONS}::mend",
    ),
    Gap(
        key="invoke-config-qualifier",
        service="Lambda",
        aws="`GetFunctionEventInvokeConfig` without a qualifier finds what a template sets for `$LATEST`.",
        emulator="It is found with the qualifier only.",
        stands_in=(f"{_REPORT}::test_a_failed_report_is_tried_twice_more_and_kept",),
    ),
    Gap(
        key="mapping-rights",
        service="Lambda",
        aws="A function reads a queue or a stream only if its role may.",
        emulator="The role is not looked at for that; it is for all that the function's code does.",
        stands_in=(f"{_BEYOND}::test_each_function_may_read_its_event_sources",),
    ),
    Gap(
        key="stream-partial-batches",
        service="Lambda",
        aws="A stream's batch comes again from the first record that the function reports as failed.",
        emulator="The report counts as success.",
        mend=f"{_MENDS}::_retry_streams_from_the_first_failure",
        stands_in=(f"{_STREAM}::test_an_entry_refused_for_good_ends_in_the_failure_queue_alone_unannounced",),
    ),
    Gap(
        key="stream-retries",
        service="Lambda",
        aws="A stream's failing batch is cut in two, and tried as often as the mapping says.",
        emulator="The whole batch is tried again, about once a second, until its records are too old.",
        stands_in=(
            f"{_STREAM}::test_a_poisoned_record_is_tried_as_often_as_the_mapping_says",
            f"{_STREAM}::test_a_deadly_order_is_cut_out_of_its_batch",
            f"{_PIPELINE}::test_notifier_reads_the_stream_as_the_tests_of_its_failures_do",
        ),
    ),
    Gap(
        key="poll-threads",
        service="Lambda",
        aws="Queues and streams are read independently of each other.",
        emulator="One thread reads them all: a function that takes long over a stream's batch delays the queues.",
        stands_in=("tests/unit/test_drain.py::test_pollers_come_five_a_second",),
        not_probed="it shows in times only, and those are not the same twice",
    ),
    Gap(
        key="move-task",
        service="SQS",
        aws="`StartMessageMoveTask` empties a dead-letter queue.",
        emulator="There is no such action; `dlq redrive` receives, sends and deletes instead.",
        stands_in=(
            f"{_REDRIVE}::test_sqs_moves_a_whole_queue_itself_where_it_can",
            f"{_REDRIVE}::test_where_sqs_cannot_move_it_is_done_here",
        ),
    ),
    Gap(
        key="repeated-deliveries",
        service="SQS",
        aws="A standard queue may deliver a message twice, and in any order.",
        emulator="It delivers each once, in order, unless it is not deleted in time.",
        stands_in=(f"{_FAULTS}::test_messages_delivered_twice_and_out_of_order",),
        not_probed="AWS does it seldom, and nothing makes it",
    ),
    Gap(
        key="batch-rights",
        service="IAM",
        aws="A batch call of SNS or SQS needs the right to the single call.",
        emulator="It needs one that AWS does not have, such as `sqs:SendMessageBatch`.",
        mend=f"{_MENDS}::_check_batch_calls_as_their_action",
    ),
    Gap(
        key="partiql-rights",
        service="IAM",
        aws="A PartiQL statement needs `dynamodb:PartiQLInsert` (`Update`, `Delete`, `Select`) on its table.",
        emulator="It needs an action named after the call, which AWS does not have.",
        mend=f"{_MENDS}::_check_partiql_permissions",
    ),
    Gap(
        key="parameter-paths",
        service="IAM",
        aws="`GetParametersByPath` needs the right to its path.",
        emulator="It needs the right to all parameters.",
        mend=f"{_MENDS}::_check_parameter_paths",
    ),
    Gap(
        key="role-sessions",
        service="IAM",
        aws="`aws:PrincipalArn` of a role's session is the role.",
        emulator="It is the session, so that a denial that excepts a role excepts nobody.",
        mend=f"{_MENDS}::_compare_roles_by_their_own_arn",
    ),
    Gap(
        key="key-rights",
        service="KMS",
        aws="Who publishes to an encrypted topic, person or service, must be allowed to use its key.",
        emulator="The right to publish is enough. No service needs a right to a key.",
        stands_in=(
            f"{_RULES}::topics_have_a_key_that_publishers_may_use",
            f"{_IMAGES}::test_s3_and_alarms_and_no_other_service_may_use_the_key",
        ),
    ),
    Gap(
        key="e-mail",
        service="SNS",
        aws="An e-mail subscriber is asked to confirm, and then gets mail.",
        emulator="It is confirmed at once and gets nothing; `python -m shop mailbox` shows what it would get.",
        stands_in=(
            "tests/integration/test_local_cloud.py"
            "::test_the_mailbox_keeps_each_message_once_whoever_subscribes_or_reads_again",
            f"{_REPORT}::test_reports_are_mailed_to_whom_the_settings_name",
            f"{_IMAGES}::test_events_are_mailed_to_whom_the_settings_name",
        ),
    ),
    Gap(
        key="partiql-stream",
        service="DynamoDB",
        aws="An item that PartiQL inserts is in the table's stream.",
        emulator="It is not.",
        mend=f"{_MENDS}::_stream_partiql_inserts",
    ),
    Gap(
        key="expressions",
        service="DynamoDB",
        aws="A malformed update or projection expression is refused.",
        emulator="What can be made of it is carried out.",
        mend=f"{_MENDS}::_check_expressions",
    ),
    Gap(
        key="point-in-time-recovery",
        service="DynamoDB",
        aws="A template's point-in-time recovery is on.",
        emulator="Its CloudFormation drops it.",
        stands_in=(f"{_RULES}::tables_can_be_restored",),
    ),
    Gap(
        key="restore-in-time",
        service="DynamoDB",
        aws="A table is restored as it was at the second that is asked for.",
        emulator="It is restored as it is now.",
        stands_in=(
            f"{_RULES}::tables_can_be_restored",
            "tests/unit/test_shop_restore.py::test_what_is_missing_is_copied_as_it_was_and_all_else_stays",
        ),
    ),
    Gap(
        key="deletion-protection",
        service="DynamoDB",
        aws="A protected table cannot be deleted, with its stack neither.",
        emulator="It is deleted with its stack.",
        stands_in=(f"{_RULES}::data_is_kept", f"{_PIPELINE}::test_prod_refuses_deletion"),
    ),
    Gap(
        key="services-fail",
        service="DynamoDB",
        aws="As every service, it throttles, fails for a moment, or answers too late.",
        emulator="It does none of that.",
        stands_in=(
            f"{_FAULTS}::test_a_table_that_fails_for_a_moment",
            f"{_FAULTS}::test_a_table_that_answers_too_late",
            f"{_FAULTS}::test_a_table_that_does_half_a_batch",
        ),
        not_probed="nothing makes AWS do it; the tests do it with a proxy",
    ),
    Gap(
        key="bucket-lifecycle",
        service="S3",
        aws="Objects and old versions expire as the template says.",
        emulator="Its CloudFormation drops the rules; all stays.",
        stands_in=(
            f"{_IMAGES}::test_originals_expire_and_results_stay",
            f"{_RULES}::buckets_are_private_encrypted_and_versioned",
        ),
    ),
    Gap(
        key="long-keys",
        service="S3",
        aws="A key has at most 1,024 bytes.",
        emulator="It may be longer.",
        stands_in=("tests/unit/test_image_resizer_events.py::test_a_results_key_is_as_long_as_s3_takes_and_no_longer",),
    ),
    Gap(
        key="database-endpoints",
        service="RDS",
        aws="A database is a server, with the master user and the database that the template names.",
        emulator="It is a record whose address leads nowhere.",
        mend="shop/local/rds.py::mend",
        stands_in=(
            "tests/integration/test_local_database.py::test_an_instance_has_a_master_user_as_on_rds",
            "tests/integration/test_sales_report.py::test_an_order_shows_in_its_days_report",
        ),
        not_probed="the address is AWS's: asking for it would leave the machine",
    ),
    Gap(
        key="schedule-time-zone",
        service="EventBridge Scheduler",
        aws="A schedule is read in its time zone.",
        emulator="Its CloudFormation drops the zone; all is UTC.",
        mend=f"{_SCHEDULES}::mend",
    ),
    Gap(
        key="schedule-inputs",
        service="EventBridge Scheduler",
        aws="`<aws.scheduler.scheduled-time>` and the like are filled in.",
        emulator="They stay as they are written.",
        mend=f"{_SCHEDULES}::mend",
    ),
    Gap(
        key="scheduled-failures",
        service="EventBridge Scheduler",
        aws="A scheduled function that fails is tried again, and recorded in its failure destination.",
        emulator="It runs once, and nobody hears of its failure.",
        mend=f"{_INVOCATIONS}::mend",
    ),
    Gap(
        key="schedule-role",
        service="EventBridge Scheduler",
        aws="A schedule does only what its role may do.",
        emulator="The role is not looked at.",
        stands_in=(f"{_REPORT}::test_schedules_role_may_start_the_report_and_send_to_its_dead_letters",),
    ),
    Gap(
        key="schedule-dead-letters",
        service="EventBridge Scheduler",
        aws="What a schedule could not start ends in its dead-letter queue.",
        emulator="It is lost.",
        stands_in=(f"{_RULES}::schedules_have_an_end_for_failures",),
    ),
    Gap(
        key="service-metrics",
        service="CloudWatch",
        aws="Services measure themselves: a queue's depth, a function's errors.",
        emulator="There are no such metrics, and alarms on them stay as they are.",
        stands_in=(
            f"{_RULES}::dead_letters_raise_an_alarm",
            f"{_RULES}::sources_that_nobody_reads_raise_an_alarm",
            f"{_RULES}::alarms_act_and_name_their_runbook_entry",
        ),
    ),
    Gap(
        key="embedded-metrics",
        service="CloudWatch",
        aws="Metrics in a function's log lines (embedded metric format) are taken out of them.",
        emulator="They stay in the log.",
        stands_in=("tests/unit/test_metrics.py::test_counts_are_metrics_of_the_stage",),
    ),
    Gap(
        key="log-pages",
        service="CloudWatch",
        aws="Log events come in pages, each with a token for the next.",
        emulator="There is one page, and what does not fit into it cannot be had.",
        mend=f"{_MENDS}::_page_log_events",
    ),
    Gap(
        key="metric-math",
        service="CloudWatch",
        aws="An alarm can watch an expression over metrics.",
        emulator="Such an alarm never has a state; the stacks have none.",
        stands_in=(f"{_BEYOND}::test_no_alarm_watches_an_expression",),
    ),
    Gap(
        key="traces",
        service="X-Ray",
        aws="Each request leaves a trace.",
        emulator="There is no X-Ray.",
        stands_in=(f"{_RULES}::functions_are_traced", f"{_RULES}::apis_are_logged_without_data"),
    ),
    Gap(
        key="outputs-only",
        service="CloudFormation",
        aws="A deployment that changes a stack's outputs alone is carried out.",
        emulator="It is taken for one that changes nothing; `make reset` and `make up` have the new outputs.",
        stands_in=(f"{_PIPELINE}::test_outputs_are_those_that_others_rely_on",),
    ),
    Gap(
        key="secret-references",
        service="CloudFormation",
        aws="`Ref` of a secret is its ARN.",
        emulator="It is the secret's name.",
        mend=f"{_MENDS}::_refer_to_secrets_by_arn",
    ),
    Gap(
        key="network-range",
        service="CloudFormation",
        aws="A VPC has the attribute `CidrBlock`.",
        emulator="A template that asks for it fails.",
        mend=f"{_MENDS}::_give_networks_their_range",
    ),
    Gap(
        key="code-deploy",
        service="CloudFormation",
        aws="CodeDeploy moves functions' aliases little by little, and back on an alarm.",
        emulator="The template is refused. With the mend CodeDeploy's resources do nothing: an alias moves at once.",
        mend=f"{_MENDS}::_take_code_deploy_for_made",
        stands_in=("tests/templates/test_deployments.py::test_prod_deploys_what_serves_little_by_little",),
    ),
    Gap(
        key="flow-logs",
        service="CloudFormation",
        aws="A VPC can have flow logs.",
        emulator="The template is refused; stage `local` has none, by setting.",
        stands_in=(f"{_REPORT}::test_flow_logs_are_as_the_setting_says",),
    ),
    Gap(
        key="separate-group-rules",
        service="CloudFormation",
        aws="A security group's rule can be a resource of its own.",
        emulator="The template is refused; the stacks have rules inside their groups.",
        stands_in=(f"{_REPORT}::test_the_database_admits_mariadb_from_the_functions_group_only",),
    ),
    Gap(
        key="ports",
        service="The emulator itself",
        aws="Its addresses are its own.",
        emulator="With TLS it also takes port 443, where it may.",
        mend=f"{_MENDS}::_listen_on_the_chosen_port_only",
        stands_in=("tests/integration/test_local_cloud.py::test_nothing_listens_beyond_the_chosen_port",),
        not_probed="whether it may depends on the machine",
    ),
)


def table() -> str:
    """The table in Markdown: a section for each service, a line for each gap."""
    return "\n".join(_section(service, list(gaps)) for service, gaps in groupby(GAPS, key=lambda gap: gap.service))


def _section(service: str, gaps: list[Gap]) -> str:
    head = ["On AWS", "The emulator", "Mended", "Shown instead by"]
    rows = [head, ["---"] * len(head), *map(_cells, gaps)]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    return f"### {service}\n\n{lines}\n"


def _cells(gap: Gap) -> list[str]:
    emulator = f"{gap.emulator} (Not probed: {gap.not_probed}.)" if gap.not_probed else gap.emulator
    return [gap.aws, emulator, "yes" if gap.mend else "no", ", ".join(map(_short, gap.stands_in))]


def _short(place: str) -> str:
    return f"`{place.rpartition('::')[2]}`"


def with_table(page: str) -> str:
    """The page's text with the table as it should be between its markers. Raises ValueError without them."""
    before, begin, rest = page.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ValueError(f"{PAGE.name}: no place for the table: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{table()}\n{END}\n{after}"


def main() -> None:
    """Write the table into the page."""
    PAGE.write_text(with_table(PAGE.read_text()))
    print(f"wrote the table of docs/{PAGE.name}")  # noqa: T201 - of a command


if __name__ == "__main__":
    main()

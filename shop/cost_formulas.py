"""What AWS bills for, by service: pure functions from what happens in a month to billed quantities.

A quantity's name is that of its price in shop/prices.json. Each formula names the page that its rule is from. What a
stage consists of is in shop/cost_stage.py, what the shop does with it in shop/cost.py.
"""

import math
from collections.abc import Mapping
from typing import Final

Quantities = Mapping[str, float]

HOURS: Final = 730
"""Of a month, as AWS counts it (AWS Pricing Calculator, "Assumptions")."""
SECONDS: Final = HOURS * 3_600
DAYS: Final = HOURS / 24
GIGABYTE: Final = 1024**3

_MEGABYTES_OF_A_GIGABYTE: Final = 1_024
_REQUEST_BYTES: Final = 64 * 1_024
_WRITE_BYTES: Final = 1_024
_READ_BYTES: Final = 4_096
_POLLERS: Final = 5
_LONG_POLL_SECONDS: Final = 20
_DATA_KEY_SECONDS: Final = 300
_LOG_EVENT_BYTES: Final = 26
_COMPRESSED: Final = 0.15
_SAMPLED: Final = 0.05
_ENVIRONMENT_LIVES_SECONDS: Final = 600
_ROTATIONS_BILLED: Final = 2
_METHOD_METRICS: Final = 5
_FLOW_BYTES: Final = 110
_FLOWS: Final = 4
_FLOW_INTERVAL_SECONDS: Final = 600


def periods_with(events: float, seconds: float) -> float:
    """How many of the month's periods of that length have at least one event, with events at random (Poisson)."""
    periods = SECONDS / seconds
    return periods * -math.expm1(-events / periods)


def mean_batch(items: float, size: int, window_seconds: float, spike_share: float) -> float:
    """How many items a run gets. In spikes batches are full; else a run gets what the window gathers, one at least.

    AWS Lambda Developer Guide, "Configuring scaling behavior for SQS event source mappings": "Batching behavior".
    Without a window a poll returns at once, so that the base load comes one by one.
    """
    steady = min(size, 1 + items / SECONDS * window_seconds)
    return 1 / (spike_share / size + (1 - spike_share) / steady)


def rest_api(requests: float) -> Quantities:
    """Amazon API Gateway pricing, REST APIs: by requests, with the cost of keys and models included."""
    return {"api_gateway.rest_request": requests}


def http_api(requests: float) -> Quantities:
    """Amazon API Gateway pricing, HTTP APIs: by requests of up to 512 KB."""
    return {"api_gateway.http_request": requests}


def sqs(sent: float, runs: float, message_bytes: int = 1_024, batch: float = 1) -> Quantities:
    """Amazon SQS pricing: each call is a request for every 64 KB; a run is one receive and one delete of its batch."""
    return {
        "sqs.request": sent * _steps(message_bytes, _REQUEST_BYTES)
        + runs * (_steps(message_bytes * batch, _REQUEST_BYTES) + 1)
    }


def idle_polling(queues: int) -> Quantities:
    """Receives that find nothing: Lambda keeps five long polls of 20 seconds on each queue.

    AWS Lambda Developer Guide, "Using Lambda with Amazon SQS": "Lambda uses long polling", and "Configuring scaling
    behavior for SQS event source mappings": five concurrent batches to begin with. An upper bound: polls that find
    messages are billed with their run.
    """
    return {"sqs.request": queues * _POLLERS * SECONDS / _LONG_POLL_SECONDS}


def lambda_runs(
    runs: float, run_ms: float, cold_ms: float, memory_mb: int, architecture: str, always_cold: bool = False
) -> Quantities:
    """AWS Lambda pricing: requests, and GB-seconds of durations rounded up to milliseconds, start-up included.

    Start-up is billed for all functions since August 2025 (AWS Compute Blog, "AWS Lambda standardizes billing for INIT
    Phase"). A run is cold where none came in the ten minutes before it, which is how long an environment is assumed to
    live; runs that need one more environment than there are come on top and are not counted.
    """
    cold = runs if always_cold else cold_starts(runs)
    milliseconds = runs * math.ceil(run_ms) + cold * math.ceil(cold_ms)
    gigabytes = memory_mb / _MEGABYTES_OF_A_GIGABYTE
    return {"lambda.request": runs, f"lambda.gb_second_{architecture}": milliseconds / 1_000 * gigabytes}


def cold_starts(runs: float) -> float:
    """How many of the month's runs find no environment that lives still, with runs at random (Poisson)."""
    return runs * math.exp(-runs * _ENVIRONMENT_LIVES_SECONDS / SECONDS)


def kept_snapshots(memory_mb: int) -> Quantities:
    """AWS Lambda pricing, SnapStart: each version's snapshot is cached all month, by the GB-second of its memory.

    `memory_mb` is that of all functions that have one, each with one version: the one before it goes with the next
    update of its stack (docs/decisions/0021).
    """
    return {"lambda.snapshot_gb_second": memory_mb / _MEGABYTES_OF_A_GIGABYTE * SECONDS}


def restored_snapshots(starts: float, memory_mb: int) -> Quantities:
    """AWS Lambda pricing, SnapStart: each environment that starts from a snapshot, by the GB of its memory."""
    return {"lambda.snapshot_restored_gb": starts * memory_mb / _MEGABYTES_OF_A_GIGABYTE}


def write_units(items: float, item_bytes: int) -> Quantities:
    """Amazon DynamoDB pricing, on demand: a write request unit for each KB of an item, rounded up."""
    return {"dynamodb.write_request_unit": items * _steps(item_bytes, _WRITE_BYTES)}


def read_units(items: float, item_bytes: int, *, consistent: bool) -> Quantities:
    """Amazon DynamoDB pricing, on demand: a read request unit for each 4 KB, rounded up; half of it if eventual.

    Reads of a stream by Lambda are free ("You are not charged for GetRecords API calls invoked by AWS Lambda").
    """
    return {"dynamodb.read_request_unit": items * _steps(item_bytes, _READ_BYTES) * (1 if consistent else 0.5)}


def provisioned(write_capacity: float, read_capacity: float) -> Quantities:
    """Amazon DynamoDB pricing, provisioned: capacity units by the hour, used or not."""
    return {
        "dynamodb.write_capacity_unit_hour": write_capacity * HOURS,
        "dynamodb.read_capacity_unit_hour": read_capacity * HOURS,
    }


def table_storage(items: float, item_bytes: int, *, restorable: bool) -> Quantities:
    """Amazon DynamoDB pricing: data with 100 bytes a item for its index, and as much again in continuous backups."""
    gigabytes = items * (item_bytes + 100) / GIGABYTE
    return {"dynamodb.storage": gigabytes, "dynamodb.continuous_backup": gigabytes if restorable else 0.0}


def sns(requests: float, emails: float = 0) -> Quantities:
    """Amazon SNS pricing: a PublishBatch of up to 64 KB is one request; e-mails by delivery, queues for nothing."""
    return {"sns.request": requests, "sns.email": emails}


def s3(writes: float, reads: float, stored_bytes: float) -> Quantities:
    """Amazon S3 pricing, Standard: requests, and bytes stored over the month; deletions are free."""
    return {"s3.write_request": writes, "s3.read_request": reads, "s3.storage": stored_bytes / GIGABYTE}


def database(instance_class: str, storage_gb: int, *, multi_az: bool) -> Quantities:
    """Amazon RDS for MariaDB pricing: instance hours and storage, both twice with a standby.

    Automated backups are free up to the size of the storage; a shop's database changes less than that in its retention.
    """
    instances = 2 if multi_az else 1
    return {f"rds.{instance_class}": instances * HOURS, "rds.storage": float(instances * storage_gb)}


def logs(lines: float, line_bytes: float, kept_months: float) -> Quantities:
    """Amazon CloudWatch pricing: bytes taken in, each event with 26 of its own, and kept compressed to 15 %.

    "PutLogEvents" (API reference) says 26 bytes an event; the pricing page's examples count on 0.15.
    """
    gigabytes = lines * (line_bytes + _LOG_EVENT_BYTES) / GIGABYTE
    return {"cloudwatch.log_ingestion": gigabytes, "cloudwatch.log_storage": gigabytes * kept_months * _COMPRESSED}


def flow_logs(interfaces: int, kept_months: float) -> Quantities:
    """VPC flow logs as vended logs: some flows of each interface every ten minutes, about 110 bytes each."""
    lines = interfaces * _FLOWS * SECONDS / _FLOW_INTERVAL_SECONDS
    return logs(lines, _FLOW_BYTES, kept_months)


def metrics(names: int, events: float) -> Quantities:
    """Amazon CloudWatch pricing, custom metrics: each combination of dimensions, for the hours in which it has data."""
    return {"cloudwatch.metric": names * periods_with(events, 3_600) / HOURS}


def method_metrics(methods: int, requests: float) -> Quantities:
    """Amazon API Gateway, "Detailed metrics": count, 4XX, 5XX, latency and integration latency of each method."""
    return metrics(_METHOD_METRICS * methods, requests)


def watching(alarms: int, dashboards: int) -> Quantities:
    """Amazon CloudWatch pricing: alarms of one metric in standard resolution, and dashboards."""
    return {"cloudwatch.alarm": float(alarms), "cloudwatch.dashboard": float(dashboards)}


def keys(count: int, months: int) -> Quantities:
    """AWS KMS pricing: each key, and once more for the first and the second yearly rotation."""
    return {"kms.key": float(count * (1 + min(_ROTATIONS_BILLED, (months - 1) // 12)))}


def data_keys(events: float, principals: int) -> Quantities:
    """AWS KMS requests of SNS and SQS: a data key is used for five minutes, made by senders and decrypted by takers.

    Amazon SQS Developer Guide, "Estimating AWS KMS costs": requests = billing period / data key reuse period x (2 x
    producers + consumers). Taken for the periods that have messages.
    """
    return {"kms.request": periods_with(events, _DATA_KEY_SECONDS) * (2 + principals)}


def traces(requests: float) -> Quantities:
    """AWS X-Ray pricing, with the default rule: the first request of each second and 5 % of the others."""
    first = periods_with(requests, 1)
    return {"xray.trace": first + _SAMPLED * (requests - first)}


def secrets(count: int) -> Quantities:
    """AWS Secrets Manager pricing: each secret; a deployment's few calls cost nothing to speak of."""
    return {"secrets_manager.secret": float(count)}


def schedules(invocations: float) -> Quantities:
    """Amazon EventBridge pricing, Scheduler: by invocation."""
    return {"scheduler.invocation": invocations}


def nat_gateway() -> Quantities:
    """Amazon VPC pricing: a NAT gateway by the hour; what goes through it, a daily report, is nothing beside that."""
    return {"vpc.nat_gateway_hour": float(HOURS)}


def transfer(responses: float, response_bytes: int) -> Quantities:
    """Amazon EC2 pricing, "Data transfer": what leaves for the internet; what comes in is free."""
    return {"data_transfer.out": responses * response_bytes / GIGABYTE}


def _steps(size: float, step: int) -> int:
    """Billed steps of a size, one at least."""
    return max(1, math.ceil(size / step))

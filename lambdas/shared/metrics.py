"""The shop's own figures as members of a log line, which CloudWatch makes metrics of.

No call is made and nothing is imported for it: the line that a function logs anyway carries them
(docs/decisions/0017-metrics-in-log-lines.md). Source: Amazon CloudWatch User Guide, "Specification: Embedded metric
format"; Lambda's JSON formatter puts what `extra` holds at the top of the line, which is where the format wants it.
"""

import os
import time
from collections.abc import Mapping
from typing import Any, Final

NAMESPACE: Final = "ServerlessShop"
_STAGE: Final = "stage"


def measures(by: Mapping[str, str] | None = None, /, **counts: int) -> dict[str, Any]:
    """Members for a log line's `extra` by which each count becomes a metric of that name, of the stage.

    A condition counts as 1. With `by` (a dimension's value, not empty, by its name) each is a metric of the stage and
    these dimensions as well. A count of zero is not sent: a metric without data says the same and costs nothing.
    """
    sent = {name: int(count) for name, count in counts.items() if count}
    if not sent:
        return {}
    # What a figure is of must never fail an order: without its variable the function still counts.
    members = {_STAGE: os.environ.get("SHOP_STAGE", "unknown"), **(by or {})}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[_STAGE], list(members)] if by else [[_STAGE]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in sent],
    }
    return {"_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}, **members, **sent}

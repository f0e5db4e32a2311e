"""What CloudWatch makes of log lines in the embedded metric format.

Rules: Amazon CloudWatch User Guide, "Specification: Embedded metric format"; API Reference, "MetricDatum", "Dimension".
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from shop.local.function_logs import LambdaJsonFormatter

_MOST_METRICS = 100
_MOST_DIMENSIONS = 30
_LONGEST_VALUE = 1024
_TWO_WEEKS_MS = 14 * 24 * 3600 * 1000


def counts(records: Iterable[logging.LogRecord]) -> Counter[str]:
    """The sum of each metric over the lines of some records, by its name and dimensions: `Made{size=mobile}`.

    The dimension `stage`, which every metric has, is left out.
    """
    found = Counter[str]()
    for record in records:
        for name, dimensions, value in of_line(json.loads(LambdaJsonFormatter().format(record))):
            others = ",".join(f"{key}={text}" for key, text in dimensions.items() if key != "stage")
            found[f"{name}{{{others}}}" if others else name] += value
    return found


def of_line(line: dict[str, Any]) -> list[tuple[str, dict[str, str], int]]:
    """Each metric of a log line with each of its sets of dimensions; fails where CloudWatch would drop it."""
    if "_aws" not in line:
        return []
    assert line["_aws"].keys() == {"Timestamp", "CloudWatchMetrics"}
    assert abs(line["_aws"]["Timestamp"] - time.time() * 1000) < _TWO_WEEKS_MS
    return [found for directive in line["_aws"]["CloudWatchMetrics"] for found in _of_directive(line, directive)]


def _of_directive(line: dict[str, Any], directive: dict[str, Any]) -> Iterable[tuple[str, dict[str, str], int]]:
    assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
    assert directive["Namespace"] == "ServerlessShop"
    assert 1 <= len(directive["Metrics"]) <= _MOST_METRICS
    assert directive["Dimensions"]
    for names in directive["Dimensions"]:
        assert len(names) <= _MOST_DIMENSIONS
        dimensions = {name: line[name] for name in names}
        assert all(isinstance(value, str) and 1 <= len(value) <= _LONGEST_VALUE for value in dimensions.values())
        assert all(value.isascii() and value.strip() for value in dimensions.values())
        for metric in directive["Metrics"]:
            assert metric["Unit"] == "Count"
            assert type(line[metric["Name"]]) is int
            yield metric["Name"], dimensions, line[metric["Name"]]

"""Names that CloudFormation and the CDK made up, as a person knows them."""

import re

_GENERATED = re.compile(r".*-(?P<construct>[A-Za-z0-9]+?)[0-9A-F]{8}-[A-Za-z0-9]+(?P<fifo>\.fifo)?", re.DOTALL)
"""Stack, logical id (the construct's path and the CDK's hash of it), CloudFormation's random end."""


def construct_name(name: str) -> str:
    """Return the construct that a generated name was made from, such as `OrdersQueue`; any other name as it is."""
    generated = _GENERATED.fullmatch(name)
    return name if generated is None else generated["construct"] + (generated["fifo"] or "")


_HASH = re.compile(r"[0-9A-F]{8}(?:[0-9a-f]{32})?\Z")
"""What the CDK puts behind a construct's path to make a logical id."""


def logical_name(logical_id: str) -> str:
    """Return the construct that a logical id of a template was made from; any other id as it is."""
    return _HASH.sub("", logical_id)

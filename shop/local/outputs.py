"""The stacks' outputs as a client of the local cloud can use them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Outputs = dict[str, dict[str, str]]
"""Stack name → output key → value: the form of `cdk deploy --outputs-file`."""

_API_URL = re.compile(r"https://(?P<api>[a-z0-9]+)\.execute-api\.[a-z0-9.-]+?/(?P<stage>[^/?#]+)(?P<path>[^?#]*)")


def reachable(outputs: Mapping[str, Mapping[str, str]], endpoint_url: str) -> Outputs:
    """The outputs with the URLs of APIs turned into ones of the local cloud.

    On AWS an API's host name leads to it; the emulator's addresses carry the API's id and stage in the path.
    """
    return {
        stack: {key: _reachable_url(value, endpoint_url) for key, value in values.items()}
        for stack, values in outputs.items()
    }


def _reachable_url(value: str, endpoint_url: str) -> str:
    match = _API_URL.fullmatch(value)
    if not match:
        return value
    path = match["path"].lstrip("/")
    return f"{endpoint_url}/restapis/{match['api']}/{match['stage']}/_user_request_/{path}"

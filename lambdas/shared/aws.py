"""Calls to AWS in a function whose time is short: clients made fast, short timeouts, names for errors.

The SDK's own retries are off, because they know nothing of the function's timeout; `shared.times` has ours.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

# isort: off
import shared.sdk_import  # noqa: F401 (before all that imports botocore.session)

# isort: on
import botocore.session
from botocore.config import Config as Config  # noqa: PLC0414 (handlers take it from here, after shared.sdk_import)
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 (botocore's name; the built-in one is not used here)
    HTTPClientError,
)
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from shared.aws_tls import look_authorities_up
from shared.log import logger

_CONNECT_SECONDS: Final = 0.5
_READ_SECONDS: Final = 2.0
"""Long enough for a loaded service, short enough that the shortest function (3 s) ends in order after one lost call."""
CLIENT_CONFIG: Final = Config(
    connect_timeout=_CONNECT_SECONDS,
    read_timeout=_READ_SECONDS,
    retries={"total_max_attempts": 1},
    parameter_validation=False,
    disable_request_compression=True,
    user_agent="serverless-shop",
)
"""Of every client. What the SDK does at each call and nobody needs is off (bench/processor_cpu.py): parameters are not
validated, which the service does; no operation used has a request that is compressed; and the header User-Agent is a
fixed text, because the SDK otherwise puts it together from some ten parts, cleaned twice, at each call."""

_SDK_DATA: Final = Path(__file__).resolve().parents[1] / "sdk_data"
"""In a package: what the SDK has to know of the services that the function calls (stacks/constructs/sdk_data.py)."""
_AS_GIVEN: Final = "shop_parameters"
_SERVER_ERROR: Final = 500


def make_client(service: str, config: Config = CLIENT_CONFIG) -> Any:
    """A client of a service, by the SDK's name of it, in the function's region and with its role.

    By botocore, without boto3's layer, which functions do not use; decision 0025 has what that, the package's own data
    and authorities and the one session of all clients save at a cold start. The service has to be written as text where
    this is called, so that its data is packed. Where the runtime's SDK, much older or newer, can make no client of
    that, it reads its own, and the log says so.

    Raises:
        botocore.exceptions.UnknownServiceError: the SDK has no such service.
    """
    if not _SDK_DATA.is_dir():
        return _session().create_client(service, config=config)
    try:
        return _session(_SDK_DATA).create_client(service, config=config)
    except Exception:  # noqa: BLE001 (whatever it is, it would stop all functions at once)
        logger.warning("the SDK reads its own data", exc_info=True)
        return _session().create_client(service, config=config)


def send_as_given(client: Any, operation: str) -> None:
    """Makes a client write the parameters of an operation as they are, all at once, where its service speaks JSON.

    The SDK looks up each nested value in the service's description, a tenth of the time that storing ten orders takes
    (docs/decisions/0002-order-writes.md), and then writes the same: only bytes and times have a form of their own, and
    are refused by TypeError here. Not for operations whose address depends on their parameters, or to which the SDK
    adds a token of its own.
    """
    service = client.meta.service_model
    if getattr(service, "resolved_protocol", "json") != "json":  # older SDKs have one protocol a service, and no name
        return
    event = f"{service.service_id.hyphenize()}.{operation}"

    def keep(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> dict[str, Any]:
        context[_AS_GIVEN] = params
        return {}  # what is left for the SDK to write

    def write(params: dict[str, Any], context: Mapping[str, Any], **_: object) -> None:
        params["body"] = json.dumps(context[_AS_GIVEN]).encode()

    client.meta.events.register(f"provide-client-params.{event}", keep)
    client.meta.events.register(f"before-call.{event}", write)


@functools.cache
def _session(data: Path | None = None) -> botocore.session.Session:
    """Reads the data in a folder and no other; without one the SDK's own."""
    look_authorities_up()
    session = botocore.session.Session()
    if data:
        loader = Loader(extra_search_paths=[str(data)], include_default_search_paths=False)
        session.register_component("data_loader", loader)
    return session


def error_code(error: ClientError | BotoCoreError) -> str:
    """The service's name of the error, or the SDK's where no answer came."""
    return str(error.response["Error"].get("Code")) if isinstance(error, ClientError) else type(error).__name__


def is_transient(error: ClientError | BotoCoreError) -> bool:
    """Whether the same call may succeed a moment later: throttled, failed in the service or on the way."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= _SERVER_ERROR or is_throttled(error_code(error))
    return isinstance(error, (HTTPClientError, ConnectionError, ResponseParserError))


def is_throttled(code: str) -> bool:
    """Whether an error code means "too fast", in the spellings of DynamoDB, SNS and SQS."""
    return "Throttl" in code or code.startswith(
        ("ProvisionedThroughputExceeded", "RequestLimitExceeded", "TooManyRequests")
    )

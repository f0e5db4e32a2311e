"""Answers CloudFormation for a custom resource: whatever happens, it is told, because it waits until it is.

CloudFormation's requests and answers are logged and shown: neither may have a secret in it.
"""

import json
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from shared.log import logger

ANSWER_SECONDS: Final = 5
"""What telling CloudFormation may take; a handler's work must leave that much time."""
_LONGEST_REASON: Final = 500
"""Characters, each of up to 6 bytes of JSON; an answer may have 4,096 ("Custom resource response objects", AWS
CloudFormation User Guide)."""


class WorkFailed(Exception):
    """The work failed for a reason that the text names; any other error's name is put before its text."""


def run(event: Mapping[str, Any], work: Callable[[], None], physical_id: str) -> None:
    """Does the work that a request asks for, and tells CloudFormation the outcome.

    AWS CloudFormation User Guide, "Custom resource request types". `physical_id` is what the resource is known by; with
    another one than before, CloudFormation asks for the deletion of the earlier once all else is updated.
    Whatever the work raises fails the deployment, which names the reason and rolls back; nothing is raised, so that
    Lambda does not try again.
    """
    logger.info("request", extra={"type": event["RequestType"]})
    if event["RequestType"] == "Delete":
        physical_id = event["PhysicalResourceId"]
    try:
        work()
    except Exception as error:  # noqa: BLE001 (CloudFormation waits until it is told)
        reason = (str(error) if isinstance(error, WorkFailed) else f"{type(error).__name__}: {error}")[:_LONGEST_REASON]
        logger.error("request failed", extra={"reason": reason})
        _answer(event, "FAILED", reason, physical_id)
    else:
        _answer(event, "SUCCESS", "", physical_id)


def _answer(event: Mapping[str, Any], status: str, reason: str, physical_id: str) -> None:
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    # The signature of the URL holds for no content type at all.
    request = urllib.request.Request(  # noqa: S310 (CloudFormation's own address)
        event["ResponseURL"], json.dumps(body).encode(), {"Content-Type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:  # noqa: S310
        assert response.status == HTTPStatus.OK  # noqa: S101 (urlopen raises for all others)

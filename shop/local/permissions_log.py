"""Keeps what the emulator decides about requests of roles, for those who prove that a role may do what it needs only.

On only where `VARIABLE` names a file in the environment of who starts the cloud; see tests/permissions. The emulator's
own services (API Gateway, Scheduler, event source mappings, log delivery) ask nobody, so nothing of theirs is here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from shop.local import mending

VARIABLE = "SHOP_PERMISSIONS_LOG"


def mend() -> None:
    """Have each decision about an assumed role appended to the file that VARIABLE names. Raises MendError.

    A JSON object a line: `role` and `session` (names; a function's session has a name of the emulator's choice),
    `action` (`service:Action`), `resource` (an ARN, or `*`) and `allowed`.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted:
        _record(Path(wanted))


def _record(file: Path) -> None:
    evaluator = mending.module("core.iam_evaluator")
    account = mending.module("core.responses").get_account_id

    def enforce(original: Any) -> Any:
        def decide(access_key_id: str, iam_action: str, service: str, region: str, *rest: Any, **named: Any) -> Any:
            refusal = original(access_key_id, iam_action, service, region, *rest, **named)
            role = _role(evaluator.resolve_credential(access_key_id or "", account()))
            if role:
                resource = rest[0] if rest else named.get("resource_arn", "*")
                line = {**role, "action": iam_action, "resource": resource, "allowed": refusal is None}
                # One write of a short line to a file that is open for appending: no lines of two threads mix.
                with file.open("a") as log:
                    log.write(json.dumps(line) + "\n")
            return refusal

        return decide

    mending.wrap(evaluator, "enforce", enforce)


def _role(credential: Any) -> dict[str, str] | None:
    """Role and session by the ARN of an assumed role; None for all other callers."""
    arn = str(getattr(credential, "principal_arn", ""))
    _, found, name = arn.partition(":assumed-role/")
    if not found:
        return None
    role, _, session = name.partition("/")
    return {"role": role, "session": session}

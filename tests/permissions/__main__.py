"""Proves the permissions on a local cloud of its own, and writes what it found into docs/security.md.

    python -m tests.permissions [--check]

It fails, naming each, where a permission is granted and neither used nor listed with a reason, where one that is listed
is used after all, where a scenario works without a permission that it needs, and where a role may do what it must not.
`--check` writes nothing and fails too where the document would change.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shop.local import cloud as local_cloud
from shop.local import permissions_log, process
from tests.permissions import document, proof
from tests.permissions.forbidden import Attempt, attempts, is_denied
from tests.permissions.grants import Grant
from tests.permissions.proof import Proof
from tests.permissions.scenarios import AT_DEPLOYMENT, SCENARIOS, TAKEN_AWAY, Scenario, TakenAway
from tests.permissions.shop import DeployedPolicy, Shop, covers
from tests.polling import eventually

_PATIENCE_SECONDS = 90.0
_RECORD = "permissions.jsonl"


class NotProven(Exception):
    """What the systems do is not what their permissions say; the text has a line for each finding."""


def say(text: str) -> None:
    """Tells a person how far the proof is."""
    print(text, flush=True)  # noqa: T201


def main() -> None:
    """Run the proof; the process ends with 1 where it fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.permissions", description="Proves the roles' permissions.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the document would change")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        with deployed() as shop:
            found = prove(shop)
        publish(found, check=options.check)
    except (NotProven, AssertionError) as failure:
        sys.exit(f"error: {failure}")
    say(f"Proven in {time.monotonic() - started:.0f} s")


@contextmanager
def deployed() -> Iterator[Shop]:
    """A cloud of its own whose decisions are recorded from its deployment on."""
    with tempfile.TemporaryDirectory(prefix="permissions-") as temporary:
        folder = Path(temporary).resolve()
        log = folder / _RECORD
        os.environ[permissions_log.VARIABLE] = str(log)
        try:
            cloud = local_cloud.up(folder, port=process.any_free_port(), progress=say)
            yield Shop(cloud, folder, log, json.loads((folder / "outputs.json").read_text()))
        finally:
            local_cloud.down(folder, progress=say)


def prove(shop: Shop) -> Proof:
    """What the deployed systems show. Raises NotProven."""
    granted = {grant: (policy.role, arn) for policy in shop.policies for grant, arn in policy.grants()}
    used = used_permissions(shop, granted)
    taken = {(one.role, one.action): take_away(shop, one) for one in TAKEN_AWAY}
    return Proof(used, taken, try_what_is_forbidden(shop))


def used_permissions(shop: Shop, granted: dict[Grant, tuple[str, str]]) -> dict[Grant, str]:
    """The first scenario that used each permission, the deployment being the first of all. Raises NotProven."""
    used: dict[Grant, str] = {}

    def note(scenario: str, since: int) -> None:
        for use in shop.uses(since):
            for grant, (role, arn) in granted.items():
                if use.allowed and use.role == role and covers(grant.action, arn, use):
                    used.setdefault(grant, scenario)

    note(AT_DEPLOYMENT, 0)
    for scenario in SCENARIOS:
        say(f"Used: {scenario.name}")
        since = shop.mark()
        complete(shop, scenario, scenario.begin(shop))
        note(scenario.name, since)
    problems = [f"granted, never used, and not listed: {grant}" for grant in proof.unexplained(granted, used)]
    problems += [f"listed as not shown, but used: {grant}" for grant in proof.used_after_all(used)]
    if problems:
        raise NotProven("\n".join(problems))
    return used


def complete(shop: Shop, scenario: Scenario, token: Any) -> None:
    """Waits until all of a scenario has happened. Raises AssertionError."""
    eventually(
        lambda: scenario.done(shop, token), timeout=_PATIENCE_SECONDS, describe=lambda: f"{scenario.name}: {token!r}"
    )


def take_away(shop: Shop, one: TakenAway) -> str:
    """Shows that a scenario fails without a permission and works with it; the scenario's name. Raises NotProven."""
    say(f"Taken away: {one.role} {one.action}")
    scenario = one.scenario
    with without(shop, one) as role:
        since = shop.mark()
        token = scenario.begin(shop)
        eventually(lambda: _is_refused(shop, since, role, one.action), timeout=_PATIENCE_SECONDS)
        if scenario.done(shop, token):
            raise NotProven(f"without {one.action} of {one.role} this works all the same: {scenario.name}")
    again = scenario.begin(shop)
    complete(shop, scenario, again)
    if scenario.retried:
        complete(shop, scenario, token)
    return scenario.name


@contextmanager
def without(shop: Shop, one: TakenAway) -> Iterator[str]:
    """A role without a permission for a while; gives the role's physical name."""
    policies = [item for item in shop.policies if (item.policy.system, item.policy.role) == (one.system, one.role)]
    for policy in policies:
        _put(shop, policy, policy.without(one.action))
    # What a process has read once it keeps, and it would not ask again.
    shop.end_workers(one.system, one.role)
    try:
        yield policies[0].role
    finally:
        for policy in policies:
            _put(shop, policy, policy.document)


def _put(shop: Shop, policy: DeployedPolicy, content: dict[str, Any]) -> None:
    shop.client("iam").put_role_policy(RoleName=policy.role, PolicyName=policy.name, PolicyDocument=json.dumps(content))


def _is_refused(shop: Shop, since: int, role: str, action: str) -> bool:
    return any(use.role == role and use.action == action and not use.allowed for use in shop.uses(since))


def try_what_is_forbidden(shop: Shop) -> dict[str, tuple[tuple[str, ...], int]]:
    """Of each attempt the roles that it is for, and how many others it was denied to. Raises NotProven."""
    tried, roles = attempts(), sorted(shop.roles().items())
    problems = []
    for (_, role), physical_name in roles:
        say(f"Forbidden: {role}")
        clients = _clients(shop, physical_name)
        problems += [problem for attempt in tried if (problem := _problem(attempt, role, shop, clients))]
    problems += [
        f"no such role: {role} ({attempt.what})"
        for attempt in tried
        for role in attempt.may - {role for (_, role), _ in roles}
    ]
    if problems:
        raise NotProven("\n".join(problems))
    return {attempt.what: (tuple(sorted(attempt.may)), len(roles) - len(attempt.may)) for attempt in tried}


def _clients(shop: Shop, role: str) -> Callable[[str], Any]:
    session, made = shop.as_role(role), dict[str, Any]()

    def clients(service: str) -> Any:
        if service not in made:
            made[service] = shop.client_of(session, service)
        return made[service]

    return clients


def _problem(attempt: Attempt, role: str, shop: Shop, clients: Callable[[str], Any]) -> str | None:
    if is_denied(attempt, shop, clients) == (role not in attempt.may):
        return None
    return f"{role} {'may not' if role in attempt.may else 'may'} {attempt.what}"


def publish(found: Proof, *, check: bool) -> None:
    """Writes the proof and the document's tables; with `check` only compares them. Raises NotProven."""
    wanted = {proof.FILE: proof.as_json(found), document.FILE: document.with_tables(document.FILE.read_text(), found)}
    for file, text in wanted.items():
        if not check:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            raise NotProven(f"{file.name} is not what the proof found: run make prove-permissions")


if __name__ == "__main__":
    main()

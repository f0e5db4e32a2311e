"""What the delivery stack is told: for which repository, stages and identity provider (docs/delivery.md)."""

import re
from collections.abc import Mapping
from typing import Any

from stacks.settings import APPLICATION, STAGES, SettingsError

STACK_NAME = f"{APPLICATION}-delivery"
SETTINGS = ("github", "stages", "oidc_provider_arn", "qualifier")
ISSUER = "token.actions.githubusercontent.com"

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?"
_REPOSITORY = re.compile(rf"{_NAME}(?:@(?P<owner>[0-9]+))?/[A-Za-z0-9._-]{{1,100}}(?:@(?P<repository>[0-9]+))?")
_PROVIDER_ARN = re.compile(rf"arn:[a-z-]+:iam::[0-9]{{12}}:oidc-provider/{re.escape(ISSUER)}")
_QUALIFIER = re.compile(r"[a-z0-9]{1,10}")


class DeliverySettings:
    """For whom the roles are, read from the CDK context.

    `github` is OWNER/REPOSITORY as the token's subject has it, with their ids (OWNER@1/REPOSITORY@2) where the
    repository has immutable subject claims (GitHub Docs, "OpenID Connect reference"); `stages` are those of this
    account (default `dev,prod`); `oidc_provider_arn` an identity provider for GitHub that the account has already,
    since IAM takes one of a kind; `qualifier` that of the CDK bootstrap.

    Raises SettingsError with one line that names the setting, the value and the rule.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        given = {key: value for key, value in context.items() if not any(mark in key for mark in ":@/")}
        for name in given.keys() - set(SETTINGS):
            raise SettingsError(f"{name}: unknown setting of the delivery stack; there are {', '.join(SETTINGS)}")
        self.github = _repository(given.get("github", ""))
        self.stages = _stages(given.get("stages", "dev,prod"))
        self.provider_arn: str | None = given.get("oidc_provider_arn")
        if self.provider_arn is not None and not _PROVIDER_ARN.fullmatch(self.provider_arn):
            raise SettingsError(
                f"oidc_provider_arn: {self.provider_arn!r} is refused: Expected an ARN such as "
                f"arn:aws:iam::111122223333:oidc-provider/{ISSUER}"
            )
        self.qualifier: str = given.get("qualifier", "hnb659fds")
        if not _QUALIFIER.fullmatch(self.qualifier):
            raise SettingsError(
                f"qualifier: {self.qualifier!r} is refused: Expected 1-10 lower-case letters and digits, "
                "as given to cdk bootstrap"
            )


def _repository(name: str) -> str:
    match = _REPOSITORY.fullmatch(name)
    is_address = name.endswith(".git")  # which GitHub allows in no repository's name
    if match is None or is_address or (match["owner"] is None) != (match["repository"] is None):
        raise SettingsError(
            f"github: {name!r} is refused: Expected OWNER/REPOSITORY without repo:, https:// and .git, or "
            "OWNER@ID/REPOSITORY@ID where the repository's subject claims are immutable"
        )
    return name


def _stages(names: str) -> list[str]:
    stages = [name.strip() for name in names.split(",")]
    deployable = [stage for stage in STAGES if stage != "local"]
    for name in stages:
        if name not in deployable or stages.count(name) > 1:
            raise SettingsError(f"stages: {name!r} is refused: Expected some of {', '.join(deployable)}, each once")
    return stages

"""Where the database is and who the extractor signs in as: Parameter Store, and Secrets Manager for a password."""

import json
from typing import TYPE_CHECKING, Final

from sales_report.extractor import ReportFailed

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

_NAMES: Final = ("dbUrl", "dbName", "dbUser")


def read_parameters(ssm: "SSMClient", path: str) -> dict[str, str]:
    """`dbUrl`, `dbName` and `dbUser` from below a path such as `/dev/cafe/`; others there are left alone.

    Raises:
        ReportFailed: one of them is missing.
    """
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path)
    found = {
        parameter["Name"].rpartition("/")[2]: parameter["Value"] for page in pages for parameter in page["Parameters"]
    }
    missing = [name for name in _NAMES if name not in found]
    if missing:
        raise ReportFailed(f"Parameter Store has no {path.rstrip('/')}/{missing[0]}")
    return {name: found[name] for name in _NAMES}


def read_password(secrets: "SecretsManagerClient", secret: str) -> str:
    """The `password` in a secret that is a JSON object.

    Raises:
        ReportFailed: it has none; the text quotes nothing of the secret.
    """
    text = secrets.get_secret_value(SecretId=secret)["SecretString"]
    try:
        password = json.loads(text)["password"]
    except (ValueError, KeyError, TypeError):
        password = None
    if not isinstance(password, str):
        # Outside the handler above: a decoding error carries the text that it could not decode.
        raise ReportFailed(f"secret {secret}: is not a JSON object with a password")
    return password

"""The token that stands in for a password where the database trusts IAM: signed here, with no call to AWS."""

import os
from typing import Final

import botocore.session
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

_LIFETIME_SECONDS: Final = 900
"""Amazon RDS User Guide, "IAM database authentication": a token can be used for 15 minutes, a connection longer."""


def sign_in_token(host: str, port: int, user: str) -> str:
    """A token by which the function's role signs in as `user`; needs the right to `rds-db:connect` as that user.

    The same text as the SDK's `generate_db_auth_token`, for which all of the RDS API's description would be loaded.

    Raises:
        RuntimeError: there are no credentials to sign with.
    """
    credentials = botocore.session.get_session().get_credentials()
    if credentials is None:
        raise RuntimeError("no AWS credentials to sign the database's token with")
    request = AWSRequest("GET", f"https://{host}:{port}/", params={"Action": "connect", "DBUser": user})
    region = os.environ["AWS_REGION"]
    SigV4QueryAuth(credentials.get_frozen_credentials(), "rds-db", region, expires=_LIFETIME_SECONDS).add_auth(request)
    return str(request.url).removeprefix("https://")

"""boto3 clients for the local cloud that nothing in the user's environment can send elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from shop.local.cloud import Cloud


def session(cloud: Cloud) -> boto3.session.Session:
    """A session with the cloud's root credentials that reads neither profiles nor files of the user's."""
    nothing = (None, None, os.devnull, None)
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nothing,
            "credentials_file": nothing,
        }
    )
    return boto3.session.Session(
        aws_access_key_id=cloud.access_key_id,
        aws_secret_access_key=cloud.secret_access_key,
        region_name=cloud.region,
        botocore_session=core,
    )


def client(cloud: Cloud, service: str) -> Any:
    """A client of that service in the local cloud."""
    return session(cloud).client(
        service,  # type: ignore[call-overload]
        endpoint_url=cloud.endpoint_url,
        verify=cloud.ca_bundle,
        # A proxy has no business on the loopback address; without it botocore takes the environment's.
        config=Config(proxies={}, retries={"mode": "standard"}),
    )

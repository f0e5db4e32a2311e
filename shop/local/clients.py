"""boto3 clients for the local cloud that nothing in the user's environment can send elsewhere."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from shop.local.cloud import Cloud


@functools.cache
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


def client(cloud: Cloud, service: str, config: Config | None = None) -> Any:
    """A client of that service in the local cloud; `config` adds to what the cloud needs."""
    # A proxy has no business on the loopback address; without this botocore takes the environment's.
    closed = Config(proxies={}, connect_timeout=5, retries={"mode": "standard"})
    return session(cloud).client(
        service,  # type: ignore[call-overload]
        endpoint_url=cloud.endpoint_url,
        verify=cloud.ca_bundle,
        config=closed.merge(config) if config else closed,
    )

"""Where the functions' clients, which are made at import, find a region and credentials that lead nowhere."""

import os

from tests.unit.cloudformation import answers

__all__ = ["answers"]  # a fixture, for all modules here

for _name, _value in {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}.items():
    os.environ[_name] = _value
for _name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
    os.environ.pop(_name, None)

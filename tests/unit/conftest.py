"""What all modules here share: a clock, and an environment in which functions' clients reach nobody."""

import os
import time

import pytest

from tests.unit import quick_moto
from tests.unit.cloudformation import answers
from tests.unit.fakes import Clock

__all__ = ["answers"]  # a fixture, for all modules here

for _name, _value in {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}.items():
    os.environ[_name] = _value
for _name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
    os.environ.pop(_name, None)

quick_moto.install()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that a function has left, which sleeping uses up at once."""
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock

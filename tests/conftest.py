"""For all tests: the project's Node, and what is to be known before the first test is read."""

import gc
import os

import pytest

from shop.local import tools
from tests.templates import inputs

__all__ = ["inputs"]

# The CDK takes about half the time with the Node that the project runs on of what it takes with an older one on PATH.
os.environ.setdefault("JSII_NODE", str(tools.node()))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep the garbage collector from what lives as long as the session: looking at it took a fifth of the CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)

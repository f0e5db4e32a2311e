"""For all tests: the project's Node, and what is to be known before the first test is read."""

import os

from shop.local import tools
from tests.templates import inputs

__all__ = ["inputs"]

# The CDK takes about half the time with the Node that the project runs on of what it takes with an older one on PATH.
os.environ.setdefault("JSII_NODE", str(tools.node()))

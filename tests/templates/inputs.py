"""What the templates are made from, as it was when the tests began.

tests/conftest.py imports this before anything imports the stacks, so that what is kept of a synthesis is never code of
one moment under the digest of another: whoever edits while tests run is not shown templates of before for good.
"""

from pathlib import Path

from shop.local.deployment import fingerprint

ROOT = Path(__file__).parents[2]
_INPUTS = (
    "app.py", "cdk.json", "stacks", "lambdas", "requirements.txt", "requirements-dev.txt",
    "tests/templates/synthesis.py", "tests/templates/cdk.py",
)  # fmt: skip


def digest() -> str:
    """A digest of the app, the functions, and the versions of the tools, as they are now."""
    return fingerprint(ROOT, _INPUTS)


AT_START = digest()

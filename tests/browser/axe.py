"""The accessibility rules of axe-core, run over a page that is open in a browser."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from shop.local.tools import NODE_MODULES

if TYPE_CHECKING:
    from playwright.sync_api import Page

_GRAVE: Final = ("serious", "critical")
_RUN: Final = """
async (where) => (await axe.run(where, {resultTypes: ["violations"]})).violations.map(({id, impact, help, nodes}) =>
  ({id, impact, help, nodes: nodes.map((node) => ({html: node.html, why: node.failureSummary}))}))
"""


@cache
def _rules() -> str:
    return (NODE_MODULES / "axe-core" / "axe.min.js").read_text()


def axe(page: Page, where: str = "html") -> None:
    """Raise AssertionError where a rule of axe-core finds something serious or critical.

    `where` is a CSS selector of what is looked at, such as one panel.
    """
    page.evaluate(_rules())
    found: list[dict[str, Any]] = page.evaluate(_RUN, where)
    grave = [finding for finding in found if finding["impact"] in _GRAVE]
    assert not grave, "\n".join(_told(finding) for finding in grave)


def _told(finding: dict[str, Any]) -> str:
    nodes = "".join(f"\n  {node['html'][:300]}\n    {node['why']}" for node in finding["nodes"])
    return f"{finding['id']} ({finding['impact']}): {finding['help']}{nodes}"

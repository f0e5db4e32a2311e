"""The console page's panels as a browser gets them: asked for by Flask's test client, their HTML parsed."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # (of what the test itself has parsed)
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from shop.console.app import create_app
from shop.console.stage import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.testing import FlaskClient

    from shop.target import Target

OWN = {"Origin": "http://localhost"}
_VOID = {"br", "hr", "img", "input", "link", "meta"}


class KnownStage(Console):
    """A console whose stage is what a test deployed: its systems by name, each a target."""

    def __init__(self, systems: Mapping[str, Any], stage: str = "local", *, may_act: bool = True) -> None:
        super().__init__(stage, may_act=may_act)
        self._systems = systems

    def connect(self) -> Target:
        """Any of the targets: they are of one cloud."""
        found: Target = next(iter(self._systems.values()))
        return found

    def find(self, system: str = "order-pipeline") -> Target:
        found: Target = self._systems[system]
        return found


def browse(console: Console) -> FlaskClient:
    """A browser at the console's page."""
    return create_app(console).test_client()


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.builder = ET.TreeBuilder()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.builder.start(tag, {name: value or "" for name, value in attributes})
        if tag in _VOID:
            self.builder.end(tag)

    def handle_endtag(self, tag: str) -> None:
        self.builder.end(tag)

    def handle_data(self, data: str) -> None:
        self.builder.data(data)


def parse(html: str) -> ET.Element:
    """A fragment's elements below one root; AssertionError where an element is not closed, or an id is there twice."""
    tree = _Tree()
    tree.feed(f"<root>{html}</root>")
    root = tree.builder.close()
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)), ids
    return root


def text(root: ET.Element, path: str = ".") -> str:
    """The text of the only element at a path (ElementTree's XPath), its white space as a browser shows it."""
    [found] = root.findall(path)
    return " ".join("".join(found.itertext()).split())

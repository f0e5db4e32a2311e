"""Charts as SVG that is the same for the same figures and needs no script."""

import re

import pygal  # type: ignore[import-untyped]

# A comment with today's date, and scripts that only show a value where the mouse is.
_NOT_WANTED = re.compile(r"<!--.*?-->|<script.*?</script>", re.DOTALL)


def render(chart: pygal.Graph, name: str, *, inline: bool = False) -> str:
    """Return the chart as SVG; `name` tells its styles from another chart's on the same page.

    An inline one has no XML declaration, so that it can stand in an HTML page.
    """
    # pygal takes a random one, which would make each drawing another file.
    chart.uuid = name
    chart.config.disable_xml_declaration = inline
    svg: str = chart.render(is_unicode=True)
    return _NOT_WANTED.sub("", svg)

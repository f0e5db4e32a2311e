"""The chart of a memory report, as SVG that is the same for the same figures and needs no script."""

from collections.abc import Sequence
from typing import Final

import pygal  # type: ignore[import-untyped]
from pygal.style import CleanStyle  # type: ignore[import-untyped]

from bench import svg
from bench.lambda_model import Estimate

_POWERS_OF_TEN: Final = (0.1, 1, 10, 100, 1_000, 10_000)


def draw(estimates: Sequence[Estimate]) -> bytes:
    """Return a line chart over the memory sizes: response times and price on one logarithmic axis."""
    chart = pygal.Line(
        title="Order service: response time and cost by memory size",
        x_title="memory (MB)",
        width=900,
        height=480,
        logarithmic=True,
        range=(_POWERS_OF_TEN[0], _POWERS_OF_TEN[-1]),
        show_y_guides=False,
        # Room for the last points' values, which begin at the points and would else be cut off.
        margin_right=70,
        print_values=True,
        print_values_position="top",
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        truncate_legend=-1,
        style=CleanStyle(value_font_size=13, colors=("#1f77b4", "#d62728", "#2ca02c")),
        js=[],
    )
    chart.x_labels = [f"{each.memory_mb:,}" for each in estimates]
    chart.y_labels = [{"value": each, "label": f"{each:,g}"} for each in _POWERS_OF_TEN]
    _add(chart, "cold start (ms)", [each.cold_ms for each in estimates], "{:,.0f}")
    _add(chart, "warm request (ms)", [each.warm_ms for each in estimates], "{:.1f}")
    _add(chart, "Lambda, $ per million", [each.dollars_a_million for each in estimates], "${:.3f}")
    return svg.render(chart, "order-service-memory").encode()


def _add(chart: pygal.Line, name: str, values: Sequence[float], form: str) -> None:
    chart.add(name, list(values), formatter=form.format)

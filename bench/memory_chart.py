"""The chart of a memory report, as SVG that is the same for the same figures and needs no script."""

from collections.abc import Sequence

import pygal  # type: ignore[import-untyped]
from pygal.style import CleanStyle  # type: ignore[import-untyped]

from bench import svg
from bench.lambda_model import Estimate


def draw(estimates: Sequence[Estimate]) -> bytes:
    """Return a line chart over the memory sizes: response times on a logarithmic axis, price on the right one."""
    chart = pygal.Line(
        title="Order service: response time and cost by memory size",
        x_title="memory (MB)",
        width=900,
        height=480,
        logarithmic=True,
        # Both axes over four powers of ten, so that a slope means the same on either.
        range=(1, 10_000),
        secondary_range=(0.003, 30),
        show_y_guides=False,
        print_values=True,
        print_values_position="top",
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
        style=CleanStyle(value_font_size=13, colors=("#1f77b4", "#d62728", "#2ca02c")),
        js=[],
    )
    chart.x_labels = [f"{each.memory_mb:,}" for each in estimates]
    _add(chart, "cold start (ms)", [each.cold_ms for each in estimates], "{:,.0f}")
    _add(chart, "warm request (ms)", [each.warm_ms for each in estimates], "{:.1f}")
    _add(chart, "Lambda, $ per million requests (right)", [each.dollars_a_million for each in estimates], "${:.3f}")
    return svg.render(chart, "order-service-memory").encode()


def _add(chart: pygal.Line, name: str, values: Sequence[float], form: str) -> None:
    chart.add(name, list(values), formatter=form.format, secondary="$" in form)

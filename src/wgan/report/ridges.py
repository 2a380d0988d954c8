"""Histograms over time as inline SVG: one ridge per step, the first at the back and the last in front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from wgan.monitors import Histogram
from wgan.report.charts import BOTTOM, HEIGHT, LETTER, RIGHT, TOP, WIDTH, coordinate, swatch
from wgan.report.html import Markup, tag
from wgan.report.numbers import evenly_spaced, format_number, ticks

MOST_RIDGES = 5
OVERLAP = 1.5
"""Height of the tallest ridge, in distances between two ridges."""


HistogramRows = Sequence[tuple[int, Mapping[str, Histogram]]]
"""Steps, rising, each with histograms by key."""


@final
@dataclass(frozen=True)
class RidgeStyle:
    """Which histograms are drawn, and how.

    Attributes:
        key: Their name in the log.
        name: For the legend.
        colour: A class of the style sheet.
        filled: Whether the ridge is filled, or a dashed outline.
    """

    key: str
    name: str
    colour: str
    filled: bool = True


@final
@dataclass(frozen=True)
class RidgePlot:
    """Contents of a ridge plot.

    Attributes:
        title: Title.
        reading: One sentence on how to read it.
        rows: At least one.
        styles: At least one; a row may lack some of the histograms.
    """

    title: str
    reading: str
    rows: HistogramRows
    styles: Sequence[RidgeStyle]


def draw_ridges(plot: RidgePlot) -> Markup:
    """The plot with its title, legend and reading."""
    rows = [plot.rows[index] for index in evenly_spaced(len(plot.rows), MOST_RIDGES)]
    items = (tag("li", swatch(style.colour, not style.filled), style.name) for style in plot.styles)
    return tag(
        "figure",
        tag("figcaption", tag("h4", plot.title), tag("p", plot.reading, class_="reading")),
        tag("div", tag("ul", *items), class_="legend"),
        tag(
            "svg",
            *_svg_content(rows, plot.styles),
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            aria_label=f"{plot.title}, at steps {', '.join(f'{step:,}' for step, _ in rows)}.",
        ),
        class_="chart",
    )


@final
@dataclass(frozen=True)
class _Axis:
    """Horizontal axis of values."""

    left: float
    low: float
    high: float

    def x(self, value: float) -> float:
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return self.left + share * (WIDTH - RIGHT - self.left)


def _svg_content(rows: HistogramRows, styles: Sequence[RidgeStyle]) -> Iterator[Markup]:
    names = [f"step {rows[0][0]:,}", *(f"{step:,}" for step, _ in rows[1:])]
    edges = [edge for _, row in rows for style in styles if style.key in row for edge in row[style.key].edges]
    axis = _Axis(12 + LETTER * max(map(len, names)), min(edges), max(edges))
    distance = (HEIGHT - BOTTOM - TOP) / (len(rows) - 1 + OVERLAP)
    for value in ticks(axis.low, axis.high):
        x = coordinate(axis.x(value))
        yield tag("line", class_="rule", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM)
        yield tag("text", format_number(value), x=x, y=HEIGHT - 7, text_anchor="middle")
    for index, ((_, row), name) in enumerate(zip(rows, names, strict=True)):
        ground = TOP + (OVERLAP + index) * distance
        yield tag("text", name, x=coordinate(axis.left - 8), y=coordinate(ground), text_anchor="end")
        yield from _ridge(axis, row, styles, ground, OVERLAP * distance)


def _ridge(
    axis: _Axis, row: Mapping[str, Histogram], styles: Sequence[RidgeStyle], ground: float, height: float
) -> Iterator[Markup]:
    drawn = [(style, row[style.key]) for style in styles if style.key in row]
    tallest = max((max(_shares(histogram)) for _, histogram in drawn), default=0.0)
    for style, histogram in drawn:
        points = [
            f"{coordinate(axis.x(value))} {coordinate(ground - share / tallest * height)}"
            for value, share in _outline(histogram)
        ]
        path = "M" + "L".join(points)
        if style.filled:
            yield tag("path", class_=f"band {style.colour}", d=f"{path}Z")
        yield tag("path", class_=f"line {style.colour}{'' if style.filled else ' dashed'}", d=path)


def _outline(histogram: Histogram) -> Iterator[tuple[float, float]]:
    """Points through the middle of each bin, at zero at both ends."""
    edges = histogram.edges
    yield edges[0], 0.0
    for low, high, share in zip(edges, edges[1:], _shares(histogram), strict=False):
        yield low + (high - low) / 2, share
    yield edges[-1], 0.0


def _shares(histogram: Histogram) -> list[float]:
    total = sum(histogram.counts) or 1
    return [count / total for count in histogram.counts]

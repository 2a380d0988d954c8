"""Histograms over time as inline SVG: one ridge a step, the first at the back and the last in front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from wgan.monitors import Histogram
from wgan.report.charts import BOTTOM, HEIGHT, LETTER, RIGHT, TOP, WIDTH, short, swatch
from wgan.report.html import Markup, tag
from wgan.report.numbers import shown, spread, ticks

SHOWN = 5
"""Ridges, at most."""
OVERLAP = 1.5
"""How high a ridge may be, in distances between two of them."""


Rows = Sequence[tuple[int, Mapping[str, Histogram]]]
"""Steps, rising, each with histograms by key."""


@final
@dataclass(frozen=True)
class Kind:
    """Which histograms are shown, and how.

    Attributes:
        key: Their name in the log.
        name: For the legend.
        colour: A class of the style sheet.
        filled: Or else an outline only, dashed.
    """

    key: str
    name: str
    colour: str
    filled: bool = True


@final
@dataclass(frozen=True)
class Ridges:
    """What the figure shows.

    Attributes:
        title: What it is.
        reading: One sentence that says how to read it.
        rows: One at least.
        kinds: One at least; those that a row lacks are left out there.
    """

    title: str
    reading: str
    rows: Rows
    kinds: Sequence[Kind]


def ridge_figure(ridges: Ridges) -> Markup:
    """The ridges with their title, legend and reading."""
    chosen = [ridges.rows[index] for index in spread(len(ridges.rows), SHOWN)]
    items = (tag("li", swatch(kind.colour, not kind.filled), kind.name) for kind in ridges.kinds)
    return tag(
        "figure",
        tag("figcaption", tag("h4", ridges.title), tag("p", ridges.reading, class_="reading")),
        tag("div", tag("ul", *items), class_="legend"),
        tag(
            "svg",
            *_drawn(chosen, ridges.kinds),
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            aria_label=f"{ridges.title}, at steps {', '.join(f'{step:,}' for step, _ in chosen)}.",
        ),
        class_="chart",
    )


@final
@dataclass(frozen=True)
class _Axis:
    """From values to places in the image."""

    left: float
    low: float
    high: float

    def x(self, value: float) -> float:
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return self.left + share * (WIDTH - RIGHT - self.left)


def _drawn(rows: Rows, kinds: Sequence[Kind]) -> Iterator[Markup]:
    names = [f"step {rows[0][0]:,}", *(f"{step:,}" for step, _ in rows[1:])]
    edges = [edge for _, row in rows for kind in kinds if kind.key in row for edge in row[kind.key].edges]
    axis = _Axis(12 + LETTER * max(map(len, names)), min(edges), max(edges))
    distance = (HEIGHT - BOTTOM - TOP) / (len(rows) - 1 + OVERLAP)
    for value in ticks(axis.low, axis.high):
        x = short(axis.x(value))
        yield tag("line", class_="rule", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM)
        yield tag("text", shown(value), x=x, y=HEIGHT - 7, text_anchor="middle")
    for index, ((_, row), name) in enumerate(zip(rows, names, strict=True)):
        ground = TOP + (OVERLAP + index) * distance
        yield tag("text", name, x=short(axis.left - 8), y=short(ground), text_anchor="end")
        yield from _ridge(axis, row, kinds, ground, OVERLAP * distance)


def _ridge(
    axis: _Axis, row: Mapping[str, Histogram], kinds: Sequence[Kind], ground: float, height: float
) -> Iterator[Markup]:
    there = [(kind, row[kind.key]) for kind in kinds if kind.key in row]
    tallest = max((max(_shares(shape)) for _, shape in there), default=0.0)
    for kind, shape in there:
        places = [
            f"{short(axis.x(value))} {short(ground - share / tallest * height)}"
            for value, share in _outline(shape)
        ]
        path = "M" + "L".join(places)
        if kind.filled:
            yield tag("path", class_=f"band {kind.colour}", d=f"{path}Z")
        yield tag("path", class_=f"line {kind.colour}{'' if kind.filled else ' dashed'}", d=path)


def _outline(shape: Histogram) -> Iterator[tuple[float, float]]:
    """Through the middle of each bin, and down to the ground at both ends."""
    edges = shape.edges
    yield edges[0], 0.0
    for low, high, share in zip(edges, edges[1:], _shares(shape), strict=False):
        yield low + (high - low) / 2, share
    yield edges[-1], 0.0


def _shares(shape: Histogram) -> list[float]:
    whole = sum(shape.counts) or 1
    return [count / whole for count in shape.counts]

"""A line chart as inline SVG, so that a report needs no library and no network.

Colours are classes of the page's style sheet, which has light and dark ones. The page's script shows the
values under the pointer from the figure's ``data-chart``; without a script the legend has the last values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from wgan.report.html import Markup, join, tag
from wgan.report.numbers import evenly_spaced, format_number, log_ticks, present, ticks

WIDTH, HEIGHT = 400, 210
TOP, RIGHT, BOTTOM = 10, 12, 26
"""Margins of the plot; the left one is as wide as its labels."""
LETTER = 7.2
"""Upper bound on the width of a digit in a label."""
DRAWN = 400
"""Approximate number of points drawn of a line; of more, the extremes of each stretch are drawn."""
HOVERED = 200
"""Number of steps whose values can be read off, at most."""

LineValues = Sequence[float | None]


@final
@dataclass(frozen=True)
class Line:
    """A line over the steps.

    Attributes:
        name: For the legend.
        values: One per step, at most 1e300 in size; None where there is none.
        colour: A class of the style sheet: ``c1``, ``r3``, ...
        dashed: Whether the line is dashed.
    """

    name: str
    values: LineValues
    colour: str
    dashed: bool = False


@final
@dataclass(frozen=True)
class Band:
    """The filled area between two lines."""

    low: LineValues
    high: LineValues
    colour: str
    name: str | None = None
    """For the legend, with both values; None for a band that belongs to a line."""


@final
@dataclass(frozen=True)
class Chart:
    """Contents of a line chart.

    Attributes:
        title: Title.
        reading: One sentence on how to read it.
        steps: The horizontal axis, rising.
        lines: At least one line or band.
        bands: Drawn below the lines.
        references: Named levels, each a thin horizontal line.
        marks: Named steps, each a thin vertical line.
        log: Whether the vertical axis is logarithmic, if all values allow it.
        from_zero: Whether the vertical axis includes zero.
    """

    title: str
    reading: str
    steps: Sequence[int]
    lines: Sequence[Line] = ()
    bands: Sequence[Band] = ()
    references: Sequence[tuple[float, str]] = ()
    marks: Sequence[tuple[int, str]] = ()
    log: bool = False
    from_zero: bool = False

    @property
    def named_bands(self) -> list[Band]:
        """The bands that are in the legend."""
        return [band for band in self.bands if band.name is not None]


def draw_chart(chart: Chart) -> Markup:
    """The chart with its title, legend and reading."""
    axes = _axes(chart)
    return tag(
        "figure",
        tag("figcaption", tag("h4", chart.title), tag("p", chart.reading, class_="reading")),
        _legend(chart),
        _svg(chart, axes),
        class_="chart",
        data_chart=json.dumps(_hover_data(chart, axes), separators=(",", ":")),
    )


@final
@dataclass(frozen=True)
class _Axes:
    """Maps steps and values to coordinates in the image."""

    left: float
    first: int
    last: int
    low: float
    high: float
    log: bool
    labels: Sequence[tuple[float, str]]

    def x(self, step: float) -> float:
        share = (step - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return self.left + share * (WIDTH - RIGHT - self.left)

    def y(self, value: float) -> float:
        scale: Callable[[float], float] = math.log10 if self.log else float
        low, high = scale(self.low), scale(self.high)
        share = (scale(value) - low) / (high - low)
        return HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - BOTTOM - TOP)

    def has(self, value: float | None) -> bool:
        return value is not None and (not self.log or value > 0)

    def horizontal(self, kind: str, y: str) -> Markup:
        return tag("line", class_=kind, x1=coordinate(self.left), x2=WIDTH - RIGHT, y1=y, y2=y)


def _axes(chart: Chart) -> _Axes:
    values = [value for line in chart.lines for value in present(line.values)]
    values += [value for band in chart.bands for side in (band.low, band.high) for value in present(side)]
    log = chart.log and bool(values) and all(value >= 0 for value in values) and max(values) > 0
    if log:
        positive = [value for value in values if value > 0]
        low, high = min(positive) / 1.15, max(positive) * 1.15
        labelled = log_ticks(low, high)
    else:
        low, high = _value_range(chart, values)
        labelled = ticks(low, high, about=5)
    labels = [(value, format_number(value)) for value in labelled if low <= value <= high]
    left = 8 + LETTER * max((len(text) for _, text in labels), default=1)
    return _Axes(left, chart.steps[0], chart.steps[-1], low, high, log, labels)


def _value_range(chart: Chart, values: Sequence[float]) -> tuple[float, float]:
    """The range of the vertical axis: all values and near references, with a margin."""
    low, high = min(values), max(values)
    near = [level for level, _ in chart.references if low - (high - low) <= level <= high + (high - low)]
    low, high = min([low, *near]), max([high, *near])
    if chart.from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    return (low if chart.from_zero and low == 0 else low - margin), high + margin


def _svg(chart: Chart, axes: _Axes) -> Markup:
    references = [
        (axes.y(level), name)
        for level, name in chart.references
        if axes.low <= level <= axes.high and axes.has(level)
    ]
    marks = [
        (row, axes.x(step), name)
        for row, (step, name) in enumerate(chart.marks)
        if axes.first <= step <= axes.last
    ]
    colours = [line.colour for line in chart.lines] + [band.colour for band in chart.named_bands]
    return tag(
        "svg",
        *_grid(axes),
        *_step_labels(axes),
        *(axes.horizontal("reference", coordinate(y)) for y, _ in references),
        *(_vertical("mark", coordinate(x)) for _, x, _ in marks),
        *(_band(chart, axes, band) for band in chart.bands),
        *(_line(chart, axes, line) for line in chart.lines),
        *(_reference_name(y, name) for y, name in references),
        *(_mark_name(axes, x, name, row) for row, x, name in marks),
        _vertical("cursor", "0"),
        *(tag("circle", class_=f"dot {colour}", r=3.5) for colour in colours),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        tabindex=0,
        aria_label=_aria_label(chart),
    )


def _aria_label(chart: Chart) -> str:
    last = ((line.name, next(reversed(present(line.values)), None)) for line in chart.lines)
    texts = [f"{name} {format_number(value)}" for name, value in last if value is not None]
    return f"{chart.title}, steps {chart.steps[0]:,} to {chart.steps[-1]:,}. At the end: {', '.join(texts)}."


def _grid(axes: _Axes) -> Iterator[Markup]:
    for value, text in axes.labels:
        y = axes.y(value)
        yield axes.horizontal("zero" if value == 0 else "rule", coordinate(y))
        yield tag("text", text, x=coordinate(axes.left - 6), y=coordinate(y + 4), text_anchor="end")


def _step_labels(axes: _Axes) -> Iterator[Markup]:
    steps = [step for step in ticks(axes.first, axes.last) if step == round(step)] or [axes.first]
    for index, step in enumerate(steps):
        text = f"step {step:,.0f}" if index == 0 else f"{step:,.0f}"
        half = LETTER / 2 * len(text)
        x = min(max(axes.x(step), axes.left - 10 + half), WIDTH - half)
        yield tag("text", text, x=coordinate(x), y=HEIGHT - 7, text_anchor="middle")


def _vertical(kind: str, x: str) -> Markup:
    return tag("line", class_=kind, x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM)


def _reference_name(y: float, name: str) -> Markup:
    above = y - 4 if y > TOP + 14 else y + 13
    return tag("text", name, class_="note", x=WIDTH - RIGHT, y=coordinate(above), text_anchor="end")


def _mark_name(axes: _Axes, x: float, name: str, row: int) -> Markup:
    x, anchor = (x - 5, "end") if x > (WIDTH + axes.left) / 2 else (x + 5, "start")
    return tag("text", name, class_="note", x=coordinate(x), y=TOP + 10 + 15 * row, text_anchor=anchor)


def _line(chart: Chart, axes: _Axes, line: Line) -> Markup:
    parts = []
    for segment in _segments(chart.steps, line.values, axes):
        if len(segment) == 1:  # a line of one point would be invisible
            x, y = axes.x(segment[0][0]), axes.y(segment[0][1])
            circle = tag("circle", class_=f"point {line.colour}", cx=coordinate(x), cy=coordinate(y), r=2.5)
            parts.append(circle)
        else:
            points = (_point(axes, step, value) for step, value in _thinned(segment))
            parts.append(tag("path", class_=_line_class(line.colour, line.dashed), d="M" + "L".join(points)))
    return join(*parts)


def _band(chart: Chart, axes: _Axes, band: Band) -> Markup | None:
    rows = [
        (step, low, high)
        for step, low, high in zip(chart.steps, band.low, band.high, strict=True)
        if low is not None and high is not None and axes.has(low) and axes.has(high)
    ]
    if len(rows) < 2:
        return None
    drawn = [rows[index] for index in evenly_spaced(len(rows), DRAWN)]
    forth = [_point(axes, step, high) for step, _, high in drawn]
    back = [_point(axes, step, low) for step, low, _ in reversed(drawn)]
    return tag("path", class_=f"band {band.colour}", d=f"M{'L'.join([*forth, *back])}Z")


def _point(axes: _Axes, step: int, value: float) -> str:
    return f"{coordinate(axes.x(step))} {coordinate(axes.y(value))}"


def _segments(steps: Sequence[int], values: LineValues, axes: _Axes) -> list[list[tuple[int, float]]]:
    """The points of a line, split where values are missing."""
    segments: list[list[tuple[int, float]]] = [[]]
    for step, value in zip(steps, values, strict=True):
        if value is not None and axes.has(value):
            segments[-1].append((step, value))
        elif segments[-1]:
            segments.append([])
    return [segment for segment in segments if segment]


def _thinned(segment: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The least and the greatest point of each stretch, so that no spike is lost."""
    if len(segment) <= DRAWN:
        return list(segment)
    drawn = {0, len(segment) - 1}
    edges = [round(index * len(segment) / (DRAWN // 2)) for index in range(DRAWN // 2 + 1)]
    for start, stop in pairwise(edges):
        stretch = range(start, stop)
        drawn |= {extreme(stretch, key=lambda index: segment[index][1]) for extreme in (min, max)}
    return [segment[index] for index in sorted(drawn)]


def _legend(chart: Chart) -> Markup:
    items = [
        tag("li", swatch(line.colour, line.dashed), line.name, " ", tag("b", _text(line.values, -1)))
        for line in chart.lines
    ]
    items += [
        tag("li", tag("span", class_=f"patch {band.colour}"), band.name, " ", tag("b", _range_text(band, -1)))
        for band in chart.named_bands
    ]
    last = tag("span", f"step {chart.steps[-1]:,}", class_="at")
    return tag("div", tag("ul", *items), last, class_="legend", aria_live="off")


def swatch(colour: str, dashed: bool) -> Markup:
    """A piece of a line, for a legend."""
    path = tag("path", class_=_line_class(colour, dashed), d="M0 5L18 5")
    return tag("svg", path, class_="swatch", viewBox="0 0 18 10", width=18, height=10, aria_hidden="true")


def _line_class(colour: str, dashed: bool) -> str:
    return f"line {colour}{' dashed' if dashed else ''}"


def _hover_data(chart: Chart, axes: _Axes) -> dict[str, object]:
    """Coordinates (x, l.y) and texts (s, l.t) of the steps that can be read off, for the page's script."""
    rows = evenly_spaced(len(chart.steps), HOVERED)
    lines = [
        {
            "y": [_y_or_none(axes, line.values[row]) for row in rows],
            "t": [_text(line.values, row) for row in rows],
        }
        for line in chart.lines
    ]
    bands = [
        {"y": [None] * len(rows), "t": [_range_text(band, row) for row in rows]} for band in chart.named_bands
    ]
    return {
        "x": [round(axes.x(chart.steps[row]), 1) for row in rows],
        "s": [f"{chart.steps[row]:,}" for row in rows],
        "l": lines + bands,
    }


def _y_or_none(axes: _Axes, value: float | None) -> float | None:
    return round(axes.y(value), 1) if value is not None and axes.has(value) else None


def _text(values: LineValues, row: int) -> str:
    value = values[row]
    return "–" if value is None else format_number(value)


def _range_text(band: Band, row: int) -> str:
    return f"{_text(band.low, row)} to {_text(band.high, row)}"


def coordinate(value: float) -> str:
    """A coordinate in the image, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")

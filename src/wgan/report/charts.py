"""A line chart as inline SVG: drawn here, so that a report needs no library and no network.

Colours are classes that the page's style sheet fills for light and dark. What a reader hovers over is in the
figure's ``data-chart``, which the page's script shows; without a script the legend has the last values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import final

from wgan.report.html import Markup, join, tag
from wgan.report.numbers import finite, log_ticks, shown, spread, ticks

WIDTH, HEIGHT = 400, 210
TOP, RIGHT, BOTTOM = 10, 12, 26
"""Margins of the plot; the left one is as wide as its labels."""
LETTER = 7.2
"""The width of a digit in a label, amply."""
DRAWN = 400
"""Points of a line that are drawn, about; of more, the least and the greatest of each stretch are."""
HOVERED = 200
"""Steps whose values can be read off."""

Values = Sequence[float | None]


@final
@dataclass(frozen=True)
class Line:
    """A line over the steps.

    Attributes:
        name: For the legend.
        values: One a step, at most 1e300 in size; None where there is none.
        colour: A class of the style sheet: ``c1``, ``r3``, ...
        dashed: How it is drawn.
    """

    name: str
    values: Values
    colour: str
    dashed: bool = False


@final
@dataclass(frozen=True)
class Band:
    """What lies between two lines, filled."""

    low: Values
    high: Values
    colour: str
    name: str | None = None
    """For the legend, with both values; None: it belongs to a line."""


@final
@dataclass(frozen=True)
class Chart:
    """What a chart shows.

    Attributes:
        title: What it is.
        reading: One sentence that says how to read it.
        steps: The horizontal axis, rising.
        lines: One at least, or a band.
        bands: Beneath the lines.
        references: Levels worth a thin line, each with its name.
        marks: Steps worth a thin line, each with its name.
        log: Whether the vertical axis is logarithmic, where all values allow it.
        from_zero: Whether the vertical axis has to reach down to zero.
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


def figure(chart: Chart) -> Markup:
    """The chart with its title, legend and reading."""
    plane = _plane(chart)
    return tag(
        "figure",
        tag("figcaption", tag("h4", chart.title), tag("p", chart.reading, class_="reading")),
        _legend(chart),
        _svg(chart, plane),
        class_="chart",
        data_chart=json.dumps(_hover(chart, plane), separators=(",", ":")),
    )


@final
@dataclass(frozen=True)
class _Plane:
    """From steps and values to places in the image."""

    left: float
    first: int
    last: int
    low: float
    high: float
    log: bool
    labels: Sequence[tuple[float, str]] = field(default=())

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

    def shows(self, level: float) -> bool:
        return self.low <= level <= self.high and self.has(level)

    def reaches(self, step: int) -> bool:
        return self.first <= step <= self.last


def _plane(chart: Chart) -> _Plane:
    values = [value for some in _all_values(chart) for value in finite(some)]
    log = chart.log and bool(values) and all(value >= 0 for value in values) and max(values) > 0
    if log:
        positive = [value for value in values if value > 0]
        low, high = min(positive) / 1.15, max(positive) * 1.15
        marked = log_ticks(low, high)
    else:
        low, high = _room(chart, values)
        marked = ticks(low, high, about=5)
    labels = [(value, shown(value)) for value in marked if low <= value <= high]
    left = 8 + LETTER * max((len(text) for _, text in labels), default=1)
    return _Plane(left, chart.steps[0], chart.steps[-1], low, high, log, labels)


def _room(chart: Chart, values: Sequence[float]) -> tuple[float, float]:
    """The vertical axis: all values, with some air."""
    low, high = min(values), max(values)
    near = [level for level, _ in chart.references if low - (high - low) <= level <= high + (high - low)]
    low, high = min([low, *near]), max([high, *near])
    if chart.from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    air = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    return (low if chart.from_zero and low == 0 else low - air), high + air


def _all_values(chart: Chart) -> Iterator[Values]:
    yield from (line.values for line in chart.lines)
    for band in chart.bands:
        yield from (band.low, band.high)


def _svg(chart: Chart, plane: _Plane) -> Markup:
    return tag(
        "svg",
        *_grid(plane),
        *_horizontal_labels(plane),
        *(_reference(plane, level) for level, _ in chart.references if plane.shows(level)),
        *(_mark(plane, step) for step, _ in chart.marks if plane.reaches(step)),
        *(_band(chart, plane, band) for band in chart.bands),
        *(_line(chart, plane, line) for line in chart.lines),
        *(_level_note(plane, level, name) for level, name in chart.references if plane.shows(level)),
        *(
            _step_note(plane, step, name, line)
            for line, (step, name) in enumerate(chart.marks)
            if plane.reaches(step)
        ),
        tag("line", class_="cursor", x1=0, x2=0, y1=TOP, y2=HEIGHT - BOTTOM),
        *(tag("circle", class_=f"dot {name}", r=3.5) for name in _hover_colours(chart)),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        tabindex=0,
        aria_label=_spoken(chart),
    )


def _spoken(chart: Chart) -> str:
    """The chart in a sentence, for who does not see it."""
    told = [
        f"{line.name} {shown(value)}" for line in chart.lines if (value := _last(line.values)) is not None
    ]
    return f"{chart.title}, steps {chart.steps[0]:,} to {chart.steps[-1]:,}. At the end: {', '.join(told)}."


def _grid(plane: _Plane) -> Iterator[Markup]:
    for value, text in plane.labels:
        y = short(plane.y(value))
        kind = "zero" if value == 0 else "rule"
        yield tag("line", class_=kind, x1=short(plane.left), x2=WIDTH - RIGHT, y1=y, y2=y)
        yield tag("text", text, x=short(plane.left - 6), y=short(plane.y(value) + 4), text_anchor="end")


def _horizontal_labels(plane: _Plane) -> Iterator[Markup]:
    marked = [step for step in ticks(plane.first, plane.last) if step == round(step)] or [plane.first]
    for index, step in enumerate(marked):
        text = f"step {step:,.0f}" if index == 0 else f"{step:,.0f}"
        half = LETTER / 2 * len(text)
        x = min(max(plane.x(step), plane.left - 10 + half), WIDTH - half)
        yield tag("text", text, x=short(x), y=HEIGHT - 7, text_anchor="middle")


def _reference(plane: _Plane, level: float) -> Markup:
    y = short(plane.y(level))
    return tag("line", class_="reference", x1=short(plane.left), x2=WIDTH - RIGHT, y1=y, y2=y)


def _level_note(plane: _Plane, level: float, name: str) -> Markup:
    y = plane.y(level)
    above = y - 4 if y > TOP + 14 else y + 13
    return tag("text", name, class_="note", x=WIDTH - RIGHT, y=short(above), text_anchor="end")


def _mark(plane: _Plane, step: int) -> Markup:
    x = short(plane.x(step))
    return tag("line", class_="mark", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM)


def _step_note(plane: _Plane, step: int, name: str, line: int) -> Markup:
    x = plane.x(step)
    late = x > (WIDTH + plane.left) / 2
    place, anchor = (x - 5, "end") if late else (x + 5, "start")
    return tag("text", name, class_="note", x=short(place), y=TOP + 10 + 15 * line, text_anchor=anchor)


def _line(chart: Chart, plane: _Plane, line: Line) -> Markup:
    parts = []
    for run in _runs(chart.steps, line.values, plane):
        if len(run) == 1:  # a line of one point would not show
            x, y = plane.x(run[0][0]), plane.y(run[0][1])
            parts.append(tag("circle", class_=f"point {line.colour}", cx=short(x), cy=short(y), r=2.5))
        else:
            places = (f"{short(plane.x(step))} {short(plane.y(value))}" for step, value in _thinned(run))
            dashed = " dashed" if line.dashed else ""
            parts.append(tag("path", class_=f"line {line.colour}{dashed}", d="M" + "L".join(places)))
    return join(*parts)


def _band(chart: Chart, plane: _Plane, band: Band) -> Markup | None:
    rows = [
        (step, low, high)
        for step, low, high in zip(chart.steps, band.low, band.high, strict=True)
        if low is not None and high is not None and plane.has(low) and plane.has(high)
    ]
    if len(rows) < 2:
        return None
    some = [rows[index] for index in spread(len(rows), DRAWN)]
    along = [f"{short(plane.x(step))} {short(plane.y(high))}" for step, _, high in some]
    back = [f"{short(plane.x(step))} {short(plane.y(low))}" for step, low, _ in reversed(some)]
    return tag("path", class_=f"band {band.colour}", d=f"M{'L'.join([*along, *back])}Z")


def _runs(steps: Sequence[int], values: Values, plane: _Plane) -> list[list[tuple[int, float]]]:
    """A line's points, broken where there is none."""
    runs: list[list[tuple[int, float]]] = [[]]
    for step, value in zip(steps, values, strict=True):
        if value is not None and plane.has(value):
            runs[-1].append((step, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _thinned(run: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The least and the greatest of each stretch, so that no spike is lost."""
    if len(run) <= DRAWN:
        return list(run)
    kept = {0, len(run) - 1}
    edges = [round(index * len(run) / (DRAWN // 2)) for index in range(DRAWN // 2 + 1)]
    for start, stop in pairwise(edges):
        stretch = range(start, stop)
        kept |= {min(stretch, key=lambda index: run[index][1]), max(stretch, key=lambda index: run[index][1])}
    return [run[index] for index in sorted(kept)]


def _legend(chart: Chart) -> Markup:
    entries = [(line.name, line.colour, line.dashed, _told(line.values, -1)) for line in chart.lines]
    items = [
        tag("li", swatch(colour, dashed), name, " ", tag("b", text)) for name, colour, dashed, text in entries
    ]
    items += [
        tag(
            "li",
            tag("span", class_=f"patch {band.colour}"),
            band.name,
            " ",
            tag("b", _between(band, -1)),
        )
        for band in chart.bands
        if band.name is not None
    ]
    return tag(
        "div",
        tag("ul", *items),
        tag("span", f"step {chart.steps[-1]:,}", class_="at"),
        class_="legend",
        aria_live="off",
    )


def swatch(colour: str, dashed: bool) -> Markup:
    """A piece of a line, for a legend."""
    path = tag("path", class_=f"line {colour}{' dashed' if dashed else ''}", d="M0 5L18 5")
    return tag("svg", path, class_="swatch", viewBox="0 0 18 10", width=18, height=10, aria_hidden="true")


def _hover(chart: Chart, plane: _Plane) -> dict[str, object]:
    """Where each step lies, and what the legend says there."""
    rows = spread(len(chart.steps), HOVERED)
    lines = [
        {
            "y": [_place(plane, line.values[row]) for row in rows],
            "t": [_told(line.values, row) for row in rows],
        }
        for line in chart.lines
    ]
    named = [
        {"y": [None] * len(rows), "t": [_between(band, row) for row in rows]}
        for band in chart.bands
        if band.name is not None
    ]
    return {
        "x": [round(plane.x(chart.steps[row]), 1) for row in rows],
        "s": [f"{chart.steps[row]:,}" for row in rows],
        "l": lines + named,
    }


def _hover_colours(chart: Chart) -> Iterator[str]:
    yield from (line.colour for line in chart.lines)
    yield from (band.colour for band in chart.bands if band.name is not None)


def _place(plane: _Plane, value: float | None) -> float | None:
    return round(plane.y(value), 1) if value is not None and plane.has(value) else None


def _told(values: Values, row: int) -> str:
    value = values[row]
    return "–" if value is None else shown(value)


def _between(band: Band, row: int) -> str:
    return f"{_told(band.low, row)} to {_told(band.high, row)}"


def _last(values: Values) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def short(place: float) -> str:
    """A place in the image, to a tenth."""
    return f"{place:.1f}".removesuffix(".0")

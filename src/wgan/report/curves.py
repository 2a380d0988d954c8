"""Which charts a report has, what each is made of, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from wgan.monitors import Histogram
from wgan.report.charts import Band, Chart, Line
from wgan.report.numbers import spread
from wgan.report.ridges import Kind, Ridges, Rows
from wgan.report.run_data import Run, number

RAMP = 8
"""Layers shown of a deep network, at most, and colours from the first to the last."""

FOLDED = "The machinery: losses, updates, dead units, speed"
"""Charts for who looks for the cause of something."""

Marks = Sequence[tuple[int, str]]


@final
@dataclass(frozen=True)
class Group:
    """Charts that answer one question.

    Attributes:
        title: The question.
        charts: One at least.
        folded: Whether they are shown on request only.
    """

    title: str
    charts: Sequence[Chart | Ridges]
    folded: bool


def groups(run: Run, marks: Marks = ()) -> list[Group]:
    """All charts for which there are data.

    Args:
        run: The run; one that logged nothing has no charts.
        marks: Steps to mark in each chart, with a name.
    """
    if not run.rows:
        return []
    made = [
        Group(title, [chart for make in makers for chart in make(run, marks)], title == FOLDED)
        for title, makers in _GROUPS.items()
    ]
    return [group for group in made if group.charts]


Charts = Iterator[Chart | Ridges]


def _gap(run: Run, marks: Marks) -> Charts:
    lines = _lines(run, ("gap", "training data", "c1"), ("gap_held_out", "held-out data", "c2 dashed"))
    meaning = (
        "Falling towards zero, samples become like real ones; training far above held-out, the critic knows "
        "its data by heart."
    )
    if run.setting("loss") != "wasserstein":
        meaning = (
            "How much higher the critic scores real samples; with this loss it is no distance, but training "
            "far above held-out still says that the critic knows its data by heart."
        )
    yield from _chart(run, marks, "Gap between real and generated", meaning, lines, from_zero=True)


def _bracket(run: Run, marks: Marks) -> Charts:
    if not (run.has("w1_lower") and run.has("w1_upper")):
        return
    low, high = run.series("w1_lower"), run.series("w1_upper")
    yield Chart(
        "The distance W1, between proven bounds",
        "The true distance between real and generated samples lies within the band, at each step with "
        "99\u00a0% confidence; zero would be perfect.",
        run.steps,
        lines=_lines(run, ("w1_lower", "at least", "c3 dashed"), ("w1_upper", "at most", "c3")),
        bands=[Band(low, high, "c3")],
        marks=marks,
        from_zero=True,
    )


def _scores(run: Run, marks: Marks) -> Charts:
    lines = _lines(
        run,
        ("score_real/50", "real, median", "c1"),
        ("score_held_out/50", "held out, median", "c2 dashed"),
        ("score_fake/50", "generated, median", "c4"),
    )
    bands = [*_quantiles(run, "score_real", "c1"), *_quantiles(run, "score_fake", "c4")]
    yield from _chart(
        run,
        marks,
        "Scores that the critic gives",
        "Bands hold the middle half and the middle nine tenths of the samples: the more generated overlaps "
        "real, the less the critic can tell them apart.",
        lines,
        bands=bands,
    )


def _heaps(run: Run, marks: Marks) -> Charts:
    kinds = (
        Kind("score_real", "real", "c1"),
        Kind("score_held_out", "held out", "c2", filled=False),
        Kind("score_fake", "generated", "c4"),
    )
    meaning = (
        "Scores less the mean real one, a ridge a step, the last in front: the hill of generated samples "
        "should move under that of real ones; a second hill is a kind of sample that the critic tells apart."
    )
    rows = [(step, _centred(shapes)) for step, shapes in run.shapes]
    yield from _ridges(rows, "How the scores are distributed", meaning, kinds)


def _weight_heaps(run: Run, marks: Marks) -> Charts:
    meaning = "A hill around zero is sound; two towers at the ends are weights that pile up at a bound."
    kinds = (Kind("critic_weights", "the critic's weights", "c1"),)
    yield from _ridges(run.shapes, "How the critic's weights are distributed", meaning, kinds)


def _centred(shapes: Mapping[str, Histogram]) -> Mapping[str, Histogram]:
    """Scores have no zero of their own: that of each step is put at the mean of the real ones."""
    if (real := shapes.get("score_real")) is None:
        return {}
    return {
        name: replace(one, low=one.low - real.mean, high=one.high - real.mean) for name, one in shapes.items()
    }


def _ridges(rows: Rows, title: str, reading: str, kinds: Sequence[Kind]) -> Charts:
    keys = {kind.key for kind in kinds}
    if there := [(step, shapes) for step, shapes in rows if keys & shapes.keys()]:
        yield Ridges(title, reading, there, kinds)


def _slopes(run: Run, marks: Marks) -> Charts:
    target = number(run.setting("constraint.target"))
    yield from _steepness(
        run,
        marks,
        "slope",
        "Slope between real and generated",
        "How steep the critic is on the way from one to the other: the constraint should keep it at one "
        "level, and a line that climbs away says that it does not hold.",
        references=[] if target is None else [(target, f"target {target:g}")],
    )
    yield from _steepness(
        run,
        marks,
        "slope_pairs",
        "Slope between real samples",
        "How differently the critic scores two real samples, for their distance: no pair should come out "
        "steeper than the way from real to generated.",
    )


def _steepness(
    run: Run,
    marks: Marks,
    key: str,
    title: str,
    meaning: str,
    references: Sequence[tuple[float, str]] = (),
) -> Charts:
    lines = _lines(
        run,
        (f"{key}/50", "median", "c1"),
        (f"{key}/95", "95 % are below", "c3"),
        (f"{key}/max", "steepest", "c4 dashed"),
    )
    values = [value for line in lines for value in line.values if value]
    log = bool(values) and max(values) > 30 * min(values)
    yield from _chart(run, marks, title, meaning, lines, references=references, log=log, from_zero=True)


def _penalty(run: Run, marks: Marks) -> Charts:
    if any(row.get("penalty") for row in run.rows):
        lines = _lines(run, ("penalty", "penalty", "c4"))
        meaning = "What the constraint costs the critic: near zero it is kept, rising it is being broken."
        yield from _chart(run, marks, "Penalty", meaning, lines, from_zero=True)


def _layers(run: Run, marks: Marks) -> Charts:
    names = [name for name in run.names("critic_gradient/") if run.has(name)]
    chosen = [names[index] for index in spread(len(names), RAMP)] if names else []
    colours = [f"r{index}" for index in spread(RAMP, max(len(chosen), 2))]
    lines = [
        Line(name.partition("/")[2], run.series(name), colour)
        for name, colour in zip(chosen, colours, strict=False)
    ]
    yield from _chart(
        run,
        marks,
        "Critic's gradient, layer by layer",
        "From the first layer (dark) to the last (bright): sound lines run close together, and lines that "
        "fan out over powers of ten are gradients that vanish or explode with depth.",
        lines,
        log=True,
    )


def _gradients(run: Run, marks: Marks) -> Charts:
    lines = _lines(run, ("critic_gradient", "critic", "c1"), ("generator_gradient", "generator", "c4 dashed"))
    meaning = (
        "The size of the learning signal of each network: it may wander, but a steady climb or fall over "
        "powers of ten is trouble."
    )
    yield from _chart(run, marks, "Gradients as a whole", meaning, lines, log=True)


def _clipping(run: Run, marks: Marks) -> Charts:
    if any(row.get("clipped") for row in run.rows):
        lines = _lines(run, ("clipped", "share of weights", "c4"))
        meaning = "Weights that sit at the bound: near 1, the critic has become a crude on-off function."
        yield from _chart(run, marks, "Clipped weights", meaning, lines, from_zero=True)


def _weights(run: Run, marks: Marks) -> Charts:
    bound = number(run.setting("constraint.c"))
    yield from _chart(
        run,
        marks,
        "The critic's weights",
        "The line is the middle weight, the bands hold half and nine tenths of all; they should settle.",
        _lines(run, ("critic_weights/50", "median", "c1")),
        bands=_quantiles(run, "critic_weights", "c1"),
        references=[] if bound is None else [(bound, f"bound {bound:g}"), (-bound, f"bound {-bound:g}")],
    )


def _variety(run: Run, marks: Marks) -> Charts:
    lines = _lines(
        run,
        ("diversity", "diversity", "c1"),
        ("recall", "recall", "c3"),
        ("coverage", "coverage", "c4 dashed"),
    )
    meaning = "Near 1, samples are as varied as real ones; falling towards 0, they are becoming all alike."
    yield from _chart(
        run, marks, "SampleDiversity", meaning, lines, references=[(1.0, "like real")], from_zero=True
    )


def _copies(run: Run, marks: Marks) -> Charts:
    lines = _lines(
        run,
        ("duplicates", "of one another", "c1"),
        ("memorised", "of training samples", "c4 dashed"),
    )
    meaning = "The share of samples that are copies: it should stay near zero."
    yield from _chart(run, marks, "Copies", meaning, lines, from_zero=True)


def _losses(run: Run, marks: Marks) -> Charts:
    lines = _lines(run, ("critic_loss", "critic", "c1"), ("generator_loss", "generator", "c4 dashed"))
    meaning = "What each network minimises: neither need fall for the samples to improve, so watch the gap."
    yield from _chart(run, marks, "Losses", meaning, lines)


def _updates(run: Run, marks: Marks) -> Charts:
    lines = _lines(run, ("critic_update", "critic", "c1"), ("generator_update", "generator", "c4 dashed"))
    meaning = (
        "How far a step moves the weights, as a share of their size: about a thousandth is usual, a tenth "
        "too fast, a millionth too slow."
    )
    yield from _chart(run, marks, "Size of an update", meaning, lines, log=True)


def _dead(run: Run, marks: Marks) -> Charts:
    lines = _lines(run, ("critic_dead", "critic", "c1"), ("generator_dead", "generator", "c4 dashed"))
    meaning = "The share of units that answer to nothing: they learn no more, so it should stay near zero."
    yield from _chart(run, marks, "Dead units", meaning, lines, from_zero=True)


def _speed(run: Run, marks: Marks) -> Charts:
    values = run.clock("images_per_second")
    if any(value is not None for value in values):
        yield Chart(
            "Speed",
            "Real samples seen each second: a drop says that something else kept the machine busy.",
            [row["step"] for row in run.timing],
            lines=[Line("samples each second", values, "c5")],
            marks=marks,
            from_zero=True,
        )


Maker = Callable[[Run, Marks], Charts]

_GROUPS: dict[str, Sequence[Maker]] = {
    "Is it learning?": (_gap, _bracket, _scores, _heaps),
    "Is the critic sound?": (_slopes, _penalty, _layers, _gradients, _clipping, _weights, _weight_heaps),
    "Are the samples varied?": (_variety, _copies),
    FOLDED: (_losses, _updates, _dead, _speed),
}


def _lines(run: Run, *wanted: tuple[str, str, str]) -> list[Line]:
    """Lines of those numbers that were logged, each from its key, name and style."""
    return [
        Line(name, run.series(key), style.split()[0], dashed="dashed" in style)
        for key, name, style in wanted
        if run.has(key)
    ]


def _quantiles(run: Run, key: str, colour: str) -> list[Band]:
    pairs = [(f"{key}/05", f"{key}/95"), (f"{key}/25", f"{key}/75")]
    return [
        Band(run.series(low), run.series(high), colour)
        for low, high in pairs
        if run.has(low) and run.has(high)
    ]


def _chart(
    run: Run,
    marks: Marks,
    title: str,
    reading: str,
    lines: Sequence[Line],
    *,
    bands: Sequence[Band] = (),
    references: Sequence[tuple[float, str]] = (),
    log: bool = False,
    from_zero: bool = False,
) -> Charts:
    """The chart, unless it would have no line."""
    if lines:
        yield Chart(title, reading, run.steps, lines, bands, references, marks, log=log, from_zero=from_zero)

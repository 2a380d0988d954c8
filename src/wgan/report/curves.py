"""The charts of a report: their data, and how each is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from wgan.monitors import Histogram, display_name
from wgan.report.charts import Band, Chart, Line
from wgan.report.numbers import evenly_spaced
from wgan.report.ridges import HistogramRows, RidgePlot, RidgeStyle
from wgan.report.run_data import RunData, as_number

RAMP = 8
"""Number of layers shown of a deep network, at most, and of colours from the first to the last."""

FOLDED = "Details: losses, updates, dead units, speed"
"""Charts for whoever looks for the cause of a problem."""

Marks = Sequence[tuple[int, str]]
Figures = Iterator[Chart | RidgePlot]


@final
@dataclass(frozen=True)
class ChartGroup:
    """Charts that answer one question.

    Attributes:
        title: The question.
        charts: At least one.
        folded: Whether they are shown on request only.
    """

    title: str
    charts: Sequence[Chart | RidgePlot]
    folded: bool


def chart_groups(run: RunData, marks: Marks = ()) -> list[ChartGroup]:
    """All charts for which the run has data.

    Args:
        run: The run; one without log points has no charts.
        marks: Steps to mark in each chart, each with a name.
    """
    if not run.rows:
        return []
    groups = (
        ChartGroup(title, [chart for make in makers for chart in make(run, marks)], title == FOLDED)
        for title, makers in _GROUPS.items()
    )
    return [group for group in groups if group.charts]


@final
@dataclass(frozen=True)
class _Curves:
    """A chart of logged metrics, left out where none of its lines was logged.

    Attributes:
        title: Title.
        reading: One sentence on how to read it.
        lines: Key, name and style (a colour, perhaps ``dashed``) of each line.
        quantiles: Key and colour of distributions whose middle half and nine tenths are drawn as bands.
        references: Named levels.
        log: Whether the vertical axis is logarithmic.
        from_zero: Whether the vertical axis includes zero.
        unless_zero: A metric without which, or with zeros only, the chart is left out.
    """

    title: str
    reading: str
    lines: Sequence[tuple[str, str, str]]
    quantiles: Sequence[tuple[str, str]] = ()
    references: Sequence[tuple[float, str]] = ()
    log: bool = False
    from_zero: bool = False
    unless_zero: str | None = None

    def __call__(self, run: RunData, marks: Marks) -> Figures:
        lines = _lines(run, self.lines)
        logged = self.unless_zero is None or any(row.get(self.unless_zero) for row in run.rows)
        if lines and logged:
            bands = [band for key, colour in self.quantiles for band in _quantiles(run, key, colour)]
            yield Chart(
                self.title,
                self.reading,
                run.steps,
                lines,
                bands,
                self.references,
                marks,
                log=self.log,
                from_zero=self.from_zero,
            )


def _lines(run: RunData, lines: Sequence[tuple[str, str, str]]) -> list[Line]:
    return [
        Line(name, run.series(key), style.split()[0], dashed="dashed" in style)
        for key, name, style in lines
        if run.has(key)
    ]


def _quantiles(run: RunData, key: str, colour: str) -> Iterator[Band]:
    for low, high in ((f"{key}/05", f"{key}/95"), (f"{key}/25", f"{key}/75")):
        if run.has(low) and run.has(high):
            yield Band(run.series(low), run.series(high), colour)


def _networks(key: str, suffix: str = "") -> tuple[tuple[str, str, str], ...]:
    """Lines of a metric of both networks."""
    return (
        (f"critic_{key}", f"critic{suffix}", "c1"),
        (f"generator_{key}", f"generator{suffix}", "c4 dashed"),
    )


def _gap(run: RunData, marks: Marks) -> Figures:
    loss = run.setting("loss")
    name = display_name("gap", loss=loss)
    reading = (
        "Mean score of real samples minus that of generated ones, which estimates the Wasserstein distance. "
        "It should fall towards zero; training far above held-out means that the critic overfits."
        if loss == "wasserstein"
        else "How much higher the critic scores real samples. Under this loss it is not a distance, but "
        "training far above held-out still means that the critic overfits."
    )
    lines = (("gap", "training data", "c1"), ("gap_held_out", "held-out data", "c2 dashed"))
    yield from _Curves(name[:1].upper() + name[1:], reading, lines, from_zero=True)(run, marks)


def _bracket(run: RunData, marks: Marks) -> Figures:
    if run.has("w1_lower") and run.has("w1_upper"):
        yield Chart(
            "W1 distance, between proven bounds",
            "The true distance between real and generated samples lies within the band, at each step with "
            "99\u00a0% confidence; zero would be perfect.",
            run.steps,
            lines=_lines(run, (("w1_lower", "at least", "c3 dashed"), ("w1_upper", "at most", "c3"))),
            bands=[Band(run.series("w1_lower"), run.series("w1_upper"), "c3")],
            marks=marks,
            from_zero=True,
        )


_scores = _Curves(
    "Critic scores",
    "Bands contain the middle half and the middle nine tenths of the samples: the more generated overlaps "
    "real, the less the critic can tell them apart.",
    (
        ("score_real/50", "real, median", "c1"),
        ("score_held_out/50", "held out, median", "c2 dashed"),
        ("score_fake/50", "generated, median", "c4"),
    ),
    quantiles=(("score_real", "c1"), ("score_fake", "c4")),
)


def _score_ridges(run: RunData, marks: Marks) -> Figures:
    styles = (
        RidgeStyle("score_real", "real", "c1"),
        RidgeStyle("score_held_out", "held out", "c2", filled=False),
        RidgeStyle("score_fake", "generated", "c4"),
    )
    reading = (
        "Scores minus the mean real one, one ridge per step, the last in front. The ridge of generated ones "
        "should move under that of real ones; a second peak is a kind of sample that the critic tells apart."
    )
    rows = [(step, _centred(histograms)) for step, histograms in run.histograms]
    yield from _ridges(rows, "Distribution of the scores", reading, styles)


def _weight_ridges(run: RunData, marks: Marks) -> Figures:
    reading = "One peak around zero is normal; two peaks at the ends are weights that pile up at a bound."
    styles = (RidgeStyle("critic_weights", "critic weights", "c1"),)
    yield from _ridges(run.histograms, "Distribution of the critic weights", reading, styles)


def _centred(histograms: Mapping[str, Histogram]) -> Mapping[str, Histogram]:
    """Scores have no natural zero: shift those of a step so that the mean real score is zero."""
    if (real := histograms.get("score_real")) is None:
        return {}
    return {
        name: replace(one, low=one.low - real.mean, high=one.high - real.mean)
        for name, one in histograms.items()
    }


def _ridges(rows: HistogramRows, title: str, reading: str, styles: Sequence[RidgeStyle]) -> Figures:
    keys = {style.key for style in styles}
    if drawn := [(step, histograms) for step, histograms in rows if keys & histograms.keys()]:
        yield RidgePlot(title, reading, drawn, styles)


def _slopes(run: RunData, marks: Marks) -> Figures:
    target = as_number(run.setting("constraint.target"))
    yield from _slope(
        run,
        marks,
        "slope",
        "Critic slope between real and generated",
        "How steep the critic is between real and generated samples: the constraint should hold it at one "
        "level, and a line that keeps rising means that it does not.",
        [] if target is None else [(target, f"target {target:g}")],
    )
    yield from _slope(
        run,
        marks,
        "slope_pairs",
        "Critic slope between real samples",
        "How differently the critic scores two real samples, relative to their distance: no pair should be "
        "steeper than the slope between real and generated samples.",
    )


def _slope(
    run: RunData,
    marks: Marks,
    key: str,
    title: str,
    reading: str,
    references: Sequence[tuple[float, str]] = (),
) -> Figures:
    lines = (
        (f"{key}/50", "median", "c1"),
        (f"{key}/95", "95 % are below", "c3"),
        (f"{key}/max", "steepest", "c4 dashed"),
    )
    values = [value for line in _lines(run, lines) for value in line.values if value]
    log = bool(values) and max(values) > 30 * min(values)
    curves = _Curves(title, reading, lines, references=references, log=log, from_zero=True)
    yield from curves(run, marks)


def _layers(run: RunData, marks: Marks) -> Figures:
    names = [name for name in run.names("critic_gradient/") if run.has(name)]
    chosen = [names[index] for index in evenly_spaced(len(names), RAMP)]
    colours = [f"r{index}" for index in evenly_spaced(RAMP, max(len(chosen), 2))]
    yield from _Curves(
        "Critic gradient by layer",
        "From the first layer (dark) to the last (bright): healthy lines stay close together, and lines that "
        "fan out over powers of ten are gradients that vanish or explode with depth.",
        [(key, key.partition("/")[2], colour) for key, colour in zip(chosen, colours, strict=False)],
        log=True,
    )(run, marks)


def _weights(run: RunData, marks: Marks) -> Figures:
    bound = as_number(run.setting("constraint.c"))
    yield from _Curves(
        "Critic weights",
        "The line is the median weight, the bands contain half and nine tenths of all; they should settle.",
        (("critic_weights/50", "median", "c1"),),
        quantiles=(("critic_weights", "c1"),),
        references=[] if bound is None else [(bound, f"bound {bound:g}"), (-bound, f"bound {-bound:g}")],
    )(run, marks)


def _speed(run: RunData, marks: Marks) -> Figures:
    values = run.clock("images_per_second")
    if any(value is not None for value in values):
        yield Chart(
            "Speed",
            "Real samples processed per second: a drop means that something else used the machine.",
            [row["step"] for row in run.timing],
            lines=[Line("samples per second", values, "c5")],
            marks=marks,
            from_zero=True,
        )


_GROUPS: dict[str, Sequence[Callable[[RunData, Marks], Figures]]] = {
    "Is it learning?": (_gap, _bracket, _scores, _score_ridges),
    "Is the critic healthy?": (
        _slopes,
        _Curves(
            "Gradient penalty",
            "The constraint's term of the critic loss: near zero it holds, rising it is violated.",
            (("penalty", display_name("penalty"), "c4"),),
            from_zero=True,
            unless_zero="penalty",
        ),
        _layers,
        _Curves(
            "Gradient norms",
            "Norm of each network's gradient: it may fluctuate, but a steady rise or fall over powers of ten "
            "is a problem.",
            _networks("gradient"),
            log=True,
        ),
        _Curves(
            "Clipped weights",
            "Share of weights at the bound: near 1, the critic has become a crude on-off function.",
            (("clipped", "share of weights", "c4"),),
            from_zero=True,
            unless_zero="clipped",
        ),
        _weights,
        _weight_ridges,
    ),
    "Are the samples diverse?": (
        _Curves(
            "Sample diversity",
            "Near 1, samples are as diverse as real ones; falling towards 0, they become all alike.",
            (
                ("diversity", "diversity", "c1"),
                ("recall_held_out", "recall (held-out)", "c3"),
                ("coverage_held_out", "coverage (held-out)", "c4 dashed"),
            ),
            references=[(1.0, "like real")],
            from_zero=True,
        ),
        _Curves(
            "Copies",
            "Share of samples that are copies: it should stay near zero.",
            (("duplicates", "of one another", "c1"), ("memorised", "of training samples", "c4 dashed")),
            from_zero=True,
        ),
    ),
    FOLDED: (
        _Curves(
            "Losses",
            "What each network minimises: neither has to fall for the samples to improve; watch the gap.",
            _networks("loss", " loss"),
        ),
        _Curves(
            "Size of an update",
            "Change of the weights in one step, relative to their norm: about a thousandth is usual, a tenth "
            "too fast, a millionth too slow.",
            _networks("update"),
            log=True,
        ),
        _Curves(
            "Dead units",
            "Share of units that are zero for every input and no longer learn: it should stay near zero.",
            _networks("dead"),
            from_zero=True,
        ),
        _speed,
    ),
}

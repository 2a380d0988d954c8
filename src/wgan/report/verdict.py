"""The verdict: the state of a run in two sentences, for readers who have never trained a GAN."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import final

from wgan.diagnosis import Finding
from wgan.report.numbers import format_number, present
from wgan.report.run_data import RunData, as_number
from wgan.report.run_diagnosis import worst_severity

EARLY = 4
"""Number of log points below which nothing can be concluded."""
AS_GOOD = 1.3
"""A distance below this multiple of that of real samples cannot be told from it."""
SIGNIFICANT = 2.0
"""Difference in standard errors above which two numbers differ."""
CLOSER = 0.8
"""A gap below this share of its greatest value has fallen."""


@final
@dataclass(frozen=True)
class Verdict:
    """The state of a run.

    Attributes:
        tone: ``good``, ``warning``, ``error`` or ``open``.
        state: A few words: ``Finished``, ...
        sentences: Two.
    """

    tone: str
    state: str
    sentences: tuple[str, str]


def reach_verdict(run: RunData, findings: Sequence[Finding]) -> Verdict:
    """Judge a run by its divergence, else by its most important finding, else by its progress."""
    worst = worst_severity(findings)
    if run.diverged_at is not None:
        first = (
            f"At step {run.diverged_at:,} the numbers of the training were not finite any more, so it was "
            "stopped there."
        )
        second = _first_sentence(findings[0].advice) if worst != "good" else _ADVICE
        return Verdict("error", "Diverged", (first, second))
    if not run.rows:
        return (
            Verdict("open", "Finished", _FINISHED)
            if run.finished
            else Verdict("open", "Just started", _NO_ROWS)
        )
    state = "Finished" if run.finished else "Not finished"
    if worst != "good":
        cause = findings[0]  # which explains the others
        label = "something is wrong" if worst == "error" else "worth a look"
        sentences = (_first_sentence(cause.meaning), _first_sentence(cause.advice))
        return Verdict(worst, f"{state} · {label}", sentences)
    return Verdict("good", f"{state} · looks healthy", (_healthy(run), _progress(run)))


_ADVICE = "The last healthy checkpoint is still there; use lower learning rates or a stronger constraint."
_FINISHED = (
    "This run is finished, and was too short to log any metrics, so there is nothing to judge.",
    "Log more often (the setting logging.metrics), or train for more steps.",
)
_NO_ROWS = (
    "This run has not logged any metrics yet, so there is nothing to judge.",
    "Run its command again to resume it, then look at the report again.",
)


def _healthy(run: RunData) -> str:
    if run.finished:
        steps = "1 step" if run.done == 1 else f"{run.done:,} steps"
        return f"The run finished all of its {steps}, and nothing in it looks wrong."
    planned = "" if run.planned is None else f" of {run.planned:,}"
    return f"The run has done {run.done:,}{planned} steps, and nothing looks wrong so far."


def _progress(run: RunData) -> str:
    """Progress by the evaluated distance, else by the gap."""
    return (
        _evaluated(run)
        or _gap_progress(run)
        or (f"Look at its images, and evaluate them with `wgan evaluate {run.path}`.")
    )


def _evaluated(run: RunData) -> str | None:
    rows = [row for row in run.results if row["name"] == "fd"]
    if not rows or rows[-1]["step"] != run.done:
        return None
    (value, error), (best, slack) = _with_error(rows[-1]), _with_error(rows[-1].get("floor"))
    if value is None or best is None or best <= 0 or value < 0:
        return None
    numbers = f"({format_number(value)} against {format_number(best)})"
    if value <= max(AS_GOOD * best, best + SIGNIFICANT * hypot(error, slack)):
        return f"By the Fréchet distance, its samples are as close to the data as new real ones {numbers}."
    return (
        f"By the Fréchet distance, its samples are {format_number(value / best, 2)} times as far from the "
        f"data as new real ones {numbers}."
    )


def _with_error(row: object) -> tuple[float | None, float]:
    if not isinstance(row, Mapping):
        return None, 0.0
    return as_number(row.get("value")), as_number(row.get("standard_error")) or 0.0


def _gap_progress(run: RunData) -> str | None:
    values = present(run.series("gap_held_out" if run.has("gap_held_out") else "gap"))
    if len(values) < EARLY:
        return "It is too early to say how good its samples are."
    peak, last = max(values), sum(values[-EARLY:]) / EARLY
    if run.setting("loss") != "wasserstein" or peak <= 0:
        return None
    if last > CLOSER * peak:
        return (
            "Its samples are not getting closer to the real ones yet: the gap between the two is still about "
            "as wide as it ever was, so more steps may help."
        )
    return (
        f"Its samples have come closer to the real ones: the gap between the two fell from at most "
        f"{format_number(peak)} to {format_number(max(last, 0.0), 2)}, and at 0 the critic could not tell "
        "them apart."
    )


def _first_sentence(text: str) -> str:
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip(), maxsplit=1)[0]
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."

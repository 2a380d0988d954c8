"""The verdict: how it went, in two sentences for somebody who has never trained such a network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import final

from wgan.report.findings import Finding, tone
from wgan.report.numbers import counted, finite, shown
from wgan.report.run_data import Run, number

EARLY = 4
"""Log points that say nothing yet."""
AS_GOOD = 1.3
"""A distance below so many times what real samples get is as small as can be told."""
SURE = 2.0
"""Standard errors by which two numbers differ that can be told apart."""
CLOSER = 0.8
"""A gap below this share of its greatest value has come down."""


@final
@dataclass(frozen=True)
class Verdict:
    """How it went.

    Attributes:
        tone: ``good``, ``warning``, ``error`` or ``open``.
        state: A few words: ``Finished``, ...
        sentences: Two.
    """

    tone: str
    state: str
    sentences: tuple[str, str]


def verdict(run: Run, found: Sequence[Finding]) -> Verdict:
    """Judge a run: by what ended it, else by its most important finding, else by its progress."""
    worst = tone(found)
    if run.diverged_at is not None:
        return Verdict("error", "Broke down", (_broke(run.diverged_at), _way_out(found)))
    if not run.rows:
        return Verdict("open", *_nothing(run))
    if worst != "good":
        lead = found[0]  # which explains the others
        label = "something is wrong" if worst == "error" else "worth a look"
        return Verdict(worst, f"{_state(run)} · {label}", (_first(lead.meaning), _first(lead.advice)))
    return Verdict("good", f"{_state(run)} · looks healthy", (_sound(run), _progress(run)))


def _state(run: Run) -> str:
    return "Finished" if run.finished else "Not finished"


def _broke(step: int) -> str:
    return f"At step {step:,} the training's numbers grew beyond all bounds, so it was ended there."


def _way_out(found: Sequence[Finding]) -> str:
    if tone(found) != "good":
        return _first(found[0].advice)
    return (
        "The last healthy checkpoint is kept; start a new run with a lower learning rate or a stronger "
        "constraint."
    )


def _nothing(run: Run) -> tuple[str, tuple[str, str]]:
    first = "This run has not written down any numbers yet, so there is nothing to judge."
    return "Just started", (first, "Run its command again to go on with it, then look here again.")


def _sound(run: Run) -> str:
    if run.finished:
        return f"The run finished all of its {counted(run.done, 'step')}, and nothing in it looks wrong."
    whole = "" if run.planned is None else f" of {run.planned:,}"
    return f"The run has done {run.done:,}{whole} steps, and nothing looks wrong so far."


def _progress(run: Run) -> str:
    """What it came to: by what was measured, else by the gap."""
    return _measured(run) or _gap(run) or _look(run)


def _measured(run: Run) -> str | None:
    rows = [row for row in run.numbers if row["name"] == "fd"]
    if not rows or rows[-1]["step"] != run.done:
        return None
    (value, error), (best, slack) = _with_error(rows[-1]), _with_error(rows[-1].get("floor"))
    if value is None or best is None or best <= 0 or value < 0:
        return None
    told = f"({shown(value)} against {shown(best)})"
    if value <= max(AS_GOOD * best, best + SURE * hypot(error, slack)):
        return (
            f"Measured by the Fréchet distance, its samples are as close to the data as new real ones {told}."
        )
    return (
        f"Measured by the Fréchet distance, its samples are {shown(value / best, 2)} times as far from the "
        f"data as new real ones are {told}."
    )


def _with_error(row: object) -> tuple[float | None, float]:
    if not isinstance(row, Mapping):
        return None, 0.0
    return number(row.get("value")), number(row.get("standard_error")) or 0.0


def _gap(run: Run) -> str | None:
    name = "gap_held_out" if run.has("gap_held_out") else "gap"
    values = finite(run.series(name))
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
        f"Its samples have come closer to the real ones: the gap between the two went from {shown(peak)} at "
        f"its widest to {shown(max(last, 0.0), 2)}, and 0 would mean that the critic cannot tell them apart."
    )


def _look(run: Run) -> str:
    return f"Look at its images, and measure them with `wgan evaluate {run.path}`."


def _first(text: str) -> str:
    """The first sentence."""
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip(), maxsplit=1)[0]
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."

"""The contents of a run's folder, read so that a folder in any state can be reported on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, final

from wgan.diagnosis import VITAL
from wgan.errors import InputError
from wgan.monitors import Histogram
from wgan.runs import Row, RunFolder, saved_steps, setting

LARGEST = 1e300
"""Larger numbers cannot be computed with or drawn."""

_T = TypeVar("_T")


@final
@dataclass(frozen=True)
class RunData:
    """The contents of a run's folder.

    Attributes:
        path: The folder, as the caller named it.
        config: ``config.json``.
        rows: ``metrics.jsonl``, in rising order of steps; None for a value that is not a finite number.
        timing: ``timing.jsonl``, likewise.
        histograms: ``histograms.jsonl``: steps, rising, each with histograms by name.
        data: ``data.json``.
        results: ``evaluation.json``.
        problems: Sentences about files that could not be read.
        images: The files in ``samples/``, in step order.
        saved: The last step with a checkpoint; None without one.
    """

    path: Path
    config: Mapping[str, Any]
    rows: Sequence[Row]
    timing: Sequence[Row]
    histograms: Sequence[tuple[int, Mapping[str, Histogram]]]
    data: Mapping[str, Any]
    results: Sequence[Row]
    problems: Sequence[str]
    images: Sequence[Path]
    saved: int | None

    @property
    def steps(self) -> list[int]:
        """Steps of the log points."""
        return [row["step"] for row in self.rows]

    @property
    def done(self) -> int:
        """The last step that was logged or saved."""
        return max([0, *self.steps[-1:], self.saved or 0])

    @property
    def planned(self) -> int | None:
        """Number of steps that the run was started for."""
        steps = self.config.get("steps")
        return steps if isinstance(steps, int) else None

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.planned is not None and self.done >= self.planned

    @property
    def diverged_at(self) -> int | None:
        """Step of the non-finite numbers that ended the run; None if it did not diverge."""
        last = self.rows[-1] if self.rows else {}
        diverged = any(name in last and last[name] is None for name in VITAL)
        return last["step"] if diverged else None

    def series(self, name: str) -> list[float | None]:
        """A metric at each log point."""
        return [row.get(name) for row in self.rows]

    def clock(self, name: str) -> list[float | None]:
        """A value of ``timing.jsonl`` at each log point."""
        return [row.get(name) for row in self.timing]

    def has(self, name: str) -> bool:
        """Whether a metric was ever logged."""
        return any(row.get(name) is not None for row in self.rows)

    def names(self, prefix: str) -> list[str]:
        """Names of the metrics with this prefix, in the order in which they were logged."""
        return list(dict.fromkeys(name for row in self.rows for name in row if name.startswith(prefix)))

    def setting(self, path: str) -> Any:  # noqa: ANN401 - any value of config.json
        """The part of the configuration at a dotted path; None where there is none."""
        return setting(self.config, path)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of one sample."""
        shape = self.setting("dataset.shape")
        valid = isinstance(shape, list) and shape and all(isinstance(side, int) for side in shape)
        return tuple(shape) if valid else None


def read_run(path: Path) -> RunData:
    """Read a run's folder; InputError if it is not one, or if its configuration cannot be read."""
    folder = RunFolder(path)
    config = folder.read_config()
    problems: list[str] = []
    return RunData(
        path=path,
        config=config,
        rows=_rising(folder.history()),
        timing=_rising(folder.history("timing")),
        histograms=list(_histograms(folder.history("histograms"))),
        data=_read_or_note(folder.read_data, problems) or {},
        results=_read_or_note(folder.read_numbers, problems) or [],
        problems=problems,
        images=folder.images(),
        saved=max(saved_steps(folder.checkpoints), default=None),
    )


def as_number(value: object) -> float | None:
    """A value as a float of at most :data:`LARGEST` in size; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= LARGEST else None


def _read_or_note(read: Callable[[], _T], problems: list[str]) -> _T | None:
    try:
        return read()
    except InputError as error:
        problems.append(str(error))
        return None


def _rising(rows: Sequence[Any]) -> list[Row]:
    """The rows with a step after that of the row before, as numbers."""
    return [
        {name: as_number(value) for name, value in row.items()} | {"step": step}
        for step, row in _with_rising_steps(rows)
    ]


def _histograms(rows: Sequence[Any]) -> Iterator[tuple[int, Mapping[str, Histogram]]]:
    for step, row in _with_rising_steps(rows):
        yield step, {name: found for name, value in row.items() if (found := _as_histogram(value))}


def _with_rising_steps(rows: Sequence[Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    last = -1
    for row in rows:
        step = row.get("step") if isinstance(row, dict) else None
        if isinstance(step, int) and not isinstance(step, bool) and last < step < 2**53:
            last = step
            yield step, row


def _as_histogram(value: object) -> Histogram | None:
    if not isinstance(value, dict):
        return None
    low, high, counts = as_number(value.get("low")), as_number(value.get("high")), value.get("counts")
    if low is None or high is None or low > high or not isinstance(counts, list) or not any(counts):
        return None
    valid = all(isinstance(count, int) and 0 <= count < 2**53 for count in counts)
    return Histogram(low, high, tuple(counts)) if valid else None

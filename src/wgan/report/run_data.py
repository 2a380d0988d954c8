"""What a run's folder says, read so that a folder in any state says something."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, final

from wgan.diagnosis import VITAL
from wgan.errors import InputError
from wgan.monitors import Histogram
from wgan.runs import RunFolder, saved_steps, setting

Row = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Run:
    """A run as its report needs it.

    Attributes:
        path: Its folder, as it was named.
        config: ``config.json``.
        rows: ``metrics.jsonl``, in rising order of steps; what is no finite number is None.
        timing: ``timing.jsonl``, likewise.
        shapes: ``histograms.jsonl``: steps, rising, each with histograms by name.
        data: ``data.json``.
        numbers: ``evaluation.json``.
        trouble: What could not be read, in sentences.
        images: The files in ``samples/``, in step order.
        saved: The last step with a checkpoint; None without one.
    """

    path: Path
    config: Mapping[str, Any]
    rows: Sequence[Row]
    timing: Sequence[Row]
    shapes: Sequence[tuple[int, Mapping[str, Histogram]]]
    data: Row
    numbers: Sequence[Row]
    trouble: Sequence[str]
    images: Sequence[Path]
    saved: int | None

    @property
    def steps(self) -> list[int]:
        """Those of the log points."""
        return [row["step"] for row in self.rows]

    @property
    def done(self) -> int:
        """The last step that left a trace."""
        return max([0, *self.steps[-1:], self.saved or 0])

    @property
    def planned(self) -> int | None:
        """How many steps the run was asked for."""
        steps = self.config.get("steps")
        return steps if isinstance(steps, int) else None

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.planned is not None and self.done >= self.planned

    @property
    def diverged_at(self) -> int | None:
        """The step at which the numbers were not finite any more, which ended the run."""
        last = self.rows[-1] if self.rows else {}
        lost = any(name in last and last[name] is None for name in VITAL)
        return last["step"] if lost else None

    def series(self, name: str) -> list[float | None]:
        """A number at each log point."""
        return [row.get(name) for row in self.rows]

    def clock(self, name: str) -> list[float | None]:
        """What the clock said at each log point."""
        return [row.get(name) for row in self.timing]

    def has(self, name: str) -> bool:
        """Whether a number was ever logged."""
        return any(row.get(name) is not None for row in self.rows)

    def names(self, prefix: str) -> list[str]:
        """All names of numbers that begin so, in the order in which they were logged."""
        return list(dict.fromkeys(name for row in self.rows for name in row if name.startswith(prefix)))

    def setting(self, path: str) -> Any:  # noqa: ANN401 - whatever stands in config.json
        """The part of the configuration at a dotted path; None where there is none."""
        return setting(self.config, path)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of a sample."""
        shape = self.setting("dataset.shape")
        whole = isinstance(shape, list) and shape and all(isinstance(side, int) for side in shape)
        return tuple(shape) if whole else None


def gather(path: Path) -> Run:
    """Read a run's folder.

    Raises:
        InputError: This is no run folder, or its configuration cannot be read.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    trouble: list[str] = []
    return Run(
        path=path,
        config=config,
        rows=_rising(folder.history()),
        timing=_rising(folder.history("timing")),
        shapes=list(_shapes(folder.history("histograms"))),
        data=_readable(folder.read_data, trouble) or {},
        numbers=_readable(folder.read_numbers, trouble) or [],
        trouble=trouble,
        images=folder.images(),
        saved=max(saved_steps(folder.checkpoints), default=None),
    )


HUGE = 1e300
"""Beyond this there is no arithmetic, and no chart."""


def number(value: object) -> float | None:
    """A value as a number of at most :data:`HUGE`, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        plain = float(value)
    except OverflowError:
        return None
    return plain if abs(plain) <= HUGE else None


Content = TypeVar("Content")


def _readable(read: Callable[[], Content], trouble: list[str]) -> Content | None:
    """What is read; or None, and a word about it."""
    try:
        return read()
    except InputError as error:
        trouble.append(str(error))
        return None


def _shapes(rows: Sequence[Any]) -> Iterator[tuple[int, Mapping[str, Histogram]]]:
    """What is a histogram of each row that has a step after the one before it."""
    last = -1
    for row in rows:
        step = row.get("step") if isinstance(row, dict) else None
        if isinstance(step, int) and not isinstance(step, bool) and last < step < 2**53:
            found = {name: shape for name, part in row.items() if (shape := _shape(part))}
            last = step
            yield step, found


def _shape(part: object) -> Histogram | None:
    if not isinstance(part, dict):
        return None
    low, high, counts = number(part.get("low")), number(part.get("high")), part.get("counts")
    if low is None or high is None or low > high or not isinstance(counts, list) or not any(counts):
        return None
    whole = all(isinstance(count, int) and 0 <= count < 2**53 for count in counts)
    return Histogram(low, high, tuple(counts)) if whole else None


def _rising(rows: Sequence[Any]) -> list[Row]:
    """Rows that are objects with a step, each after the one before it."""
    kept: list[Row] = []
    for row in rows:
        step = row.get("step") if isinstance(row, dict) else None
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**53:
            continue
        if not kept or step > kept[-1]["step"]:
            kept.append({name: number(value) for name, value in row.items()} | {"step": step})
    return kept

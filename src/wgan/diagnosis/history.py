"""The history of a run: its logs and configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from wgan.errors import InputError
from wgan.runs import Row, RunFolder, setting

Series = npt.NDArray[np.float64]
"""One number per log point; NaN for a missing one."""
Mask = npt.NDArray[np.bool_]
"""One truth value per log point."""


@final
@dataclass(frozen=True)
class History:
    """The log of a run so far.

    Attributes:
        rows: One per log point, in order: the step and the metrics, as in ``metrics.jsonl``.
        config: The run's configuration, as in ``config.json``.
        timing: One per log point: times and memory use, as in ``timing.jsonl``.
        data: Statistics of the training data, as in ``data.json``.
        probe: Result of :func:`wgan.probing.probe_critic` at the last checkpoint; empty without one.
    """

    rows: Sequence[Row]
    config: Mapping[str, Any] = field(default_factory=dict)
    timing: Sequence[Row] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    probe: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def load(cls, run: RunFolder | str | PathLike[str]) -> History:
        """Read the history of a run folder.

        Raises:
            InputError: This is not a run folder, or its configuration is broken.
        """
        folder = run if isinstance(run, RunFolder) else RunFolder(Path(run))
        config = folder.read_config()
        return cls(folder.history(), config, folder.history("timing"), folder.read_data())

    @classmethod
    def of(cls, run: History | RunFolder | str | PathLike[str] | Sequence[Row]) -> History:
        """The history of a run in any of these forms; see :func:`wgan.diagnosis.diagnose`."""
        if isinstance(run, History):
            return run
        if isinstance(run, RunFolder | str | PathLike):
            return cls.load(run)
        rows = list(run)
        steps = [row.get("step") if isinstance(row, Mapping) else None for row in rows]
        if not all(isinstance(step, int) for step in steps) or steps != sorted(set(steps)):  # type: ignore[type-var]
            raise InputError(
                "rows must be mappings with a whole number 'step' that rises from row to row, as in "
                f"metrics.jsonl, and these have the steps {steps[:5]}."
            )
        return cls(rows)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Steps of the log points."""
        return np.array([row["step"] for row in self.rows], dtype=np.int64)

    def __getitem__(self, name: str) -> Series:
        """A metric by log point; NaN where it is missing or not finite."""
        return _column(self.rows, name)

    def clock(self, name: str) -> Series:
        """A value of ``timing.jsonl`` by log point."""
        return _column(self.timing, name)

    def layers(self, group: str) -> Series:
        """All metrics named ``group/...``, in the order of the first row: (log points, names)."""
        names = [name for name in (self.rows[0] if self.rows else ()) if name.startswith(f"{group}/")]
        columns = [self[name] for name in names]
        return np.stack(columns, 1) if columns else np.full((len(self.rows), 0), np.nan)

    @property
    def decay(self) -> Series:
        """The factor on the learning rates in the step before each log point, in (0, 1]."""
        steps = max(1, self.setting("steps") or 1)
        done = np.clip((self.steps - 1) / steps, 0.0, 1.0 - 1.0 / steps)
        shares = {"linear": 1 - done, "cosine": (1 + np.cos(np.pi * done)) / 2}
        return shares.get(str(self.setting("decay")), np.ones(len(done)))

    def setting(self, path: str) -> Any:  # noqa: ANN401 - any plain value
        """A setting of the configuration by its dotted path; None where there is none."""
        return setting(self.config, path)

    def until(self, step: int) -> History:
        """The history as it was at a step."""
        return replace(
            self,
            rows=[row for row in self.rows if row["step"] <= step],
            timing=[row for row in self.timing if row["step"] <= step],
        )


def _column(rows: Sequence[Row], name: str) -> Series:
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], dtype=np.float64)

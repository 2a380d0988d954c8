"""What a run wrote down about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from wgan.runs import RunFolder, setting

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Row = Mapping[str, Any]


@final
@dataclass(frozen=True)
class History:
    """A run's log, as far as it goes.

    Attributes:
        rows: One a log point, in order: the step and what was observed there, as in ``metrics.jsonl``.
        config: The run's configuration, as in ``config.json``.
        timing: One a log point: what the clock said.
        data: What was found in the training data before the first step.
        probe: What :func:`wgan.probing.probe_critic` found at the last checkpoint, if it was asked to.
    """

    rows: Sequence[Row]
    config: Mapping[str, Any] = field(default_factory=dict)
    timing: Sequence[Row] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    probe: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def load(cls, run_dir: str | Path) -> History:
        """The history of a run folder.

        Raises:
            InputError: This is no run folder, or its configuration is broken.
        """
        folder = RunFolder(Path(run_dir))
        config = folder.read_config()
        return cls(folder.history(), config, folder.history("timing"), folder.read_data())

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """The steps of the log points."""
        return np.array([row["step"] for row in self.rows], dtype=np.int64)

    def __getitem__(self, name: str) -> Array:
        """What was observed under a name, by log point; NaN where it was not, or was not finite."""
        return _column(self.rows, name)

    def clock(self, name: str) -> Array:
        """What the clock said under a name."""
        return _column(self.timing, name)

    def layers(self, group: str) -> Array:
        """Everything under ``group/``, in the order of the first row: (log points, names)."""
        names = [name for name in (self.rows[0] if self.rows else ()) if name.startswith(f"{group}/")]
        columns = [self[name] for name in names]
        return np.stack(columns, 1) if columns else np.full((len(self.rows), 0), np.nan)

    @property
    def decay(self) -> Array:
        """The share of the full learning rates that was in force in the step before each log point, > 0."""
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


def _column(rows: Sequence[Row], name: str) -> Array:
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], dtype=np.float64)

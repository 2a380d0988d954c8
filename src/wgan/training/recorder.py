"""Writing down what a run does: numbers, images, checkpoints, at their times and places."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from wgan.errors import DivergenceError
from wgan.images import write_png
from wgan.monitors import Audience, Monitor
from wgan.runs import RunFolder, generator_files, save
from wgan.training.observe import histograms
from wgan.training.observe.histograms import Histograms
from wgan.training.observe.weights import plain_numbers
from wgan.training.settings import LoggingIntervals
from wgan.training.snapshot import Snapshot
from wgan.training.state import State

CHECKPOINT_SECONDS = 60.0


@dataclass
class Recorder:
    """Writes to a run's folder and to its monitors.

    Attributes:
        folder: The run.
        logging: How often.
        monitors: Who else wants to know.
        images_per_step: Real samples that the critic sees in a step, for the speed.
        writes: Whether anything is written or told: of several processes, the first one does.
        stopped: Whether the run was ended by whoever watches it.
    """

    folder: RunFolder
    logging: LoggingIntervals
    monitors: Sequence[Monitor]
    images_per_step: int
    writes: bool = True
    stopped: bool = field(default=False, init=False)
    _audience: Audience = field(init=False)
    _seconds: float = 0.0
    _fetched: float = 0.0
    _since: float = field(default_factory=time.perf_counter)
    _last_log: int = 0
    _last_checkpoint: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self._audience = Audience(self.monitors if self.writes else ())

    def start(self, config: Mapping[str, object], step: int) -> None:
        """Begin after ``step`` steps; the clock goes on where the history left it."""
        timing = self.folder.history("timing")
        self._seconds = timing[-1]["seconds"] if timing else 0.0
        self._since, self._last_log = time.perf_counter(), step
        self._audience.start(config, step)

    def log(
        self,
        step: int,
        vital: Mapping[str, Tensor],
        others: Mapping[str, Tensor] | None = None,
        shapes: Histograms | None = None,
        *,
        fetching: float = 0.0,
    ) -> None:
        """Write a log point, with None for a number that is not finite. Waits for the device.

        Args:
            step: How many steps are done.
            vital: Numbers that are finite as long as the run is healthy.
            others: Numbers that a run can go on without.
            shapes: Distributions, likewise.
            fetching: Seconds in which the networks waited for samples, since the block began.

        Raises:
            DivergenceError: A vital number is not finite; what was saved before stays.
        """
        row = plain_numbers({**vital, **(others or {})})
        now = time.perf_counter()
        passed = max(now - self._since, 1e-9)
        timing = {
            "seconds": round(self._seconds + passed, 3),
            "images_per_second": round((step - self._last_log) * self.images_per_step / passed, 1),
            "data_share": round((fetching - self._fetched) / passed, 4),
            **memory(),
        }
        self._seconds, self._fetched = self._seconds + passed, fetching
        self._since, self._last_log = now, step
        if self.writes:
            self._write(step, row, timing, shapes or {})
        if lost := [name for name in vital if row[name] is None]:
            raise _diverged(step, ", ".join(lost))

    def _write(
        self,
        step: int,
        row: Mapping[str, float | None],
        timing: Mapping[str, float],
        shapes: Histograms,
    ) -> None:
        self.folder.append("metrics", {"step": step, **row})
        self.folder.append("timing", {"step": step, **timing})
        self._audience.log(step, {**row, **timing})
        if known := histograms.plain(shapes):
            parts = {name: asdict(shape) for name, shape in known.items()}
            self.folder.append("histograms", {"step": step, **parts})
            self._audience.histograms(step, known)

    def images(self, state: State, snapshot: Snapshot) -> None:
        """Draw what the averaged generator makes of the fixed latents; of several processes, one does."""
        if self.writes:
            image = snapshot.draw(state.average)
            write_png(self.folder.samples / f"{state.step:08d}.png", image)
            self._audience.images(state.step, image)

    def checkpoint_due(self, step: int) -> bool:
        """Whether it is time for a checkpoint."""
        old = time.perf_counter() - self._last_checkpoint > CHECKPOINT_SECONDS
        return old or step % self.logging.checkpoint == 0

    def checkpoint(self, state: State, sums: Mapping[str, Tensor] | None = None) -> None:
        """Save the state.

        Args:
            state: To be saved.
            sums: Those of all processes, for one that has only its own.

        Raises:
            DivergenceError: A weight is not finite; the last healthy checkpoint stays.
        """
        if not state.finite():
            raise _diverged(state.step, "a weight")
        if self.writes:
            self.folder.sync()
            save(self.folder.checkpoints, state.step, state.groups(sums), self.logging.keep)
        self._last_checkpoint = time.perf_counter()

    @contextmanager
    def telling_outcome(self) -> Iterator[None]:
        """Tell the monitors how the block ended: ``finished``, ``stopped``, ``interrupted`` or ``failed``.

        After the end of a whole run they get what it leaves.
        """
        outcome = "failed"
        try:
            yield
            outcome = "stopped" if self.stopped else "finished"
            if not self.stopped and self.writes:
                self._audience.artifact(self._artifact())
        except (KeyboardInterrupt, SystemExit):
            outcome = "interrupted"
            raise
        finally:
            self._audience.finish(outcome)

    def _artifact(self) -> dict[str, Path]:
        files = [self.folder.config_file, *generator_files(self.folder.checkpoints)]
        return {path.relative_to(self.folder.path).as_posix(): path for path in files}


def memory() -> dict[str, float]:
    """The largest memory so far in MiB: ``memory`` of this process, ``gpu_memory`` of tensors on a GPU."""
    found = {}
    if os.name == "posix":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        found["memory"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found["gpu_memory"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return found


def _diverged(step: int, what: str) -> DivergenceError:
    return DivergenceError(
        f"The run diverged: {what} is not finite at step {step}. The last healthy checkpoint is kept; "
        "start a new run with a lower learning rate or a stronger constraint."
    )

"""Writing a run's numbers, images and checkpoints into its folder, and passing them to monitors."""

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
from wgan.monitors import GuardedMonitors, Monitor
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
        folder: The run's folder.
        logging: The intervals, in steps.
        monitors: The monitors besides the folder.
        images_per_step: Real samples that the critic sees in a step, for the speed.
        writes: Whether this process writes; of several, the main process does.
        stopped: Whether the run was ended by ``stop``.
    """

    folder: RunFolder
    logging: LoggingIntervals
    monitors: Sequence[Monitor]
    images_per_step: int
    writes: bool = True
    stopped: bool = field(default=False, init=False)
    _guarded: GuardedMonitors = field(init=False)
    _seconds: float = 0.0
    _fetched: float = 0.0
    _since: float = field(default_factory=time.perf_counter)
    _last_log: int = 0
    _last_checkpoint: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self._guarded = GuardedMonitors(self.monitors if self.writes else ())

    def start(self, config: Mapping[str, object], step: int) -> None:
        """Start after ``step`` steps; the clock goes on from the history."""
        timing = self.folder.history("timing")
        self._seconds = timing[-1]["seconds"] if timing else 0.0
        self._since, self._last_log = time.perf_counter(), step
        self._guarded.start(config, step)

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
            step: Number of steps done.
            vital: Numbers that are finite as long as the run is healthy.
            others: Numbers that need not be finite.
            shapes: Histograms.
            fetching: Seconds in which the networks waited for samples, since the start.

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
        self._guarded.log(step, {**row, **timing})
        if known := histograms.plain_histograms(shapes):
            parts = {name: asdict(shape) for name, shape in known.items()}
            self.folder.append("histograms", {"step": step, **parts})
            self._guarded.histograms(step, known)

    def images(self, state: State, snapshot: Snapshot) -> None:
        """Draw what the averaged generator makes of the fixed latents; of several processes, one does."""
        if self.writes:
            image = snapshot.draw(state.average)
            write_png(self.folder.samples / f"{state.step:08d}.png", image)
            self._guarded.images(state.step, image)

    def checkpoint_due(self, step: int) -> bool:
        """Whether a checkpoint is due."""
        old = time.perf_counter() - self._last_checkpoint > CHECKPOINT_SECONDS
        return old or step % self.logging.checkpoint == 0

    def checkpoint(self, state: State, sums: Mapping[str, Tensor] | None = None) -> None:
        """Save the state.

        Args:
            state: The state to save.
            sums: The sums over all processes, where there are several.

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
    def reporting_outcome(self) -> Iterator[None]:
        """A context whose outcome the monitors get: ``finished``, ``stopped``, ``interrupted`` or ``failed``.

        After a finished run they also get its configuration and its generator.
        """
        outcome = "failed"
        try:
            yield
            outcome = "stopped" if self.stopped else "finished"
            if not self.stopped and self.writes:
                self._guarded.artifact(self._artifact())
        except (KeyboardInterrupt, SystemExit):
            outcome = "interrupted"
            raise
        finally:
            self._guarded.finish(outcome)

    def _artifact(self) -> dict[str, Path]:
        files = [self.folder.config_file, *generator_files(self.folder.checkpoints)]
        return {path.relative_to(self.folder.path).as_posix(): path for path in files}


def memory() -> dict[str, float]:
    """Peak memory in MiB: ``memory`` of this process, ``gpu_memory`` of tensors on a GPU."""
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

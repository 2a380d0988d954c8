"""Weights & Biases."""

from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from secrets import token_hex
from typing import Any, final

from PIL.Image import Image

from wgan.errors import StorageError
from wgan.monitors.extra import needing
from wgan.monitors.identity import recall, remember
from wgan.monitors.monitor import Histogram, Monitor, Values

LOST = b"failed to save record"
"""What wandb's log says of numbers that it could not write."""
UPLOAD_SECONDS = 15.0
"""How long the end of a run waits for uploads; what is not done by then stays on disk for `wandb sync`."""


@final
class Wandb(Monitor):
    """Numbers, histograms, image grids, configuration and the trained generator, for Weights & Biases.

    Without a login it writes files only, for `wandb sync`; it never asks for one. ``WANDB_MODE``,
    ``WANDB_PROJECT`` and the like are respected. A resumed run is the same run there: its id is kept in
    ``wandb/id``, and steps that the server has already are not sent again.

    Args:
        run_dir: The run's folder; the files are written to its ``wandb/``.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, run_dir: str | PathLike[str]) -> None:
        with needing("wandb", "Weights & Biases"):
            import wandb

        self._wandb = wandb
        self._folder = Path(run_dir)

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Begin the run, or go on with it.

        Raises:
            StorageError: Its id cannot be kept.
            wandb.Error: There is no server, or it refuses.
        """
        known = self._wandb.setup().settings
        name, path = self._folder.resolve().name, self._folder / "wandb" / "id"
        run_id = recall(path) or known.run_id or token_hex(4)
        remember(path, run_id)
        self._run = self._wandb.init(
            dir=str(self._folder),
            mode=self._mode(),
            project=known.project or "wgan",
            name=known.run_name or name,
            id=run_id,
            resume="allow",
            config=dict(config),
            reinit="create_new",
            settings=self._wandb.Settings(
                console="off",  # what else the terminal shows is none of its business
                quiet=True,
                finish_timeout=known.finish_timeout or UPLOAD_SECONDS,
            ),
        )

    def log(self, step: int, values: Values) -> None:
        """Write numbers; one that is not finite is written as NaN."""
        self._write(step, {key: float("nan") if value is None else value for key, value in values.items()})

    def images(self, step: int, image: Image) -> None:
        """Write the grid."""
        self._write(step, {"samples": self._wandb.Image(image)})

    def histograms(self, step: int, histograms: Mapping[str, Histogram]) -> None:
        """Write distributions."""
        shown = {
            name: self._wandb.Histogram(np_histogram=(shape.counts, shape.edges))
            for name, shape in histograms.items()
        }
        self._write(step, shown)

    def artifact(self, files: Mapping[str, Path]) -> None:
        """Write the trained generator as an artifact of type ``model``."""
        artifact = self._wandb.Artifact(f"generator-{self._run.id}", type="model")
        for name, path in files.items():
            # Mutable files would be copied, to somewhere outside the run's folder.
            artifact.add_file(str(path.resolve()), name=name, policy="immutable")
        self._run.log_artifact(artifact)

    def finish(self, outcome: str) -> None:
        """End the run.

        Raises:
            StorageError: Some of it could not be written, which wandb tells nobody but its own log.
        """
        self._run.summary["outcome"] = outcome
        log = Path(self._run.settings.log_internal)
        self._run.finish(exit_code=0 if outcome in ("finished", "stopped") else 1)
        remember(self._folder / "wandb" / "id", self._run.id)  # a disk that is full has no room for that log
        with suppress(FileNotFoundError):  # as where wandb is disabled
            if LOST in log.read_bytes():
                raise StorageError(f"Some of the run could not be written to {log.parents[1]}; see {log}.")

    def _mode(self) -> Any:  # noqa: ANN401 - one of the words that wandb knows, or None for its own choice
        online = self._wandb.setup().settings.mode == "online"
        return "offline" if online and not self._wandb.login(prompt=False) else None

    def _write(self, step: int, values: dict[str, Any]) -> None:
        if step >= self._run.step:
            self._run.log(values, step=step)

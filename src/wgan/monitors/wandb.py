"""The Weights & Biases monitor."""

from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from secrets import token_hex
from typing import Any, final

from PIL.Image import Image

from wgan.errors import StorageError
from wgan.monitors.extras import optional_package
from wgan.monitors.monitor import Histogram, Monitor, Values
from wgan.monitors.run_id import read_run_id, write_run_id

LOST = b"failed to save record"
"""The message in wandb's log for records that it could not write."""
UPLOAD_SECONDS = 15.0
"""Seconds that the end of a run waits for uploads; the rest stays on disk for `wandb sync`."""


@final
class Wandb(Monitor):
    """Logs metrics, histograms, image grids, configuration and the trained generator to Weights & Biases.

    Without a login it only writes files for `wandb sync`; it never prompts for one. ``WANDB_MODE``,
    ``WANDB_PROJECT`` and similar variables are respected. A resumed run continues the same W&B run, whose id
    is stored in ``wandb/id``; steps that the server already has are not sent again.

    Args:
        run_dir: The run's folder; the files are written to its ``wandb/``.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, run_dir: str | PathLike[str]) -> None:
        with optional_package("wandb", "Weights & Biases"):
            import wandb

        self._wandb = wandb
        self._folder = Path(run_dir)

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Start or resume the run.

        Raises:
            StorageError: Its id cannot be stored.
            wandb.Error: The server is missing or refuses.
        """
        known = self._wandb.setup().settings
        name, path = self._folder.resolve().name, self._folder / "wandb" / "id"
        run_id = read_run_id(path) or known.run_id or token_hex(4)
        write_run_id(path, run_id)
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
                console="off",  # the rest of the terminal's output is not part of the run
                quiet=True,
                finish_timeout=known.finish_timeout or UPLOAD_SECONDS,
            ),
        )

    def log(self, step: int, values: Values) -> None:
        """Log metrics; one that is not finite is logged as NaN."""
        self._write(step, {key: float("nan") if value is None else value for key, value in values.items()})

    def images(self, step: int, image: Image) -> None:
        """Log the image grid."""
        self._write(step, {"samples": self._wandb.Image(image)})

    def histograms(self, step: int, histograms: Mapping[str, Histogram]) -> None:
        """Log distributions."""
        objects = {
            name: self._wandb.Histogram(np_histogram=(histogram.counts, histogram.edges))
            for name, histogram in histograms.items()
        }
        self._write(step, objects)

    def artifact(self, files: Mapping[str, Path]) -> None:
        """Log the trained generator as an artifact of type ``model``."""
        artifact = self._wandb.Artifact(f"generator-{self._run.id}", type="model")
        for name, path in files.items():
            # Mutable files would be copied, to somewhere outside the run's folder.
            artifact.add_file(str(path.resolve()), name=name, policy="immutable")
        self._run.log_artifact(artifact)

    def finish(self, outcome: str) -> None:
        """End the run.

        Raises:
            StorageError: Part of it could not be written, which wandb reports only in its own log.
        """
        self._run.summary["outcome"] = outcome
        log = Path(self._run.settings.log_internal)
        self._run.finish(exit_code=0 if outcome in ("finished", "stopped") else 1)
        # This fails on a full disk, which has no room for that log either.
        write_run_id(self._folder / "wandb" / "id", self._run.id)
        with suppress(FileNotFoundError):  # where wandb is disabled
            if LOST in log.read_bytes():
                raise StorageError(f"Some of the run could not be written to {log.parents[1]}; see {log}.")

    def _mode(self) -> Any:  # noqa: ANN401 - a mode of wandb's, or None for its default
        online = self._wandb.setup().settings.mode == "online"
        return "offline" if online and not self._wandb.login(prompt=False) else None

    def _write(self, step: int, values: dict[str, Any]) -> None:
        if step >= self._run.step:
            self._run.log(values, step=step)

"""The folder of a run and its files.

::

    config.json      everything needed to build the run again
    metrics.jsonl    one object per log point: a function of the configuration and the seed alone
    timing.jsonl     one object per log point: times and memory use
    histograms.jsonl one object per log point: distributions of scores and weights, each over 32 equal bins
    data.json        statistics of the training data, measured when the run started
    checkpoints/     the last few states, each complete
    samples/         images of the fixed latents, by step
    report.html      the report
    evaluation.json  evaluation results, each with its step and provenance
    directions.npz   latent directions, once they were computed
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from wgan.core.files import locked, remove, storing, sync_file, write_atomically
from wgan.errors import InputError

FORMAT = 2
"""The version of the folder's layout, in ``config.json``; only this one is read."""

Row = dict[str, Any]
"""One JSON object of a log, such as a line of ``metrics.jsonl``."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, whether or not it exists yet.

    Whatever writes raises StorageError if the file system refuses; an old file is then untouched.
    """

    path: Path

    @property
    def config_file(self) -> Path:
        """``config.json``."""
        return self.path / "config.json"

    @property
    def data_file(self) -> Path:
        """``data.json``."""
        return self.path / "data.json"

    @property
    def checkpoints(self) -> Path:
        """``checkpoints/``."""
        return self.path / "checkpoints"

    @property
    def directions_file(self) -> Path:
        """``directions.npz``."""
        return self.path / "directions.npz"

    @property
    def samples(self) -> Path:
        """``samples/``."""
        return self.path / "samples"

    @property
    def exists(self) -> bool:
        """Whether a run was ever started here."""
        return os.path.isfile(self.config_file)  # unlike pathlib's, False where reading is forbidden

    def read_config(self) -> dict[str, Any]:
        """Read the configuration.

        Raises:
            InputError: This is not a run folder, or its configuration is broken or of another format.
        """
        if not self.exists:
            missing = "it has no config.json" if self.path.exists() else "there is no such folder"
            raise InputError(
                f"{self.path} is not a run folder: {missing}. Give the folder that `wgan train` wrote."
            )
        try:
            config: dict[str, Any] = json.loads(self.config_file.read_text())
            version = config["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.config_file} cannot be read: {type(error).__name__}: {error}."
            ) from error
        if not isinstance(version, int) or version > FORMAT:
            raise InputError(
                f"{self.path} was written in format {version}, and this wgan reads format {FORMAT}; upgrade "
                "wgan."
            )
        if version < FORMAT:
            raise InputError(
                f"{self.path} was written by an earlier version of wgan, in format {version}, and this one "
                f"reads format {FORMAT}; train again, or use wgan 0.1."
            )
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration; one that was read before keeps its format."""
        _write_text(self.config_file, json.dumps({"format": FORMAT, **config}, indent=1))

    def read_data(self) -> dict[str, Any]:
        """Read the statistics of the training data; empty where there is no such file.

        Raises:
            InputError: The file is broken.
        """
        if not self.data_file.is_file():
            return {}
        try:
            statistics: dict[str, Any] = dict(json.loads(self.data_file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{self.data_file} cannot be read ({type(error).__name__}: {error}).") from error
        return statistics

    def write_data(self, statistics: Mapping[str, Any]) -> None:
        """Write ``data.json``, with null for a number that is not finite."""
        plain = {
            name: None if isinstance(value, float) and not isfinite(value) else value
            for name, value in statistics.items()
        }
        _write_text(self.data_file, json.dumps(plain, indent=1))

    def read_numbers(self) -> list[Row]:
        """Read the rows of ``evaluation.json``; none where there is no such file.

        Raises:
            InputError: The file is broken.
        """
        path = self.path / "evaluation.json"
        if not path.is_file():
            return []
        try:
            rows: list[Row] = json.loads(path.read_text())["numbers"]
            types = {"name": str, "step": int, "provenance": dict}
            if not all(isinstance(row[key], kind) for row in rows for key, kind in types.items()):
                raise ValueError("a number lacks its name, step or provenance")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be read ({type(error).__name__}: {error}); move it away and evaluate again."
            ) from error
        return rows

    def write_numbers(self, rows: Sequence[Row]) -> None:
        """Write ``evaluation.json``, one row per line."""
        lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
        _write_text(self.path / "evaluation.json", f'{{"numbers": [\n{lines}\n]}}\n')

    @contextmanager
    def changing_numbers(self) -> Iterator[None]:
        """Lock ``evaluation.json`` for the block; wait for other processes that hold the lock."""
        if os.name != "posix":
            yield
            return
        import fcntl

        with storing(self.path):
            handle = os.open(self.path, os.O_RDONLY)  # the folder itself: no lock file is left behind
        try:
            with storing(self.path):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def check_free(self) -> None:
        """Check that a run can start here, without writing anything.

        Raises:
            InputError: The folder contains something other than a run.
            StorageError: The file system refuses.
        """
        with storing(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise InputError(f"{self.path} is a file; a run needs a folder.")
            if self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise InputError(
                    f"{self.path} contains files but is not a run folder; choose a new or empty folder."
                )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and keep other processes from training in it during the block.

        Raises:
            InputError: Another process is training here.
            StorageError: The file system refuses.
        """
        with locked(self.path, busy=f"Another process is training in {self.path}; wait for it."):
            yield

    def append(self, name: str, row: Row) -> None:
        """Append a line to ``name``.jsonl."""
        path = self.path / f"{name}.jsonl"
        with storing(path), path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def sync(self) -> None:
        """Flush all logs to the disk, so that they survive a power failure."""
        with storing(self.path):
            for path in self.path.glob("*.jsonl"):
                if path.is_file():  # not a pipe or device
                    sync_file(path)

    def history(self, name: str = "metrics") -> list[Row]:
        """Read the lines of ``name``.jsonl; a last line torn by a crash is left out."""
        path = self.path / f"{name}.jsonl"
        return list(_complete_rows(path.read_bytes())) if path.is_file() else []

    def rewind(self, step: int) -> None:
        """Remove everything after ``step``; a resumed run will write it again, identically."""
        for name in ("metrics", "timing", "histograms"):
            path = self.path / f"{name}.jsonl"
            if path.is_file():
                lines = [json.dumps(row) + "\n" for row in self.history(name) if row["step"] <= step]
                _write_text(path, "".join(lines))
        with storing(self.samples):
            for image in self.images():
                if int(image.stem) > step:
                    image.unlink()
            for folder in (self.path, self.checkpoints, self.samples):
                for partial in folder.glob(".*.partial"):
                    remove(partial)

    def images(self) -> list[Path]:
        """The images in ``samples/``, in step order."""
        paths = [path for path in self.samples.glob("*.png") if path.stem.isdigit()]
        return sorted(paths, key=lambda path: int(path.stem))


def default_folder(data: str, recipe: str) -> Path:
    """The folder ``runs/DATA-RECIPE`` of a run whose folder is not named; of a path, its last part counts."""
    name = Path(data).resolve().stem if any(mark in data for mark in "/\\.") else data
    return Path("runs") / f"{name}-{recipe}"


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def _complete_rows(text: bytes) -> Iterator[Row]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return

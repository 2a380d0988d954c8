"""The folder of a run and what is in it.

::

    config.json      everything needed to build the run again
    metrics.jsonl    one object a log point: a function of the configuration and the seed alone
    timing.jsonl     one object a log point: what the clock said, and how much memory was used
    histograms.jsonl one object a log point: how scores and weights are distributed, each over 32 equal bins
    data.json        what the data are like, looked at when the run started
    checkpoints/     the last few states, each whole
    samples/         images of the fixed latents, by step
    report.html      all of this as a page to look at
    evaluation.json  numbers that say how good the samples are, each with its step and provenance
    directions.npz   ways in the space of latents, once they were looked for
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

FORMAT = 1
"""The version of the folder's layout, in ``config.json``; a reader refuses newer ones."""

Row = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, whether or not it exists yet."""

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
        return os.path.isfile(self.config_file)  # unlike pathlib's, False where one may not look

    def read_config(self) -> dict[str, Any]:
        """The configuration.

        Raises:
            InputError: This is no run folder, its configuration is broken, or its format is newer than this
                version reads.
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
                f"{self.path} was written in format {version}, this wgan reads up to {FORMAT}; upgrade wgan."
            )
        return config

    def read_data(self) -> dict[str, Any]:
        """What the data are like; empty where there is no such file, as in runs of older versions.

        Raises:
            InputError: The file is broken.
        """
        if not self.data_file.is_file():
            return {}
        try:
            facts: dict[str, Any] = dict(json.loads(self.data_file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{self.data_file} cannot be read ({type(error).__name__}: {error}).") from error
        return facts

    def write_data(self, facts: Mapping[str, Any]) -> None:
        """Write ``data.json``, with null for a number that is not finite.

        Raises:
            StorageError: The file system refuses.
        """
        plain = {
            name: None if isinstance(value, float) and not isfinite(value) else value
            for name, value in facts.items()
        }
        text = json.dumps(plain, indent=1).encode()
        write_atomically(self.data_file, lambda file: file.write(text))

    def read_numbers(self) -> list[Row]:
        """What was evaluated: the rows of ``evaluation.json``; none where there is no such file.

        Raises:
            InputError: The file is broken.
        """
        path = self.path / "evaluation.json"
        if not path.is_file():
            return []
        try:
            rows: list[Row] = json.loads(path.read_text())["numbers"]
            shapes = {"name": str, "step": int, "provenance": dict}
            if not all(isinstance(row[key], kind) for row in rows for key, kind in shapes.items()):
                raise ValueError("a number lacks its name, step or provenance")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be read ({type(error).__name__}: {error}); move it away and evaluate again."
            ) from error
        return rows

    def write_numbers(self, rows: Sequence[Row]) -> None:
        """Write ``evaluation.json`` whole, one row a line.

        Raises:
            StorageError: The file system refuses; the old file is untouched.
        """
        lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
        text = f'{{"numbers": [\n{lines}\n]}}\n'.encode()
        write_atomically(self.path / "evaluation.json", lambda file: file.write(text))

    @contextmanager
    def changing_numbers(self) -> Iterator[None]:
        """Keep other processes from changing ``evaluation.json`` inside the block; waits for them to end.

        Raises:
            StorageError: The file system refuses.
        """
        if os.name != "posix":
            yield
            return
        import fcntl

        with storing(self.path):
            handle = os.open(self.path, os.O_RDONLY)  # the folder itself: no file is left behind
        try:
            with storing(self.path):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def check_free(self) -> None:
        """Make sure that a run can start here, touching nothing.

        Raises:
            InputError: The folder holds something that is no run.
            StorageError: The file system refuses.
        """
        with storing(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise InputError(f"{self.path} is a file; a run needs a folder.")
            if self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir()):
                raise InputError(
                    f"{self.path} holds files and is no run folder; choose a new or empty folder for the run."
                )

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration; one that was read before keeps its format.

        Raises:
            StorageError: The file system refuses; the old one is untouched.
        """
        text = json.dumps({"format": FORMAT, **config}, indent=1)
        write_atomically(self.config_file, lambda file: file.write(text.encode()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep other processes from training in it, until this one ends at the latest.

        Raises:
            InputError: Another process is training here.
            StorageError: The file system refuses.
        """
        with locked(self.path, busy=f"Another process is training in {self.path}; wait for it."):
            yield

    def append(self, name: str, row: Row) -> None:
        """Add a line to ``name``.jsonl.

        Raises:
            StorageError: The file system refuses.
        """
        path = self.path / f"{name}.jsonl"
        with storing(path), path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def sync(self) -> None:
        """Make the lines so far outlast a power failure, as a checkpoint after them does.

        Raises:
            StorageError: The file system refuses.
        """
        with storing(self.path):
            for path in self.path.glob("*.jsonl"):
                if path.is_file():  # and no pipe or device
                    sync_file(path)

    def history(self, name: str = "metrics") -> list[Row]:
        """The lines of ``name``.jsonl; a last line torn by a crash is left out."""
        path = self.path / f"{name}.jsonl"
        if not path.is_file():
            return []
        return list(_whole_rows(path.read_bytes()))

    def rewind(self, step: int) -> None:
        """Forget everything after ``step``, which a resumed run will write again, identically."""
        for name in ("metrics", "timing", "histograms"):
            path = self.path / f"{name}.jsonl"
            if path.is_file():
                kept = [json.dumps(row) + "\n" for row in self.history(name) if row["step"] <= step]
                text = "".join(kept).encode()
                write_atomically(path, lambda file, text=text: file.write(text))  # type: ignore[misc]
        with storing(self.samples):
            for image in self.images():
                if int(image.stem) > step:
                    image.unlink()
            for folder in (self.path, self.checkpoints, self.samples):
                for partial in folder.glob(".*.partial"):
                    remove(partial)

    def images(self) -> list[Path]:
        """The images in ``samples/``, in step order."""
        found = [path for path in self.samples.glob("*.png") if path.stem.isdigit()]
        return sorted(found, key=lambda path: int(path.stem))


def _whole_rows(text: bytes) -> Iterator[Row]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return

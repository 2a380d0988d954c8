"""``wgan report``."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tyro

from wgan.cli.parse import parse
from wgan.cli.rerun import run_commands
from wgan.core.devices import processes
from wgan.errors import DivergenceError
from wgan.report import write_report
from wgan.runs import RunFolder


@dataclass(frozen=True)
class Report:
    """Write the report of a run, RUN/report.html: verdict, images, curves, findings and results in one file.

    Every run writes it at its end; this command is for a run in progress, and after an evaluation. The file
    needs no network.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    sys.stdout.write(f"{_write(parse(Report, arguments).run)}\n")


@contextmanager
def reporting(folder: Path) -> Iterator[None]:
    """A context that writes the report when it ends: finished, interrupted or diverged.

    If the report cannot be written, there is one warning and the run is unharmed.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, DivergenceError):
        _attempt(folder)
        raise
    _attempt(folder)


def _attempt(folder: Path) -> None:
    if processes()[0] > 0 or not RunFolder(folder).exists:
        return  # interrupted before the run began
    try:
        report = _write(folder)
    except Exception as error:
        # Whether a full disk or a bug: the run must not fail for it.
        reason = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"wgan: note: No report was written ({reason}); the run itself is whole.\n")
    else:
        sys.stderr.write(f"Report: {report}\n")


def _write(folder: Path) -> Path:
    return write_report(folder, run_commands(folder, RunFolder(folder).read_config()))

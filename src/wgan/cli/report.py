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
    """Write DIR/report.html: how the run went, its images, curves, findings and numbers, in one file.

    Every run writes it at its end; this is for one under way, and for one that was evaluated since. The file
    needs no network and nothing else.
    """

    dir: tyro.conf.Positional[Path]
    """The run's folder."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    sys.stdout.write(f"{_write(parse(Report, arguments).dir)}\n")


@contextmanager
def reporting(folder: Path) -> Iterator[None]:
    """Leave a report in a run's folder when the block ends: done, interrupted or diverged.

    A report that cannot be written costs one warning and never the run.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, DivergenceError):
        _attempt(folder)
        raise
    _attempt(folder)


def _attempt(folder: Path) -> None:
    if processes()[0] > 0 or not RunFolder(folder).exists:
        return  # interrupted before it began
    try:
        report = _write(folder)
    except Exception as error:
        # A full disk or a defect of ours: whatever it is, the run is worth more.
        reason = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"wgan: note: No report was written ({reason}); the run itself is whole.\n")
    else:
        sys.stderr.write(f"Report: {report}\n")


def _write(folder: Path) -> Path:
    return write_report(folder, run_commands(folder, RunFolder(folder).read_config()))

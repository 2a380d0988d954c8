"""The report of a run: one HTML page with its settings, progress, samples, curves and results."""

from os import PathLike
from pathlib import Path

from wgan.core.files import write_atomically
from wgan.report.commands import Commands
from wgan.report.page import render_page
from wgan.report.run_data import read_run
from wgan.report.run_diagnosis import diagnose_run
from wgan.report.sample_images import choose_images

__all__ = ["NAME", "Commands", "write_report"]

NAME = "report.html"
"""The name of the report in a run's folder."""


def write_report(run_dir: str | PathLike[str], commands: Commands | None = None) -> Path:
    """Write a run's report into its folder, replacing an older one.

    The report depends on the folder alone: the same run gives the same report. Every run can have one, be it
    running, interrupted or diverged.

    Args:
        run_dir: The run's folder.
        commands: The shell commands that the report prints; by default none.

    Returns:
        The path of the report, one self-contained HTML file.

    Raises:
        InputError: This is not a run folder, or its configuration cannot be read.
        StorageError: The file system refuses; an older report is untouched.
    """
    path = Path(run_dir)
    run = read_run(path)
    text = render_page(run, diagnose_run(run), choose_images(run.images), commands)
    target = path / NAME
    # File names need not be valid Unicode.
    write_atomically(target, lambda file: file.write(text.encode(errors="xmlcharrefreplace")))
    return target

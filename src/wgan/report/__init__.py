"""The report of a run: one page that says what was run, how it went, and how one sees it."""

from os import PathLike
from pathlib import Path

from wgan.core.files import write_atomically
from wgan.report.commands import Commands
from wgan.report.findings import findings
from wgan.report.page import page
from wgan.report.run_data import gather
from wgan.report.sample_images import choose_images

__all__ = ["NAME", "Commands", "write_report"]

NAME = "report.html"
"""The report in a run's folder."""


def write_report(run_dir: str | PathLike[str], commands: Commands | None = None) -> Path:
    """Write a run's report into its folder, in the place of an older one.

    It is a function of the folder: the same run has the same report. A run of any state has one, be it just
    started, under way, interrupted or broken down.

    Args:
        run_dir: The run's folder.
        commands: The commands that the report prints; by default none.

    Returns:
        The report, one HTML file that needs nothing else.

    Raises:
        InputError: This is no run folder, or its configuration cannot be read.
        StorageError: The file system refuses; an older report is untouched.
    """
    path = Path(run_dir)
    run = gather(path)
    text = page(run, findings(run), choose_images(run.images), commands)
    target = path / NAME
    # Names of files need not be valid Unicode.
    write_atomically(target, lambda file: file.write(text.encode(errors="xmlcharrefreplace")))
    return target

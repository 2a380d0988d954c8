"""The id of a run on a tracking server, stored in the run's folder so that a resumed run keeps it."""

from pathlib import Path

from wgan.core.files import storing, write_atomically


def read_run_id(path: Path) -> str | None:
    """Read the id from a file; None where there is none. StorageError if the file system refuses."""
    with storing(path):
        return path.read_text().strip() or None if path.is_file() else None


def write_run_id(path: Path, run_id: str) -> None:
    """Write the id to a file. StorageError if the file system refuses."""
    write_atomically(path, lambda file: file.write(f"{run_id}\n".encode()))

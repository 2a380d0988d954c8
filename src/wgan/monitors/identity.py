"""By what name a server knows a run: kept in the run's folder, so that a resumed run is the same one."""

from pathlib import Path

from wgan.core.files import storing, write_atomically


def recall(path: Path) -> str | None:
    """The name kept in this file; None where there is none.

    Raises:
        StorageError: The file system refuses.
    """
    with storing(path):
        return path.read_text().strip() or None if path.is_file() else None


def remember(path: Path, name: str) -> None:
    """Keep the name.

    Raises:
        StorageError: The file system refuses.
    """
    write_atomically(path, lambda file: file.write(f"{name}\n".encode()))

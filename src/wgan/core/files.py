"""Atomic writes, locks and durability of files."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from wgan.errors import InputError, StorageError, WganError


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Convert any OSError inside the block to a StorageError about ``path``.

    Raises:
        StorageError: Instead of any OSError.
    """
    try:
        yield
    except WganError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"Cannot write {path}: {reason}. What was there before is untouched; "
            "make room or choose another place, and run the same command again."
        ) from error


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically: ``path`` is always either the complete old file or the complete new one.

    Args:
        path: Path of the file; its folder is created if need be.
        write: Called with a binary file under a temporary name, which is then synced and renamed.

    Raises:
        StorageError: The file cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
        sync_folder(path.parent)


LOCK = ".lock"
"""Name of the hidden lock file in a folder."""


@contextmanager
def locked(folder: Path, *, busy: str | None = None) -> Iterator[None]:
    """Create a folder and lock it for this process within the block, on POSIX systems.

    Args:
        folder: The folder; the lock is a hidden file in it.
        busy: Error message if another process has the lock; None: wait for it.

    Raises:
        InputError: Another process has the lock.
        StorageError: The folder cannot be written.
    """
    with ExitStack() as stack:
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if os.name == "posix":
                import fcntl

                file = stack.enter_context((folder / LOCK).open("w"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX if busy is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise InputError(busy or "") from None
        yield


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Flush a file's content to disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush renames inside a folder to disk, on POSIX systems."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

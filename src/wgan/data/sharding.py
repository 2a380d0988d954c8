"""Writing shards: once, by any number of processes, and in any number of attempts.

Each file is written under a temporary name and renamed, a shard after its record. So a file under its final
name is complete, and an interrupted folder is continued with the shards that are missing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, final

import numpy as np

from wgan.core.files import LOCK, locked, remove, storing, write_atomically
from wgan.data.reader import Array, Chunk, DatasetReader, DatasetSpec, check_skipped, digest_of
from wgan.data.shards import (
    FORMAT,
    MANIFEST,
    Manifest,
    is_intact,
    is_shard_folder,
    read_manifest,
    read_shards,
    record_checksum,
    shard_path,
)
from wgan.data.storage import MappedSamples
from wgan.errors import InputError, ProcessError, StorageError


def write_shards(
    reader: DatasetReader,
    folder: Path,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, shards: None,
) -> None:
    """Write all samples of a reader as shards; in a folder begun before, only the shards that are missing.

    Another process that writes to the folder is waited for.

    Args:
        reader: The data.
        folder: The folder; created if it does not exist.
        processes: The number of processes, >= 1.
        progress: Called after each shard with the number of finished shards and of all.

    Raises:
        InputError: The folder holds something else, or the data cannot become samples.
        ProcessError: One of the processes was killed.
        StorageError: The disk is full or refuses otherwise; complete shards stay.
    """
    _check_folder(folder)
    with locked(folder):
        manifest = read_manifest(folder) if is_shard_folder(folder) else _begin(reader, folder)
        _check_same(manifest, reader, folder)
        spec = manifest.spec
        missing = [number for number in range(spec.shards) if not is_intact(folder, spec, number)]
        if not missing and manifest.digest:
            return
        _check_room(spec, len(missing), folder)
        if manifest.digest:  # shards that are written anew may differ from the old ones
            manifest = replace(manifest, digest=None)
            _write_manifest(manifest, folder)
        for partial in folder.glob(".*.partial"):
            remove(partial)
        written = _write_all(ShardWriter(reader, spec, folder), missing, processes)
        for done, _ in enumerate(written, spec.shards - len(missing) + 1):
            progress(done, spec.shards)
        _finish(manifest, folder)


@final
@dataclass(frozen=True, eq=False)
class ShardWriter:
    """Writes the shards of a reader to a folder, one at a time; picklable."""

    reader: DatasetReader
    spec: DatasetSpec
    folder: Path

    def write(self, number: int) -> None:
        """Write a shard."""
        path = shard_path(self.folder, number)

        def write(file: IO[bytes]) -> None:
            record = _write_npy(file, self.reader.chunks(self.spec, number), self.spec)
            record["checksum"] = record_checksum(number, **record)
            # Before the samples get their name, so that samples never lack their record.
            _write_json(path.with_suffix(".json"), record)

        write_atomically(path, write)


def _check_folder(folder: Path) -> None:
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise InputError(f"'{folder}' is a file; a pack needs a folder.")
    full = os.path.isdir(folder) and any(not entry.name.startswith(".") for entry in folder.iterdir())
    if full and not is_shard_folder(folder):
        raise InputError(f"'{folder}' holds files and is not a pack: give a new or empty folder.")


def _begin(reader: DatasetReader, folder: Path) -> Manifest:
    manifest = Manifest(reader.origin, reader.key, reader.spec, None)
    _write_manifest(manifest, folder)
    return manifest


def _check_same(manifest: Manifest, reader: DatasetReader, folder: Path) -> None:
    if manifest.key != reader.key:
        raise InputError(
            f"'{folder}' is a pack of other files or of another size ({manifest.origin} as "
            f"{'x'.join(map(str, manifest.spec.shape))}): give another folder, or delete it."
        )


def _check_room(spec: DatasetSpec, missing: int, folder: Path) -> None:
    if spec.rows is None:
        return  # The size is unknown; if the disk fills up, complete shards stay.
    with storing(folder):
        free = shutil.disk_usage(folder).free
    needed = spec.bytes(spec.rows) * missing // spec.shards
    if needed > free:
        raise StorageError(
            f"The pack takes {needed / 1e9:,.1f} GB more, and '{folder}' has {free / 1e9:,.1f} GB free: "
            "make room, or give a folder on another disk."
        )


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    _write_json(folder / MANIFEST, {"format": FORMAT, **asdict(manifest)})


def _finish(manifest: Manifest, folder: Path) -> None:
    """Write the digest of all samples into the manifest, or remove shards with too many skipped samples."""
    shards = read_shards(folder, manifest.spec)
    samples = MappedSamples([shard.samples for shard in shards])
    skipped = [name for shard in shards for name in shard.skipped]
    try:
        check_skipped(manifest.origin, skipped, len(samples) + len(skipped))
    except InputError:
        # The cause may be temporary, such as a disk that was gone: the same command reads these again.
        incomplete = [number for number, shard in enumerate(shards) if shard.skipped]
        for number in incomplete:
            remove(shard_path(folder, number))
            remove(shard_path(folder, number).with_suffix(".json"))
        if len(incomplete) == len(shards):
            remove(folder / MANIFEST)
            if {path.name for path in folder.iterdir()} <= {LOCK}:  # no hidden files of the user's
                remove(folder)
        raise
    _write_manifest(replace(manifest, digest=digest_of(samples.chunks())), folder)


def _write_all(writer: ShardWriter, numbers: list[int], processes: int) -> Iterator[None]:
    """Write these shards; yields once for each."""
    workers = min(processes, len(numbers))
    if workers <= 1:
        for number in numbers:
            writer.write(number)
            yield
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (writer,))
    try:
        with _interrupts_blocked():
            futures = [pool.submit(_write_in_worker, number) for number in numbers]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise ProcessError(
            f"A process that wrote shards to '{writer.folder}' was killed, perhaps for lack of memory; "
            "complete shards stay: run the same command again, with fewer processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker_writer: list[ShardWriter] = []
"""The writer of a worker process. It is sent once, because its file names can take a hundred megabytes."""


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C inside the block, and in processes started there until `_start_worker` unblocks it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(writer: ShardWriter) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches all processes; only the parent reports it.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _worker_writer.append(writer)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # The parent was killed, and nobody else would end this process.


def _write_in_worker(number: int) -> None:
    _worker_writer[0].write(number)


def _write_npy(file: IO[bytes], chunks: Iterable[Chunk], spec: DatasetSpec) -> dict[str, Any]:
    # Plain writes: on a full disk they raise, where a write to a mapped file would kill the process.
    count = 0
    skipped: list[str] = []
    labels: list[int] | None = None if spec.classes is None else []

    def written() -> Iterator[Array]:
        nonlocal count
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk.samples).data)
            count += len(chunk.samples)
            skipped.extend(chunk.skipped)
            if labels is not None and chunk.labels is not None:
                labels.extend(chunk.labels.tolist())
            yield chunk.samples

    _write_header(file, (0, *spec.shape), spec.dtype)
    digest = digest_of(written())
    # NumPy pads the header so that the first dimension may grow in place.
    file.seek(0)
    _write_header(file, (count, *spec.shape), spec.dtype)
    return {"digest": digest, "skipped": skipped, "labels": labels}


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: str) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _write_json(path: Path, plain: Mapping[str, Any]) -> None:
    text = json.dumps(plain).encode()
    write_atomically(path, lambda file: file.write(text))

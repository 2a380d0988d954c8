"""Making packs: once, by any number of processes, and in any number of attempts.

Each file is written under a temporary name and renamed, a shard after its record. So what has its name is
whole, and a pack that was interrupted goes on with the shards that are missing.
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
from wgan.data.reader import Array, Chunk, DatasetReader, DatasetSpec, digest_of, refuse_many
from wgan.data.shards import (
    FORMAT,
    HEAD,
    Head,
    is_pack,
    is_whole,
    read_head,
    read_shards,
    seal_of,
    shard_path,
)
from wgan.data.storage import Mapped
from wgan.errors import InputError, ProcessError, StorageError


def pack(
    reader: DatasetReader,
    folder: Path,
    *,
    processes: int = 1,
    tell: Callable[[int, int], None] = lambda done, shards: None,
) -> None:
    """Make a pack, or finish one that was begun; of a finished one, make again what is missing.

    Another process that packs here is waited for.

    Args:
        reader: what to pack.
        folder: where; made if need be.
        processes: how many, >= 1.
        tell: called with the number of shards that are done and of all.

    Raises:
        InputError: the folder holds something else, or what is to be packed cannot be.
        ProcessError: one of the processes was killed.
        StorageError: not enough room, or the file system refuses otherwise; whole shards stay.
    """
    _check_free(folder)
    with locked(folder):
        head = read_head(folder) if is_pack(folder) else _begin(reader, folder)
        _check_same(head, reader, folder)
        spec = head.spec
        missing = [number for number in range(spec.shards) if not is_whole(folder, spec, number)]
        if not missing and head.digest:
            return
        _check_room(spec, len(missing), folder)
        if head.digest:  # what is made anew need not be what it was
            head = replace(head, digest=None)
            _write_head(head, folder)
        for partial in folder.glob(".*.partial"):
            remove(partial)
        written = _written(Job(reader, spec, folder), missing, processes)
        for done, _ in enumerate(written, spec.shards - len(missing) + 1):
            tell(done, spec.shards)
        _seal(head, folder)


def _check_free(folder: Path) -> None:
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise InputError(f"'{folder}' is a file; a pack needs a folder.")
    full = os.path.isdir(folder) and any(not entry.name.startswith(".") for entry in folder.iterdir())
    if full and not is_pack(folder):
        raise InputError(f"'{folder}' holds files and is no pack: give a new or empty folder.")


def _check_same(head: Head, reader: DatasetReader, folder: Path) -> None:
    if head.key != reader.key:
        raise InputError(
            f"'{folder}' is a pack of other files or at another size ({head.origin} as "
            f"{'x'.join(map(str, head.spec.shape))}): give another folder, or delete it."
        )


def _begin(reader: DatasetReader, folder: Path) -> Head:
    head = Head(reader.origin, reader.key, reader.spec, None)
    _write_head(head, folder)
    return head


def _check_room(spec: DatasetSpec, missing: int, folder: Path) -> None:
    if spec.rows is None:
        return  # Nobody knows; a full disk will say so, and what was packed until then stays.
    with storing(folder):
        free = shutil.disk_usage(folder).free
    needed = spec.bytes(spec.rows) * missing // spec.shards
    if needed > free:
        raise StorageError(
            f"The pack takes {needed / 1e9:,.1f} GB more, and '{folder}' has {free / 1e9:,.1f} GB free: "
            "make room, or give a folder on another disk."
        )


def _write_head(head: Head, folder: Path) -> None:
    _write_json(folder / HEAD, {"format": FORMAT, **asdict(head)})


def _seal(head: Head, folder: Path) -> None:
    shards = read_shards(folder, head.spec)
    samples = Mapped([shard.samples for shard in shards])
    lost = [name for shard in shards for name in shard.dropped]
    try:
        refuse_many(head.origin, lost, len(samples) + len(lost))
    except InputError:
        # Perhaps a disk was gone for a while: the same command reads these again.
        spoilt = [number for number, shard in enumerate(shards) if shard.dropped]
        for number in spoilt:
            remove(shard_path(folder, number))
            remove(shard_path(folder, number).with_suffix(".json"))
        if len(spoilt) == len(shards):
            remove(folder / HEAD)
            if {path.name for path in folder.iterdir()} <= {LOCK}:  # else something hidden was there before
                remove(folder)
        raise
    _write_head(replace(head, digest=digest_of(samples.chunks())), folder)


@final
@dataclass(frozen=True, eq=False)
class Job:
    """What to pack, in which form, and where."""

    reader: DatasetReader
    spec: DatasetSpec
    folder: Path

    def write(self, number: int) -> None:
        """Write a shard."""
        path = shard_path(self.folder, number)

        def write(file: IO[bytes]) -> None:
            record = _write_npy(file, self.reader.chunks(self.spec, number), self.spec)
            record["seal"] = seal_of(number, **record)
            # Before the samples get their name: where they are, their record is.
            _write_json(path.with_suffix(".json"), record)

        write_atomically(path, write)


def _written(job: Job, numbers: list[int], processes: int) -> Iterator[None]:
    """Write these shards; it yields once for each that is done."""
    workers = min(processes, len(numbers))
    if workers <= 1:
        for number in numbers:
            job.write(number)
            yield
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _take, (job,))
    try:
        with _deaf():
            futures = [pool.submit(_write, number) for number in numbers]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise ProcessError(
            f"A process that packed '{job.folder}' was killed, perhaps for want of memory; whole shards "
            "stay: give the same command again, with fewer processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_job: list[Job] = []
"""In a process of its own: what it does. It is sent once, for its names alone can be a hundred megabytes."""


@contextmanager
def _deaf() -> Iterator[None]:
    """Keep Ctrl-C waiting: here until the block ends, in processes that begin in it until they have a job."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take(job: Job) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches all; the first process says what there is.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _job.append(job)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # It was killed, and nobody would end this one.


def _write(number: int) -> None:
    _job[0].write(number)


def _write_npy(file: IO[bytes], chunks: Iterable[Chunk], spec: DatasetSpec) -> dict[str, Any]:
    # Plain writes: on a full disk they raise, where a write to a mapped file would kill the process.
    count = 0
    dropped: list[str] = []
    labels: list[int] | None = None if spec.classes is None else []

    def written() -> Iterator[Array]:
        nonlocal count
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk.samples).data)
            count += len(chunk.samples)
            dropped.extend(chunk.dropped)
            if labels is not None and chunk.labels is not None:
                labels.extend(chunk.labels.tolist())
            yield chunk.samples

    _write_header(file, (0, *spec.shape), spec.dtype)
    digest = digest_of(written())
    # NumPy pads the header so that the first dimension may grow in place.
    file.seek(0)
    _write_header(file, (count, *spec.shape), spec.dtype)
    return {"digest": digest, "dropped": dropped, "labels": labels}


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: str) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _write_json(path: Path, plain: Mapping[str, Any]) -> None:
    text = json.dumps(plain).encode()
    write_atomically(path, lambda file: file.write(text))

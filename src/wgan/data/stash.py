"""Where samples are kept: in memory, or, over a budget, in a memory-mapped file of the user's cache.

A file of the cache is `<key>.npy` beside `<key>.json` (its digest and what was dropped). It is written
under a temporary name and renamed, so that an interrupted run leaves nothing half-made; the key is made
from all that decided its content. Nothing here is ever deleted: the folder may be emptied at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, NamedTuple, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wgan.errors import InputError, StorageError
from wgan.files import write_atomically

Array = npt.NDArray[Any]

_UNKNOWN_MEMORY = 8 << 30
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


class Block(NamedTuple):
    """Some consecutive samples (n, *shape), and the positions of those that were given up."""

    samples: Array
    dropped: list[int]


@final
@dataclass(frozen=True, eq=False)
class Stored:
    """Samples in their final form.

    Attributes:
        samples: (M, *shape), uint8 or float32.
        digest: SHA-256 of their type, shape and values.
        dropped: positions, in the order they were offered, of samples that could not be had.
        resident: False for a memory-mapped file.
    """

    samples: Tensor
    digest: str
    dropped: tuple[int, ...] = ()
    resident: bool = True


def memory_budget(limit: int | None) -> int:
    """The most bytes a set may take in memory: `limit`, or a quarter of the machine's (or container's).

    Raises:
        InputError: a negative limit, or one that is no integer.
    """
    if limit is None:
        return min(_physical_memory(), _container_memory()) // 4
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InputError(f"memory_limit is {limit!r}; it is a number of bytes: give an integer of 0 or more.")
    return limit


def in_memory(samples: Array) -> Stored:
    """Keep these samples (M, *shape), uint8 or float32, as they are, without a copy."""
    return Stored(torch.from_numpy(samples), digest_of([samples]))


def gather(blocks: Iterable[Block], rows: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Stored:
    """Collect blocks, of `rows` samples (*shape) at most, in memory."""
    samples = np.empty((rows, *shape), dtype)
    dropped: list[int] = []
    end = 0
    for block in blocks:
        samples[end : end + len(block.samples)] = block.samples
        end += len(block.samples)
        dropped += block.dropped
    return replace(in_memory(samples[:end]), dropped=tuple(dropped))


def spill(blocks: Iterable[Block], shape: tuple[int, ...], dtype: npt.DTypeLike, key: str) -> Stored:
    """Write blocks of samples (*shape) to the cache under `key`, and map them.

    Raises:
        StorageError: the cache cannot be written to; nothing half-written stays behind.
    """
    path = _cache_path(key, ".npy")
    record: dict[str, Any] = {}

    def write(file: IO[bytes]) -> None:
        record["digest"], record["dropped"] = _write_npy(file, blocks, shape, np.dtype(dtype))
        # Before the samples get their name: where they are, their record is.
        _remember(key, record)

    try:
        write_atomically(path, write)
    except StorageError as error:
        raise StorageError(
            f"The set is larger than the memory budget and its cache '{path.parent}' cannot be written "
            f"({error.__cause__}). Make room there, set XDG_CACHE_HOME to another disk, or raise "
            "memory_limit."
        ) from error
    return _mapped(path, record["digest"], record["dropped"])


def recall(key: str, limit: int) -> Stored | None:
    """What `spill` wrote under `key`: mapped, or read if it fits in `limit` bytes; None if not there."""
    path = _cache_path(key, ".npy")
    record = recollect(key)
    if record is None:
        return None
    try:
        stored = _mapped(path, str(record["digest"]), record["dropped"])
    except (OSError, ValueError, EOFError, KeyError):
        return None  # Not there, or damaged: it is made again.
    if stored.samples.nbytes > limit:
        return stored
    return replace(stored, samples=stored.samples.clone(), resident=True)


def recollect(key: str) -> dict[str, Any] | None:
    """The record kept under `key`, or None where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        record = json.loads(_cache_path(key, ".json").read_text(encoding="utf-8"))
        return record if isinstance(record, dict) and "digest" in record else None
    return None


def remember(key: str, record: dict[str, Any]) -> None:
    """Keep a small record under `key`; a cache that cannot be written to only costs time next time."""
    with contextlib.suppress(OSError):
        _remember(key, record)


def digest_of(blocks: Iterable[Array]) -> str:
    """SHA-256 of the type, shape and values of samples (M, *shape), given in one or more blocks."""
    hashed = hashlib.sha256()
    count, form = 0, ""
    for block in blocks:
        hashed.update(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
        count, form = count + len(block), f"{block.dtype.name} {block.shape[1:]}"
    hashed.update(f"{count} {form}".encode())
    return hashed.hexdigest()


def key_of(*parts: object) -> str:
    """A short name for the cache that changes with any of these parts."""
    return hashlib.sha256("\n".join(repr(part) for part in parts).encode()).hexdigest()[:32]


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN_MEMORY


def _container_memory() -> int:
    try:
        return int(_CGROUP_LIMIT.read_text())
    except (OSError, ValueError):
        return 1 << 62  # No container, or one without a limit ("max").


def _cache_path(key: str, suffix: str) -> Path:
    import pooch

    return Path(pooch.os_cache("wgan")) / "sets" / f"{key}{suffix}"


def _write_npy(
    file: IO[bytes], blocks: Iterable[Block], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[str, list[int]]:
    # Plain writes: on a full disk they raise, where a write to a mapped file would kill the process.
    count = 0
    dropped: list[int] = []

    def written() -> Iterator[Array]:
        nonlocal count
        for block in blocks:
            file.write(np.ascontiguousarray(block.samples).data)
            count += len(block.samples)
            dropped.extend(block.dropped)
            yield block.samples

    _write_header(file, (0, *shape), dtype)
    digest = digest_of(written())
    # NumPy pads the header so that the first dimension may grow in place.
    file.seek(0)
    _write_header(file, (count, *shape), dtype)
    return digest, dropped


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _remember(key: str, record: dict[str, Any]) -> None:
    text = json.dumps(record).encode()
    write_atomically(_cache_path(key, ".json"), lambda file: file.write(text))


def _mapped(path: Path, digest: str, dropped: Iterable[int]) -> Stored:
    samples = torch.from_numpy(np.load(path, mmap_mode="c"))
    return Stored(samples, digest, tuple(dropped), resident=False)

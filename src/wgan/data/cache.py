"""Materialising a reader's samples: in memory, or, over a memory budget, as shards in the user's cache.

A folder of shards there is named after all that determines its content: names, sizes, dates, and location.
Nothing that this version can read is ever deleted, and the cache may be emptied at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from wgan.core.files import remove, write_atomically
from wgan.data.reader import Array, Chunk, DatasetReader, check_skipped, key_of
from wgan.data.sharding import write_shards
from wgan.data.shards import is_shard_folder, open_shards, read_manifest
from wgan.data.storage import MappedSamples, Storage, in_memory
from wgan.errors import InputError, StorageError

_UNKNOWN_MEMORY = 8 << 30
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_budget(limit: int | None) -> int:
    """The most bytes a dataset may take in memory: `limit`, or a quarter of the machine's (or container's).

    Raises:
        InputError: `memory_limit` is negative or no integer.
    """
    if limit is None:
        return min(_physical_memory(), _container_memory()) // 4
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InputError(f"memory_limit is {limit!r}; it is a number of bytes: give an integer of 0 or more.")
    return limit


def materialize(reader: DatasetReader, limit: int) -> Storage:
    """The samples of a reader: in memory, or as shards in the cache if they take more than `limit` bytes.

    What the cache holds already is not read a second time.

    Raises:
        InputError: The data cannot become samples.
        StorageError: The cache cannot be written to; complete shards in it stay.
    """
    folder = cache_folder("sets") / key_of(reader.key, reader.location)
    if is_shard_folder(folder):
        with contextlib.suppress(InputError):  # damaged or unfinished: written again below
            return into_memory(open_shards(folder), limit)
    spec = reader.spec
    if spec.rows is not None and spec.bytes(spec.rows) <= limit:
        chunks = chain.from_iterable(reader.chunks(spec, shard) for shard in range(spec.shards))
        storage = concatenate(chunks, spec.rows, spec.shape, spec.dtype)
        check_skipped(reader.origin, storage.skipped, spec.rows)
        return replace(storage, classes=spec.classes)
    return into_memory(_in_cache(reader, folder), limit)


def into_memory(storage: Storage, limit: int) -> Storage:
    """Read mapped samples into memory if they take at most `limit` bytes; else return them as they are."""
    mapped = storage.samples
    if not isinstance(mapped, MappedSamples) or mapped.nbytes > limit:
        return storage
    samples = torch.empty(mapped.shape, dtype=mapped.dtype)
    end = 0
    for chunk in mapped.chunks():
        samples[end : end + len(chunk)].numpy()[...] = chunk
        end += len(chunk)
    return replace(storage, samples=samples)


def concatenate(chunks: Iterable[Chunk], rows: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Storage:
    """Collect chunks, of at most `rows` samples (*shape) together, in memory."""
    samples = np.empty((rows, *shape), dtype)
    skipped: list[str] = []
    labels: list[Array] = []
    end = 0
    for chunk in chunks:
        samples[end : end + len(chunk.samples)] = chunk.samples
        end += len(chunk.samples)
        skipped += chunk.skipped
        labels += [] if chunk.labels is None else [chunk.labels]
    return replace(
        in_memory(samples[:end]),
        skipped=tuple(skipped),
        labels=torch.from_numpy(np.concatenate(labels)) if labels else None,
    )


def read_digest(key: str) -> str | None:
    """The cached digest of this key, or None if there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((cache_folder("sets") / f"{key}.json").read_text(encoding="utf-8"))["digest"])
    return None


def write_digest(key: str, digest: str) -> None:
    """Cache a digest; a cache that cannot be written to only costs time next time."""
    text = json.dumps({"digest": digest}).encode()
    with contextlib.suppress(OSError):
        write_atomically(cache_folder("sets") / f"{key}.json", lambda file: file.write(text))


def cache_folder(name: str, *, create: bool = False) -> Path:
    """A folder in the user's cache.

    Raises:
        StorageError: It is to be created and cannot be.
    """
    import pooch

    folder = Path(pooch.os_cache("wgan")) / name
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The cache '{folder}' cannot be written to ({error}): set XDG_CACHE_HOME to a folder that can."
        ) from error
    return folder


def _in_cache(reader: DatasetReader, folder: Path) -> Storage:
    try:
        if is_shard_folder(folder):
            try:
                read_manifest(folder)
            except InputError:  # damaged, or of another version
                remove(folder)
        write_shards(reader, folder)
    except StorageError as error:
        raise StorageError(
            f"{reader.origin} is larger than the memory budget and needs shards in the cache. {error} "
            "Set XDG_CACHE_HOME to another place for the cache, or write the shards to a folder of your "
            "choice with `wgan data pack`."
        ) from error
    return open_shards(folder)


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

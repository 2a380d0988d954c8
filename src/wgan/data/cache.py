"""Where samples are kept: in memory, or, over a budget, in a pack in the user's cache.

A pack's folder there is named after all that decides its content: names, sizes, dates, and where it lies.
Nothing that this version can read is ever deleted, and the folder may be emptied at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from wgan.core.files import remove, write_atomically
from wgan.data.reader import Array, Chunk, DatasetReader, key_of, refuse_many
from wgan.data.sharding import pack
from wgan.data.shards import is_pack, is_readable, open_pack
from wgan.data.storage import Mapped, Storage, in_memory
from wgan.errors import InputError, StorageError

_UNKNOWN_MEMORY = 8 << 30
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


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


def keep(reader: DatasetReader, limit: int) -> Storage:
    """The samples of a material: in memory, or packed in the cache where they take more than `limit` bytes.

    What the cache holds already is not read a second time.

    Raises:
        InputError: there is no way to make samples of it.
        StorageError: the cache cannot be written to; what is whole in it stays.
    """
    folder = _cache() / key_of(reader.key, reader.place)
    if is_pack(folder):
        with contextlib.suppress(InputError):  # damaged or unfinished: made again
            return within(open_pack(folder), limit)
    spec = reader.spec
    if spec.rows is not None and spec.bytes(spec.rows) <= limit:
        chunks = chain.from_iterable(reader.chunks(spec, shard) for shard in range(spec.shards))
        stored = gather(chunks, spec.rows, spec.shape, spec.dtype)
        refuse_many(reader.origin, stored.dropped, spec.rows)
        return replace(stored, classes=spec.classes)
    return within(_packed(reader, folder), limit)


def within(stored: Storage, limit: int) -> Storage:
    """Samples of a pack, read into memory if they take at most `limit` bytes."""
    samples = stored.samples
    if not isinstance(samples, Mapped) or samples.nbytes > limit:
        return stored
    loaded = torch.empty(samples.shape, dtype=samples.dtype)
    end = 0
    for chunk in samples.chunks():
        loaded[end : end + len(chunk)].numpy()[...] = chunk
        end += len(chunk)
    return replace(stored, samples=loaded)


def gather(chunks: Iterable[Chunk], rows: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Storage:
    """Collect blocks, of `rows` samples (*shape) at most, in memory."""
    samples = np.empty((rows, *shape), dtype)
    dropped: list[str] = []
    labels: list[Array] = []
    end = 0
    for chunk in chunks:
        samples[end : end + len(chunk.samples)] = chunk.samples
        end += len(chunk.samples)
        dropped += chunk.dropped
        labels += [] if chunk.labels is None else [chunk.labels]
    return replace(
        in_memory(samples[:end]),
        dropped=tuple(dropped),
        labels=torch.from_numpy(np.concatenate(labels)) if labels else None,
    )


def recollect(key: str) -> dict[str, Any] | None:
    """The record kept under `key`, or None where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((_cache() / f"{key}.json").read_text(encoding="utf-8"))
        return record if isinstance(record, dict) and "digest" in record else None
    return None


def remember(key: str, record: dict[str, Any]) -> None:
    """Keep a small record under `key`; a cache that cannot be written to only costs time next time."""
    text = json.dumps(record).encode()
    with contextlib.suppress(OSError):
        write_atomically(_cache() / f"{key}.json", lambda file: file.write(text))


def _packed(reader: DatasetReader, folder: Path) -> Storage:
    try:
        if is_pack(folder) and not is_readable(folder):
            remove(folder)  # damaged, or of another version
        pack(reader, folder)
    except StorageError as error:
        raise StorageError(
            f"{reader.origin} is larger than the memory budget and is to be packed in the cache. {error} "
            "XDG_CACHE_HOME names another place for the cache; `wgan data pack` writes a pack to any folder."
        ) from error
    return open_pack(folder)


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("wgan")) / "sets"


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

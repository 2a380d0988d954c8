"""Readers: samples that have not been read yet, described by a spec and read shard by shard."""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from wgan.errors import InputError

Array = npt.NDArray[Any]

_SHARD_BYTES = 1 << 28
MAX_SHARDS = 512
"""Every shard is an open file, and systems often limit a process to 1,024 of those."""


class Chunk(NamedTuple):
    """Some consecutive samples.

    Attributes:
        samples: (n, *shape).
        skipped: Names of the samples among them that could not be read.
        labels: int64 (n,); None without labels.
    """

    samples: Array
    skipped: tuple[str, ...] = ()
    labels: Array | None = None


@final
@dataclass(frozen=True)
class DatasetSpec:
    """The form of a dataset's samples once they are stored.

    Attributes:
        shape: The shape of one sample.
        dtype: 'uint8' or 'float32'.
        rows: The largest number of samples; None if it is unknown until all of them are read.
        shards: The number of shards.
        classes: The name of each label.
    """

    shape: tuple[int, ...]
    dtype: str
    rows: int | None
    shards: int
    classes: tuple[str, ...] | None = None

    def bytes(self, rows: int) -> int:
        """The size of that many samples."""
        return rows * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def shard_rows(self, shard: int) -> range:
        """The rows of a shard, if the number of rows is known."""
        assert self.rows is not None
        return range(shard * self.rows // self.shards, (shard + 1) * self.rows // self.shards)


class DatasetReader(ABC):
    """Samples that are yet to be read; picklable, so that several processes can read one dataset."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """The path or name of the data, for messages."""

    @property
    def location(self) -> str:
        """The absolute path: files in two folders may have the same names, sizes and dates."""
        return os.path.realpath(self.origin)

    @property
    @abstractmethod
    def key(self) -> str:
        """A hash of all that determines the samples, computed without reading them."""

    @property
    @abstractmethod
    def spec(self) -> DatasetSpec:
        """The spec, computed once by inspecting the whole dataset.

        Raises:
            InputError: The data cannot become samples.
        """

    @abstractmethod
    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """The samples of a shard, some megabytes at a time, in the same order every time.

        Args:
            spec: The spec of this reader, or the one stored when writing began.
            shard: In [0, spec.shards).
        """


def shard_count(size: int) -> int:
    """The number of shards for that many bytes: shards of 256 MiB, larger where there would be too many."""
    return max(1, min(MAX_SHARDS, math.ceil(size / _SHARD_BYTES)))


def check_skipped(origin: str, skipped: Sequence[str], total: int) -> None:
    """Raise InputError if more than one sample and more than 1 % of them could not be read."""
    if len(skipped) <= max(1, total // 100):
        return
    shown = ", ".join(f"'{name}'" for name in skipped[:3]) + (", ..." if len(skipped) > 3 else "")
    raise InputError(
        f"At least {len(skipped)} of the {total} images of '{origin}' cannot be read ({shown}); more than "
        "1 % is too many to skip: repair or remove them."
    )


def digest_of(chunks: Iterable[Array]) -> str:
    """SHA-256 of the dtype, shape and values of samples (M, *shape), passed as one or more arrays."""
    sha, count, form = hashlib.sha256(), 0, ""
    for chunk in chunks:
        sha.update(np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data)
        count, form = count + len(chunk), f"{chunk.dtype.name} {chunk.shape[1:]}"
    sha.update(f"{count} {form}".encode())
    return sha.hexdigest()


def key_of(*parts: object) -> str:
    """A hash (32 hexadecimal digits) of the representations of these parts."""
    return hashlib.sha256("\n".join(repr(part) for part in parts).encode()).hexdigest()[:32]

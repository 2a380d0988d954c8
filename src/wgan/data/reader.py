"""What samples are made of before they are kept: a set that is looked over once and then read in parts."""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from wgan.errors import InputError

Array = npt.NDArray[Any]

_SHARD_BYTES = 1 << 28
MOST_SHARDS = 512
"""Each is a file that is held open, and 1,024 of those is a usual limit."""


class Chunk(NamedTuple):
    """Some consecutive samples.

    Attributes:
        samples: (n, *shape).
        dropped: names of those between them that could not be had.
        labels: int64 (n,); None where there are none.
    """

    samples: Array
    dropped: tuple[str, ...] = ()
    labels: Array | None = None


@final
@dataclass(frozen=True)
class DatasetSpec:
    """What a set will be once it is kept.

    Attributes:
        shape: of one sample.
        dtype: 'uint8' or 'float32'.
        rows: how many samples there are at most; None if nobody knows before they are all read.
        shards: how many parts they come in.
        classes: the name of each label.
    """

    shape: tuple[int, ...]
    dtype: str
    rows: int | None
    shards: int
    classes: tuple[str, ...] | None = None

    def bytes(self, rows: int) -> int:
        """What that many samples take."""
        return rows * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def span(self, shard: int) -> range:
        """Which rows a shard is made of, where their number is known."""
        assert self.rows is not None
        return range(shard * self.rows // self.shards, (shard + 1) * self.rows // self.shards)


class DatasetReader(ABC):
    """A set of samples yet to be read. It can be pickled, so that several processes can read one set."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where it is, for messages."""

    @property
    def place(self) -> str:
        """Where it lies, in full: files in two places can have the same names, sizes and dates."""
        return os.path.realpath(self.origin)

    @property
    @abstractmethod
    def key(self) -> str:
        """A short name that changes with all that decides the samples; had without reading them."""

    @property
    @abstractmethod
    def spec(self) -> DatasetSpec:
        """What its samples will be: found once, by looking all of it over.

        Raises:
            InputError: there is no way to make samples of it.
        """

    @abstractmethod
    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """The samples of a shard, in pieces of some megabytes; in the same order every time.

        Args:
            spec: this material's, found here or by whoever began.
            shard: in [0, form.shards).
        """


def shards_for(size: int) -> int:
    """How many shards so many bytes are kept in: of 256 MiB each, or larger ones if that were too many."""
    return max(1, min(MOST_SHARDS, math.ceil(size / _SHARD_BYTES)))


def refuse_many(origin: str, lost: Iterable[str], total: int) -> None:
    """Raise InputError if more than one sample and more than 1 % of them could not be read."""
    names = list(lost)
    if len(names) <= max(1, total // 100):
        return
    shown = ", ".join(f"'{name}'" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    raise InputError(
        f"At least {len(names)} of the {total} images of '{origin}' cannot be read ({shown}); more "
        f"than 1 % means that something went wrong with the set: repair or remove them."
    )


def digest_of(chunks: Iterable[Array]) -> str:
    """SHA-256 of the type, shape and values of samples (M, *shape), given in one or more blocks."""
    hashed = hashlib.sha256()
    count, spec = 0, ""
    for chunk in chunks:
        hashed.update(np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data)
        count, spec = count + len(chunk), f"{chunk.dtype.name} {chunk.shape[1:]}"
    hashed.update(f"{count} {spec}".encode())
    return hashed.hexdigest()


def key_of(*parts: object) -> str:
    """A short name that changes with any of these parts."""
    return hashlib.sha256("\n".join(repr(part) for part in parts).encode()).hexdigest()[:32]

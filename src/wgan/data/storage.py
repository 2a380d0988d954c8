"""Samples in their final form: in memory, or in mapped files, of which only what is asked for is read.

Pages of a mapped file that were touched count as memory of the process until the system wants them back:
random draws from 2 GB ended with 2 GB of it, and with 79 MB where pages are released after each draw. What is
released stays in the system's file cache, and costs no second reading while there is room for it.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from wgan.data.reader import Array, digest_of

File = np.memmap[Any, np.dtype[Any]]

_BLOCK_BYTES = 1 << 26
_AT_ONCE = 1024


@final
class Mapped:
    """The samples of one or more mapped .npy files, in order: to `Split` as good as a tensor (M, *shape).

    Args:
        files: one or more, as `np.lib.format.open_memmap` returns them.
        arrange: a view of such an array as (n, *shape).
    """

    def __init__(
        self, files: Sequence[File], arrange: Callable[[Array], Array] = lambda array: array
    ) -> None:
        self._files = files
        self._parts = [np.asarray(arrange(file)) for file in files]  # a memmap's rows cost twice as much
        self._ends = np.cumsum([len(file) for file in files])
        self.shape = torch.Size((int(self._ends[-1]), *self._parts[0].shape[1:]))
        self.dtype = torch.from_numpy(np.empty(0, files[0].dtype)).dtype

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """The size of all samples."""
        return math.prod(self.shape) * self.dtype.itemsize

    def index_select(self, dim: Literal[0], index: Tensor) -> Tensor:
        """The samples (n, *shape) of these rows, int64 (n,), read into memory: the method of a tensor."""
        chosen = torch.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        for start in range(0, len(index), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            self._read(index[some].numpy(), chosen[some].numpy())
        return chosen

    def chunks(self) -> Iterator[Array]:
        """All samples in order, in pieces of some 64 MiB."""
        for file, part in zip(self._files, self._parts, strict=True):
            for _, piece in pieces(part):
                yield piece
                release(file)

    def _read(self, rows: Array, into: Array) -> None:
        owners = np.searchsorted(self._ends, rows, side="right")
        within = rows - np.concatenate([[0], self._ends])[owners]
        places = list(zip(owners.tolist(), within.tolist(), strict=True))
        for owner, row in places:
            _foretell(self._files[owner], row)
        for sample, (owner, row) in zip(into, places, strict=True):
            sample[...] = self._parts[owner][row]
        for owner in set(owners.tolist()):
            release(self._files[owner])


@final
@dataclass(frozen=True, eq=False)
class Storage:
    """Samples in their final form, and what came with them.

    Attributes:
        samples: (M, *shape), uint8 or float32.
        digest: SHA-256 of their type, shape and values.
        dropped: names of samples that could not be had.
        labels: of each sample, int64 (M,), or None.
        classes: the name of each label, or None.
    """

    samples: Tensor | Mapped
    digest: str
    dropped: tuple[str, ...] = ()
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None


def in_memory(samples: Array) -> Storage:
    """Keep these samples (M, *shape), uint8 or float32, as they are, without a copy."""
    return Storage(torch.from_numpy(samples), digest_of([samples]))


def pieces(array: Array) -> Iterator[tuple[int, Array]]:
    """An array in blocks of some 64 MiB, each with the position of its first sample."""
    rows = max(1, _BLOCK_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]
        release(array)


def release(array: Array) -> None:
    """Let go of the memory that a mapped file's pages take; they are read again when they are wanted."""
    file = array.base if isinstance(array.base, np.memmap) else array  # a slice's own base is the whole file
    if isinstance(file, np.memmap) and isinstance(file.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        file.base.madvise(mmap.MADV_DONTNEED)


def _foretell(file: File, row: int) -> None:
    """Tell the system that a row will be wanted: a disk reads a batch four times as fast as row by row."""
    if isinstance(file.base, mmap.mmap) and hasattr(mmap, "MADV_WILLNEED"):
        size = file.nbytes // len(file)
        start = file.offset + row * size
        page = start // mmap.PAGESIZE * mmap.PAGESIZE
        file.base.madvise(mmap.MADV_WILLNEED, page, start + size - page)

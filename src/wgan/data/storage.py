"""Stored samples: in memory, or in memory-mapped files of which only the requested rows are read.

Touched pages of a mapped file count as memory of the process until the system reclaims them: random batches
from 2 GB ended with 2 GB of it, and with 79 MB where pages are released after each batch. Released pages stay
in the system's file cache and are not read from disk again while there is room for them.
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

Memmap = np.memmap[Any, np.dtype[Any]]

_SLICE_BYTES = 1 << 26
_ROWS_PER_READ = 1024


@final
class MappedSamples:
    """The samples of one or more mapped .npy files, in order, with the interface of a tensor (M, *shape).

    Args:
        files: One or more, as `np.lib.format.open_memmap` returns them.
        arrange: Turns such an array into a view (n, *shape).
    """

    def __init__(
        self, files: Sequence[Memmap], arrange: Callable[[Array], Array] = lambda array: array
    ) -> None:
        self._files = files
        self._arrays = [np.asarray(arrange(file)) for file in files]  # rows of a memmap cost twice as much
        self._ends = np.cumsum([len(file) for file in files])
        self.shape = torch.Size((int(self._ends[-1]), *self._arrays[0].shape[1:]))
        self.dtype = torch.from_numpy(np.empty(0, files[0].dtype)).dtype

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """The size of all samples."""
        return math.prod(self.shape) * self.dtype.itemsize

    def index_select(self, dim: Literal[0], index: Tensor) -> Tensor:
        """The samples (n, *shape) of these rows, int64 (n,), read into memory, as `Tensor.index_select`."""
        samples = torch.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        for start in range(0, len(index), _ROWS_PER_READ):
            some = slice(start, start + _ROWS_PER_READ)
            self._read(index[some].numpy(), samples[some].numpy())
        return samples

    def chunks(self) -> Iterator[Array]:
        """All samples in order, about 64 MiB at a time."""
        for file, array in zip(self._files, self._arrays, strict=True):
            for _, part in slices(array):
                yield part
                release_pages(file)

    def _read(self, rows: Array, into: Array) -> None:
        owners = np.searchsorted(self._ends, rows, side="right")
        offsets = rows - np.concatenate([[0], self._ends])[owners]
        positions = list(zip(owners.tolist(), offsets.tolist(), strict=True))
        for owner, row in positions:
            _prefetch(self._files[owner], row)
        for sample, (owner, row) in zip(into, positions, strict=True):
            sample[...] = self._arrays[owner][row]
        for owner in set(owners.tolist()):
            release_pages(self._files[owner])


@final
@dataclass(frozen=True, eq=False)
class Storage:
    """Samples in their final form, with their labels.

    Attributes:
        samples: (M, *shape), uint8 or float32.
        digest: SHA-256 of their dtype, shape and values.
        skipped: Names of samples that could not be read.
        labels: int64 (M,), or None.
        classes: The name of each label, or None.
    """

    samples: Tensor | MappedSamples
    digest: str
    skipped: tuple[str, ...] = ()
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None


def in_memory(samples: Array) -> Storage:
    """Storage of these samples (M, *shape), uint8 or float32, which are not copied."""
    return Storage(torch.from_numpy(samples), digest_of([samples]))


def slices(array: Array) -> Iterator[tuple[int, Array]]:
    """Slices of an array of about 64 MiB, each with the index of its first sample."""
    rows = max(1, _SLICE_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]
        release_pages(array)


def release_pages(array: Array) -> None:
    """Release the memory of a mapped file's pages; they are read again when they are accessed."""
    file = array.base if isinstance(array.base, np.memmap) else array  # a slice's own base is the whole file
    if isinstance(file, np.memmap) and isinstance(file.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        file.base.madvise(mmap.MADV_DONTNEED)


def _prefetch(file: Memmap, row: int) -> None:
    """Announce that a row will be read: a disk reads a batch four times as fast as row by row."""
    if isinstance(file.base, mmap.mmap) and hasattr(mmap, "MADV_WILLNEED"):
        size = file.nbytes // len(file)
        start = file.offset + row * size
        page = start // mmap.PAGESIZE * mmap.PAGESIZE
        file.base.madvise(mmap.MADV_WILLNEED, page, start + size - page)

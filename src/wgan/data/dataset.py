"""What every part of this package hands out: a source of samples, split once and for all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from wgan.data.storage import Mapped, Storage
from wgan.data.toy_distribution import ToyDistribution
from wgan.errors import InputError

MINIMUM = 8
"""Fewest samples of a source: under it there is nothing to split into two useful parts."""

_SPLIT_SEED = 1701
_LARGEST_HELD_OUT = 10_000


def spread(total: int, count: int) -> Tensor:
    """At most ``count`` of ``total`` positions, evenly: what is sorted by class keeps all its classes."""
    return evenly(total, min(total, count))


def evenly(total: int, count: int) -> Tensor:
    """``count`` positions, evenly over ``total``, some of them more than once where there are fewer."""
    return torch.arange(count) * total // count


@final
@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of a storage; the training and the held-out split share one storage.

    Attributes:
        storage: (M, *shape), uint8 (images, 0..255) or float32 (taken as is).
        rows: int64 (N,), which rows of the storage are this split's.
        labels: of each row of the storage: classes, int64 (M,), or attributes, float32 (M, k); or None.
    """

    storage: Tensor | Mapped
    rows: Tensor
    labels: Tensor | None = None

    @property
    def resident(self) -> bool:
        """Whether the storage is a tensor; mapped files stay on the host."""
        return isinstance(self.storage, Tensor)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Tensor) -> Tensor:
        """The samples at these positions of this split, gathered where the storage lives.

        Args:
            index: int64 (n,), each in [0, len(self)).

        Returns:
            float32 (n, *shape) on the device of `index`; bytes are scaled by x / 127.5 - 1 to [-1, 1].

        Raises:
            IndexError: (on the host; a GPU reports it later) an index is out of range.
        """
        # index_select, because indexing with brackets would take -1 for the last sample.
        rows = self.rows.index_select(0, index.to(self.rows.device))
        samples = self.storage.index_select(0, rows).to(index.device)
        return samples.float().div_(127.5).sub_(1.0) if samples.dtype == torch.uint8 else samples

    def batch_labels(self, index: Tensor) -> Tensor | None:
        """The labels (n,) or (n, k) on the device of `index` (int64 (n,)), or None for a split without."""
        if self.labels is None:
            return None
        rows = self.rows.index_select(0, index.to(self.rows.device))
        return self.labels.index_select(0, rows).to(index.device)

    def even_labels(self, count: int) -> Tensor | None:
        """The labels of ``count`` samples evenly spread over this split, as frequent as in all of it."""
        return self.batch_labels(evenly(len(self), count))

    def to(self, device: torch.device | str) -> Split:
        """This split with its tensors on `device`; a memory-mapped one stays where it is."""
        if not isinstance(self.storage, Tensor):
            return self
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, storage=self.storage.to(device), rows=self.rows.to(device), labels=labels)


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Where the real samples come from.

    Attributes:
        name: 'digits', 'ring8', ..., or the path as given.
        shape: of one sample, (C, H, W) for images, (d,) for vectors.
        train: what training sees.
        held_out: what it never sees: not empty, no row in common with `train`.
        classes: the name of each label, in order; None where there are no labels, or attributes.
        distribution: the known distribution of a toy, else None.
        skipped: the images that could not be read, by name.
        fingerprint: SHA-256 (64 hexadecimal digits) of samples, labels and split: two sources with
            the same fingerprint hold the same data, in memory or mapped.
    """

    name: str
    shape: tuple[int, ...]
    train: Split
    held_out: Split
    classes: tuple[str, ...] | None
    distribution: ToyDistribution | None
    skipped: tuple[str, ...]
    fingerprint: str

    @property
    def image(self) -> bool:
        """Whether a sample is an image (C, H, W)."""
        return len(self.shape) == 3

    def to(self, device: torch.device | str) -> Dataset:
        """This source with its tensors on `device` (see `Split.to`); the storage is moved once."""
        train = self.train.to(device)
        if not train.resident:
            return self
        rows = self.held_out.rows.to(device)
        return replace(self, train=train, held_out=replace(train, rows=rows))


def hold_out(count: int) -> tuple[Tensor, Tensor]:
    """Split `count` samples by a permutation that is the same in every run.

    One in ten is held out, at least one, at most 10,000.

    Returns:
        the rows to train on and the rows held out, int64, each in rising order.

    Raises:
        InputError: fewer than 8 samples.
    """
    if count < MINIMUM:
        raise InputError(
            f"The source holds {count} usable samples, too few to train on some and hold others out: "
            f"give at least {MINIMUM}."
        )
    # The legacy stream is frozen for good (NEP 19): a split must not change with NumPy's version.
    order = np.random.RandomState(_SPLIT_SEED).permutation(count).astype(np.int64)
    size = min(_LARGEST_HELD_OUT, max(1, count // 10))
    return torch.from_numpy(np.sort(order[size:])), torch.from_numpy(np.sort(order[:size]))


def assemble(
    stored: Storage,
    *,
    name: str,
    labels: Tensor | None = None,
    classes: tuple[str, ...] | None = None,
    distribution: ToyDistribution | None = None,
    rows: tuple[Tensor, Tensor] | None = None,
) -> Dataset:
    """Make a source of stored samples.

    Args:
        stored: the samples (M, *shape), perhaps with labels.
        name: the source's name.
        labels: int64 (M,) >= 0, or attributes, float32 (M, k), instead of those stored.
        classes: the name of each label; '0', '1', ... where neither given nor stored.
        distribution: of a toy.
        rows: training and held-out rows where the source has an official split, else `hold_out`.

    Raises:
        InputError: too few samples.
    """
    train, held_out = hold_out(len(stored.samples)) if rows is None else rows
    labels = stored.labels if labels is None else labels
    classes = stored.classes if classes is None else classes
    if labels is not None and classes is None and not labels.is_floating_point():
        classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    split = Split(stored.samples, train, labels)
    return Dataset(
        name=name,
        shape=tuple(stored.samples.shape[1:]),
        train=split,
        held_out=replace(split, rows=held_out),
        classes=classes,
        distribution=distribution,
        skipped=stored.dropped,
        fingerprint=_fingerprint(stored.digest, labels, train, held_out),
    )


def _fingerprint(digest: str, *parts: Tensor | None) -> str:
    whole = hashlib.sha256(digest.encode())
    for part in parts:
        whole.update(b"none" if part is None else str(len(part)).encode() + part.numpy().tobytes())
    return whole.hexdigest()

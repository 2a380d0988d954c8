"""`Dataset`: samples with a fixed split into training and held-out samples, and `Split`: one of the two."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from wgan.data.storage import MappedSamples, Storage
from wgan.data.toy_distribution import ToyDistribution
from wgan.errors import InputError

MIN_SAMPLES = 8
"""A dataset of fewer samples cannot be split into two useful parts."""

_SPLIT_SEED = 1701
_MAX_HELD_OUT = 10_000


def even_indices(total: int, count: int, *, repeat: bool = False) -> Tensor:
    """`count` indices into `total` samples, evenly spaced, so that data sorted by class keep all classes.

    Args:
        total: The number of samples.
        count: The number of indices.
        repeat: Whether to repeat indices if `count` exceeds `total`; otherwise there are `total` of them.

    Returns:
        int64, in rising order.
    """
    count = count if repeat else min(total, count)
    return torch.arange(count) * total // count


@final
@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of a storage; the training and the held-out split share one storage.

    Attributes:
        storage: (M, *shape), uint8 (images, 0..255) or float32 (used without conversion).
        rows: int64 (N,), the rows of the storage that belong to this split.
        labels: Of each row of the storage: classes, int64 (M,), or attributes, float32 (M, k); or None.
    """

    storage: Tensor | MappedSamples
    rows: Tensor
    labels: Tensor | None = None

    @property
    def resident(self) -> bool:
        """Whether the storage is a tensor; mapped files stay on the host."""
        return isinstance(self.storage, Tensor)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        where = (
            f"in memory ({self.storage.device})" if isinstance(self.storage, Tensor) else "in mapped files"
        )
        labels = "none"
        if self.labels is not None:
            kind = "attributes" if self.labels.is_floating_point() else "classes"
            labels = f"{kind} {tuple(self.labels.shape[1:])}".removesuffix(" ()")
        return (
            f"Split: {len(self):,} of {len(self.storage):,} samples {tuple(self.storage.shape[1:])}\n"
            f"  stored as {str(self.storage.dtype).removeprefix('torch.')} {where}\n"
            f"  labels: {labels}"
        )

    def batch(self, index: Tensor) -> Tensor:
        """The samples at these positions of this split, gathered where the storage lives.

        Args:
            index: int64 (n,), each in [0, len(self)).

        Returns:
            float32 (n, *shape) on the device of `index`; bytes are scaled by x / 127.5 - 1 to [-1, 1].

        Raises:
            IndexError: An index is out of range (on the host; a GPU reports it later).
        """
        # index_select, because indexing with brackets would accept -1 as the last sample.
        rows = self.rows.index_select(0, index.to(self.rows.device))
        samples = self.storage.index_select(0, rows).to(index.device)
        return samples.float().div_(127.5).sub_(1.0) if samples.dtype == torch.uint8 else samples

    def batch_labels(self, index: Tensor) -> Tensor | None:
        """The labels (n,) or (n, k) on the device of `index` (int64 (n,)); None without labels."""
        if self.labels is None:
            return None
        rows = self.rows.index_select(0, index.to(self.rows.device))
        return self.labels.index_select(0, rows).to(index.device)

    def even_labels(self, count: int) -> Tensor | None:
        """The labels of `count` samples evenly spaced over this split, as frequent as in all of it."""
        return self.batch_labels(even_indices(len(self), count, repeat=True))

    def to(self, device: torch.device | str) -> Split:
        """This split with its tensors on `device`; a memory-mapped one stays where it is."""
        if not isinstance(self.storage, Tensor):
            return self
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, storage=self.storage.to(device), rows=self.rows.to(device), labels=labels)


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """The real samples, split into a training and a held-out split.

    Attributes:
        name: 'digits', 'ring8', ..., or the path that was passed to `load`.
        shape: The shape of one sample: (C, H, W) of images, (d,) of vectors.
        train: The training split.
        held_out: The held-out split: not empty, and no row in common with `train`.
        classes: The name of each label, in order; None without labels or with attributes.
        distribution: The known distribution of a toy, else None.
        skipped: The names of images that could not be read.
        fingerprint: SHA-256 (64 hexadecimal digits) of samples, labels and split: datasets with equal
            fingerprints hold the same data, in memory or mapped.
    """

    name: str
    shape: tuple[int, ...]
    train: Split
    held_out: Split
    classes: tuple[str, ...] | None
    distribution: ToyDistribution | None
    skipped: tuple[str, ...]
    fingerprint: str

    def __repr__(self) -> str:
        kind = "images" if self.image else "vectors"
        classes = "no classes" if self.classes is None else f"{len(self.classes):,} classes"
        skipped = ", ".join(map(repr, self.skipped[:3])) + (", ..." if len(self.skipped) > 3 else "")
        return (
            f"Dataset {self.name!r}: {kind} {self.shape}\n"
            f"  {len(self.train):,} training samples, {len(self.held_out):,} held out, {classes}\n"
            f"  fingerprint {self.fingerprint[:12]}..., {len(self.skipped):,} skipped"
            f"{f' ({skipped})' if skipped else ''}"
        )

    @property
    def image(self) -> bool:
        """Whether a sample is an image (C, H, W)."""
        return len(self.shape) == 3

    def to(self, device: torch.device | str) -> Dataset:
        """This dataset with its tensors on `device` (see `Split.to`); the storage is moved once."""
        train = self.train.to(device)
        if not train.resident:
            return self
        rows = self.held_out.rows.to(device)
        return replace(self, train=train, held_out=replace(train, rows=rows))


def hold_out(count: int) -> tuple[Tensor, Tensor]:
    """Split `count` samples by a permutation that is the same in every run.

    One in ten is held out, at least one, at most 10,000.

    Returns:
        The training rows and the held-out rows, int64, each in rising order.

    Raises:
        InputError: There are fewer than 8 samples.
    """
    if count < MIN_SAMPLES:
        raise InputError(
            f"The dataset holds {count} usable samples, too few to train on some and hold others out: "
            f"give at least {MIN_SAMPLES}."
        )
    # The legacy stream is frozen for good (NEP 19): a split must not change with NumPy's version.
    order = np.random.RandomState(_SPLIT_SEED).permutation(count).astype(np.int64)
    size = min(_MAX_HELD_OUT, max(1, count // 10))
    return torch.from_numpy(np.sort(order[size:])), torch.from_numpy(np.sort(order[:size]))


def assemble(
    storage: Storage,
    *,
    name: str,
    labels: Tensor | None = None,
    classes: tuple[str, ...] | None = None,
    distribution: ToyDistribution | None = None,
    rows: tuple[Tensor, Tensor] | None = None,
) -> Dataset:
    """Make a dataset of stored samples.

    Args:
        storage: The samples (M, *shape), with or without labels.
        name: The dataset's name.
        labels: int64 (M,) >= 0, or attributes, float32 (M, k); replaces the labels of the storage.
        classes: The name of each label; by default those of the storage, else '0', '1', ...
        distribution: The known distribution of a toy.
        rows: Training and held-out rows of an official split; by default those of `hold_out`.

    Raises:
        InputError: There are too few samples.
    """
    train, held_out = hold_out(len(storage.samples)) if rows is None else rows
    labels = storage.labels if labels is None else labels
    classes = storage.classes if classes is None else classes
    if labels is not None and classes is None and not labels.is_floating_point():
        classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    split = Split(storage.samples, train, labels)
    return Dataset(
        name=name,
        shape=tuple(storage.samples.shape[1:]),
        train=split,
        held_out=replace(split, rows=held_out),
        classes=classes,
        distribution=distribution,
        skipped=storage.skipped,
        fingerprint=_fingerprint(storage.digest, labels, train, held_out),
    )


def _fingerprint(digest: str, *parts: Tensor | None) -> str:
    sha = hashlib.sha256(digest.encode())
    for part in parts:
        sha.update(b"none" if part is None else str(len(part)).encode() + part.numpy().tobytes())
    return sha.hexdigest()

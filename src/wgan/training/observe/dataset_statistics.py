"""What the data are like: looked at once, when a run starts."""

from typing import Any

import torch
from torch import Tensor

from wgan.data import Dataset
from wgan.training.observe.probe_batch import spread

LOOKED_AT = 2048
"""Training samples that the facts are about."""


def measure_dataset(dataset: Dataset) -> dict[str, Any]:
    """Facts of a source as training sees it, of at most :data:`LOOKED_AT` samples evenly spread.

    Returns:
        ``count`` and ``held_out``: how many samples of each split. ``classes``: how many labels training
        samples have; ``largest_class_share``: of the most frequent one; both None without classes.
        ``duplicate_share``: of samples that equal an earlier one. ``constant_share``: of images of one
        colour; None for vectors. ``min``, ``max``, ``std``: over all numbers of the samples.
    """
    samples = spread(dataset.train, LOOKED_AT, dataset.train.rows.device).flatten(1)
    return {
        "count": len(dataset.train),
        "held_out": len(dataset.held_out),
        **_classes(dataset),
        "duplicate_share": 1 - len(torch.unique(samples, dim=0)) / len(samples),
        "constant_share": _constant(samples, dataset.shape) if dataset.image else None,
        "min": samples.min().item(),
        "max": samples.max().item(),
        "std": samples.std(correction=0).item(),
    }


def _classes(dataset: Dataset) -> dict[str, Any]:
    split = dataset.train
    if split.labels is None or dataset.classes is None:
        return {"classes": None, "largest_class_share": None}
    counts = split.labels[split.rows.to(split.labels.device)].bincount()
    return {
        "classes": int((counts > 0).sum()),
        "largest_class_share": counts.max().item() / len(split),
    }


def _constant(samples: Tensor, shape: tuple[int, ...]) -> float:
    channels = samples.reshape(len(samples), shape[0], -1)
    return (channels.amax(2) == channels.amin(2)).all(1).float().mean().item()

"""Statistics of a dataset, measured once, when a run starts."""

from typing import Any

import torch
from torch import Tensor

from wgan.data import Dataset
from wgan.training.observe.probe_batch import spread

MEASURED = 2048
"""Training samples that are measured, at most."""


def measure_dataset(dataset: Dataset) -> dict[str, Any]:
    """Measure at most :data:`MEASURED` training samples, evenly spread over the split.

    Returns:
        ``count`` and ``held_out``: samples of each split. ``classes``: number of different labels in the
        training split; ``largest_class_share``: share of the most frequent one; both None without classes.
        ``duplicate_share``: share of samples that equal an earlier one. ``constant_share``: share of images
        of a single colour; None for vectors. ``min``, ``max``, ``std``: over all values.
    """
    samples = spread(dataset.train, MEASURED, dataset.train.rows.device).flatten(1)
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

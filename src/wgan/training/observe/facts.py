"""What the data are like: looked at once, when a run starts."""

from typing import Any

import torch
from torch import Tensor

from wgan.data import Source
from wgan.training.observe.looking import spread

LOOKED_AT = 2048
"""Training samples that the facts are about."""


def facts(source: Source) -> dict[str, Any]:
    """Facts of a source as training sees it, of at most :data:`LOOKED_AT` samples evenly spread.

    Returns:
        ``count`` and ``held_out``: how many samples of each split. ``classes``: how many labels training
        samples have; ``largest_class_share``: of the most frequent one; both None without classes.
        ``duplicate_share``: of samples that equal an earlier one. ``constant_share``: of pictures of one
        colour; None for vectors. ``min``, ``max``, ``std``: over all numbers of the samples.
    """
    samples = spread(source.train, LOOKED_AT, source.train.rows.device).flatten(1)
    return {
        "count": len(source.train),
        "held_out": len(source.held_out),
        **_classes(source),
        "duplicate_share": 1 - len(torch.unique(samples, dim=0)) / len(samples),
        "constant_share": _constant(samples, source.shape) if source.picture else None,
        "min": samples.min().item(),
        "max": samples.max().item(),
        "std": samples.std(correction=0).item(),
    }


def _classes(source: Source) -> dict[str, Any]:
    split = source.train
    if split.labels is None or source.classes is None:
        return {"classes": None, "largest_class_share": None}
    counts = split.labels[split.rows.to(split.labels.device)].bincount()
    return {
        "classes": int((counts > 0).sum()),
        "largest_class_share": counts.max().item() / len(split),
    }


def _constant(samples: Tensor, shape: tuple[int, ...]) -> float:
    channels = samples.reshape(len(samples), shape[0], -1)
    return (channels.amax(2) == channels.amin(2)).all(1).float().mean().item()

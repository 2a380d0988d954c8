"""Feature extractors, each with a name and a hash that the provenance of a number records."""

from collections.abc import Callable
from pathlib import Path

import torch

from wgan.core.devices import find_device
from wgan.errors import InputError, unknown
from wgan.metrics.extractors.classifier import Classifier, train_classifier
from wgan.metrics.extractors.efficientnet import load_efficientnet
from wgan.metrics.extractors.extractor import PIXELS, Extractor, from_callable
from wgan.metrics.extractors.inception import FID_HASH, load_inception

__all__ = [
    "EXTRACTORS",
    "FID_HASH",
    "PIXELS",
    "Classifier",
    "Extractor",
    "from_callable",
    "load_extractor",
    "train_classifier",
]


def _pixels(weights: Path | None, _device: torch.device) -> Extractor:
    if weights is not None:
        raise InputError(f"Extractor 'pixels' has no weights; leave out {weights}.")
    return PIXELS


def _classifier(weights: Path | None, device: torch.device) -> Extractor:
    if weights is None:
        raise InputError(
            "Extractor 'classifier' needs the weights of a classifier trained on this kind of data; "
            "train one first (`wgan classifier`)."
        )
    return Classifier.load(weights, device=str(device)).extractor


EXTRACTORS: dict[str, Callable[[Path | None, torch.device], Extractor]] = {
    "pixels": _pixels,
    "efficientnet-lite0": load_efficientnet,
    "inception": load_inception,
    "classifier": _classifier,
}
"""Loaders of extractors by name; each takes the path of the weights, or None, and a device."""


def load_extractor(name: str, weights: str | Path | None = None, *, device: str = "auto") -> Extractor:
    """Load an extractor by name.

    Args:
        name: One of EXTRACTORS.
        weights: The file of its weights, where it is not found automatically.
        device: Device to compute on; 'auto' is a GPU if there is one.

    Raises:
        InputError: There is no such extractor or device, or the file is not its weights.
        MissingExtraError: An optional package is needed; the message names the extra.
    """
    if name not in EXTRACTORS:
        raise unknown("extractor", name, EXTRACTORS)
    return EXTRACTORS[name](None if weights is None else Path(weights), find_device(device))

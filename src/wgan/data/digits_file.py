"""The 1,797 real handwritten digits inside this package: something to train on without a network."""

from __future__ import annotations

from importlib import resources

import numpy as np
import torch

from wgan.data.dataset import Dataset, assemble
from wgan.data.storage import in_memory


def digits() -> Dataset:
    """Handwritten digits of 8 x 8 pixels, 17 grey levels scaled by round(level * 255 / 16).

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, CC BY 4.0
    (see the NOTICE beside this file).

    Returns:
        images (1, 8, 8) with labels 0..9.
    """
    with resources.files("wgan.data").joinpath("digits.npz").open("rb") as file, np.load(file) as archive:
        levels, labels = archive["levels"], archive["labels"]
    images = np.rint(levels * (255 / 16)).astype(np.uint8)[:, None]
    return assemble(in_memory(images), name="digits", labels=torch.from_numpy(labels.astype(np.int64)))

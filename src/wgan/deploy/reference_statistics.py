"""How good an exported generator is, by the same ruler before and after, and long after the run is gone."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from math import inf, prod
from pathlib import Path
from typing import Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wgan.artifact import Feed, Samples
from wgan.data import Dataset, even_indices
from wgan.deploy.trained_generator import BATCH, batches
from wgan.errors import InputError
from wgan.metrics import EXTRACTORS, Classifier, Extractor, Provenance, frechet_distance, load_extractor

COUNT = 5_000
"""Samples that a quality is measured on."""
REFERENCE = 10_000
"""Real samples it is held against, at most: evenly spread over the training split."""
SMALL = 1_024
"""Numbers of an image up to which its pixels are its features where nobody says."""
Forward = Callable[[Feed], Samples]


@final
@dataclass(frozen=True, eq=False)
class ReferenceStatistics:
    """The Gaussian of real samples' features: all that a Frechet distance needs of them.

    Attributes:
        extractor: What makes features.
        mean: (d,) float32.
        factor: (k, d) float32, with factor^T factor the covariance.
        n_real: How many samples there were.
        split: Which.
    """

    extractor: Extractor
    mean: npt.NDArray[np.float32]
    factor: npt.NDArray[np.float32]
    n_real: int
    split: str

    @classmethod
    def of(cls, dataset: Dataset, extractor: Extractor) -> Self:
        """The ruler of a source's training split."""
        rows = torch.split(even_indices(len(dataset.train), REFERENCE), BATCH)
        features = torch.cat([extractor(dataset.train.batch(some)) for some in rows]).double()
        mean = features.mean(0)
        factor = torch.linalg.qr((features - mean) / (len(features) - 1) ** 0.5, mode="r").R
        split = f"{shown_name(dataset)} {dataset.fingerprint[:12]}, train"
        return cls(extractor, mean.float().numpy(), factor.float().numpy(), len(features), split)

    def distance(self, forward: Forward, given: Feed) -> float:
        """The Frechet distance between the real samples and those of these inputs."""
        samples = (torch.from_numpy(forward(part)) for part in batches(given))
        features = torch.cat([self.extractor(some) for some in samples])
        return frechet_distance(self._stand_ins(), features).value

    def provenance(self, n_fake: int) -> Provenance:
        """What a distance depends on."""
        found = {name: version(name) for name in ("wgan", "torch", "numpy")}
        extractor = self.extractor
        return Provenance(
            "fd", extractor.name, extractor.hash, extractor.resize, self.n_real, n_fake, self.split, found
        )

    def _stand_ins(self) -> Tensor:
        """2 k vectors that have exactly this mean and this covariance."""
        mean, factor = torch.from_numpy(self.mean).double(), torch.from_numpy(self.factor).double()
        apart = factor * (len(factor) - 0.5) ** 0.5
        return torch.cat([mean + apart, mean - apart])


@final
@dataclass(frozen=True)
class Quality:
    """A Frechet distance before and after.

    Attributes:
        before: Of the run's own generator.
        after: Of what was made of it, at the same inputs.
    """

    before: float
    after: float

    @property
    def ratio(self) -> float:
        """How many times larger the distance became; below 1, smaller."""
        if self.before == 0:
            return 1.0 if self.after == 0 else inf
        return self.after / self.before


def find_extractor(given: str | Path | None, shape: tuple[int, ...]) -> tuple[Extractor, Classifier | None]:
    """What makes features, and the classifier behind it if it is one.

    Args:
        given: A name in :data:`wgan.metrics.EXTRACTORS` or the file of a classifier; None: pixels for vectors
            and images of at most 1,024 numbers, 'efficientnet-lite0' for larger ones.
        shape: Of a sample.

    Raises:
        InputError: There is no such extractor or file.
        MissingExtraError: An optional package is needed; the message names the extra.
    """
    if given is None:
        given = "pixels" if len(shape) == 1 or prod(shape) <= SMALL else "efficientnet-lite0"
    if given in EXTRACTORS or not (Path(given).suffix or Path(given).is_file()):
        return load_extractor(str(given), device="cpu"), None
    classifier = Classifier.load(given, device="cpu")
    return classifier.extractor, classifier


def largest_error(forward: Forward, given: Feed, samples: Samples) -> float:
    """The largest difference between these samples and those of the same inputs now."""
    made = np.concatenate([forward(part) for part in batches(given)])
    if made.shape != samples.shape:
        raise InputError(f"The exported model makes samples {made.shape[1:]}, the run {samples.shape[1:]}.")
    error = np.abs(made - samples).max()
    return float(error) if np.isfinite(error) else inf


def shown_name(dataset: Dataset) -> str:
    """A source's name for others: of a path only its last part."""
    return Path(dataset.name).name or dataset.name

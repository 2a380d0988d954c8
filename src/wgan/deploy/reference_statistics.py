"""Statistics of real samples' features, by which a generator is judged with or without its run."""

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
"""Default number of samples for a Frechet distance."""
N_REAL = 10_000
"""Largest number of real samples, evenly spaced over the training split."""
SMALL = 1_024
"""Number of values of an image up to which pixels are the default features."""
Forward = Callable[[Feed], Samples]


@final
@dataclass(frozen=True, eq=False)
class ReferenceStatistics:
    """The Gaussian of real samples' features, which determines the Frechet distance.

    Attributes:
        extractor: Computes the features.
        mean: (d,) float32.
        factor: (k, d) float32, with factor^T factor the covariance.
        n_real: Number of real samples.
        split: Description of the dataset and split.
    """

    extractor: Extractor
    mean: npt.NDArray[np.float32]
    factor: npt.NDArray[np.float32]
    n_real: int
    split: str

    @classmethod
    def of(cls, dataset: Dataset, extractor: Extractor) -> Self:
        """The statistics of a dataset's training split."""
        rows = torch.split(even_indices(len(dataset.train), N_REAL), BATCH)
        features = torch.cat([extractor(dataset.train.batch(part)) for part in rows]).double()
        mean = features.mean(0)
        factor = torch.linalg.qr((features - mean) / (len(features) - 1) ** 0.5, mode="r").R
        split = f"{display_name(dataset)} {dataset.fingerprint[:12]}, train"
        return cls(extractor, mean.float().numpy(), factor.float().numpy(), len(features), split)

    def distance(self, forward: Forward, inputs: Feed) -> float:
        """The Frechet distance between the real samples and a generator's samples for these inputs."""
        samples = (torch.from_numpy(forward(part)) for part in batches(inputs))
        features = torch.cat([self.extractor(part) for part in samples])
        return frechet_distance(self._equivalent_features(), features).value

    def provenance(self, n_fake: int) -> Provenance:
        """The provenance of a distance."""
        versions = {name: version(name) for name in ("wgan", "torch", "numpy")}
        extractor = self.extractor
        return Provenance(
            "fd", extractor.name, extractor.hash, extractor.resize, self.n_real, n_fake, self.split, versions
        )

    def _equivalent_features(self) -> Tensor:
        """2 k vectors with exactly this mean and covariance."""
        mean, factor = torch.from_numpy(self.mean).double(), torch.from_numpy(self.factor).double()
        offsets = factor * (len(factor) - 0.5) ** 0.5
        return torch.cat([mean + offsets, mean - offsets])


@final
@dataclass(frozen=True)
class Quality:
    """Frechet distances before and after an export.

    Attributes:
        before: Of the run's own generator.
        after: Of the exported generator, for the same inputs.
    """

    before: float
    after: float

    @property
    def ratio(self) -> float:
        """The distance after, divided by that before."""
        if self.before == 0:
            return 1.0 if self.after == 0 else inf
        return self.after / self.before


def find_extractor(name: str | Path | None, shape: tuple[int, ...]) -> tuple[Extractor, Classifier | None]:
    """The feature extractor of this name, and the classifier behind it if it is one.

    Args:
        name: A name in :data:`wgan.metrics.EXTRACTORS` or the file of a classifier. By default ``pixels`` for
            vectors and images of at most 1,024 values, ``efficientnet-lite0`` for larger ones.
        shape: Shape of a sample.

    Raises:
        InputError: There is no such extractor or file.
        MissingExtraError: An optional package is needed; the message names the extra.
    """
    if name is None:
        name = "pixels" if len(shape) == 1 or prod(shape) <= SMALL else "efficientnet-lite0"
    if name in EXTRACTORS or not (Path(name).suffix or Path(name).is_file()):
        return load_extractor(str(name), device="cpu"), None
    classifier = Classifier.load(name, device="cpu")
    return classifier.extractor, classifier


def largest_error(forward: Forward, inputs: Feed, expected: Samples) -> float:
    """The largest difference between a generator's samples for these inputs and the expected ones."""
    samples = np.concatenate([forward(part) for part in batches(inputs)])
    if samples.shape != expected.shape:
        raise InputError(
            f"The exported model has samples of shape {samples.shape[1:]}, the run of {expected.shape[1:]}."
        )
    error = np.abs(samples - expected).max()
    return float(error) if np.isfinite(error) else inf


def display_name(dataset: Dataset) -> str:
    """A dataset's name for publication: of a path only its last part."""
    return Path(dataset.name).name or dataset.name

"""Metrics of generated features against real ones: one table of metrics, and `measure` to compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import final

import numpy as np
import torch
from torch import Tensor

from wgan.errors import InputError, unknown
from wgan.metrics.estimates import Estimate, MetricValue, Provenance
from wgan.metrics.extractors.extractor import PIXELS, Extractor
from wgan.metrics.frechet import frechet_distance
from wgan.metrics.kernel import kernel_distance
from wgan.metrics.modes import Modes, count_modes, effective_modes, high_quality_share, label_divergence
from wgan.metrics.neighbours import (
    density_coverage,
    memorisation,
    memorisation_floor,
    precision_recall,
)


@final
@dataclass(frozen=True, eq=False)
class Features:
    """The features of a set of samples.

    Attributes:
        values: (N, d) floats.
        labels: int64 (N,) counted from 0, or None.
    """

    values: Tensor
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.values):
            raise InputError(f"{len(self.labels)} labels are not one for each of {len(self.values)} samples.")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | Tensor) -> Features:
        return Features(self.values[rows], None if self.labels is None else self.labels[rows])


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """Generated features and the real features that metrics compare them with.

    Attributes:
        real: Features of training samples. Memorisation looks for copies of these, and of no others.
        fake: Features of generated samples.
        held_out: Features of more real samples, none of which is in `real`. The first len(fake) of them
            replace the fakes to give each metric's floor; memorisation, whose floor has a closed form,
            compares the fakes with all of them.
        modes: The known modes of a toy distribution, used instead of labels.
        extractor: The extractor of the features.
        split: Description of `real` for the provenance.
    """

    real: Features
    fake: Features
    held_out: Features | None = None
    modes: Modes | None = None
    extractor: Extractor = PIXELS
    split: str = "unnamed"

    def floor_comparison(self) -> Comparison | None:
        """Replace the fakes by as many held-out samples; None if there are too few of them."""
        if self.held_out is None or len(self.held_out) < len(self.fake):
            return None
        n = len(self.fake)
        return replace(self, fake=self.held_out[:n], held_out=self.held_out[n:])


Metric = Callable[[Comparison], dict[str, MetricValue]]


def _fd(comparison: Comparison) -> dict[str, MetricValue]:
    return {"fd": frechet_distance(comparison.real.values, comparison.fake.values)}


def _kid(comparison: Comparison) -> dict[str, MetricValue]:
    return {"kid": kernel_distance(comparison.real.values, comparison.fake.values)}


def _pr(comparison: Comparison) -> dict[str, MetricValue]:
    precision, recall = precision_recall(comparison.real.values, comparison.fake.values)
    return {"precision": precision, "recall": recall}


def _dc(comparison: Comparison) -> dict[str, MetricValue]:
    density, coverage = density_coverage(comparison.real.values, comparison.fake.values)
    return {"density": density, "coverage": coverage}


def _memorisation(comparison: Comparison) -> dict[str, MetricValue]:
    if comparison.held_out is None:
        raise InputError(
            "Memorisation compares fakes with held-out samples, and there are none; hold some out."
        )
    sets = (comparison.real, comparison.fake, comparison.held_out)
    return {"memorisation": memorisation(*(features.values for features in sets))}


def _modes(comparison: Comparison) -> dict[str, MetricValue]:
    modes = comparison.modes
    if modes is None:
        real, fake = _labels("real", comparison.real), _labels("fake", comparison.fake)
        return {"modes": count_modes(fake), "effective_modes": effective_modes(fake)} | _kl(real, fake)
    real, _ = modes.nearest(comparison.real.values)
    fake, good = modes.nearest(comparison.fake.values)
    quality = high_quality_share(comparison.fake.values, modes)
    counts = {"modes": count_modes(fake[good]), "effective_modes": effective_modes(fake[good])}
    return {**counts, "high_quality": quality, **_kl(real, fake)}


def _kl(real: Tensor, fake: Tensor) -> dict[str, MetricValue]:
    return {"reverse_kl": label_divergence(fake, real), "kl": label_divergence(real, fake)}


def _labels(name: str, features: Features) -> Tensor:
    if features.labels is None:
        raise InputError(
            f"The modes of {name} samples without labels cannot be counted; label them by a trained "
            "classifier, or use a dataset with labels or known modes."
        )
    return features.labels


METRICS: dict[str, Metric] = {
    "fd": _fd,
    "kid": _kid,
    "pr": _pr,
    "dc": _dc,
    "memorisation": _memorisation,
    "modes": _modes,
}
"""Every metric by name; each gives one or two numbers (modes up to five) by their names."""


def measure(
    comparison: Comparison, metrics: Sequence[str] = ("fd", "kid", "pr", "dc")
) -> dict[str, Estimate]:
    """Compute metrics by name, each with its floor and its provenance.

    Args:
        comparison: The features.
        metrics: Names in METRICS.

    Returns:
        Estimates by name: 'fd', 'kid', 'precision', 'recall', 'density', 'coverage', 'memorisation',
        'modes', 'effective_modes', 'high_quality', 'reverse_kl', 'kl'.

    Raises:
        InputError: There is no metric of that name, or the samples are unfit for it: see each function.
    """
    if missing := [name for name in metrics if name not in METRICS]:
        raise unknown("metric", missing[0], METRICS)
    estimates: dict[str, Estimate] = {}
    for function in (METRICS[name] for name in metrics):
        values, floors = function(comparison), _floors(function, comparison)
        for name, value in values.items():
            estimates[name] = Estimate(*value, floors.get(name), provenance(name, comparison))
    return estimates


def _floors(function: Metric, comparison: Comparison) -> dict[str, MetricValue]:
    if function is _memorisation and comparison.held_out is not None:
        return {"memorisation": memorisation_floor(len(comparison.fake), len(comparison.held_out))}
    floor = comparison.floor_comparison()
    if floor is None:
        return {}
    try:
        return function(floor)
    except InputError:  # the held-out samples may be too few for this metric
        return {}


def provenance(metric: str, comparison: Comparison) -> Provenance:
    """Return the provenance of a number of this name, measured on this comparison."""
    return Provenance(
        metric=metric,
        extractor=comparison.extractor.name,
        extractor_hash=comparison.extractor.hash,
        resize=comparison.extractor.resize,
        n_real=len(comparison.real),
        n_fake=len(comparison.fake),
        split=comparison.split,
        versions={"wgan": version("wgan"), "torch": str(torch.__version__), "numpy": np.__version__},
    )

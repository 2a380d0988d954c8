"""From the features of two sets to estimates: every metric in one table, one pass of features for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import final

import numpy as np
import torch
from torch import Tensor

from wgan.errors import InputError, unknown
from wgan.metrics.estimates import Estimate, Provenance, Value
from wgan.metrics.extractors.extractor import PIXELS, Extractor
from wgan.metrics.frechet import frechet_distance
from wgan.metrics.kernel import kernel_distance
from wgan.metrics.modes import Modes, effective, high_quality, label_divergence, reached
from wgan.metrics.neighbours import (
    density_coverage,
    memorisation,
    memorisation_floor,
    precision_recall,
)


@final
@dataclass(frozen=True, eq=False)
class Features:
    """A set of samples as an extractor sees it.

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

    def __getitem__(self, rows: slice) -> Features:
        return Features(self.values[rows], None if self.labels is None else self.labels[rows])


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """What there is to measure: generated features, and real ones to hold them against.

    Attributes:
        real: What the generator was to learn. Memorisation looks for copies of these, and of no others.
        fake: What it made.
        held_out: More real samples, with none of `real` among them. The first len(fake) of them take the
            fakes' place to give the floor; memorisation, whose floor is known, compares the fakes with all.
        modes: The known modes of a toy, which then stand for its labels.
        extractor: What made the features.
        split: What `real` is, for the provenance.
    """

    real: Features
    fake: Features
    held_out: Features | None = None
    modes: Modes | None = None
    extractor: Extractor = PIXELS
    split: str = "unnamed"

    def real_against_real(self) -> Comparison | None:
        """This comparison with held-out samples for fakes, at the same counts; None if there are too few."""
        if self.held_out is None or len(self.held_out) < len(self.fake):
            return None
        n = len(self.fake)
        return replace(self, fake=self.held_out[:n], held_out=self.held_out[n:])


Metric = Callable[[Comparison], dict[str, Value]]


def _fd(given: Comparison) -> dict[str, Value]:
    return {"fd": frechet_distance(given.real.values, given.fake.values)}


def _kid(given: Comparison) -> dict[str, Value]:
    return {"kid": kernel_distance(given.real.values, given.fake.values)}


def _pr(given: Comparison) -> dict[str, Value]:
    precision, recall = precision_recall(given.real.values, given.fake.values)
    return {"precision": precision, "recall": recall}


def _dc(given: Comparison) -> dict[str, Value]:
    density, coverage = density_coverage(given.real.values, given.fake.values)
    return {"density": density, "coverage": coverage}


def _memorisation(given: Comparison) -> dict[str, Value]:
    if given.held_out is None:
        raise InputError(
            "Memorisation compares fakes with held-out samples, and there are none; hold some out."
        )
    return {"memorisation": memorisation(given.real.values, given.fake.values, given.held_out.values)}


def _modes(given: Comparison) -> dict[str, Value]:
    if given.modes is None:
        real, fake = _labels("real", given.real), _labels("fake", given.fake)
        return {"modes": reached(fake), "effective_modes": effective(fake), **_divergences(real, fake)}
    real, _ = given.modes.nearest(given.real.values)
    fake, good = given.modes.nearest(given.fake.values)
    quality = high_quality(given.fake.values, given.modes)
    counts = {"modes": reached(fake[good]), "effective_modes": effective(fake[good])}
    return {**counts, "high_quality": quality, **_divergences(real, fake)}


def _divergences(real: Tensor, fake: Tensor) -> dict[str, Value]:
    return {"reverse_kl": label_divergence(fake, real), "kl": label_divergence(real, fake)}


def _labels(name: str, features: Features) -> Tensor:
    if features.labels is None:
        raise InputError(
            f"The modes of {name} samples without labels cannot be counted; label them by a trained "
            "classifier, or use a source with labels or known modes."
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
    """Measure by name, each number with its floor and its provenance.

    Args:
        comparison: The features.
        metrics: Names in METRICS.

    Returns:
        By the number's name: 'fd', 'kid', 'precision', 'recall', 'density', 'coverage', 'memorisation',
        'modes', 'effective_modes', 'high_quality', 'reverse_kl', 'kl'.

    Raises:
        InputError: There is no metric of that name, or the samples are unfit for it: see each function.
    """
    functions = [_find(name) for name in metrics]
    found: dict[str, Estimate] = {}
    for function in functions:
        numbers, floors = function(comparison), _floors(function, comparison)
        for name, number in numbers.items():
            found[name] = Estimate(*number, floors.get(name), provenance(name, comparison))
    return found


def _find(name: str) -> Metric:
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


def _floors(function: Metric, comparison: Comparison) -> dict[str, Value]:
    if function is _memorisation and comparison.held_out is not None:
        return {"memorisation": memorisation_floor(len(comparison.fake), len(comparison.held_out))}
    floor = comparison.real_against_real()
    if floor is None:
        return {}
    try:
        return function(floor)
    except InputError:  # enough held-out samples for one metric are too few for another
        return {}


def provenance(metric: str, comparison: Comparison) -> Provenance:
    """Where a number of that name comes from, if it is measured of this comparison."""
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

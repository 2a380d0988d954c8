"""Evaluation: all metrics of a run or a set of samples, from features that are computed once.

The quality metrics compare fakes with the training split, as is the custom for FID, and copies are looked for
in it; samples of the held-out split replace the fakes for the floors. The bracket of W1 compares fakes with
held-out samples only: it needs samples that are independent of the fakes, and training samples are not. Like
every metric it is computed from features, which with the pixels as features are the samples themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from wgan.data import Split, even_indices
from wgan.errors import InputError, check_seed, unknown
from wgan.evaluation.sample_sets import SampleSets, SamplesLike, find_sample_sets, fixed_permutation
from wgan.metrics import (
    EXTRACTORS,
    METRICS,
    NEIGHBOURS,
    PIXELS,
    Classifier,
    Comparison,
    Estimate,
    Extractor,
    Features,
    Modes,
    Provenance,
    load_extractor,
    measure,
    provenance,
)
from wgan.runs import to_plain
from wgan.sampling import Sampler
from wgan.wasserstein.auditing import MIN_SAMPLES, audit
from wgan.wasserstein.bracket import LARGEST_COUPLING, Bracket

METRIC_NAMES = ("w1", *METRICS)
"""The names of all metrics."""
CONFIDENCE = 0.99
"""Confidence of the bracket of W1."""
REFERENCE = 10_000
"""Largest number of training samples that the quality metrics compare fakes with."""
SEARCHED = 10 * REFERENCE
"""Largest number of training samples among which copies are looked for."""
SMALL_IMAGE = 1_024
"""Numbers of an image up to which its pixels are the default features."""

ProgressCallback = Callable[[str, float], None]
"""Called with the present stage and the fraction of it that is done, from 0 to 1."""
FeatureModel = Extractor | Classifier

_QUALITY = ("fd", "kid", "pr", "dc", "modes")
_BATCH = 1_024


def no_progress(stage: str, fraction: float) -> None:
    """Ignore the progress."""


@final
@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        estimates: Estimates by name, as far as measured: 'fd', 'kid', 'precision', 'recall', 'density',
            'coverage', 'memorisation', 'modes', 'effective_modes', 'high_quality', 'reverse_kl' and 'kl'.
        w1: The bracket of W1 between the features of fakes and of held-out samples, if it was measured.
        w1_provenance: Provenance of the bracket.
        step: Training steps behind the generator; None for fakes without a run.
    """

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    w1: Bracket | None = None
    w1_provenance: Provenance | None = None
    step: int | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return each result as plain data for JSON, with None for numbers that are not finite.

        Each row has 'name', 'label', 'step', 'provenance', and either 'value', 'standard_error' and 'floor'
        (with the first two), or for W1 the attributes of the bracket.
        """
        results: dict[str, tuple[dict[str, Any], Provenance]] = {}
        if self.w1 is not None and self.w1_provenance is not None:
            results["w1"] = asdict(self.w1), self.w1_provenance
        for name, estimate in self.estimates.items():
            floor = None if estimate.floor is None else estimate.floor._asdict()
            numbers = {"value": estimate.value, "standard_error": estimate.standard_error, "floor": floor}
            results[name] = numbers, estimate.provenance
        return [
            {"name": name, "label": origin.label, "step": self.step, **_finite(numbers)}
            | {"provenance": to_plain(asdict(origin))}
            for name, (numbers, origin) in results.items()
        ]


def evaluate(
    fake: SamplesLike | Sampler,
    against: SamplesLike | None = None,
    *,
    metrics: Sequence[str] | None = None,
    extractor: str | Path | FeatureModel | None = None,
    weights: str | Path | None = None,
    count: int | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: ProgressCallback = no_progress,
) -> Evaluation:
    """Measure the quality of the samples of a run, or of any set of samples.

    The quality metrics compare fakes with at most 10,000 samples of the dataset's training split, evenly
    spread; memorisation with at most 100,000, and with all held-out ones. W1 is bracketed between the
    features of at most 4,096 held-out samples and of as many fakes. :mod:`wgan.data` holds out a tenth of
    what it loads.

    Args:
        fake: A run's folder, of which `count` samples are drawn from the averaged generator; a sampler; or
            a set of samples: an array or tensor (N, *shape), a .npy or .npz file, a folder of images, or
            anything else that :func:`wgan.data.load` takes.
        against: The real data: a dataset, or anything that can be loaded as one. None: the run's dataset.
        metrics: Names in METRIC_NAMES. None: all that apply. 'memorisation' is among these only for a run
            with its own data, 'w1' only with 64 fakes and 64 held-out samples, 'pr' and 'dc' only with enough
            samples to have neighbours, 'modes' only with a classifier or, of pixels, for a toy distribution
            with known modes.
        extractor: A name in `wgan.metrics.EXTRACTORS`, the file of a classifier, or an extractor or
            classifier. None: 'pixels' for vectors and images of at most 1,024 numbers, 'efficientnet-lite0'
            for larger ones.
        weights: The file of the extractor's weights, where it is not found automatically.
        count: Number of fakes, 2 to 100,000. None: as many as are held out, so that each number has its
            floor; if these are fewer than 64, as many as the training split has, at most 1,000; and at most
            as many as a set holds.
        seed: Random seed of a run's fakes and of the auditing critic, in [0, 2^63).
        device: Device for sampling and features; 'auto' is a GPU if there is one.
        on_progress: Called with the stage and the fraction that is done.

    Returns:
        The results. Nothing is written: see :func:`~wgan.evaluation.save_results`.

    Raises:
        InputError: There is no such run, checkpoint, dataset, metric or extractor; the samples are of another
            shape than the real ones, not finite, or too few; or a metric does not apply.
        MissingExtraError: The extractor needs an optional package; the message names the extra.

    Example:
        >>> import numpy, wgan
        >>> rng = numpy.random.default_rng(0)
        >>> real, fake = rng.normal(size=(500, 2)), rng.normal(size=(50, 2)) + 1
        >>> evaluation = wgan.evaluate(fake, real, metrics=["fd"])
        >>> 1 < evaluation.estimates["fd"].value < 4
        True
    """
    if metrics is not None and not metrics:
        raise InputError(f"Name a metric: {', '.join(METRIC_NAMES)}.")
    if missing := [name for name in metrics or () if name not in METRIC_NAMES]:
        raise unknown("metric", missing[0], METRIC_NAMES)
    check_seed(seed)
    chosen = None if extractor is None else _load_model(extractor, weights, device)
    on_progress("samples", 0.0)
    sets = find_sample_sets(fake, against, count=count, seed=seed, device=device)
    model = chosen or _load_model(_default_extractor(sets), weights, device)
    names = _applicable(sets, model) if metrics is None else metrics
    _check_applicable(names, sets)
    return _measure_all(sets, model, names, seed, on_progress)


def _load_model(
    extractor: str | Path | FeatureModel, weights: str | Path | None, device: str
) -> FeatureModel:
    if isinstance(extractor, Extractor | Classifier):
        return extractor
    if extractor == "classifier" and weights is not None:
        return Classifier.load(weights, device=device)
    if extractor in EXTRACTORS or not (Path(extractor).suffix or Path(extractor).is_file()):
        return load_extractor(str(extractor), weights, device=device)
    if weights is not None:
        raise InputError(f"The extractor {extractor} is a file of weights itself; leave out {weights}.")
    return Classifier.load(extractor, device=device)


def _default_extractor(sets: SampleSets) -> str:
    small = not sets.dataset.image or math.prod(sets.dataset.shape) <= SMALL_IMAGE
    return "pixels" if small else "efficientnet-lite0"


def _applicable(sets: SampleSets, model: FeatureModel) -> list[str]:
    real, fakes = len(sets.dataset.train), len(sets.fake)
    applies = {
        "w1": min(fakes, len(sets.dataset.held_out)) >= MIN_SAMPLES,
        "pr": min(real, fakes) > NEIGHBOURS["pr"],
        "dc": min(real, fakes) > NEIGHBOURS["dc"],
        "memorisation": sets.is_training_data is True,
        "modes": isinstance(model, Classifier) or (model is PIXELS and _known_modes(sets) is not None),
    }
    return [name for name in METRIC_NAMES if applies.get(name, True)]


def _known_modes(sets: SampleSets) -> Modes | None:
    distribution = sets.dataset.distribution
    if distribution is None or distribution.modes is None:
        return None
    return Modes(distribution.modes, distribution.std)


def _check_applicable(names: Sequence[str], sets: SampleSets) -> None:
    """Raise InputError for a metric that these sets do not allow, before any is measured."""
    fakes, held_out = len(sets.fake), len(sets.dataset.held_out)
    if "w1" in names and min(fakes, held_out) < MIN_SAMPLES:
        raise InputError(
            f"W1 needs at least {MIN_SAMPLES} fakes and as many held-out samples, and there are {fakes} and "
            f"{held_out}; `wgan audit` brackets two sets without holding any out."
        )
    if "memorisation" in names and sets.is_training_data is False:
        raise InputError(
            f"Memorisation looks for copies of a run's training data, and {sets.dataset.name} is other data; "
            "leave out `against`, or memorisation."
        )


def _measure_all(
    sets: SampleSets, model: FeatureModel, names: Sequence[str], seed: int, on_progress: ProgressCallback
) -> Evaluation:
    """Each sample goes through the extractor once, for all metrics."""
    others = [name for name in names if name != "w1"]
    dataset, needed = sets.dataset, SEARCHED if "memorisation" in names else REFERENCE
    rows = even_indices(len(dataset.train), needed) if others else torch.arange(0)
    held_out_rows = fixed_permutation(len(dataset.held_out))[: None if others else LARGEST_COUPLING]
    total = len(sets.fake) + len(held_out_rows) + len(rows)
    computation = _FeatureComputation(model, total, on_progress)
    fake = computation.of_samples(sets.fake)
    held_out = computation.of_rows(dataset.held_out, held_out_rows)
    evaluation = Evaluation(step=sets.step)
    if others:
        comparison = Comparison(
            real=computation.of_rows(dataset.train, rows),
            fake=fake,
            held_out=held_out,
            modes=None if isinstance(model, Classifier) else _known_modes(sets),
            extractor=computation.extractor,
            split=sets.split("train"),
        )
        evaluation = replace(evaluation, estimates=_estimates(comparison, others, on_progress))
    if "w1" in names:
        on_progress("w1", 0.0)
        count = min(len(held_out), len(fake), LARGEST_COUPLING)
        comparison = Comparison(
            real=held_out[:count],
            fake=fake[even_indices(len(fake), count)],
            extractor=computation.extractor,
            split=sets.split("held out"),
        )
        bracket = audit(comparison.real.values, comparison.fake.values, confidence=CONFIDENCE, seed=seed)
        evaluation = replace(evaluation, w1=bracket, w1_provenance=provenance("w1", comparison))
    return evaluation


def _estimates(
    comparison: Comparison, names: Sequence[str], on_progress: ProgressCallback
) -> dict[str, Estimate]:
    # REFERENCE divides SEARCHED: these are the same samples whether or not copies are looked for.
    reference = replace(comparison, real=comparison.real[even_indices(len(comparison.real), REFERENCE)])
    estimates: dict[str, Estimate] = {}
    for done, name in enumerate(names):
        on_progress(name, done / len(names))
        estimates |= measure(reference if name in _QUALITY else comparison, [name])
    return estimates


@final
class _FeatureComputation:
    """Computes features batch by batch, and reports its progress."""

    def __init__(self, model: FeatureModel, total: int, on_progress: ProgressCallback) -> None:
        self.extractor = model.extractor if isinstance(model, Classifier) else model
        self._model, self._total, self._on_progress = model, total, on_progress
        self._done = 0

    def of_samples(self, samples: Tensor) -> Features:
        return self._concatenated(torch.split(samples, _BATCH))

    def of_rows(self, split: Split, rows: Tensor) -> Features:
        """Features of a split's rows, of which one batch at a time is converted from bytes to floats."""
        return self._concatenated(split.batch(batch) for batch in torch.split(rows, _BATCH))

    def _concatenated(self, batches: Iterable[Tensor]) -> Features:
        parts = [self._of_batch(batch) for batch in batches]
        labels = [part.labels for part in parts if part.labels is not None]
        return Features(torch.cat([part.values for part in parts]), torch.cat(labels) if labels else None)

    def _of_batch(self, batch: Tensor) -> Features:
        self._on_progress("features", self._done / self._total)
        self._done += len(batch)
        labels = self._model(batch) if isinstance(self._model, Classifier) else None
        return Features(self.extractor(batch), labels)


def _finite(numbers: Mapping[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:  # noqa: ANN401 - a number, a dict of numbers, or None
        if isinstance(value, Mapping):
            return _finite(value)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {name: plain(value) for name, value in numbers.items()}

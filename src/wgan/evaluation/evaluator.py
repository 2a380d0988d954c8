"""Every metric of a run or a set of samples: one pass of features for all, each number with its split.

Two splits of the real data play two parts. Those to train on are the reference of the quality metrics, as is
the custom for FID, and what copies are looked for in; samples held out take the fakes' place for the floors.
The bracket of W1 is held against held-out samples only: it needs samples that are independent of the fakes,
and those that the generator learned from are not. It is of the features, as every number is: with the pixels
for features, of the samples themselves.
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
from wgan.evaluation.sample_sets import Given, SampleSets, find_sample_sets, shuffled
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
from wgan.wasserstein.auditing import FEWEST, audit
from wgan.wasserstein.bracket import LARGEST_COUPLING, Bracket

NAMES = ("w1", *METRICS)
"""What can be asked for."""
CONFIDENCE = 0.99
"""Of the bracket of W1."""
REFERENCE = 10_000
"""Training samples that fakes are held against, at most."""
SEARCHED = 10 * REFERENCE
"""Training samples that copies are looked for in, at most."""
SMALL = 1_024
"""Numbers of an image up to which its pixels are its features where nobody says."""

Watch = Callable[[str, float], None]
"""Told what is being done, and how much of it is done, from 0 to 1."""

_QUALITY = ("fd", "kid", "pr", "dc", "modes")
_BATCH = 1_024


def unwatched(doing: str, done: float) -> None:
    """Nobody is told."""


@final
@dataclass(frozen=True)
class Evaluation:
    """How good samples are.

    Attributes:
        estimates: By name, those that were measured of 'fd', 'kid', 'precision', 'recall', 'density',
            'coverage', 'memorisation', 'modes', 'effective_modes', 'high_quality', 'reverse_kl' and 'kl'.
        w1: The bracket of W1 between the features of fakes and of held-out samples, if it was measured.
        w1_provenance: Of the bracket.
        step: After how many steps of its run the fakes were drawn; None for fakes without a run.
    """

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    w1: Bracket | None = None
    w1_provenance: Provenance | None = None
    step: int | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Each number as plain data for JSON, what is not finite as None.

        Each has 'name', 'label', 'step', 'provenance', and what was found: 'value', 'standard_error' and
        'floor' (with the first two), or for W1 the attributes of the bracket.
        """
        found: dict[str, tuple[dict[str, Any], Provenance]] = {}
        if self.w1 is not None and self.w1_provenance is not None:
            found["w1"] = asdict(self.w1), self.w1_provenance
        for name, estimate in self.estimates.items():
            floor = None if estimate.floor is None else estimate.floor._asdict()
            numbers = {"value": estimate.value, "standard_error": estimate.standard_error, "floor": floor}
            found[name] = numbers, estimate.provenance
        return [
            {"name": name, "label": origin.label, "step": self.step, **_finite(numbers)}
            | {"provenance": to_plain(asdict(origin))}
            for name, (numbers, origin) in found.items()
        ]


def evaluate(
    fake: Given | Sampler,
    against: Given | None = None,
    *,
    metrics: Sequence[str] | None = None,
    extractor: str | Path | Extractor | Classifier | None = None,
    weights: str | Path | None = None,
    count: int | None = None,
    seed: int = 0,
    device: str = "auto",
    watch: Watch = unwatched,
) -> Evaluation:
    """Measure how good the samples of a run are, or those of any set.

    The metrics are held against at most 10,000 samples of the source's training split, evenly spread;
    memorisation against at most 100,000, and against all held-out ones. W1 is bracketed between the features
    of at most 4,096 held-out samples and of as many fakes. What :mod:`wgan.data` loads, it splits: a tenth is
    held out.

    Args:
        fake: A run's folder, of which `count` samples are drawn from the averaged generator; a sampler; or
            a set of samples: an array or tensor (N, *shape), a .npy or .npz file, a folder of images,
            whatever :func:`wgan.data.load` takes.
        against: The real data: a source, or what can be loaded as one. None: what the run learned from.
        metrics: Names in NAMES. None: all that apply. 'memorisation' is among these only for a run held
            against its own data, 'w1' only with 64 fakes and 64 held-out samples, 'pr' and 'dc' only with
            enough samples to have neighbours, 'modes' only with a classifier or, of pixels, for a toy with
            known modes.
        extractor: What makes features: a name in `wgan.metrics.EXTRACTORS`, the file of a classifier, or the
            thing itself. None: 'pixels' for vectors and images of at most 1,024 numbers,
            'efficientnet-lite0' for larger ones.
        weights: The file of the extractor's weights, where it is not to be found by itself.
        count: How many fakes, 2 to 100,000. None: as many as are held out, so that each number has its
            floor; where these are fewer than 64, as many as there are to train on, at most 1,000, and at most
            as many as a set holds.
        seed: Of the fakes of a run and of the auditing critic, in [0, 2^63).
        device: Where samples are drawn and features made; 'auto' is a GPU if there is one.
        watch: Told how far it is.

    Returns:
        The numbers. Nothing is written: see :func:`~wgan.evaluation.store`.

    Raises:
        InputError: There is no such run, checkpoint, source, metric or extractor; the samples are of another
            shape than the real ones, not finite, or too few; or a metric does not apply.
        MissingExtraError: The extractor needs an optional package; the message names the extra.
    """
    asked = None if metrics is None else [_known(name) for name in metrics]
    if asked == []:
        raise InputError(f"Name a metric: {', '.join(NAMES)}.")
    check_seed(seed)
    chosen = None if extractor is None else _find(extractor, weights, device)
    watch("samples", 0.0)
    sets = find_sample_sets(fake, against, count=count, seed=seed, device=device)
    judge = chosen or _find(_usual(sets), weights, device)
    names = _applying(sets, judge) if asked is None else asked
    _check_fit(names, sets)
    return _measured(sets, judge, names, seed, watch)


def _known(name: str) -> str:
    if name not in NAMES:
        raise unknown("metric", name, NAMES)
    return name


Judge = Extractor | Classifier


def _find(given: str | Path | Judge, weights: str | Path | None, device: str) -> Judge:
    if isinstance(given, Extractor | Classifier):
        return given
    if given == "classifier" and weights is not None:
        return Classifier.load(weights, device=device)
    if given in EXTRACTORS or not (Path(given).suffix or Path(given).is_file()):
        return load_extractor(str(given), weights, device=device)
    if weights is not None:
        raise InputError(f"The extractor {given} is a file of weights itself; leave out {weights}.")
    return Classifier.load(given, device=device)


def _usual(sets: SampleSets) -> str:
    small = not sets.dataset.image or math.prod(sets.dataset.shape) <= SMALL
    return "pixels" if small else "efficientnet-lite0"


def _applying(sets: SampleSets, judge: Judge) -> list[str]:
    real, fakes = len(sets.dataset.train), len(sets.fake)
    applies = {
        "w1": min(fakes, len(sets.dataset.held_out)) >= FEWEST,
        "pr": min(real, fakes) > NEIGHBOURS["pr"],
        "dc": min(real, fakes) > NEIGHBOURS["dc"],
        "memorisation": sets.trained_on is True,
        "modes": isinstance(judge, Classifier) or (judge is PIXELS and _modes(sets) is not None),
    }
    return [name for name in NAMES if applies.get(name, True)]


def _modes(sets: SampleSets) -> Modes | None:
    distribution = sets.dataset.distribution
    return (
        None
        if distribution is None or distribution.modes is None
        else Modes(distribution.modes, distribution.std)
    )


def _check_fit(names: Sequence[str], sets: SampleSets) -> None:
    """Raise InputError for a metric that these sets cannot give, before any is measured."""
    fakes, held_out = len(sets.fake), len(sets.dataset.held_out)
    if "w1" in names and min(fakes, held_out) < FEWEST:
        raise InputError(
            f"W1 needs at least {FEWEST} fakes and {FEWEST} held-out samples, and there are {fakes} and "
            f"{held_out}; `wgan audit` brackets two sets without holding any out."
        )
    if "memorisation" in names and sets.trained_on is False:
        raise InputError(
            f"Memorisation looks for copies of what a run learned from, and {sets.dataset.name} is something "
            "else; leave out `against`, or memorisation."
        )


def _measured(sets: SampleSets, judge: Judge, names: Sequence[str], seed: int, watch: Watch) -> Evaluation:
    """Each sample goes through the extractor once, whatever is asked for."""
    others = [name for name in names if name != "w1"]
    dataset, looked_at = sets.dataset, SEARCHED if "memorisation" in names else REFERENCE
    rows = even_indices(len(dataset.train), looked_at) if others else torch.arange(0)
    held_out = shuffled(len(dataset.held_out))[: None if others else LARGEST_COUPLING]
    eye = _FeatureExtractor(judge, len(sets.fake) + len(held_out) + len(rows), watch)
    fake, beside = eye.see(sets.fake), eye.look_at(dataset.held_out, held_out)
    found = Evaluation(step=sets.step)
    if others:
        whole = Comparison(
            real=eye.look_at(dataset.train, rows),
            fake=fake,
            held_out=beside,
            modes=None if isinstance(judge, Classifier) else _modes(sets),
            extractor=eye.extractor,
            split=sets.split("train"),
        )
        found = replace(found, estimates=_estimates(whole, others, watch))
    if "w1" in names:
        watch("w1", 0.0)
        given = Comparison(beside, fake, extractor=eye.extractor, split=sets.split("held out"))
        found = _bracketed(found, given, seed)
    return found


def _bracketed(found: Evaluation, given: Comparison, seed: int) -> Evaluation:
    count = min(len(given.real), len(given.fake), LARGEST_COUPLING)
    even = replace(
        given, real=given.real[:count], fake=_chosen(given.fake, even_indices(len(given.fake), count))
    )
    bracket = audit(even.real.values, even.fake.values, confidence=CONFIDENCE, seed=seed)
    return replace(found, w1=bracket, w1_provenance=provenance("w1", even))


def _estimates(whole: Comparison, names: Sequence[str], watch: Watch) -> dict[str, Estimate]:
    # REFERENCE divides SEARCHED: these are the same samples whether or not copies are looked for.
    some = replace(whole, real=_chosen(whole.real, even_indices(len(whole.real), REFERENCE)))
    found: dict[str, Estimate] = {}
    for done, name in enumerate(names):
        watch(name, done / len(names))
        found |= measure(some if name in _QUALITY else whole, [name])
    return found


@final
class _FeatureExtractor:
    """Sees the features of samples, a few samples at a time, and says how far it is."""

    def __init__(self, judge: Judge, total: int, watch: Watch) -> None:
        self.extractor = judge.extractor if isinstance(judge, Classifier) else judge
        self._judge, self._total, self._watch = judge, total, watch
        self._seen = 0

    def see(self, samples: Tensor) -> Features:
        """Of samples."""
        return self._joined(torch.split(samples, _BATCH))

    def look_at(self, split: Split, rows: Tensor) -> Features:
        """Of a split's rows, so that only a few samples at a time are numbers rather than bytes."""
        return self._joined(split.batch(some) for some in torch.split(rows, _BATCH))

    def _joined(self, batches: Iterable[Tensor]) -> Features:
        parts = [self._part(batch) for batch in batches]
        labels = [part.labels for part in parts if part.labels is not None]
        return Features(torch.cat([part.values for part in parts]), torch.cat(labels) if labels else None)

    def _part(self, batch: Tensor) -> Features:
        self._watch("features", self._seen / self._total)
        self._seen += len(batch)
        labels = self._judge(batch) if isinstance(self._judge, Classifier) else None
        return Features(self.extractor(batch), labels)


def _chosen(features: Features, rows: Tensor) -> Features:
    return Features(features.values[rows], None if features.labels is None else features.labels[rows])


def _finite(numbers: Mapping[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:  # noqa: ANN401 - a number, a dict of numbers, or None
        if isinstance(value, Mapping):
            return _finite(value)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {name: plain(value) for name, value in numbers.items()}

"""Which samples are measured, and which real ones they are held against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wgan.data import Dataset, Split, even_indices, load, reload_dataset
from wgan.errors import InputError
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.wasserstein.auditing import FEWEST

Given = str | Path | npt.NDArray[Any] | Tensor | Dataset
"""What :func:`wgan.data.load` takes, or what it gives."""

MOST = 100_000
"""More fakes than this are asked for by mistake: every metric compares them with each real sample."""
MOST_ALONE = 1_000
"""Fakes by default where too few samples are held out to give a floor."""

_ORDER_SEED = 1701


@final
@dataclass(frozen=True, eq=False)
class SampleSets:
    """Fakes, and the source of what is real.

    Attributes:
        fake: (N, *shape) float32; images in [-1, 1].
        dataset: Its training split is the reference of every metric but W1, and the only place where copies
            are looked for. Its held-out split gives the floors, and W1: see :mod:`wgan.evaluation.evaluator`.
        trained_on: Whether a run made the fakes that learned from this very source; None if nobody knows.
        step: After how many steps of that run.
    """

    fake: Tensor
    dataset: Dataset
    trained_on: bool | None = None
    step: int | None = None

    def split(self, name: str) -> str:
        """What a provenance calls a split: the source's name and fingerprint, and which of its samples."""
        stem = (
            Path(self.dataset.name).name or self.dataset.name
        )  # the same data under another path is the same
        return f"{stem} {self.dataset.fingerprint[:12]}, {name}"


def find_sample_sets(
    fake: Given | Sampler, against: Given | None, *, count: int | None, seed: int, device: str
) -> SampleSets:
    """The fakes of a run, a sampler or a set, and the source that they are held against.

    Args:
        fake: A run's folder, which comes before a source of the same name; a sampler; or a set of samples.
        against: The real data; None for those of the run, which have to be unchanged.
        count: How many fakes, 2 to 100,000; None for as many as are held out, so that every number has a
            floor; where these are fewer than 64, for as many as there are to train on, at most 1,000.
        seed: Of a run's or sampler's fakes.
        device: Where they are drawn.

    Raises:
        InputError: There is no such run, checkpoint or source, or the two do not fit each other.
    """
    if count is not None and not 2 <= count <= MOST:
        raise InputError(f"count must be from 2 to {MOST:,}, not {count}.")
    if isinstance(fake, str | Path) and RunFolder(Path(fake)).exists:
        return _of_run(RunFolder(Path(fake)), against, count=count, seed=seed, device=device)
    if against is None:
        raise InputError(
            f"{_named(fake)} is not a run folder with data of its own: give the real samples to compare "
            "it with as `against`."
        )
    dataset = _opened(against)
    if isinstance(fake, Sampler):
        number = count or default_count(dataset)
        samples = fake.at(fake.latents(number, seed=seed), _asked(fake, dataset, number))
        return _fitting(SampleSets(samples, dataset, step=fake.step), _named(fake))
    return _fitting(SampleSets(_some(_opened(fake), count, dataset), dataset), _named(fake))


def default_count(dataset: Dataset) -> int:
    """How many fakes to hold against a source where nobody says."""
    if len(dataset.held_out) >= FEWEST:
        return len(dataset.held_out)
    return min(len(dataset.train), MOST_ALONE)


def shuffled(count: int) -> Tensor:
    """All positions in an order that is always the same, so that the first of them are like the others."""
    return torch.from_numpy(np.random.RandomState(_ORDER_SEED).permutation(count).astype(np.int64))


def _of_run(
    run: RunFolder, against: Given | None, *, count: int | None, seed: int, device: str
) -> SampleSets:
    sampler = Sampler.load(run.path, device=device)
    learned = run.read_config().get("dataset")
    fingerprint = learned.get("fingerprint") if isinstance(learned, dict) else None
    dataset = reload_dataset(learned, str(run.path)) if against is None else _opened(against)
    number = count or default_count(dataset)
    samples = sampler.at(sampler.latents(number, seed=seed), _asked(sampler, dataset, number))
    same = dataset.fingerprint == fingerprint
    return _fitting(SampleSets(samples, dataset, same, sampler.step), str(run.path))


def _asked(sampler: Sampler, dataset: Dataset, count: int) -> npt.NDArray[Any] | None:
    """Labels as frequent as in the training split, where generator and source have the same ones."""
    of_classes = sampler.classes is not None and sampler.classes == dataset.classes
    of_attributes = sampler.attributes > 0 and dataset.classes is None
    if not (of_classes or of_attributes):
        return None
    # Spread over the split and then shuffled: the first of the fakes are like the others.
    labels = dataset.train.even_labels(count)
    return None if labels is None else labels[shuffled(count)].numpy()


def _opened(given: Given) -> Dataset:
    return given if isinstance(given, Dataset) else load(given)


def _some(given: Dataset, count: int | None, against: Dataset) -> Tensor:
    """That many samples of a set, whatever its split, evenly spread over it."""
    whole: Split = replace(given.train, rows=torch.arange(len(given.train.storage)))
    if count is not None and count > len(whole):
        raise InputError(f"{given.name} holds {len(whole):,} samples, and {count:,} are asked for.")
    return whole.batch(even_indices(len(whole), count or default_count(against)))


def _fitting(sets: SampleSets, name: str) -> SampleSets:
    made, wanted = tuple(sets.fake.shape[1:]), sets.dataset.shape
    if made != wanted:
        raise InputError(
            f"{name} holds samples of shape {made} and {sets.dataset.name} of shape {wanted}: only samples "
            "of one shape can be compared."
        )
    return sets


def _named(given: Given | Sampler) -> str:
    if isinstance(given, str | Path):
        return str(given)
    return given.name if isinstance(given, Dataset) else f"the {type(given).__name__}"

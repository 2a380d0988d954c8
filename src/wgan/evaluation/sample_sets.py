"""Loading of the fake samples to evaluate and of the real data to compare them with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from wgan.core.arrays import AnyArray
from wgan.data import Dataset, Split, even_indices, load, reload_dataset
from wgan.errors import InputError
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.wasserstein.auditing import MIN_SAMPLES

SamplesLike = str | Path | AnyArray | Tensor | Dataset
"""Anything that :func:`wgan.data.load` takes, or a dataset."""

MAX_COUNT = 100_000
"""A larger count is taken for a mistake: every metric compares all fakes with all real samples."""
DEFAULT_COUNT = 1_000
"""Default number of fakes where too few samples are held out for a floor."""

_PERMUTATION_SEED = 1701


@final
@dataclass(frozen=True, eq=False)
class SampleSets:
    """Fake samples and the real data.

    Attributes:
        fake: (N, *shape) float32; images in [-1, 1].
        dataset: The real data. Its training split is the reference of every metric but W1, and copies are
            looked for in it alone. Its held-out split gives the floors, and W1: see
            :mod:`wgan.evaluation.evaluator`.
        is_training_data: Whether the fakes are of a run that was trained on this dataset; None if unknown.
        step: Training steps behind the fakes.
    """

    fake: Tensor
    dataset: Dataset
    is_training_data: bool | None = None
    step: int | None = None

    def split(self, name: str) -> str:
        """Describe a split for a provenance: the dataset's name (without folder), fingerprint and split."""
        stem = Path(self.dataset.name).name or self.dataset.name
        return f"{stem} {self.dataset.fingerprint[:12]}, {name}"


def find_sample_sets(
    fake: SamplesLike | Sampler, against: SamplesLike | None, *, count: int | None, seed: int, device: str
) -> SampleSets:
    """Draw or load the fakes, and load the real data.

    Args:
        fake: A run's folder, which takes precedence over a dataset of the same name; a sampler; or a set of
            samples.
        against: The real data; None for those of the run, which must be unchanged.
        count: Number of fakes, 2 to 100,000; None for as many as are held out, so that every number has a
            floor; if these are fewer than 64, for as many as the training split has, at most 1,000.
        seed: Random seed of a run's or sampler's fakes.
        device: Device to draw them on.

    Raises:
        InputError: There is no such run, checkpoint or dataset, or the two do not fit each other.
    """
    if count is not None and not 2 <= count <= MAX_COUNT:
        raise InputError(f"count must be from 2 to {MAX_COUNT:,}, not {count}.")
    if isinstance(fake, str | Path) and RunFolder(Path(fake)).exists:
        return _sets_of_run(Sampler.load(fake, device=device), against, count, seed)
    if isinstance(fake, Sampler) and fake.run is not None:
        return _sets_of_run(fake, against, count, seed)
    if against is None:
        raise InputError(
            f"{_name(fake)} is not a run folder with data of its own: give the real samples to compare "
            "it with as `against`."
        )
    dataset = _load(against)
    if isinstance(fake, Sampler):
        samples = _draw(fake, dataset, count or default_count(dataset), seed)
        return _checked(SampleSets(samples, dataset, step=fake.step), _name(fake))
    return _checked(SampleSets(_subset(_load(fake), count, dataset), dataset), _name(fake))


def default_count(dataset: Dataset) -> int:
    """The default number of fakes to compare with a dataset."""
    if len(dataset.held_out) >= MIN_SAMPLES:
        return len(dataset.held_out)
    return min(len(dataset.train), DEFAULT_COUNT)


def fixed_permutation(count: int) -> Tensor:
    """Return a permutation of count indices that is always the same, so that any first ones are typical."""
    return torch.from_numpy(np.random.RandomState(_PERMUTATION_SEED).permutation(count).astype(np.int64))


def _sets_of_run(sampler: Sampler, against: SamplesLike | None, count: int | None, seed: int) -> SampleSets:
    assert sampler.run is not None
    run = RunFolder(sampler.run)
    description = run.read_config().get("dataset")
    fingerprint = description.get("fingerprint") if isinstance(description, dict) else None
    dataset = reload_dataset(description, str(run.path)) if against is None else _load(against)
    samples = _draw(sampler, dataset, count or default_count(dataset), seed)
    same = dataset.fingerprint == fingerprint
    return _checked(SampleSets(samples, dataset, same, sampler.step), str(run.path))


def _draw(sampler: Sampler, dataset: Dataset, count: int, seed: int) -> Tensor:
    """Draw fakes, with the label frequencies of the training split if it has the generator's labels."""
    latents = sampler.latents(count, seed=seed)
    of_classes = sampler.classes is not None and sampler.classes == dataset.classes
    of_attributes = sampler.attributes > 0 and dataset.classes is None
    labels = dataset.train.even_labels(count) if of_classes or of_attributes else None
    # Spread over the split and then permuted: any first fakes are typical.
    return sampler.from_latents(latents, None if labels is None else labels[fixed_permutation(count)].numpy())


def _load(samples: SamplesLike) -> Dataset:
    return samples if isinstance(samples, Dataset) else load(samples)


def _subset(dataset: Dataset, count: int | None, against: Dataset) -> Tensor:
    """Samples of a set, evenly spread over both of its splits."""
    whole: Split = replace(dataset.train, rows=torch.arange(len(dataset.train.storage)))
    if count is not None and count > len(whole):
        raise InputError(f"{dataset.name} holds {len(whole):,} samples, fewer than count={count:,}.")
    return whole.batch(even_indices(len(whole), count or default_count(against)))


def _checked(sets: SampleSets, name: str) -> SampleSets:
    fake, real = tuple(sets.fake.shape[1:]), sets.dataset.shape
    if fake != real:
        raise InputError(
            f"{name} holds samples of shape {fake} and {sets.dataset.name} of shape {real}: only samples "
            "of one shape can be compared."
        )
    return sets


def _name(samples: SamplesLike | Sampler) -> str:
    if isinstance(samples, str | Path):
        return str(samples)
    return samples.name if isinstance(samples, Dataset) else f"the {type(samples).__name__}"

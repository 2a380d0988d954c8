"""Which real samples a step sees, and with which labels."""

from typing import final

import torch
from torch import Tensor

from wgan.core.randomness import local_rows
from wgan.data import Dataset, Split
from wgan.errors import InputError
from wgan.networks import Condition
from wgan.training.objective import Batch


@final
class BatchSampler:
    """Independent draws, with replacement, from a split.

    Args:
        split: Where from.
        labelled: Whether labels come along.
        balanced: Whether every class is drawn equally often, however rare it is; else every sample is.
        device: Where samples go.
    """

    def __init__(self, split: Split, *, labelled: bool, balanced: bool, device: torch.device) -> None:
        self._split, self._labelled, self._device = split, labelled, device
        self._by_class: Tensor | None = None
        if balanced:
            assert split.labels is not None
            found = split.labels[split.rows.to(split.labels.device)]
            counts = found.bincount()
            present = counts > 0
            self._by_class = found.argsort(stable=True).to(device)
            self._counts = counts[present].to(device)
            self._starts = (counts.cumsum(0) - counts)[present].to(device)

    def draw(self, count: int, rng: torch.Generator) -> Batch:
        """Draw ``count`` samples."""
        index = local_rows(lambda whole: self._index(whole, rng), count, rng)
        labels = self._split.batch_labels(index) if self._labelled else None
        return Batch(self._split.batch(index), labels)

    def _index(self, count: int, rng: torch.Generator) -> Tensor:
        if self._by_class is None:
            return torch.randint(len(self._split), (count,), generator=rng, device=self._device)
        chosen = torch.randint(len(self._counts), (count,), generator=rng, device=self._device)
        share = torch.rand(count, generator=rng, device=self._device, dtype=torch.float64)
        within = (share * self._counts[chosen]).long()
        return self._by_class[self._starts[chosen] + within]


def condition_of(dataset: Dataset) -> Condition:
    """What the labels of a source are: its classes, or its attributes with the moments of its training split.

    Raises:
        InputError: It has no labels, one class only, or an attribute that is constant.
    """
    labels = dataset.train.labels
    if labels is None:
        raise InputError(
            f"{dataset.name} has no labels, so nothing can be asked of a generator trained on it: leave out "
            "`conditional`, or give labels (an array `labels` in a .npz file, one sub-folder a class)."
        )
    if dataset.classes is not None:
        if len(dataset.classes) < 2:
            raise InputError(
                f"{dataset.name} has one class only, {dataset.classes[0]}: leave out `conditional`."
            )
        return Condition(classes=len(dataset.classes))
    # By NumPy: torch's sums depend on how many threads there are, and these are part of the run's identity.
    known = labels[dataset.train.rows.to(labels.device)].double().cpu().numpy()
    moments = zip(known.mean(0).tolist(), known.std(0).tolist(), strict=True)
    attributes = tuple(moments)
    if constant := [str(position) for position, (_, std) in enumerate(attributes) if std == 0]:
        raise InputError(f"Attribute {', '.join(constant)} of {dataset.name} never changes: leave it out.")
    return Condition(attributes=attributes)


def refuse_unbalanced(dataset: Dataset) -> None:
    """Raise InputError for a source without classes to draw equally often."""
    if dataset.classes is None:
        raise InputError(f"{dataset.name} has no classes to balance: leave out `balanced`.")

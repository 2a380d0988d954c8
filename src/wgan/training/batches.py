"""Drawing batches of real samples, with their labels."""

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
    """Draws batches from a split, independently and with replacement.

    Args:
        split: The samples to draw from.
        labelled: Whether a batch has labels.
        balanced: Whether every class is drawn equally often, however rare it is; otherwise every sample is.
        device: Device of the batches.
    """

    def __init__(self, split: Split, *, labelled: bool, balanced: bool, device: torch.device) -> None:
        self._split, self._labelled, self._device = split, labelled, device
        self._by_class: Tensor | None = None
        if balanced:
            assert split.labels is not None
            labels = split.labels[split.rows.to(split.labels.device)]
            counts = labels.bincount()
            present = counts > 0
            self._by_class = labels.argsort(stable=True).to(device)
            self._counts = counts[present].to(device)
            self._starts = (counts.cumsum(0) - counts)[present].to(device)

    def draw(self, count: int, rng: torch.Generator) -> Batch:
        """Draw a batch of ``count`` samples."""
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
    """What a dataset's labels are: classes, or attributes with the moments of the training split.

    Raises:
        InputError: It has no labels, one class only, or an attribute that is constant.
    """
    labels = dataset.train.labels
    if labels is None:
        raise InputError(
            f"{dataset.name} has no labels, which a conditional generator needs: train without "
            "`conditional`, or add labels (an array `labels` in a .npz file, one sub-folder per class)."
        )
    if dataset.classes is not None:
        if len(dataset.classes) < 2:
            raise InputError(
                f"{dataset.name} has only one class, {dataset.classes[0]}: train without `conditional`."
            )
        return Condition(classes=len(dataset.classes))
    # By NumPy: torch's sums depend on how many threads there are, and these are part of the run's identity.
    known = labels[dataset.train.rows.to(labels.device)].double().cpu().numpy()
    moments = zip(known.mean(0).tolist(), known.std(0).tolist(), strict=True)
    attributes = tuple(moments)
    if constant := [str(position) for position, (_, std) in enumerate(attributes) if std == 0]:
        raise InputError(f"Attribute {', '.join(constant)} of {dataset.name} is constant: remove it.")
    return Condition(attributes=attributes)


def refuse_unbalanced(dataset: Dataset) -> None:
    """Raise InputError for a dataset without classes to draw equally often."""
    if dataset.classes is None:
        raise InputError(f"{dataset.name} has no classes to balance: train without `balanced`.")

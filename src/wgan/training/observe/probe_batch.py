"""The probe batch that a run is measured on, and contexts in which measuring leaves no trace."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wgan.data import Dataset, Split, even_indices
from wgan.training.objective import Numbers

QUARTILES = (5, 25, 50, 75, 95)
UPPER = (50, 95, 100)
CANDIDATES = 4096
"""Samples among which the nearest attributes are searched."""


@contextmanager
def observing(*networks: nn.Module) -> Iterator[None]:
    """A context without gradients, after which the networks' buffers are as before."""
    buffers = [buffer for network in networks for buffer in network.buffers()]
    before = [buffer.clone() for buffer in buffers]
    with torch.no_grad():
        try:
            yield
        finally:
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A context in which a network is in evaluation mode."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def quantiles(name: str, values: Tensor, percents: Sequence[int] = QUARTILES) -> Numbers:
    """Quantiles of (N,) values, N >= 1, as scalars ``name/05`` for 5 %, ``name/max`` for 100 %."""
    levels = torch.tensor([percent / 100 for percent in percents], dtype=values.dtype, device=values.device)
    found = torch.quantile(values, levels)
    endings = ["max" if percent == 100 else f"{percent:02d}" for percent in percents]
    return {f"{name}/{ending}": value for ending, value in zip(endings, found.unbind(), strict=True)}


def golden(count: int) -> Tensor:
    """A low-discrepancy sequence in [0, 1): i / golden ratio modulo 1."""
    return (torch.arange(count, dtype=torch.float64) * ((5**0.5 - 1) / 2)) % 1


def spread_labels(split: Split, count: int, device: torch.device) -> Tensor:
    """Labels of ``count`` samples evenly spread over a labelled split, repeated where it has fewer."""
    labels = split.even_labels(count)
    assert labels is not None
    return labels.to(device)


def spread(split: Split, count: int, device: torch.device) -> Tensor:
    """At most ``count`` samples evenly spread over a split, so that all classes of sorted data occur."""
    return split.batch(even_indices(len(split), count).to(device))


class ProbeBatch(NamedTuple):
    """The samples that a run is measured on, the same at every log point.

    Attributes:
        latents: (N, latent_dim), from which fakes are generated.
        train: (M, *shape), real samples of the training split.
        held_out: (K, *shape), real samples that training never sees.
        labels: Of the fakes, of ``train`` and of ``held_out``, in a conditional run.
    """

    latents: Tensor
    train: Tensor
    held_out: Tensor
    labels: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)


def draw_probe_batch(dataset: Dataset, latents: Tensor, *, labelled: bool) -> ProbeBatch:
    """At most as many samples as there are latents, evenly spread over each split, on the latents' device.

    In a conditional run the fakes have the labels of the held-out samples, each equally often, so that some
    latents may be left over, and each training sample has the same class or the nearest attributes. A critic
    may add any number to the scores of a whole class; if one side had more samples of that class, it would
    appear as a gap.
    """
    count, device = len(latents), latents.device
    shown = even_indices(len(dataset.held_out), count).to(device)
    held_out = dataset.held_out.batch(shown)
    if not labelled:
        return ProbeBatch(latents, spread(dataset.train, count, device), held_out)
    labels = dataset.held_out.batch_labels(shown)
    assert labels is not None
    requested = torch.cat([labels] * (count // len(shown)))
    alike = _same_labels(dataset.train, requested)
    return ProbeBatch(
        latents[: len(requested)],
        dataset.train.batch(alike),
        held_out,
        (requested, dataset.train.batch_labels(alike), labels),
    )


def _same_labels(split: Split, labels: Tensor) -> Tensor:
    """Positions (n,) of samples with these labels, spread over a class, or of the nearest attributes.

    Where there is no sample of a class, any sample is taken.
    """
    if labels.is_floating_point():
        some = even_indices(len(split), CANDIDATES).to(labels.device)
        known = split.batch_labels(some)
        assert known is not None
        scale = known.std(0).clamp_min(torch.finfo(known.dtype).tiny)
        return some[torch.cdist(labels / scale, known / scale).argmin(1)]
    found = even_indices(len(split), len(labels), repeat=True).to(labels.device)
    every = split.batch_labels(torch.arange(len(split), device=labels.device))
    for number in set(labels.tolist()):
        known, wanted = (every == number).nonzero()[:, 0], labels == number
        if len(known):
            found[wanted] = known[even_indices(len(known), int(wanted.sum()), repeat=True).to(labels.device)]
    return found

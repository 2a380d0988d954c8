"""How to look without being seen, and how to say what was seen in a few numbers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from wgan.data import Split
from wgan.data import spread as positions
from wgan.training.step import Numbers

QUARTILES = (5, 25, 50, 75, 95)
UPPER = (50, 95, 100)


@contextmanager
def observing(*networks: nn.Module) -> Iterator[None]:
    """Run networks in training mode without a trace: no gradients, buffers put back afterwards."""
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
    """Run a network in evaluation mode, then put each module back into the mode it had."""
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
    """Numbers that fill [0, 1) evenly, without a period that data could have: i / golden ratio modulo 1."""
    return (torch.arange(count, dtype=torch.float64) * ((5**0.5 - 1) / 2)) % 1


def spread_labels(split: Split, count: int, device: torch.device) -> Tensor:
    """The labels of ``count`` samples evenly spread over a labelled split, repeated where it has fewer."""
    labels = split.even_labels(count)
    assert labels is not None
    return labels.to(device)


def spread(split: Split, count: int, device: torch.device) -> Tensor:
    """At most ``count`` samples evenly spread over a split, so that sorted data show all their classes."""
    return split.batch(positions(len(split), count).to(device))

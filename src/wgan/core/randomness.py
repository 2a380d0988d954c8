"""Randomness as a function of (seed, rank, step), so that no random state needs saving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, final

import torch
from torch import Tensor

INITIALISATION, TRAINING = range(2)
"""Purposes of random numbers; each is an independent stream."""

_WORD = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ODD = 0xD1342543DE82EF95


def derive(*key: int) -> int:
    """Hash whole numbers in [0, 2^64) to a seed in [0, 2^63).

    SplitMix64, one round per number (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number
    Generators", figure 15, in the variant of Stafford's mix 13), which takes a few microseconds.
    """
    state = len(key)
    for number in key:
        state = (state * _ODD + number + _GOLDEN) & _WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _WORD
        state ^= state >> 31
    return state >> 1


@contextmanager
def isolated_global_rng(device: torch.device) -> Iterator[None]:
    """Restore the state of the generators that :func:`seed_global_rng` seeds after the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_global_rng(seed: int, device: torch.device) -> torch.Generator:
    """Seed the device's default generator, which modules such as dropout use too, and return it.

    ``torch.manual_seed`` would also record a stack trace for each absent kind of device, and creating a
    generator is slow: either slows down small networks.
    """
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index].manual_seed(seed)
    return torch.default_generator.manual_seed(seed)


@final
class RankGenerator(torch.Generator):
    """The generator of one of several processes that share every batch in equal parts, in order of rank.

    Every process draws the numbers of the whole batch and keeps those of its rows: see :func:`local_rows`.
    Code that draws without that function draws the same numbers in every process.

    Args:
        device: Device to draw on.
        rank: Rank of this process, in [0, size).
        size: Number of processes.
    """

    rank: int
    size: int

    def __new__(cls, device: torch.device, *, rank: int, size: int) -> Self:
        """Create a generator for the device, which torch's constructor takes here."""
        generator = super().__new__(cls, device)  # type: ignore[call-arg]
        generator.rank, generator.size = rank, size
        return generator

    def __init__(self, device: torch.device, *, rank: int, size: int) -> None:
        super().__init__()


def local_rows(draw: Callable[[int], Tensor], count: int, rng: torch.Generator | None) -> Tensor:
    r"""Draw the random numbers of this process's samples.

    Args:
        draw: Draws from ``rng`` for a number of samples: (n, \*shape).
        count: Number of samples of this process.
        rng: The generator of ``draw``; a :class:`RankGenerator` where processes share the batch.
    """
    if not isinstance(rng, RankGenerator):
        return draw(count)
    return draw(rng.size * count)[rng.rank * count : (rng.rank + 1) * count]

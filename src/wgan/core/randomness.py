"""Randomness as a function of (seed, rank, step): nothing random needs saving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, final

import torch
from torch import Tensor

INITIALISATION, TRAINING = range(2)
"""What numbers are drawn for; each purpose is an independent stream."""

_WORD = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_ODD = 0xD1342543DE82EF95


def derive(*key: int) -> int:
    """A seed in [0, 2^63) from whole numbers in [0, 2^64), well mixed.

    SplitMix64, one round a number (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number
    Generators", figure 15, in the variant of Stafford's mix 13): a few microseconds, at every step.
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
    """Put the generators that :func:`seed_global_rng` seeds back, after the block, to where they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_global_rng(seed: int, device: torch.device) -> torch.Generator:
    """Seed the device's own generator and return it, so that all draws, a module's dropout too, come from it.

    ``torch.manual_seed`` would also note a stack trace for each kind of device that is not there, and a new
    generator is slow to make: either is felt on a small network.
    """
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index].manual_seed(seed)
    return torch.default_generator.manual_seed(seed)


@final
class RankGenerator(torch.Generator):
    """The generator of one of several processes that share every batch, rank by rank in equal parts.

    All of them draw the numbers of the whole batch, and each keeps those of its rows: see :func:`local_rows`.
    Whatever draws without that function still works, but draws the same for every process.

    Args:
        device: Where numbers are drawn.
        rank: Of this process, in [0, size).
        size: How many processes there are.
    """

    rank: int
    size: int

    def __new__(cls, device: torch.device, *, rank: int, size: int) -> Self:
        """Make one for the device, which torch's own constructor takes here."""
        made = super().__new__(cls, device)  # type: ignore[call-arg]
        made.rank, made.size = rank, size
        return made

    def __init__(self, device: torch.device, *, rank: int, size: int) -> None:
        super().__init__()


def local_rows(draw: Callable[[int], Tensor], count: int, rng: torch.Generator | None) -> Tensor:
    r"""The random numbers of this process's samples.

    Args:
        draw: Draws, from ``rng``, for that many samples: (n, \*shape).
        count: How many samples this process has.
        rng: What ``draw`` draws from; a :class:`RankGenerator` where processes share the batch.
    """
    if not isinstance(rng, RankGenerator):
        return draw(count)
    return draw(rng.size * count)[rng.rank * count : (rng.rank + 1) * count]

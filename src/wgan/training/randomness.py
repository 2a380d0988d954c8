"""Randomness as a function of (seed, rank, step): nothing random needs saving."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

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
def own_global(device: torch.device) -> Iterator[None]:
    """Put the generators that :func:`seed_global` seeds back, after the block, to where they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_global(seed: int, device: torch.device) -> torch.Generator:
    """Seed the device's own generator and return it, so that all draws, a module's dropout too, come from it.

    ``torch.manual_seed`` would also note a stack trace for each kind of device that is not there, and a new
    generator is slow to make: either is felt on a small network.
    """
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index].manual_seed(seed)
    return torch.default_generator.manual_seed(seed)

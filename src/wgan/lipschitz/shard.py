"""Draws that are the same however many processes share a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, final

import torch
from torch import Tensor


@final
class Shard(torch.Generator):
    """The generator of one of several processes that share every batch, rank by rank in equal parts.

    All of them draw the numbers of the whole batch, and each keeps those of its rows: see :func:`own_rows`.
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


def own_rows(draw: Callable[[int], Tensor], count: int, rng: torch.Generator | None) -> Tensor:
    r"""The random numbers of this process's samples.

    Args:
        draw: Draws, from ``rng``, for that many samples: (n, \*shape).
        count: How many samples this process has.
        rng: What ``draw`` draws from; a :class:`Shard` where processes share the batch.
    """
    if not isinstance(rng, Shard):
        return draw(count)
    return draw(rng.size * count)[rng.rank * count : (rng.rank + 1) * count]

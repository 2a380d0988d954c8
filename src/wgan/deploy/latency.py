"""How long generators take, side by side."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from wgan.artifact import Feed
from wgan.deploy.reference_statistics import Forward

BATCHES = (1, 8, 64)
"""Samples a call."""
BLOCK = 0.02
"""Seconds for which one is called before it is another's turn."""


@final
@dataclass(frozen=True)
class Latency:
    """How long calls of one batch size took.

    Attributes:
        name: Of what was called.
        batch: Samples a call.
        p50: Milliseconds, the median.
        p99: Milliseconds under which 99 % of the calls stayed.
        per_second: Samples a second, all calls together.
        calls: How many were timed.
    """

    name: str
    batch: int
    p50: float
    p99: float
    per_second: float
    calls: int


def measure(
    subjects: Mapping[str, tuple[Forward, Feed]], batches: Sequence[int] = BATCHES, *, seconds: float = 0.5
) -> list[Latency]:
    """Time all subjects in turns, so that whatever else the machine does befalls all of them.

    Args:
        subjects: What is called, by name, and inputs for the largest batch at least.
        batches: Samples a call.
        seconds: How long each is timed for each of them.
    """
    return [row for batch in batches for row in _in_turns(subjects, batch, seconds)]


def _in_turns(subjects: Mapping[str, tuple[Forward, Feed]], batch: int, seconds: float) -> Iterator[Latency]:
    calls = {
        name: (forward, {key: values[:batch] for key, values in given.items()})
        for name, (forward, given) in subjects.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for forward, given in calls.values():
        _block(forward, given)  # the first calls allocate
    while any(sum(times) < seconds for times in spent.values()):
        for name, (forward, given) in calls.items():
            if sum(spent[name]) < seconds:
                spent[name] += _block(forward, given)
    for name, times in spent.items():
        p50, p99 = (round(1e3 * float(np.percentile(times, share)), 4) for share in (50, 99))
        yield Latency(name, batch, p50, p99, round(batch * len(times) / sum(times), 1), len(times))


def _block(forward: Forward, given: Feed) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + BLOCK
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        forward(given)
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Latency of generators, measured side by side."""

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
"""Batch sizes."""
BLOCK = 0.02
"""Seconds for which one generator is called before the next one."""


@final
@dataclass(frozen=True)
class Latency:
    """Latency of one generator at one batch size.

    Attributes:
        name: Name of the generator.
        batch: Samples per call.
        p50: Median, in milliseconds.
        p99: 99th percentile, in milliseconds.
        per_second: Samples per second, over all calls.
        calls: Number of timed calls.
    """

    name: str
    batch: int
    p50: float
    p99: float
    per_second: float
    calls: int


def measure(
    generators: Mapping[str, tuple[Forward, Feed]], batches: Sequence[int] = BATCHES, *, seconds: float = 0.5
) -> list[Latency]:
    """Time generators in turns, so that other load on the machine affects all of them alike.

    Args:
        generators: Functions and inputs for at least the largest batch, by name.
        batches: Batch sizes.
        seconds: Time for each generator and batch size.
    """
    return [row for batch in batches for row in _in_turns(generators, batch, seconds)]


def _in_turns(
    generators: Mapping[str, tuple[Forward, Feed]], batch: int, seconds: float
) -> Iterator[Latency]:
    calls = {
        name: (forward, {key: values[:batch] for key, values in inputs.items()})
        for name, (forward, inputs) in generators.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for forward, inputs in calls.values():
        _block(forward, inputs)  # the first calls allocate
    while any(sum(times) < seconds for times in spent.values()):
        for name, (forward, inputs) in calls.items():
            if sum(spent[name]) < seconds:
                spent[name] += _block(forward, inputs)
    for name, times in spent.items():
        p50, p99 = (round(1e3 * float(np.percentile(times, share)), 4) for share in (50, 99))
        yield Latency(name, batch, p50, p99, round(batch * len(times) / sum(times), 1), len(times))


def _block(forward: Forward, inputs: Feed) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + BLOCK
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        forward(inputs)
        times.append(time.perf_counter() - start)
    return times


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of torch's threads for the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

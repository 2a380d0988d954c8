"""How much of a run's time is spent inside the networks and the optimisers.

    python -m benchmarks.loop_overhead

Trains as a user would, with logs, pictures and checkpoints, and adds up the time inside forward passes,
autograd and optimiser steps. What remains is ours: drawing batches and noise, the average, norms, files.
Meaningful on a CPU, where calls return when their work is done.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from wgan.data import load
from wgan.training import Trainer, recipe

CASES = (
    ("digits", "default"),
    ("fashion-mnist", "default"),
    ("fashion-mnist", "dcgan-gp"),
    ("fashion-mnist", "mlp-clip"),
    ("ring8", "default"),
    ("ring8", "toy-gp"),
)
SECONDS = 4.0


class Stopwatch:
    """Time spent inside any of the functions it wraps; calls inside calls are counted once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    @contextmanager
    def timing(self, owner: Any, name: str) -> Iterator[None]:  # noqa: ANN401 - any object
        """Time calls of ``owner.name`` inside the block."""
        original = getattr(owner, name)
        setattr(owner, name, self._timed(original))
        try:
            yield
        finally:
            setattr(owner, name, original)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if self._inside:
                return function(*args, **kwargs)
            self._inside = True
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start
                self._inside = False

        return timed


def share(trainer: Trainer, steps: int) -> float:
    """The share of ``fit``'s time that is spent inside the networks and the optimisers."""
    watch = Stopwatch()
    kinds = {type(trainer.generator_optimiser.build(trainer.generator.parameters()))}
    kinds |= {type(trainer.critic_optimiser.build(trainer.critic.parameters()))}
    with ExitStack() as stack, TemporaryDirectory() as folder:
        stack.enter_context(watch.timing(nn.Module, "__call__"))
        stack.enter_context(watch.timing(torch.Tensor, "backward"))
        stack.enter_context(watch.timing(torch.autograd, "grad"))
        for kind in kinds:
            stack.enter_context(watch.timing(kind, "step"))
        start = time.perf_counter()
        trainer.fit(steps, Path(folder) / "run")
        return watch.seconds / (time.perf_counter() - start)


def main() -> None:
    """Measure every case and print the table."""
    table = Table("source", "recipe", "ms a step", "inside networks and optimisers")
    for source, name in CASES:
        loaded = load(source)
        trainer = recipe(name, loaded.shape).trainer(loaded, device="cpu")
        seconds = trainer.seconds_per_step()
        steps = max(10, round(SECONDS / seconds))
        table.add_row(source, name, f"{1000 * seconds:.2f}", f"{share(trainer, steps):.1%}")
    Console().print(table)
    Console().print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()

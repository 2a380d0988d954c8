"""How much of a run's time is spent inside the networks and the optimisers.

    python -m benchmarks.loop_overhead

Trains as a user would, with logs, images and checkpoints, and adds up the time inside the two steps of the
algorithm - networks, loss, penalty, autograd, optimiser - and, more strictly, inside modules, autograd and
optimisers alone. What remains is ours: drawing batches and noise, the average, files. Meaningful on a CPU,
where calls return when their work is done; one thread, so that a shared core does not decide the result.
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
from wgan.training import training_step as training

CASES = (
    ("digits", "default"),
    ("fashion-mnist", "default"),
    ("fashion-mnist", "dcgan-gp"),
    ("fashion-mnist", "mlp-clip"),
    ("ring8", "default"),
    ("ring8", "toy-gp"),
)
SECONDS = 20.0


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


def measure(trainer: Trainer, steps: int) -> tuple[float, float]:
    """The shares of ``fit``'s time inside the algorithm's steps, and inside networks and optimisers alone."""
    step, strict = Stopwatch(), Stopwatch()
    kinds = {type(trainer.settings.generator_optimiser.build(trainer.generator))}
    kinds |= {type(trainer.settings.critic_optimiser.build(trainer.critic))}
    inside = [(nn.Module, "__call__"), (torch.Tensor, "backward"), (torch.autograd, "grad")]
    inside += [(kind, name) for kind in kinds for name in ("step", "zero_grad")]
    with ExitStack() as stack, TemporaryDirectory() as folder:
        for owner, name in inside:
            stack.enter_context(strict.timing(owner, name))
        for name in ("critic_step", "generator_step"):
            stack.enter_context(step.timing(training, name))
        start = time.perf_counter()
        trainer.fit(Path(folder) / "run", steps)
        whole = time.perf_counter() - start
    return step.seconds / whole, strict.seconds / whole


def main() -> None:
    """Measure every case and print the table."""
    torch.set_num_threads(1)
    table = Table("source", "recipe", "ms a step", "steps of the algorithm", "networks, optimisers alone")
    for dataset, name in CASES:
        loaded = load(dataset)
        trainer = Trainer(loaded, settings=recipe(name, loaded.shape), device="cpu")
        seconds = trainer.seconds_per_step()
        shares = measure(trainer, max(10, round(SECONDS / seconds)))
        table.add_row(dataset, name, f"{1000 * seconds:.2f}", *(f"{share:.1%}" for share in shares))
    Console().print(table)
    Console().print(f"torch {torch.__version__}, {torch.get_num_threads()} thread")


if __name__ == "__main__":
    main()

"""How much of a run's time goes into looking at itself.

    python -m benchmarks.observation

Trains as a user would and adds up the time inside the observation: looking at each log point and following
the step before it; apart from these, getting ready at the start. One thread, so that a shared core does not
decide the result.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.loop_overhead import Stopwatch
from wgan.data import load
from wgan.training import Trainer, recipe
from wgan.training.observe import Observer
from wgan.training.observe.weights import Update

CASES = (
    ("digits", "default"),
    ("fashion-mnist", "default"),
    ("ring8", "default"),
    ("fashion-mnist", "mlp-clip"),
    ("fashion-mnist", "dcgan-clip"),
    ("ring8", "toy-orthogonal"),
)
LOG_POINTS = 6


def measure(trainer: Trainer, steps: int) -> tuple[float, float, float]:
    """Seconds of a run, of its looks, and of getting ready for them."""
    looks, ready = Stopwatch(), Stopwatch()
    with ExitStack() as stack, TemporaryDirectory() as folder:
        for owner, name in ((Observer, "look"), (Update, "keep")):
            stack.enter_context(looks.timing(owner, name))
        stack.enter_context(ready.timing(Observer, "__init__"))
        start = time.perf_counter()
        trainer.fit(Path(folder) / "run", steps)
        return time.perf_counter() - start, looks.seconds, ready.seconds


def main() -> None:
    """Measure every case and print the table."""
    torch.set_num_threads(1)
    table = Table(
        "source", "recipe", "ms a step", "steps a look", "ms a look", "share", "ms once, at the start"
    )
    for dataset, name in CASES:
        loaded = load(dataset)
        trainer = Trainer(loaded, settings=recipe(name, loaded.shape), device="cpu")
        every = trainer.settings.logging.metrics
        whole, looks, ready = measure(trainer, LOG_POINTS * every)
        table.add_row(
            dataset,
            name,
            f"{1000 * (whole - looks - ready) / (LOG_POINTS * every):.2f}",
            str(every),
            f"{1000 * looks / LOG_POINTS:.1f}",
            f"{looks / (whole - ready):.1%}",
            f"{1000 * ready:.0f}",
        )
    Console(width=110).print(table)
    Console().print(f"torch {torch.__version__}, {torch.get_num_threads()} thread")


if __name__ == "__main__":
    main()

"""How good images are after how much time: textbook systems and ours on Fashion-MNIST, side by side.

    python -m benchmarks.time_to_quality                     # every line; goes on where it was
    python -m benchmarks.time_to_quality --lines default --budgets 15
    python -m benchmarks.time_to_quality --table             # prints the table of what was measured

Time is what the training alone takes of one core: CPU seconds of a process with one thread, so that other
work on the machine does not count. Quality is the Frechet distance of 10,000 samples against the 10,000 test
images, by the features of a classifier that `wgan classifier fashion-mnist` trains, and, for a second
opinion that does see grain, the kernel distance of 1,000 of each by those of EfficientNet-Lite0 (ImageNet).
Textbook systems have constant learning rates: one run, looked at along the way. Ours decay theirs: a run for
each budget, whose steps are fixed by measuring the first ones.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console

from wgan.data import Dataset, load
from wgan.images import grid, write_png
from wgan.latents import draw_latents
from wgan.lipschitz import GradientPenalty
from wgan.metrics import (
    Classifier,
    Extractor,
    frechet_distance,
    kernel_distance,
    load_extractor,
    train_classifier,
)
from wgan.training import Adam, Trainer, TrainingSettings, recipe
from wgan.training.state import State

RESULTS = Path(__file__).with_suffix(".jsonl")
JUDGE = Path("runs/fashion-mnist-judge.safetensors")
SHAPE = (1, 28, 28)
BUDGETS = (15, 60, 120, 180, 300)
"""Seconds."""
COUNT, SECOND = 10_000, 1_000
"""Samples that each of the two judges sees."""
JUDGED, SHOWN = 256, 64
TRIED = 20
"""Steps that are timed to fix the number of all."""


def mlp_gp(shape: tuple[int, ...]) -> TrainingSettings:
    """The MLP tutorial with a gradient penalty: n_critic 5, Adam 2e-4 (0.5, 0.999), batch 64."""
    clipped = recipe("mlp-clip", shape)
    return replace(
        clipped,
        constraint=GradientPenalty(10.0),
        generator_optimiser=Adam(2e-4, (0.5, 0.999)),
        critic_optimiser=Adam(2e-4, (0.5, 0.999)),
    )


@dataclass(frozen=True)
class Line:
    """A system that is measured.

    Attributes:
        make: Its recipe, of the shape.
        decays: Whether each budget is a run of its own.
    """

    make: Callable[[tuple[int, ...]], TrainingSettings]
    decays: bool


LINES = {
    "mlp-clip": Line(lambda shape: recipe("mlp-clip", shape), decays=False),
    "MLP GP, textbook": Line(mlp_gp, decays=False),
    "dcgan-gp": Line(lambda shape: recipe("dcgan-gp", shape), decays=False),
    "default": Line(lambda shape: recipe("default", shape), decays=True),
    "quality": Line(lambda shape: recipe("quality", shape), decays=True),
}


class Judges:
    """What images are judged by; features of the test images are taken once."""

    def __init__(self, dataset: Dataset, classifier: Classifier) -> None:
        real = dataset.held_out.batch(torch.arange(COUNT))
        self._first: Extractor = classifier.extractor
        self._second = load_extractor("efficientnet-lite0", device="cpu")
        self._real = self._first(real), self._second(real[:SECOND])

    def distances(self, images: torch.Tensor) -> dict[str, float]:
        """The distances of images (10,000, 1, 28, 28) to the test images, by each judge."""
        first, second = self._real
        return {
            "fd": round(frechet_distance(first, self._first(images)).value, 3),
            "kid_efficientnet": round(kernel_distance(second, self._second(images[:SECOND])).value, 4),
        }


def run(
    line: Line, dataset: Dataset, budgets: tuple[int, ...], seed: int
) -> Iterator[tuple[int, State, dict[str, Any]]]:
    """Train for each budget; yields the budget, the state then, and what it took."""
    settings = line.make(SHAPE)
    for group in [[budget] for budget in budgets] if line.decays else [list(budgets)]:
        trainer = Trainer(dataset, settings=settings, seed=seed, device="cpu")
        steps = max(
            1, int(group[-1] / per_step(Trainer(dataset, settings=settings, seed=seed, device="cpu")))
        )
        state, spent, waiting = trainer.state(), 0.0, group
        while waiting:
            start = time.process_time()
            trainer.advance(state, steps if line.decays else 10**9)
            spent += time.process_time() - start
            over = state.step >= steps if line.decays else spent >= waiting[0]
            if over:
                yield waiting[0], state, {"steps": state.step, "cpu_seconds": round(spent, 1)}
                waiting = waiting[1:]


def per_step(trainer: Trainer) -> float:
    """CPU seconds of a step."""
    state = trainer.state()
    for _ in range(3):
        trainer.advance(state, 10**9)
    start = time.process_time()
    for _ in range(TRIED):
        trainer.advance(state, 10**9)
    return (time.process_time() - start) / TRIED


@torch.no_grad()
def drawn(state: State, latent_dim: int) -> torch.Tensor:
    """The samples that are judged."""
    points = torch.from_numpy(draw_latents(COUNT, latent_dim, seed=1))
    return torch.cat([state.average(some) for some in points.split(JUDGED)])


def main(
    lines: tuple[str, ...] = tuple(LINES),
    budgets: tuple[int, ...] = BUDGETS,
    seeds: tuple[int, ...] = (0,),
    results: Path = RESULTS,
    judge: Path = JUDGE,
    images: Path | None = None,
    table: bool = False,
) -> None:
    """Measure what is missing in the results, or print their table.

    Args:
        lines: Which systems.
        budgets: Seconds of one core, in rising order.
        seeds: Of the runs.
        results: The file of rows.
        judge: The classifier, trained here if it is not there.
        images: A folder for 64 samples of each row.
        table: Print the table of the results and measure nothing.
    """
    if table:
        print(as_table(rows(results)))
        return
    torch.set_num_threads(1)
    dataset = load("fashion-mnist")
    if not judge.exists():
        judge.parent.mkdir(parents=True, exist_ok=True)
        train_judge(dataset, judge)
    judges = Judges(dataset, Classifier.load(judge))
    known = {(row["line"], row["budget"], row["seed"]) for row in rows(results)}
    for name in lines:
        for seed in seeds:
            left = tuple(budget for budget in budgets if (name, budget, seed) not in known)
            if not left:
                continue
            latent_dim = LINES[name].make(SHAPE).networks.latent_dim
            for budget, state, spent in run(LINES[name], dataset, left, seed):
                made = drawn(state, latent_dim)
                row = {"line": name, "budget": budget, "seed": seed, **spent, **judges.distances(made)}
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                Console(stderr=True, highlight=False).print(row)
                if images is not None:
                    write_png(images / f"{name}-{budget}-{seed}.png", grid(made[:SHOWN].numpy()))


def train_judge(dataset: Dataset, judge: Path) -> None:
    """Train the classifier as `wgan classifier fashion-mnist` does."""
    train = dataset.train
    assert train.labels is not None
    held_out = dataset.held_out
    parts = [(part.storage[part.rows], train.labels[part.rows]) for part in (train, held_out)]
    train_classifier(*parts[0], held_out=parts[1], steps=1000, seed=0).save(judge)


def rows(results: Path) -> list[dict[str, Any]]:
    """What was measured."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def as_table(measured: list[dict[str, Any]]) -> str:
    """Of the median seed: the classifier's Frechet distance, and ImageNet's kernel distance behind it."""
    budgets = sorted({row["budget"] for row in measured})
    text = [
        "| system | " + " | ".join(f"{budget} s" for budget in budgets) + " |",
        "|---" * (len(budgets) + 1) + "|",
    ]
    for name in dict.fromkeys(row["line"] for row in measured):
        cells = []
        for budget in budgets:
            found = [row for row in measured if (row["line"], row["budget"]) == (name, budget)]
            middle = sorted(found, key=lambda row: row["fd"])[len(found) // 2] if found else None
            cells.append(f"{middle['fd']:.2f} / {middle['kid_efficientnet']:.3f}" if middle else "-")
        text.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(text)


if __name__ == "__main__":
    tyro.cli(main)

"""How many modes a generator reaches, and how evenly: 25 Gaussians, and the 1,000 of stacked images.

    python -m benchmarks.modes                         # 25 Gaussians, ten seeds; goes on where it was
    python -m benchmarks.modes --sets stacked          # the thousand; a run that is cut short goes on, too
    python -m benchmarks.modes --table                 # prints what has been measured

A mode of the 25 is reached if a sample is within 3 standard deviations of its centre. A mode of the
thousand is three kinds of images, one in each colour channel; it is reached if the classifier that `wgan
classifier` trains labels a sample's channels so. Reverse KL: of the modes of all samples, each at its
nearest, against those of as many of the data. Each run is a line of benchmarks/modes.jsonl.

The 25 are the default's. For the thousand it learns from 64 at a time, not 16, in wider networks and at half
the rate: with small batches it reaches all modes sooner but not so evenly.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from torch import Tensor

from wgan.data import MNIST, Dataset, Split, find_idx_files, load
from wgan.metrics import (
    Classifier,
    Modes,
    count_modes,
    high_quality_share,
    label_divergence,
    train_classifier,
)
from wgan.networks import DCGAN
from wgan.sampling import Sampler
from wgan.training import Adam, Trainer, TrainingSettings, recipe

RESULTS = Path(__file__).with_suffix(".jsonl")
RUNS = Path("runs/modes")
GRID_SAMPLES = 10_000
STACKED_SAMPLES = 26_000
"""As Lin et al. 2018 (PacGAN) count the thousand."""
STACKS = 60_000
KINDS, CHANNELS = 10, 3

Row = dict[str, Any]


@dataclass(frozen=True)
class Count:
    """Train and count modes."""

    sets: tuple[str, ...] = ("grid25",)
    """grid25, stacked."""
    seeds: tuple[int, ...] = tuple(range(10))
    """Of the runs; of the thousand only the first."""
    steps: int | None = None
    """Generator steps; None: the recipe's."""
    table: bool = False
    """Only print what was measured."""
    results: Path = RESULTS
    """Where the rows are kept."""
    runs: Path = RUNS
    """Where the long runs and the classifier stay."""


def main() -> None:
    """Run what is missing and print the table."""
    command = tyro.cli(Count, config=(tyro.conf.OmitArgPrefixes,))
    torch.set_num_threads(1)
    if not command.table:
        measure(command)
    for line in lines(read(command.results)):
        print(line)


def measure(command: Count) -> None:
    """Run the cases of which there is no row."""
    there = {(row["set"], row["seed"], row["steps"]) for row in read(command.results)}
    terminal = Console(stderr=True, highlight=False)
    for name, seed in product(command.sets, command.seeds):
        if name == "stacked" and seed != command.seeds[0]:
            continue
        dataset = SOURCES[name]()
        made = SETTINGS[name](recipe("default", dataset.shape))
        made = replace(made, steps=command.steps or made.steps)
        if (name, seed, made.steps) in there:
            continue
        row = {"set": name, "source": dataset.name, "seed": seed, "steps": made.steps}
        row |= COUNTS[name](dataset, made, seed, command.runs)
        with command.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        terminal.print(row)


def read(path: Path) -> list[Row]:
    """What has been measured."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def count_grid(dataset: Dataset, made: TrainingSettings, seed: int, runs: Path) -> Row:
    """One run on the 25 Gaussians."""
    start = time.process_time()
    fake = train(dataset, made, seed, runs, GRID_SAMPLES)
    assert dataset.distribution is not None
    assert dataset.distribution.modes is not None
    distribution = Modes(dataset.distribution.modes, dataset.distribution.std)
    real = dataset.distribution.sample(GRID_SAMPLES, torch.Generator().manual_seed(seed))
    nearest, good = distribution.nearest(fake)
    return {
        "modes": int(count_modes(nearest[good]).value),
        "of": len(distribution.centres),
        "reverse_kl": round(label_divergence(nearest, distribution.nearest(real)[0]).value, 4),
        "high_quality": round(high_quality_share(fake, distribution).value, 3),
        "cpu_s": round(time.process_time() - start, 1),
    }


def count_stacked(dataset: Dataset, made: TrainingSettings, seed: int, runs: Path) -> Row:
    """One run on the stacks; a run in the folder goes on."""
    start = time.process_time()
    judge = judge_of(dataset.name.removeprefix("stacked "), runs)
    fake = label(judge, train(dataset, made, seed, runs, STACKED_SAMPLES))
    real = label(judge, dataset.train.batch(torch.arange(STACKED_SAMPLES)))
    return {
        "modes": int(count_modes(fake).value),
        "of": KINDS**CHANNELS,
        "reverse_kl": round(label_divergence(fake, real).value, 4),
        "accuracy": round(judge.accuracy, 4),
        "cpu_s": round(time.process_time() - start, 1),
    }


def train(dataset: Dataset, made: TrainingSettings, seed: int, runs: Path, count: int) -> Tensor:
    """So many samples of a trained generator."""
    folder = runs / f"{dataset.name}-{seed}-{made.steps}".replace(" ", "-")
    Trainer(dataset, settings=made, seed=seed, device="cpu").fit(folder, made.steps)
    return Sampler.load(folder, device="cpu")(count, seed=seed)


def stacked() -> Dataset:
    """Three images of MNIST, where it can be had, else of Fashion-MNIST, as the channels of each sample."""
    name = "mnist" if find_idx_files(MNIST) is not None else "fashion-mnist"
    split = load(name).train
    rows = split.rows[torch.from_numpy(np.random.RandomState(0).randint(len(split), size=(STACKS, CHANNELS)))]
    images = split.storage[rows.flatten()]
    return load(images.reshape(STACKS, CHANNELS, *images.shape[2:]), name=f"stacked {name}")


def judge_of(name: str, runs: Path) -> Classifier:
    """The classifier of single images, trained once and kept."""
    path = runs / f"{name}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = load(name)
        train_classifier(*labelled(dataset.train), held_out=labelled(dataset.held_out)).save(path)
    return Classifier.load(path, device="cpu")


def labelled(split: Split) -> tuple[Tensor, Tensor]:
    """Images as they are stored, with their labels."""
    assert split.labels is not None
    return split.storage[split.rows], split.labels[split.rows]


def label(judge: Classifier, stacks: Tensor) -> Tensor:
    """Which of the thousand each stack (N, 3, H, W) is."""
    kinds = judge(stacks.flatten(0, 1).unsqueeze(1)).reshape(-1, CHANNELS)
    return kinds @ torch.tensor([KINDS**2, KINDS, 1])


def many_modes(default: TrainingSettings) -> TrainingSettings:
    """The default for images, made to cover many modes evenly."""
    assert isinstance(default.networks, DCGAN)
    slower = Adam(2e-3, (0.0, 0.99))
    return replace(
        default,
        networks=replace(default.networks, generator_width=24, critic_width=24),
        generator_optimiser=slower,
        critic_optimiser=slower,
        batch_size=64,
        steps=10_000,
    )


SETTINGS: dict[str, Callable[[TrainingSettings], TrainingSettings]] = {
    "grid25": lambda default: default,
    "stacked": many_modes,
}
SOURCES: dict[str, Callable[[], Dataset]] = {"grid25": lambda: load("grid25"), "stacked": stacked}
COUNTS: dict[str, Callable[[Dataset, TrainingSettings, int, Path], Row]] = {
    "grid25": count_grid,
    "stacked": count_stacked,
}


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table."""
    yield "| source | seed | steps | modes | reverse KL | within 3 std | cpu s |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        quality = f"{100 * row['high_quality']:.1f} %" if "high_quality" in row else ""
        yield (
            f"| {row['source']} | {row['seed']} | {row['steps']:,} | {row['modes']} of {row['of']} "
            f"| {row['reverse_kl']:.4f} | {quality} | {row['cpu_s']:.0f} |"
        )


if __name__ == "__main__":
    main()

"""Which random architectures train, by method: after table 2 of Gulrajani et al. 2017.

    python -m benchmarks.stability                     # 100 architectures, every method; goes on where it was
    python -m benchmarks.stability --table             # prints what has been measured

An architecture is drawn from a set like that of the paper's table 1, for generator and critic apart:
activation, number of hidden layers, width, norm or none (in the critic the norm of the layer where the
constraint forbids that of the batch). Every run has 4,000 updates, those of the critic and of the generator
together, by Adam with a rate that decays; all networks start from the default recipe's initialisation.
*default* has the default recipe's loss, constraint, critic steps and rates, taken from the recipe itself; the
others have 1e-3 for both networks. Architectures are numbered from 200: some of the first two hundred, and
of those from 1000 on, were looked at while the default's settings were chosen.

*Trains* does not depend on the method: the Frechet distance of the raw 64 pixels, 1,797 samples of the
averaged generator against all 1,797 digits, is below that of samples whose pixels are drawn independently,
each from its own distribution in the data. Each run is a line of benchmarks/stability.jsonl.
"""

import json
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import product
from math import inf
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro
from rich.console import Console
from torch import Tensor

from wgan.data import Dataset, load
from wgan.lipschitz import Constraint, GradientPenalty, WeightClipping
from wgan.metrics import frechet_distance
from wgan.networks import MLPCritic, MLPGenerator
from wgan.training import Adam, Trainer, recipe
from wgan.training.optimisers import Optimiser

RESULTS = Path(__file__).with_suffix(".jsonl")
UPDATES = 4000
"""Of critic and generator together, in every run."""
FIRST = 200
"""Number of the first architecture that was not looked at before."""
ACTIVATIONS = ("relu", "leaky-relu", "softplus", "tanh")
DEPTHS = (4, 8, 12, 20)
WIDTHS = (32, 64, 128)
IMAGES = 1797
DEFAULT = recipe("default", (1, 8, 8))
USUAL = Adam(1e-3, (0.0, 0.9))

Row = dict[str, Any]


@dataclass(frozen=True)
class Stack:
    """The hidden layers of a network."""

    activation: str
    depth: int
    width: int
    norm: bool


@dataclass(frozen=True)
class Method:
    """What is compared.

    Attributes:
        loss: Its name.
        constraint: On the critic.
        n_critic: Critic steps a generator step.
        critic_norm: Of critics with one: batch normalisation where the constraint lets samples mix.
        generator_optimiser: Its settings.
        critic_optimiser: Its settings.
    """

    loss: str
    constraint: Constraint | None
    n_critic: int
    critic_norm: str
    generator_optimiser: Optimiser = USUAL
    critic_optimiser: Optimiser = USUAL


METHODS = {
    "classic GAN": Method("non-saturating", None, 1, "batch"),
    "clipping": Method("wasserstein", WeightClipping(0.01), 5, "batch"),
    "GP": Method("wasserstein", GradientPenalty(10.0), 5, "layer"),
    "default": Method(
        DEFAULT.loss,
        DEFAULT.constraint,
        DEFAULT.n_critic,
        "layer",
        DEFAULT.generator_optimiser,
        DEFAULT.critic_optimiser,
    ),
}


@dataclass(frozen=True)
class Stability:
    """Train random architectures."""

    count: int = 100
    """Architectures."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Which."""
    jobs: int = 2
    """Runs at a time, each on one thread."""
    table: bool = False
    """Only print what was measured."""
    results: Path = RESULTS
    """Where the rows are kept."""


def main() -> None:
    """Run what is missing and print the table."""
    command = tyro.cli(Stability, config=(tyro.conf.OmitArgPrefixes,))
    if not command.table:
        measure(command)
    for line in lines(read(command.results)):
        print(line)


def measure(command: Stability) -> None:
    """Run the cases of which there is no row."""
    there = {(row["number"], row["method"]) for row in read(command.results)}
    left = [
        case for case in product(range(FIRST, FIRST + command.count), command.methods) if case not in there
    ]
    terminal = Console(stderr=True, highlight=False)
    with ProcessPoolExecutor(command.jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(train, *case) for case in left]
        for done, future in enumerate(as_completed(waiting), 1):
            row = future.result()
            with command.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            terminal.print(f"{done}/{len(left)}", row["number"], row["method"], row["distance"], sep="  ")


def read(path: Path) -> list[Row]:
    """What has been measured."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def draw(number: int) -> tuple[Stack, Stack]:
    """The hidden layers of generator and critic number so and so."""
    rng = random.Random(number)

    def stack() -> Stack:
        return Stack(rng.choice(ACTIVATIONS), rng.choice(DEPTHS), rng.choice(WIDTHS), rng.random() < 0.5)

    return stack(), stack()


def train(number: int, name: str) -> Row:
    """One run: how far its samples are from the data in the end, None if they are no numbers."""
    torch.set_num_threads(1)
    method, dataset, start = METHODS[name], load("digits"), time.process_time()
    generator, critic = draw(number)
    trainer = prepare(method, dataset, generator, critic, number)
    state, steps = trainer.state(), UPDATES // (method.n_critic + 1)
    for _ in range(steps):
        trainer.advance(state, steps)
    return {
        "number": number,
        "method": name,
        "generator": asdict(generator),
        "critic": asdict(critic),
        "distance": distance_of(samples(state.average), everything(dataset)),
        "cpu_s": round(time.process_time() - start, 2),
    }


def prepare(method: Method, dataset: Dataset, generator: Stack, critic: Stack, seed: int) -> Trainer:
    """The trainer of the drawn networks."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        maker = MLPGenerator(
            dataset.shape,
            latent_dim=DEFAULT.networks.latent_dim,
            **layers(generator, "batch"),
            init=DEFAULT.networks.init,
        )
        judge = MLPCritic(dataset.shape, **layers(critic, method.critic_norm), init=DEFAULT.networks.init)
    return Trainer(
        generator=maker,
        critic=judge,
        data=dataset,
        loss=method.loss,
        constraint=method.constraint,
        n_critic=method.n_critic,
        generator_optimiser=method.generator_optimiser,
        critic_optimiser=method.critic_optimiser,
        decay=DEFAULT.decay,
        ema=DEFAULT.ema,
        seed=seed,
        device="cpu",
    )


def layers(stack: Stack, norm: str) -> dict[str, Any]:
    """The arguments of a network with these hidden layers."""
    return {
        "hidden": (stack.width,) * stack.depth,
        "activation": stack.activation,
        "norm": norm if stack.norm else "none",
    }


def everything(dataset: Dataset) -> Tensor:
    """All images, training and held out, (N, 64)."""
    splits = (dataset.train, dataset.held_out)
    return torch.cat([split.batch(torch.arange(len(split))) for split in splits]).flatten(1)


@torch.no_grad()
def samples(generator: torch.nn.Module) -> Tensor:
    """As many samples as there are images, (N, 64)."""
    latents = torch.randn(IMAGES, DEFAULT.networks.latent_dim, generator=torch.Generator().manual_seed(0))
    made: Tensor = generator.eval()(latents).flatten(1)
    return made


def distance_of(fake: Tensor, real: Tensor) -> float | None:
    """The Frechet distance, or None where there is none."""
    if not fake.isfinite().all():
        return None
    return round(frechet_distance(real, fake).value, 3)


def independent(real: Tensor) -> Tensor:
    """Samples whose pixels are the data's, each drawn for itself."""
    rng = torch.Generator().manual_seed(0)
    return torch.stack([column[torch.randperm(len(real), generator=rng)] for column in real.T], 1)


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The share that trains, by method and by what is in the networks."""
    real = everything(load("digits"))
    bar = distance_of(independent(real), real)
    assert bar is not None
    yield f"Pixels drawn independently: {bar:.2f}."
    yield ""
    yield "| method | trains | below half of that | median distance | median cpu s |"
    yield "|---|---|---|---|---|"
    for name in METHODS:
        if some := [row for row in rows if row["method"] == name]:
            middle = median(inf if row["distance"] is None else row["distance"] for row in some)
            seconds = median(row["cpu_s"] for row in some)
            shares = " | ".join(share(some, level) for level in (bar, bar / 2))
            yield f"| {name} | {shares} | {middle:.2f} | {seconds:.1f} |"
    yield ""
    yield from by_part(rows, bar)


def by_part(rows: Sequence[Row], bar: float) -> Iterator[str]:
    """The share that trains among architectures with one thing in common."""
    names = [name for name in METHODS if any(row["method"] == name for row in rows)]
    yield f"| architectures with | {' | '.join(names)} |"
    yield "|---|" + "---|" * len(names)
    parts = {"activation": ACTIVATIONS, "depth": DEPTHS, "width": WIDTHS, "norm": (True, False)}
    for network, (part, values) in product(("generator", "critic"), parts.items()):
        for value in values:
            some = [row for row in rows if row[network][part] == value]
            cells = [share([row for row in some if row["method"] == name], bar) for name in names]
            yield f"| {network} {part} {str(value).lower()} | {' | '.join(cells)} |"


def share(rows: Sequence[Row], level: float) -> str:
    """How many of these are below the level."""
    return f"{sum(row['distance'] is not None and row['distance'] < level for row in rows)} of {len(rows)}"


if __name__ == "__main__":
    main()

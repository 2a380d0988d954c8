"""What `--heal` is worth: runs broken on purpose, left alone and treated, against the healthy run.

    python -m benchmarks.heal                          # everything; goes on where it was
    python -m benchmarks.heal --table                  # prints what has been measured

The faults are those of the ward that settings can mend. Some are settings: they stay until a remedy changes
them. The others are accidents: they strike once, late in the run, and the treated run does not meet them
again. All runs of a source and a seed have the same length; the treated one takes whatever it takes until it
has as many steps. *Quality* is no number of the run's own but the distance of 2,000 samples of its last
checkpoint from real ones: the exact W1 from held-out points, the Frechet distance of pixels from images of
both splits. Each run is a line of benchmarks/heal.jsonl.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro
from rich.console import Console

from benchmarks.fault_injection import LATE, POINTS, SOURCES, Row, Strike, read
from wgan.data import Dataset, Split, even_indices, load
from wgan.errors import DivergenceError
from wgan.lipschitz import R1, GradientPenalty, WeightClipping
from wgan.metrics import frechet_distance
from wgan.networks import DCGAN, MLP
from wgan.recovery import Intervention, heal
from wgan.runs import RunFolder, saved_steps
from wgan.sampling import Sampler
from wgan.training import LoggingIntervals, RMSprop, Trainer, TrainingSettings, recipe
from wgan.wasserstein.exact import wasserstein1

STEPS = 2000
"""Of a run: enough for a healthy one to get somewhere."""
RESULTS = Path(__file__).with_suffix(".jsonl")
JUDGED = 2_000
"""Samples that a run is judged by, and held-out ones at most."""
WITHIN = 1.25
"""Times the healthy run's distance, up to which a treated run counts as healed."""
AIM = 0.8
"""Share of the broken runs that shall be healed."""


@dataclass(frozen=True)
class Fault:
    """What is wrong: settings, or an accident at a log point."""

    settings: Callable[[TrainingSettings], TrainingSettings] = lambda settings: settings
    accident: Callable[[Trainer], None] | None = None


def _rates(critic: float, generator: float) -> Callable[[Any], Any]:
    """Both learning rates, so many times what they are."""

    def change(settings: Any) -> dict[str, Any]:  # noqa: ANN401
        factors = {"critic_optimiser": critic, "generator_optimiser": generator}
        given = {name: getattr(settings, name) for name in factors}
        return {name: replace(some, lr=some.lr * factors[name]) for name, some in given.items()}

    return change


def _slow(critic: float, generator: float) -> Callable[[TrainingSettings], TrainingSettings]:
    return lambda settings: replace(settings, **_rates(critic, generator)(settings))


def _suddenly(critic: float, generator: float) -> Callable[[Trainer], None]:
    def strike(trainer: Trainer) -> None:
        trainer.settings = _slow(critic, generator)(trainer.settings)  # read anew in each step

    return strike


def _clipped(c: float) -> Callable[[TrainingSettings], TrainingSettings]:
    def change(settings: TrainingSettings) -> TrainingSettings:
        slow = RMSprop(5e-4)
        return replace(
            settings,
            constraint=WeightClipping(c),
            n_critic=5,
            generator_optimiser=slow,
            critic_optimiser=slow,
        )

    return change


def _saturating(settings: TrainingSettings) -> TrainingSettings:
    return replace(_slow(1, 0.05)(settings), loss="minimax", constraint=R1(1e-6), n_critic=10)


def _few_latents(choices: int) -> Callable[[Trainer], None]:
    def strike(trainer: Trainer) -> None:
        few = torch.randn(choices, trainer.latent_dim, generator=torch.Generator().manual_seed(5))

        def chosen(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ANN401
            latents, *rest = given
            return few[(latents[:, 0].abs() * 1000).long() % choices], *rest

        trainer.generator.register_forward_pre_hook(chosen)

    return strike


def _dying(network: str) -> Callable[[Trainer], None]:
    @torch.no_grad()
    def strike(trainer: Trainer) -> None:
        kinds = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.BatchNorm1d)
        layers = [part for part in getattr(trainer, network).modules() if isinstance(part, kinds)]
        for layer in layers[:-1]:
            layer.weight.mul_(0.01)
            if layer.bias is not None:
                layer.bias.fill_(-50.0)

    return strike


@torch.no_grad()
def _not_a_number(trainer: Trainer) -> None:
    next(iter(trainer.critic.parameters())).flatten()[0] = float("nan")


def _rectified(settings: TrainingSettings) -> TrainingSettings:
    networks = settings.networks
    if isinstance(networks, MLP):
        return replace(settings, networks=replace(networks, activation="relu"))
    assert isinstance(networks, DCGAN)
    both = replace(networks, generator_activation="relu")
    return replace(settings, networks=both)


FAULTS: dict[str, Fault] = {
    "rate too high": Fault(_slow(500, 500)),
    "rate too low": Fault(_slow(1e-5, 1e-5)),
    "critic too slow": Fault(_slow(1e-4, 1)),
    "clipped at 1e-4": Fault(_clipped(1e-4)),
    "clipped at 3": Fault(_clipped(3.0)),
    "no penalty": Fault(lambda settings: replace(settings, constraint=GradientPenalty(1e-7))),
    "saturating loss": Fault(_saturating),
    "rate too high, late": Fault(accident=_suddenly(500, 500)),
    "critic stops": Fault(accident=_suddenly(1e-9, 3)),
    "one latent": Fault(accident=_few_latents(1)),
    "three latents": Fault(accident=_few_latents(3)),
    "critic dies": Fault(_rectified, _dying("critic")),
    "generator dies": Fault(_rectified, _dying("generator")),
    "not a number": Fault(accident=_not_a_number),
}


@dataclass(frozen=True)
class Heal:
    """Break runs, treat them, and compare."""

    seeds: tuple[int, ...] = (0, 1)
    """Of the runs."""
    sources: tuple[str, ...] = SOURCES
    """Of the data."""
    faults: tuple[str, ...] = ("healthy", *FAULTS)
    """Which."""
    jobs: int = 2
    """Runs at a time, each on one thread."""
    table: bool = False
    """Only print what was measured."""
    results: Path = RESULTS
    """Where the rows are kept."""


def main() -> None:
    """Run what is missing and print the tables."""
    command = tyro.cli(Heal, config=(tyro.conf.OmitArgPrefixes,))
    if not command.table:
        measure(command)
    for line in lines(read(command.results)):
        print(line)


def measure(command: Heal) -> None:
    """Run the cases of which there is no row."""
    there = {(row["fault"], row["source"], row["seed"], row["heal"]) for row in read(command.results)}
    # What the aim asks for first: the healthy runs and the treated ones.
    wanted = sorted(
        product(command.faults, command.sources, command.seeds, (False, True)),
        key=lambda case: case[0] != "healthy" and not case[3],
    )
    left = [case for case in wanted if case not in there]
    terminal = Console(stderr=True, highlight=False)
    with ProcessPoolExecutor(command.jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(case_of, *case) for case in left]
        for done, future in enumerate(as_completed(waiting), 1):
            row = future.result()
            with command.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            words = [str(row[name]) for name in ("fault", "source", "seed", "heal", "quality", "treated")]
            terminal.print(f"{done}/{len(left)}", *words, sep="  ")


def case_of(name: str, dataset: str, seed: int, treated: bool) -> Row:
    """One run, and how good its samples are."""
    torch.set_num_threads(1)
    data, start = load(dataset), time.perf_counter()
    with TemporaryDirectory() as passing:
        folder = Path(passing) / "run"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = train(name, data, seed, folder, treated=treated)
            judged = quality(folder, data)
        mark = fingerprint(folder)
    return {
        "fault": name,
        "source": dataset,
        "seed": seed,
        "heal": treated,
        "quality": judged,
        "treated": [[one.step, one.finding.name, one.start, dict(one.finding.remedy)] for one in done],
        "fingerprint": mark,
        "steps": STEPS,
        "seconds": round(time.perf_counter() - start, 1),
    }


def train(name: str, data: Dataset, seed: int, folder: Path, *, treated: bool) -> Sequence[Intervention]:
    """Train a run into a folder, broken by the fault of that name, and treat it or not."""
    fault = FAULTS.get(name, Fault())
    every = STEPS // POINTS
    # Checkpoints as far apart as the recipes have them: ten log points, and the last two stay.
    logging = LoggingIntervals(metrics=every, images=STEPS, checkpoint=10 * every)
    settings = fault.settings(replace(recipe("default", data.shape), logging=logging))

    def build(now: TrainingSettings, done: Sequence[Intervention] = ()) -> Trainer:
        trainer = Trainer(data, settings=now, seed=seed, device="cpu")
        if fault.accident and not done:
            trainer.monitors = [Strike(partial(fault.accident, trainer), round(LATE * POINTS) * every)]
        return trainer

    with suppress(DivergenceError):
        if treated:
            return heal(settings, build, steps=STEPS, run_dir=folder)
        build(settings).fit(folder, STEPS)
    return ()


@torch.no_grad()
def quality(folder: Path, data: Dataset) -> float:
    """How far the samples of a run are from held-out ones."""
    return distance(Sampler.load(folder, device="cpu")(JUDGED, seed=1), data)


def distance(samples: torch.Tensor, data: Dataset) -> float:
    """Of samples from real ones: W1 of points, Frechet of pixels; infinite where not finite."""
    if not torch.isfinite(samples).all():
        return float("inf")
    if not data.image:
        return float(wasserstein1(some(data.held_out), samples))
    # The 179 held-out digits have no covariance to speak of, all digits do.
    real = torch.cat([some(data.train), some(data.held_out)])
    return frechet_distance(real.flatten(1), samples.flatten(1)).value


def some(split: Split) -> torch.Tensor:
    """At most as many of its samples, evenly spread."""
    return split.batch(even_indices(len(split), JUDGED))


def fingerprint(folder: Path) -> str:
    """Of all that a run logged and of its last weights and moments."""
    run = RunFolder(folder)
    last = run.checkpoints / f"{saved_steps(run.checkpoints)[-1]:08d}" / "checkpoint.json"
    return sha256((folder / "metrics.jsonl").read_bytes() + last.read_bytes()).hexdigest()[:16]


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table, and what it says about the aims."""
    found = {(row["fault"], row["source"], row["seed"], row["heal"]): row for row in rows}
    yield "| fault | source | seed | healthy | broken | treated | times healthy | treated for |"
    yield "|---|---|---|---|---|---|---|---|"
    ratios = []
    for (name, dataset, seed, treated), row in found.items():
        healthy, broken = (found.get((which, dataset, seed, False)) for which in ("healthy", name))
        if name == "healthy" or not treated or healthy is None:
            continue
        ratios.append(row["quality"] / healthy["quality"])
        numbers = " | ".join(f"{one['quality']:.3g}" if one else "-" for one in (healthy, broken, row))
        why = ", ".join(done[1] for done in row["treated"]) or "nothing"
        yield f"| {name} | {dataset} | {seed} | {numbers} | {ratios[-1]:.2f} | {why} |"
    yield ""
    if ratios:
        share = 100 * sum(ratio <= WITHIN for ratio in ratios) / len(ratios)
        yield (
            f"- Within {WITHIN} times the healthy run's distance: {share:.0f} % of {len(ratios)} "
            f"(aim: {100 * AIM:.0f} %); the median is {median(ratios):.2f} times"
        )
    pairs = [
        (found.get(("healthy", *key, False)), found.get(("healthy", *key, True))) for key in _runs(found)
    ]
    both = [(one, other) for one, other in pairs if one and other]
    if both:
        same = sum(one["fingerprint"] == other["fingerprint"] for one, other in both)
        yield f"- Healthy runs that are the same to the last bit with `--heal`: {same} of {len(both)}"


def _runs(found: Mapping[tuple[str, str, int, bool], Row]) -> Iterable[tuple[str, int]]:
    return dict.fromkeys((dataset, seed) for _, dataset, seed, _ in found)


if __name__ == "__main__":
    main()

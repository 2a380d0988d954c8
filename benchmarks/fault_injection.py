"""The ward: runs broken on purpose, and healthy ones, and what the diagnosis makes of them.

    python -m benchmarks.fault_injection                          # everything; goes on where it was
    python -m benchmarks.fault_injection --table                  # prints what has been measured

A fault strikes at its onset. The diagnosis reads the history as it was up to a fifth of the run after that,
at each log point anew, as a person would who looks from time to time. *Right*: the first one it names is the
fault's. A healthy run is right if at no log point anything but a note is found. Each run is a line of
benchmarks/fault_injection.jsonl.
"""

import json
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import tyro
from PIL.Image import Image
from rich.console import Console
from torch import Tensor, nn

from wgan.data import Dataset, load
from wgan.diagnosis import Finding, History, diagnose
from wgan.errors import DivergenceError
from wgan.lipschitz import R1, GradientPenalty, WeightClipping
from wgan.monitors import Monitor
from wgan.training import LoggingIntervals, RMSprop, Trainer, recipe
from wgan.training.settings import changed

RESULTS = Path(__file__).with_suffix(".jsonl")
SOURCES = ("ring8", "digits", "fashion-mnist")
STEPS = 1000
"""Of a run."""
POINTS = 40
"""Log points of a run."""
LATE = 0.4
"""When faults strike that a healthy run catches, as a share of the run."""
SET_ON = 0
"""The seed whose runs the thresholds were set on."""
WITHIN = 0.2
"""After its onset a fault has to be named within this share of the run."""

Row = dict[str, Any]


@dataclass
class Case:
    """A run about to be broken."""

    trainer: Trainer
    scale: float = 1.0
    """Of the latents; see Steered."""
    choices: int | None = None
    """Of latents; see Steered."""


@dataclass(frozen=True)
class Fault:
    """A way to break a run.

    Attributes:
        names: Of findings, any of which is right.
        strike: What breaks it.
        onset: When it strikes, as a share of the run; 0: before the first step.
        prepare: What has to be other before the first step for the fault to be possible.
    """

    names: tuple[str, ...]
    strike: Callable[[Case], None]
    onset: float = LATE
    prepare: Callable[[Case], None] = lambda case: None


class Steered(nn.Module):
    """A generator whose latents can be taken away from it while it trains."""

    def __init__(self, generator: nn.Module, case: Case) -> None:
        super().__init__()
        self.inner = generator
        self.case = [case]
        self.latent_dim = generator.latent_dim

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, d) to samples."""
        case = self.case[0]
        if case.choices is not None:
            few = torch.randn(case.choices, latents.shape[1], generator=torch.Generator().manual_seed(5))
            latents = few[(latents[:, 0].abs() * 1000).long() % case.choices]
        made: Tensor = self.inner(case.scale * latents)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> "Steered":
        twin = Steered.__new__(Steered)
        nn.Module.__init__(twin)
        twin.inner, twin.case, twin.latent_dim = deepcopy(self.inner, memo), self.case, self.latent_dim
        return twin


@dataclass
class Strike(Monitor):
    """Strikes at a log point."""

    act: Callable[[], None]
    step: int
    synchronous = True

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Nothing."""

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Strike, if it is time."""
        if step == self.step:
            self.act()

    def images(self, step: int, image: Image) -> None:
        """Nothing."""

    def finish(self, outcome: str) -> None:
        """Nothing."""


def _rates(critic: float, generator: float) -> Callable[[Case], None]:
    def strike(case: Case) -> None:
        settings = case.trainer.settings  # read anew in each step
        case.trainer.settings = changed(
            settings,
            critic_optimiser=_scaled(settings.critic_optimiser, critic),
            generator_optimiser=_scaled(settings.generator_optimiser, generator),
        )

    return strike


def _scaled(optimiser: Any, factor: float) -> Any:  # noqa: ANN401
    return replace(optimiser, lr=optimiser.lr * factor)


def _set(**changes: Any) -> Callable[[Case], None]:  # noqa: ANN401
    def strike(case: Case) -> None:
        case.trainer = _rebuilt(case.trainer, **changes)

    return strike


def _rebuilt(
    trainer: Trainer,
    *,
    data: Dataset | None = None,
    generator: nn.Module | None = None,
    critic: nn.Module | None = None,
    **changes: Any,  # noqa: ANN401
) -> Trainer:
    return Trainer(
        data or trainer.dataset,
        settings=trainer.settings,
        generator=generator or trainer.generator,
        critic=critic or trainer.critic,
        **changes,
    )


def _on_case(**changes: Any) -> Callable[[Case], None]:  # noqa: ANN401
    def strike(case: Case) -> None:
        for name, value in changes.items():
            setattr(case, name, value)

    return strike


def _steered(case: Case) -> None:
    case.trainer = _rebuilt(case.trainer, generator=Steered(case.trainer.generator, case))


def _deep_critic(activation: type[nn.Module], layers: int, gain: float) -> Callable[[Case], None]:
    def strike(case: Case) -> None:
        size = torch.Size(case.trainer.dataset.shape).numel()
        widths = [size, *[64] * layers]
        parts: list[nn.Module] = [nn.Flatten()]
        with torch.random.fork_rng():
            torch.manual_seed(case.trainer.settings.seed)
            for width, following in pairwise(widths):
                parts += [nn.Linear(width, following), activation()]
                nn.init.normal_(parts[-2].weight, std=gain / width**0.5)  # type: ignore[arg-type]
            critic = nn.Sequential(*parts, nn.Linear(64, 1))
        case.trainer = _rebuilt(case.trainer, critic=critic)

    return strike


def _kill(network: str) -> Callable[[Case], None]:
    @torch.no_grad()
    def strike(case: Case) -> None:
        # Norms too: what comes before them they would bring to life again.
        kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d)
        layers = [part for part in getattr(case.trainer, network).modules() if isinstance(part, kinds)]
        for layer in layers[:-1]:
            layer.weight.mul_(0.01)
            if layer.bias is not None:
                layer.bias.fill_(-50.0)

    return strike


@torch.no_grad()
def _not_a_number(case: Case) -> None:
    next(iter(case.trainer.critic.parameters())).flatten()[0] = float("nan")


def _relu_critic(case: Case) -> None:
    size = torch.Size(case.trainer.dataset.shape).numel()
    with torch.random.fork_rng():
        torch.manual_seed(case.trainer.settings.seed)
        critic = nn.Sequential(
            nn.Flatten(), nn.Linear(size, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1)
        )
    case.trainer = _rebuilt(case.trainer, critic=critic)


def _data(change: Callable[[Dataset], Dataset]) -> Callable[[Case], None]:
    def strike(case: Case) -> None:
        case.trainer = _rebuilt(case.trainer, data=change(case.trainer.dataset))

    return strike


def _few(dataset: Dataset) -> Dataset:
    return replace(dataset, train=replace(dataset.train, rows=dataset.train.rows[:24]))


def _copies(dataset: Dataset) -> Dataset:
    rows = dataset.train.rows[:50].repeat(20)
    return replace(dataset, train=replace(dataset.train, rows=rows))


def _constant(dataset: Dataset) -> Dataset:
    storage = dataset.train.storage.clone()
    storage[dataset.train.rows[::3]] = 0
    return replace(dataset, train=replace(dataset.train, storage=storage))


def _clip(c: float) -> Callable[[Case], None]:
    def strike(case: Case) -> None:
        slow = RMSprop(5e-4)
        _set(generator_optimiser=slow, critic_optimiser=slow, n_critic=5, constraint=WeightClipping(c))(case)

    return strike


def _classic(case: Case) -> None:
    _rates(1, 0.05)(case)
    _set(loss="minimax", constraint=R1(1e-6), n_critic=10)(case)


FAULTS: dict[str, Fault] = {
    "rate too high, late": Fault(("learning-rate-too-high", "divergence"), _rates(500, 500)),
    "rate too high": Fault(("learning-rate-too-high", "divergence"), _rates(500, 500), 0.0),
    "rate too low": Fault(("learning-rate-too-low",), _rates(1e-5, 1e-5), 0.0),
    "critic too slow": Fault(("critic-starved",), _rates(1e-4, 1), 0.0),
    "critic stops": Fault(("critic-starved",), _rates(1e-9, 3)),
    "generator stops": Fault(("learning-rate-too-low",), _rates(1, 1e-8)),
    "generator too fast": Fault(("learning-rate-too-high", "dead-units", "mode-collapse"), _rates(1, 1000)),
    "clipped at 1e-4": Fault(("clipping-too-tight", "vanishing-gradients"), _clip(1e-4), 0.0),
    "clipped at 3": Fault(("clipping-too-loose",), _clip(3.0), 0.0),
    "no penalty": Fault(("lipschitz-violated",), _set(constraint=GradientPenalty(1e-7)), 0.0),
    "no constraint": Fault(("lipschitz-violated",), _set(constraint=None), 0.0),
    "one latent": Fault(("mode-collapse",), _on_case(scale=0.0), LATE, _steered),
    "three latents": Fault(("mode-collapse", "partial-collapse"), _on_case(choices=3), LATE, _steered),
    "sigmoid critic": Fault(("vanishing-gradients",), _deep_critic(nn.Sigmoid, 20, 1.0), 0.0),
    "growing critic": Fault(("exploding-gradients",), _deep_critic(nn.ReLU, 12, 8.0), 0.0),
    "critic dies": Fault(("dead-units",), _kill("critic"), LATE, _relu_critic),
    "generator dies": Fault(("dead-units", "mode-collapse", "partial-collapse"), _kill("generator")),
    "not a number": Fault(("divergence",), _not_a_number),
    "24 samples": Fault(("critic-overfits", "memorises", "data-trouble"), _data(_few), 0.0),
    "copies": Fault(("data-trouble",), _data(_copies), 0.0),
    "blank samples": Fault(("data-trouble",), _data(_constant), 0.0),
    "saturating loss": Fault(("critic-saturated", "vanishing-gradients"), _classic, 0.0),
}

HEALTHY = {
    "default": ("ring8", "digits", "fashion-mnist"),
    "toy-clip": ("ring8",),
    "toy-gp": ("ring8",),
    "toy-orthogonal": ("ring8",),
    "wgan-original": ("ring8", "digits"),
    "mlp-clip": ("digits", "fashion-mnist"),
    "dcgan-clip": ("digits",),
    "dcgan-adam": ("digits",),
    "dcgan-gp": ("digits",),
    "dcgan-orthogonal": ("digits",),
    "wgan-gp-resnet": ("digits",),
    "sngan": ("digits",),
    "sagan": ("digits",),
    "quality": ("digits",),
    "conditional-gp": ("digits",),
    "conditional-projection": ("digits",),
}


@dataclass(frozen=True)
class Ward:
    """Break runs and diagnose them."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the runs."""
    sources: tuple[str, ...] = SOURCES
    """Of the data."""
    faults: tuple[str, ...] = (*FAULTS, "healthy")
    """Which."""
    jobs: int = 2
    """Runs at a time, each on one thread."""
    table: bool = False
    """Only print what was measured."""
    results: Path = RESULTS
    """Where the rows are kept."""
    runs: Path | None = None
    """Where the run folders stay; those that are there are diagnosed anew and not trained. None: nowhere."""


def main() -> None:
    """Run what is missing and print the tables."""
    command = tyro.cli(Ward, config=(tyro.conf.OmitArgPrefixes,))
    if not command.table:
        measure(command)
    for line in lines(read(command.results)):
        print(line)


def measure(command: Ward) -> None:
    """Run the cases of which there is no row."""
    there = {(row["fault"], row["source"], row["recipe"], row["seed"]) for row in read(command.results)}
    left = [case for case in cases(command) if case not in there]
    terminal = Console(stderr=True, highlight=False)
    with ProcessPoolExecutor(command.jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(admit, *case, command.runs) for case in left]
        for done, future in enumerate(as_completed(waiting), 1):
            row = future.result()
            with command.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            words = [str(row[name]) for name in ("fault", "source", "recipe", "seed", "first")]
            terminal.print(f"{done}/{len(left)}", "right" if row["right"] else "WRONG", *words, sep="  ")


def cases(command: Ward) -> Iterator[tuple[str, str, str, int]]:
    """Fault, source, recipe and seed of every run."""
    for seed, fault in product(command.seeds, command.faults):
        if fault == "healthy":
            yield from (
                (fault, dataset, name, seed)
                for name, some in HEALTHY.items()
                for dataset in some
                if dataset in command.sources
            )
        else:
            yield from ((fault, dataset, "default", seed) for dataset in command.sources)


def read(path: Path) -> list[Row]:
    """What has been measured."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def admit(name: str, dataset: str, kind: str, seed: int, runs: Path | None = None) -> Row:
    """One run, and what the diagnosis makes of it."""
    torch.set_num_threads(1)
    fault = FAULTS.get(name)
    with tempfile.TemporaryDirectory() as passing:
        folder = (runs or Path(passing)) / f"{name}-{dataset}-{kind}-{seed}".replace(" ", "-")
        if not (folder / "trained").exists():
            shutil.rmtree(folder, ignore_errors=True)  # a run cut short would go on without its fault
            start = time.perf_counter()
            train(fault, load(dataset), kind, seed, folder)
            (folder / "trained").write_text(f"{time.perf_counter() - start:.1f}")
        seconds = float((folder / "trained").read_text())
        history = History.load(folder)
    onset = round(fault.onset * STEPS) if fault else 0
    found = first(history, onset, onset + round(WITHIN * STEPS)) if fault else first(history, 0, STEPS)
    named = found.name if found else None
    right = named in fault.names if fault else found is None
    return {
        "fault": name,
        "source": dataset,
        "recipe": kind,
        "seed": seed,
        "right": right,
        "first": named,
        "wanted": fault.names if fault else None,
        "since": found.since if found else None,
        "onset": onset,
        "steps": STEPS,
        "seconds": seconds,
    }


def train(fault: Fault | None, data: Dataset, kind: str, seed: int, folder: Path) -> None:
    """Train a run into a folder and break it, until what follows is not diagnosed any more."""
    made = recipe(kind, data.shape)
    every = STEPS // POINTS
    made = replace(made, logging=LoggingIntervals(metrics=every, images=STEPS, checkpoint=STEPS))
    case = Case(Trainer(data, settings=made, seed=seed, device="cpu"))
    if fault:
        fault.prepare(case)
        if fault.onset == 0:
            fault.strike(case)
        case.trainer.monitors = [
            Strike(partial(fault.strike, case), round(fault.onset * STEPS / every) * every)
        ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(DivergenceError):
            last = STEPS if fault is None else (fault.onset + WITHIN) * STEPS
            case.trainer.fit(folder, STEPS, stop=lambda run: run.history()[-1]["step"] >= last)


def first(history: History, start: int, end: int) -> Finding | None:
    """The first trouble that somebody who looks at every log point is told of."""
    for step in history.steps:
        if start <= step <= end:
            troubles = [f for f in diagnose(history.until(step)) if f.severity != "note"]
            if troubles:
                return troubles[0]
    return None


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The confusion matrix, and what it says about the aims."""
    yield "| fault | right | named instead |"
    yield "|---|---|---|"
    for name in dict.fromkeys(row["fault"] for row in rows):
        some = [row for row in rows if row["fault"] == name]
        wrong = Counter(row["first"] or "nothing" for row in some if not row["right"])
        yield (
            f"| {name} | {sum(row['right'] for row in some)} of {len(some)} "
            f"| {', '.join(f'{other} {count}' for other, count in wrong.most_common())} |"
        )
    yield ""
    broken = [row for row in rows if row["fault"] != "healthy"]
    healthy = [row for row in rows if row["fault"] == "healthy"]
    if broken:
        share = 100 * sum(row["right"] for row in broken) / len(broken)
        yield f"- Broken runs whose first finding is right: {share:.1f} % of {len(broken)} (aim: 95 %)"
        for seed in sorted({row["seed"] for row in broken}):
            some = [row for row in broken if row["seed"] == seed]
            origin = "thresholds were set on it" if seed == SET_ON else "unseen"
            yield f"  - seed {seed} ({origin}): {sum(row['right'] for row in some)} of {len(some)}"
        yield from (f"  - missed: {_case(row)}" for row in broken if not row["right"])
    if healthy:
        alarms = sum(not row["right"] for row in healthy)
        yield f"- Healthy runs with a false alarm: {alarms} of {len(healthy)} (aim: 0)"
        yield f"  - {', '.join(dict.fromkeys(_case(row) for row in healthy))}"


def _case(row: Row) -> str:
    name = row["recipe"] if row["fault"] == "healthy" else row["fault"]
    return f"{name} on {row['source']}, seed {row['seed']}"


if __name__ == "__main__":
    main()

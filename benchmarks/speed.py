"""How fast and how large training is, beside the textbook loop, peers, and the machine's own limits.

    python -m benchmarks.speed                             # ours and the textbook loop, floors, processes
    python -m benchmarks.speed --peers VENV/bin/python     # and peers, by peers/requirements.txt

Contenders are processes that stay; they take bursts of steps in turn, and a ratio is the median over turns,
so that whatever else the machine does strikes all alike. A floor is what a step's counted floating-point
operations take at the highest rate that any matrix product or convolution has, measured in the same turns.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.contenders import recipe_of, training
from wgan.data import Dataset, load
from wgan.training import Trainer, recipe

CORES = os.cpu_count() or 1
TURNS = 5
IMAGES = {"dcgan-28": 5 * 64, "dcgan-32": 5 * 64, "toy": 5 * 256}
"""Real samples that the critic sees in a step of a case."""
STEPS = {"dcgan-28": 1, "dcgan-32": 1, "toy": 15}
"""Steps in a burst; at least a second or so."""
OURS, TEXTBOOK, HALF = "ours", "textbook", "ours in bfloat16"
PEERS = {
    "Keras 3, JAX": ("keras_gp", {"KERAS_BACKEND": "jax"}, ("dcgan-32", "toy")),
    "Keras 3, torch": ("keras_gp", {"KERAS_BACKEND": "torch"}, ("dcgan-32", "toy")),
    "JAX by hand": ("jax_gp", {}, ("toy",)),
}
"""The module, its environment and the cases of each peer."""
GIVEN_UP = {
    "torchgan 0.1.0": "imports torchvision, of which there is no CPU build beside this torch",
    "vegans 0.4.0": "imports torchvision, likewise",
    "torch-mimicry 0.1.16": "imports torchvision, likewise",
}
AIMS = {"dcgan-28": 1.1, "dcgan-32": 1.1, "toy": 1.3}
PEAKS = {
    "product of 2048 x 2048": lambda: _product(2048),
    "convolution, 64 to 128 channels": lambda: _convolution(64, 128, 16),
    "convolution, 128 to 256 channels": lambda: _convolution(128, 256, 8),
}
FLOORS = (("fashion-mnist", "dcgan-gp", 1.15), ("fashion-mnist", "default", 1.6), ("digits", "default", 1.6))
FLOORS += (("ring8", "default", 1.6),)

console = Console(width=120)


# ------------------------------------------------------------------------------------------ contenders


@dataclass
class Contender:
    """A process that trains on demand.

    Attributes:
        name: What it is called in the table.
        process: Takes numbers of steps, answers with times.
        growth: Its memory's, in MiB, from before the networks were made.
    """

    name: str
    process: "subprocess.Popen[str]"
    growth: float = 0.0

    def burst(self, steps: int) -> float:
        """Seconds a step."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.process.wait()}.")
        told = json.loads(line)
        self.growth = told["growth"]
        return float(told["seconds"]) / steps


@contextmanager
def started(name: str, command: Sequence[str], extra: dict[str, str]) -> Iterator[Contender]:
    """A contender that is there for the block, with a thread for each core."""
    environment = os.environ | {"OMP_NUM_THREADS": str(CORES)} | extra
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Contender(name, process)
        finally:
            process.kill()


def race(case: str, data: Path, peers: str | None) -> None:
    """Bursts of all contenders of a case in turn, and what came of it."""
    commands = {
        name: ([sys.executable, "-m", "benchmarks.contenders", name, case, str(data)], {})
        for name in (OURS, TEXTBOOK, HALF)
    }
    for name, (module, extra, cases) in PEERS.items():
        if peers and case in cases:
            commands[name] = ([peers, "-m", f"benchmarks.peers.{module}", case, str(data)], extra)
    with ExitStack() as stack:
        racing = [stack.enter_context(started(name, *command)) for name, command in commands.items()]
        for contender in racing:
            contender.burst(1)  # compiles, warms up
        turns = [[contender.burst(STEPS[case]) for contender in racing] for _ in range(TURNS)]
    _tell_race(case, racing, turns)


def _tell_race(case: str, racing: list[Contender], turns: list[list[float]]) -> None:
    table = Table(
        "case", "contender", "ms a step", "samples/s", "ours is faster by", "memory, MiB", "ours / this"
    )
    for index, contender in enumerate(racing):
        seconds = median(turn[index] for turn in turns)
        ratio = median(turn[index] / turn[0] for turn in turns)
        aim = f" (aim {AIMS[case]})" if contender.name == TEXTBOOK else ""
        table.add_row(
            case,
            contender.name,
            f"{1000 * seconds:.1f}",
            f"{IMAGES[case] / seconds:,.0f}",
            f"{ratio:.2f}{aim}" if index else "",
            f"{contender.growth:.0f}",
            f"{racing[0].growth / contender.growth:.2f}" if index else "",
        )
    console.print(table)


# ---------------------------------------------------------------------------------------------- floors


class Operations(TorchDispatchMode):
    """Counts the floating-point operations of matrix products and convolutions, those of backward passes too.

    Torch's own counter follows modules as well, which the inner gradient of a penalty does not let it do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call, and count."""
        result = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.count += count(*args, **(kwargs or {}), out_val=result)
        return result


def _product(side: int) -> tuple[Callable[[], object], float]:
    one, other = torch.randn(2, side, side)
    return lambda: one @ other, 2 * side**3


def _convolution(inputs: int, outputs: int, side: int) -> tuple[Callable[[], object], float]:
    kernel = torch.randn(outputs, inputs, 5, 5).contiguous(memory_format=torch.channels_last)
    features = torch.randn(128, inputs, side, side).contiguous(memory_format=torch.channels_last)
    count = 2 * 128 * (side // 2) ** 2 * outputs * inputs * 25
    return lambda: F.conv2d(features, kernel, stride=2, padding=2), count


def rate(work: tuple[Callable[[], object], float], seconds: float = 0.2) -> float:
    """Floating-point operations a second, the best of those calls that fit into some time."""
    call, count = work
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return count / best


def floors() -> None:
    """How far steps are from what their operations take at the machine's peak."""
    torch.set_num_threads(CORES)
    with torch.no_grad():
        works = {name: make() for name, make in PEAKS.items()}
        for name, work in works.items():
            console.print(f"{name}: {rate(work) / 1e9:.0f} GFLOP/s")
    table = Table("source", "recipe", "GFLOP a step", "ms a step", "floor, ms", "times the floor", "aim")
    for dataset, name, aim in FLOORS:
        loaded = load(dataset)
        settings = recipe_of("dcgan-28", loaded.shape) if name == "dcgan-gp" else recipe(name, loaded.shape)
        counted, seconds, ratio = _times_floor(
            Trainer(loaded, settings=settings, device="cpu"), list(works.values())
        )
        floor = seconds / ratio
        table.add_row(
            dataset,
            name,
            f"{counted / 1e9:.3f}",
            f"{1000 * seconds:.2f}",
            f"{1000 * floor:.2f}",
            f"{ratio:.2f}",
            f"{aim}",
        )
    console.print(table)


def _times_floor(trainer: Any, works: list[Any]) -> tuple[float, float, float]:  # noqa: ANN401
    """Operations and seconds of a step, and the median over turns of its time over its floor's."""
    train, every = training(trainer), trainer.penalty_every
    train(every)
    with Operations() as operations:
        train(every)
    counted = operations.count / every
    found = []
    steps = every * max(1, round(0.5 / (trainer.seconds_per_step(at_most=0.5) * every)))
    for _ in range(TURNS):
        with torch.no_grad():
            peak = max(rate(work) for work in works)
        start = time.perf_counter()
        train(steps)
        seconds = (time.perf_counter() - start) / steps
        found.append((seconds, seconds * peak / counted))
    return counted, median(s for s, _ in found), median(r for _, r in found)


# ------------------------------------------------------------------------------------------- processes


def processes(data: Path) -> None:
    """Two processes of one thread against one process of one thread, in turn."""
    words = ["benchmarks.contenders", OURS, "dcgan-28", str(data), "1", "3"]
    alone = [sys.executable, "-m", *words]
    both = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29531"]
    turns = [(_last(alone), _last([*both, "-m", *words])) for _ in range(3)]
    ratio = median(one / two for one, two in turns)
    one, two = (median(turn) for turn in zip(*turns, strict=True))
    console.print(
        f"One process, one thread: {1000 * one:.0f} ms a step of dcgan-28; two processes, one thread each: "
        f"{1000 * two:.0f} ms; {ratio:.2f} times as fast (aim 1.7)."
    )


def _last(command: list[str]) -> float:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(said.split()[-1])


# ------------------------------------------------------------------------------------------------ main


def _saved(dataset: Dataset, path: Path) -> Path:
    np.save(path, dataset.train.storage.numpy())
    return path


def _versions(peers: str | None) -> str:
    own = f"Python {platform.python_version()}, torch {torch.__version__}"
    if not peers:
        return own
    said = subprocess.run(
        [peers, "-m", "pip", "freeze"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return own + "; peers: " + ", ".join(re.findall(r"^(?:jax|jaxlib|keras|numpy|torch)==\S+", said, re.M))


def main() -> None:
    """Measure what is asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="the Python of an environment by benchmarks/peers/requirements.txt")
    parser.add_argument("--parts", nargs="+", default=["race", "floors", "processes"])
    parser.add_argument("--cases", nargs="+", default=list(IMAGES))
    given = parser.parse_args()
    started_at = time.perf_counter()
    with TemporaryDirectory() as name:
        folder = Path(name)
        data = {
            "dcgan-28": _saved(load("fashion-mnist"), folder / "28.npy"),
            "dcgan-32": _saved(load("fashion-mnist", resolution=32), folder / "32.npy"),
            "toy": _saved(load("ring8"), folder / "toy.npy"),
        }
        for case in given.cases if "race" in given.parts else ():
            race(case, data[case], given.peers)
        if "floors" in given.parts:
            floors()
        if "processes" in given.parts:
            processes(data["dcgan-28"])
    for peer, reason in GIVEN_UP.items():
        console.print(f"{peer}: not measured; it {reason}.")
    console.print("On a GPU: not measured; there was none.")
    console.print(f"{CORES} cores; {_versions(given.peers)}; {time.perf_counter() - started_at:.0f} s in all")


if __name__ == "__main__":
    main()

"""What has to be known of a CUDA GPU before `engine="auto"` may mean anything but eager there.

    python -m benchmarks.gpu                    # at most 8 minutes; needs a CUDA GPU, and no network
    python -m benchmarks.gpu --minutes 4        # at most so many
    python -m benchmarks.gpu --checks engine    # some of the checks

Every check is a process of its own with a limit on its time, and reports each of its cases when the case is
done. A case that raises an error, crashes or takes too long becomes a row that says so, and the next one
begins in a new process, because an error of CUDA leaves nothing behind that can be used. All data ship with
the package, so that nothing is downloaded.

Exit codes: 0 if every case passed, 1 if one failed, 2 if there is no GPU.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.contenders import recipe_of, textbook, training
from wgan.data import Dataset, load
from wgan.runs import load_latest
from wgan.training import RECIPES, LoggingIntervals, Trainer, TrainingSettings, recipe
from wgan.training.batchnorm import synchronised
from wgan.training.engine import TOLERANCE, Replays, relative_difference
from wgan.training.settings import changed
from wgan.training.state import State

START_UP = 20.0
"""Seconds that a process is given to import torch and to find the GPU, on top of its check's limit."""
ENDING = 10.0
"""Seconds kept for ending a process that hangs."""
FIRST = ("default", "toy-gp", "toy-clip", "toy-orthogonal", "dcgan-gp", "quality", "sngan")
"""The recipes that are checked first, as one of each kind; the others follow while there is time."""


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        steps: Steps after which weights are compared.
        recipes: The recipes whose engines are compared.
        cases: The cases of `benchmarks.contenders` whose speed is measured.
        burst: Seconds of a burst of steps.
        turns: Bursts of each contender.
        bfloat16: The recipes that are trained in bfloat16.
    """

    steps: int
    recipes: tuple[str, ...]
    cases: tuple[str, ...]
    burst: float
    turns: int
    bfloat16: tuple[str, ...]


SCALES = {
    "cuda": Scale(
        steps=50,
        recipes=(*FIRST, *(name for name in RECIPES if name not in FIRST)),
        cases=("dcgan-28", "dcgan-32", "toy"),
        burst=1.0,
        turns=5,
        bfloat16=("default", "dcgan-gp", "quality"),
    ),
    "cpu": Scale(steps=3, recipes=("default",), cases=("toy",), burst=0.01, turns=1, bfloat16=("default",)),
}
"""On a GPU, and on a CPU, where the script's own code is all that is tested."""


class Failed(Exception):
    """What was measured is not what has to hold; the message says what was measured."""


# ------------------------------------------------------------------------------------------ the checks
#
# A check maps the name of a case, a device and a scale to a sentence, or raises.


def engine_case(case: str, device: str, scale: Scale) -> str:
    """Train a recipe eagerly, by captured graphs, and eagerly again; compare the weights and the times.

    What two eager runs differ by is what the GPU's own non-determinism does.
    """
    dataset = data_of(case)
    settings = recipe(case, dataset.shape)
    eager, again = (trained(dataset, settings, device, scale.steps, engine="eager") for _ in range(2))
    other = trained(dataset, settings, device, scale.steps, engine=graph_on(device))
    if device != "cpu" and not captures(other.state):
        raise Failed("no step was captured")
    distance, noise = eager.distance(other), eager.distance(again)
    found = (
        f"{distance:.2%} from eager after {scale.steps} steps (eager again: {noise:.2%}); "
        f"{1000 * eager.seconds:.2f} ms a step eager, {1000 * other.seconds:.2f} {graph_on(device)}, "
        f"{eager.seconds / other.seconds:.2f} times as fast"
    )
    return passed_if(distance <= max(TOLERANCE, 3 * noise), found)


def bfloat16_case(case: str, device: str, scale: Scale) -> str:
    """Train a recipe in float32 and in bfloat16: weights stay finite float32, and bfloat16 is not slower."""
    dataset = load("digits", resolution=32)
    settings = recipe(case, dataset.shape)
    engine = graph_on(device)
    full = trained(dataset, settings, device, scale.steps, engine=engine)
    half = trained(dataset, replace(settings, precision="bfloat16"), device, scale.steps, engine=engine)
    kinds = {weight.dtype for weight in (*half.generator.parameters(), *half.critic.parameters())}
    ratio = full.seconds / half.seconds
    found = (
        f"{full.distance(half):.0%} from float32 after {scale.steps} steps; "
        f"{1000 * full.seconds:.2f} ms a step in float32, {1000 * half.seconds:.2f} in bfloat16, "
        f"{ratio:.2f} times as fast"
    )
    if not half.state.finite():
        raise Failed(f"a weight is not finite; {found}")
    return passed_if(kinds == {torch.float32}, found)


def resume_case(case: str, device: str, scale: Scale) -> str:
    """End a run early and go on with it; its weights are those of a run that was not ended."""
    engine = graph_on(device) if case == "graph" else "eager"
    dataset = load("digits")
    steps = 4 * max(1, scale.steps // 5)
    logging = LoggingIntervals(metrics=steps // 2, images=10**6, checkpoint=max(1, steps // 4))

    def new() -> Trainer:
        return Trainer(dataset, engine=engine, device=device, steps=steps, logging=logging, batch_size=16)

    with TemporaryDirectory() as name, no_fallback():
        straight, again, resumed = (Path(name, part) for part in ("straight", "again", "resumed"))
        new().fit(straight, progress=False)
        new().fit(again, progress=False)
        new().fit(resumed, stop=lambda _: True, progress=False)
        left = checkpoint(resumed).step
        if left >= steps:
            raise Failed("the run was not ended early")
        new().fit(resumed, progress=False)
        differing, noise = differences(straight, resumed), differences(straight, again)
    found = f"ended at step {left} of {steps}; {differing} of the tensors differ (a second run: {noise})"
    return passed_if(differing == 0 or noise > 0, found)


def parallel_case(case: str, device: str, scale: Scale) -> str:
    """Train with DistributedDataParallel and shared batch norms in one process, as one of several would.

    The process is started by torchrun; the trainer itself leaves them out for a single process.
    """
    dataset = load("digits")
    # Adam would divide rounding errors by their own size where a gradient is zero.
    sgd = partial(torch.optim.SGD, lr=0.01)
    settings = changed(recipe("default", dataset.shape), generator_optimiser=sgd, critic_optimiser=sgd)
    plain = trained(dataset, settings, device, scale.steps)
    dist.init_process_group("nccl" if device != "cpu" else "gloo")
    try:
        trainer = Trainer(dataset, settings=settings, device=device)
        trainer.generator, trainer.critic = synchronised(trainer.generator), synchronised(trainer.critic)
        state = trainer.state()
        world = trainer._world
        state.evaluate_critic = world._evaluate(state.critic)
        state.evaluate_generator = world._evaluate(state.generator)
        seconds = timed(lambda: steps_of(trainer, state, scale.steps), device) / scale.steps
        distance = plain.distance(Trained(trainer, state, plain.start, seconds))
        backend = dist.get_backend()
    finally:
        dist.destroy_process_group()
    found = (
        f"{backend}: {distance:.2%} from a plain process after {scale.steps} steps; "
        f"{1000 * seconds:.2f} ms a step, {1000 * plain.seconds:.2f} plain"
    )
    return passed_if(distance <= TOLERANCE, found)


def speed_case(case: str, device: str, scale: Scale) -> str:
    """Images a second of this project's step and of the textbook loop, in bursts that take turns."""
    dataset = load("ring8") if case == "toy" else load("digits", resolution=int(case[-2:]))
    settings = replace(recipe_of(case, dataset.shape), device=device)
    workers = 2 if device != "cpu" else 0
    with no_fallback():
        contenders = {
            "textbook": textbook(case, dataset, device=device, workers=workers),
            "eager": training(Trainer(dataset, settings=replace(settings, engine="eager"))),
            "graph": training(equipped(dataset, replace(settings, engine=graph_on(device)))),
        }
    images = settings.n_critic * settings.batch_size
    steps = {}
    for name, train in contenders.items():
        train(3)
        steps[name] = max(1, round(scale.burst / timed(partial(train, 1), device)))
    turns = [
        {
            name: timed(lambda t=train, n=steps[name]: t(n), device) / steps[name]
            for name, train in contenders.items()
        }
        for _ in range(scale.turns)
    ]
    rates = {name: images / median(turn[name] for turn in turns) for name in contenders}
    ratio = median(turn["textbook"] / min(turn["eager"], turn["graph"]) for turn in turns)
    told = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    return f"images/s: {told}; {ratio:.2f} times the textbook loop"


def busy_case(case: str, device: str, scale: Scale) -> str:
    """The share of the time in which a kernel runs, of eager steps and of captured ones."""
    dataset = load("digits", resolution=28)
    activity = (
        torch.profiler.ProfilerActivity.CUDA if device != "cpu" else torch.profiler.ProfilerActivity.CPU
    )
    shares = {}
    for engine in ("eager", graph_on(device)):
        settings = replace(recipe(case, dataset.shape), device=device, engine=engine)
        with no_fallback():
            trainer = equipped(dataset, settings)
        train = training(trainer)
        train(5)
        with torch.profiler.profile(activities=[activity]) as profile:
            seconds = timed(partial(train, scale.steps), device)
        spans = [(e.time_range.start, e.time_range.end) for e in profile.events() if on(device, e)]
        if not spans:
            raise Failed("the profiler saw no kernel")
        shares[engine] = covered(spans) / 1e6 / seconds
    return ", ".join(f"{engine}: {share:.0%} of the time" for engine, share in shares.items())


@dataclass(frozen=True)
class Check:
    """A row or several of the table.

    Attributes:
        name: In the table.
        case: Carries a case out.
        cases: The cases of a scale.
        seconds: Its limit, for all of its cases together.
        launcher: What stands between Python and the module, such as torchrun.
    """

    name: str
    case: Callable[[str, str, Scale], str]
    cases: Callable[[Scale], Sequence[str]]
    seconds: float
    launcher: tuple[str, ...] = ()


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")
CHECKS = {
    check.name: check
    for check in (
        Check("resume", resume_case, lambda scale: ("eager", "graph"), 40),
        Check("parallel", parallel_case, lambda scale: ("one process",), 40, TORCHRUN),
        Check("speed", speed_case, lambda scale: scale.cases, 75),
        Check("busy", busy_case, lambda scale: ("default", "dcgan-gp")[: len(scale.cases)], 45),
        Check("bfloat16", bfloat16_case, lambda scale: scale.bfloat16, 45),
        Check("engine", engine_case, lambda scale: scale.recipes, 200),
    )
}
"""Those of a fixed size first, so that the recipes take the time that is left."""


# --------------------------------------------------------------------------------- what checks have in common


@dataclass(frozen=True)
class Trained:
    """Networks after some steps.

    Attributes:
        trainer: The trainer, whose networks these are.
        state: Its state.
        start: The critic and the generator before the first step.
        seconds: A step's time, without the first tenth of the steps.
    """

    trainer: Trainer
    state: State
    start: tuple[nn.Module, nn.Module]
    seconds: float

    @property
    def generator(self) -> nn.Module:
        """The generator."""
        return self.state.generator

    @property
    def critic(self) -> nn.Module:
        """The critic."""
        return self.state.critic

    def distance(self, other: "Trained") -> float:
        """How far the other's networks are from these, as a share of how far these have come."""
        return max(
            relative_difference(self.start[0], self.critic, other.critic),
            relative_difference(self.start[1], self.generator, other.generator),
        )


def trained(
    dataset: Dataset, settings: TrainingSettings, device: str, steps: int, *, engine: str = "eager"
) -> Trained:
    """Train a recipe from its initialisation."""
    with no_fallback():
        trainer = Trainer(dataset, settings=replace(settings, device=device, engine=engine))
        state = trainer.state()
        start = deepcopy(state.critic), deepcopy(state.generator)
        trainer._equip(state)
        first = max(2, steps // 10)
        steps_of(trainer, state, min(first, steps - 1))
        rest = steps - state.step
        seconds = timed(lambda: steps_of(trainer, state, rest), device) / rest
    return Trained(trainer, state, start, seconds)


def equipped(dataset: Dataset, settings: TrainingSettings) -> Trainer:
    """A trainer whose every state has the engine of the settings."""
    trainer = Trainer(dataset, settings=settings)
    plain = trainer.state

    def state() -> State:
        made = plain()
        trainer._equip(made)
        return made

    trainer.state = state  # type: ignore[method-assign]
    return trainer


def captures(state: State) -> int:
    """How many kinds of steps were captured."""
    return len(state.step_fn._known) if isinstance(state.step_fn, Replays) else 0


def steps_of(trainer: Trainer, state: State, count: int) -> None:
    """Take some steps of a long run."""
    for _ in range(count):
        trainer.advance(state, 10**6)


@contextmanager
def no_fallback() -> Iterator[None]:
    """Have an engine that gives up raise what it would warn of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Training eagerly|Steps of another kind")
        yield


def graph_on(device: str) -> str:
    """The engine to be tested; a CPU has none but the eager one."""
    return "graph" if device != "cpu" else "eager"


def data_of(name: str) -> Dataset:
    """Data that a recipe fits: points for toys, images of 16x16 for residual networks, else digits."""
    if name.startswith("toy"):
        return load("ring8")
    return load("digits", resolution=16) if name in RESIDUAL else load("digits")


RESIDUAL = ("wgan-gp-resnet", "sngan", "sagan", "quality", "conditional-gp", "conditional-projection")


def timed(work: Callable[[], object], device: str) -> float:
    """Seconds until the device has done the work."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def on(device: str, event: Any) -> bool:  # noqa: ANN401 - torch's type is private
    """Whether an event of the profiler is work of the device."""
    wanted = torch.autograd.DeviceType.CUDA if device != "cpu" else torch.autograd.DeviceType.CPU
    return bool(event.device_type == wanted)


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of the union of some intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def checkpoint(folder: Path) -> Any:  # noqa: ANN401
    """A run's last checkpoint."""
    last = load_latest(folder / "checkpoints")
    assert last is not None
    return last


def differences(one: Path, other: Path) -> int:
    """How many tensors of two runs' last checkpoints are not equal to the last bit."""
    these, those = checkpoint(one).tensors, checkpoint(other).tensors
    return sum(
        not torch.equal(tensor, those[group][name])
        for group, tensors in these.items()
        for name, tensor in tensors.items()
    )


def passed_if(holds: bool, found: str) -> str:
    """What was found; Failed if it does not hold."""
    if not holds:
        raise Failed(found)
    return found


# ---------------------------------------------------------------------------------- processes and the table


Row = tuple[str, str, str]
"""A check's name, a case, and what was found, or `failed: ` and the reason."""
BEGUN = "begun"
"""What a process reports of a case before it carries it out."""


def answer(check: Check, cases: Sequence[str], device: str) -> int:
    """Be the process of a check: print a line of JSON for each case, and end with the first that fails."""
    for case in cases:
        print(json.dumps([case, BEGUN]), flush=True)
        try:
            found = check.case(case, device, SCALES[device.partition(":")[0]])
        except Failed as error:
            found = f"failed: {error}"
        except Exception as error:  # whatever a driver, a compiler or a GPU without room may raise
            reason = (str(error).strip().splitlines() or ["without a message"])[0]
            print(json.dumps([case, f"failed: {type(error).__name__}: {reason}"]), flush=True)
            return 1
        print(json.dumps([case, found]), flush=True)
    return 0


def run(
    name: str, command: Callable[[Sequence[str]], list[str]], cases: Sequence[str], seconds: float
) -> Iterator[Row]:
    """Carry out a check's cases in processes of their own, within its time.

    Args:
        name: The check's, in the table.
        command: Starts a process for some cases; see :func:`answer` for what it prints.
        cases: All of them.
        seconds: After which the check ends.
    """
    end = time.monotonic() + seconds
    left = list(cases)
    while left and time.monotonic() < end:
        before, begun = len(left), None
        for case, found in _lines(command(left), end):
            begun = case if found == BEGUN else None
            if begun is None:
                left.remove(case)
                yield name, case, found
        if begun or len(left) == before:  # it crashed, hung, or did not come so far
            late = time.monotonic() >= end
            reason = f"no answer within {seconds:.0f} s" if late else "its process ended without an answer"
            failed = begun or left[0]
            left.remove(failed)
            yield name, failed, f"failed: {reason}"
    for case in left:
        yield name, case, "failed: no time was left"


def _lines(command: list[str], end: float) -> Iterator[tuple[str, str]]:
    """What a process prints, until it ends or the time is over; it is killed then."""
    lines: Queue[str] = Queue()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    output = process.stdout
    assert output is not None
    reader = threading.Thread(target=lambda: [*map(lines.put, output), lines.put("")], daemon=True)
    reader.start()
    try:
        while line := lines.get(timeout=max(0.0, end - time.monotonic())):
            if line.startswith("["):
                case, found = json.loads(line)
                yield case, found
    except Empty:
        pass
    finally:
        for sent in (signal.SIGTERM, signal.SIGKILL):  # torchrun ends its own processes at the first
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, sent)
                process.wait(timeout=5)
        reader.join(timeout=5)
        if not reader.is_alive():
            output.close()


def command_of(check: Check, device: str) -> Callable[[Sequence[str]], list[str]]:
    """How the process of a check is started."""
    words = ["-m", "benchmarks.gpu", "--device", device, "--answer", check.name, "--cases"]
    return lambda cases: [sys.executable, *check.launcher, *words, *cases]


def measure(checks: Sequence[Check], device: str, minutes: float) -> list[Row]:
    """All rows of the table, each also printed as soon as it is there."""
    end = time.monotonic() + 60 * minutes - ENDING
    scale = SCALES[device.partition(":")[0]]
    rows = []
    for check in checks:
        seconds = min(check.seconds + START_UP, end - time.monotonic())
        for row in run(check.name, command_of(check, device), check.cases(scale), seconds):
            print(": ".join(row), file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def show(rows: Sequence[Row], device: str, seconds: float) -> None:
    """Print the table and what it was measured on."""
    table = Table("check", "case", "result", "")
    for check, case, found in rows:
        table.add_row(check, case, found, "" if found.startswith("failed: ") else "ok")
    console = Console(width=150)
    console.print(table)
    where = torch.cuda.get_device_name(device) if device != "cpu" else "no GPU; this only tests the script"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}"
    console.print(f"{where}; {versions}; {seconds:.0f} s in all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the arguments name, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="limit of the whole")
    parser.add_argument("--checks", nargs="+", choices=list(CHECKS), default=list(CHECKS))
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--answer", choices=list(CHECKS), help=argparse.SUPPRESS)
    parser.add_argument("--cases", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.answer:
        return answer(CHECKS[options.answer], options.cases, options.device)
    if options.device != "cpu" and not torch.cuda.is_available():
        print("There is no CUDA GPU that torch can use here, so nothing was checked.", file=sys.stderr)
        return 2
    start = time.monotonic()
    rows = measure([CHECKS[name] for name in options.checks], options.device, options.minutes)
    show(rows, options.device, time.monotonic() - start)
    return int(any(found.startswith("failed: ") for _, _, found in rows))


if __name__ == "__main__":
    sys.exit(main())

"""Small runs on real digits, and what two of them have in common."""

import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from wgan.data import Dataset, digits
from wgan.lipschitz import Chain, GradientPenalty, SpectralNormalisation, WeightClipping
from wgan.losses import ClassificationWeights
from wgan.monitors import Monitor
from wgan.networks import MLP, MLPGenerator
from wgan.runs import Checkpoint, load_latest
from wgan.training import Adam, Augment, LoggingIntervals, RMSprop, Trainer

DIGITS = digits()
BOTH_ADAM = {
    "generator_optimiser": Adam(1e-3, (0.5, 0.9)),
    "critic_optimiser": Adam(1e-3, (0.0, 0.9)),
}
BOTH_RMSPROP = {"generator_optimiser": RMSprop(1e-3), "critic_optimiser": RMSprop(1e-3)}
OTHER: dict[str, Any] = {
    "networks": MLP(latent_dim=3),
    "constraint": WeightClipping(0.02),
    "generator_optimiser": RMSprop(1e-3),
    "critic_optimiser": Adam(1e-2),
    "loss": "hinge",
    "n_critic": 7,
    "batch_size": 17,
    "decay": "cosine",
    "ema": 0.5,
    "warm_up": True,
    "penalty_every": 3,
    "precision": "bfloat16",
    "conditional": True,
    "balanced": True,
    "classification": ClassificationWeights(0.5),
    "augment": Augment(strength=0.25),
    "steps": 77,
    "logging": LoggingIntervals(metrics=5),
    "latent_dim": 3,
    "seed": 11,
    "device": "cpu",
    "engine": "eager",
}
"""Another value than the default for each setting."""


def generator(seed: int = 0, *, hidden: tuple[int, ...] = (16, 16)) -> MLPGenerator:
    """A generator of digits with batch normalisation: it has weights, running statistics and a counter."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return MLPGenerator((1, 8, 8), latent_dim=4, hidden=hidden, norm="batch")


def critic(seed: int = 1, *, width: int = 16) -> nn.Module:
    """A critic of digits with noise of its own."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(width, 1)
        )


def trainer(**changes: Any) -> Trainer:
    """A trainer with everything in it that could fail to resume, but for the changes."""
    settings: dict[str, Any] = {
        "generator": generator(),
        "critic": critic(),
        "data": DIGITS,
        "constraint": Chain(SpectralNormalisation(), GradientPenalty(1.0)),
        "n_critic": 2,
        "penalty_every": 2,
        "batch_size": 16,
        "decay": "constant",
        "ema": 0.9,
        "device": "cpu",
        "logging": LoggingIntervals(metrics=10, images=1000, checkpoint=1000),
        **BOTH_ADAM,
    }
    return Trainer(**(settings | changes))


def last(folder: Path) -> Checkpoint:
    """The last checkpoint, which has to be whole."""
    checkpoint = load_latest(folder / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.broken == ()
    return checkpoint


def assert_same_run(folder: Path, straight: Path, *, images: bool = True) -> None:
    """Compare every tensor of the last checkpoints, the logged numbers byte for byte, and the images."""
    one, other = last(folder), last(straight)
    assert one.step == other.step
    assert one.tensors.keys() == other.tensors.keys()
    for group, tensors in other.tensors.items():
        assert_same_tensors(one.tensors[group], tensors, group)
    for name in ("metrics.jsonl", "histograms.jsonl"):
        assert (folder / name).read_bytes() == (straight / name).read_bytes()
    assert leftovers(folder) == []
    if images:
        assert tree(folder / "samples") == tree(straight / "samples")


def assert_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor], where: str = "") -> None:
    """Compare names, types, shapes and values."""
    assert one.keys() == other.keys(), where
    for name, tensor in other.items():
        assert one[name].dtype == tensor.dtype, f"{where}.{name}"
        assert torch.equal(one[name], tensor), f"{where}.{name}"


def run_python(code: str, *arguments: object, command: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start another process that runs code, with this module at hand and one thread."""
    words = [*command, sys.executable, "-c", dedent(code), *map(str, arguments)]
    here = str(Path(__file__).parent)
    path = {"PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        words, env=os.environ | path | single, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def output_of(process: subprocess.Popen[str]) -> str:
    """What a process that has to go well said."""
    said, complaints = process.communicate()
    assert process.returncode == 0, complaints
    return said


def tree(folder: Path) -> dict[str, str]:
    """Every path under a folder, with a checksum of the file's content."""
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(folder.rglob("*"))
    }


def leftovers(folder: Path) -> list[Path]:
    """What an interrupted write leaves behind."""
    return [path for path in folder.rglob("*") if "partial" in path.name]


def samples_of(dataset: Dataset, rows: Tensor) -> set[bytes]:
    """Samples at these rows of the storage, as training sees them, in a form to compare."""
    return {bytes_of(sample) for sample in dataset.train.storage[rows].float().div_(127.5).sub_(1.0)}


def bytes_of(sample: Tensor) -> bytes:
    """A sample in a form to compare."""
    return sample.numpy().tobytes()


class Hook(Monitor):
    """Calls ``act(step)`` at each image, and keeps what it is told."""

    synchronous = True  # what it does has to happen at that step, on the thread that trains

    def __init__(self, act: Any = lambda step: None) -> None:
        self.act = act
        self.outcomes: list[str] = []
        self.started: list[int] = []
        self.logged: list[tuple[int, dict[str, float | None]]] = []

    def start(self, config: Any, step: int) -> None:
        """Note."""
        self.started.append(step)

    def log(self, step: int, values: Any) -> None:
        """Note."""
        self.logged.append((step, dict(values)))

    def images(self, step: int, image: Image) -> None:
        """Act."""
        self.act(step)

    def finish(self, outcome: str) -> None:
        """Note."""
        self.outcomes.append(outcome)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The system refuses to let a file grow over this many bytes; Python ignores the signal that it sends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

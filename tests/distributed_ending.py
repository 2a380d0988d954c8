"""Run by ``torchrun`` in tests: a run that one of its processes is asked to end, and the run it is then."""

import atexit
import signal
import sys
from pathlib import Path

import torch
from distributed_step import tell_threads
from small_runs import Hook, trainer
from torch import nn

from wgan.errors import ProcessError
from wgan.training import LoggingIntervals
from wgan.training.distributed import World


def main(folder: Path) -> None:
    fit(folder / "straight", Hook())
    try:
        fit(folder / "stopped", Hook(lambda step: step == 15 and signal.raise_signal(signal.SIGTERM)))
    except SystemExit as end:
        sys.stdout.write(f"ended with {end.code}\n")
    fit(folder / "stopped", Hook())
    disagree(World(torch.device("cpu")))


def fit(folder: Path, first: Hook) -> None:
    """Twenty steps, of which monitors see every fifth, in the first process alone."""
    trainer(logging=LoggingIntervals(metrics=10, images=5, checkpoint=1000), monitors=[first]).fit(folder, 20)


def disagree(world: World) -> None:
    """Statistics that have the same sum, and the same sum of squares, everywhere, in another order."""
    norm = nn.BatchNorm1d(2)
    norm.running_mean = torch.tensor([1.0, 2.0]).roll(world.rank)
    try:
        world.check_agreement(0, norm)
    except ProcessError:
        sys.stdout.write("told of another order\n")


if __name__ == "__main__":
    atexit.register(tell_threads)
    main(Path(sys.argv[1]))

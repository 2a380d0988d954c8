"""``wgan distil``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from wgan.cli.parse import parse
from wgan.cli.report import reporting
from wgan.cli.train import print_status
from wgan.data import load
from wgan.deploy.distillation import FEATURE, PIXEL, SIZE, distil
from wgan.errors import unknown
from wgan.monitors import MONITORS, Console, Monitor


@dataclass(frozen=True)
class Distil:
    """Train a smaller generator to make of each latent what the generator of the run in DIR makes of it.

    It imitates its teacher's samples and goes on against the trained critic, at the quicker one's rate, of 64
    samples at a time or more, and with all other settings of the run. What comes out is a run like any other;
    the same command again goes on where it was.
    """

    dir: tyro.conf.Positional[Path]
    """The teacher's run."""
    out: Path
    """The student's run."""
    size: float = SIZE
    """The student's weights as a share of the teacher's: at most, where a generator can be so narrow."""
    steps: int | None = None
    """Generator steps; by default those that see as many samples as the teacher's."""
    pixel: float = PIXEL
    """Weight of the distance to the teacher's samples, beside the critic's score."""
    feature: float = FEATURE
    """Weight of the distance in what the critic's layers make of both."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""
    against: str | None = None
    """The real samples: a source as `wgan train` takes it; by default what the run learned from."""
    data_dir: Path | None = None
    """Where the files of mnist and fashion-mnist lie."""
    monitor: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Where else to watch the run: tensorboard, wandb, mlflow; may be given several times."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Distil, arguments)
    against = None if command.against is None else load(command.against, data_dir=command.data_dir)
    with reporting(command.out):
        distil(
            command.dir,
            command.out,
            size=command.size,
            steps=command.steps,
            pixel=command.pixel,
            feature=command.feature,
            against=against,
            data_dir=command.data_dir,
            device=command.device,
            monitors=_monitors(command),
            origin={"name": "distil", "arguments": list(arguments), "out": str(command.out)},
        )
    print_status(f"Done: {command.out}.")
    print_status(f"Next: wgan export {command.out} --to onnx --out dist")


def _monitors(command: Distil) -> list[Monitor]:
    for name in command.monitor:
        if name not in MONITORS:
            raise unknown("monitor", name, MONITORS)
    return [Console(), *(MONITORS[name](command.out) for name in dict.fromkeys(command.monitor))]

"""``wgan sample``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from wgan.cli.parse import parse
from wgan.sampling import Sampler, check_out, save_samples


@dataclass(frozen=True)
class Sample:
    """Draw samples from the moving average of the generator in the run folder DIR."""

    dir: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """x.npz (arrays `samples` and `latents`), x.png (one picture of all), or a folder of pictures."""
    count: int = 64
    """How many."""
    seed: int = 0
    """The same seed gives the same samples."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Sample, arguments)
    check_out(command.out)
    sampler = Sampler.load(command.dir, device=command.device)
    latents = sampler.latents(command.count, seed=command.seed)
    save_samples(command.out, sampler.at(latents).numpy(), latents)

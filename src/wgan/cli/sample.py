"""``wgan sample``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from wgan.cli.parse import parse
from wgan.errors import InputError
from wgan.sampling import Label, Sampler, check_out, save_samples


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
    label: str | None = None
    """Of a conditional run: a class's name or number; `all` is --count samples of every class, a row a class
    and a latent a column; or attributes, as in 1.5,-2. By default every class in turn."""
    truncation: float = 1.0
    """In (0, 1], a factor on the latents: less is nearer to what is typical, and less varied."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Sample, arguments)
    check_out(command.out)
    sampler = Sampler.load(command.dir, device=command.device)
    latents = sampler.latents(command.count, seed=command.seed, truncation=command.truncation)
    labels: npt.NDArray[Any] | None
    columns = None
    if command.label == "all" and sampler.classes is not None and "all" not in sampler.classes:
        labels = np.repeat(np.arange(len(sampler.classes)), command.count)
        latents, columns = np.tile(latents, (len(sampler.classes), 1)), command.count
    else:
        labels = sampler.labels(command.count, _label(command.label, sampler))
    save_samples(command.out, sampler.at(latents, labels).numpy(), latents, labels, columns=columns)


def _label(given: str | None, sampler: Sampler) -> Label | None:
    if given is None or not sampler.attributes:
        return given
    try:
        return [float(word) for word in given.split(",")]
    except ValueError:
        raise InputError(f"--label takes attributes, as in 1.5,-2, and {given!r} is none.") from None

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
from wgan.generation import LatentDirections, read_latents
from wgan.runs import RunFolder
from wgan.sampling import LabelLike, Sampler, check_out, check_truncation, save_samples


@dataclass(frozen=True)
class Sample:
    """Draw samples from the moving average of the generator in the run folder DIR."""

    dir: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """x.npz (arrays `samples` and `latents`), x.png (one image of all), or a folder of images."""
    count: int | None = None
    """How many; by default 64."""
    seed: int | None = None
    """The same seed gives the same samples; by default 0."""
    label: str | None = None
    """Of a conditional run: a class's name or number; `all` is --count samples of every class, a row a class
    and a latent a column; or attributes, as in 1.5,-2. By default every class in turn."""
    truncation: float = 1.0
    """In (0, 1], a factor on the latents: less is nearer to what is typical, and less varied."""
    latents: Path | None = None
    """Instead of --count and --seed: the latents (and labels) in a .npz file of `wgan sample` or `invert`."""
    direction: int | None = None
    """The number, from 0, of one that `wgan directions` found, to move along."""
    strength: float = 3.0
    """How far along it, in standard deviations of a latent's component; backwards if negative."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Sample, arguments)
    check_out(command.out)
    sampler = Sampler.load(command.dir, device=command.device)
    latents, labels = _places(command, sampler)
    columns = None
    if command.label == "all" and sampler.classes is not None and "all" not in sampler.classes:
        labels = np.repeat(np.arange(len(sampler.classes)), len(latents))
        latents, columns = np.tile(latents, (len(sampler.classes), 1)), len(latents)
    elif labels is None or command.label is not None:
        labels = sampler.labels(len(latents), asked_label(command.label, sampler))
    save_samples(command.out, sampler.from_latents(latents, labels).numpy(), latents, labels, columns=columns)


def _places(command: Sample, sampler: Sampler) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any] | None]:
    """The latents asked for, and the labels that were kept with them, if any."""
    labels = None
    if command.latents is None:
        count, seed = (64 if command.count is None else command.count), command.seed or 0
        latents = sampler.latents(count, seed=seed, truncation=command.truncation)
    elif command.count is not None or command.seed is not None:
        raise InputError("Give --latents, or --count and --seed: the latents in a file are all drawn.")
    else:
        latents, labels = read_latents(command.latents)
        latents *= np.float32(check_truncation(command.truncation))
    if command.direction is not None:
        found = LatentDirections.of_run(RunFolder(command.dir), sampler)
        latents = found.move(latents, command.direction, command.strength)
    return latents, labels


def asked_label(given: str | None, sampler: Sampler) -> LabelLike | None:
    """The label that the words of an option mean to this generator.

    Raises:
        InputError: It takes attributes, and these are none.
    """
    if given is None or not sampler.attributes:
        return given
    try:
        return [float(word) for word in given.split(",")]
    except ValueError:
        raise InputError(f"--label takes attributes, as in 1.5,-2, and {given!r} is none.") from None

"""``wgan sample``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from wgan.cli.own_networks import load_sampler
from wgan.cli.parse import parse
from wgan.errors import InputError
from wgan.generation import LatentDirections, read_latents
from wgan.runs import RunFolder
from wgan.sampling import LabelLike, Sampler, check_out, check_truncation, save_samples


@dataclass(frozen=True)
class Sample:
    """Draw samples from the averaged generator of a run."""

    run: tyro.conf.Positional[Path]
    """Run folder."""
    out: Path
    """Output: a .npz file (arrays `samples` and `latents`), a .png file (a grid), or a folder of images."""
    count: int | None = None
    """Number of samples; by default 64."""
    seed: int | None = None
    """Random seed of the latents; by default 0."""
    label: str | None = None
    """Label of a conditional run: a class's name or number, or attributes such as 1.5,-2; `all` draws --count
    samples of every class, one row per class and one latent per column. By default the classes alternate."""
    truncation: float = 1.0
    """Truncation: a factor on the latents, in (0, 1]; a smaller one gives more typical and less diverse
    samples."""
    latents: Path | None = None
    """Latents (and labels) from a .npz file of `wgan sample` or `wgan invert`, instead of --count and
    --seed."""
    direction: int | None = None
    """Number of a direction of `wgan directions`, from 0, along which the samples are moved."""
    strength: float = 3.0
    """Distance along --direction, in standard deviations of a latent's component; negative: backwards."""
    device: str = "auto"
    """Device: cpu, cuda, ...; auto is a GPU if there is one."""
    step: int | None = None
    """Step of the checkpoint; by default the last one."""
    generator: str | None = None
    """The generator's class, package.module:Class, of a run with networks of your own."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Sample, arguments)
    check_out(command.out)
    sampler = load_sampler(command.run, command.step, command.generator, command.device)
    latents, labels = _latents(command, sampler)
    columns = None
    if command.label == "all" and sampler.classes is not None and "all" not in sampler.classes:
        labels = np.repeat(np.arange(len(sampler.classes)), len(latents))
        latents, columns = np.tile(latents, (len(sampler.classes), 1)), len(latents)
    elif labels is None or command.label is not None:
        labels = sampler.labels(len(latents), parse_label(command.label, sampler))
    save_samples(command.out, sampler.from_latents(latents, labels).numpy(), latents, labels, columns=columns)


def _latents(command: Sample, sampler: Sampler) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any] | None]:
    """The requested latents, and the labels in the file of latents, if any."""
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
        found = LatentDirections.of_run(RunFolder(command.run), sampler)
        latents = found.move(latents, command.direction, command.strength)
    return latents, labels


def parse_label(text: str | None, sampler: Sampler) -> LabelLike | None:
    """Parse an option's label for a generator.

    Raises:
        InputError: The generator takes attributes, and these are none.
    """
    if text is None or not sampler.attributes:
        return text
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"--label takes attributes such as 1.5,-2, not {text!r}.") from None

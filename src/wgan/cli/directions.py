"""``wgan directions``."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from wgan.cli.options import command_line
from wgan.cli.own_networks import load_sampler
from wgan.cli.parse import parse
from wgan.cli.sample import Sample, parse_label
from wgan.errors import InputError
from wgan.generation import direction_strips, find_directions
from wgan.images import show, write_png
from wgan.runs import RunFolder


@dataclass(frozen=True)
class Directions:
    """Find the latent directions that change the samples of a run most.

    They are computed from the generator's first layer (Shen, Zhou 2021) and stored in the run folder:
    `wgan sample RUN --direction 2 --strength 3` moves samples along one.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    out: Path
    """Output: a .png file with a strip of samples per direction, the strongest first and the unchanged sample
    in the middle; or a .npz file (arrays `directions`, `gains` and `step`)."""
    count: int = 8
    """Number of directions, at most the length of a latent."""
    seed: int = 0
    """Random seed of the sample that the strips show."""
    label: str | None = None
    """Label of a conditional run: a class's name or number, or attributes such as 1.5,-2; by default the mean
    over all classes."""
    strength: float = 3.0
    """Distance to each side of a strip, in standard deviations of a latent's component."""
    columns: int = 7
    """Number of samples in a strip."""
    device: str = "auto"
    """Device: cpu, cuda, ...; auto is a GPU if there is one."""
    step: int | None = None
    """Step of the checkpoint; by default the last one."""
    generator: str | None = None
    """The generator's class, package.module:Class, of a run with networks of your own."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Directions, arguments)
    if command.out.suffix not in (".png", ".npz"):
        raise InputError(f"Cannot write directions as {command.out}; use a name that ends in .png or .npz.")
    folder = RunFolder(command.run)
    sampler = load_sampler(command.run, command.step, command.generator, command.device)
    label = parse_label(command.label, sampler)
    found = find_directions(sampler, command.count, label=label)
    if command.out.suffix == ".npz":
        found.save(command.out)
    else:
        (latent,) = sampler.latents(1, seed=command.seed)
        shown = direction_strips(
            sampler, found, latent, label=label, strength=command.strength, columns=command.columns
        )
        image = show(shown.reshape(-1, *shown.shape[2:]), columns=command.columns)
        write_png(command.out, image)
    found.save(folder.directions_file)
    moved = Sample(command.run, Path("moved.png"), direction=0, strength=command.strength)
    sys.stdout.write(f"{len(found.vectors)} directions, numbered from 0.\nNext: {command_line(moved)}\n")

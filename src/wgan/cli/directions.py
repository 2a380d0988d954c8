"""``wgan directions``."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from wgan.cli.options import command_line
from wgan.cli.parse import parse
from wgan.cli.sample import Sample, asked_label
from wgan.errors import InputError
from wgan.generation import direction_strips, find_directions
from wgan.images import show, write_png
from wgan.runs import RunFolder
from wgan.sampling import Sampler


@dataclass(frozen=True)
class Directions:
    """Find the ways in the space of latents that change the samples of the run in the folder DIR most.

    They are read off the generator's first layer (Shen, Zhou 2021), in no time, and kept in the run's folder:
    `wgan sample DIR --direction 2 --strength 3` moves samples along one.
    """

    dir: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """x.png: a strip for each direction, the strongest first, with the sample as it is in the middle; or
    x.npz: arrays `directions`, `gains` and `step`."""
    count: int = 8
    """How many directions, at most as many as a latent is long."""
    seed: int = 0
    """Of the sample that the strips show."""
    label: str | None = None
    """Of a conditional run: those of a class, by name or number, or of attributes, as in 1.5,-2. By default
    those of all classes."""
    strength: float = 3.0
    """How far the strips go to each side, in standard deviations of a latent's component."""
    columns: int = 7
    """Samples in a strip."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Directions, arguments)
    if command.out.suffix not in (".png", ".npz"):
        raise InputError(f"Cannot write directions as {command.out}; use a name that ends in .png or .npz.")
    folder = RunFolder(command.dir)
    sampler = Sampler.load(command.dir, device=command.device)
    label = asked_label(command.label, sampler)
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
    moved = Sample(command.dir, Path("moved.png"), direction=0, strength=command.strength)
    sys.stdout.write(f"{len(found.vectors)} directions, numbered from 0.\nNext: {command_line(moved)}\n")

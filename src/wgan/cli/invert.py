"""``wgan invert``."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress as Bar

from wgan.cli.options import command_line
from wgan.cli.own_networks import load_sampler
from wgan.cli.parse import parse
from wgan.cli.sample import Sample, parse_label
from wgan.errors import InputError
from wgan.generation import Inversion, invert, read_samples, sample_shape
from wgan.sampling import Sampler


@dataclass(frozen=True)
class Invert:
    """Find the latents whose samples are nearest to images of your own.

    The result is shown by `wgan sample RUN --latents x.npz`, and is a start for `wgan interpolate RUN
    --from-latents x.npz`.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE [IMAGE ...]")]
    """Image files of any size; or .npz or .npy files of samples of the run's shape."""
    out: Path
    """Output: a .npz file (arrays `latents`, `samples`, `distance` and, if any, `labels`)."""
    label: str | None = None
    """Label of a conditional run: a class's name or number, or attributes such as 1.5,-2; by default the
    class is searched too."""
    steps: int = 200
    """Number of optimisation steps, which start from the nearest of many random samples."""
    seed: int = 0
    """Random seed of the random samples."""
    device: str = "auto"
    """Device: cpu, cuda, ...; auto is a GPU if there is one."""
    step: int | None = None
    """Step of the checkpoint; by default the last one."""
    generator: str | None = None
    """The generator's class, package.module:Class, of a run with networks of your own."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Invert, arguments)
    if command.out.suffix != ".npz":
        raise InputError(f"Cannot write latents as {command.out}; use a name that ends in .npz.")
    if not command.images:
        raise InputError("Name the images to invert: wgan invert RUN IMAGE ... --out x.npz.")
    sampler = load_sampler(command.run, command.step, command.generator, command.device)
    label = parse_label(command.label, sampler)
    shape = sample_shape(sampler, label)
    batches = [read_samples(path, shape) for path in command.images]
    with _bar() as progress:
        found = invert(
            sampler,
            np.concatenate(batches),
            label=label,
            steps=command.steps,
            seed=command.seed,
            on_progress=progress,
        )
    found.save(command.out)
    sys.stdout.writelines(_summary(command, [len(samples) for samples in batches], found, sampler))


@contextmanager
def _bar() -> Iterator[Callable[[int, int], object]]:
    """A progress bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("inverting", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _summary(command: Invert, counts: Sequence[int], found: Inversion, sampler: Sampler) -> Iterator[str]:
    ends = np.cumsum(counts)
    for path, count, end in zip(command.images, counts, ends, strict=True):
        rows = slice(int(end) - count, int(end))
        many = "distance" if count == 1 else f"mean distance of {count:,}"
        kind = ""
        if count == 1 and found.labels is not None and sampler.classes is not None:
            kind = f", as {sampler.classes[int(found.labels[rows][0])]}"
        yield (
            f"{path}: {many} {found.distance[rows].mean():.4g}{kind} "
            f"(the nearest random sample: {found.initial_distance[rows].mean():.4g})\n"
        )
    following = Sample(command.run, Path("nearest.png"), latents=command.out)
    yield f"Next: {command_line(following)}\n"

"""``wgan invert``."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress as Bar

from wgan.cli.options import command_line
from wgan.cli.parse import parse
from wgan.cli.sample import Sample, asked_label
from wgan.errors import InputError
from wgan.generation import Inversion, invert, read_samples, sample_shape
from wgan.sampling import Sampler


@dataclass(frozen=True)
class Invert:
    """Find the latents whose samples, by the run in the folder DIR, are nearest to given images.

    `wgan sample DIR --latents x.npz` shows what was found, `wgan interpolate DIR --from-latents x.npz` starts
    from there.
    """

    dir: tyro.conf.Positional[Path]
    """The run's folder."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Images of any size; or .npz or .npy files of samples of the run's shape."""
    out: Path
    """x.npz: arrays `latents`, `samples`, `distance` and, if any, `labels`."""
    label: str | None = None
    """Of a conditional run: only this class, by name or number, or these attributes, as in 1.5,-2. By default
    the class is looked for, too."""
    steps: int = 200
    """How long to improve on the nearest random samples."""
    seed: int = 0
    """Of these."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Invert, arguments)
    if command.out.suffix != ".npz":
        raise InputError(f"Cannot write latents as {command.out}; use a name that ends in .npz.")
    if not command.images:
        raise InputError("Name the images to invert: wgan invert DIR IMAGE ... --out x.npz.")
    sampler = Sampler.load(command.dir, device=command.device)
    label = asked_label(command.label, sampler)
    shape = sample_shape(sampler, label)
    given = [read_samples(path, shape) for path in command.images]
    with _bar() as progress:
        found = invert(
            sampler,
            np.concatenate(given),
            label=label,
            steps=command.steps,
            seed=command.seed,
            on_progress=progress,
        )
    found.save(command.out)
    sys.stdout.writelines(_told(command, [len(samples) for samples in given], found, sampler))


@contextmanager
def _bar() -> Iterator[Callable[[int, int], object]]:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("inverting", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _told(command: Invert, counts: Sequence[int], found: Inversion, sampler: Sampler) -> Iterator[str]:
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
    following = Sample(command.dir, Path("nearest.png"), latents=command.out)
    yield f"Next: {command_line(following)}\n"

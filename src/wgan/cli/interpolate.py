"""``wgan interpolate``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from wgan.cli.own_networks import load_sampler
from wgan.cli.parse import parse
from wgan.cli.sample import parse_label
from wgan.errors import InputError, check_whole
from wgan.generation import Pace, check_walk_path, interpolate, read_latents
from wgan.sampling import Sampler


@dataclass(frozen=True)
class Interpolate:
    """Interpolate between two samples of a run, given by seeds, latents or labels.

    Latents are interpolated on a great circle, labels linearly. What is not given for the end is taken from
    the start.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    out: Path
    """Output: a .gif file (animation), a .png file (strip) or a .npz file (`samples`, `latents`,
    `labels`)."""
    from_seed: int | None = None
    """Random seed of the start; by default 0."""
    to_seed: int | None = None
    """Random seed of the end."""
    from_latents: Path | None = None
    """Latents (and labels) of the start: a .npz file of `wgan sample` or `wgan invert`."""
    to_latents: Path | None = None
    """Latents (and labels) of the end: a file like that of --from-latents."""
    from_label: str | None = None
    """Label of the start, in a conditional run: a class's name or number, or attributes such as 1.5,-2."""
    to_label: str | None = None
    """Label of the end."""
    count: int = 1
    """Number of interpolations, side by side."""
    frames: int = 16
    """Number of samples of each interpolation, both ends included."""
    pace: Pace = "sample"
    """Whether frames have equal distances between samples or between latents."""
    seconds: float = 0.1
    """Duration of a frame of the animation, in seconds."""
    device: str = "auto"
    """Device: cpu, cuda, ...; auto is a GPU if there is one."""
    step: int | None = None
    """Step of the checkpoint; by default the last one."""
    generator: str | None = None
    """The generator's class, package.module:Class, of a run with networks of your own."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Interpolate, arguments)
    check_walk_path(command.out)
    check_whole(count=(command.count, 1), frames=(command.frames, 2))
    if command.to_seed is None and command.to_latents is None and command.to_label is None:
        raise InputError("Give the end of the interpolation: --to-seed, --to-latents or --to-label.")
    sampler = load_sampler(command.run, command.step, command.generator, command.device)
    start, start_labels = _start(command, sampler)
    end, end_labels = _end(command, sampler, start)
    walk = interpolate(
        sampler,
        start,
        end,
        frames=command.frames,
        start_labels=start_labels,
        end_labels=end_labels,
        pace=command.pace,
    )
    walk.save(command.out, seconds=command.seconds)


LatentsAndLabels = tuple[npt.NDArray[np.float32], npt.NDArray[Any] | None]
"""Latents, and labels if there are any."""


def _start(command: Interpolate, sampler: Sampler) -> LatentsAndLabels:
    if command.from_seed is not None and command.from_latents is not None:
        raise InputError("Give --from-seed or --from-latents, not both.")
    if command.from_latents is None:
        latents, labels = sampler.latents(command.count, seed=command.from_seed or 0), None
    else:
        latents, labels = _first_latents(command.from_latents, command.count)
    return latents, _labels(command.from_label, sampler, command.count, labels)


def _end(command: Interpolate, sampler: Sampler, start: npt.NDArray[np.float32]) -> LatentsAndLabels:
    if command.to_seed is not None and command.to_latents is not None:
        raise InputError("Give --to-seed or --to-latents, not both.")
    latents, labels = start, None
    if command.to_seed is not None:
        latents = sampler.latents(command.count, seed=command.to_seed)
    if command.to_latents is not None:
        latents, labels = _first_latents(command.to_latents, command.count)
    return latents, _labels(command.to_label, sampler, command.count, labels)


def _first_latents(path: Path, count: int) -> LatentsAndLabels:
    latents, labels = read_latents(path)
    if len(latents) < count:
        raise InputError(f"{path} holds {len(latents)} latent(s), and {count} interpolations need as many.")
    return latents[:count], None if labels is None else labels[:count]


def _labels(
    label: str | None, sampler: Sampler, count: int, stored: npt.NDArray[Any] | None
) -> npt.NDArray[Any] | None:
    return stored if label is None else sampler.labels(count, parse_label(label, sampler))

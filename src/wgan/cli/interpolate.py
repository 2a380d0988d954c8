"""``wgan interpolate``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from wgan.cli.parse import parse
from wgan.cli.sample import asked_label
from wgan.errors import InputError, check_whole
from wgan.generation import Pace, check_walk_path, interpolate, read_latents
from wgan.sampling import Sampler


@dataclass(frozen=True)
class Interpolate:
    """Walk from one sample of the run in the folder DIR to another: by seed, by kept latents, by label.

    Latents move on a great circle, labels by mixing. Whatever is not said of the end is as at the start.
    """

    dir: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """x.gif (an animation), x.png (a strip) or x.npz (arrays `samples`, `latents` and, if any, `labels`)."""
    from_seed: int | None = None
    """Start at the first samples of this seed; by default of 0."""
    to_seed: int | None = None
    """End at the first samples of this seed."""
    from_latents: Path | None = None
    """Start at the first latents (and labels) in a .npz file of `wgan sample` or `wgan invert`."""
    to_latents: Path | None = None
    """End at those in such a file."""
    from_label: str | None = None
    """Of a conditional run: a class's name or number, or attributes, as in 1.5,-2."""
    to_label: str | None = None
    """Likewise, at the end."""
    count: int = 1
    """How many walks, side by side."""
    frames: int = 16
    """Samples on each walk, both ends included."""
    pace: Pace = "sample"
    """What is equal from frame to frame: how far apart the samples are, or the latents."""
    seconds: float = 0.1
    """How long each frame of an animation is shown."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Interpolate, arguments)
    check_walk_path(command.out)
    check_whole(count=(command.count, 1), frames=(command.frames, 2))
    if command.to_seed is None and command.to_latents is None and command.to_label is None:
        raise InputError("Say where the walk ends: --to-seed, --to-latents or --to-label.")
    sampler = Sampler.load(command.dir, device=command.device)
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


Place = tuple[npt.NDArray[np.float32], npt.NDArray[Any] | None]
"""Latents, and labels if something was said of them."""


def _start(command: Interpolate, sampler: Sampler) -> Place:
    if command.from_seed is not None and command.from_latents is not None:
        raise InputError("Give --from-seed or --from-latents, not both.")
    if command.from_latents is None:
        latents, labels = sampler.latents(command.count, seed=command.from_seed or 0), None
    else:
        latents, labels = _kept(command.from_latents, command.count)
    return latents, _labels(command.from_label, sampler, command.count, labels)


def _end(command: Interpolate, sampler: Sampler, start: npt.NDArray[np.float32]) -> Place:
    if command.to_seed is not None and command.to_latents is not None:
        raise InputError("Give --to-seed or --to-latents, not both.")
    latents, labels = start, None
    if command.to_seed is not None:
        latents = sampler.latents(command.count, seed=command.to_seed)
    if command.to_latents is not None:
        latents, labels = _kept(command.to_latents, command.count)
    return latents, _labels(command.to_label, sampler, command.count, labels)


def _kept(path: Path, count: int) -> Place:
    latents, labels = read_latents(path)
    if len(latents) < count:
        raise InputError(f"{path} holds {len(latents)} latent(s), and {count} walks are asked for.")
    return latents[:count], None if labels is None else labels[:count]


def _labels(
    given: str | None, sampler: Sampler, count: int, kept: npt.NDArray[Any] | None
) -> npt.NDArray[Any] | None:
    return kept if given is None else sampler.labels(count, asked_label(given, sampler))

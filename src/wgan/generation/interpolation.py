"""Interpolation between samples, by frames of equal distance."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from wgan.core.arrays import AnyArray, DoubleArray, FloatArray
from wgan.core.files import write_atomically
from wgan.errors import InputError, check_whole
from wgan.images import animation, show, write_png
from wgan.sampling import Sampler, fitting_labels

Pace = Literal["sample", "latent"]

TINY = 1e-9
"""Sine below which float64 does not determine the plane of two vectors."""
OVERSAMPLING, ROUNDS = 4, 2
"""Samples per frame by which a walk is measured, and how often it is."""


@final
@dataclass(frozen=True, eq=False)
class LatentWalk:
    r"""Samples on the path from one latent to another, for each of N pairs.

    Attributes:
        samples: (N, frames, \*shape) float32.
        latents: (N, frames, latent_dim) float32.
        labels: (N, frames, k) float32, weights of classes or attributes; None for a generator without labels.
    """

    samples: FloatArray
    latents: FloatArray
    labels: FloatArray | None

    def save(self, out: str | PathLike[str], *, seconds: float = 0.1) -> None:
        """Write the walks in the format that the path's suffix names.

        Args:
            out: ``x.gif``: an animation, all walks side by side. ``x.png``: a strip for each walk, or one
                scatter of all vectors. ``x.npz``: the arrays of this class.
            seconds: Duration of each frame of an animation, see :func:`wgan.images.animation`.

        Raises:
            InputError: The suffix is another one, or the samples are neither images nor vectors.
            StorageError: The file cannot be written.
        """
        out = Path(out)
        check_walk_path(out)
        flat = self.samples.reshape(-1, *self.samples.shape[2:])
        if out.suffix == ".gif":
            frames = [show(frame, flat) for frame in self.samples.swapaxes(0, 1)]
            animation(frames, out, seconds=seconds)
        elif out.suffix == ".png":
            write_png(out, show(flat, columns=self.samples.shape[1]))
        else:
            arrays: dict[str, Any] = {"samples": self.samples, "latents": self.latents}
            labelled = arrays if self.labels is None else {**arrays, "labels": self.labels}
            write_atomically(out, lambda file: np.savez(file, **labelled))


def check_walk_path(out: Path) -> None:
    """Raise InputError unless a walk can be written to a path of this suffix."""
    if out.suffix not in (".gif", ".png", ".npz"):
        raise InputError(f"Cannot write a walk as {out}; use a name that ends in .gif, .png or .npz.")


def interpolate(
    sampler: Sampler,
    start: npt.ArrayLike,
    end: npt.ArrayLike,
    *,
    frames: int = 16,
    start_labels: npt.ArrayLike | None = None,
    end_labels: npt.ArrayLike | None = None,
    pace: Pace = "sample",
) -> LatentWalk:
    """Interpolate from each latent to its counterpart on a great circle (:func:`slerp`), and between labels.

    Labels are interpolated linearly: classes by their weights (the "category morphing" of Miyato, Koyama
    2018, "cGANs with Projection Discriminator"), attributes in their own unit.

    Args:
        sampler: The generator.
        start: Latents (N, latent_dim), N >= 1.
        end: As many latents.
        frames: Samples on each walk, both ends included, >= 2.
        start_labels: Labels of a conditional generator, as :meth:`wgan.Sampler.from_latents` takes them;
            None: all classes in turn.
        end_labels: Labels at the end; None: those of the start.
        pace: ``sample``: equal distances between the samples of consecutive frames; ``latent``: equal
            angles between their latents, where samples may jump from one mode to another.

    Raises:
        InputError: Latents or labels do not fit the generator or one another, the frames are too few, or
            there is no such pace.
    """
    check_whole(frames=(frames, 2))
    if pace not in ("sample", "latent"):
        raise InputError(f"There is no pace {pace!r}; known are sample, latent.")
    first, last = _latents(sampler, start, end)
    path = _WalkPath(sampler, first, last, *_labels(sampler, start_labels, end_labels, len(first)))
    return path.walk(path.even_times(frames) if pace == "sample" else path.times(frames))


@final
@dataclass(frozen=True, eq=False)
class _WalkPath:
    """Ends of a walk: latents (N, latent_dim), and labels as floats (N, k) if there are any."""

    sampler: Sampler
    start: FloatArray
    end: FloatArray
    start_labels: FloatArray | None
    end_labels: FloatArray | None

    def times(self, count: int) -> DoubleArray:
        """Equally spaced times, (N, count)."""
        return np.tile(np.linspace(0, 1, count), (len(self.start), 1))

    def even_times(self, count: int) -> DoubleArray:
        """Times (N, count) between which samples change equally."""
        times = self.times(OVERSAMPLING * (count - 1) + 1)
        for _ in range(ROUNDS):
            samples = self.walk(times).samples
            steps = np.diff(samples.reshape(*samples.shape[:2], -1), axis=1)
            jumps = np.linalg.norm(steps.astype(np.float64), axis=2)
            times = np.stack([_equal_parts(*row) for row in zip(times, jumps, strict=True)])
        return times[:, ::OVERSAMPLING]

    def walk(self, times: DoubleArray) -> LatentWalk:
        """Generate the samples at times (N, T)."""
        latents = slerp(self.start, self.end, times)
        labels = None
        if self.start_labels is not None and self.end_labels is not None:
            t = times[..., None]
            mixed = (1 - t) * self.start_labels[:, None] + t * self.end_labels[:, None]
            labels = mixed.astype(np.float32)
        flat = None if labels is None else labels.reshape(-1, labels.shape[-1])
        samples = self.sampler.from_latents(latents.reshape(-1, latents.shape[-1]), flat).numpy()
        return LatentWalk(samples.reshape(*latents.shape[:2], *samples.shape[1:]), latents, labels)


def _equal_parts(times: DoubleArray, jumps: DoubleArray) -> DoubleArray:
    """As many times at equal distances, given the distances between the samples at ``times``."""
    length = np.concatenate([[0.0], np.cumsum(jumps)])
    if length[-1] == 0:
        return times
    parts = np.interp(np.linspace(0, length[-1], len(times)), length, times)
    parts[[0, -1]] = 0, 1  # where samples do not change, any time would do
    return parts


def slerp(start: npt.ArrayLike, end: npt.ArrayLike, times: npt.ArrayLike) -> FloatArray:
    """Interpolate spherically: direction and length both change at constant speed.

    With u the start's direction, w the unit vector orthogonal to it in the plane of both, and omega their
    angle: ((1 - t) |a| + t |b|) (u cos(t omega) + w sin(t omega)). For unit vectors this is the formula of
    Shoemake 1985, "Animating Rotation with Quaternion Curves", which divides by sin omega and is undefined
    for opposite vectors; here these turn in some plane. Gaussian latents lie near a sphere, and a straight
    line between two would leave it (White 2016, "Sampling Generative Networks", section 2.1).

    Args:
        start: Vectors a, (N, d). A zero vector takes the direction of the other.
        end: Vectors b, (N, d).
        times: t, (T,) or (N, T), in [0, 1].

    Returns:
        (N, T, d) float32, equal to a at t = 0 and to b at t = 1. Linear for d = 1.
    """
    a, b = np.asarray(start, np.float64)[:, None], np.asarray(end, np.float64)[:, None]
    t = np.atleast_2d(np.asarray(times, np.float64))[..., None]
    path = (1 - t) * a + t * b
    if a.shape[2] > 1:
        lengths = [np.linalg.norm(ends, axis=2, keepdims=True) for ends in (a, b)]
        length = (1 - t) * lengths[0] + t * lengths[1]
        path = length * _rotate(a, b, t)
    return np.where(t == 0, a, np.where(t == 1, b, path)).astype(np.float32)


def _rotate(a: DoubleArray, b: DoubleArray, t: DoubleArray) -> DoubleArray:
    """Unit vectors (N, T, d) from the direction of a, (N, 1, d), to that of b."""
    u = _unit(np.where(a.any(2, keepdims=True), a, np.where(b.any(2, keepdims=True), b, 1.0)))
    v = _unit(np.where(b.any(2, keepdims=True), b, u))
    # Accurate at every angle; an arc cosine is not, near 0 and 180 degrees.
    difference, total = (np.linalg.norm(vectors, axis=2, keepdims=True) for vectors in (u - v, u + v))
    omega = 2 * np.arctan2(difference, total)
    rotated: DoubleArray = np.cos(t * omega) * u + np.sin(t * omega) * _orthogonal(u, v)
    return rotated


def _orthogonal(u: DoubleArray, v: DoubleArray) -> DoubleArray:
    """Unit vectors orthogonal to u, towards v; if v is on u's line, towards the axis farthest from it."""
    aside = v - (u * v).sum(2, keepdims=True) * u
    axis = np.eye(u.shape[2])[np.abs(u).argmin(2)]
    axis -= (u * axis).sum(2, keepdims=True) * u
    return _unit(np.where(np.linalg.norm(aside, axis=2, keepdims=True) > TINY, aside, axis))


def _unit(vectors: DoubleArray) -> DoubleArray:
    # By the largest component first: squares of the smallest floats would underflow.
    bounded = vectors / np.abs(vectors).max(-1, keepdims=True)
    unit: DoubleArray = bounded / np.linalg.norm(bounded, axis=-1, keepdims=True)
    return unit


def _latents(sampler: Sampler, start: npt.ArrayLike, end: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    first, last = np.asarray(start, np.float32), np.asarray(end, np.float32)
    if first.shape != last.shape or first.shape[1:] != (sampler.latent_dim,) or len(first) == 0:
        raise InputError(
            f"A walk leads from each of some latents (N, {sampler.latent_dim}) to one other, not from "
            f"{first.shape} to {last.shape}."
        )
    return first, last


def _labels(
    sampler: Sampler, start: npt.ArrayLike | None, end: npt.ArrayLike | None, count: int
) -> tuple[FloatArray | None, FloatArray | None]:
    first = sampler.labels(count) if start is None else start
    last = first if end is None else end
    return tuple(None if labels is None else _weights(sampler, labels, count) for labels in (first, last))  # type: ignore[return-value]


def _weights(sampler: Sampler, labels: npt.ArrayLike, count: int) -> FloatArray:
    """Labels as floats (count, k): a class as weight 1 of its own."""
    fitting: AnyArray = fitting_labels(labels, sampler, count)
    if fitting.ndim == 2:
        return fitting
    assert sampler.classes is not None
    alone: FloatArray = np.eye(len(sampler.classes), dtype=np.float32)[fitting]
    return alone

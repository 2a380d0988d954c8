"""From one sample to another, by small steps of equal size."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from wgan.core.files import write_atomically
from wgan.errors import InputError, check_whole
from wgan.images import animation, show, write_png
from wgan.sampling import Sampler, fitting_labels

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pace = Literal["sample", "latent"]

TINY = 1e-9
"""A sine under which float64 no longer tells the plane of two vectors."""
FINE, ROUNDS = 4, 2
"""How many times more samples than frames a walk is measured by, and how often."""


@final
@dataclass(frozen=True, eq=False)
class Walk:
    r"""What a generator makes on the way from one latent to another, for each of N pairs.

    Attributes:
        samples: (N, frames, \*shape) float32.
        latents: (N, frames, latent_dim) float32.
        labels: (N, frames, k) float32, weights of classes or attributes; None for a generator without labels.
    """

    samples: Floats
    latents: Floats
    labels: Floats | None

    def save(self, out: str | PathLike[str], *, seconds: float = 0.1) -> None:
        """Write the walks as the kind of file that the path's ending names.

        Args:
            out: ``x.gif``: an animation, all walks side by side. ``x.png``: a strip for each walk, or one
                scatter of all vectors. ``x.npz``: the arrays of this class.
            seconds: How long each frame of an animation is shown, see :func:`wgan.images.animation`.

        Raises:
            InputError: The ending is another one, or the samples are no images or vectors.
            StorageError: The file system refuses.
        """
        out = Path(out)
        check_walk_out(out)
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


def check_walk_out(out: Path) -> None:
    """Raise InputError unless a walk can be written to a path of this ending."""
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
) -> Walk:
    """Walk from each latent to its counterpart on a great circle (:func:`slerp`), and from label to label.

    Labels are mixed linearly: classes by their weights (the "category morphing" of Miyato, Koyama 2018,
    "cGANs with Projection Discriminator"), attributes in their own unit.

    Args:
        sampler: The generator.
        start: Latents (N, latent_dim), N >= 1.
        end: As many.
        frames: Samples on each way, both ends included, >= 2.
        start_labels: Of a conditional generator, as :meth:`wgan.Sampler.at` takes them; None: every class in
            turn.
        end_labels: None: those of the start.
        pace: ``sample``: from frame to frame the sample goes equally far, so that nothing jumps;
            ``latent``: the latent turns equally far, and within that may come from one mode to another.

    Raises:
        InputError: Latents or labels do not fit the generator or one another, the frames are too few, or
            there is no such pace.
    """
    check_whole(frames=(frames, 2))
    if pace not in ("sample", "latent"):
        raise InputError(f"There is no pace {pace!r}; known are sample, latent.")
    first, last = _latents(sampler, start, end)
    way = _Way(sampler, first, last, *_labels(sampler, start_labels, end_labels, len(first)))
    return way.walk(way.even_times(frames) if pace == "sample" else way.times(frames))


@final
@dataclass(frozen=True, eq=False)
class _Way:
    """Where a walk leads: latents (N, latent_dim), and labels as floats (N, k) if there are any."""

    sampler: Sampler
    start: Floats
    end: Floats
    start_labels: Floats | None
    end_labels: Floats | None

    def times(self, count: int) -> Doubles:
        """Equally spaced ones, (N, count)."""
        return np.tile(np.linspace(0, 1, count), (len(self.start), 1))

    def even_times(self, count: int) -> Doubles:
        """Times (N, count) between which the samples go equally far."""
        times = self.times(FINE * (count - 1) + 1)
        for _ in range(ROUNDS):
            samples = self.walk(times).samples
            steps = np.diff(samples.reshape(*samples.shape[:2], -1), axis=1)
            jumps = np.linalg.norm(steps.astype(np.float64), axis=2)
            times = np.stack([_equal_parts(*row) for row in zip(times, jumps, strict=True)])
        return times[:, ::FINE]

    def walk(self, times: Doubles) -> Walk:
        """What there is at times (N, T)."""
        latents = slerp(self.start, self.end, times)
        labels = None
        if self.start_labels is not None and self.end_labels is not None:
            t = times[..., None]
            mixed = (1 - t) * self.start_labels[:, None] + t * self.end_labels[:, None]
            labels = mixed.astype(np.float32)
        flat = None if labels is None else labels.reshape(-1, labels.shape[-1])
        samples = self.sampler.from_latents(latents.reshape(-1, latents.shape[-1]), flat).numpy()
        return Walk(samples.reshape(*latents.shape[:2], *samples.shape[1:]), latents, labels)


def _equal_parts(times: Doubles, jumps: Doubles) -> Doubles:
    """As many times, between which one goes equally far if one went so far between the given ones."""
    length = np.concatenate([[0.0], np.cumsum(jumps)])
    if length[-1] == 0:
        return times
    parts = np.interp(np.linspace(0, length[-1], len(times)), length, times)
    parts[[0, -1]] = 0, 1  # where nothing moves, interpolation may choose any time
    return parts


def slerp(start: npt.ArrayLike, end: npt.ArrayLike, times: npt.ArrayLike) -> Floats:
    """Spherical interpolation: the direction turns at constant speed, the length changes at constant speed.

    With u the start's direction, w the unit vector orthogonal to it in the plane of both, and omega their
    angle: ((1 - t) |a| + t |b|) (u cos(t omega) + w sin(t omega)). For unit vectors this is the formula of
    Shoemake 1985, "Animating Rotation with Quaternion Curves", which divides by sin omega and so has no value
    for opposite vectors; here these turn in some plane. Gaussian latents lie near a sphere, and a straight
    line between two would cut through where there are hardly any (White 2016, "Sampling Generative
    Networks", section 2.1).

    Args:
        start: Vectors a, (N, d). A zero vector has no direction and takes the other's.
        end: Vectors b, (N, d).
        times: t, (T,) or (N, T), in [0, 1].

    Returns:
        (N, T, d) float32, at 0 and 1 exactly the given vectors. For d = 1 there is no turning: it is linear.
    """
    a, b = np.asarray(start, np.float64)[:, None], np.asarray(end, np.float64)[:, None]
    t = np.atleast_2d(np.asarray(times, np.float64))[..., None]
    path = (1 - t) * a + t * b
    if a.shape[2] > 1:
        lengths = [np.linalg.norm(ends, axis=2, keepdims=True) for ends in (a, b)]
        length = (1 - t) * lengths[0] + t * lengths[1]
        path = length * _turned(a, b, t)
    return np.where(t == 0, a, np.where(t == 1, b, path)).astype(np.float32)


def _turned(a: Doubles, b: Doubles, t: Doubles) -> Doubles:
    """Unit vectors (N, T, d) from the direction of a, (N, 1, d), to that of b."""
    u = _unit(np.where(a.any(2, keepdims=True), a, np.where(b.any(2, keepdims=True), b, 1.0)))
    v = _unit(np.where(b.any(2, keepdims=True), b, u))
    # Accurate at every angle, which an arc cosine is not near 0 and 180 degrees.
    apart, along = (np.linalg.norm(vectors, axis=2, keepdims=True) for vectors in (u - v, u + v))
    omega = 2 * np.arctan2(apart, along)
    turned: Doubles = np.cos(t * omega) * u + np.sin(t * omega) * _orthogonal(u, v)
    return turned


def _orthogonal(u: Doubles, v: Doubles) -> Doubles:
    """Unit vectors orthogonal to u, towards v; if v is on u's line, towards the axis farthest from it."""
    aside = v - (u * v).sum(2, keepdims=True) * u
    axis = np.eye(u.shape[2])[np.abs(u).argmin(2)]
    axis -= (u * axis).sum(2, keepdims=True) * u
    return _unit(np.where(np.linalg.norm(aside, axis=2, keepdims=True) > TINY, aside, axis))


def _unit(vectors: Doubles) -> Doubles:
    # By the largest component first: squares of the smallest floats would vanish.
    bounded = vectors / np.abs(vectors).max(-1, keepdims=True)
    unit: Doubles = bounded / np.linalg.norm(bounded, axis=-1, keepdims=True)
    return unit


def _latents(sampler: Sampler, start: npt.ArrayLike, end: npt.ArrayLike) -> tuple[Floats, Floats]:
    first, last = np.asarray(start, np.float32), np.asarray(end, np.float32)
    if first.shape != last.shape or first.shape[1:] != (sampler.latent_dim,) or len(first) == 0:
        raise InputError(
            f"A walk leads from each of some latents (N, {sampler.latent_dim}) to one other, not from "
            f"{first.shape} to {last.shape}."
        )
    return first, last


def _labels(
    sampler: Sampler, start: npt.ArrayLike | None, end: npt.ArrayLike | None, count: int
) -> tuple[Floats | None, Floats | None]:
    first = sampler.labels(count) if start is None else start
    last = first if end is None else end
    return tuple(None if labels is None else _weights(sampler, labels, count) for labels in (first, last))  # type: ignore[return-value]


def _weights(sampler: Sampler, labels: npt.ArrayLike, count: int) -> Floats:
    """Labels as floats (count, k): a class as weight 1 of its own."""
    fitting: npt.NDArray[Any] = fitting_labels(labels, sampler, count)
    if fitting.ndim == 2:
        return fitting
    assert sampler.classes is not None
    alone: Floats = np.eye(len(sampler.classes), dtype=np.float32)[fitting]
    return alone

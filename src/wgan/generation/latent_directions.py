"""Directions in latent space along which samples change most, mostly in closed form."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wgan.core.arrays import AnyArray, DoubleArray, FloatArray
from wgan.core.files import write_atomically
from wgan.errors import InputError, check_whole
from wgan.generation.latent_files import read_archive
from wgan.latents import draw_latents
from wgan.networks import generate
from wgan.networks.conditioning import ConditionalNorm
from wgan.runs import RunFolder
from wgan.sampling import LabelLike, Sampler

FIRST_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
JACOBIAN_LATENTS, JACOBIAN_STEP = 4, 0.5
"""Number of latents and step of the differences for a generator without a closed form."""


@final
@dataclass(frozen=True, eq=False)
class LatentDirections:
    """Orthonormal directions in latent space, the one that changes samples most first.

    Attributes:
        vectors: (k, latent_dim) float32; the largest component of each is positive.
        gains: (k,) float64: the change of the first layer's output per unit of latent.
        step: Training steps behind the generator; None for a generator without a run.
    """

    vectors: FloatArray
    gains: DoubleArray
    step: int | None = None

    def move(self, latents: npt.ArrayLike, number: int, strength: float) -> FloatArray:
        """Move latents along a direction.

        Args:
            latents: (N, latent_dim).
            number: Number of the direction, counted from 0.
            strength: Distance in standard deviations of a latent's component; negative for backwards.

        Raises:
            InputError: There is no such direction, it does not fit the latents, or the strength is infinite.
        """
        if not 0 <= number < len(self.vectors):
            raise InputError(
                f"There is no direction {number}: {len(self.vectors)} are known, counted from 0."
            )
        if not np.isfinite(strength):
            raise InputError(f"A direction's strength must be a finite number, not {strength}.")
        points = np.asarray(latents, np.float32)
        if points.shape[1:] != self.vectors.shape[1:]:
            raise InputError(
                f"Directions of length {self.vectors.shape[1]} do not fit latents of shape {points.shape}."
            )
        moved: FloatArray = points + np.float32(strength) * self.vectors[number]
        return moved

    def save(self, path: str | PathLike[str]) -> None:
        """Write a .npz file.

        Raises:
            StorageError: The file cannot be written.
        """
        step = -1 if self.step is None else self.step
        arrays: dict[str, Any] = {"directions": self.vectors, "gains": self.gains, "step": step}
        write_atomically(Path(path), lambda file: np.savez(file, **arrays))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Load the file that :meth:`save` wrote.

        Raises:
            InputError: There is no such file, or it is another one.
        """
        arrays = read_archive(Path(path), {"directions": 2, "gains": 1, "step": 0})
        step = int(arrays["step"])
        return cls(arrays["directions"].astype(np.float32), arrays["gains"], None if step < 0 else step)

    @classmethod
    def of_run(cls, folder: RunFolder, sampler: Sampler) -> Self:
        """Load the directions in a run's folder.

        Raises:
            InputError: There are none, or they belong to an earlier generator of the run.
        """
        if not folder.directions_file.is_file():
            raise InputError(f"{folder.path} has no directions yet; `wgan directions` finds them.")
        directions = cls.load(folder.directions_file)
        if directions.step != sampler.step:
            raise InputError(
                f"The directions in {folder.path} are those after step {directions.step}, and the run is at "
                f"step {sampler.step}; `wgan directions` finds them anew."
            )
        return directions


def stored_or_found(folder: RunFolder, sampler: Sampler) -> LatentDirections:
    """Load the directions in a run's folder, or find them if there are none of the sampler's step."""
    try:
        return LatentDirections.of_run(folder, sampler)
    except InputError:
        return find_directions(sampler)


def find_directions(sampler: Sampler, count: int = 8, *, label: LabelLike | None = None) -> LatentDirections:
    """Find the unit vectors n that maximise |A n|, A being the generator's first layer.

    They are the eigenvectors of A^T A. The columns of A that take labels are left out, and a batch
    normalisation directly after the layer scales A: a conditional one has a scale for every class, and A^T A
    is averaged over them. Where no layer takes the latent as it is, A^T A is replaced by the mean of J^T J
    over a few latents, J being the Jacobian of the samples by finite differences.

    Source: Shen, Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", section 3.2; for J:
    Wang, Ponce 2021, "A Geometric Analysis of Deep Generative Image Models and Its Applications", sections
    2-3.

    Args:
        sampler: The generator.
        count: Number of directions; at most ``latent_dim`` are returned.
        label: Label of a conditional generator, for the directions of one class or of these attributes.

    Raises:
        InputError: There is no such label, or the count is out of its range.
    """
    check_whole(count=(count, 1))
    kinds = 1 if sampler.classes is None or label is not None else len(sampler.classes)
    labels = sampler.labels(kinds, label)
    metric = np.zeros((sampler.latent_dim, sampler.latent_dim))
    for kind in range(kinds):
        metric += _metric(sampler, None if labels is None else labels[[kind]]) / kinds
    values, vectors = np.linalg.eigh(metric)
    strongest = vectors.T[::-1][:count]
    largest = np.take_along_axis(strongest, np.abs(strongest).argmax(1)[:, None], 1)
    gains = np.sqrt(values[::-1][:count].clip(0))
    return LatentDirections((strongest * np.sign(largest)).astype(np.float32), gains, sampler.step)


def direction_strips(
    sampler: Sampler,
    directions: LatentDirections,
    latent: npt.ArrayLike,
    *,
    label: LabelLike | None = None,
    strength: float = 3.0,
    columns: int = 7,
) -> FloatArray:
    r"""Generate samples along each direction from one latent, from -strength to strength.

    Args:
        sampler: The generator.
        directions: Its directions.
        latent: (latent_dim,), the centre of each strip.
        label: Label of a conditional generator; None for the first class.
        strength: Distance at the ends, see :meth:`LatentDirections.move`.
        columns: Number of samples on each strip, >= 2.

    Returns:
        (k, columns, \*shape); the latent itself is in the middle of an odd number of columns.

    Raises:
        InputError: The latent or label does not fit, or a number is out of its range.
    """
    check_whole(columns=(columns, 2))
    if not isfinite(strength):
        raise InputError(f"strength must be a finite number, not {strength}.")
    point, count = np.asarray(latent, np.float32)[None], len(directions.vectors)
    moved = [
        directions.move(point, number, distance)
        for number in range(count)
        for distance in np.linspace(-strength, strength, columns)
    ]
    one = sampler.labels(1, label)
    labels = None if one is None else np.repeat(one, len(moved), axis=0)
    samples = sampler.from_latents(np.concatenate(moved), labels).numpy()
    return samples.reshape(count, columns, *samples.shape[1:])


@torch.no_grad()
def _metric(sampler: Sampler, label: AnyArray | None) -> DoubleArray:
    """A^T A, (latent_dim, latent_dim): by probing the first layer with zero and the unit vectors."""
    device = next(sampler.generator.parameters()).device
    probes = torch.cat([torch.zeros(1, sampler.latent_dim), torch.eye(sampler.latent_dim)]).to(device)
    labels = None if label is None else torch.from_numpy(label.repeat(len(probes), axis=0)).to(device)
    with _recording(sampler.generator, probes) as recorded:
        generate(sampler.generator, probes, labels)
    if "output" not in recorded:
        return _jacobian_metric(sampler, label)
    output = recorded["output"].flatten(1).double().cpu().numpy()
    weight: DoubleArray = output[1:] - output[0]
    return weight @ weight.T


def _jacobian_metric(sampler: Sampler, label: AnyArray | None) -> DoubleArray:
    """The mean of J^T J over a few latents."""
    dim = sampler.latent_dim
    metric = np.zeros((dim, dim))
    labels = None if label is None else label.repeat(dim + 1, axis=0)
    for latent in draw_latents(JACOBIAN_LATENTS, dim):
        moved = np.concatenate([latent[None], latent + JACOBIAN_STEP * np.eye(dim, dtype=np.float32)])
        samples = sampler.from_latents(moved, labels).flatten(1).double().numpy()
        jacobian = (samples[1:] - samples[0]) / JACOBIAN_STEP
        metric += jacobian @ jacobian.T / JACOBIAN_LATENTS
    return metric


@contextmanager
def _recording(generator: nn.Module, probes: Tensor) -> Iterator[Mapping[str, Tensor]]:
    """Record the output of the first layer, or of a batch normalisation directly after it, as ``output``."""
    recorded: dict[str, Any] = {}

    def first_layer(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if "first" not in recorded and _takes(inputs[0], probes):
            recorded.update(first=output, version=output._version, output=output.clone())

    def batch_norm(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # An activation in place leaves the same tensor with another version.
        if inputs[0] is recorded.get("first") and inputs[0]._version == recorded["version"]:
            recorded["output"] = output.clone()

    hooks = [
        module.register_forward_hook(first_layer if isinstance(module, FIRST_LAYERS) else batch_norm)
        for module in generator.modules()
        if isinstance(module, FIRST_LAYERS) or _is_batch_norm(module)
    ]
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()


def _takes(features: Tensor, probes: Tensor) -> bool:
    """Whether a layer's input is the latents, possibly with labels concatenated."""
    flat = features.flatten(1)
    return len(flat) == len(probes) and torch.equal(flat[:, : probes.shape[1]], probes)


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module.norm if isinstance(module, ConditionalNorm) else module, BATCH_NORMS)

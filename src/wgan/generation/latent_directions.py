"""Which ways in the space of latents change a sample most: read off the first layer's weight, no search."""

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

from wgan.core.files import write_atomically
from wgan.errors import InputError, check_whole
from wgan.generation.latent_files import read_archive
from wgan.networks import generate
from wgan.networks.conditioning import ConditionalNorm
from wgan.runs import RunFolder
from wgan.sampling import LabelLike, Sampler

FIRST = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@final
@dataclass(frozen=True, eq=False)
class Directions:
    """Orthonormal ways in the space of latents, the one that changes most first.

    Attributes:
        vectors: (k, latent_dim) float32; the largest component of each is positive.
        gains: (k,) float64: how far the first layer's output moves for each unit of latent.
        step: After how many steps of its run the generator has them; None for a generator without one.
    """

    vectors: npt.NDArray[np.float32]
    gains: npt.NDArray[np.float64]
    step: int | None = None

    def move(self, latents: npt.ArrayLike, number: int, strength: float) -> npt.NDArray[np.float32]:
        """Latents (N, latent_dim), moved.

        Args:
            latents: Where from.
            number: Of the direction, counted from 0.
            strength: How far, in standard deviations of a latent's component; backwards if negative.

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
        moved: npt.NDArray[np.float32] = points + np.float32(strength) * self.vectors[number]
        return moved

    def save(self, path: str | PathLike[str]) -> None:
        """Write a .npz file.

        Raises:
            StorageError: The file system refuses.
        """
        step = -1 if self.step is None else self.step
        write_atomically(
            Path(path), lambda file: np.savez(file, directions=self.vectors, gains=self.gains, step=step)
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """What :meth:`save` wrote.

        Raises:
            InputError: There is no such file, or it is another one.
        """
        arrays = read_archive(Path(path), {"directions": 2, "gains": 1, "step": 0})
        step = int(arrays["step"])
        return cls(arrays["directions"].astype(np.float32), arrays["gains"], None if step < 0 else step)

    @classmethod
    def of(cls, folder: RunFolder, sampler: Sampler) -> Self:
        """Those kept in a run's folder.

        Raises:
            InputError: There are none, or they are those of an earlier generator of the run.
        """
        again = f"`wgan directions {folder.path} --out directions.png` finds them"
        if not folder.directions_file.is_file():
            raise InputError(f"{folder.path} has no directions yet; {again}.")
        found = cls.load(folder.directions_file)
        if found.step != sampler.step:
            raise InputError(
                f"The directions in {folder.path} are those after step {found.step}, and the run is at step "
                f"{sampler.step}; {again} anew."
            )
        return found


def directions(sampler: Sampler, count: int = 8, *, label: LabelLike | None = None) -> Directions:
    """The unit vectors n that maximise |A n|, A being the generator's first layer: eigenvectors of A^T A.

    The columns of A that take labels are left out, and the scale of a batch normalisation right behind the
    layer is a part of it: a conditional one has a scale for every class, and A^T A is their mean.
    Source: Shen, Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", section 3.2.

    Args:
        sampler: The generator: any whose first layer, dense or convolutional, takes the latent as it is.
        count: How many; there are no more than ``latent_dim``.
        label: Of a conditional generator: of this class alone, or these attributes.

    Raises:
        InputError: There is no such layer or label, or the count is out of its range.
    """
    check_whole(count=(count, 1))
    kinds = 1 if sampler.classes is None or label is not None else len(sampler.classes)
    asked = sampler.labels(kinds, label)
    metric = np.zeros((sampler.latent_dim, sampler.latent_dim))
    for kind in range(kinds):
        weight = _first_weight(sampler, None if asked is None else asked[[kind]])
        metric += weight @ weight.T / kinds
    values, vectors = np.linalg.eigh(metric)
    found = vectors.T[::-1][:count]
    largest = np.take_along_axis(found, np.abs(found).argmax(1)[:, None], 1)
    gains = np.sqrt(values[::-1][:count].clip(0))
    return Directions((found * np.sign(largest)).astype(np.float32), gains, sampler.step)


def strips(
    sampler: Sampler,
    found: Directions,
    latent: npt.ArrayLike,
    *,
    label: LabelLike | None = None,
    strength: float = 3.0,
    columns: int = 7,
) -> npt.NDArray[np.float32]:
    r"""What a latent (latent_dim,) becomes along each direction, from -strength to strength.

    Args:
        sampler: The generator.
        found: Its directions.
        latent: Where they start.
        label: Of a conditional generator; None: the first class.
        strength: How far they go, see :meth:`Directions.move`.
        columns: How many samples are made on each, >= 2.

    Returns:
        (k, columns, \*shape); the latent itself is in the middle of an odd number of columns.

    Raises:
        InputError: The latent or label does not fit, or a number is out of its range.
    """
    check_whole(columns=(columns, 2))
    if not isfinite(strength):
        raise InputError(f"strength must be a finite number, not {strength}.")
    point = np.asarray(latent, np.float32)[None]
    moved = [
        found.move(point, number, along)
        for number in range(len(found.vectors))
        for along in np.linspace(-strength, strength, columns)
    ]
    asked = sampler.labels(1, label)
    labels = None if asked is None else np.repeat(asked, len(moved), axis=0)
    samples = sampler.from_latents(np.concatenate(moved), labels).numpy()
    return samples.reshape(len(found.vectors), columns, *samples.shape[1:])


@torch.no_grad()
def _first_weight(sampler: Sampler, label: npt.NDArray[Any] | None) -> npt.NDArray[np.float64]:
    """A^T, (latent_dim, F): what the first layer makes of each unit vector, less what it makes of zero."""
    device = next(sampler.generator.parameters()).device
    probes = torch.cat([torch.zeros(1, sampler.latent_dim), torch.eye(sampler.latent_dim)]).to(device)
    labels = None if label is None else torch.from_numpy(label.repeat(len(probes), axis=0)).to(device)
    with _watching(sampler.generator, probes) as seen:
        generate(sampler.generator, probes, labels)
    if "made" not in seen:
        raise InputError(
            f"A {type(sampler.generator).__name__} has no first layer that takes the latent as it is, so its "
            "directions have no closed form; wgan.demo.sliders finds those of any function."
        )
    made = seen["made"].flatten(1).double().cpu().numpy()
    weight: npt.NDArray[np.float64] = made[1:] - made[0]
    return weight


@contextmanager
def _watching(generator: nn.Module, probes: Tensor) -> Iterator[Mapping[str, Tensor]]:
    """What the first layer, and a batch normalisation right behind it, make of the probes: at ``made``."""
    seen: dict[str, Any] = {}

    def first(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if "first" not in seen and _takes(inputs[0], probes):
            seen.update(first=output, version=output._version, made=output.clone())

    def behind(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # An activation in place leaves the same tensor in another version.
        if inputs[0] is seen.get("first") and inputs[0]._version == seen["version"]:
            seen["made"] = output.clone()

    hooks = [
        module.register_forward_hook(first if isinstance(module, FIRST) else behind)
        for module in generator.modules()
        if isinstance(module, FIRST) or _is_batch_norm(module)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _takes(entering: Tensor, probes: Tensor) -> bool:
    """Whether what enters a layer is the latents, with labels beside them or not."""
    flat = entering.flatten(1)
    return len(flat) == len(probes) and torch.equal(flat[:, : probes.shape[1]], probes)


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module.norm if isinstance(module, ConditionalNorm) else module, BATCH_NORMS)

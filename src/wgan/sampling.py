"""Drawing samples from a trained generator."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wgan.core.arrays import AnyArray, FloatArray
from wgan.core.devices import find_device
from wgan.core.files import storing, write_atomically
from wgan.errors import InputError
from wgan.images import show, to_image, write_png
from wgan.labels import class_number, cycle_classes
from wgan.latents import draw_latents
from wgan.networks import generate, network_of
from wgan.runs import RunFolder, load_checkpoint

LabelLike = int | str | Sequence[float]
"""The number or name of a class, or a vector of attributes."""
BATCH = 256
"""Latents that go through the generator at once."""
MAX_COUNT = 2**31
"""A larger count is taken for a mistake."""


@dataclass(frozen=True)
class Sampler:
    """A generator in evaluation mode to draw samples from: the moving average of a run's weights.

    Attributes:
        generator: Maps latents (N, latent_dim) to samples (N, *shape).
        latent_dim: Length of a latent.
        step: Training steps behind the weights; None for a generator without a run.
        classes: Names of the classes of a class-conditional generator; None for any other.
        attributes: Number of attributes that condition the generator; 0 for none.
        run: The run's folder; None for a generator without a run.
    """

    generator: nn.Module
    latent_dim: int
    step: int | None = None
    classes: tuple[str, ...] | None = None
    attributes: int = 0
    run: Path | None = None

    @classmethod
    def load(
        cls,
        run_dir: str | PathLike[str],
        *,
        device: str = "auto",
        generator: nn.Module | str | None = None,
        step: int | None = None,
    ) -> Self:
        """Load the averaged generator of a run's last intact checkpoint.

        Args:
            run_dir: The run's folder.
            device: Device to sample on; ``auto`` is a GPU if there is one.
            generator: For a generator that is not one of wgan's own, a module whose copy gets the weights, or
                the name under which it was trained, ``package.module:Class``, whose code is then imported.
            step: Step of the checkpoint; None: the last intact one.

        Raises:
            InputError: This is not a run, it has no intact checkpoint, or the generator cannot be built.
        """
        folder = RunFolder(Path(run_dir))
        config = folder.read_config()
        checkpoint = load_checkpoint(folder.checkpoints, step, groups=("average",))
        description, latent_dim = config.get("generator"), config.get("latent_dim")
        if not isinstance(description, dict) or not isinstance(latent_dim, int):
            raise InputError(f"{folder.config_file} does not say what generator the run trained.")
        network = network_of(description, generator)
        try:
            network.load_state_dict(checkpoint.tensors["average"])
        except RuntimeError as error:
            raise InputError(f"The weights in {folder.path} are not those of this generator.") from error
        network = network.to(find_device(device)).eval().requires_grad_(False)
        labels = config.get("labels") or {}
        classes = tuple(labels["classes"]) if "classes" in labels else None
        attributes = len(labels.get("attributes", ()))
        return cls(network, latent_dim, checkpoint.step, classes, attributes, folder.path)

    def __call__(
        self, count: int, *, seed: int = 0, label: LabelLike | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Draw samples.

        Args:
            count: Number of samples, in [1, 2^31).
            seed: Random seed, in [0, 2^64). The first k samples of a seed are the same for every count >= k.
            label: Label of a conditional generator: see :meth:`labels`.
            truncation: Factor on the latents, in (0, 1]: see :meth:`latents`.

        Returns:
            (count, *shape) float32 on the CPU; images in [-1, 1].

        Raises:
            InputError: An argument is out of its range, or there is no such class.
        """
        latents = self.latents(count, seed=seed, truncation=truncation)
        return self.from_latents(latents, self.labels(count, label))

    def latents(self, count: int, *, seed: int = 0, truncation: float = 1.0) -> FloatArray:
        """Draw the latents (count, latent_dim) of a seed.

        Args:
            count: Number of latents, in [1, 2^31).
            seed: Random seed, in [0, 2^64).
            truncation: Factor on the latents, in (0, 1]. A smaller one gives more typical and less diverse
                samples (the interpolation towards the mean of Karras et al. 2019, "A Style-Based Generator
                Architecture", section 5 and appendix B, applied to latents).

        Raises:
            InputError: An argument is out of its range.
        """
        if not 1 <= count < MAX_COUNT:
            raise InputError(f"count must be at least 1 and less than 2^31, not {count}.")
        check_truncation(truncation)
        return draw_latents(count, self.latent_dim, seed) * np.float32(truncation)

    def labels(self, count: int, label: LabelLike | None = None) -> AnyArray | None:
        """Repeat a label for each of ``count`` samples.

        Args:
            count: Number of samples.
            label: The name or number of a class, or None for all classes in turn; or the attributes, (k,).

        Returns:
            int64 (count,) classes, float32 (count, k) attributes, or None for an unconditional generator.

        Raises:
            InputError: There is no such class, or the generator takes other labels, or none.
        """
        single = isinstance(label, int | str | np.integer)
        if self.attributes:
            if label is None or single or len(label) != self.attributes:  # type: ignore[arg-type]
                raise InputError(
                    f"This generator is conditioned on {self.attributes} attribute(s): give "
                    f"{self.attributes} number(s)."
                )
            return np.tile(np.asarray(label, np.float32), (count, 1))
        if label is None:
            return None if self.classes is None else cycle_classes(count, len(self.classes))
        if not isinstance(label, int | str | np.integer):
            raise InputError(
                "This generator takes no attributes; give the name or number of a class, if any."
            )
        return np.full(count, class_number(label, self.classes), np.int64)

    @torch.no_grad()
    def from_latents(self, latents: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Tensor:
        """Generate the samples (N, *shape), float32 on the CPU, of these latents.

        Args:
            latents: (N, latent_dim), of any real type.
            labels: Labels of a conditional generator: classes (N,), weights of classes (N, classes), or
                attributes (N, k). None: all classes in turn.

        Raises:
            InputError: Latents or labels do not fit the generator.
        """
        latents = np.asarray(latents, np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise InputError(
                f"Latents of shape {latents.shape} do not fit a generator of latents (N, {self.latent_dim})."
            )
        count = len(latents)
        conditions = self.labels(count) if labels is None else fitting_labels(labels, self, count)
        device = next(self.generator.parameters()).device
        batches = []
        for start in range(0, max(1, count), BATCH):  # no latents make one empty batch
            rows = slice(start, start + BATCH)
            condition = None if conditions is None else torch.from_numpy(conditions[rows]).to(device)
            batch = torch.from_numpy(latents[rows]).to(device)
            batches.append(generate(self.generator, batch, condition).float().cpu())
        return torch.cat(batches)


def check_truncation(truncation: float) -> float:
    """Return the truncation, or raise InputError if it is not in (0, 1]."""
    if not 0 < truncation <= 1:
        raise InputError(f"truncation must be in (0, 1], not {truncation}.")
    return truncation


def fitting_labels(labels: npt.ArrayLike, sampler: Sampler, count: int) -> AnyArray:
    """Convert labels as :meth:`Sampler.from_latents` takes them to the array that the generator takes.

    Raises:
        InputError: They do not fit the generator or the count.
    """
    array = np.asarray(labels)
    width = len(sampler.classes) if sampler.classes is not None else sampler.attributes
    if width == 0:
        raise InputError("This generator takes no labels.")
    if array.ndim == 1 and sampler.classes is not None and array.dtype.kind in "iu":
        if len(array) == count and array.size and array.min() >= 0 and array.max() < width:
            return array.astype(np.int64)
        raise InputError(f"Labels must be {count} whole numbers in [0, {width}), one for each latent.")
    if array.shape != (count, width) or not np.isfinite(array.astype(np.float64)).all():
        raise InputError(
            f"Labels of shape {array.shape} do not fit: give finite numbers, ({count}, {width})."
        )
    return array.astype(np.float32)


def check_out(out: Path) -> None:
    """Raise InputError unless samples can be written to a path of this suffix."""
    if out.suffix not in ("", ".npz", ".png"):
        raise InputError(f"Cannot write samples as {out.suffix!r}; use .npz, .png, or a folder's name.")


def save_samples(
    out: Path,
    samples: FloatArray,
    latents: FloatArray,
    labels: AnyArray | None = None,
    *,
    columns: int | None = None,
) -> None:
    """Write samples in the format that the path's suffix names.

    Args:
        out: ``x.npz``: arrays ``samples``, ``latents`` and, if there are any, ``labels``. ``x.png``: one
            image of all samples. No suffix: a folder of one PNG per sample, created if need be.
        samples: (N, C, H, W) in [-1, 1], or (N, d).
        latents: The samples' latents (N, latent_dim).
        labels: The samples' labels, if they have any.
        columns: Columns of the grid in ``x.png``.

    Raises:
        InputError: The suffix is another one, the folder holds other files, or the samples are not images.
        StorageError: The file cannot be written.
    """
    check_out(out)
    if out.suffix == ".npz":
        arrays: dict[str, Any] = {"samples": samples, "latents": latents}
        arrays |= {} if labels is None else {"labels": labels}
        write_atomically(out, lambda file: np.savez(file, **arrays))
    elif out.suffix == ".png":
        write_png(out, show(samples, columns=columns))
    else:
        files = {f"{index:05d}.png": sample for index, sample in enumerate(samples)}
        _check_holds_only(out, files.keys())
        for name, sample in files.items():
            write_png(out / name, to_image(sample))


def _check_holds_only(folder: Path, names: Set[str]) -> None:
    # A folder of samples is read as a whole: other files in it would count as samples too.
    with storing(folder):
        others = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if others := [name for name in others if name not in names and not name.startswith(".")]:
        raise InputError(
            f"{folder} holds {len(others)} other file(s), {others[0]} the first; samples need a folder of "
            "their own: give a new or empty one."
        )

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

from wgan.core.devices import find_device
from wgan.core.files import storing, write_atomically
from wgan.errors import InputError
from wgan.images import show, to_image, write_png
from wgan.labels import class_number, in_turn
from wgan.latents import latents
from wgan.networks import build, generate
from wgan.runs import RunFolder, load_latest

Label = int | str | Sequence[float]
"""The number or name of a class, or the attributes."""
BATCH = 256
"""Latents that go through the generator at once."""
MOST = 2**31
"""More samples than this are asked for by mistake."""


@dataclass(frozen=True)
class Sampler:
    """A generator ready to draw from: the moving average of a run, in evaluation mode.

    Attributes:
        generator: Maps latents (N, latent_dim) to samples (N, *shape).
        latent_dim: Length of a latent.
        step: After how many steps of its run; None for a generator without one.
        classes: What a generator of classes can be asked for, by name; None for any other.
        attributes: How many attributes a generator of attributes takes; 0 for any other.
    """

    generator: nn.Module
    latent_dim: int
    step: int | None = None
    classes: tuple[str, ...] | None = None
    attributes: int = 0

    @classmethod
    def load(
        cls, run_dir: str | PathLike[str], *, device: str = "auto", generator: nn.Module | None = None
    ) -> Self:
        """The sampler of a run's last whole checkpoint.

        Args:
            run_dir: The run's folder.
            device: Where to sample; ``auto`` is a GPU if there is one.
            generator: The module to load weights into, for a generator that is not one of wgan's own.

        Raises:
            InputError: This is no run, it has no whole checkpoint, or the generator cannot be built.
        """
        folder = RunFolder(Path(run_dir))
        config = folder.read_config()
        checkpoint = load_latest(folder.checkpoints, groups=("average",))
        if checkpoint is None:
            raise InputError(f"{folder.path} has no checkpoint yet; train it first.")
        described, latent_dim = config.get("generator"), config.get("latent_dim")
        if not isinstance(described, dict) or not isinstance(latent_dim, int):
            raise InputError(f"{folder.config_file} does not say what generator the run trained.")
        network = build(described) if generator is None else generator
        try:
            network.load_state_dict(checkpoint.tensors["average"])
        except RuntimeError as error:
            raise InputError(f"The weights in {folder.path} are not those of this generator.") from error
        network = network.to(find_device(device)).eval().requires_grad_(False)
        asked = config.get("labels") or {}
        classes = tuple(asked["classes"]) if "classes" in asked else None
        return cls(network, latent_dim, checkpoint.step, classes, len(asked.get("attributes", ())))

    def __call__(
        self, count: int, *, seed: int = 0, label: Label | None = None, truncation: float = 1.0
    ) -> Tensor:
        """Draw samples.

        Args:
            count: How many, in [1, 2^31).
            seed: In [0, 2^64). The same seed gives the same samples, and the first of them for any count.
            label: Of a conditional generator: see :meth:`labels`.
            truncation: In (0, 1], see :meth:`latents`.

        Returns:
            (count, *shape) float32 on the CPU; images in [-1, 1].

        Raises:
            InputError: An argument is out of its range, or there is no such class.
        """
        return self.at(self.latents(count, seed=seed, truncation=truncation), self.labels(count, label))

    def latents(self, count: int, *, seed: int = 0, truncation: float = 1.0) -> npt.NDArray[np.float32]:
        """The latents (count, latent_dim) behind the samples of this seed.

        Args:
            count: How many, in [1, 2^31).
            seed: In [0, 2^64).
            truncation: In (0, 1]: a factor on the latents. Less is nearer to what is typical, and less varied
                (the interpolation towards the mean of Karras et al. 2019, "A Style-Based Generator
                Architecture", section 5 and appendix B, in the space of latents).

        Raises:
            InputError: An argument is out of its range.
        """
        if not 1 <= count < MOST:
            raise InputError(f"count must be at least 1 and less than 2^31, not {count}.")
        check_truncation(truncation)
        return latents(count, self.latent_dim, seed) * np.float32(truncation)

    def labels(self, count: int, label: Label | None = None) -> npt.NDArray[Any] | None:
        """What the generator is asked for, once for each of ``count`` samples.

        Args:
            count: How many.
            label: The name or number of a class, or None: every class in turn; or the attributes, (k,).

        Returns:
            int64 (count,) classes, float32 (count, k) attributes, or None for a generator without labels.

        Raises:
            InputError: There is no such class, or the generator takes other labels, or none.
        """
        if self.attributes:
            return _repeated(label, count, self.attributes)
        if label is None:
            return None if self.classes is None else in_turn(count, len(self.classes))
        if not isinstance(label, int | str | np.integer):
            raise InputError(
                "This generator takes no attributes; give the name or number of a class, if any."
            )
        return np.full(count, class_number(label, self.classes), np.int64)

    @torch.no_grad()
    def at(self, points: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Tensor:
        """The samples (N, *shape) float32 at these latents (N, latent_dim) of any real type, on the CPU.

        Args:
            points: The latents.
            labels: Of a conditional generator: classes (N,), weights of classes (N, classes), or attributes
                (N, k); None: every class in turn.

        Raises:
            InputError: Latents or labels do not fit the generator.
        """
        given = np.asarray(points, np.float32)
        if given.ndim != 2 or given.shape[1] != self.latent_dim:
            raise InputError(
                f"Latents of shape {given.shape} do not fit a generator of latents (N, {self.latent_dim})."
            )
        asked = self.labels(len(given)) if labels is None else fitting_labels(labels, self, len(given))
        device = next(self.generator.parameters()).device
        made = []
        for start in range(0, max(1, len(given)), BATCH):  # none make an empty batch
            some = torch.from_numpy(given[start : start + BATCH]).to(device)
            by = None if asked is None else torch.from_numpy(asked[start : start + BATCH]).to(device)
            made.append(generate(self.generator, some, by).float().cpu())
        return torch.cat(made)


def check_truncation(truncation: float) -> float:
    """The truncation, or InputError if it is not in (0, 1]."""
    if not 0 < truncation <= 1:
        raise InputError(f"truncation must be in (0, 1], not {truncation}.")
    return truncation


def _repeated(label: Label | None, count: int, attributes: int) -> npt.NDArray[np.float32]:
    if label is None or isinstance(label, int | str | np.integer) or len(label) != attributes:
        raise InputError(
            f"This generator makes samples of {attributes} attribute(s): give {attributes} number(s)."
        )
    return np.tile(np.asarray(label, np.float32), (count, 1))


def fitting_labels(labels: npt.ArrayLike, sampler: Sampler, count: int) -> npt.NDArray[Any]:
    """The labels, as :meth:`Sampler.at` takes them, as an array that the generator can take.

    Raises:
        InputError: They do not fit the generator or the count.
    """
    given = np.asarray(labels)
    width = len(sampler.classes) if sampler.classes is not None else sampler.attributes
    if width == 0:
        raise InputError("This generator takes no labels.")
    if given.ndim == 1 and sampler.classes is not None and given.dtype.kind in "iu":
        if len(given) == count and given.size and given.min() >= 0 and given.max() < width:
            return given.astype(np.int64)
        raise InputError(f"Labels must be {count} whole numbers in [0, {width}), one for each latent.")
    if given.shape != (count, width) or not np.isfinite(given.astype(np.float64)).all():
        raise InputError(
            f"Labels of shape {given.shape} do not fit: give finite numbers, ({count}, {width})."
        )
    return given.astype(np.float32)


def check_out(out: Path) -> None:
    """Raise InputError unless samples can be written to a path of this ending."""
    if out.suffix not in ("", ".npz", ".png"):
        raise InputError(f"Cannot write samples as {out.suffix!r}; use .npz, .png, or a folder's name.")


def save_samples(
    out: Path,
    samples: npt.NDArray[np.float32],
    points: npt.NDArray[np.float32],
    labels: npt.NDArray[Any] | None = None,
    *,
    columns: int | None = None,
) -> None:
    """Write samples as the kind of file that the path's ending names.

    Args:
        out: ``x.npz``: arrays ``samples``, ``latents`` and, if there are any, ``labels``. ``x.png``: one
            image of all of them. No ending: a folder, made if need be, of one PNG a sample, nothing else.
        samples: (N, C, H, W) in [-1, 1], or (N, d).
        points: Their latents (N, latent_dim).
        labels: Their labels, if they have any.
        columns: Of the one image.

    Raises:
        InputError: The ending is another one; a folder is asked for and holds other files, or the samples
            are no images.
        StorageError: The file system refuses.
    """
    check_out(out)
    if out.suffix == ".npz":
        arrays = {"samples": samples, "latents": points} | ({} if labels is None else {"labels": labels})
        write_atomically(out, lambda file: np.savez(file, **arrays))
    elif out.suffix == ".png":
        write_png(out, show(samples, columns=columns))
    else:
        files = {f"{index:05d}.png": sample for index, sample in enumerate(samples)}
        _refuse_others(out, files.keys())
        for name, sample in files.items():
            write_png(out / name, to_image(sample))


def _refuse_others(folder: Path, names: Set[str]) -> None:
    # A folder of samples is read as a whole: what lies there from elsewhere would count as samples too.
    with storing(folder):
        others = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if others := [name for name in others if name not in names and not name.startswith(".")]:
        raise InputError(
            f"{folder} holds {len(others)} other file(s), {others[0]} the first; samples need a folder of "
            "their own: give a new or empty one."
        )

"""Drawing samples from a trained generator."""

from collections.abc import Set
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wgan.devices import find_device
from wgan.errors import InputError
from wgan.files import storing, write_atomically
from wgan.networks import build, latents
from wgan.pictures import picture, show, write_png
from wgan.runs import RunFolder, load_latest

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
    """

    generator: nn.Module
    latent_dim: int
    step: int | None = None

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
        return cls(network, latent_dim, checkpoint.step)

    def __call__(self, count: int, *, seed: int = 0) -> Tensor:
        """Draw samples.

        Args:
            count: How many, in [1, 2^31).
            seed: In [0, 2^64). The same seed gives the same samples, and the first of them for any count.

        Returns:
            (count, *shape) float32 on the CPU; pictures in [-1, 1].

        Raises:
            InputError: An argument is out of its range.
        """
        return self.at(self.latents(count, seed=seed))

    def latents(self, count: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
        """The latents (count, latent_dim) behind the samples of this seed.

        Raises:
            InputError: An argument is out of its range.
        """
        if not 1 <= count < MOST:
            raise InputError(f"count must be at least 1 and less than 2^31, not {count}.")
        return latents(count, self.latent_dim, seed)

    @torch.no_grad()
    def at(self, points: npt.ArrayLike) -> Tensor:
        """The samples (N, *shape) float32 at these latents (N, latent_dim) of any real type, on the CPU.

        Raises:
            InputError: The latents have another length than the generator's.
        """
        given = np.asarray(points, np.float32)
        if given.ndim != 2 or given.shape[1] != self.latent_dim:
            raise InputError(
                f"Latents of shape {given.shape} do not fit a generator of latents (N, {self.latent_dim})."
            )
        device = next(self.generator.parameters()).device
        batches = torch.split(torch.from_numpy(given), BATCH)
        return torch.cat([self.generator(batch.to(device)).float().cpu() for batch in batches])


def check_out(out: Path) -> None:
    """Raise InputError unless samples can be written to a path of this ending."""
    if out.suffix not in ("", ".npz", ".png"):
        raise InputError(f"Cannot write samples as {out.suffix!r}; use .npz, .png, or a folder's name.")


def save_samples(out: Path, samples: npt.NDArray[np.float32], points: npt.NDArray[np.float32]) -> None:
    """Write samples as the kind of file that the path's ending names.

    Args:
        out: ``x.npz``: arrays ``samples`` and ``latents``. ``x.png``: one picture of all of them. No ending:
            a folder, made if need be, of one PNG a sample and nothing else.
        samples: (N, C, H, W) in [-1, 1], or (N, d).
        points: Their latents (N, latent_dim).

    Raises:
        InputError: The ending is another one; a folder is asked for and holds other files, or the samples
            are no pictures.
        StorageError: The file system refuses.
    """
    check_out(out)
    if out.suffix == ".npz":
        write_atomically(out, lambda file: np.savez(file, samples=samples, latents=points))
    elif out.suffix == ".png":
        write_png(out, show(samples))
    else:
        files = {f"{index:05d}.png": sample for index, sample in enumerate(samples)}
        _refuse_others(out, files.keys())
        for name, sample in files.items():
            write_png(out / name, picture(sample))


def _refuse_others(folder: Path, names: Set[str]) -> None:
    # A folder of samples is read as a whole: what lies there from elsewhere would count as samples too.
    with storing(folder):
        others = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if others := [name for name in others if name not in names and not name.startswith(".")]:
        raise InputError(
            f"{folder} holds {len(others)} other file(s), {others[0]} the first; samples need a folder of "
            "their own: give a new or empty one."
        )

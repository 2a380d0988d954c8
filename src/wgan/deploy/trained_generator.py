"""What is exported: the averaged generator of a run, with its inputs and the data it learned from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wgan.artifact import Feed, Samples
from wgan.data import Dataset, reload_dataset
from wgan.errors import InputError
from wgan.labels import cycle_classes
from wgan.latents import draw_latents
from wgan.networks import generate
from wgan.runs import RunFolder
from wgan.sampling import Sampler

INCIDENTAL = ("format", "origin", "versions", "steps")
"""Parts of a configuration that do not say which run it is."""
BATCH = 64
"""Samples that go through a generator at once."""

Labels = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class TrainedGenerator:
    """A run's generator on the CPU, and what is known of it.

    Attributes:
        folder: The run.
        config: Its ``config.json``.
        sampler: Its averaged generator.
        shape: Of one sample.
    """

    folder: RunFolder
    config: Mapping[str, Any]
    sampler: Sampler
    shape: tuple[int, ...]

    @classmethod
    def load(cls, run_dir: str | Path, generator: nn.Module | None = None) -> Self:
        """The generator of a run.

        Raises:
            InputError: This is no run, it has no checkpoint, or its generator cannot be built or takes
                attributes.
        """
        folder = RunFolder(Path(run_dir))
        sampler = Sampler.load(folder.path, device="cpu", generator=generator)
        if sampler.attributes:
            raise InputError(
                f"The generator of {folder.path} takes attributes, and an artifact takes classes or nothing; "
                "only `wgan sample` draws from it."
            )
        shape = tuple(sampler(1).shape[1:])
        return cls(folder, folder.read_config(), sampler, shape)

    @property
    def example(self) -> list[Tensor]:
        """Inputs for two samples."""
        return [torch.from_numpy(values) for values in self.feed(2).values()]

    def feed(self, count: int, *, seed: int = 0, labels: Labels | None = None) -> Feed:
        """The inputs of so many samples; every class in turn where no labels are given."""
        return feed(count, self.sampler.latent_dim, self.sampler.classes, seed=seed, labels=labels)

    def forward(self, given: Feed) -> Samples:
        """The samples, straight from the network."""
        points = torch.from_numpy(given["latents"])
        labels = torch.from_numpy(given["labels"]) if "labels" in given else None
        with torch.inference_mode():
            samples: Samples = generate(self.sampler.generator, points, labels).numpy()
        return samples

    def dataset(self, against: Dataset | None, data_dir: Path | None) -> Dataset:
        """What the run learned from, or other real samples of its shape.

        Raises:
            InputError: The data cannot be loaded again, changed, or are of another shape.
        """
        found = against or reload_dataset(
            self.config.get("dataset"), str(self.folder.path), data_dir=data_dir
        )
        if found.shape != self.shape:
            raise InputError(
                f"{found.name} holds samples of shape {found.shape} and {self.folder.path} makes "
                f"{self.shape}: only samples of one shape can be compared."
            )
        return found

    def identity(self) -> dict[str, Any]:
        """Which run this is, how far it came, and the weights themselves by their checksum."""
        kept = {name: value for name, value in self.config.items() if name not in INCIDENTAL}
        weights = hashlib.sha256()
        for name, tensor in self.sampler.generator.state_dict().items():
            weights.update(f"{name} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
        return {
            "name": self.folder.path.resolve().name,
            "id": hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest(),
            "step": self.sampler.step,
            "weights": weights.hexdigest(),
            "generator": self.config.get("generator"),
        }


def feed(
    count: int,
    latent_dim: int,
    classes: tuple[str, ...] | None,
    *,
    seed: int = 0,
    labels: Labels | None = None,
) -> Feed:
    """The inputs of so many samples of a seed; every class in turn where no labels are given."""
    given: Feed = {"latents": draw_latents(count, latent_dim, seed)}
    if classes is not None:
        given["labels"] = cycle_classes(count, len(classes)) if labels is None else labels
    return given


def batches(given: Feed) -> list[Feed]:
    """The inputs, a batch at a time."""
    starts = range(0, len(given["latents"]), BATCH)
    return [{name: values[start : start + BATCH] for name, values in given.items()} for start in starts]

"""The trained generator of a run, with its inputs and dataset: what is exported."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import torch
from torch import Tensor

from wgan.artifact import Feed, Labels, Samples
from wgan.data import Dataset, reload_dataset
from wgan.errors import InputError
from wgan.labels import cycle_classes
from wgan.latents import draw_latents
from wgan.networks import generate
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.training.config import identity

BATCH = 64
"""Batch size for generating many samples."""


@final
@dataclass(frozen=True, eq=False)
class TrainedGenerator:
    """The averaged generator of a run, on the CPU.

    Attributes:
        folder: The run's folder.
        config: Its ``config.json``.
        sampler: Draws from the averaged generator.
        shape: Shape of one sample.
    """

    folder: RunFolder
    config: Mapping[str, Any]
    sampler: Sampler
    shape: tuple[int, ...]

    @classmethod
    def load(cls, run: str | Path | Sampler) -> Self:
        """Load the generator of a run.

        Raises:
            InputError: This is not a run, it has no checkpoint, its generator cannot be built, or it is
                conditioned on attributes.
        """
        sampler = run if isinstance(run, Sampler) else Sampler.load(run, device="cpu")
        if sampler.run is None:
            raise InputError("The sampler is not of a run; load it by Sampler.load.")
        folder = RunFolder(sampler.run)
        if sampler.attributes:
            raise InputError(
                f"The generator of {folder.path} takes attributes, and an artifact can only take classes; "
                "use `wgan sample` to draw from it."
            )
        shape = tuple(sampler(1).shape[1:])
        return cls(folder, folder.read_config(), sampler, shape)

    @property
    def example(self) -> list[Tensor]:
        """Tensors for two samples, to trace the network with."""
        return [torch.from_numpy(values) for values in self.feed(2).values()]

    def feed(self, count: int, *, seed: int = 0, labels: Labels | None = None) -> Feed:
        """Inputs for ``count`` samples; see :func:`feed`."""
        return feed(count, self.sampler.latent_dim, self.sampler.classes, seed=seed, labels=labels)

    def forward(self, inputs: Feed) -> Samples:
        """The samples of the network in torch."""
        points = torch.from_numpy(inputs["latents"])
        labels = torch.from_numpy(inputs["labels"]) if "labels" in inputs else None
        with torch.inference_mode():
            samples: Samples = generate(self.sampler.generator, points, labels).numpy()
        return samples

    def dataset(self, against: Dataset | None, data_dir: Path | None) -> Dataset:
        """The run's dataset, or ``against``.

        Raises:
            InputError: The data cannot be loaded again, have changed, or are of another shape.
        """
        dataset = against or reload_dataset(
            self.config.get("dataset"), str(self.folder.path), data_dir=data_dir
        )
        if dataset.shape != self.shape:
            raise InputError(
                f"{dataset.name} has samples of shape {dataset.shape} and {self.folder.path} makes "
                f"{self.shape}: only samples of one shape can be compared."
            )
        return dataset

    def identity(self) -> dict[str, Any]:
        """Name and id of the run, its step, and a checksum of the weights."""
        weights = hashlib.sha256()
        for name, tensor in self.sampler.generator.state_dict().items():
            weights.update(f"{name} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
        return {
            "name": self.folder.path.resolve().name,
            "id": hashlib.sha256(json.dumps(identity(self.config), sort_keys=True).encode()).hexdigest(),
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
    """Inputs for ``count`` samples of a seed; labels are every class in turn by default."""
    inputs: Feed = {"latents": draw_latents(count, latent_dim, seed)}
    if classes is not None:
        inputs["labels"] = cycle_classes(count, len(classes)) if labels is None else labels
    return inputs


def batches(inputs: Feed) -> list[Feed]:
    """Split inputs into batches of :data:`BATCH`."""
    starts = range(0, len(inputs["latents"]), BATCH)
    return [{name: values[start : start + BATCH] for name, values in inputs.items()} for start in starts]

"""Validation of an exported generator against the run's, at the export and later on other machines."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Self, final

import numpy as np

from wgan.artifact import Artifact, Feed, Labels, Samples
from wgan.data import Dataset
from wgan.deploy.latency import Latency, measure
from wgan.deploy.reference_statistics import (
    Forward,
    Quality,
    ReferenceStatistics,
    find_extractor,
    largest_error,
)
from wgan.deploy.trained_generator import TrainedGenerator, feed
from wgan.errors import GateError, InputError

GATE = 1.05
"""The quality gate: largest ratio of the Frechet distances after and before the export."""
EXACT = 1e-4
"""Largest error of a float32 artifact, times the largest value where that is above 1."""
PARITY_SAMPLES = 64
"""Number of samples stored in an artifact, to compare its own with."""
REFERENCE_FILE = "reference.npz"
CLASSIFIER_FILE = "judge.safetensors"

_PARITY_SEED, _QUALITY_SEED = 0, 1


@final
@dataclass(frozen=True)
class Validation:
    """Measured differences between an artifact and the run's generator.

    Attributes:
        error: Largest absolute difference of a value for the same inputs.
        allowed: Largest allowed error; None for int8, where only the gate applies.
        quality: Frechet distances of both for the same inputs.
        gate: Largest allowed ratio of the distances.
    """

    error: float
    allowed: float | None
    quality: Quality
    gate: float

    def check(self, what: str, advice: str) -> None:
        """Raise GateError, with the numbers, unless the artifact passes."""
        if self.allowed is not None and not self.error <= self.allowed:
            raise GateError(
                f"{what} differs from the run's generator: a value differs by {self.error:.3g}, and in "
                f"float32 at most {self.allowed:.1g} is allowed (Frechet distance {self._distances()}). "
                f"{advice}"
            )
        if not self.quality.ratio <= self.gate:
            raise GateError(
                f"{what} is worse than the gate of {self.gate:g} allows: Frechet distance {self._distances()}"
                f"; a value differs by at most {self.error:.3g}. {advice}"
            )

    def _distances(self) -> str:
        quality = self.quality
        return f"{quality.before:.5g} -> {quality.after:.5g}, {quality.ratio:.4g} times"


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """The reference that an artifact is compared with, with or without the run.

    Attributes:
        parity_inputs: Inputs of a few samples.
        samples: Samples of the run's generator for these inputs.
        quality_inputs: Inputs for the Frechet distance.
        before: Frechet distance of the run's generator for these inputs.
        reference_statistics: Statistics of the real samples.
    """

    parity_inputs: Feed
    samples: Samples
    quality_inputs: Feed
    before: float
    reference_statistics: ReferenceStatistics

    @classmethod
    def of(
        cls,
        trained: TrainedGenerator,
        dataset: Dataset,
        reference_statistics: ReferenceStatistics,
        count: int,
    ) -> Self:
        """The reference of a run's generator, with ``count`` samples for the Frechet distance."""
        parity_inputs = trained.feed(PARITY_SAMPLES, seed=_PARITY_SEED)
        quality_inputs = trained.feed(count, seed=_QUALITY_SEED, labels=_labels(trained, dataset, count))
        return cls(
            parity_inputs,
            trained.forward(parity_inputs),
            quality_inputs,
            reference_statistics.distance(trained.forward, quality_inputs),
            reference_statistics,
        )

    @classmethod
    def read(cls, artifact: Artifact) -> Self:
        """Read the reference in an artifact.

        Raises:
            InputError: It is missing or incomplete.
            MissingExtraError: The feature extractor needs an optional package.
        """
        quality = artifact.provenance.get("quality", {})
        try:
            with np.load(artifact.path / REFERENCE_FILE, allow_pickle=False) as arrays:
                stored = {name: arrays[name] for name in arrays.files}
            origin = quality["provenance"]
            extractor, _ = find_extractor(
                artifact.path / CLASSIFIER_FILE if CLASSIFIER_FILE in artifact.files else origin["extractor"],
                artifact.shape,
            )
            if extractor.hash != origin["extractor_hash"]:
                raise InputError(
                    f"{artifact.path} was measured with another {extractor.name} than this version's; "
                    "export it again."
                )
            reference_statistics = ReferenceStatistics(
                extractor, stored["mean"], stored["factor"], origin["n_real"], origin["split"]
            )
            parity_inputs = feed(PARITY_SAMPLES, artifact.latent_dim, artifact.classes, seed=_PARITY_SEED)
            quality_inputs = feed(
                origin["n_fake"],
                artifact.latent_dim,
                artifact.classes,
                seed=_QUALITY_SEED,
                labels=stored.get("asked"),
            )
            before = float(quality["before"])
            return cls(parity_inputs, stored["samples"], quality_inputs, before, reference_statistics)
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{artifact.path} lacks a part of its reference ({error}); export it again."
            ) from error

    def arrays(self) -> dict[str, Any]:
        """Contents of ``reference.npz``; the inputs are functions of seeds, except the labels."""
        labels = {"asked": self.quality_inputs["labels"]} if "labels" in self.quality_inputs else {}
        return {
            "samples": self.samples,
            "mean": self.reference_statistics.mean,
            "factor": self.reference_statistics.factor,
        } | labels

    def validate(self, forward: Forward, *, int8: bool, gate: float) -> Validation:
        """Compare an exported generator with the reference."""
        error = largest_error(forward, self.parity_inputs, self.samples)
        allowed = None if int8 else EXACT * max(1.0, float(np.abs(self.samples).max()))
        return Validation(
            error,
            allowed,
            Quality(self.before, self.reference_statistics.distance(forward, self.quality_inputs)),
            gate,
        )


def _labels(trained: TrainedGenerator, dataset: Dataset, count: int) -> Labels | None:
    """Labels as frequent as those of the real samples, shuffled."""
    if trained.sampler.classes is None or trained.sampler.classes != dataset.classes:
        return None
    labels = dataset.train.even_labels(count)
    order = np.random.RandomState(_QUALITY_SEED).permutation(count)
    return None if labels is None else labels.numpy()[order]


def describe_validation(
    reference: Reference, validation: Validation, latency: list[Latency]
) -> Mapping[str, Any]:
    """The validation as JSON values for ``artifact.json``."""
    quality = validation.quality
    origin = reference.reference_statistics.provenance(len(reference.quality_inputs["latents"]))
    return {
        "parity": {
            "max_abs_error": validation.error,
            "allowed": validation.allowed,
            "samples": PARITY_SAMPLES,
        },
        "quality": {
            "metric": origin.label,
            "before": quality.before,
            "after": quality.after,
            "ratio": quality.ratio,
            "gate": validation.gate,
            "provenance": asdict(origin),
        },
        "latency": [asdict(row) for row in latency],
    }


def measure_latencies(
    generators: Mapping[str, Forward], reference: Reference, seconds: float
) -> list[Latency]:
    """The latency of generators for the reference's inputs."""
    inputs = reference.parity_inputs
    return measure({name: (forward, inputs) for name, forward in generators.items()}, seconds=seconds)


def verify(
    path: str | Path, *, gate: float | None = None, seconds: float = 0.5
) -> tuple[Validation, list[Latency]]:
    """Validate an artifact again, on this machine and without its run.

    Args:
        path: The artifact.
        gate: Largest allowed ratio of the distances; None for that of the export.
        seconds: Time for which each batch size is timed.

    Returns:
        The validation, which may fail: see :meth:`Validation.check`; and the latency on one thread.

    Raises:
        InputError: This is not an artifact, or it was changed.
        MissingExtraError: A package is not installed.
    """
    if gate is not None:
        check_gate(gate)
    artifact = Artifact.load(path)
    reference = Reference.read(artifact)
    runtime = artifact.runtime(threads=1)
    allowed = artifact.provenance["quality"]["gate"] if gate is None else gate
    validation = reference.validate(runtime.forward, int8=artifact.precision == "int8", gate=allowed)
    return validation, measure_latencies({artifact.path.name: runtime.forward}, reference, seconds)


def check_gate(gate: float) -> None:
    """Raise InputError unless the gate is a finite number > 0."""
    if not (isfinite(gate) and gate > 0):
        raise InputError(f"gate must be a finite number > 0, not {gate}.")

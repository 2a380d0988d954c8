"""The proof that an exported generator still is the run's, and what is kept to give it again elsewhere."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Self, final

import numpy as np

from wgan.artifact import Artifact, Feed, Samples
from wgan.data import Dataset
from wgan.deploy.latency import Latency, measure
from wgan.deploy.reference_statistics import (
    Forward,
    Quality,
    ReferenceStatistics,
    find_extractor,
    largest_error,
)
from wgan.deploy.trained_generator import Labels, TrainedGenerator, feed
from wgan.errors import GateError, InputError

GATE = 1.05
"""How many times larger the Frechet distance may become."""
EXACT = 1e-4
"""By how much a number in float32 may differ from the run's, times the largest one where that is over 1."""
KEPT = 64
"""Samples that are kept with an artifact, to hold it against."""
REFERENCE = "reference.npz"
JUDGE = "judge.safetensors"

_PARITY_SEED, _QUALITY_SEED = 0, 1


@final
@dataclass(frozen=True)
class Validation:
    """What was measured of an artifact.

    Attributes:
        error: The largest difference of a number to the run's generator at the same inputs.
        allowed: The largest that may be; None for int8, whose error only the gate judges.
        quality: The Frechet distances of both, at the same inputs.
        gate: How many times larger the distance may be.
    """

    error: float
    allowed: float | None
    quality: Quality
    gate: float

    def check(self, what: str, advice: str) -> None:
        """Raise GateError, with the numbers, unless it passes."""
        if self.allowed is not None and not self.error <= self.allowed:
            raise GateError(
                f"{what} is not the run's generator: a number differs by {self.error:.3g}, and in float32 "
                f"it may by {self.allowed:.1g} (Frechet distance {self._told()}). {advice}"
            )
        if not self.quality.ratio <= self.gate:
            raise GateError(
                f"{what} is worse than the gate of {self.gate:g} allows: Frechet distance {self._told()}; a "
                f"number differs by {self.error:.3g} at most. {advice}"
            )

    def _told(self) -> str:
        quality = self.quality
        return f"{quality.before:.5g} -> {quality.after:.5g}, {quality.ratio:.4g} times"


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """What an artifact is held against, with or without the run.

    Attributes:
        given: Inputs of a few samples.
        samples: The samples of the run's generator at these.
        asked: The inputs that the quality is measured at.
        before: The Frechet distance of the run's generator at these.
        ruler: What measures it.
    """

    given: Feed
    samples: Samples
    asked: Feed
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
        """The reference of a run's generator, with ``count`` samples for the quality."""
        given = trained.feed(KEPT, seed=_PARITY_SEED)
        asked = trained.feed(count, seed=_QUALITY_SEED, labels=_labels(trained, dataset, count))
        return cls(
            given,
            trained.forward(given),
            asked,
            reference_statistics.distance(trained.forward, asked),
            reference_statistics,
        )

    @classmethod
    def read(cls, artifact: Artifact) -> Self:
        """The reference that lies in an artifact.

        Raises:
            InputError: It is not there or incomplete.
            MissingExtraError: What made the features needs an optional package.
        """
        said = artifact.provenance
        try:
            with np.load(artifact.path / REFERENCE, allow_pickle=False) as arrays:
                kept = {name: arrays[name] for name in arrays.files}
            origin, quality = said["quality"]["provenance"], said["quality"]
            extractor, _ = find_extractor(
                artifact.path / JUDGE if JUDGE in artifact.files else origin["extractor"], artifact.shape
            )
            if extractor.hash != origin["extractor_hash"]:
                raise InputError(
                    f"{artifact.path} was measured with another {extractor.name} than this version's; "
                    "export it again."
                )
            reference_statistics = ReferenceStatistics(
                extractor, kept["mean"], kept["factor"], origin["n_real"], origin["split"]
            )
            given = feed(KEPT, artifact.latent_dim, artifact.classes, seed=_PARITY_SEED)
            asked = feed(
                origin["n_fake"],
                artifact.latent_dim,
                artifact.classes,
                seed=_QUALITY_SEED,
                labels=kept.get("asked"),
            )
            return cls(given, kept["samples"], asked, float(quality["before"]), reference_statistics)
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{artifact.path} does not hold what it can be verified against ({error}); export it again."
            ) from error

    def arrays(self) -> dict[str, Any]:
        """What goes into ``reference.npz``; the inputs are functions of seeds, but for the labels asked."""
        asked = {"asked": self.asked["labels"]} if "labels" in self.asked else {}
        return {
            "samples": self.samples,
            "mean": self.reference_statistics.mean,
            "factor": self.reference_statistics.factor,
        } | asked

    def validate(self, forward: Forward, *, int8: bool, gate: float) -> Validation:
        """Hold an exported generator against it."""
        error = largest_error(forward, self.given, self.samples)
        allowed = None if int8 else EXACT * max(1.0, float(np.abs(self.samples).max()))
        return Validation(
            error,
            allowed,
            Quality(self.before, self.reference_statistics.distance(forward, self.asked)),
            gate,
        )


def _labels(trained: TrainedGenerator, dataset: Dataset, count: int) -> Labels | None:
    """Labels as frequent as those of the real samples, in an order that mixes them."""
    if trained.sampler.classes is None or trained.sampler.classes != dataset.classes:
        return None
    labels = dataset.train.even_labels(count)
    order = np.random.RandomState(_QUALITY_SEED).permutation(count)
    return None if labels is None else labels.numpy()[order]


def told(reference: Reference, validation: Validation, latency: list[Latency]) -> Mapping[str, Any]:
    """The proof as ``artifact.json`` tells it."""
    quality, origin = (
        validation.quality,
        reference.reference_statistics.provenance(len(reference.asked["latents"])),
    )
    return {
        "parity": {"max_abs_error": validation.error, "allowed": validation.allowed, "samples": KEPT},
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


def timed(subjects: Mapping[str, Forward], reference: Reference, seconds: float) -> list[Latency]:
    """The latency of generators at the reference's inputs."""
    return measure({name: (call, reference.given) for name, call in subjects.items()}, seconds=seconds)


def verify(
    path: str | Path, *, gate: float | None = None, seconds: float = 0.5
) -> tuple[Validation, list[Latency]]:
    """Measure an artifact again, on this machine, without its run.

    Args:
        path: The artifact.
        gate: How many times larger the distance may be; None: as at the export.
        seconds: How long each batch size is timed for.

    Returns:
        The proof, which may not pass: see :meth:`Validation.check`; and the latency on one thread.

    Raises:
        InputError: This is no artifact, or one that was changed.
        MissingExtraError: A package is not there.
    """
    if gate is not None:
        check_gate(gate)
    artifact = Artifact.load(path)
    reference = Reference.read(artifact)
    runtime = artifact.runtime(threads=1)
    allowed = artifact.provenance["quality"]["gate"] if gate is None else gate
    validation = reference.validate(runtime.forward, int8=artifact.precision == "int8", gate=allowed)
    return validation, timed({artifact.path.name: runtime.forward}, reference, seconds)


def check_gate(gate: float) -> None:
    """Raise InputError for a gate that is no number > 0."""
    if not (isfinite(gate) and gate > 0):
        raise InputError(f"The gate must be a finite number > 0, not {gate}.")

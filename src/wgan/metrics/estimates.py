"""A measured number with its standard error, its floor and its provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, final

from wgan.metrics.extractors.inception import FID_HASH

_CAPITALS = {"fd", "kid", "kl", "w1"}


@final
class MetricValue(NamedTuple):
    """A number and its standard error over repetitions with as many samples; None if unknown."""

    value: float
    standard_error: float | None

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2g}"
        return f"{self.value:.4g}{error}"


@final
@dataclass(frozen=True)
class Provenance:
    """Origin of a number; numbers are comparable only if all of it is the same.

    Attributes:
        metric: 'fd', 'kid', 'precision', ...
        extractor: Name of the feature extractor.
        extractor_hash: SHA-256 of its weights and rules.
        resize: How it resizes images.
        n_real: Number of real samples.
        n_fake: Number of samples they were compared with.
        split: The real samples: their dataset, its fingerprint and the split.
        versions: Versions of the libraries, by name.
    """

    metric: str
    extractor: str
    extractor_hash: str
    resize: str
    n_real: int
    n_fake: int
    split: str
    versions: Mapping[str, str]

    @property
    def label(self) -> str:
        """Display name of the number; only the official extractor's Frechet distance is called FID."""
        if self.metric == "fd" and self.extractor_hash == FID_HASH:
            return "FID"
        return self.metric.upper() if self.metric in _CAPITALS else self.metric.replace("_", " ")

    def differences(self, other: Provenance) -> dict[str, tuple[Any, Any]]:
        """Each field in which two provenances differ, with both values; empty if numbers are comparable."""
        mine, theirs = dict(self._parts()), dict(other._parts())
        names = dict.fromkeys([*mine, *theirs])
        return {
            name: (mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)
        }

    def _parts(self) -> Iterator[tuple[str, Any]]:
        for field in fields(self):
            if field.name != "versions":
                yield field.name, getattr(self, field.name)
        yield from ((f"versions.{name}", version) for name, version in self.versions.items())

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"n = {self.n_real:,} real, {self.n_fake:,} fake; {self.extractor} {self.extractor_hash[:8]}, "
            f"resize: {self.resize}; {self.split}; {versions}"
        )


@final
@dataclass(frozen=True)
class Estimate:
    """A measured number.

    Attributes:
        value: The number.
        standard_error: Standard error of the value at this count, >= 0; None if unknown.
        floor: The same metric of real against real samples at the same count; None if there are too few.
        provenance: Origin of the number, counts included.
    """

    value: float
    standard_error: float | None
    floor: MetricValue | None
    provenance: Provenance

    @property
    def n(self) -> tuple[int, int]:
        """Number of real samples and of fakes."""
        return self.provenance.n_real, self.provenance.n_fake

    def __str__(self) -> str:
        floor = "unknown" if self.floor is None else str(self.floor)
        number = MetricValue(self.value, self.standard_error)
        return f"{self.provenance.label} {number} (floor {floor}; {self.provenance})"

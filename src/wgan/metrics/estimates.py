"""One number and all that has to be known about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, final

from wgan.metrics.extractors.inception import FID_HASH

_CAPITALS = {"fd", "kid", "kl", "w1"}


@final
class Value(NamedTuple):
    """A number and its standard error, over repetitions with samples of the same count; None if unknown."""

    value: float
    standard_error: float | None

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2g}"
        return f"{self.value:.4g}{error}"


@final
@dataclass(frozen=True)
class Provenance:
    """Where a number comes from: numbers compare only where all of this is the same.

    Attributes:
        metric: 'fd', 'kid', 'precision', ...
        extractor: The name of what made features of the samples.
        extractor_hash: SHA-256 of its weights and rules.
        resize: How it resizes images.
        n_real: How many real samples.
        n_fake: How many samples they were compared with.
        split: Which real samples: their source, its fingerprint and the split.
        versions: Of the libraries that computed it, by name.
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
        """What the number may be called: FID is the official extractor's alone."""
        if self.metric == "fd" and self.extractor_hash == FID_HASH:
            return "FID"
        return self.metric.upper() if self.metric in _CAPITALS else self.metric.replace("_", " ")

    def differences(self, other: Provenance) -> dict[str, tuple[Any, Any]]:
        """Each part in which two provenances differ, with both its values; empty where numbers compare."""
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
        standard_error: Of the value at this count, >= 0, or None if there is none.
        floor: The same metric of real against real samples at the same count; None if there are too few.
        provenance: What made it, the counts included.
    """

    value: float
    standard_error: float | None
    floor: Value | None
    provenance: Provenance

    @property
    def n(self) -> tuple[int, int]:
        """How many real samples, and how many fakes."""
        return self.provenance.n_real, self.provenance.n_fake

    def __str__(self) -> str:
        floor = "unknown" if self.floor is None else str(self.floor)
        number = Value(self.value, self.standard_error)
        return f"{self.provenance.label} {number} (floor {floor}; {self.provenance})"

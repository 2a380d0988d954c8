"""The Wasserstein-1 distance: exact between samples, in closed form, and bracketed between distributions."""

from wgan.wasserstein.auditing import audit
from wgan.wasserstein.bracket import Bracket
from wgan.wasserstein.exact import (
    Transport,
    jensen_shannon,
    wasserstein1,
    wasserstein1_gaussian_1d,
)

__all__ = [
    "Bracket",
    "Transport",
    "audit",
    "jensen_shannon",
    "wasserstein1",
    "wasserstein1_gaussian_1d",
]

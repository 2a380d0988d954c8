"""The Wasserstein-1 distance: exact between samples, in closed form, and bracketed between distributions."""

from wgan.wasserstein.auditing import audit
from wgan.wasserstein.bracket import Bracket
from wgan.wasserstein.exact import (
    SlicedDistance,
    Transport,
    jensen_shannon,
    sliced_wasserstein1,
    wasserstein1,
    wasserstein1_gaussian_1d,
    wasserstein1_shift,
    wasserstein2_gaussian,
)

__all__ = [
    "Bracket",
    "SlicedDistance",
    "Transport",
    "audit",
    "jensen_shannon",
    "sliced_wasserstein1",
    "wasserstein1",
    "wasserstein1_gaussian_1d",
    "wasserstein1_shift",
    "wasserstein2_gaussian",
]

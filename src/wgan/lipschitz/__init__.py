"""Everything that keeps a critic Lipschitz: the constraints of the literature, as three hooks each."""

from wgan.lipschitz.certificate import Certificate, LayerBound, certify
from wgan.lipschitz.clipping import WeightClipping
from wgan.lipschitz.constraint import Chain, Constraint
from wgan.lipschitz.extension import Extension
from wgan.lipschitz.extremal import Extremal
from wgan.lipschitz.orthogonal import GroupSort, Orthogonal, orthonormalise
from wgan.lipschitz.penalties import (
    DRAGAN,
    R1,
    R1R2,
    R2,
    GradientPenalty,
    LipschitzPenalty,
    MaxGradientPenalty,
)
from wgan.lipschitz.scores import mixes_samples, score, score_pair
from wgan.lipschitz.shard import Shard, own_rows
from wgan.lipschitz.spectral import SpectralNormalisation
from wgan.lipschitz.steepest import Steepest

CONSTRAINTS: dict[str, type[Constraint]] = {
    constraint.__name__: constraint
    for constraint in (
        WeightClipping,
        GradientPenalty,
        LipschitzPenalty,
        MaxGradientPenalty,
        DRAGAN,
        R1,
        R2,
        R1R2,
        SpectralNormalisation,
        Orthogonal,
        Chain,
    )
}

__all__ = [
    "CONSTRAINTS",
    "DRAGAN",
    "R1",
    "R1R2",
    "R2",
    "Certificate",
    "Chain",
    "Constraint",
    "Extension",
    "Extremal",
    "GradientPenalty",
    "GroupSort",
    "LayerBound",
    "LipschitzPenalty",
    "MaxGradientPenalty",
    "Orthogonal",
    "Shard",
    "SpectralNormalisation",
    "Steepest",
    "WeightClipping",
    "certify",
    "mixes_samples",
    "orthonormalise",
    "own_rows",
    "score",
    "score_pair",
]

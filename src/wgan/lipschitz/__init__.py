"""Everything that keeps a critic Lipschitz: the constraints of the literature, as three hooks each."""

from wgan.lipschitz.clipping import WeightClipping
from wgan.lipschitz.constraint import Chain, Constraint
from wgan.lipschitz.max_of_cones import MaxOfConesCritic
from wgan.lipschitz.mcshane import McShaneExtension
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
from wgan.lipschitz.spectral import SpectralNormalisation
from wgan.lipschitz.spectral_descent import SpectralDescent

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
    "Chain",
    "Constraint",
    "GradientPenalty",
    "GroupSort",
    "LipschitzPenalty",
    "MaxGradientPenalty",
    "MaxOfConesCritic",
    "McShaneExtension",
    "Orthogonal",
    "SpectralDescent",
    "SpectralNormalisation",
    "WeightClipping",
    "mixes_samples",
    "orthonormalise",
    "score",
    "score_pair",
]

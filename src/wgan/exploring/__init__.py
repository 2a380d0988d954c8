"""Control over a trained generator: from sample to sample, along a direction, from a sample to its latent."""

from wgan.exploring.archives import read_latents, read_samples
from wgan.exploring.directions import Directions, directions, strips
from wgan.exploring.inversion import Inversion, Progress, invert, sample_shape
from wgan.exploring.walks import Pace, Walk, check_walk_out, interpolate, slerp

__all__ = [
    "Directions",
    "Inversion",
    "Pace",
    "Progress",
    "Walk",
    "check_walk_out",
    "directions",
    "interpolate",
    "invert",
    "read_latents",
    "read_samples",
    "sample_shape",
    "slerp",
    "strips",
]

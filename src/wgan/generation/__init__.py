"""Control over a trained generator: from sample to sample, along a direction, from a sample to its latent."""

from wgan.generation.interpolation import Pace, Walk, check_walk_out, interpolate, slerp
from wgan.generation.inversion import Inversion, Progress, invert, sample_shape
from wgan.generation.latent_directions import Directions, directions, strips
from wgan.generation.latent_files import read_latents, read_samples

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

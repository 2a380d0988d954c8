"""Interpolation between latents, latent directions, and inversion of samples to latents."""

from wgan.generation.interpolation import LatentWalk, Pace, check_walk_path, interpolate, slerp
from wgan.generation.inversion import Inversion, invert, sample_shape
from wgan.generation.latent_directions import (
    LatentDirections,
    direction_strips,
    find_directions,
    stored_or_found,
)
from wgan.generation.latent_files import read_latents, read_samples

__all__ = [
    "Inversion",
    "LatentDirections",
    "LatentWalk",
    "Pace",
    "check_walk_path",
    "direction_strips",
    "find_directions",
    "interpolate",
    "invert",
    "read_latents",
    "read_samples",
    "sample_shape",
    "slerp",
    "stored_or_found",
]

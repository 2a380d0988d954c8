"""Generators and critics, and the families that make a matching pair for samples of a given shape."""

from wgan.networks.dcgan import DCGAN, DCGANCritic, DCGANGenerator
from wgan.networks.description import NETWORKS, build, describe
from wgan.networks.latent import latents
from wgan.networks.mlp import MLP, MLPCritic, MLPGenerator
from wgan.networks.summary import Layer, layers

__all__ = [
    "DCGAN",
    "MLP",
    "NETWORKS",
    "DCGANCritic",
    "DCGANGenerator",
    "Layer",
    "MLPCritic",
    "MLPGenerator",
    "build",
    "describe",
    "latents",
    "layers",
]

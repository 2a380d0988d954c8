"""Generators and critics, and the families that make a matching pair for samples of a given shape."""

from wgan.networks.conditioning import Condition, generate
from wgan.networks.dcgan import DCGAN, DCGANCritic, DCGANGenerator
from wgan.networks.description import NETWORKS, build, describe
from wgan.networks.mlp import MLP, MLPCritic, MLPGenerator
from wgan.networks.normfree import NormFree, NormFreeCritic, NormFreeGenerator
from wgan.networks.resnet import ResNet, ResNetCritic, ResNetGenerator
from wgan.networks.summary import Layer, layers

__all__ = [
    "DCGAN",
    "MLP",
    "NETWORKS",
    "Condition",
    "DCGANCritic",
    "DCGANGenerator",
    "Layer",
    "MLPCritic",
    "MLPGenerator",
    "NormFree",
    "NormFreeCritic",
    "NormFreeGenerator",
    "ResNet",
    "ResNetCritic",
    "ResNetGenerator",
    "build",
    "describe",
    "generate",
    "layers",
]

"""Generators and critics, and the families that build a matching pair for samples of a given shape."""

from wgan.networks.conditioning import Condition, generate
from wgan.networks.custom import describe_custom, import_network, network_of
from wgan.networks.dcgan import DCGAN, DCGANCritic, DCGANGenerator
from wgan.networks.description import NETWORKS, build, describe
from wgan.networks.mlp import MLP, MLPCritic, MLPGenerator
from wgan.networks.r3gan import R3GAN, R3GANCritic, R3GANGenerator
from wgan.networks.resnet import ResNet, ResNetCritic, ResNetGenerator
from wgan.networks.summary import LayerSummary, summarise

__all__ = [
    "DCGAN",
    "MLP",
    "NETWORKS",
    "R3GAN",
    "Condition",
    "DCGANCritic",
    "DCGANGenerator",
    "LayerSummary",
    "MLPCritic",
    "MLPGenerator",
    "R3GANCritic",
    "R3GANGenerator",
    "ResNet",
    "ResNetCritic",
    "ResNetGenerator",
    "build",
    "describe",
    "describe_custom",
    "generate",
    "import_network",
    "network_of",
    "summarise",
]

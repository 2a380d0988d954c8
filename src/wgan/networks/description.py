"""Networks as plain data, so that a run folder can build its generator again."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from wgan.errors import InputError
from wgan.networks.conditioning import Condition
from wgan.networks.dcgan import DCGAN
from wgan.networks.mlp import MLP
from wgan.networks.network import Network
from wgan.networks.r3gan import R3GAN
from wgan.networks.resnet import ResNet

NETWORKS: dict[str, type[Network]] = {
    network.__name__: network for family in (MLP, DCGAN, ResNet, R3GAN) for network in family.networks
}


def describe(network: nn.Module) -> dict[str, Any]:
    """Return the network's class and arguments; for a user's own class, its name and printed form."""
    name = type(network).__name__
    if isinstance(network, Network) and NETWORKS.get(name) is type(network):
        plain = {
            key: asdict(value) if isinstance(value, Condition) else value
            for key, value in network.arguments.items()
        }
        return {"network": name, **plain}
    return {"network": f"{type(network).__module__}.{type(network).__qualname__}", "printed": repr(network)}


def build(description: Mapping[str, Any]) -> Network:
    """Build the network that :func:`describe` described, with fresh weights.

    Raises:
        InputError: It is not one of :data:`NETWORKS`, so that only its author can build it; or its arguments
            are not those of this version, or cannot work.
    """
    arguments = dict(description)
    name = arguments.pop("network", None)
    if name not in NETWORKS:
        raise InputError(
            f"{name} is not one of wgan's own networks: pass the module or, where it is importable, its name "
            "package.module:Class."
        )
    try:
        if isinstance(condition := arguments.get("condition"), Mapping):
            arguments["condition"] = Condition(**condition)
        inspect.signature(NETWORKS[name]).bind(**arguments)
    except TypeError as error:
        raise InputError(f"This is not the description of a {name}: {error}.") from error
    return NETWORKS[name](**arguments)

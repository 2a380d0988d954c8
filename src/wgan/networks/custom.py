"""Networks of one's own, by the names of their classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from importlib import import_module
from typing import Any

from torch import nn

from wgan.errors import InputError
from wgan.networks.conditioning import Condition
from wgan.networks.description import build

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def import_network(name: str, shape: Sequence[int], condition: Condition | None = None) -> nn.Module:
    """Build a network of one's own: import its class and call it with the shape of a sample.

    Importing runs the module's code: pass names that you trust, and none that a file contains.

    Args:
        name: ``package.module:Class``. The class is called as ``Class(shape)``, in a conditional run as
            ``Class(shape, condition=condition)``.
        shape: Shape of a sample.
        condition: What the labels are; None: the network takes none.

    Raises:
        InputError: There is no such module or class, or it cannot be called so.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"A network of your own is named as package.module:Class, not {name!r}.")
    module, _, kind = name.partition(":")
    try:
        made = getattr(import_module(module), kind)
        network = made(tuple(shape), **({} if condition is None else {"condition": condition}))
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"{name} cannot be built: {type(error).__name__}: {error}.") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{name} must build a torch module, not {network!r}.")
    return network


def describe_custom(name: str, shape: Sequence[int], condition: Condition | None) -> dict[str, Any]:
    """The description of a network of one's own for ``config.json``."""
    return {
        "network": name,
        "code": "a class of the user's own: loading it runs its module",
        "shape": list(shape),
        "condition": None if condition is None else asdict(condition),
    }


def network_of(description: Mapping[str, Any], own: nn.Module | str | None = None) -> nn.Module:
    """Build the network of a run's description, or take the one that its user passes.

    Args:
        description: What ``config.json`` says of the network.
        own: For a network that is not one of wgan's own, a module, which is copied, or its class's name.

    Raises:
        InputError: The network cannot be built, or is another one.
    """
    if own is None:
        return build(description)
    return _rebuild(own, description) if isinstance(own, str) else deepcopy(own)


def _rebuild(name: str, description: Mapping[str, Any]) -> nn.Module:
    """Build the network of a description again, if it is of the class that is named.

    Raises:
        InputError: The description is of another network, or the class cannot be built.
    """
    if description.get("network") != name:
        raise InputError(f"The run's network is {description.get('network')}, and not {name}.")
    condition = description.get("condition")
    try:
        known = Condition(**condition) if isinstance(condition, Mapping) else None
        shape = tuple(int(side) for side in description["shape"])
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"This is not the description of {name}: {error}.") from error
    return import_network(name, shape, known)

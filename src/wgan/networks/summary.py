"""A readable summary of a network, layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from wgan.networks.conditioning import generate

ForwardHook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]


@dataclass(frozen=True)
class LayerSummary:
    """A leaf module: its path, class, output shape without the batch, and number of parameters."""

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@torch.no_grad()
def summarise(network: nn.Module, example: Tensor, labels: Tensor | None = None) -> list[LayerSummary]:
    r"""List the leaf modules in the order in which they run on ``example`` (N, \*shape), N >= 1.

    The network's state does not change. A re-parametrised module (spectral normalisation) is one leaf.
    """
    rows: list[LayerSummary] = []
    modes = {module: module.training for module in network.modules()}
    hooks = [
        module.register_forward_hook(_recorder(path, rows))
        for path, module in network.named_modules()
        if _is_leaf(path, module)
    ]
    try:
        generate(network.eval(), example, labels)
    finally:
        for module, training in modes.items():
            module.training = training
        for hook in hooks:
            hook.remove()
    return rows


def _is_leaf(path: str, module: nn.Module) -> bool:
    if "parametrizations" in path.split("."):
        return False
    return parametrize.is_parametrized(module) or not list(module.children())


def _recorder(path: str, rows: list[LayerSummary]) -> ForwardHook:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kind = parametrize.type_before_parametrizations(module).__name__
        count = sum(parameter.numel() for parameter in module.parameters())
        rows.append(LayerSummary(path, kind, tuple(output.shape[1:]), count))

    return record

r"""1-Lipschitz networks by construction: orthonormal dense layers, orthogonal convolutions, sorting.

A dense layer with orthonormal rows or columns neither grows nor - in the larger of its two spaces - shrinks
a gradient, and sorting permutes it: such a network can have slope one almost everywhere, as the optimal
critic has, where ReLU networks of norm one cannot (Anil, Lucas, Grosse 2019, "Sorting Out Lipschitz Function
Approximation", section 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize

from wgan.errors import InputError
from wgan.lipschitz.constraint import Constraint
from wgan.lipschitz.kernel_blocks import Blocks
from wgan.lipschitz.spectral import LINEAR_MAPS

Sort = Literal["full", "pairs", "absolute", "none"]

ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Softplus, nn.Softsign, nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardswish),
)
"""The activations that :class:`Orthogonal` replaces."""

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)

_FLOOR = 1e-12  # of the weights' size: below it they count as zero, and their gradients stay finite
_MARGIN = 1e-6  # more than float32 rounds, so that a certificate over a few layers stays below 1 + 1e-6
_RETRACTIONS = 5  # from one optimiser's step off orthonormal to float32's rounding of it


@final
class GroupSort(nn.Module):
    """Sort the features in groups, each in ascending order: a permutation, so 1-Lipschitz and isometric.

    Source: Anil, Lucas, Grosse 2019, section 4.2; groups of two are MaxMin, one group is FullSort. Features
    beyond the last whole group pass as they are.

    Args:
        group: How many neighbours are sorted, >= 2; None: all.
        dim: The dimension of the features: those of (N, d), the channels of (N, C, H, W).

    Raises:
        InputError: The group is too small.
    """

    def __init__(self, group: int | None = None, dim: int = 1) -> None:
        super().__init__()
        if group is not None and (not isinstance(group, int) or group < 2):
            raise InputError(
                f"GroupSort sorts groups of at least 2 features, or all with None, not {group!r}."
            )
        self.group = group
        self.dim = dim

    def forward(self, features: Tensor) -> Tensor:
        """Features of any shape to features of the same shape."""
        if self.group is None:
            return _sorted(features, self.dim)
        dim, size = self.dim % features.dim(), features.shape[self.dim]
        if size < self.group:
            return features
        head, rest = features.tensor_split([size - size % self.group], dim)
        groups = torch.unflatten(head, dim, (-1, self.group))
        return torch.cat([_sorted(groups, dim + 1).flatten(dim, dim + 1), rest], dim)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"group={self.group}, dim={self.dim}"


@final
class Absolute(nn.Module):
    """The absolute value of each feature: as steep as the identity, at a tenth of the price of a sort.

    Sorting two features is an absolute value of their difference between two rotations, so that orthonormal
    layers around it express what they express around MaxMin (Anil, Lucas, Grosse 2019, appendix A).
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features of any shape to features of the same shape."""
        return features.abs()


SORTS: dict[Sort, Callable[[], nn.Module] | None] = {
    "full": GroupSort,
    "pairs": lambda: GroupSort(2),
    "absolute": Absolute,
    "none": None,
}
"""What each sort puts in the place of an elementwise activation."""


def _sorted(features: Tensor, dim: int) -> Tensor:
    return features.gather(dim, _order(features.detach(), dim))


def _order(features: Tensor, dim: int) -> Tensor:
    if features.shape[dim] == 2:
        swap = features.select(dim, 0) > features.select(dim, 1)
        return torch.stack([swap, ~swap], dim).long()
    # On a CPU numpy sorts with vector instructions: 2.5 ms for 2,048 x 256 numbers where torch takes 28.
    if features.device.type == "cpu" and features.dtype in (torch.float32, torch.float64):
        try:
            return torch.from_numpy(np.argsort(features.numpy(), axis=dim))
        except RuntimeError:
            pass  # no numbers of its own, as under vmap
    return features.argsort(dim)


def orthonormalise(weight: Tensor, iterations: int) -> Tensor:
    r"""The nearest matrix with orthonormal rows (columns, if there are more rows), approached from below.

        W <- W (I + (I - W'W) / 2),  so that each singular value s becomes p(s) = s (3 - s^2) / 2

    (Bjorck, Bowie 1971, "An Iterative Algorithm for Computing the Best Estimate of an Orthogonal Matrix",
    eq. 2.4, of order 1; Anil, Lucas, Grosse 2019, section 4.1). p maps [0, sqrt 3] onto [0, 1] and draws
    (0, sqrt 3) to 1: from there, one step and any number of steps give a matrix of norm at most 1, converged
    or not. Outside it diverges. So the weight is first divided by B / sqrt 2 with the proven bound of its
    norm B = ||(W'W)^2||_F^(1/4), unless it is near enough to orthonormal as it is: ||W'W - I|| <= 0.8,
    by the same kind of bound. The limit does not depend on the scale, nor do its derivatives.

    Args:
        weight: (\*, m, n), any numbers of batch dimensions; finite.
        iterations: Steps, >= 1. From orthonormal weights one is exact, derivatives included.

    Returns:
        (\*, m, n), with all singular values at most 1 up to rounding; differentiable, with finite
        derivatives even at zero, where it is zero.
    """
    wide = weight.shape[-2] <= weight.shape[-1]
    matrix = weight if wide else weight.mT
    size = matrix.detach().abs().amax((-2, -1), keepdim=True).clamp_min(_FLOOR)
    matrix = matrix / size
    gram = matrix @ matrix.mT
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    # The largest number of the matrix is 1, so that this norm is at least 1, or the matrix as good as zero.
    norm = torch.linalg.matrix_norm(gram @ gram, keepdim=True).clamp_min(0.5) ** 0.25
    with torch.no_grad():
        excess = size.square() * gram - eye
        near = torch.linalg.matrix_norm(excess @ excess, keepdim=True) <= 0.8**2
    scale = torch.where(near, size, math.sqrt(2) / norm)
    matrix, gram = scale * matrix, scale.square() * gram
    for step in range(iterations):
        gram = gram if step == 0 else matrix @ matrix.mT
        matrix = (1.5 * eye - 0.5 * gram) @ matrix
    return matrix if wide else matrix.mT


@final
@dataclass(frozen=True)
class Orthogonal(Constraint):
    """A critic that is 1-Lipschitz by construction: ``certify`` proves it, at every step of its training.

    Dense layers are orthonormal (:func:`orthonormalise`), convolutions orthogonal
    (:mod:`~wgan.lipschitz.kernel_blocks`), activations become sorts. The network must be a chain: residual
    sums and concatenations of 1-Lipschitz branches are not 1-Lipschitz, and overlapping maxima are not
    either; certify the critic to be sure.

    ``wrap`` starts from the orthonormal matrices nearest to each weight, or to each block of a kernel.
    ``project`` brings what is behind the weights back to orthonormal matrices after each step, which changes
    no score, keeps every singular value at one through training, and makes one iteration a pass enough;
    without it the critic stays 1-Lipschitz, but flatter where the iteration has not converged.

    Source: Anil, Lucas, Grosse 2019, "Sorting Out Lipschitz Function Approximation"; Li et al. 2019,
    "Preventing Gradient Attenuation in Lipschitz Constrained Convolutional Networks".

    Attributes:
        iterations: Steps of Bjorck's iteration a pass, >= 1.
        sort: What replaces elementwise activations: ``full`` sorts all features, ``pairs`` neighbours
            (MaxMin), ``absolute`` takes absolute values, ``none`` leaves them.
    """

    iterations: int = 2
    sort: Sort = "full"

    def __post_init__(self) -> None:
        if not isinstance(self.iterations, int) or self.iterations < 1:
            raise InputError(f"Orthogonal needs a whole number of iterations >= 1, not {self.iterations!r}.")
        if self.sort not in SORTS:
            raise InputError(f"Orthogonal sorts {', '.join(SORTS)}, not {self.sort!r}.")

    @property
    def certified(self) -> bool:
        """Yes: K is at most 1 at any weights."""
        return True

    def wrap(self, critic: nn.Module) -> nn.Module:
        """Parametrise every dense and convolutional layer and replace the activations, in place, once.

        Raises:
            InputError: There is no such layer, or a layer that cannot be kept 1-Lipschitz this way.
        """
        layers = {path: module for path, module in critic.named_modules() if isinstance(module, LINEAR_MAPS)}
        if not layers:
            raise InputError("Orthogonal found no dense or convolutional layer in the critic.")
        _refuse_others(critic)
        for layer in layers.values():
            if _ours(layer) is None:
                _parametrise(layer, self.iterations)
        if substitute := SORTS[self.sort]:
            _replace_activations(critic, substitute)
        return critic

    @torch.no_grad()
    def project(self, critic: nn.Module) -> None:
        """Bring what is behind the weights back to orthonormal matrices; the scores stay."""
        for layer in critic.modules():
            if _ours(layer) is not None:
                for original in layer.parametrizations["weight"].parameters():  # type: ignore[index,union-attr]
                    with torch.autocast(original.device.type, enabled=False):
                        original.copy_(orthonormalise(original, _RETRACTIONS))


@final
class _Orthonormal(nn.Module):
    """The weight of a dense layer."""

    def __init__(self, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations

    def forward(self, original: Tensor) -> Tensor:
        # A matrix of norm one in half precision has any norm up to 1.004.
        with torch.autocast(original.device.type, enabled=False):
            return (1 - _MARGIN) * orthonormalise(original, self.iterations)


@final
class _OrthogonalKernel(nn.Module):
    """The kernel of a convolution, transposed or not: its matrix, and half of its features for each move."""

    def __init__(self, blocks: Blocks, iterations: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.iterations = iterations

    def forward(self, matrix: Tensor, halves: Tensor | None = None) -> Tensor:
        with torch.autocast(matrix.device.type, enabled=False):
            near = orthonormalise(matrix, self.iterations)
            half = None if halves is None else orthonormalise(halves, self.iterations)
            return (1 - 2 * _MARGIN) * self.blocks.kernel_of(near, half)  # products round, too

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, ...]:
        """A matrix and halves to start from: the nearest ones to the blocks of any kernel."""
        first, *others = map(_nearest, self.blocks.blocks_of(weight))
        moves = sum(count - 1 for count in self.blocks.count)
        small = self.blocks.small
        halves = [_nearest(block[:, :small, : small // 2]) for block in others[:moves]]
        return (first, torch.stack(halves)) if halves else (first,)


def orthonormal_weight(layer: nn.Module, iterations: int = 2) -> None:
    """Keep ``layer.weight``, (*, m, n), orthonormal by :func:`orthonormalise`; its values are the start."""
    parametrize.register_parametrization(layer, "weight", _Orthonormal(iterations))


def _ours(layer: nn.Module) -> nn.Module | None:
    """The parametrisation of this constraint on the layer, if there is one."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    steps = layer.parametrizations["weight"]  # type: ignore[index]
    return next((step for step in steps if isinstance(step, _Orthonormal | _OrthogonalKernel)), None)


@torch.no_grad()
def _parametrise(layer: nn.Module, iterations: int) -> None:
    if isinstance(layer, nn.Linear):
        layer.weight.copy_(_nearest(layer.weight))
        orthonormal_weight(layer, iterations)
    else:
        parametrize.register_parametrization(layer, "weight", _OrthogonalKernel(Blocks.of(layer), iterations))


def _nearest(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthonormal rows or columns, by SVD; some such matrix for one without rank."""
    left, _, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    nearest: Tensor = (left @ right).to(matrix.dtype)
    return nearest


def _refuse_others(critic: nn.Module) -> None:
    for path, module in critic.named_modules():
        name = f"{type(module).__name__} at `{path or 'the root'}`"
        if isinstance(module, LINEAR_MAPS) and parametrize.is_parametrized(module) and _ours(module) is None:
            raise InputError(
                f"Orthogonal cannot take {name}: it is re-parametrised already. Use one of the two alone."
            )
        if getattr(module, "padding_mode", "zeros") not in ("zeros", "circular"):
            raise InputError(
                f"Orthogonal cannot take {name}: padding_mode={module.padding_mode!r} reads inputs at "
                "the edge more than once, so that no kernel keeps lengths; pad with zeros."
            )
        own = any(True for _ in module.parameters(recurse=False))
        taken = isinstance(module, (*LINEAR_MAPS, *ACTIVATIONS, parametrize.ParametrizationList))
        if isinstance(module, NORMS) or (own and not taken):
            raise InputError(
                f"Orthogonal keeps dense and convolutional layers 1-Lipschitz, not {name}. Build the critic "
                "without it, as with norm='none', or use another constraint."
            )


def _replace_activations(module: nn.Module, substitute: Callable[[], nn.Module]) -> None:
    for name, child in module.named_children():
        if type(child) in ACTIVATIONS:
            setattr(module, name, substitute())
        else:
            _replace_activations(child, substitute)

r"""Kernels of convolutions that are orthogonal with their stride, made of orthonormal matrices.

Cut the input into blocks as large as the stride. A matrix with orthonormal rows (or columns, where there are
more outputs than a block has numbers) takes each block to its outputs: that is a convolution without overlap,
and orthogonal. To reach beyond a block, move a part of the features by one block and leave the rest:

    P + (I - P) z,   P = V V' for orthonormal columns V, z the shift by one block in one dimension,

is orthogonal again, and a product of a matrix and of d such factors in each dimension is a kernel of d + 1
blocks there (Li, Haque, Anil, Lucas, Grosse, Jacobsen 2019, "Preventing Gradient Attenuation in Lipschitz
Constrained Convolutional Networks", section 3 and algorithm 1; Xiao et al. 2018, "Dynamical Isometry and a
Mean Field Theory of CNNs", section 2.3.4). Kernels whose P differ in rank are not connected; half of the
features is the rank of most of them (Li et al., theorem 1 and section 3.2).

If the matrices are only bounded by one, so is the convolution: all eigenvalues of P lie in [0, 1], and
|p + (1 - p) z| <= 1 for |z| = 1. With zero padding of any size it is a part of the one on the whole lattice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor


@final
@dataclass(frozen=True)
class Blocks:
    r"""How the kernel (groups x outputs, inputs, \*kernel) of a convolution is put together of blocks.

    Where the stride s and the dilation d are not coprime, s / gcd(s, d) taps already see all the inputs that
    taps further on see shifted. Taps beyond the last whole block stay zero.

    Attributes:
        groups: Of the convolution.
        outputs: Of a group.
        inputs: Of a group.
        kernel: Taps by dimension.
        side: Taps of a block by dimension.
        count: Blocks by dimension.
    """

    groups: int
    outputs: int
    inputs: int
    kernel: tuple[int, ...]
    side: tuple[int, ...]
    count: tuple[int, ...]

    @classmethod
    def of(cls, layer: Any) -> Blocks:  # noqa: ANN401 - any of six classes
        """Those of a convolution, or of the one whose adjoint a transposed convolution is."""
        groups, kernel = layer.groups, tuple(layer.kernel_size)
        outputs, inputs = layer.weight.shape[0] // groups, layer.weight.shape[1]
        reach = zip(kernel, layer.stride, layer.dilation, strict=True)
        side = tuple(min(k, s // math.gcd(s, d)) for k, s, d in reach)
        alone = min(outputs, inputs * math.prod(side)) == 1  # a single feature has no half to move
        count = tuple(1 if alone else k // p for k, p in zip(kernel, side, strict=True))
        return cls(groups, outputs, inputs, kernel, side, count)

    @property
    def small(self) -> int:
        """The smaller of the outputs and the numbers of a block."""
        return min(self.outputs, self.large)

    @property
    def large(self) -> int:
        """The numbers of a block."""
        return self.inputs * math.prod(self.side)

    def kernel_of(self, matrix: Tensor, halves: Tensor | None) -> Tensor:
        r"""The kernel.

        Args:
            matrix: (groups, outputs, large), of norm at most 1.
            halves: V of each factor, dimension by dimension: (sum of count - 1, groups, small, small // 2),
                of norms at most 1; None where there is one block in each dimension.

        Returns:
            (groups x outputs, inputs, \*kernel), differentiable; of norm at most 1 as an operator, with the
            layer's stride and dilation, and orthogonal if the matrices are.
        """
        few = self.outputs <= self.large
        blocks = matrix if few else matrix.mT
        blocks = blocks.reshape(*blocks.shape, *(1 for _ in self.count))
        steps = iter(() if halves is None else halves.unbind())
        for dim, count in enumerate(self.count, start=3):
            for _ in range(count - 1):
                blocks = _half_moved(blocks, next(steps), dim)
        return self._spread(blocks if few else blocks.transpose(1, 2))

    def blocks_of(self, weight: Tensor) -> list[Tensor]:
        """Each block of a kernel as a matrix (groups, outputs, large)."""
        for dim, (size, p, count) in enumerate(zip(self.kernel, self.side, self.count, strict=True), start=2):
            weight = weight.narrow(dim, (size - p * count) // 2, p * count)
        for dim, (p, count) in enumerate(zip(self.side, self.count, strict=True)):
            weight = torch.unflatten(weight, 2 + 2 * dim, (count, p))
        grouped = torch.unflatten(weight, 0, (self.groups, self.outputs))
        order = (*range(3, grouped.dim(), 2), 0, 1, 2, *range(4, grouped.dim(), 2))
        return list(grouped.permute(order).flatten(0, len(self.count) - 1).flatten(3).unbind())

    def _spread(self, blocks: Tensor) -> Tensor:
        """Blocks (groups, outputs, large, *count) in their places in the kernel."""
        split = torch.unflatten(blocks, 2, (self.inputs, *self.side))
        dims = len(self.side)
        order = [dim for place in range(dims) for dim in (3 + dims + place, 3 + place)]
        taps = [p * count for p, count in zip(self.side, self.count, strict=True)]
        whole = split.permute(0, 1, 2, *order).reshape(self.groups * self.outputs, self.inputs, *taps)
        missing = [(size - tap, (size - tap) // 2) for size, tap in zip(self.kernel, taps, strict=True)]
        return F.pad(whole, [side for gap, left in reversed(missing) for side in (left, gap - left)])


def _half_moved(blocks: Tensor, half: Tensor, dim: int) -> Tensor:
    """(P + (I - P) z) B for blocks B (groups, small, large, *count), with one block more along ``dim``."""
    flat = blocks.flatten(2)
    kept = (half @ (half.mT @ flat)).reshape(blocks.shape)
    none = torch.zeros_like(blocks.narrow(dim, 0, 1))
    return torch.cat([kept, none], dim) + torch.cat([none, blocks - kept], dim)

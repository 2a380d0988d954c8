r"""Block convolution orthogonal parametrisation (BCOP): convolution kernels made of orthonormal matrices.

Cut the input into blocks as large as the stride. A matrix with orthonormal rows (or columns, where there are
more outputs than entries in a block) maps each block to its outputs: a convolution without overlap, which is
orthogonal. To reach beyond one block, shift one part of the features by a block and leave the rest:

    P + (I - P) z,   P = V V' for orthonormal columns V, z the shift by one block in one dimension,

is orthogonal again, and the product of a matrix and d such factors in each dimension is a kernel of d + 1
blocks there (Li, Haque, Anil, Lucas, Grosse, Jacobsen 2019, "Preventing Gradient Attenuation in Lipschitz
Constrained Convolutional Networks", section 3 and algorithm 1; Xiao et al. 2018, "Dynamical Isometry and a
Mean Field Theory of CNNs", section 2.3.4). Kernels whose P differ in rank are not connected; most have P of
half the rank (Li et al., theorem 1 and section 3.2).

If the matrices have norm at most one, so has the convolution: all eigenvalues of P lie in [0, 1], and
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
class KernelBlocks:
    r"""The division of a convolution's kernel (groups x outputs, inputs, \*kernel) into blocks.

    Where the stride s and the dilation d are not coprime, a block has s / gcd(s, d) taps: these reach all
    inputs that further taps reach shifted. Taps beyond the last whole block stay zero.

    Attributes:
        groups: Groups of the convolution.
        outputs: Output channels of a group.
        inputs: Input channels of a group.
        kernel: Kernel size by dimension.
        block: Taps of a block by dimension.
        count: Blocks by dimension.
    """

    groups: int
    outputs: int
    inputs: int
    kernel: tuple[int, ...]
    block: tuple[int, ...]
    count: tuple[int, ...]

    @classmethod
    def of(cls, layer: Any) -> KernelBlocks:  # noqa: ANN401 - any of six classes
        """The blocks of a convolution, or of the one whose adjoint a transposed convolution is."""
        groups, kernel = layer.groups, tuple(layer.kernel_size)
        outputs, inputs = layer.weight.shape[0] // groups, layer.weight.shape[1]
        dimensions = zip(kernel, layer.stride, layer.dilation, strict=True)
        block = tuple(min(k, s // math.gcd(s, d)) for k, s, d in dimensions)
        single = min(outputs, inputs * math.prod(block)) == 1  # one feature cannot be split in halves
        count = tuple(1 if single else k // p for k, p in zip(kernel, block, strict=True))
        return cls(groups, outputs, inputs, kernel, block, count)

    @property
    def rank(self) -> int:
        """The smaller of the number of outputs and the block size."""
        return min(self.outputs, self.block_size)

    @property
    def block_size(self) -> int:
        """Entries of a block: input channels times taps."""
        return self.inputs * math.prod(self.block)

    @property
    def shifts(self) -> int:
        """Number of factors P + (I - P) z."""
        return sum(count - 1 for count in self.count)

    def kernel_from(self, matrix: Tensor, bases: Tensor | None) -> Tensor:
        r"""Build the kernel.

        Args:
            matrix: (groups, outputs, block_size), of norm at most 1.
            bases: V of each factor, dimension by dimension: (shifts, groups, rank, rank // 2), of norm at
                most 1; None where there is one block in each dimension.

        Returns:
            (groups x outputs, inputs, \*kernel), differentiable; of norm at most 1 as an operator, with the
            layer's stride and dilation, and orthogonal if the matrices are.
        """
        wide = self.outputs <= self.block_size
        blocks = matrix if wide else matrix.mT
        blocks = blocks.reshape(*blocks.shape, *(1 for _ in self.count))
        factors = iter(() if bases is None else bases.unbind())
        for dim, count in enumerate(self.count, start=3):
            for _ in range(count - 1):
                blocks = _shift_half(blocks, next(factors), dim)
        return self._assemble(blocks if wide else blocks.transpose(1, 2))

    def split(self, weight: Tensor) -> list[Tensor]:
        """Return each block of a kernel as a matrix (groups, outputs, block_size)."""
        dimensions = list(zip(self.kernel, self.block, self.count, strict=True))
        for dim, (size, p, count) in enumerate(dimensions, start=2):
            weight = weight.narrow(dim, (size - p * count) // 2, p * count)
        for dim, (_, p, count) in enumerate(dimensions):
            weight = torch.unflatten(weight, 2 + 2 * dim, (count, p))
        grouped = torch.unflatten(weight, 0, (self.groups, self.outputs))
        dims = (*range(3, grouped.dim(), 2), 0, 1, 2, *range(4, grouped.dim(), 2))
        return list(grouped.permute(dims).flatten(0, len(self.count) - 1).flatten(3).unbind())

    def _assemble(self, blocks: Tensor) -> Tensor:
        """Arrange blocks (groups, outputs, block_size, *count) to a kernel, padded with zeros."""
        split = torch.unflatten(blocks, 2, (self.inputs, *self.block))
        n = len(self.block)
        dims = [dim for place in range(n) for dim in (3 + n + place, 3 + place)]
        taps = [p * count for p, count in zip(self.block, self.count, strict=True)]
        whole = split.permute(0, 1, 2, *dims).reshape(self.groups * self.outputs, self.inputs, *taps)
        missing = [(size - tap, (size - tap) // 2) for size, tap in zip(self.kernel, taps, strict=True)]
        return F.pad(whole, [side for gap, left in reversed(missing) for side in (left, gap - left)])


def _shift_half(blocks: Tensor, basis: Tensor, dim: int) -> Tensor:
    """(P + (I - P) z) B for blocks B (groups, rank, size, *count): one more block along ``dim``."""
    flat = blocks.flatten(2)
    projected = (basis @ (basis.mT @ flat)).reshape(blocks.shape)
    zeros = torch.zeros_like(blocks.narrow(dim, 0, 1))
    return torch.cat([projected, zeros], dim) + torch.cat([zeros, blocks - projected], dim)

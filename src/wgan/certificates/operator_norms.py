r"""Proven upper bounds of the L2 operator norms of dense layers and convolutions, in float64.

Each bound holds in exact arithmetic by the argument in its docstring, plus an allowance for the rounding of
its own computation. Power iteration approximates a norm from below, and is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]

EPSILON = float(torch.finfo(torch.float64).eps)
LARGEST_MATRIX = 2**22
"""Most entries of a convolution that is written out as a matrix."""
LARGEST_RANK = 1024
"""Largest smaller side of such a matrix."""
FINENESS = 16
"""Grid points per degree of the symbol where the shape is unknown: 0.5 % is lost in each dimension."""

_CHUNK = 2**22
_CONVOLVE: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def matrix_norm(matrix: Tensor) -> float:
    """Bound the largest singular value of a matrix (m, n), or of a batch of matrices (*, m, n), from above.

    LAPACK's singular values are those of a matrix within p(m, n) eps ||A|| of A, with p a modest polynomial
    (LAPACK Users' Guide, section 4.9.1), for which 10 max(m, n) is taken.
    """
    if matrix.numel() == 0:
        return 0.0
    largest = torch.linalg.svdvals(matrix.double()).max().item()
    return float(largest) * (1 + 10 * max(matrix.shape[-2:]) * EPSILON)


@final
@dataclass(frozen=True, eq=False)
class Convolution:
    r"""A convolution without its bias: y[o] = sum_t w[t] x[stride o + dilation t - left].

    A transposed convolution is the adjoint of one and has the same norm: describe the convolution from its
    *output* to its input.

    Attributes:
        weight: (out, in / groups, \*kernel), finite, float64, on the CPU.
        stride: By dimension, >= 1.
        padding: (left, right) by dimension, >= 0.
        dilation: By dimension, >= 1.
        groups: Groups of channels that do not mix.
        mode: Padding mode: ``zeros``, ``circular``, ``reflect`` or ``replicate``.
    """

    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[Pair, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    mode: str = "zeros"

    @property
    def extents(self) -> tuple[int, ...]:
        """Reach of the kernel by dimension: dilation (kernel - 1)."""
        kernel = self.weight.shape[2:]
        return tuple(d * (k - 1) for d, k in zip(self.dilation, kernel, strict=True))

    def outputs(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """The output's sides for an input of these sides."""
        sides = zip(spatial, self.padding, self.extents, self.stride, strict=True)
        return tuple((side + sum(pad) - extent - 1) // stride + 1 for side, pad, extent, stride in sides)


def convolution_norm(convolution: Convolution, spatial: tuple[int, ...] | None) -> tuple[float, str]:
    """Return an upper bound of a convolution's operator norm, and the method of proof.

    A small operator on inputs of known sides is written out as a matrix, which is exact. Otherwise the bound
    is the smaller of :func:`symbol_norm` and :func:`correlation_norm`, times the norm of the padding.

    Args:
        convolution: The convolution.
        spatial: The sides of the input without batch and channels; None for any.
    """
    size = float(convolution.weight.abs().max())
    if not 1e-100 < size < 1e100:  # squares would leave the range of float64
        if size == 0:
            return 0.0, "zero"
        bound, method = convolution_norm(replace(convolution, weight=convolution.weight / size), spatial)
        return bound * size * (1 + EPSILON), method
    if spatial is not None and _is_small(convolution, spatial):
        return matrix_norm(operator_matrix(convolution, spatial)), "matrix"
    factor, unpadded, torus = _embed(convolution, spatial)
    by_symbol = factor * symbol_norm(unpadded, torus)
    if torus is not None and not _is_finer(torus, unpadded):
        return by_symbol, "torus"
    # On one torus the first is always smaller; on all of them it allows for the gaps in its grid.
    by_size = factor * correlation_norm(unpadded)
    return (by_size, "correlations") if by_size < by_symbol else (by_symbol, "symbol")


def operator_matrix(convolution: Convolution, spatial: tuple[int, ...]) -> Tensor:
    """The convolution as the matrix (inputs, outputs) of its values on the unit vectors."""
    channels = convolution.weight.shape[1] * convolution.groups
    inputs = channels * math.prod(spatial)
    basis = torch.eye(inputs, dtype=torch.float64).reshape(inputs, channels, *spatial)
    pads = [side for pad in reversed(convolution.padding) for side in pad]
    padded = F.pad(basis, pads, mode="constant" if convolution.mode == "zeros" else convolution.mode)
    images: Tensor = _CONVOLVE[len(spatial)](
        padded,
        convolution.weight,
        stride=convolution.stride,
        dilation=convolution.dilation,
        groups=convolution.groups,
    )
    return images.flatten(1)


def symbol_norm(convolution: Convolution, torus: tuple[int, ...] | None) -> float:
    r"""The norm of a convolution on a torus, from above: the largest ||A(w)|| over its frequencies w.

    On a torus of sides stride M, split the input into its prod(stride) phases. The strided convolution is
    then an ordinary one of the phases, the discrete Fourier transform makes it block diagonal with blocks

        A(w)[o, (i, r)] = sum over taps t with dilation t = stride a + r of weight[o, i, t] exp(i w.a),

    w = 2 pi m / M, and its norm is the largest of theirs (Sedghi, Gupta, Long 2019, "The Singular Values of
    Convolutional Layers", theorem 6, for stride 1).

    Without a torus the bound holds on all of them. A is a trigonometric polynomial whose degree is at most D
    in each frequency, so for unit vectors u, v where the supremum S of ||A|| is attained, Re(u* A v) becomes
    after a shift of phase a real function of exponential type D/2 that is bounded by S: by the inequality of
    Bernstein and Szego (f'^2 + (D/2)^2 f^2 <= (D/2)^2 S^2) it is at least S cos(D h / 2) at distance h from
    there. A grid of M > D points has one within h = pi / M, hence, one dimension after another,

        S <= max over the grid of ||A|| / prod_j cos(pi D_j / (2 M_j)).

    Likewise for the polynomial A*A - c I, or AA* - c I for the smaller matrices, of degree D in both
    directions: with c in the middle of the eigenvalues that A*A has on the grid, of which the least is l and
    the largest L,

        S^2 <= (L + l) / 2 + (L - l) / 2 / prod_j cos(pi D_j / M_j),

    which is sharp where L = l, as for orthogonal convolutions. The smaller of both is taken.

    Args:
        convolution: Its weights, strides, dilations and groups; the padding plays no part.
        torus: Frequencies by dimension, M >= 1, or None for the bound on every torus.
    """
    grid, once, twice = _grid(convolution), 1.0, 1.0
    if torus is not None and not _is_finer(torus, convolution):
        grid = torus
    else:
        for degree, points in zip(_degrees(convolution), grid, strict=True):
            once /= math.cos(math.pi * degree / (2 * points))
            twice /= math.cos(math.pi * degree / points)
    weight = torch.unflatten(convolution.weight, 0, (convolution.groups, -1)).flatten(3)
    taps, phases = _taps(convolution)
    together = max(1, _CHUNK // (weight[..., 0].numel() * phases.shape[1]))
    parts: tuple[Tensor, ...] = torch.split(_frequencies(grid), together)
    rounding = 4 * len(taps) * EPSILON * float(weight.norm())
    squares = [_block_squares(weight, taps, phases, part) for part in parts]
    largest = math.sqrt(max(square for _, square in squares)) + rounding
    least = max(0.0, math.sqrt(min(square for square, _ in squares)) - rounding)
    centre, reach = (largest**2 + least**2) / 2, (largest**2 - least**2) / 2
    return min(once * largest, math.sqrt(centre + twice * reach) * (1 + 4 * EPSILON))


def correlation_norm(convolution: Convolution) -> float:
    r"""Return sqrt(||C||) >= ||P||, C the size of the correlations of the kernel with itself.

    The blocks of P'P at each frequency are sum_d G[c, c', d] exp(i w.d), with G as in :func:`correlations`,
    and no larger number by number than C = sum_d |G|, so that their norms are at most that of C; likewise
    for PP', where there are fewer outputs than inputs. It holds on every torus and with zero padding of any
    size, and is sharp for orthogonal convolutions.
    """
    kernel = polyphase(convolution, convolution.weight)
    outputs, inputs = kernel.shape[1:3]
    sizes = correlations(kernel if outputs >= inputs else kernel.transpose(1, 2))
    return math.sqrt(matrix_norm(sizes)) * (1 + EPSILON * (10 + kernel[0].numel()))


def polyphase(convolution: Convolution, weight: Tensor) -> Tensor:
    r"""A strided kernel as one of stride 1 on the phases of the input.

    Args:
        convolution: Its strides, dilations and groups.
        weight: The kernel, in the shape of the convolution's.

    Returns:
        (groups, out / groups, in / groups * prod(stride), \*smaller kernel), differentiable in the weight.
    """
    stride = convolution.stride
    sides = [extent // s + 1 for extent, s in zip(convolution.extents, stride, strict=True)]
    canvas = weight.new_zeros(*weight.shape[:2], *(side * s for side, s in zip(sides, stride, strict=True)))
    reach = zip(convolution.extents, convolution.dilation, strict=True)
    taken: tuple[Any, ...] = (..., *(slice(0, extent + 1, d) for extent, d in reach))
    canvas[taken] = weight
    split = canvas.reshape(*weight.shape[:2], *(n for pair in zip(sides, stride, strict=True) for n in pair))
    dims = range(2, split.dim(), 2)
    phases = split.permute(0, 1, *(dim + 1 for dim in dims), *dims).flatten(1, len(sides) + 1)
    return torch.unflatten(phases, 0, (convolution.groups, -1))


def correlations(kernel: Tensor) -> Tensor:
    r"""The size of P'P by channels, for a convolution P of stride 1 on the infinite lattice.

        C[c, c'] = sum_d |G[c, c', d]|,  G[c, c', d] = sum_o sum_t kernel[o, c, t] kernel[o, c', t + d]

    Args:
        kernel: (groups, out, in, \*kernel).

    Returns:
        (groups, in, in), symmetric, differentiable in the kernel.
    """
    groups, outputs, inputs, *sides = kernel.shape
    images = kernel.permute(2, 0, 1, *range(3, kernel.dim())).reshape(inputs, groups * outputs, *sides)
    filters = kernel.transpose(1, 2).reshape(groups * inputs, outputs, *sides)
    padding = tuple(side - 1 for side in sides)
    gram: Tensor = _CONVOLVE[len(sides)](images, filters, padding=padding, groups=groups)
    return gram.abs().sum(dim=tuple(range(2, gram.dim()))).reshape(inputs, groups, inputs).transpose(0, 1)


def _is_small(convolution: Convolution, spatial: tuple[int, ...]) -> bool:
    inputs = convolution.weight.shape[1] * convolution.groups * math.prod(spatial)
    outputs = convolution.weight.shape[0] * math.prod(convolution.outputs(spatial))
    # The basis is a square matrix of the inputs.
    few = max(inputs * outputs, inputs * inputs) <= LARGEST_MATRIX
    return few and min(inputs, outputs) <= LARGEST_RANK


def _embed(
    convolution: Convolution, spatial: tuple[int, ...] | None
) -> tuple[float, Convolution, tuple[int, ...] | None]:
    r"""Write a padded convolution as (restriction) (convolution on a torus) (padding).

    Zeros: put the input of side H on a torus of side L >= H + max(left, right), L >= stride x outputs, a
    multiple of the stride. Every position of the padding then falls on a zero of the torus, and the outputs
    on different positions, so that the zero-padded convolution is R C E with R a restriction, E an isometric
    embedding and C the convolution on the torus: its norm is at most that of C.
    Circular: the input is the torus, if the stride divides its side and no output is computed twice; with
    another stride the outputs are a part of those of stride 1.
    Otherwise: the padding copies each input at most c times, so its norm is at most sqrt(c) in each
    dimension, and a convolution without padding follows, which is the case of zeros.

    Returns:
        The norm of the padding, the convolution on the torus, the torus's frequencies (None: any).
    """
    if convolution.mode == "zeros":
        return 1.0, convolution, _torus(convolution, spatial)
    if convolution.mode == "circular" and _visits_once(convolution, spatial):
        if spatial is not None and all(
            n % s == 0 and n >= s * o
            for n, s, o in zip(spatial, convolution.stride, convolution.outputs(spatial), strict=True)
        ):
            return 1.0, convolution, tuple(n // s for n, s in zip(spatial, convolution.stride, strict=True))
        return 1.0, replace(convolution, stride=(1,) * len(convolution.stride)), spatial
    copies = (_copies(convolution.mode, pad) for pad in convolution.padding)
    unpadded = replace(convolution, padding=((0, 0),) * len(convolution.padding), mode="zeros")
    sides = (
        None
        if spatial is None
        else tuple(n + sum(pad) for n, pad in zip(spatial, convolution.padding, strict=True))
    )
    return math.sqrt(math.prod(copies)), unpadded, _torus(unpadded, sides)


def _torus(convolution: Convolution, spatial: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if spatial is None:
        return None
    outputs = convolution.outputs(spatial)
    sides = zip(spatial, convolution.padding, convolution.stride, outputs, strict=True)
    return tuple(-(-max(side + max(pad), stride * out) // stride) for side, pad, stride, out in sides)


def _visits_once(convolution: Convolution, spatial: tuple[int, ...] | None) -> bool:
    """Whether the circular convolution computes no output twice: stride (outputs - 1) < side."""
    if spatial is None:
        return all(
            sum(pad) <= extent for pad, extent in zip(convolution.padding, convolution.extents, strict=True)
        )
    outputs = convolution.outputs(spatial)
    return all(s * (o - 1) < n for s, o, n in zip(convolution.stride, outputs, spatial, strict=True))


def _copies(mode: str, pad: Pair) -> int:
    """How often a position may occur in the padded input: ``replicate`` repeats its edge, others mirror."""
    return 1 + sum(pad) if mode == "replicate" else 1 + (pad[0] > 0) + (pad[1] > 0)


def _degrees(convolution: Convolution) -> tuple[int, ...]:
    return tuple(extent // s for extent, s in zip(convolution.extents, convolution.stride, strict=True))


def _grid(convolution: Convolution) -> tuple[int, ...]:
    return tuple(max(1, FINENESS * degree) for degree in _degrees(convolution))


def _is_finer(torus: tuple[int, ...], convolution: Convolution) -> bool:
    """Whether the torus has so many frequencies that the bound on every torus costs less."""
    return math.prod(torus) > math.prod(_grid(convolution))


def _frequencies(grid: tuple[int, ...]) -> Tensor:
    """All w = 2 pi m / M, (F, dimensions), but for one half: A(-w) is the conjugate of A(w)."""
    halved = (*grid[:-1], grid[-1] // 2 + 1)
    axes: Iterable[Tensor] = (
        2 * math.pi * torch.arange(kept, dtype=torch.float64) / points
        for kept, points in zip(halved, grid, strict=True)
    )
    return torch.cartesian_prod(*axes).reshape(-1, len(grid))


def _taps(convolution: Convolution) -> tuple[Tensor, Tensor]:
    """The taps' offsets a (T, dimensions) and, one-hot, their phases r (T, prod(stride)), in float64."""
    stride, dilation = torch.tensor(convolution.stride), torch.tensor(convolution.dilation)
    axes = [torch.arange(side) for side in convolution.weight.shape[2:]]
    positions = torch.cartesian_prod(*axes).reshape(-1, len(axes)) * dilation
    phase = torch.zeros(len(positions), dtype=torch.int64)
    for residue, s in zip((positions % stride).T, convolution.stride, strict=True):
        phase = phase * s + residue
    return (positions // stride).double(), F.one_hot(phase, math.prod(convolution.stride)).double()


def _block_squares(weight: Tensor, taps: Tensor, phases: Tensor, frequencies: Tensor) -> tuple[float, float]:
    """The least and the largest eigenvalue of A*A or AA* over these frequencies, from below and from above.

    For a weight (groups, out, in, T); of the smaller of both matrices.
    """
    waves = torch.polar(torch.ones(()).double(), frequencies @ taps.T)
    blocks = torch.einsum("ft,ts,goit->fgois", waves, phases.to(waves.dtype), weight.to(waves.dtype)).flatten(
        3
    )
    if blocks.shape[-2] > blocks.shape[-1]:
        blocks = blocks.mH
    rank, inner = blocks.shape[-2:]
    squares = torch.linalg.eigvalsh(blocks @ blocks.mH)
    least, largest = squares[..., 0].min().item(), squares[..., -1].max().item()
    # The Gram matrix is wrong by inner eps ||A||_F^2 <= inner rank eps ||A||^2, its eigenvalues by rank eps.
    error = 2 * rank * (inner + 10) * EPSILON * max(largest, 0.0)
    return max(least - error, 0.0), max(largest, 0.0) + error

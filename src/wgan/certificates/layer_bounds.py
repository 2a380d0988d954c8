r"""Proven Lipschitz constants (L2) of single layers: one rule a class, in one table.

A rule takes the layer and the shapes of its input and output and returns an upper bound of

    sup over x != x' of |layer(x) - layer(x')| / |x - x'|

with the name of its proof, or raises :class:`Unbounded` to say why there is none. Norms are those of whole
batches, so that a bound holds for each sample of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

from wgan.certificates.operator_norms import Convolution, Pair, convolution_norm, matrix_norm
from wgan.lipschitz.max_of_cones import MaxOfConesCritic, MemberLinear
from wgan.lipschitz.mcshane import McShaneExtension
from wgan.lipschitz.orthogonal import Absolute, GroupSort

Slope = tuple[float, str]


class Unbounded(Exception):
    """No certificate; the message is the reason, as the rest of a sentence that begins with the layer."""


@final
@dataclass(frozen=True)
class Sizes:
    """Sides of a layer's input and output, batch included; None where unknown or different by batch."""

    before: tuple[int | None, ...] | None = None
    after: tuple[int | None, ...] | None = None


Rule = Callable[[Any, Sizes], Slope]

GELU_SLOPE = (1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi)
"""Phi(x) + x phi(x) at its largest, x = sqrt(2)."""
GELU_TANH_SLOPE = 1.12899308
"""The largest slope of the approximation by tanh, near x = 1.4185, rounded up."""
SILU_SLOPE = 1.09983933
"""The largest slope of x sigmoid(x), where x tanh(x/2) = 2, rounded up."""
MISH_SLOPE = 1.08849817
"""The largest slope of x tanh(log(1 + e^x)), near x = 1.4906, rounded up."""
SELU_SLOPE = 1.0507009873554804934193349852946 * 1.6732632423543772848170429916717
"""scale alpha, the slope left of zero."""


def finite(tensor: Tensor) -> Tensor:
    """The tensor in float64 on the CPU.

    Raises:
        Unbounded: It is complex, or holds NaN or infinity.
    """
    if tensor.is_complex():
        raise Unbounded("has complex weights")
    if not torch.isfinite(tensor).all():
        raise Unbounded("has weights that are NaN or infinite")
    return tensor.detach().to("cpu", torch.float64)


def weight_of(layer: nn.Module) -> Tensor:
    """The weight that the layer's forward pass uses, re-parametrised or not, in float64.

    Raises:
        Unbounded: See :func:`finite`; or spectral normalisation is in training mode, where each pass has
            another weight.
    """
    if parametrize.is_parametrized(layer, "weight"):
        steps = layer.parametrizations["weight"]  # type: ignore[index]
        if any(isinstance(step, _SpectralNorm) and step.training for step in steps):
            raise Unbounded("is spectrally normalised anew in each pass of training mode; call critic.eval()")
    return finite(layer.weight)  # type: ignore[arg-type]


def constant(slope: float) -> Rule:
    """The rule of a layer whose slope is the same always."""
    return lambda layer, sizes: (slope, "constant")


def refuse(reason: str) -> Rule:
    """The rule of a layer without a bound."""

    def rule(layer: nn.Module, sizes: Sizes) -> Slope:
        raise Unbounded(reason)

    return rule


def dense(layer: nn.Linear, sizes: Sizes) -> Slope:
    """The largest singular value."""
    return matrix_norm(weight_of(layer)), "svd"


def convolution(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, sizes: Sizes) -> Slope:
    """The norm of the operator, padding and stride included: see :func:`convolution_norm`."""
    return convolution_norm(_described(layer), spatial(sizes.before, len(layer.stride)))


def transposed(layer: nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d, sizes: Sizes) -> Slope:
    """The norm of the convolution whose adjoint it is, from its output back to its input."""
    return convolution_norm(_described(layer), spatial(sizes.after, len(layer.stride)))


def _described(layer: Any) -> Convolution:  # noqa: ANN401 - any of six classes
    """The convolution itself, or the one whose adjoint the layer is: torch stores both in the same way."""
    return Convolution(
        weight_of(layer),
        stride=tuple(layer.stride),
        padding=_padding(layer),
        dilation=tuple(layer.dilation),
        groups=layer.groups,
        mode=layer.padding_mode,
    )


def batch_norm(layer: nn.BatchNorm2d | nn.InstanceNorm2d, sizes: Sizes) -> Slope:
    """Of running statistics: the largest |gamma| / sqrt(variance + eps)."""
    if layer.training or layer.running_var is None:
        raise Unbounded("normalises by the statistics of the batch at hand; call critic.eval() for a bound")
    scale = (finite(layer.running_var) + layer.eps).rsqrt()
    return _largest(scale * _gamma(layer.weight)), "running statistics"


def instance_norm(layer: nn.InstanceNorm2d, sizes: Sizes) -> Slope:
    """By the sample's own statistics unless it tracks them: see :func:`standardisation`."""
    if layer.track_running_stats and layer.running_var is not None:
        return batch_norm(layer, sizes)
    return standardisation(layer, sizes)


def standardisation(layer: nn.LayerNorm | nn.GroupNorm | nn.InstanceNorm2d, sizes: Sizes) -> Slope:
    r"""Normalisation by a sample's own mean and variance: max |gamma| / sqrt(eps), finite but large.

    y = gamma z / sqrt(|z|^2 / n + eps) with z = x - mean(x), a projection. With s = sqrt(|z|^2 / n + eps)
    the derivative by z is (I - z z' / (n s^2)) / s, symmetric with eigenvalues 1/s and eps / s^3, both at
    most 1/sqrt(eps): attained where the input is constant, as near black images it is.
    """
    if layer.eps <= 0:
        raise Unbounded("divides by a standard deviation with eps=0, which may vanish")
    return _largest(_gamma(layer.weight)) / math.sqrt(layer.eps), "1/sqrt(eps)"


def rms_norm(layer: nn.RMSNorm, sizes: Sizes) -> Slope:
    """As :func:`standardisation` without the mean."""
    eps = torch.finfo(torch.float32).eps if layer.eps is None else layer.eps
    if eps <= 0:
        raise Unbounded("divides by a root mean square with eps=0, which may vanish")
    return _largest(_gamma(layer.weight)) / math.sqrt(eps), "1/sqrt(eps)"


def dropout(layer: nn.Dropout, sizes: Sizes) -> Slope:
    """Nothing at inference."""
    if layer.training and layer.p > 0:
        raise Unbounded("draws at random in training mode; call critic.eval() for a bound")
    return 1.0, "constant"


def max_pool(layer: nn.MaxPool2d, sizes: Sizes) -> Slope:
    r"""The square root of how many windows an input can lie in, at most; 1 if windows do not overlap.

    |max over W of x - max over W of x'| <= max over W of |x - x'|, so the squares sum to at most those of
    the inputs, each taken once by each window it lies in.
    """
    if layer.return_indices:
        raise Unbounded("returns indices, which jump")
    dims = _dims(layer)
    kernel, stride = _tuple(layer.kernel_size, dims), _tuple(layer.stride, dims)
    dilation = _tuple(layer.dilation, dims)
    return math.sqrt(_windows(kernel, stride, dilation)), "window overlap"


def average_pool(layer: nn.AvgPool2d, sizes: Sizes) -> Slope:
    r"""The convolution with 1/k where each window is divided by the same k; else a bound by Schur's test.

    Schur: ||A||^2 <= (largest absolute row sum) (largest absolute column sum). Where windows at the edge
    divide by fewer, rows sum to one and columns to at most the number of windows an input can lie in.
    """
    dims = _dims(layer)
    kernel, stride = _tuple(layer.kernel_size, dims), _tuple(layer.stride, dims)
    padding = tuple((side, side) for side in _tuple(layer.padding, dims))
    windows = _windows(kernel, stride, (1,) * dims)
    divisor = getattr(layer, "divisor_override", None)
    uniform = divisor is not None or layer.count_include_pad or not any(left for left, _ in padding)
    if layer.ceil_mode or not uniform:
        rows, columns = (
            (1.0, windows) if divisor is None else (math.prod(kernel) / divisor, windows / divisor)
        )
        return math.sqrt(rows * columns), "schur"
    weight = torch.full((1, 1, *kernel), 1 / (divisor or math.prod(kernel)), dtype=torch.float64)
    mean = Convolution(weight, stride, padding, (1,) * dims)
    return convolution_norm(mean, spatial(sizes.before, dims))


def adaptive_max_pool(layer: nn.AdaptiveMaxPool2d, sizes: Sizes) -> Slope:
    """As :func:`max_pool`, with windows [floor(i n / m), ceil((i + 1) n / m))."""
    if layer.return_indices:
        raise Unbounded("returns indices, which jump")
    matrices = _adaptive_windows(layer, sizes)
    return math.sqrt(math.prod(_largest(windows.sum(0)) for windows in matrices)), "window overlap"


def adaptive_average_pool(layer: nn.AdaptiveAvgPool2d, sizes: Sizes) -> Slope:
    """The product over the dimensions of the norms of the matrices that average along them."""
    matrices = _adaptive_windows(layer, sizes)
    return math.prod(matrix_norm(windows / windows.sum(1, keepdim=True)) for windows in matrices), "svd"


def padding(layer: nn.Module, sizes: Sizes) -> Slope:
    """The root of how often an input may be copied: thrice in each dimension, or all along an edge."""
    pads: list[int] = list(layer.padding)  # type: ignore[arg-type]
    if "Replication" in type(layer).__name__:
        copies = [1 + max(0, left) + max(0, right) for left, right in zip(pads[::2], pads[1::2], strict=True)]
    else:
        copies = [1 + (left > 0) + (right > 0) for left, right in zip(pads[::2], pads[1::2], strict=True)]
    return math.sqrt(math.prod(copies)), "copies"


def _leaky(layer: nn.LeakyReLU, sizes: Sizes) -> Slope:
    return max(1.0, abs(layer.negative_slope)), "constant"


def _prelu(layer: nn.PReLU, sizes: Sizes) -> Slope:
    return max(1.0, _largest(finite(layer.weight))), "constant"


def _rrelu(layer: nn.RReLU, sizes: Sizes) -> Slope:
    if layer.training:
        raise Unbounded("draws at random in training mode; call critic.eval() for a bound")
    return max(1.0, abs(layer.lower + layer.upper) / 2), "constant"


def _elu(layer: nn.ELU, sizes: Sizes) -> Slope:
    return max(1.0, abs(layer.alpha)), "constant"


def _celu(layer: nn.CELU, sizes: Sizes) -> Slope:
    if layer.alpha < 0:
        raise Unbounded("grows exponentially for alpha < 0")
    return 1.0, "constant"


def _gelu(layer: nn.GELU, sizes: Sizes) -> Slope:
    return (GELU_TANH_SLOPE if layer.approximate == "tanh" else GELU_SLOPE), "constant"


def _threshold(layer: nn.Threshold, sizes: Sizes) -> Slope:
    if layer.threshold != layer.value:
        raise Unbounded("jumps at its threshold")
    return 1.0, "constant"


def _adaptive_windows(layer: nn.Module, sizes: Sizes) -> list[Tensor]:
    """For each dimension the matrix (outputs, inputs) of ones where an input lies in an output's window."""
    dims = _dims(layer)
    outputs = _tuple(layer.output_size, dims)
    inputs = spatial(sizes.before, dims)
    if inputs is None:
        if all(side == 1 for side in outputs):
            return [torch.ones(1, 1, dtype=torch.float64)] * dims
        raise Unbounded("adapts to the shape of its input; give certify the shape of one sample")
    matrices = []
    for n, m in zip(inputs, (m or n for n, m in zip(inputs, outputs, strict=True)), strict=True):
        first, last = torch.arange(m) * n // m, -(-(torch.arange(m) + 1) * n // m)
        cells = torch.arange(n)
        matrices.append(((cells >= first[:, None]) & (cells < last[:, None])).double())
    return matrices


def _windows(kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> int:
    """How many windows an input can lie in: the taps whose offsets agree modulo the stride."""
    sides = zip(kernel, stride, dilation, strict=True)
    return math.prod(-(-k * math.gcd(s, d) // s) for k, s, d in sides)


def _padding(layer: Any) -> tuple[Pair, ...]:  # noqa: ANN401 - any of six classes
    if layer.padding == "valid":
        return ((0, 0),) * len(layer.stride)
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((side, side) for side in layer.padding)


def spatial(shape: tuple[int | None, ...] | None, dims: int) -> tuple[int, ...] | None:
    """The last sides of a shape, if all of them are known."""
    if shape is None:
        return None
    sides = [side for side in shape[len(shape) - dims :] if side is not None]
    return tuple(sides) if len(sides) == dims else None


def _dims(layer: nn.Module) -> int:
    return int(type(layer).__name__[-2])


def _tuple(value: Any, dims: int) -> tuple[Any, ...]:  # noqa: ANN401 - a number or one for each dimension
    return tuple(value) if isinstance(value, tuple | list) else (value,) * dims


def _gamma(weight: Tensor | None) -> Tensor:
    return torch.ones(1, dtype=torch.float64) if weight is None else finite(weight)


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max())


_ATTENTION = refuse(
    "is dot-product attention, which has no global Lipschitz constant (Kim, Papamakarios, Mnih 2021, "
    "theorem 3.1)"
)


def extremal(layer: MaxOfConesCritic, sizes: Sizes) -> Slope:
    """The steepest member: the soft maximum's gradient is a convex combination of theirs.

    A member is a chain of dense layers and sorts; of each layer the largest norm among members
    counts.
    """
    norms = [matrix_norm(weight_of(part)) for part in layer.layers if isinstance(part, MemberLinear)]
    if not layer.temperature > 0:
        raise Unbounded(f"has the temperature {layer.temperature}, which is not above zero")
    return math.prod(norms), "svd"


def extension(layer: McShaneExtension, sizes: Sizes) -> Slope:
    """Cones have slope one, and so has the lowest or highest of finitely many."""
    finite(layer.points)
    finite(layer.values)
    return 1.0, "cones"


RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: dense,
    MaxOfConesCritic: extremal,
    McShaneExtension: extension,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), convolution),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), transposed),
    # Isometries and selections of the input's numbers.
    **dict.fromkeys(
        (
            nn.Identity,
            nn.Flatten,
            nn.Unflatten,
            nn.PixelShuffle,
            nn.PixelUnshuffle,
            nn.ChannelShuffle,
            nn.ZeroPad1d,
            nn.ZeroPad2d,
            nn.ZeroPad3d,
            nn.ConstantPad1d,
            nn.ConstantPad2d,
            nn.ConstantPad3d,
        ),
        constant(1.0),
    ),
    **dict.fromkeys(
        (
            nn.ReflectionPad1d,
            nn.ReflectionPad2d,
            nn.ReflectionPad3d,
            nn.CircularPad1d,
            nn.CircularPad2d,
            nn.CircularPad3d,
            nn.ReplicationPad1d,
            nn.ReplicationPad2d,
            nn.ReplicationPad3d,
        ),
        padding,
    ),
    # Activations, by their largest slope.
    **dict.fromkeys(
        (
            nn.ReLU,
            nn.ReLU6,
            nn.Hardtanh,
            nn.Tanh,
            nn.Tanhshrink,
            nn.Softplus,  # its jump to the identity at beta x = 20 is below the rounding of float32
            nn.Softsign,
            nn.Softshrink,
            nn.LogSigmoid,
            GroupSort,
            Absolute,
        ),
        constant(1.0),
    ),
    nn.Sigmoid: constant(1 / 4),
    nn.Hardsigmoid: constant(1 / 6),
    nn.Hardswish: constant(3 / 2),
    nn.SiLU: constant(SILU_SLOPE),
    nn.Mish: constant(MISH_SLOPE),
    nn.SELU: constant(SELU_SLOPE),
    nn.GELU: _gelu,
    nn.ELU: _elu,
    nn.CELU: _celu,
    nn.LeakyReLU: _leaky,
    nn.PReLU: _prelu,
    nn.RReLU: _rrelu,
    nn.Threshold: _threshold,
    nn.Hardshrink: refuse("jumps at its threshold"),
    nn.GLU: refuse("multiplies two functions of its input, which has no global Lipschitz constant"),
    # The variance of a variable with values v_i, |v| = 1, is at most (max v - min v)^2 / 4 <= 1/2.
    **dict.fromkeys((nn.Softmax, nn.Softmin, nn.Softmax2d), constant(1 / 2)),
    **dict.fromkeys(
        (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
        dropout,
    ),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), max_pool),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), average_pool),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), adaptive_max_pool),
    **dict.fromkeys(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), adaptive_average_pool
    ),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm), batch_norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), instance_norm),
    **dict.fromkeys((nn.LayerNorm, nn.GroupNorm), standardisation),
    nn.RMSNorm: rms_norm,
    **dict.fromkeys(
        (
            nn.MultiheadAttention,
            nn.TransformerEncoderLayer,
            nn.TransformerEncoder,
            nn.TransformerDecoderLayer,
            nn.TransformerDecoder,
            nn.Transformer,
        ),
        _ATTENTION,
    ),
}
"""The rule of each class. A subclass with a forward pass of its own is traced through instead."""

NEW_TENSOR = frozenset(
    kind
    for kind, rule in RULES.items()
    if rule in (dense, convolution, transposed, batch_norm, instance_norm, standardisation, rms_norm)
)
"""Layers whose output never shares its memory with their input."""

r"""Proven Lipschitz constants (L2) of single layers: one table of rules, one rule per class.

A rule takes the layer and the shapes of its input and output and returns an upper bound of

    sup over x != x' of |layer(x) - layer(x')| / |x - x'|

with the name of its proof, or raises :class:`Unbounded` with the reason why there is none. Norms are those of
whole batches, so that a bound holds for each sample.
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

BoundMethod = tuple[float, str]


class Unbounded(Exception):
    """There is no bound; the message is the reason, a sentence without its subject, the layer."""


@final
@dataclass(frozen=True)
class LayerShapes:
    """Shapes of a layer's input and output, batch included; None for a side that is unknown or varies."""

    before: tuple[int | None, ...] | None = None
    after: tuple[int | None, ...] | None = None


LayerRule = Callable[[Any, LayerShapes], BoundMethod]

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


def as_finite(tensor: Tensor) -> Tensor:
    """Convert to float64 on the CPU.

    Raises:
        Unbounded: The tensor is complex, or holds NaN or infinity.
    """
    if tensor.is_complex():
        raise Unbounded("has complex weights")
    if not torch.isfinite(tensor).all():
        raise Unbounded("has weights that are NaN or infinite")
    return tensor.detach().to("cpu", torch.float64)


def effective_weight(layer: nn.Module) -> Tensor:
    """Return the weight that the layer's forward pass uses, re-parametrised or not, in float64.

    Raises:
        Unbounded: See :func:`as_finite`; or spectral normalisation is in training mode, where the weight
            changes in each pass.
    """
    if parametrize.is_parametrized(layer, "weight"):
        steps = layer.parametrizations["weight"]  # type: ignore[index]
        if any(isinstance(step, _SpectralNorm) and step.training for step in steps):
            raise Unbounded("is spectrally normalised anew in each pass of training mode; call critic.eval()")
    return as_finite(layer.weight)  # type: ignore[arg-type]


def fixed(slope: float) -> LayerRule:
    """Return the rule of a layer with this Lipschitz constant, whatever its settings."""
    return lambda layer, sizes: (slope, "constant")


def no_bound(reason: str) -> LayerRule:
    """Return the rule of a layer that has no bound."""

    def rule(layer: nn.Module, sizes: LayerShapes) -> BoundMethod:
        raise Unbounded(reason)

    return rule


def _dense(layer: nn.Linear, sizes: LayerShapes) -> BoundMethod:
    """The largest singular value."""
    return matrix_norm(effective_weight(layer)), "svd"


def _convolution(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, sizes: LayerShapes) -> BoundMethod:
    """The norm of the operator, padding and stride included: see :func:`convolution_norm`."""
    return convolution_norm(_as_convolution(layer), spatial(sizes.before, len(layer.stride)))


def _transposed(layer: Any, sizes: LayerShapes) -> BoundMethod:  # noqa: ANN401 - any of three classes
    """The norm of the convolution whose adjoint it is, from its output back to its input."""
    return convolution_norm(_as_convolution(layer), spatial(sizes.after, len(layer.stride)))


def _as_convolution(layer: Any) -> Convolution:  # noqa: ANN401 - any of six classes
    """The convolution itself, or the one whose adjoint the layer is: torch stores both in the same way."""
    return Convolution(
        effective_weight(layer),
        stride=tuple(layer.stride),
        padding=_padding_sides(layer),
        dilation=tuple(layer.dilation),
        groups=layer.groups,
        mode=layer.padding_mode,
    )


def _batch_norm(layer: nn.BatchNorm2d | nn.InstanceNorm2d, sizes: LayerShapes) -> BoundMethod:
    """By running statistics: the largest |gamma| / sqrt(variance + eps)."""
    if layer.training or layer.running_var is None:
        raise Unbounded("normalises by the statistics of the batch at hand; call critic.eval() for a bound")
    scale = (as_finite(layer.running_var) + layer.eps).rsqrt()
    return _largest(scale * _gamma(layer.weight)), "running statistics"


def _instance_norm(layer: nn.InstanceNorm2d, sizes: LayerShapes) -> BoundMethod:
    """By the sample's own statistics unless the layer tracks them: see :func:`_standardisation`."""
    if layer.track_running_stats and layer.running_var is not None:
        return _batch_norm(layer, sizes)
    return _standardisation(layer, sizes)


def _standardisation(layer: Any, sizes: LayerShapes) -> BoundMethod:  # noqa: ANN401 - any of three
    r"""Normalisation by a sample's own mean and variance: max |gamma| / sqrt(eps), finite but large.

    y = gamma z / sqrt(|z|^2 / n + eps) with z = x - mean(x), a projection. With s = sqrt(|z|^2 / n + eps)
    the derivative by z is (I - z z' / (n s^2)) / s, symmetric with eigenvalues 1/s and eps / s^3, both at
    most 1/sqrt(eps), attained where the input is constant.
    """
    if layer.eps <= 0:
        raise Unbounded("divides by a standard deviation with eps=0, which may vanish")
    return _largest(_gamma(layer.weight)) / math.sqrt(layer.eps), "1/sqrt(eps)"


def _rms_norm(layer: nn.RMSNorm, sizes: LayerShapes) -> BoundMethod:
    """As :func:`_standardisation` without the mean."""
    eps = torch.finfo(torch.float32).eps if layer.eps is None else layer.eps
    if eps <= 0:
        raise Unbounded("divides by a root mean square with eps=0, which may vanish")
    return _largest(_gamma(layer.weight)) / math.sqrt(eps), "1/sqrt(eps)"


def _dropout(layer: nn.Dropout, sizes: LayerShapes) -> BoundMethod:
    """The identity at inference."""
    if layer.training and layer.p > 0:
        raise Unbounded("draws at random in training mode; call critic.eval() for a bound")
    return 1.0, "constant"


def _max_pool(layer: nn.MaxPool2d, sizes: LayerShapes) -> BoundMethod:
    r"""The square root of the most windows that an input can lie in; 1 if windows do not overlap.

    |max over W of x - max over W of x'| <= max over W of |x - x'|, so the squares sum to at most those of
    the inputs, each counted once for each window that it lies in.
    """
    if layer.return_indices:
        raise Unbounded("returns indices, which jump")
    dims = _dims(layer)
    kernel, stride = _tuple(layer.kernel_size, dims), _tuple(layer.stride, dims)
    dilation = _tuple(layer.dilation, dims)
    return math.sqrt(_windows(kernel, stride, dilation)), "window overlap"


def _average_pool(layer: nn.AvgPool2d, sizes: LayerShapes) -> BoundMethod:
    r"""The convolution with 1/k where all windows are divided by the same k; else a bound by Schur's test.

    Schur: ||A||^2 <= (largest absolute row sum) (largest absolute column sum). Where windows at the edge are
    smaller, rows sum to one and columns to at most the number of windows that an input can lie in.
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


def _adaptive_max_pool(layer: nn.AdaptiveMaxPool2d, sizes: LayerShapes) -> BoundMethod:
    """As :func:`_max_pool`, with windows [floor(i n / m), ceil((i + 1) n / m))."""
    if layer.return_indices:
        raise Unbounded("returns indices, which jump")
    matrices = _adaptive_windows(layer, sizes)
    return math.sqrt(math.prod(_largest(windows.sum(0)) for windows in matrices)), "window overlap"


def _adaptive_average_pool(layer: nn.AdaptiveAvgPool2d, sizes: LayerShapes) -> BoundMethod:
    """The product over the dimensions of the norms of the matrices that average along them."""
    matrices = _adaptive_windows(layer, sizes)
    return math.prod(matrix_norm(windows / windows.sum(1, keepdim=True)) for windows in matrices), "svd"


def _padding(layer: nn.Module, sizes: LayerShapes) -> BoundMethod:
    """The square root of the most copies of an input: three in each dimension, or one per replicated cell."""
    pads: list[int] = list(layer.padding)  # type: ignore[arg-type]
    if "Replication" in type(layer).__name__:
        copies = [1 + max(0, left) + max(0, right) for left, right in zip(pads[::2], pads[1::2], strict=True)]
    else:
        copies = [1 + (left > 0) + (right > 0) for left, right in zip(pads[::2], pads[1::2], strict=True)]
    return math.sqrt(math.prod(copies)), "copies"


def _leaky_relu(layer: nn.LeakyReLU, sizes: LayerShapes) -> BoundMethod:
    return max(1.0, abs(layer.negative_slope)), "constant"


def _prelu(layer: nn.PReLU, sizes: LayerShapes) -> BoundMethod:
    return max(1.0, _largest(as_finite(layer.weight))), "constant"


def _rrelu(layer: nn.RReLU, sizes: LayerShapes) -> BoundMethod:
    if layer.training:
        raise Unbounded("draws at random in training mode; call critic.eval() for a bound")
    return max(1.0, abs(layer.lower + layer.upper) / 2), "constant"


def _elu(layer: nn.ELU, sizes: LayerShapes) -> BoundMethod:
    return max(1.0, abs(layer.alpha)), "constant"


def _celu(layer: nn.CELU, sizes: LayerShapes) -> BoundMethod:
    if layer.alpha < 0:
        raise Unbounded("grows exponentially for alpha < 0")
    return 1.0, "constant"


def _gelu(layer: nn.GELU, sizes: LayerShapes) -> BoundMethod:
    return (GELU_TANH_SLOPE if layer.approximate == "tanh" else GELU_SLOPE), "constant"


def _threshold(layer: nn.Threshold, sizes: LayerShapes) -> BoundMethod:
    if layer.threshold != layer.value:
        raise Unbounded("jumps at its threshold")
    return 1.0, "constant"


def _adaptive_windows(layer: nn.Module, sizes: LayerShapes) -> list[Tensor]:
    """For each dimension the 0-1 matrix (outputs, inputs) of which input lies in which output's window."""
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
    """The most windows that an input can lie in: the taps whose offsets agree modulo the stride."""
    sides = zip(kernel, stride, dilation, strict=True)
    return math.prod(-(-k * math.gcd(s, d) // s) for k, s, d in sides)


def _padding_sides(layer: Any) -> tuple[Pair, ...]:  # noqa: ANN401 - any of six classes
    if layer.padding == "valid":
        return ((0, 0),) * len(layer.stride)
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((side, side) for side in layer.padding)


def spatial(shape: tuple[int | None, ...] | None, dims: int) -> tuple[int, ...] | None:
    """The last ``dims`` sides of a shape, if all of them are known."""
    if shape is None:
        return None
    sides = [side for side in shape[len(shape) - dims :] if side is not None]
    return tuple(sides) if len(sides) == dims else None


def _dims(layer: nn.Module) -> int:
    return int(type(layer).__name__[-2])


def _tuple(value: Any, dims: int) -> tuple[Any, ...]:  # noqa: ANN401 - a number or one for each dimension
    return tuple(value) if isinstance(value, tuple | list) else (value,) * dims


def _gamma(weight: Tensor | None) -> Tensor:
    return torch.ones(1, dtype=torch.float64) if weight is None else as_finite(weight)


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max())


DOT_PRODUCT_ATTENTION = (
    "is dot-product attention, which has no global Lipschitz constant (Kim, Papamakarios, Mnih 2021, "
    "theorem 3.1)"
)
_ATTENTION = no_bound(DOT_PRODUCT_ATTENTION)


def _max_of_cones(layer: MaxOfConesCritic, sizes: LayerShapes) -> BoundMethod:
    """The product of each layer's largest norm among members, which are chains of dense layers and sorts.

    The gradient of the soft maximum is a convex combination of the members' gradients.
    """
    norms = [matrix_norm(effective_weight(part)) for part in layer.layers if isinstance(part, MemberLinear)]
    if not layer.temperature > 0:
        raise Unbounded(f"has the temperature {layer.temperature}, which is not above zero")
    return math.prod(norms), "svd"


def _mcshane_extension(layer: McShaneExtension, sizes: LayerShapes) -> BoundMethod:
    """Cones are 1-Lipschitz, and so is the minimum or maximum of finitely many."""
    as_finite(layer.points)
    as_finite(layer.values)
    return 1.0, "cones"


def _1d_to_3d(*names: str) -> tuple[type[nn.Module], ...]:
    return tuple(getattr(nn, f"{name}{dims}d") for name in names for dims in (1, 2, 3))


RULES: dict[type[nn.Module], LayerRule] = {
    nn.Linear: _dense,
    MaxOfConesCritic: _max_of_cones,
    McShaneExtension: _mcshane_extension,
    **dict.fromkeys(_1d_to_3d("Conv"), _convolution),
    **dict.fromkeys(_1d_to_3d("ConvTranspose"), _transposed),
    # Isometries and selections of the input's numbers.
    **dict.fromkeys((nn.Identity, nn.Flatten, nn.Unflatten), fixed(1.0)),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), fixed(1.0)),
    **dict.fromkeys(_1d_to_3d("ZeroPad", "ConstantPad"), fixed(1.0)),
    **dict.fromkeys(_1d_to_3d("ReflectionPad", "CircularPad", "ReplicationPad"), _padding),
    # Activations, by their largest slope.
    nn.Softplus: fixed(1.0),  # its jump to the identity at beta x = 20 is below the rounding of float32
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Tanh, nn.Tanhshrink, nn.Softsign), fixed(1.0)),
    **dict.fromkeys((nn.Softshrink, nn.LogSigmoid, GroupSort, Absolute), fixed(1.0)),
    nn.Sigmoid: fixed(1 / 4),
    nn.Hardsigmoid: fixed(1 / 6),
    nn.Hardswish: fixed(3 / 2),
    nn.SiLU: fixed(SILU_SLOPE),
    nn.Mish: fixed(MISH_SLOPE),
    nn.SELU: fixed(SELU_SLOPE),
    nn.GELU: _gelu,
    nn.ELU: _elu,
    nn.CELU: _celu,
    nn.LeakyReLU: _leaky_relu,
    nn.PReLU: _prelu,
    nn.RReLU: _rrelu,
    nn.Threshold: _threshold,
    nn.Hardshrink: no_bound("jumps at its threshold"),
    nn.GLU: no_bound("multiplies two functions of its input, which has no global Lipschitz constant"),
    # The variance of a variable with values v_i, |v| = 1, is at most (max v - min v)^2 / 4 <= 1/2.
    **dict.fromkeys((nn.Softmax, nn.Softmin, nn.Softmax2d), fixed(1 / 2)),
    **dict.fromkeys((nn.Dropout, *_1d_to_3d("Dropout"), nn.AlphaDropout, nn.FeatureAlphaDropout), _dropout),
    **dict.fromkeys(_1d_to_3d("MaxPool"), _max_pool),
    **dict.fromkeys(_1d_to_3d("AvgPool"), _average_pool),
    **dict.fromkeys(_1d_to_3d("AdaptiveMaxPool"), _adaptive_max_pool),
    **dict.fromkeys(_1d_to_3d("AdaptiveAvgPool"), _adaptive_average_pool),
    **dict.fromkeys((*_1d_to_3d("BatchNorm"), nn.SyncBatchNorm), _batch_norm),
    **dict.fromkeys(_1d_to_3d("InstanceNorm"), _instance_norm),
    **dict.fromkeys((nn.LayerNorm, nn.GroupNorm), _standardisation),
    nn.RMSNorm: _rms_norm,
    **dict.fromkeys((nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder), _ATTENTION),
    **dict.fromkeys((nn.TransformerDecoderLayer, nn.TransformerDecoder, nn.Transformer), _ATTENTION),
}
"""The rule of each class. A subclass with a forward pass of its own is traced instead."""

_NEW_TENSOR_RULES = (
    _dense,
    _convolution,
    _transposed,
    _batch_norm,
    _instance_norm,
    _standardisation,
    _rms_norm,
)
NEW_TENSOR = frozenset(kind for kind, rule in RULES.items() if rule in _NEW_TENSOR_RULES)
"""Layers whose output never shares its memory with their input."""

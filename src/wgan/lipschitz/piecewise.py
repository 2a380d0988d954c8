r"""Input gradients of piecewise linear critics, without the zeros that torch would compute.

Such a critic is linear around almost every point. Its gradient there, W_1' D_1 W_2' D_2 ... w, depends on the
weights through the W alone: neither the slopes D of rectifiers nor the derivative of a convolution depend on
*where* they are taken. Torch differentiates with respect to that place as well, and propagates the zeros that
result back through all layers. Here these paths do not exist. Whatever is left out is zero; smooth layers
keep their second derivatives.

A convolution is a trilinear form T(x, w, y) = <y, w * x>. A gradient and its own derivatives consist of the
form's three partial derivatives, and the derivatives of each are the other two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

FEW_CHANNELS = 3
"""Channels up to which a CPU computes the input gradient faster by a matrix product and an overlap-add."""


@final
class PiecewiseLinear(TorchFunctionMode):
    """Context in which rectifiers and 2-D convolutions are differentiated as the linear maps they are."""

    def __init__(self) -> None:
        super().__init__()
        self.input_gradient_only = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call the function, or its replacement with the same values and derivatives."""
        linear = REPLACEMENTS.get(getattr(func, "__name__", ""))
        return linear(self, func, *args, **(kwargs or {})) if linear else func(*args, **(kwargs or {}))

    def gradient(self, scores: Tensor, points: Tensor) -> Tensor:
        """Gradient of the sum of scores, computed in this context, by points; differentiable again."""
        self.input_gradient_only = True
        try:
            (gradient,) = torch.autograd.grad(scores.sum(), points, create_graph=True, materialize_grads=True)
        finally:
            self.input_gradient_only = False
        return gradient


# The parameters below have torch's names: networks may pass them by keyword.


def _relu(_: object, func: Callable[..., Tensor], input: Tensor, inplace: bool = False) -> Tensor:  # noqa: A002
    return _apply(_Rectifier, input, 0.0, inplace or func.__name__.endswith("_"))


def _leaky_relu(
    _: object,
    func: Callable[..., Tensor],
    input: Tensor,  # noqa: A002
    negative_slope: float = 0.01,
    inplace: bool = False,
) -> Tensor:
    if negative_slope < 0:  # the output's sign does not determine the slope
        return func(input, negative_slope, inplace)
    return _apply(_Rectifier, input, negative_slope, inplace or func.__name__.endswith("_"))


def _conv2d(
    mode: PiecewiseLinear,
    func: Callable[..., Tensor],
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str) or input.dim() != 4:
        return func(input, weight, bias, stride, padding, dilation, groups)
    geometry = _Geometry(_pair(stride), _pair(padding), _pair(dilation), groups)
    return _apply(_Convolution, input, weight, bias, geometry, mode)


REPLACEMENTS: dict[str, Callable[..., Tensor]] = {
    "relu": _relu,
    "relu_": _relu,
    "leaky_relu": _leaky_relu,
    "leaky_relu_": _leaky_relu,
    "conv2d": _conv2d,
}
"""Functions that replace torch's by name; called with the mode and torch's function first."""


class _Rectifier(Function):
    """x where x > 0, slope x elsewhere; slope >= 0."""

    @staticmethod
    def forward(context: Any, features: Tensor, slope: float, inplace: bool) -> Tensor:  # noqa: ANN401
        if inplace:
            context.mark_dirty(features)
        rectified = F.leaky_relu(features, slope, inplace) if slope else F.relu(features, inplace)
        # Both have the same sign. This is the one that torch saves, as the other may be changed in place.
        context.save_for_backward(features if slope and not inplace else rectified)
        context.slope = slope
        return rectified

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (gradient,), place = gradients, context.saved_tensors[0].detach()
        if context.slope:
            return torch.ops.aten.leaky_relu_backward(gradient, place, context.slope, True), None, None
        return torch.ops.aten.threshold_backward(gradient, place, 0), None, None


class _Geometry(NamedTuple):
    """Stride, padding, dilation and groups of a convolution."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def backward(self, y: Tensor, x: Tensor, weight: Tensor, *mask: bool) -> Tensor:
        """Torch's derivative of the convolution by x or by the weight, whichever the mask selects."""
        derivatives = torch.ops.aten.convolution_backward(
            y, x, weight, None, *self[:3], False, [0, 0], self.groups, [*mask, False]
        )
        derivative: Tensor = derivatives[mask.index(True)]
        return derivative


class _Convolution(Function):
    """w * x + b, the derivative by y."""

    @staticmethod
    def forward(
        context: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: _Geometry,
        mode: PiecewiseLinear,
    ) -> Tensor:
        context.save_for_backward(x, weight)
        context.geometry, context.mode = geometry, mode
        # A parameter does not depend on the input; a weight that a network computes may.
        context.constant_weight = isinstance(weight, nn.Parameter) and isinstance(bias, nn.Parameter | None)
        return torch.convolution(x, weight, bias, *geometry[:3], False, [0, 0], geometry.groups)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (y,), (x, weight), options = gradients, context.saved_tensors, (context.geometry, context.mode)
        needed = context.needs_input_grad
        by_x = _apply(_Adjoint, y, weight, x.detach(), *options) if needed[0] else None
        if context.constant_weight and context.mode.input_gradient_only:
            return by_x, None, None, None, None
        by_weight = _apply(_Correlation, x, y, weight.detach(), *options) if needed[1] else None
        return by_x, by_weight, y.sum((0, 2, 3)) if needed[2] else None, None, None


class _Adjoint(Function):
    """The derivative by x, in the shape of x: the transposed convolution of y."""

    @staticmethod
    def forward(
        context: Any,  # noqa: ANN401
        y: Tensor,
        weight: Tensor,
        like: Tensor,
        geometry: _Geometry,
        mode: PiecewiseLinear,
    ) -> Tensor:
        context.save_for_backward(y, weight)
        context.options = geometry, mode
        if y.device.type != "cpu" or like.shape[1] > FEW_CHANNELS or geometry.groups > 1:
            return geometry.backward(y, like, weight, True, False)
        columns = weight.flatten(1).t() @ y.flatten(2)
        return F.fold(
            columns, like.shape[2:], weight.shape[2:], geometry.dilation, geometry.padding, geometry.stride
        )

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (x,), (y, weight), needed = gradients, context.saved_tensors, context.needs_input_grad
        by_y = _apply(_Convolution, x, weight, None, *context.options) if needed[0] else None
        by_weight = _apply(_Correlation, x, y, weight.detach(), *context.options) if needed[1] else None
        return by_y, by_weight, None, None, None


class _Correlation(Function):
    """The derivative by the weight, in the shape of the weight."""

    @staticmethod
    def forward(
        context: Any,  # noqa: ANN401
        x: Tensor,
        y: Tensor,
        like: Tensor,
        geometry: _Geometry,
        mode: PiecewiseLinear,
    ) -> Tensor:
        context.save_for_backward(x, y)
        context.options = geometry, mode
        return geometry.backward(y, x, like, False, True)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (weight,), (x, y), needed = gradients, context.saved_tensors, context.needs_input_grad
        by_x = _apply(_Adjoint, y, weight, x.detach(), *context.options) if needed[0] else None
        by_y = _apply(_Convolution, x, weight, None, *context.options) if needed[1] else None
        return by_x, by_y, None, None, None


def _pair(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))


def _apply(function: type[Function], *arguments: object) -> Tensor:
    output: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return output

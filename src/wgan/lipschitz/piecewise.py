r"""Input gradients of piecewise linear critics, without the zeros that torch would compute.

Around almost every point such a critic is linear. Its gradient there, W_1' D_1 W_2' D_2 ... w, depends on the
weights through the W alone: neither the slopes D of rectifiers nor the derivative of a convolution depend on
*where* they are taken. Torch differentiates by that place as well, gets zeros, and takes them all the way
back through the layers. Here these paths do not exist. What is left out is zero whatever else the critic is
made of: smooth layers keep their second derivatives.

A convolution is a trilinear form T(x, w, y) = <y, w * x>. All that a gradient and its own derivatives ask for
are the form's three partial derivatives, and the derivatives of each are the other two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

THIN = 3
"""Most channels of samples whose gradient a CPU has sooner by a matrix product and a sum over overlaps."""


@final
class PiecewiseLinear(TorchFunctionMode):
    """While entered, rectifiers and 2-D convolutions are differentiated as the linear maps they are."""

    def __init__(self) -> None:
        super().__init__()
        self.towards_input = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call the function, or one of the same values and derivatives."""
        linear = LINEAR.get(getattr(func, "__name__", ""))
        return linear(self, func, *args, **(kwargs or {})) if linear else func(*args, **(kwargs or {}))

    def gradient(self, scores: Tensor, points: Tensor) -> Tensor:
        """The gradient of the sum of scores, made while entered, by points; differentiable again."""
        self.towards_input = True
        try:
            (found,) = torch.autograd.grad(scores.sum(), points, create_graph=True, materialize_grads=True)
        finally:
            self.towards_input = False
        return found


# The parameters below bear torch's names, by which networks may pass them.


def _relu(_: object, func: Callable[..., Tensor], input: Tensor, inplace: bool = False) -> Tensor:  # noqa: A002
    inplace = inplace or func.__name__.endswith("_")
    return _derived(_Rectifier, input, 0.0, inplace)


def _leaky_relu(
    _: object,
    func: Callable[..., Tensor],
    input: Tensor,  # noqa: A002
    negative_slope: float = 0.01,
    inplace: bool = False,
) -> Tensor:
    if negative_slope < 0:  # the sign of what comes out does not tell the slope
        return func(input, negative_slope, inplace)
    inplace = inplace or func.__name__.endswith("_")
    return _derived(_Rectifier, input, negative_slope, inplace)


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
    layout = _Layout(_pair(stride), _pair(padding), _pair(dilation), groups)
    return _derived(_Convolution, input, weight, bias, layout, mode)


LINEAR: dict[str, Callable[..., Tensor]] = {
    "relu": _relu,
    "relu_": _relu,
    "leaky_relu": _leaky_relu,
    "leaky_relu_": _leaky_relu,
    "conv2d": _conv2d,
}
"""What is called, with the mode and the function, instead of a function of that name."""


class _Rectifier(Function):
    """x where x > 0, slope x elsewhere; slope >= 0."""

    @staticmethod
    def forward(context: Any, features: Tensor, slope: float, inplace: bool) -> Tensor:  # noqa: ANN401
        if inplace:
            context.mark_dirty(features)
        rectified = F.leaky_relu(features, slope, inplace) if slope else F.relu(features, inplace)
        # Of one sign, and what torch saves: that one may be changed in place afterwards.
        context.save_for_backward(features if slope and not inplace else rectified)
        context.slope = slope
        return rectified

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (gradient,), place = gradients, context.saved_tensors[0].detach()
        if context.slope:
            return torch.ops.aten.leaky_relu_backward(gradient, place, context.slope, True), None, None
        return torch.ops.aten.threshold_backward(gradient, place, 0), None, None


class _Layout(NamedTuple):
    """How a convolution is laid out."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def backward(self, y: Tensor, x: Tensor, weight: Tensor, *asked: bool) -> Tensor:
        """Torch's derivative of the convolution by x or by the weight, whichever is asked for."""
        found = torch.ops.aten.convolution_backward(
            y, x, weight, None, *self[:3], False, [0, 0], self.groups, [*asked, False]
        )
        derivative: Tensor = found[asked.index(True)]
        return derivative


class _Convolution(Function):
    """w * x + b, the derivative by y."""

    @staticmethod
    def forward(
        context: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        layout: _Layout,
        mode: PiecewiseLinear,
    ) -> Tensor:
        context.save_for_backward(x, weight)
        context.layout, context.mode = layout, mode
        # A parameter is no function of the input; what a network computes may be.
        context.fixed = isinstance(weight, nn.Parameter) and isinstance(bias, nn.Parameter | None)
        return torch.convolution(x, weight, bias, *layout[:3], False, [0, 0], layout.groups)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (y,), (x, weight), given = gradients, context.saved_tensors, (context.layout, context.mode)
        asked = context.needs_input_grad
        by_x = _derived(_Adjoint, y, weight, x.detach(), *given) if asked[0] else None
        if context.fixed and context.mode.towards_input:
            return by_x, None, None, None, None
        by_weight = _derived(_Correlation, x, y, weight.detach(), *given) if asked[1] else None
        return by_x, by_weight, y.sum((0, 2, 3)) if asked[2] else None, None, None


class _Adjoint(Function):
    """The derivative by x, shaped like it: what takes y to where the convolution had it from."""

    @staticmethod
    def forward(
        context: Any,  # noqa: ANN401
        y: Tensor,
        weight: Tensor,
        like: Tensor,
        layout: _Layout,
        mode: PiecewiseLinear,
    ) -> Tensor:
        context.save_for_backward(y, weight)
        context.given = layout, mode
        if y.device.type != "cpu" or like.shape[1] > THIN or layout.groups > 1:
            return layout.backward(y, like, weight, True, False)
        columns = weight.flatten(1).t() @ y.flatten(2)
        return F.fold(
            columns, like.shape[2:], weight.shape[2:], layout.dilation, layout.padding, layout.stride
        )

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (x,), (y, weight), asked = gradients, context.saved_tensors, context.needs_input_grad
        by_y = _derived(_Convolution, x, weight, None, *context.given) if asked[0] else None
        by_weight = _derived(_Correlation, x, y, weight.detach(), *context.given) if asked[1] else None
        return by_y, by_weight, None, None, None


class _Correlation(Function):
    """The derivative by the weight, shaped like it."""

    @staticmethod
    def forward(
        context: Any,  # noqa: ANN401
        x: Tensor,
        y: Tensor,
        like: Tensor,
        layout: _Layout,
        mode: PiecewiseLinear,
    ) -> Tensor:
        context.save_for_backward(x, y)
        context.given = layout, mode
        return layout.backward(y, x, like, False, True)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (weight,), (x, y), asked = gradients, context.saved_tensors, context.needs_input_grad
        by_x = _derived(_Adjoint, y, weight, x.detach(), *context.given) if asked[0] else None
        by_y = _derived(_Convolution, x, weight, None, *context.given) if asked[1] else None
        return by_x, by_y, None, None, None


def _pair(side: int | Sequence[int]) -> tuple[int, ...]:
    return (side, side) if isinstance(side, int) else tuple(side) * (2 // len(side))


def _derived(function: type[Function], *given: object) -> Tensor:
    """What the function makes of what is given."""
    made: Tensor = function.apply(*given)  # type: ignore[no-untyped-call]
    return made

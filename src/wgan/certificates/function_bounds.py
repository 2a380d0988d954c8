r"""Lipschitz bounds through torch's functions and methods: one table of rules, one rule per function.

A layer has one input and one Lipschitz constant (:mod:`wgan.certificates.layer_bounds`). A function may join
several tensors: a sum adds their bounds, a concatenation takes the root of the sum of squares. Functions that
are not in the table have no bound.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wgan.certificates.layer_bounds import (
    DOT_PRODUCT_ATTENTION,
    RULES,
    LayerShapes,
    Unbounded,
    as_finite,
    spatial,
)
from wgan.certificates.operator_norms import Convolution, convolution_norm, matrix_norm

Shapes = tuple[torch.Size, torch.Size]
"""The shapes of a tensor for batches of two and of three samples; sides that differ depend on the batch."""


@final
@dataclass(frozen=True)
class BoundedTensor:
    """A tensor that depends on the samples.

    Attributes:
        bound: Upper bound of its Lipschitz constant as a function of the samples.
        shapes: Its shapes, where they are known.
        shared: Whether it may share memory with another tensor.
    """

    bound: float
    shapes: Shapes | None = None
    shared: bool = True


@final
@dataclass(frozen=True)
class BoundedTuple:
    """Several tensors, such as chunks; or values with their indices, of which only the values are bounded."""

    bound: float
    only_first: bool


@final
class Unknown:
    """An unknown value that does not depend on the samples."""


UNKNOWN = Unknown()


@final
@dataclass(frozen=True)
class Call:
    """A function's arguments, and the shapes of its result where they are known."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: Shapes | None

    @property
    def first(self) -> BoundedTensor:
        """The first argument.

        Raises:
            Unbounded: Another argument depends on the samples.
        """
        if not self.args or not isinstance(self.args[0], BoundedTensor):
            raise Unbounded("depends on the samples through an argument that has no rule")
        if depends_on_samples((self.args[1:], self.kwargs)):
            raise Unbounded("depends on the samples through more than its first argument")
        return self.args[0]

    @property
    def pair(self) -> tuple[Any, Any]:
        """Both arguments of a function of two.

        Raises:
            Unbounded: There are more or fewer arguments.
        """
        if len(self.args) != 2 or self.kwargs:
            raise Unbounded("has options that have no rule")
        return self.args[0], self.args[1]

    def result(self, bound: float, *, shared: bool = False) -> BoundedTensor:
        """A tensor with this bound in the shape of the call's result."""
        return BoundedTensor(bound, self.shapes, shared)


FunctionRule = Callable[[Call], Any]


def flatten(arguments: Any) -> Iterator[Any]:  # noqa: ANN401 - nested as the caller liked
    """Yield all values in nested tuples, lists, dictionaries and slices."""
    if isinstance(arguments, tuple | list):
        for value in arguments:
            yield from flatten(value)
    elif isinstance(arguments, dict):
        yield from flatten(list(arguments.values()))
    elif isinstance(arguments, slice):
        yield from flatten((arguments.start, arguments.stop, arguments.step))
    else:
        yield arguments


def depends_on_samples(arguments: Any) -> bool:  # noqa: ANN401 - nested as the caller liked
    """Whether a value in nested arguments depends on the samples."""
    return any(isinstance(value, BoundedTensor | BoundedTuple) for value in flatten(arguments))


def fixed_sides(shapes: Shapes | None) -> tuple[int | None, ...] | None:
    """The sides that are the same for every batch; None in place of the others."""
    if shapes is None or len(shapes[0]) != len(shapes[1]):
        return None
    return tuple(two if two == three else None for two, three in zip(*shapes, strict=True))


def _selection(call: Call) -> BoundedTensor:
    """K: reshapes, permutations and selections, which repeat no entry."""
    options = [option for option in flatten((call.args, call.kwargs)) if isinstance(option, torch.dtype)]
    if any(not option.is_floating_point for option in options):
        raise Unbounded("rounds to whole numbers")
    return call.result(call.first.bound, shared=True)


def _view(call: Call) -> BoundedTensor:
    """As :func:`_selection`, unless it reinterprets the bits as another type."""
    if any(isinstance(option, torch.dtype) for option in flatten((call.args, call.kwargs))):
        raise Unbounded("reads the same bits as another kind of number")
    return _selection(call)


def _non_expansive(call: Call) -> BoundedTensor:
    """K: a new tensor by a 1-Lipschitz function, such as an absolute value, a clamp or a norm."""
    return call.result(call.first.bound)


def _layer(kind: Callable[..., nn.Module]) -> FunctionRule:
    """The rule of the function with the same effect and arguments as a layer of this class."""

    def handler(call: Call) -> BoundedTensor:
        value = call.first
        try:
            module = kind(*call.args[1:], **call.kwargs)
        except TypeError as error:
            raise Unbounded("has options that have no rule") from error
        slope, _ = RULES[type(module)](
            module, LayerShapes(fixed_sides(value.shapes), fixed_sides(call.shapes))
        )
        if slope > 1 and getattr(module, "inplace", False):
            raise Unbounded("changes a tensor in place by a slope above 1")
        return call.result(value.bound * slope, shared=True)

    return handler


def _add(call: Call) -> BoundedTensor:
    """K_a + K_b."""
    return call.result(sum(_repetition(value, other, call) * value.bound for value, other in _operands(call)))


def _multiply(call: Call) -> BoundedTensor:
    """K max |c|, by a constant c.

    Raises:
        Unbounded: Both factors depend on the samples, or the other is not known.
    """
    ((value, factor), *others) = _operands(call)
    if others:
        raise Unbounded(PRODUCT)
    return call.result(value.bound * _repetition(value, factor, call) * float(_known(factor).abs().max()))


def _divide(call: Call) -> BoundedTensor:
    """K / min |c|, by a constant c."""
    value, divisor = call.pair
    if isinstance(divisor, BoundedTensor):
        raise Unbounded("divides by a function of the samples, which may vanish")
    smallest = float(_known(divisor).abs().min())
    if smallest == 0:
        raise Unbounded("divides by zero")
    return call.result(value.bound * _repetition(value, divisor, call) / smallest)


def _extreme(call: Call) -> BoundedTensor | BoundedTuple:
    """sqrt(K_a^2 + K_b^2) for the larger of two tensors; K for the largest entry along a dimension."""
    if len(call.args) == 2 and isinstance(call.args[1], BoundedTensor | Tensor):
        return _elementwise_extreme(call)
    if len(call.args) == 1 and not call.kwargs:
        return _non_expansive(call)
    return BoundedTuple(call.first.bound, only_first=True)


def _elementwise_extreme(call: Call) -> BoundedTensor:
    """sqrt(K_a^2 + K_b^2): each entry changes by no more than the larger of two changes."""
    return call.result(math.hypot(*(_repetition(a, b, call) * a.bound for a, b in _operands(call))))


def _join(call: Call) -> BoundedTensor:
    """sqrt(sum K^2): a concatenation."""
    parts = call.args[0] if call.args else call.kwargs.get("tensors", ())
    return call.result(math.hypot(*(part.bound for part in parts if isinstance(part, BoundedTensor))))


def _split(call: Call) -> BoundedTuple:
    """K for each chunk, which is a selection."""
    return BoundedTuple(call.first.bound, only_first=False)


def _with_indices(call: Call) -> BoundedTuple:
    """K for the sorted values, as sorting is 1-Lipschitz; none for the indices, which jump."""
    return BoundedTuple(call.first.bound, only_first=True)


def _mean(call: Call) -> BoundedTensor:
    """K / sqrt(k) over k numbers."""
    return call.result(call.first.bound / math.sqrt(_reduction(call) or 1.0))


def _total(call: Call) -> BoundedTensor:
    """K sqrt(k) over k numbers."""
    reduction = _reduction(call)
    if reduction is None:
        raise Unbounded("sums over as many numbers as the samples have; give certify the shape of one sample")
    return call.result(call.first.bound * math.sqrt(reduction))


def _euclidean_norm(call: Call) -> BoundedTensor:
    """K for a norm of order 2, by the triangle inequality."""
    order = call.kwargs.get("p", call.kwargs.get("ord", call.args[1] if len(call.args) > 1 else 2))
    if order not in (2, 2.0, "fro", None):
        raise Unbounded("is a norm of another order than 2")
    return _non_expansive(call)


def _product(call: Call) -> BoundedTensor:
    """K ||W||, by a constant matrix or vector W on either side."""
    left, right = call.pair
    if isinstance(left, BoundedTensor) and isinstance(right, BoundedTensor):
        raise Unbounded(PRODUCT)
    value, matrix = (left, right) if isinstance(left, BoundedTensor) else (right, left)
    return call.result(value.bound * _norm(matrix))


def _linear(call: Call) -> BoundedTensor:
    """K ||W||."""
    weight = call.kwargs.get("weight", call.args[1] if len(call.args) > 1 else None)
    if not isinstance(call.args[0], BoundedTensor):
        raise Unbounded("multiplies by a matrix that depends on the samples")
    return call.result(call.args[0].bound * _norm(weight))


def _convolve(call: Call) -> BoundedTensor:
    """K times the norm of the convolution."""
    names = ("weight", "bias", "stride", "padding", "dilation", "groups")
    arguments = {**dict(zip(names, call.args[1:], strict=False)), **call.kwargs}
    value = call.args[0]
    if not isinstance(value, BoundedTensor) or any(isinstance(v, BoundedTensor) for v in flatten(arguments)):
        raise Unbounded("convolves with a kernel that depends on the samples")
    weight = _known(arguments["weight"])
    dims, padding = weight.dim() - 2, arguments.get("padding", 0)
    if isinstance(padding, str):
        raise Unbounded(f"pads by padding={padding!r}, which has no rule")
    described = Convolution(
        weight,
        stride=_spread(arguments.get("stride", 1), dims),
        padding=tuple((side, side) for side in _spread(padding, dims)),
        dilation=_spread(arguments.get("dilation", 1), dims),
        groups=int(arguments.get("groups", 1)),
    )
    bound, _ = convolution_norm(described, spatial(fixed_sides(value.shapes), dims))
    return call.result(value.bound * bound)


def _pad(call: Call) -> BoundedTensor:
    """K for padding with a constant."""
    mode = call.kwargs.get("mode", call.args[2] if len(call.args) > 2 else "constant")
    if mode != "constant":
        raise Unbounded(f"repeats numbers by mode={mode!r}, which has no rule; use a padding layer")
    return _selection(call)


def _item(call: Call) -> Any:  # noqa: ANN401 - of a value or of a shape
    """K for basic indexing, which selects entries, each once."""
    whole, index = call.pair
    if depends_on_samples(index):
        raise Unbounded("takes an index that depends on the samples")
    if isinstance(whole, BoundedTuple):
        if not isinstance(index, int) or (whole.only_first and index != 0):
            raise Unbounded("passes indices on, which jump, or several pieces at once")
        return call.result(whole.bound, shared=True)
    parts = index if isinstance(index, tuple) else (index,)
    if not all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
        raise Unbounded("takes an index that may repeat numbers")
    return _selection(Call((whole,), {}, call.shapes))


def _attribute(call: Call) -> Any:  # noqa: ANN401 - of a value or of a shape
    """K for transposes and the values of a sort; shapes have none."""
    value, name = call.args[:2]
    if isinstance(value, BoundedTuple) and name == "values":
        return call.result(value.bound, shared=True)
    if isinstance(value, BoundedTensor) and name in ("T", "mT", "data"):
        return call.result(value.bound, shared=True)
    if isinstance(value, BoundedTensor) and name == "shape":
        return _size(Call((value,), {}, None))
    if isinstance(value, BoundedTensor) and name in ("dtype", "device", "ndim"):
        return UNKNOWN
    raise Unbounded(f"reads the attribute {name}, which has no rule")


def _size(call: Call) -> Any:  # noqa: ANN401 - a side or all
    """The shape as far as it is the same for every batch; it does not depend on the samples' values."""
    known = fixed_sides(call.first.shapes)
    index = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim")
    if known is None:
        return UNKNOWN
    shape = tuple(UNKNOWN if side is None else side for side in known)
    return shape if index is None else shape[index]


def _metadata(call: Call) -> Unknown:
    """A property of the tensor that does not depend on its values."""
    return UNKNOWN


def _dropout(call: Call) -> BoundedTensor:
    """K: the identity at inference."""
    names = ("p", "training", "inplace")
    arguments = {**dict(zip(names, call.args[1:], strict=False)), **call.kwargs}
    if not isinstance(call.args[0], BoundedTensor):
        raise Unbounded("takes other arguments than a tensor")
    if arguments.get("training", True) and arguments.get("p", 0.5) != 0:
        raise Unbounded("draws at random")
    return call.result(call.args[0].bound, shared=True)


def _repetition(value: BoundedTensor, other: Any, call: Call) -> float:  # noqa: ANN401 - a value or any constant
    """The norm of broadcasting the value to the shape of the result: sqrt(k) for k copies.

    Raises:
        Unbounded: It depends on unknown shapes, or on the size of the batch.
    """
    if isinstance(other, int | float) or (isinstance(other, Tensor) and other.numel() == 1):
        return 1.0
    if value.shapes is None or call.shapes is None:
        raise Unbounded("may repeat its input by broadcasting; give certify the shape of one sample")
    ratios = {after.numel() / before.numel() for before, after in zip(value.shapes, call.shapes, strict=True)}
    if len(ratios) > 1:
        raise Unbounded("joins the samples of a batch")
    return math.sqrt(ratios.pop())


PRODUCT = (
    "multiplies two functions of the samples, which has no global Lipschitz constant; this is why "
    "dot-product attention has none (Kim, Papamakarios, Mnih 2021, theorem 3.1)"
)


def _attention(call: Call) -> BoundedTensor:
    raise Unbounded(DOT_PRODUCT_ATTENTION)


def _operands(call: Call) -> list[tuple[BoundedTensor, Any]]:
    """The arguments that depend on the samples, each with the other argument."""
    a, b = call.pair
    return [(value, other) for value, other in ((a, b), (b, a)) if isinstance(value, BoundedTensor)]


def _reduction(call: Call) -> float | None:
    before, after = call.first.shapes, call.shapes
    if before is None or after is None:
        return None
    ratios = {b.numel() / max(1, a.numel()) for b, a in zip(before, after, strict=True)}
    return ratios.pop() if len(ratios) == 1 else None


def _known(constant: Any) -> Tensor:  # noqa: ANN401 - a number, a tensor or unknown
    if isinstance(constant, int | float):
        constant = torch.tensor(float(constant), dtype=torch.float64)
    if not isinstance(constant, Tensor) or constant.numel() == 0:
        raise Unbounded("takes another value that is not known")
    return as_finite(constant)


def _norm(matrix: Any) -> float:  # noqa: ANN401 - a tensor or unknown
    known = _known(matrix)
    if known.dim() > 2:
        raise Unbounded("multiplies by a batch of matrices, which has no rule")
    return matrix_norm(known.reshape(-1, known.shape[-1] if known.dim() else 1))


def _spread(value: Any, dims: int) -> tuple[int, ...]:  # noqa: ANN401 - a number or one for each dimension
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,) * dims
    if not all(isinstance(number, int) for number in numbers):
        raise Unbounded("takes another value that is not known")
    return numbers * dims if len(numbers) == 1 else numbers


_SAME: tuple[Any, ...] = (
    *("flatten", "reshape", "squeeze", "unsqueeze", "permute", "transpose", "contiguous", "clone"),
    *("detach", "float", "double", "to", "t", "unflatten", "flip", "roll", "movedim", "swapaxes", "narrow"),
    *(torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.permute, torch.transpose),
    *(torch.clone, torch.t, torch.unflatten, torch.flip, torch.roll, torch.movedim, torch.swapaxes),
    *(F.pixel_shuffle, F.pixel_unshuffle, torch.narrow),
)
_NON_EXPANSIVE: tuple[Any, ...] = (
    *("abs", "neg", "sin", "cos", "clamp", "clip", "clamp_min", "clamp_max", "amax", "amin", "logsumexp"),
    *(torch.abs, torch.neg, torch.sin, torch.cos, torch.clamp, torch.clip, torch.clamp_min, torch.clamp_max),
    *(torch.amax, torch.amin, torch.logsumexp, torch.atan, torch.asinh, operator.neg, operator.pos, abs),
)
_LAYERS: dict[Any, Callable[..., nn.Module]] = {
    **dict.fromkeys((F.relu, torch.relu, "relu"), nn.ReLU),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), nn.Tanh),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), nn.Sigmoid),
    **dict.fromkeys((F.softmax, torch.softmax, "softmax"), nn.Softmax),
    F.relu6: nn.ReLU6,
    F.leaky_relu: nn.LeakyReLU,
    F.elu: nn.ELU,
    F.celu: nn.CELU,
    F.selu: nn.SELU,
    F.gelu: nn.GELU,
    F.silu: nn.SiLU,
    F.mish: nn.Mish,
    F.softplus: nn.Softplus,
    F.softsign: nn.Softsign,
    F.logsigmoid: nn.LogSigmoid,
    F.hardtanh: nn.Hardtanh,
    F.hardswish: nn.Hardswish,
    F.hardsigmoid: nn.Hardsigmoid,
    F.max_pool1d: nn.MaxPool1d,
    F.max_pool2d: nn.MaxPool2d,
    F.max_pool3d: nn.MaxPool3d,
    F.avg_pool1d: nn.AvgPool1d,
    F.avg_pool2d: nn.AvgPool2d,
    F.avg_pool3d: nn.AvgPool3d,
    F.adaptive_max_pool1d: nn.AdaptiveMaxPool1d,
    F.adaptive_max_pool2d: nn.AdaptiveMaxPool2d,
    F.adaptive_avg_pool1d: nn.AdaptiveAvgPool1d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}

IN_PLACE: dict[Any, FunctionRule] = {
    operator.iadd: _add,
    operator.isub: _add,
    operator.imul: _multiply,
    operator.itruediv: _divide,
}
"""Operators that change their first argument."""

FUNCTIONS: dict[Any, FunctionRule] = {
    **dict.fromkeys(_SAME, _selection),
    **dict.fromkeys(_NON_EXPANSIVE, _non_expansive),
    **{function: _layer(kind) for function, kind in _LAYERS.items()},
    **dict.fromkeys((operator.add, operator.sub, torch.add, torch.sub, "add", "sub"), _add),
    **dict.fromkeys((operator.mul, torch.mul, "mul"), _multiply),
    **dict.fromkeys((operator.truediv, torch.div, "div"), _divide),
    "view": _view,
    **dict.fromkeys((torch.max, torch.min, "max", "min"), _extreme),
    **dict.fromkeys((torch.maximum, torch.minimum, "maximum", "minimum"), _elementwise_extreme),
    **dict.fromkeys((torch.cat, torch.concat, torch.stack, torch.hstack, torch.vstack), _join),
    **dict.fromkeys((torch.chunk, torch.split, torch.unbind, "chunk", "split", "unbind"), _split),
    **dict.fromkeys((torch.sort, torch.topk, "sort", "topk"), _with_indices),
    **dict.fromkeys((torch.mean, "mean"), _mean),
    **dict.fromkeys((torch.sum, "sum"), _total),
    **dict.fromkeys((torch.norm, torch.linalg.vector_norm, "norm"), _euclidean_norm),
    **dict.fromkeys((operator.matmul, torch.matmul, torch.mm, torch.bmm, "matmul", "mm", "bmm"), _product),
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _convolve),
    **dict.fromkeys(("size",), _size),
    **dict.fromkeys(("dim", "numel", len), _metadata),
    F.linear: _linear,
    F.pad: _pad,
    F.dropout: _dropout,
    F.scaled_dot_product_attention: _attention,
    operator.getitem: _item,
    getattr: _attribute,
    **IN_PLACE,
}
"""The rule of each function, and of each method by its name."""

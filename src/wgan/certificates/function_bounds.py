r"""How torch's functions and methods pass a Lipschitz bound on: one rule a function, in one table.

Where a layer has one input and one slope (:mod:`wgan.certificates.layer_bounds`), a function may join several
values: sums add their bounds, concatenations take the root of the sum of squares. Anything not in the table
has no bound.
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

from wgan.certificates.layer_bounds import RULES, Sizes, Unbounded, finite, spatial
from wgan.certificates.operator_norms import Convolution, convolution_norm, matrix_norm

Shapes = tuple[torch.Size, torch.Size]
"""The shape of a value for batches of two and of three samples: what differs depends on the batch."""


@final
@dataclass(frozen=True)
class Value:
    """A tensor that depends on the samples.

    Attributes:
        bound: Its Lipschitz constant is at most this.
        shapes: Its shapes, where they are known.
        shared: Whether its memory may be that of another value.
    """

    bound: float
    shapes: Shapes | None = None
    shared: bool = True


@final
@dataclass(frozen=True)
class Pieces:
    """Several tensors at once, such as chunks; or one and its indices, of which only the first is bounded."""

    bound: float
    only_first: bool


@final
class Unknown:
    """A value that does not depend on the samples, and is not known."""


UNKNOWN = Unknown()


@final
@dataclass(frozen=True)
class Call:
    """A function's arguments, and the shapes of its result where they are known."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: Shapes | None

    @property
    def first(self) -> Value:
        """The first argument.

        Raises:
            Unbounded: It does not depend on the samples, and another does.
        """
        if not self.args or not isinstance(self.args[0], Value):
            raise Unbounded("depends on the samples through an argument that has no rule")
        if any(isinstance(value, Value | Pieces) for value in flat((self.args[1:], self.kwargs))):
            raise Unbounded("depends on the samples through more than its first argument")
        return self.args[0]

    @property
    def pair(self) -> tuple[Any, Any]:
        """Both arguments of a function of two.

        Raises:
            Unbounded: There are more or fewer.
        """
        if len(self.args) != 2 or self.kwargs:
            raise Unbounded("has options that have no rule")
        return self.args[0], self.args[1]

    def result(self, bound: float, *, shared: bool = False) -> Value:
        """A value of this bound in the shape of the call's result."""
        return Value(bound, self.shapes, shared)


Handler = Callable[[Call], Any]


def flat(arguments: Any) -> Iterator[Any]:  # noqa: ANN401 - nested as the caller liked
    """All values in nested tuples, lists, dictionaries and slices."""
    if isinstance(arguments, tuple | list):
        for value in arguments:
            yield from flat(value)
    elif isinstance(arguments, dict):
        yield from flat(list(arguments.values()))
    elif isinstance(arguments, slice):
        yield from flat((arguments.start, arguments.stop, arguments.step))
    else:
        yield arguments


def sides(shapes: Shapes | None) -> tuple[int | None, ...] | None:
    """The sides that are the same for each batch; None in place of the others."""
    if shapes is None or len(shapes[0]) != len(shapes[1]):
        return None
    return tuple(two if two == three else None for two, three in zip(*shapes, strict=True))


def same(call: Call) -> Value:
    """Neither grows nor repeats a number: reshapes, permutations, selections."""
    options = [option for option in flat((call.args, call.kwargs)) if isinstance(option, torch.dtype)]
    if any(not option.is_floating_point for option in options):
        raise Unbounded("rounds to whole numbers")
    return call.result(call.first.bound, shared=True)


def view(call: Call) -> Value:
    """As :func:`same`, except to read the same bits as other numbers."""
    if any(isinstance(option, torch.dtype) for option in flat((call.args, call.kwargs))):
        raise Unbounded("reads the same bits as another kind of number")
    return same(call)


def non_expansive(call: Call) -> Value:
    """A new tensor by a function of slope 1: absolute values, clamps, maxima, norms."""
    return call.result(call.first.bound)


def layer(kind: Callable[..., nn.Module]) -> Handler:
    """The function that does what a layer of this class does, with the same arguments in the same order."""

    def handler(call: Call) -> Value:
        value = call.first
        try:
            module = kind(*call.args[1:], **call.kwargs)
        except TypeError as error:
            raise Unbounded("has options that have no rule") from error
        slope, _ = RULES[type(module)](module, Sizes(sides(value.shapes), sides(call.shapes)))
        if slope > 1 and getattr(module, "inplace", False):
            raise Unbounded("changes a tensor in place by a slope above 1")
        return call.result(value.bound * slope, shared=True)

    return handler


def add(call: Call) -> Value:
    """K_a + K_b."""
    return call.result(sum(copies(value, other, call) * value.bound for value, other in _sides_of(call)))


def multiply(call: Call) -> Value:
    """K max |c|, by a constant c.

    Raises:
        Unbounded: Both factors depend on the samples, or the other is not known.
    """
    ((value, factor), *others) = _sides_of(call)
    if others:
        raise Unbounded(PRODUCT)
    return call.result(value.bound * copies(value, factor, call) * float(_known(factor).abs().max()))


def divide(call: Call) -> Value:
    """K / min |c|, by a constant c."""
    value, divisor = call.pair
    if isinstance(divisor, Value):
        raise Unbounded("divides by a function of the samples, which may vanish")
    smallest = float(_known(divisor).abs().min())
    if smallest == 0:
        raise Unbounded("divides by zero")
    return call.result(value.bound * copies(value, divisor, call) / smallest)


def extreme(call: Call) -> Value | Pieces:
    """The larger of two values, sqrt(K_a^2 + K_b^2), or that along a dimension, with its index."""
    if len(call.args) == 2 and isinstance(call.args[1], Value | Tensor):
        return elementwise_extreme(call)
    if len(call.args) == 1 and not call.kwargs:
        return non_expansive(call)
    return Pieces(call.first.bound, only_first=True)


def elementwise_extreme(call: Call) -> Value:
    """sqrt(K_a^2 + K_b^2): each number of the result changes by no more than the larger of two changes."""
    return call.result(math.hypot(*(copies(a, b, call) * a.bound for a, b in _sides_of(call))))


def join(call: Call) -> Value:
    """sqrt(sum K^2)."""
    parts = call.args[0] if call.args else call.kwargs.get("tensors", ())
    return call.result(math.hypot(*(part.bound for part in parts if isinstance(part, Value))))


def split(call: Call) -> Pieces:
    """Chunks: each a selection."""
    return Pieces(call.first.bound, only_first=False)


def with_indices(call: Call) -> Pieces:
    """Sorting is non-expansive; its indices jump."""
    return Pieces(call.first.bound, only_first=True)


def mean(call: Call) -> Value:
    """K / sqrt(k) over k numbers."""
    return call.result(call.first.bound / math.sqrt(_reduction(call) or 1.0))


def total(call: Call) -> Value:
    """K sqrt(k) over k numbers."""
    reduction = _reduction(call)
    if reduction is None:
        raise Unbounded("sums over as many numbers as the samples have; give certify the shape of one sample")
    return call.result(call.first.bound * math.sqrt(reduction))


def euclidean_norm(call: Call) -> Value:
    """Norms of order 2 are non-expansive, by the triangle inequality."""
    order = call.kwargs.get("p", call.kwargs.get("ord", call.args[1] if len(call.args) > 1 else 2))
    if order not in (2, 2.0, "fro", None):
        raise Unbounded("is a norm of another order than 2")
    return non_expansive(call)


def product(call: Call) -> Value:
    """K ||W||, by a constant matrix or vector W on either side."""
    left, right = call.pair
    if isinstance(left, Value) and isinstance(right, Value):
        raise Unbounded(PRODUCT)
    value, matrix = (left, right) if isinstance(left, Value) else (right, left)
    return call.result(value.bound * _norm(matrix))


def linear(call: Call) -> Value:
    """K ||W||."""
    weight = call.kwargs.get("weight", call.args[1] if len(call.args) > 1 else None)
    if not isinstance(call.args[0], Value):
        raise Unbounded("multiplies by a matrix that depends on the samples")
    return call.result(call.args[0].bound * _norm(weight))


def convolve(call: Call) -> Value:
    """K times the norm of the operator."""
    names = ("weight", "bias", "stride", "padding", "dilation", "groups")
    given = {**dict(zip(names, call.args[1:], strict=False)), **call.kwargs}
    value = call.args[0]
    if not isinstance(value, Value) or any(isinstance(v, Value) for v in flat(given)):
        raise Unbounded("convolves with a kernel that depends on the samples")
    weight = _known(given["weight"])
    dims, padding = weight.dim() - 2, given.get("padding", 0)
    if isinstance(padding, str):
        raise Unbounded(f"pads by padding={padding!r}, which has no rule")
    described = Convolution(
        weight,
        stride=_spread(given.get("stride", 1), dims),
        padding=tuple((side, side) for side in _spread(padding, dims)),
        dilation=_spread(given.get("dilation", 1), dims),
        groups=int(given.get("groups", 1)),
    )
    bound, _ = convolution_norm(described, spatial(sides(value.shapes), dims))
    return call.result(value.bound * bound)


def pad(call: Call) -> Value:
    """By a constant."""
    mode = call.kwargs.get("mode", call.args[2] if len(call.args) > 2 else "constant")
    if mode != "constant":
        raise Unbounded(f"repeats numbers by mode={mode!r}, which has no rule; use a padding layer")
    return same(call)


def item(call: Call) -> Any:  # noqa: ANN401 - of a value or of a shape
    """Basic indexing selects numbers, each once."""
    whole, index = call.pair
    if any(isinstance(i, Value | Pieces) for i in flat(index)):
        raise Unbounded("takes an index that depends on the samples")
    if isinstance(whole, Pieces):
        if not isinstance(index, int) or (whole.only_first and index != 0):
            raise Unbounded("passes indices on, which jump, or several pieces at once")
        return call.result(whole.bound, shared=True)
    parts = index if isinstance(index, tuple) else (index,)
    if not all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
        raise Unbounded("takes an index that may repeat numbers")
    return same(Call((whole,), {}, call.shapes))


def attribute(call: Call) -> Any:  # noqa: ANN401 - of a value or of a shape
    """Transposes, shapes, and the values of a sort."""
    value, name = call.args[:2]
    if isinstance(value, Pieces) and name == "values":
        return call.result(value.bound, shared=True)
    if isinstance(value, Value) and name in ("T", "mT", "data"):
        return call.result(value.bound, shared=True)
    if isinstance(value, Value) and name == "shape":
        return size(Call((value,), {}, None))
    if isinstance(value, Value) and name in ("dtype", "device", "ndim"):
        return UNKNOWN
    raise Unbounded(f"reads the attribute {name}, which has no rule")


def size(call: Call) -> Any:  # noqa: ANN401 - a side or all
    """The shape, as far as it is the same for each batch; it does not depend on the samples' values."""
    known = sides(call.first.shapes)
    index = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim")
    if known is None:
        return UNKNOWN
    shape = tuple(UNKNOWN if side is None else side for side in known)
    return shape if index is None else shape[index]


def opaque(call: Call) -> Unknown:
    """Something about the tensor that is no function of its values."""
    return UNKNOWN


def dropout(call: Call) -> Value:
    """Nothing at inference."""
    names = ("p", "training", "inplace")
    given = {**dict(zip(names, call.args[1:], strict=False)), **call.kwargs}
    if not isinstance(call.args[0], Value):
        raise Unbounded("takes other arguments than a tensor")
    if given.get("training", True) and given.get("p", 0.5) != 0:
        raise Unbounded("draws at random")
    return call.result(call.args[0].bound, shared=True)


def copies(value: Value, other: Any, call: Call) -> float:  # noqa: ANN401 - a value or any constant
    """The norm of repeating the value in the shape of the result: sqrt(k) for k copies.

    Raises:
        Unbounded: It depends on shapes that are not known, or on the size of the batch.
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


def _attention(call: Call) -> Value:
    raise Unbounded(
        "is dot-product attention, which has no global Lipschitz constant (Kim, Papamakarios, Mnih 2021, "
        "theorem 3.1)"
    )


def _sides_of(call: Call) -> list[tuple[Value, Any]]:
    """The arguments that depend on the samples, each with the other one."""
    a, b = call.pair
    return [(value, other) for value, other in ((a, b), (b, a)) if isinstance(value, Value)]


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
    return finite(constant)


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

IN_PLACE: dict[Any, Handler] = {
    operator.iadd: add,
    operator.isub: add,
    operator.imul: multiply,
    operator.itruediv: divide,
}
"""Operators that change their first argument."""

FUNCTIONS: dict[Any, Handler] = {
    **dict.fromkeys(_SAME, same),
    **dict.fromkeys(_NON_EXPANSIVE, non_expansive),
    **{function: layer(kind) for function, kind in _LAYERS.items()},
    **dict.fromkeys((operator.add, operator.sub, torch.add, torch.sub, "add", "sub"), add),
    **dict.fromkeys((operator.mul, torch.mul, "mul"), multiply),
    **dict.fromkeys((operator.truediv, torch.div, "div"), divide),
    "view": view,
    **dict.fromkeys((torch.max, torch.min, "max", "min"), extreme),
    **dict.fromkeys((torch.maximum, torch.minimum, "maximum", "minimum"), elementwise_extreme),
    **dict.fromkeys((torch.cat, torch.concat, torch.stack, torch.hstack, torch.vstack), join),
    **dict.fromkeys((torch.chunk, torch.split, torch.unbind, "chunk", "split", "unbind"), split),
    **dict.fromkeys((torch.sort, torch.topk, "sort", "topk"), with_indices),
    **dict.fromkeys((torch.mean, "mean"), mean),
    **dict.fromkeys((torch.sum, "sum"), total),
    **dict.fromkeys((torch.norm, torch.linalg.vector_norm, "norm"), euclidean_norm),
    **dict.fromkeys((operator.matmul, torch.matmul, torch.mm, torch.bmm, "matmul", "mm", "bmm"), product),
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), convolve),
    **dict.fromkeys(("size",), size),
    **dict.fromkeys(("dim", "numel", len), opaque),
    F.linear: linear,
    F.pad: pad,
    F.dropout: dropout,
    F.scaled_dot_product_attention: _attention,
    operator.getitem: item,
    getattr: attribute,
    **IN_PLACE,
}
"""The rule of each function, and of each method by its name."""

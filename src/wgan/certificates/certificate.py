r"""Certificates: a proven upper bound of a critic's Lipschitz constant, or the reason why there is none.

For a critic f with certificate K, (E_P f - E_Q f) / K is a lower bound of W1(P, Q). With an estimate of K
from below, such as the largest observed slope, it bounds nothing.
"""

from __future__ import annotations

import copy
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from wgan.certificates.function_bounds import (
    FUNCTIONS,
    IN_PLACE,
    UNKNOWN,
    BoundedTensor,
    BoundedTuple,
    Call,
    Shapes,
    depends_on_samples,
    fixed_sides,
    flatten,
)
from wgan.certificates.layer_bounds import NEW_TENSOR, RULES, LayerShapes, Unbounded

METHOD = "layer by layer along the traced forward pass, in float64"

_ROUNDING = 1e-12  # allowance for the products and sums of the layers' bounds


@final
@dataclass(frozen=True)
class LayerBound:
    """The bound of one layer.

    Attributes:
        path: Path of the layer in the critic, such as ``layers.0``.
        kind: Name of its class.
        bound: An upper bound of its own Lipschitz constant.
        method: Method of proof: ``svd``, ``matrix``, ``torus``, ``symbol``, ``correlations``, ...
    """

    path: str
    kind: str
    bound: float
    method: str


@final
@dataclass(frozen=True)
class Certificate:
    """A proven upper bound of a Lipschitz constant, or the reason why there is none.

    Attributes:
        bound: |f(x) - f(x')| <= bound |x - x'| for all x, x' in the L2 norm; None without a proof.
        method: Method of proof; ``none`` without one.
        per_layer: The layers in the order in which they run, as far as the proof got.
        reason: Why there is no bound, in one sentence; None if there is one.
    """

    bound: float | None
    method: str
    per_layer: tuple[LayerBound, ...]
    reason: str | None


@torch.no_grad()
def certify(critic: nn.Module, shape: tuple[int, ...] | None = None) -> Certificate:
    r"""Prove an upper bound of the critic's Lipschitz constant (L2), for its present weights and mode.

    The forward pass is traced (torch.fx), and each tensor in it gets a bound K of its dependence on the
    samples: a layer multiplies K by its own bound (:mod:`wgan.certificates.layer_bounds`), a sum adds, a
    concatenation gives sqrt(K_a^2 + K_b^2), a change of shape keeps K
    (:mod:`wgan.certificates.function_bounds`). An operation that is not known to be Lipschitz ends the proof.
    The bound of a composition may be well above the constant itself (Virmaux, Scaman 2018, "Lipschitz
    regularity of deep neural networks", section 4); for orthogonal layers it is sharp. It holds in exact
    arithmetic: scores in float32 add their rounding.

    The critic and the state of random numbers are left unchanged. Call ``critic.eval()`` first where layers
    behave differently in training.

    Args:
        critic: Any module of one tensor; further arguments take their defaults.
        shape: Shape of one sample, without the batch; by default ``critic.arguments["shape"]``, which the
            networks of this package have. Without a shape, convolutions are bounded for images of every
            size, and broadcasting and adaptive pooling not at all.

    Returns:
        The certificate; one without a bound, and with a reason, for a critic that cannot be certified.

    Example:
        >>> import torch, wgan
        >>> critic = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU())
        >>> _ = critic[0].weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.5]]))
        >>> certificate = wgan.certify(critic)
        >>> round(certificate.bound, 6)
        3.0
        >>> [(layer.kind, round(layer.bound, 6)) for layer in certificate.per_layer]
        [('Linear', 3.0), ('ReLU', 1.0)]
    """
    layers: list[LayerBound] = []
    critic = getattr(critic, "_orig_mod", critic)  # beneath torch.compile
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _refuse_hooks(critic)
            # A copy, as a forward pass may have side effects; in a Sequential, as it may be a single layer.
            original = nn.Sequential(copy.deepcopy(critic))
            traced = _trace(original)
            sample = _sample(critic, shape)
            bound = _propagate(traced, _shapes(traced, sample), layers) * (1 + _ROUNDING)
            _compare(original, traced, sample)
        if not math.isfinite(bound):
            raise Unbounded(f"The product of the layers' bounds is {bound}.")
    except Unbounded as unbounded:
        return Certificate(None, "none", tuple(layers), str(unbounded))
    except Exception as error:  # copying or tracing an arbitrary module may raise anything
        reason = f"The proof for {type(critic).__name__} broke off: {_short(error)}."
        return Certificate(None, "none", tuple(layers), reason)
    return Certificate(bound, METHOD, tuple(layers), None)


@final
class _Proxy(fx.Proxy):
    """A traced value that distinguishes ``x += y``, which changes shared memory, from ``x + y``."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in ("node", "tracer"):
            raise TypeError(f"the attribute {name} of a value is assigned to")
        super().__setattr__(name, value)


def _in_place(operation: Callable[[Any, Any], Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def method(proxy: fx.Proxy, other: Any) -> fx.Proxy:  # noqa: ANN401 - whatever is added
        return proxy.tracer.create_proxy("call_function", operation, (proxy, other), {})

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    setattr(_Proxy, f"__i{_name}__", _in_place(getattr(operator, f"i{_name}")))


@final
class _Tracer(fx.Tracer):
    """Stops at layers with a rule, torch's own and those that mix samples; traces the passes of others."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        kind = parametrize.type_before_parametrizations(m)
        if kind in RULES or getattr(m, "mixes_samples", False) is True:
            return True
        return kind.__module__.startswith("torch.") and not isinstance(m, nn.Sequential)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)


def _refuse_hooks(critic: nn.Module) -> None:
    """Hooks and replaced forward passes may compute anything; a lazy layer creates its weights in a hook."""
    for path, module in critic.named_modules():
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[misc]
            raise Unbounded(
                f"{type(module).__name__} at `{path or 'the root'}` has no weights before its first batch."
            )
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        if hooks:
            name = getattr(hooks[0], "__name__", type(hooks[0]).__name__)
            raise Unbounded(
                f"{type(module).__name__} at `{path or 'the root'}` carries a hook ({name}) that may change "
                "what it computes; remove it, or use torch.nn.utils.parametrizations."
            )
        if "forward" in vars(module):
            raise Unbounded(
                f"The forward pass of {type(module).__name__} at `{path or 'the root'}` was replaced."
            )


def _trace(critic: nn.Sequential) -> fx.GraphModule:
    name, before = type(critic[0]).__name__, torch.get_rng_state()
    try:
        traced = fx.GraphModule(critic, _Tracer().trace(critic))
    except Exception as error:
        raise Unbounded(f"The forward pass of {name} cannot be traced: {_short(error)}.") from error
    if not torch.equal(before, torch.get_rng_state()):
        raise Unbounded(f"The forward pass of {name} draws random numbers.")
    return traced


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _sample(critic: nn.Module, shape: tuple[int, ...] | None) -> Tensor | None:
    """A sample of zeros in the type and on the device of the critic's weights, if its shape is known."""
    if shape is None:
        arguments = getattr(critic, "arguments", None)
        shape = arguments.get("shape") if isinstance(arguments, dict) else None
    if shape is None:
        return None
    weights = [p for p in critic.parameters() if p.is_floating_point()]
    like = weights[0] if weights else torch.zeros(())
    return torch.zeros(tuple(shape), dtype=like.dtype, device=like.device)


def _shapes(traced: fx.GraphModule, sample: Tensor | None) -> dict[str, Shapes]:
    """The shapes of all tensors for batches of two and three samples; empty without a sample."""
    if sample is None:
        return {}
    try:
        with _inference(traced):
            two, three = (_run(traced, sample.new_zeros(count, *sample.shape)) for count in (2, 3))
    except Exception as error:
        shape = tuple(sample.shape)
        raise Unbounded(f"The critic does not run on samples of shape {shape}: {_short(error)}.") from error
    return {name: (two[name], three[name]) for name in two.keys() & three.keys()}


def _compare(critic: nn.Module, traced: fx.GraphModule, sample: Tensor | None) -> None:
    """Raise Unbounded if the trace does not reproduce the scores: the proof is about the trace."""
    if sample is None:
        return
    samples = torch.randn(4, *sample.shape, dtype=torch.float64).to(sample)
    scores, retraced = critic(samples.clone()), traced(samples.clone())
    tolerance = 1e-3 * float(scores.abs().max())
    if not torch.allclose(scores, retraced, rtol=1e-3, atol=tolerance, equal_nan=True):
        raise Unbounded("The traced forward pass does not give the critic's own scores; it has side effects.")


def _run(traced: fx.GraphModule, samples: Tensor) -> dict[str, torch.Size]:
    shapes: dict[str, torch.Size] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - whatever the node computes
            result = super().run_node(n)
            if isinstance(result, Tensor):
                shapes[n.name] = result.shape
            return result

    Recorder(traced).run(samples)
    return shapes


@contextmanager
def _inference(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within the context: shapes are the same, and running statistics do not change."""
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def _propagate(traced: fx.GraphModule, shapes: dict[str, Shapes], layers: list[LayerBound]) -> float:
    """Propagate bounds node by node from the samples, whose bound is 1, to the output."""
    values: dict[fx.Node, Any] = {}
    for node in traced.graph.nodes:
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: values[n])
        if node.op == "output":
            return _output(args[0])
        if node.op == "placeholder":
            values[node] = UNKNOWN if values else BoundedTensor(1.0, shapes.get(node.name))
        elif node.op == "get_attr":
            values[node] = _attribute(traced, str(node.target))
        elif not depends_on_samples((args, kwargs)):
            values[node] = _constant(node, args, kwargs)
        elif node.op == "call_module":
            values[node] = _layer(traced, node, (*args, *kwargs.values())[0], shapes.get(node.name), layers)
        else:
            values[node] = _function(node, Call(args, kwargs, shapes.get(node.name)))
    raise Unbounded("The critic returns nothing.")


def _layer(
    traced: fx.GraphModule,
    node: fx.Node,
    before: BoundedTensor | BoundedTuple,
    after: Shapes | None,
    layers: list[LayerBound],
) -> BoundedTensor:
    layer = traced.get_submodule(str(node.target))
    kind = parametrize.type_before_parametrizations(layer)
    path = str(node.target).partition(".")[2]
    try:
        if kind not in RULES:
            raise Unbounded("has no known bound of its Lipschitz constant")
        known = fixed_sides(before.shapes) if isinstance(before, BoundedTensor) else None
        slope, method = RULES[kind](layer, LayerShapes(known, fixed_sides(after)))
        if not isinstance(before, BoundedTensor) or len(node.all_input_nodes) != 1:
            raise Unbounded("takes several inputs")
        in_place = bool(getattr(layer, "inplace", False))
        if in_place and slope > 1:
            _refuse_shared(node, before)
    except Unbounded as unbounded:
        raise Unbounded(f"{kind.__name__} at `{path or 'the root'}` {unbounded}.") from unbounded
    layers.append(LayerBound(path, kind.__name__, slope, method))
    return BoundedTensor(before.bound * slope, after, shared=kind not in NEW_TENSOR)


def _function(node: fx.Node, call: Call) -> Any:  # noqa: ANN401 - a bounded value, or a shape
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
    try:
        if node.target not in FUNCTIONS:
            raise Unbounded("has no known bound of its Lipschitz constant")
        if node.target in IN_PLACE:
            _refuse_shared(node, call.args[0])
        return FUNCTIONS[node.target](call)
    except Unbounded as unbounded:
        raise Unbounded(f"The function {name} in the forward pass {unbounded}.") from unbounded


def _refuse_shared(node: fx.Node, changed: Any) -> None:  # noqa: ANN401 - whatever the first argument is
    """A change in place would invalidate the bounds of all tensors that share the memory."""
    users = node.args[0].users if node.args and isinstance(node.args[0], fx.Node) else {}
    if not isinstance(changed, BoundedTensor) or changed.shared or len(users) > 1:
        raise Unbounded("changes a tensor in place that may be in use elsewhere")


def _attribute(traced: fx.GraphModule, path: str) -> Any:  # noqa: ANN401 - a parameter or anything else
    value: Any = traced
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _constant(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - its value
    """Compute a value that depends on no sample and is not random, if its arguments are known."""
    in_place = str(node.target).endswith("_") or node.target in IN_PLACE or node.target is operator.setitem
    if node.op == "call_module" or in_place or any(value is UNKNOWN for value in flatten((args, kwargs))):
        return UNKNOWN
    before = torch.get_rng_state()
    try:
        if isinstance(node.target, str):
            value = getattr(args[0], node.target)(*args[1:], **kwargs)
        else:
            value = node.target(*args, **kwargs)
    except Exception:
        return UNKNOWN
    return value if torch.equal(before, torch.get_rng_state()) else UNKNOWN


def _output(result: Any) -> float:  # noqa: ANN401 - whatever the critic returns
    if isinstance(result, BoundedTensor):
        return result.bound
    if depends_on_samples(result):
        raise Unbounded("The critic returns several tensors; a certificate is for one of scores.")
    return 0.0

"""How a step is executed: eagerly, with compiled terms, or captured once as a CUDA graph and replayed.

The eager step defines the algorithm. Another engine is used only after it has taken, on copies of the run's
own networks, the same steps up to rounding: compilers have computed wrong second derivatives without an error
before, and whether a step can be captured depends on the networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch

from wgan.core.randomness import isolated_global_rng
from wgan.errors import unknown
from wgan.training.objective import (
    Numbers,
    Terms,
    TermsEvaluation,
    critic_terms,
    evaluate_eagerly,
    generator_terms,
)
from wgan.training.state import State

Engine = Literal["auto", "eager", "graph", "compile"]

TOLERANCE = 0.02
"""Largest difference to the eager change of a network's weights, relative to the norm of that change.

Rounding reverses Adam's first steps where a gradient is nearly zero, which amounts to some tenths of a
percent; a wrong or missing term amounts to tens of percent."""
VERIFIED_STEPS = 2
"""Steps that are compared: the first step of a run is always eager, because it creates the moments."""
_DERIVATIVES = {"backward_pass_autocast": "off"} if hasattr(functorch, "backward_pass_autocast") else {}
"""Derivatives have the precision of their operations, not that of the context of the compiled call."""
MAX_CAPTURED = 32
"""Most critic steps of a step that is captured; those of a warm-up have a hundred, and are rare."""


@final
@dataclass(frozen=True)
class Plan:
    """What is decided about a step before it begins, and is not a number on the device.

    Attributes:
        penalties: Factor on the penalty in each critic step; 0 leaves it out.
        adapts: Whether the augmentation's strength is adapted.
    """

    penalties: tuple[float, ...]
    adapts: bool


Step = Callable[[State, Plan, torch.Generator], list[Numbers]]
"""A step from the first draw to the generator's update, with learning rates and randomness set."""
Capture = Callable[[Callable[[], list[Numbers]]], Callable[[], list[Numbers]]]
"""Turns a function into one that repeats its work, having called it any number of times."""


@final
class Replays:
    """Steps that are captured when their plan first occurs, and replayed from then on.

    Where a plan cannot be captured, for example for lack of memory, the run goes on eagerly.

    Args:
        step: The step.
        capture: How it is captured; on a GPU, :func:`captured`.

    Attributes:
        strict: Whether a capture that fails is an error.
    """

    def __init__(self, step: Step, capture: Capture) -> None:
        self._step, self._capture = step, capture
        self._known: dict[Plan, Callable[[], list[Numbers]]] = {}
        self._captures = True
        self.strict = False

    def __call__(self, state: State, plan: Plan, rng: torch.Generator) -> list[Numbers]:
        """Take a step, always of the same state; the returned numbers are valid until the next call."""
        begun = bool(state.generator_optimiser.state)
        if plan not in self._known and self._captures and begun and len(plan.penalties) <= MAX_CAPTURED:
            self._capture_plan(state, plan, rng)
        return self._known[plan]() if plan in self._known else self._step(state, plan, rng)

    def _capture_plan(self, state: State, plan: Plan, rng: torch.Generator) -> None:
        try:
            self._known[plan] = self._captured(state, plan, rng)
        except RuntimeError as error:
            if self.strict:
                raise
            self._captures = False
            warnings.warn(
                f"Steps of another kind stay eager: capturing them {_failure(error)}.", stacklevel=2
            )

    def _captured(self, state: State, plan: Plan, rng: torch.Generator) -> Callable[[], list[Numbers]]:
        before = [(tensor, tensor.clone()) for tensor in touched(state)]
        try:
            with isolated_global_rng(before[0][0].device):
                return self._capture(lambda: self._step(state, plan, rng))
        finally:
            for tensor, value in before:
                tensor.copy_(value)


def captured(work: Callable[[], list[Numbers]], device: torch.device) -> Callable[[], list[Numbers]]:
    """Capture work on a GPU as a CUDA graph, whose replays write their results to the same memory."""
    with torch.cuda.device(device):  # streams are those of the current device, which need not be the run's
        now, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        graph = torch.cuda.CUDAGraph()
        aside.wait_stream(now)
        with torch.cuda.stream(aside):  # all the way: a capture that fails stays on its own stream
            for _ in range(3):  # libraries choose their kernels and allocate, which a capture forbids
                work()
            with torch.cuda.graph(graph, stream=torch.cuda.Stream()):  # type: ignore[no-untyped-call]
                written = work()
        now.wait_stream(aside)

    def replay() -> list[Numbers]:
        graph.replay()
        return written

    return replay


def touched(state: State) -> list[Tensor]:
    """All tensors that a step changes: weights, buffers, moments, the augmentation's strength."""
    modules = [state.generator, state.critic, *([state.augmenter] if state.augmenter else [])]
    held = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    for optimiser in (state.generator_optimiser, state.critic_optimiser):
        held += [slot for slots in optimiser.state.values() for slot in slots.values()]
    return [tensor.detach() for tensor in held]


def replaying(state: State, step: Step) -> None:
    """Let a state's steps be captured and replayed."""
    state.step_fn = Replays(step, partial(captured, device=_device(state)))


def compiling(state: State, step: Step) -> None:
    """Let the terms of both networks be compiled."""
    state.evaluate_critic = _compiled(critic_terms)
    state.evaluate_generator = _compiled(generator_terms)


def _compiled(terms: Terms) -> TermsEvaluation:
    quick = torch.compile(terms)

    def evaluate(_: Terms, network: nn.Module, **inputs: Any) -> Numbers:  # noqa: ANN401
        with functorch.patch(_DERIVATIVES):
            return quick(network, **inputs)

    return evaluate


ENGINES: dict[str, Callable[[State, Step], None]] = {"graph": replaying, "compile": compiling}
"""The engines besides the eager one, as functions that give a state its engine."""


def equip(
    state: State,
    name: Engine,
    step: Step,
    verify_against_eager: Callable[[State], None],
    *,
    n_critic: int,
    resident: bool = True,
) -> None:
    """Give a state the engine of that name, or warn in one line why it stays eager.

    ``auto`` is eager: on a CPU compiling takes a minute and gains nothing, and captured steps have not been
    measured on a GPU yet (``python -m benchmarks.gpu``).

    Args:
        state: The state before the run's next step.
        name: Name of the engine.
        step: The eager step.
        verify_against_eager: Takes :data:`VERIFIED_STEPS` steps of a copy of the state.
        n_critic: Critic steps per generator step.
        resident: Whether the data are on the state's device.
    """
    if name in ("auto", "eager"):
        return
    reason = _hindrance(state, name, n_critic, resident)
    reason = reason or _disagreement(state, ENGINES[name], step, verify_against_eager)
    if reason is None:
        ENGINES[name](state, step)
    else:
        warnings.warn(f"Training eagerly: the engine {name!r} {reason}.", stacklevel=3)


def _hindrance(state: State, name: str, n_critic: int, resident: bool) -> str | None:
    if state.evaluate_critic is not evaluate_eagerly:
        return "does not work with several processes"
    if name != "graph":
        return None
    if _device(state).type != "cuda":
        return "needs a GPU"
    if torch.__version__ < "2.13":  # a failed capture takes eager randomness with it
        return "needs torch 2.13 or later"
    if n_critic > MAX_CAPTURED:
        return f"captures at most {MAX_CAPTURED} critic steps"
    return None if resident else "needs data that fit into memory"


def _disagreement(
    state: State,
    engine: Callable[[State, Step], None],
    step: Step,
    verify_against_eager: Callable[[State], None],
) -> str | None:
    """Why the engine cannot be used, None if it can: it fails, or changes weights differently."""
    try:
        eager, other = deepcopy(state), deepcopy(state)
        engine(other, step)
        if isinstance(other.step_fn, Replays):
            other.step_fn.strict = True
        verify_against_eager(eager)
        verify_against_eager(other)
    except Exception as error:  # whatever a compiler, a capture, or a GPU without room for copies may raise
        return _failure(error)
    for name in ("critic", "generator"):
        off = relative_difference(getattr(state, name), getattr(eager, name), getattr(other, name))
        if not off <= TOLERANCE:
            return f"changes the {name} by {off:.1%} differently from eager steps, more than {TOLERANCE:.0%}"
    return None


def _failure(error: Exception) -> str:
    return f"fails here: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


@torch.no_grad()
def relative_difference(start: nn.Module, one: nn.Module, other: nn.Module) -> float:
    """Distance of two networks, relative to the distance of the first from the start."""
    moved = distance = torch.zeros((), dtype=torch.float64)
    for was, here_, there in zip(start.parameters(), one.parameters(), other.parameters(), strict=True):
        moved = moved + (here_ - was).double().square().sum().cpu()
        distance = distance + (here_ - there).double().square().sum().cpu()
    return float((distance / moved).sqrt()) if distance > 0 else float(distance)


def check_engine(name: str) -> None:
    """Raise InputError for an engine that does not exist."""
    known = ("auto", "eager", *ENGINES)
    if name not in known:
        raise unknown("engine", name, known)


def _device(state: State) -> torch.device:
    return next(state.generator.parameters()).device

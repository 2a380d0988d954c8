"""How a step is carried out: as it is written, with compiled objectives, or captured once and replayed.

All three are the same algorithm, and the eager one is its meaning: another is used only after it has made,
on copies of the run's own networks, the same steps but for rounding. Compiled second derivatives have been
wrong in silence before, and what can be captured depends on the networks; so neither is taken on trust.
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
    Evaluate,
    Numbers,
    Terms,
    critic_terms,
    evaluate_eagerly,
    generator_terms,
)
from wgan.training.state import State

Engine = Literal["auto", "eager", "graph", "compile"]

TOLERANCE = 0.02
"""How far what steps do to a network's weights may be from what they do eagerly, as a share of its norm.

Rounding alone turns Adam's first steps around where a gradient is all but zero, which comes to some tenths of
a percent; a term that is wrong or missing comes to tens of percent."""
VERIFIED_STEPS = 2
"""Steps of a rehearsal: the first of a run is always eager, for moments come into being in it."""
_DERIVATIVES = {"backward_pass_autocast": "off"} if hasattr(functorch, "backward_pass_autocast") else {}
"""In the precision of their operations, and not in that around the call of what is compiled."""
LONGEST = 32
"""Critic steps up to which a step is captured; those of a warm-up are a hundred, and rare."""


@final
@dataclass(frozen=True)
class Plan:
    """What of a step is decided before it begins, and is no number on the device.

    Attributes:
        penalties: The factor on the penalty in each of the critic's steps; 0 leaves it out.
        adapts: Whether the augmentation's strength is adapted.
    """

    penalties: tuple[float, ...]
    adapts: bool


Step = Callable[[State, Plan, torch.Generator], list[Numbers]]
"""A step from the first draw to the generator's update, with all rates set, and randomness seeded."""
Capture = Callable[[Callable[[], list[Numbers]]], Callable[[], list[Numbers]]]
"""Makes of some work, having done it any number of times, what does it again."""


@final
class Replays:
    """Steps that are captured when their plan first comes up, and replayed from then on.

    A plan that cannot be captured, perhaps because the memory has become short, ends the capturing and not
    the run; a rehearsal is there to find that out.

    Args:
        step: The step.
        capture: How it is captured; on a GPU, :func:`captured`.

    Attributes:
        rehearsing: Whether a capture that fails is an error.
    """

    def __init__(self, step: Step, capture: Capture) -> None:
        self._step, self._capture = step, capture
        self._known: dict[Plan, Callable[[], list[Numbers]]] = {}
        self._captures = True
        self.rehearsing = False

    def __call__(self, state: State, plan: Plan, rng: torch.Generator) -> list[Numbers]:
        """Carry out a step, always of the same state; what is returned is valid until the next one."""
        begun = bool(state.generator_optimiser.state)
        if plan not in self._known and self._captures and begun and len(plan.penalties) <= LONGEST:
            self._learn(state, plan, rng)
        return self._known[plan]() if plan in self._known else self._step(state, plan, rng)

    def _learn(self, state: State, plan: Plan, rng: torch.Generator) -> None:
        try:
            self._known[plan] = self._learnt(state, plan, rng)
        except RuntimeError as error:
            if self.rehearsing:
                raise
            self._captures = False
            warnings.warn(
                f"Steps of another kind stay eager: capturing them {_failure(error)}.", stacklevel=2
            )

    def _learnt(self, state: State, plan: Plan, rng: torch.Generator) -> Callable[[], list[Numbers]]:
        before = [(tensor, tensor.clone()) for tensor in touched(state)]
        try:
            with isolated_global_rng(before[0][0].device):
                return self._capture(lambda: self._step(state, plan, rng))
        finally:
            for tensor, value in before:
                tensor.copy_(value)


def captured(work: Callable[[], list[Numbers]], device: torch.device) -> Callable[[], list[Numbers]]:
    """The work on a GPU as a CUDA graph, whose replays write what they return to the same place each time."""
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
    """All that a step changes, where it is: weights, buffers, moments, the augmentation's strength."""
    modules = [state.generator, state.critic, *([state.augmenter] if state.augmenter else [])]
    held = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    for optimiser in (state.generator_optimiser, state.critic_optimiser):
        held += [slot for slots in optimiser.state.values() for slot in slots.values()]
    return [tensor.detach() for tensor in held]


def replaying(state: State, step: Step) -> None:
    """Have a state's steps captured and replayed."""
    state.step_fn = Replays(step, partial(captured, device=_device(state)))


def compiling(state: State, step: Step) -> None:
    """Have both objectives of a state compiled."""
    state.evaluate_critic = _compiled(critic_terms)
    state.evaluate_generator = _compiled(generator_terms)


def _compiled(terms: Terms) -> Evaluate:
    quick = torch.compile(terms)

    def evaluate(_: Terms, network: nn.Module, **inputs: Any) -> Numbers:  # noqa: ANN401
        with functorch.patch(_DERIVATIVES):
            return quick(network, **inputs)

    return evaluate


ENGINES: dict[str, Callable[[State, Step], None]] = {"graph": replaying, "compile": compiling}
"""How a state is given an engine other than the eager one, which it has."""


def equip(
    state: State,
    name: Engine,
    step: Step,
    verify_against_eager: Callable[[State], None],
    *,
    n_critic: int,
    resident: bool = True,
) -> None:
    """Give a state the engine of that name, or say in a line why it stays eager.

    ``auto`` is eager: on a CPU compiling takes a minute and gains nothing, and captured steps have not been
    measured on a GPU yet (``python -m benchmarks.gpu``).

    Args:
        state: Before the next step of a run.
        name: Of the engine.
        step: See :class:`Replays`.
        verify_against_eager: Takes a copy of the state through :data:`VERIFIED_STEPS` steps.
        n_critic: Of the run.
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
    if n_critic > LONGEST:
        return f"captures at most {LONGEST} critic steps"
    return None if resident else "needs data that fit into memory"


def _disagreement(
    state: State,
    engine: Callable[[State, Step], None],
    step: Step,
    verify_against_eager: Callable[[State], None],
) -> str | None:
    """Why the engine cannot be used, None if it can: it fails, or moves weights elsewhere."""
    try:
        eager, other = deepcopy(state), deepcopy(state)
        engine(other, step)
        if isinstance(other.step_fn, Replays):
            other.step_fn.rehearsing = True
        verify_against_eager(eager)
        verify_against_eager(other)
    except Exception as error:  # whatever a compiler, a capture, or a GPU without room for copies may raise
        return _failure(error)
    for name in ("critic", "generator"):
        off = apart(getattr(state, name), getattr(eager, name), getattr(other, name))
        if not off <= TOLERANCE:
            return (
                f"moves the {name} {off:.1%} away from where eager steps move it, more than {TOLERANCE:.0%}"
            )
    return None


def _failure(error: Exception) -> str:
    return f"fails here: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


@torch.no_grad()
def apart(start: nn.Module, one: nn.Module, other: nn.Module) -> float:
    """How far two networks are from each other, as a share of how far the first is from the start."""
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

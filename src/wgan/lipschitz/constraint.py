"""The interface of Lipschitz constraints: three hooks, of which most constraints fill one."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wgan.errors import InputError


class Constraint(ABC):  # noqa: B024 - no hook is abstract: each does nothing by default
    """A way to keep the critic Lipschitz; write your own as a frozen dataclass that fills one of the hooks.

    The hooks are the three places where the literature acts: the critic's parametrisation, its loss, and its
    weights after a step. Each does nothing unless filled, and the engine calls all three, so that a
    constraint of your own needs no registration::

        @dataclass(frozen=True)
        class LogitPenalty(Constraint):
            weight: float = 1e-3

            def penalty(self, critic, real, fake, labels=None, rng=None):
                return self.weight * score(critic, real, labels).square().mean()
    """

    @property
    def certified(self) -> bool:
        """Whether critics can be certified at every step, by construction; such runs log a bracket of W1."""
        return False

    @property
    def needs_whole_batch(self) -> bool:
        """Whether the penalty is not a mean over samples, so that processes cannot share a batch."""
        return False

    def wrap(self, critic: nn.Module) -> nn.Module:
        """Re-parametrise the critic, in place or not, once before training; return the critic to train.

        Raises:
            InputError: The constraint cannot hold for this critic.
        """
        return critic

    def penalty(
        self,
        critic: nn.Module,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        r"""Return a scalar to add to the critic's loss as it is: any weight (lambda) is inside.

        Args:
            critic: The critic under training.
            real: (N, \*shape).
            fake: (N, \*shape).
            labels: int64 (N,), passed on to the critic, or None.
            rng: Source of all randomness, so that a resumed run repeats it.
        """
        return torch.zeros((), device=real.device)

    def project(self, critic: nn.Module) -> None:  # noqa: B027 - a hook that does nothing by default
        """Bring the critic's weights back into the feasible set, after each step of its optimiser."""

    def clipped(self, critic: nn.Module) -> Tensor | None:
        """Fraction of the critic's weights that :meth:`project` holds at a bound; None if it clips none."""
        return None


@dataclass(frozen=True, init=False)
class Chain(Constraint):
    """Several constraints at once: wraps and projections in order, sum of penalties. Empty: no constraint."""

    of: tuple[Constraint, ...]

    def __init__(self, *of: Constraint) -> None:
        for member in of:
            if not isinstance(member, Constraint):
                raise InputError(f"Chain takes constraints, as in Chain(a, b), and {member!r} is none.")
        object.__setattr__(self, "of", of)

    @property
    def certified(self) -> bool:
        """Whether one of the constraints is."""
        return any(constraint.certified for constraint in self.of)

    @property
    def needs_whole_batch(self) -> bool:
        """Whether one of the constraints does."""
        return any(constraint.needs_whole_batch for constraint in self.of)

    def wrap(self, critic: nn.Module) -> nn.Module:
        """Apply each constraint's wrap in order."""
        for constraint in self.of:
            critic = constraint.wrap(critic)
        return critic

    def penalty(
        self,
        critic: nn.Module,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """Return the sum of the penalties."""
        total = torch.zeros((), device=real.device)
        for constraint in self.of:
            total = total + constraint.penalty(critic, real, fake, labels, rng)
        return total

    def project(self, critic: nn.Module) -> None:
        """Apply each constraint's projection in order."""
        for constraint in self.of:
            constraint.project(critic)

    def clipped(self, critic: nn.Module) -> Tensor | None:
        """The largest fraction: weights reach the narrowest bound only."""
        shares = [share for constraint in self.of if (share := constraint.clipped(critic)) is not None]
        return torch.stack(shares).max() if shares else None


def check_settings(
    constraint: Constraint, *, positive: Sequence[str] = (), non_negative: Sequence[str] = ()
) -> None:
    """Raise InputError unless these settings are finite numbers > 0, or >= 0."""
    for name in (*positive, *non_negative):
        value, above = getattr(constraint, name), ">" if name in positive else ">="
        number = isinstance(value, int | float) and 0 <= value < float("inf")
        if not number or (name in positive and value == 0):
            raise InputError(f"{type(constraint).__name__} needs a finite {name} {above} 0, not {value!r}.")

"""What a Lipschitz constraint is: three hooks, of which most need one."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wgan.errors import InputError


class Constraint(ABC):  # noqa: B024 - no hook is abstract: doing nothing is the meaning of each
    """A way to keep the critic Lipschitz. Write yours as a frozen dataclass that fills one of three hooks.

    The hooks stand for the three places where the literature acts, and do nothing unless filled: the
    critic's parametrisation, its loss, its weights after a step. The engine calls all three and asks for
    no names, so a constraint of your own is a first-class one::

        @dataclass(frozen=True)
        class LogitPenalty(Constraint):
            weight: float = 1e-3

            def penalty(self, critic, real, fake, labels=None, rng=None):
                return self.weight * score(critic, real, labels).square().mean()
    """

    @property
    def certified(self) -> bool:
        """Whether critics can be certified at every step, by construction: such runs log a bracket of W1."""
        return False

    @property
    def of_whole_batches(self) -> bool:
        """Whether the penalty is no mean over samples, so that processes cannot share a batch."""
        return False

    def wrap(self, critic: nn.Module) -> nn.Module:
        """Re-parametrise the critic, in place or anew, once before training; return the one to train.

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
        r"""A scalar added to the critic's loss.

        Args:
            critic: The critic under training.
            real: (N, \*shape).
            fake: (N, \*shape).
            labels: int64 (N,), passed on to the critic, or None.
            rng: All randomness comes from here, so that a resumed run repeats it.
        """
        return torch.zeros((), device=real.device)

    def project(self, critic: nn.Module) -> None:  # noqa: B027 - a hook: doing nothing is its meaning
        """Bring the critic's weights back into the feasible set, after each step of its optimiser."""

    def clipped(self, critic: nn.Module) -> Tensor | None:
        """The share of the critic's weights that :meth:`project` holds at a bound; None without such."""
        return None


@dataclass(frozen=True, init=False)
class Chain(Constraint):
    """Several constraints at once: wrapped and projected in order, penalties added. Empty: no constraint."""

    of: tuple[Constraint, ...]

    def __init__(self, *of: Constraint) -> None:
        for member in of:
            if not isinstance(member, Constraint):
                raise InputError(f"Chain takes constraints, as in Chain(a, b), and {member!r} is none.")
        object.__setattr__(self, "of", of)

    @property
    def certified(self) -> bool:
        """Whether one of them is."""
        return any(constraint.certified for constraint in self.of)

    @property
    def of_whole_batches(self) -> bool:
        """Whether one of them is."""
        return any(constraint.of_whole_batches for constraint in self.of)

    def wrap(self, critic: nn.Module) -> nn.Module:
        """Wrap by each in turn."""
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
        """The sum of the penalties."""
        total = torch.zeros((), device=real.device)
        for constraint in self.of:
            total = total + constraint.penalty(critic, real, fake, labels, rng)
        return total

    def project(self, critic: nn.Module) -> None:
        """Project by each in turn."""
        for constraint in self.of:
            constraint.project(critic)

    def clipped(self, critic: nn.Module) -> Tensor | None:
        """The largest share: weights reach the narrowest bound alone."""
        shares = [share for constraint in self.of if (share := constraint.clipped(critic)) is not None]
        return torch.stack(shares).max() if shares else None


def refuse_unless_positive(constraint: Constraint, name: str) -> None:
    """Raise InputError unless the setting called ``name`` is a finite number > 0."""
    value = getattr(constraint, name)
    if not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"{type(constraint).__name__} needs a finite {name} > 0, not {value!r}.")


def refuse_negative(constraint: Constraint, name: str) -> None:
    """Raise InputError unless the setting called ``name`` is a finite number >= 0."""
    value = getattr(constraint, name)
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InputError(f"{type(constraint).__name__} needs a finite {name} >= 0, not {value!r}.")

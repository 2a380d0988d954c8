"""``wgan audit``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from rich.console import Console

from wgan.cli.parse import parse
from wgan.data import read_arrays
from wgan.wasserstein.auditing import audit
from wgan.wasserstein.bracket import Bracket


@dataclass(frozen=True)
class Audit:
    """Bracket the Wasserstein distance W1 between the distributions behind two sample sets, P and Q."""

    p: tyro.conf.Positional[Path]
    """Samples of P: a .npz file with an array `samples` or a single array beside labels, or a .npy file."""
    q: tyro.conf.Positional[Path]
    """Samples of Q, of the same shape."""
    confidence: float = 0.99
    """Confidence that both bounds hold."""
    minutes: float | None = None
    """Time limit for fitting the auditing critic; by default 300 steps."""
    seed: int = 0
    """Random seed of the fit and of the split into samples for fitting and for measuring."""
    json: bool = False
    """Print one JSON object and nothing else."""


_CRITICS = {"network": "a network", "potentials": "extended from the samples' own potentials"}


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Audit, arguments)
    (p, _), (q, _) = read_arrays(command.p), read_arrays(command.q)
    bracket = audit(p, q, confidence=command.confidence, minutes=command.minutes, seed=command.seed)
    if command.json:
        sys.stdout.write(json.dumps(asdict(bracket)) + "\n")
    else:
        Console(highlight=False).print(_summary(bracket), soft_wrap=True)


def _summary(bracket: Bracket) -> str:
    return (
        f"{bracket.lower:.4g} <= W1 <= {bracket.upper:.4g} with {bracket.confidence:.4g} confidence "
        f"({bracket.n_p:,} and {bracket.n_q:,} samples)\n"
        f"The certified critic ({_CRITICS[bracket.critic]}, Lipschitz constant at most "
        f"{bracket.certificate:.7f}) finds "
        f"{bracket.estimate:.4g} on held-out samples, {bracket.gap_fitted:.4g} on those it was fitted on."
    )

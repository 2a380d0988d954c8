"""``wgan audit``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro
from rich.console import Console

from wgan.auditing import audit
from wgan.bracket import Bracket
from wgan.cli.parse import parse
from wgan.errors import InputError


@dataclass(frozen=True)
class Audit:
    """Bracket the Wasserstein distance W1 between the laws behind two sample sets, P and Q."""

    p: tyro.conf.Positional[Path]
    """A .npz file, with an array `samples` or only one, or a .npy file."""
    q: tyro.conf.Positional[Path]
    """Another one, of samples of the same shape."""
    confidence: float = 0.99
    """That both bounds hold."""
    minutes: float | None = None
    """How long the auditing critic may be fitted; by default 600 steps."""
    seed: int = 0
    """Of the fit and of the split into samples to fit on and to measure on."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Audit, arguments)
    p, q = read_samples(command.p), read_samples(command.q)
    bracket = audit(p, q, confidence=command.confidence, minutes=command.minutes, seed=command.seed)
    if command.json:
        sys.stdout.write(json.dumps(asdict(bracket)) + "\n")
    else:
        Console(highlight=False).print(_told(bracket), soft_wrap=True)


def read_samples(path: Path) -> npt.NDArray[Any]:
    """The samples in a .npz file (the array ``samples``, or the only one) or a .npy file.

    Raises:
        InputError: There is no such file, it cannot be read, or it is not clear which array is meant.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded as arrays:
                name = "samples" if "samples" in arrays.files else _only(arrays.files, path)
                found: npt.NDArray[Any] = arrays[name]
                return found
    except InputError:
        raise
    except Exception as error:  # numpy and zipfile fail in many ways on a broken file
        raise InputError(f"{path} cannot be read as a .npz or .npy file of numbers: {error}.") from error


def _only(names: list[str], path: Path) -> str:
    if len(names) != 1:
        raise InputError(
            f"{path} holds the arrays {', '.join(names) or '(none)'}; name one of them `samples`."
        )
    return names[0]


def _told(bracket: Bracket) -> str:
    return (
        f"{bracket.lower:.4g} <= W1 <= {bracket.upper:.4g} with {bracket.confidence:.4g} confidence "
        f"({bracket.n_p:,} and {bracket.n_q:,} samples)\n"
        f"The certified critic (Lipschitz constant at most {bracket.certificate:.7f}) finds "
        f"{bracket.estimate:.4g} on held-out samples, {bracket.gap_fitted:.4g} on those it was fitted on."
    )

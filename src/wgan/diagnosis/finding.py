"""Findings of a diagnosis."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["note", "warning", "error"]
"""A note needs no action, a warning means that the run does worse than it could, an error that it fails."""

SettingsByPath = Mapping[str, Any]
"""Settings of a recipe by their dotted path, as in ``{"generator_optimiser.lr": 1e-4}``."""


@dataclass(frozen=True)
class Finding:
    """One problem of a run.

    Attributes:
        name: Its name in docs/diagnosis.md.
        severity: How serious it is.
        since: The step of the first log point that shows it.
        evidence: The numbers that show it, at the last log point.
        meaning: What happens, in a sentence.
        advice: What to do, in a sentence.
        remedy: Settings that solve it; empty where none do.
    """

    name: str
    severity: Severity
    since: int
    evidence: Mapping[str, float | str]
    meaning: str
    advice: str
    remedy: SettingsByPath = field(default_factory=dict)


def format_settings(settings: SettingsByPath) -> Iterator[str]:
    """Settings as text: ``n_critic = 4``, ``constraint = GradientPenalty(weight=10.0)``."""
    for path, value in settings.items():
        if isinstance(value, Mapping):
            members = ", ".join(f"{name}={part!r}" for name, part in value.items() if name != "is")
            yield f"{path} = {value.get('is', '')}({members})"
        else:
            yield f"{path} = {value}"

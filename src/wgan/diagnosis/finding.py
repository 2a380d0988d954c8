"""What a diagnosis says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["note", "warning", "error"]
"""A note asks for nothing, a warning says that the run does worse than it could, an error that it is lost."""

Settings = Mapping[str, Any]
"""Settings of a recipe by their dotted path, as in ``{"generator_optimiser.lr": 1e-4}``."""


@dataclass(frozen=True)
class Finding:
    """One thing that is the matter with a run.

    Attributes:
        name: Which, as in docs/diagnosis.md.
        severity: How bad it is.
        since: The step of the first log point that shows it.
        evidence: The numbers that show it, at the last log point.
        meaning: What is going on, in a sentence.
        advice: What to do, in a sentence.
        remedy: The settings that do it; empty where none do.
    """

    name: str
    severity: Severity
    since: int
    evidence: Mapping[str, float | str]
    meaning: str
    advice: str
    remedy: Settings = field(default_factory=dict)


def format_settings(settings: Settings) -> Iterator[str]:
    """Settings as a person writes them: ``n_critic = 4``, ``constraint = GradientPenalty(weight=10.0)``."""
    for path, value in settings.items():
        if isinstance(value, Mapping):
            given = ", ".join(f"{name}={part!r}" for name, part in value.items() if name != "is")
            yield f"{path} = {value.get('is', '')}({given})"
        else:
            yield f"{path} = {value}"

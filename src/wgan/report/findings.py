"""What the diagnosis found, as the report asks for it: the one place that knows how a run is diagnosed."""

from collections.abc import Sequence

from wgan.diagnosis import Finding, History, diagnose, spelled
from wgan.report.run_data import Run

__all__ = ["Finding", "findings", "spelled", "spoken", "tone"]


def findings(run: Run) -> list[Finding]:
    """What is the matter with a run, the most important first."""
    return list(diagnose(History(run.rows, run.config, run.timing, run.data)))


def tone(found: Sequence[Finding]) -> str:
    """The gravest severity: ``error``, ``warning``, or ``good`` where there are notes at most."""
    severities = {finding.severity for finding in found}
    return next((name for name in ("error", "warning") if name in severities), "good")


def spoken(name: str) -> str:
    """The name of a finding or of a number in words: ``score_real/50`` is the median of real scores."""
    plain = name.replace("-", " ").replace("_", " ")
    stem, slash, part = plain.partition("/")
    quantile = {"50": ", median", "max": ", greatest"}.get(part, f", {part} % below")
    if not slash:
        return plain
    return stem + (quantile if part.isdigit() or part == "max" else f", {part}")

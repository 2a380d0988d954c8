"""The diagnosis of a run for its report."""

from collections.abc import Sequence

from wgan.diagnosis import Finding, History, diagnose
from wgan.report.run_data import RunData


def diagnose_run(run: RunData) -> list[Finding]:
    """Findings about a run, the most important first."""
    return diagnose(History(run.rows, run.config, run.timing, run.data))


def worst_severity(findings: Sequence[Finding]) -> str:
    """``error``, ``warning``, or ``good`` if there are notes at most."""
    severities = {finding.severity for finding in findings}
    return next((name for name in ("error", "warning") if name in severities), "good")

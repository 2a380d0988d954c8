"""``wgan diagnose``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from wgan.cli.parse import parse
from wgan.cli.rerun import remedied
from wgan.diagnosis import Finding, History, diagnose, format_settings
from wgan.probing import Probe, probe_critic, trainer_of

STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold green"}


@dataclass(frozen=True)
class Diagnose:
    """Diagnose a run: what is wrong, since which step, the evidence, and what to do.

    docs/diagnosis.md defines each finding. The run may still be in progress.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    probe: bool = False
    """Train a copy of the last checkpoint's critic for 200 more steps on the fixed generator, and report how
    far it was from its optimum. The run is not changed."""
    device: str = "auto"
    """Device of the probe."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Diagnose, arguments)
    history = History.load(command.run)
    probed = (
        probe_critic(trainer_of(command.run, device=command.device), command.run) if command.probe else None
    )
    found = diagnose(replace(history, probe=probed.plain() if probed else {}))
    if command.json:
        plain = {
            "findings": [
                asdict(finding) | {"command": remedied(history.config, finding.remedy)} for finding in found
            ]
        }
        sys.stdout.write(json.dumps(plain | ({"probe": asdict(probed)} if probed else {})) + "\n")
        return
    terminal = Console(highlight=False)
    if probed:
        terminal.print(_probe_summary(probed), soft_wrap=True)
    for finding in found:
        _print(terminal, finding, remedied(history.config, finding.remedy))
    if not found:
        terminal.print(_no_findings(history), soft_wrap=True)


def _probe_summary(probe: Probe) -> str:
    more = f"{probe.steps} more steps on the generator of step {probe.step:,}"
    if probe.share is None or probe.low is None or probe.high is None:
        return f"The critic sees no difference between data and fakes any more, nor does it after {more}."
    low, high = (f"{100 * share:.0f}" for share in (probe.low, probe.high))
    return (
        f"The critic has {100 * probe.share:.0f} % of the gap that {more} reach "
        f"(with 99 % confidence {low} to {high} %)."
    )


def _no_findings(history: History) -> str:
    if not history.rows:
        return (
            "Nothing has been observed: the run has no log point, and may be shorter than --logging.metrics."
        )
    points = len(history.rows)
    return f"Nothing is wrong as far as {points} log points up to step {history.steps[-1]:,} can tell."


def _print(terminal: Console, finding: Finding, command: str | None) -> None:
    title = Text(f"{finding.name}", style=STYLES[finding.severity])
    title.append(f"  {finding.severity}, since step {finding.since:,}", style="dim")
    terminal.print(title)
    evidence = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in finding.evidence.items()
    )
    for line in (finding.meaning, evidence, finding.advice):
        if line:
            terminal.print(Padding(Text(line), (0, 0, 0, 2)))
    if command:
        # Not wrapped, so that it can be copied.
        terminal.print(Text(f"  {command}", style="cyan"), soft_wrap=True)
    elif finding.remedy:
        terminal.print(Text(f"  {', '.join(format_settings(finding.remedy))}", style="cyan"), soft_wrap=True)
    terminal.print()

"""``wgan diagnose``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from wgan.cli.parse import parse
from wgan.diagnosis import Finding, History, diagnose, spelled

STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold green"}


@dataclass(frozen=True)
class Diagnose:
    """Say what is wrong with the run in DIR, since when, how one sees it and what to do.

    What each finding means is defined in docs/diagnosis.md. The run may still be going on.
    """

    dir: tyro.conf.Positional[Path]
    """The run's folder."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Diagnose, arguments)
    history = History.load(command.dir)
    found = diagnose(history)
    if command.json:
        sys.stdout.write(json.dumps({"findings": [asdict(finding) for finding in found]}) + "\n")
        return
    terminal = Console(highlight=False)
    for finding in found:
        _print(terminal, finding)
    if not found:
        terminal.print(_nothing(history), soft_wrap=True)


def _nothing(history: History) -> str:
    if not history.rows:
        return "Nothing has been observed yet: the run has no log point."
    points = len(history.rows)
    return f"Nothing is wrong as far as {points} log points up to step {history.steps[-1]:,} can tell."


def _print(terminal: Console, finding: Finding) -> None:
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
    if finding.command:
        # Not wrapped, so that it can be copied.
        terminal.print(Text(f"  {finding.command}", style="cyan"), soft_wrap=True)
    elif finding.remedy:
        terminal.print(Text(f"  {', '.join(spelled(finding.remedy))}", style="cyan"), soft_wrap=True)
    terminal.print()

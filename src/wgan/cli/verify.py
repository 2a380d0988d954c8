"""``wgan verify``."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from wgan.cli.latencies import table
from wgan.cli.parse import parse
from wgan.deploy import verify


@dataclass(frozen=True)
class Verify:
    """Validate an artifact again on this machine: checksums, error, quality and latency.

    The run is not needed: the artifact contains samples and the statistics of real ones. The exit code is 1
    if it fails.
    """

    dir: tyro.conf.Positional[Path]
    """Artifact folder."""
    gate: float | None = None
    """Quality gate: largest ratio of the Frechet distances; by default that of the export."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Verify, arguments)
    validation, latency = verify(command.dir, gate=command.gate)
    quality = validation.quality
    validation.check(str(command.dir), "Export it again on this machine, or for another runtime.")
    sys.stdout.write(
        f"{command.dir} is intact and passes.\n"
        f"  largest error     {validation.error:.2g}\n"
        f"  Frechet distance  {quality.before:.5g} -> {quality.after:.5g}, {quality.ratio:.4g} times "
        f"(gate {validation.gate:g})\n"
    )
    table(latency, threads=1)

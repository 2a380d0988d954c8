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
    """Measure the artifact in the folder DIR again, on this machine: checksums, error, quality and latency.

    The run is not needed: samples and the statistics of real ones lie in the artifact. The exit code is 1 if
    it does not pass.
    """

    dir: tyro.conf.Positional[Path]
    """The artifact."""
    gate: float | None = None
    """How many times larger the Frechet distance may be; by default as at the export."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Verify, arguments)
    proof, latency = verify(command.dir, gate=command.gate)
    quality = proof.quality
    proof.check(str(command.dir), "Export it again on this machine, or for another runtime.")
    sys.stdout.write(
        f"{command.dir} is whole and passes.\n"
        f"  largest error     {proof.error:.2g}\n"
        f"  Frechet distance  {quality.before:.5g} -> {quality.after:.5g}, {quality.ratio:.4g} times "
        f"(gate {proof.gate:g})\n"
    )
    table(latency, threads=1)

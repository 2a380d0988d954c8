"""``wgan export``."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from wgan.artifact import Artifact
from wgan.cli.latencies import table
from wgan.cli.parse import parse
from wgan.data import load
from wgan.deploy import GATE, Latency, export
from wgan.metrics import Provenance


@dataclass(frozen=True)
class Export:
    """Write the averaged generator of the run in DIR as an artifact: a folder that runs without torch.

    It is held against the run's generator at the same latents. In float32 it has to be the same; and past the
    gate nothing is written and the exit code is 1.
    """

    dir: tyro.conf.Positional[Path]
    """The run's folder."""
    to: Literal["onnx", "openvino", "web", "triton", "lambda"]
    """For ONNX Runtime or OpenVINO; as a page, a model repository or an archive around the former."""
    out: Path
    """The artifact's folder."""
    int8: bool = False
    """Make weights and what goes through the network 8 bits wide, calibrated on latents."""
    gate: float = GATE
    """How many times larger the Frechet distance to the real samples may become."""
    extractor: str | None = None
    """What judges: as for `wgan evaluate`."""
    against: str | None = None
    """The real samples: a source as `wgan train` takes it; by default what the run learned from."""
    count: int = 5000
    """Samples that the distance is measured on."""
    data_dir: Path | None = None
    """Where the files of mnist and fashion-mnist lie."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Export, arguments)
    against = None if command.against is None else load(command.against, data_dir=command.data_dir)
    artifact = export(
        command.dir,
        command.out,
        to=command.to,
        int8=command.int8,
        gate=command.gate,
        extractor=command.extractor,
        against=against,
        count=command.count,
        data_dir=command.data_dir,
    )
    _tell(artifact)


def _tell(artifact: Artifact) -> None:
    said = artifact.provenance
    parity, quality = said["parity"], said["quality"]
    sys.stdout.write(
        f"{artifact.path}: {artifact.kind}, {artifact.precision}\n"
        f"  largest error  {parity['max_abs_error']:.2g} in {parity['samples']} samples\n"
        f"  {quality['metric']}             {quality['before']:.5g} -> {quality['after']:.5g}, "
        f"{quality['ratio']:.4g} times (gate {quality['gate']:g})\n"
        f"  [{Provenance(**quality['provenance'])}]\n"
    )
    table([Latency(**row) for row in said["latency"]], threads=1)
    sys.stderr.write(f"Next: {shlex.join(['wgan', 'serve', str(artifact.path)])}\n")

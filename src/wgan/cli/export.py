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
from wgan.cli.own_networks import load_sampler
from wgan.cli.parse import parse
from wgan.data import load
from wgan.deploy import GATE, Latency, export
from wgan.deploy.validation import check_gate
from wgan.metrics import Provenance


@dataclass(frozen=True)
class Export:
    """Export the averaged generator of a run as an artifact: a folder that runs without PyTorch.

    The artifact's samples are compared with those of the run's generator for the same latents: in float32
    they must be equal. If they are not, or the quality gate fails, nothing is written and the exit code is 1.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    to: Literal["onnx", "openvino", "web", "triton", "lambda"]
    """Target: onnx (ONNX Runtime), openvino, or web, triton and lambda, which contain an ONNX model."""
    out: Path
    """Output: the artifact's folder."""
    int8: bool = False
    """Quantise weights and activations to 8 bits, for OpenVINO."""
    gate: float = GATE
    """Quality gate: largest ratio of the Frechet distance to real samples after the export to that before."""
    extractor: str | None = None
    """Feature extractor of the Frechet distance, as for `wgan evaluate`."""
    against: str | None = None
    """Real samples: data as `wgan train` takes them; by default the run's dataset."""
    count: int = 5000
    """Number of samples of the Frechet distance."""
    data_dir: Path | None = None
    """Folder of the files of mnist and fashion-mnist."""
    step: int | None = None
    """Step of the checkpoint; by default the last one."""
    generator: str | None = None
    """The generator's class, package.module:Class, of a run with networks of your own."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Export, arguments)
    check_gate(command.gate)
    against = None if command.against is None else load(command.against, data_dir=command.data_dir)
    artifact = export(
        load_sampler(command.run, command.step, command.generator, "cpu"),
        command.out,
        to=command.to,
        int8=command.int8,
        gate=command.gate,
        extractor=command.extractor,
        against=against,
        count=command.count,
        data_dir=command.data_dir,
    )
    _print(artifact)


def _print(artifact: Artifact) -> None:
    provenance = artifact.provenance
    parity, quality = provenance["parity"], provenance["quality"]
    sys.stdout.write(
        f"{artifact.path}: {artifact.kind}, {artifact.precision}\n"
        f"  largest error  {parity['max_abs_error']:.2g} in {parity['samples']} samples\n"
        f"  {quality['metric']}             {quality['before']:.5g} -> {quality['after']:.5g}, "
        f"{quality['ratio']:.4g} times (gate {quality['gate']:g})\n"
        f"  [{Provenance(**quality['provenance'])}]\n"
    )
    table([Latency(**row) for row in provenance["latency"]], threads=1)
    sys.stderr.write(f"Next: {shlex.join(['wgan', 'serve', str(artifact.path)])}\n")

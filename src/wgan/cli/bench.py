"""``wgan bench``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from wgan.cli.latencies import table
from wgan.cli.parse import parse
from wgan.deploy import bench
from wgan.errors import InputError


@dataclass(frozen=True)
class Bench:
    """Time an artifact: median and 99th percentile of a call, and samples per second."""

    dir: tyro.conf.Positional[Path]
    """Artifact folder."""
    against: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """Another artifact, or a run (in eager PyTorch), timed in turns; may be given several times."""
    batches: str = "1,8,64"
    """Batch sizes, separated by commas."""
    threads: int = 1
    """Number of threads of a call."""
    seconds: float = 1.0
    """Time for each artifact and batch size, in seconds."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Bench, arguments)
    paths = list(dict.fromkeys([command.dir, *command.against]))
    rows = bench(paths, batches=_batches(command.batches), threads=command.threads, seconds=command.seconds)
    if command.json:
        plain = {"threads": command.threads, "latency": [asdict(row) for row in rows]}
        sys.stdout.write(json.dumps(plain) + "\n")
    else:
        table(rows, threads=command.threads)


def _batches(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise InputError(f"--batches takes whole numbers such as 1,8,64, not {text!r}.") from error

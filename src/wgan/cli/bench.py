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
    """Time the artifact in the folder DIR: median and 99th percentile of a call, and samples a second."""

    dir: tyro.conf.Positional[Path]
    """The artifact."""
    against: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """Another artifact, or a run, in eager torch, timed in turns with it; may be given several times."""
    batches: str = "1,8,64"
    """Samples a call."""
    threads: int = 1
    """How many a call may use."""
    seconds: float = 1.0
    """How long each is timed for each batch size."""
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
        raise InputError(f"--batches takes whole numbers, as in 1,8,64, not {text!r}.") from error

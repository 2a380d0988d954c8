"""Training from a pack that is larger than the memory it may take: how much memory, and how long for data.

    python -m benchmarks.large_data --gigabytes 10 --folder /somewhere/with/room

Packs random colour images of 64 x 64 (once: the same command finds them again), then looks, each case in a
process of its own, at draws of 64 alone and at training. *Cold*: the system is asked to forget the files.
*Plain map*: the same files as NumPy maps them, nothing foretold and nothing released. *In memory*: one shard.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from wgan import Trainer
from wgan.data import load, write_shards
from wgan.data.reader import Chunk, DatasetReader, DatasetSpec, key_of, shard_count
from wgan.networks import DCGANCritic, DCGANGenerator, MLPCritic, MLPGenerator
from wgan.training import LoggingIntervals

SHAPE = (3, 64, 64)
BATCH, BATCHES, SECONDS = 64, 500, 20.0
NETWORKS = {
    "MLP, 1 x 32": lambda: (MLPGenerator(SHAPE, hidden=(32,)), MLPCritic(SHAPE, hidden=(32,))),
    "DCGAN, width 8": lambda: (DCGANGenerator(SHAPE, width=8), DCGANCritic(SHAPE, width=8)),
}


@dataclass(frozen=True)
class Noise(DatasetReader):
    """Random bytes."""

    rows: int

    @property
    def origin(self) -> str:
        """What it is."""
        return "noise"

    @property
    def key(self) -> str:
        """Its size."""
        return key_of(self.rows)

    @property
    def spec(self) -> DatasetSpec:
        """Images."""
        return DatasetSpec(SHAPE, "uint8", self.rows, shard_count(self.rows * int(np.prod(SHAPE))))

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """4,096 images at a time, from the shard's own seed."""
        rng, left = np.random.default_rng(shard), len(spec.shard_rows(shard))
        while left:
            count = min(4096, left)
            content = np.frombuffer(rng.bytes(spec.bytes(count)), np.uint8)
            yield Chunk(content.reshape(count, *SHAPE))
            left -= count


def draws(folder: Path, how: str) -> dict[str, float]:
    """Milliseconds a batch, and memory."""
    rng = torch.Generator().manual_seed(0)
    if how == "in memory":
        split = load(np.load(folder / "00000.npy")).train
    else:
        split = load(folder, memory_limit=0).train
    take, count = _plainly(folder) if how == "plain map" else split.batch, len(split)
    before, start = resident(), time.perf_counter()
    for _ in range(BATCHES):
        take(torch.randint(count, (BATCH,), generator=rng))
    return {"ms": 1000 * (time.perf_counter() - start) / BATCHES, "before": before, "memory": resident()}


def training(folder: Path, network: str) -> dict[str, float]:
    """Milliseconds a step, the share of them that the networks wait for data, and the most memory."""
    torch.manual_seed(0)
    generator, critic = NETWORKS[network]()
    dataset = load(folder, memory_limit=1 << 30)
    trainer = Trainer(generator=generator, critic=critic, data=dataset, batch_size=BATCH, device="cpu")
    seconds = trainer.seconds_per_step()
    steps = max(20, round(SECONDS / seconds))
    trainer.logging = LoggingIntervals(metrics=steps, images=steps, checkpoint=10**6)
    with TemporaryDirectory() as run:
        start = time.perf_counter()
        timing = trainer.fit(Path(run) / "run", steps).history("timing")[-1]
        passed = time.perf_counter() - start
    return {
        "ms": 1000 * passed / steps,
        "share": timing["data_share"],
        "memory": timing["memory"],
        "steps": steps,
    }


def resident() -> float:
    """Memory of this process in MiB, pages of mapped files included."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024


def forget(folder: Path) -> None:
    """Ask the system to drop the files' pages from its cache."""
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _plainly(folder: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    parts = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]
    ends = np.cumsum([len(part) for part in parts])

    def take(index: torch.Tensor) -> torch.Tensor:
        owners = np.searchsorted(ends, index.numpy(), side="right")
        rows = [parts[o][r - (ends[o - 1] if o else 0)] for o, r in zip(owners, index.tolist(), strict=True)]
        return torch.from_numpy(np.stack(rows)).float().div_(127.5).sub_(1.0)

    return take


def _apart(folder: Path, case: str, cold: bool) -> dict[str, float]:
    """Measure a case in a process of its own."""
    if cold:
        forget(folder)
    command = [sys.executable, "-m", "benchmarks.large_data", "--folder", str(folder), "--case", case]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def _case(folder: Path, case: str) -> dict[str, float]:
    torch.set_num_threads(1)
    return training(folder, case) if case in NETWORKS else draws(folder, case)


def _tables(folder: Path) -> Iterator[Table]:
    table = Table("draws of 64", "files", "ms a batch", "MiB before", "MiB after")
    for case in ("in memory", "plain map", "pack"):
        for cold in (False, True)[: 1 if case == "in memory" else 2]:
            found = _apart(folder, case, cold)
            numbers = f"{found['ms']:.2f}", f"{found['before']:.0f}", f"{found['memory']:.0f}"
            table.add_row(case, "cold" if cold else "warm", *numbers)
    yield table
    table = Table("training", "files", "steps", "ms a step", "waiting for data", "most MiB")
    for case in NETWORKS:
        for cold in (False, True):
            found = _apart(folder, case, cold)
            numbers = f"{found['steps']:.0f}", f"{found['ms']:.1f}", f"{found['share']:.1%}"
            table.add_row(case, "cold" if cold else "warm", *numbers, f"{found['memory']:.0f}")
    yield table


def main() -> None:
    """Pack, measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--folder", type=Path, default=Path("large.pack"))
    parser.add_argument("--case")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(_case(arguments.folder, arguments.case)))
        return
    start = time.perf_counter()
    write_shards(Noise(int(arguments.gigabytes * 1e9 / np.prod(SHAPE))), arguments.folder, processes=2)
    print(f"packed in {time.perf_counter() - start:.0f} s")
    for table in _tables(arguments.folder):
        Console().print(table)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread")


if __name__ == "__main__":
    main()

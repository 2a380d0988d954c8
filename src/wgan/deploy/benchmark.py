"""Latency of artifacts and runs, side by side."""

from collections.abc import Sequence
from pathlib import Path

from wgan.artifact import Artifact, Feed
from wgan.deploy.latency import BATCHES, Latency, measure, torch_threads
from wgan.deploy.reference_statistics import Forward
from wgan.deploy.trained_generator import TrainedGenerator, feed
from wgan.errors import InputError, check_whole
from wgan.runs import RunFolder

MAX_BATCH = 4096
"""Larger batch sizes are refused as mistakes."""


def bench(
    paths: Sequence[Path], *, batches: Sequence[int] = BATCHES, threads: int = 1, seconds: float = 1.0
) -> list[Latency]:
    """Time artifacts, and the averaged generators of runs in eager torch, in turns.

    Args:
        paths: Folders of artifacts or runs.
        batches: Batch sizes, each in [1, 4096].
        threads: Number of threads for each.
        seconds: Time for each generator and batch size, in (0, 3600).

    Raises:
        InputError: A folder is neither an artifact nor a run, or a number is out of its range.
        MissingExtraError: A runtime is not installed.
    """
    check_whole(threads=(threads, 1), **{f"batch {batch}": (batch, 1) for batch in batches})
    if not batches or max(batches) > MAX_BATCH or not 0 < seconds < 3600:
        raise InputError(
            f"Batches must be in [1, {MAX_BATCH}] and seconds in (0, 3600), not {list(batches)}, {seconds}."
        )
    generators = {str(path): _open(path, threads, max(batches)) for path in paths}
    with torch_threads(threads):
        return measure(generators, batches, seconds=seconds)


def _open(path: Path, threads: int, count: int) -> tuple[Forward, Feed]:
    if RunFolder(path).exists:
        trained = TrainedGenerator.load(path)
        return trained.forward, trained.feed(count)
    artifact = Artifact.load(path)
    return artifact.runtime(threads).forward, feed(count, artifact.latent_dim, artifact.classes)

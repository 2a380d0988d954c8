"""How long artifacts and runs take, beside each other."""

from collections.abc import Sequence
from pathlib import Path

from wgan.artifact import Artifact, Feed
from wgan.deploy.latency import BATCHES, Latency, measure, torch_threads
from wgan.deploy.reference_statistics import Forward
from wgan.deploy.trained_generator import TrainedGenerator, feed
from wgan.errors import InputError, check_whole
from wgan.runs import RunFolder

MOST = 4096
"""More samples a call are asked for by mistake."""


def bench(
    paths: Sequence[Path], *, batches: Sequence[int] = BATCHES, threads: int = 1, seconds: float = 1.0
) -> list[Latency]:
    """Time artifacts, and the averaged generators of runs in eager torch, in turns.

    Args:
        paths: Folders of artifacts or runs.
        batches: Samples a call, each in [1, 4096].
        threads: How many each may use.
        seconds: How long each is timed for each batch size, > 0.

    Raises:
        InputError: A folder is neither, or a number is out of its range.
        MissingExtraError: A runtime is not there.
    """
    check_whole(threads=(threads, 1), **{f"batch {batch}": (batch, 1) for batch in batches})
    if not batches or max(batches) > MOST or not 0 < seconds < 3600:
        raise InputError(
            f"Batches must be in [1, {MOST}] and seconds in (0, 3600), not {list(batches)}, {seconds}."
        )
    subjects = {str(path): _opened(path, threads, max(batches)) for path in paths}
    with torch_threads(threads):
        return measure(subjects, batches, seconds=seconds)


def _opened(path: Path, threads: int, count: int) -> tuple[Forward, Feed]:
    if RunFolder(path).exists:
        trained = TrainedGenerator.load(path)
        return trained.forward, trained.feed(count)
    artifact = Artifact.load(path)
    return artifact.runtime(threads).forward, feed(count, artifact.latent_dim, artifact.classes)

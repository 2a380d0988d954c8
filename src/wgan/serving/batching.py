"""Dynamic batching: many small requests become few large calls of the model."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np

from wgan.artifact import Labels, Latents, Samples
from wgan.errors import InputError
from wgan.serving.http_errors import HTTPError

Generate = Callable[[Latents, Labels | None], Samples]


@final
@dataclass(frozen=True)
class _Job:
    latents: Latents
    labels: Labels | None
    done: asyncio.Future[Samples]


@final
class Batcher:
    """Calls the model in one thread, each time with all requests that arrived meanwhile.

    There is no delay to tune: a single request runs at once, and requests that arrive while the model runs
    form the next batch. Use it in one event loop, between :meth:`start` and :meth:`stop`.

    Args:
        generate: The model.
        batch: Largest batch size.
        queue: Largest number of queued samples.
        on_batch: Called with the size of each batch.
    """

    def __init__(
        self,
        generate: Generate,
        *,
        batch: int,
        queue: int,
        on_batch: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._generate = generate
        self._batch = batch
        self._queue = queue
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, "wgan-model")
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of queued samples."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether the worker is running."""
        return self._worker is not None and not self._worker.done()

    def start(self) -> None:
        """Start the worker."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Run the queued jobs, then end."""
        while self._jobs:
            await asyncio.wait([job.done for job in self._jobs])
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        self._thread.shutdown()

    async def __call__(self, latents: Latents, labels: Labels | None) -> Samples:
        r"""The samples (N, \*shape) of latents (N, d) and labels (N,); HTTPError 503 if the queue is full."""
        if self._waiting + len(latents) > self._queue:
            raise HTTPError(503, "The queue is full; ask again in a second.")
        jobs = [self._enqueue(latents, labels, start) for start in range(0, len(latents), self._batch)]
        if len(jobs) == 1:
            return await jobs[0].done
        return np.concatenate(await asyncio.gather(*(job.done for job in jobs)))

    def _enqueue(self, latents: Latents, labels: Labels | None, start: int) -> _Job:
        part = slice(start, start + self._batch)
        done: asyncio.Future[Samples] = asyncio.get_running_loop().create_future()
        job = _Job(latents[part], None if labels is None else labels[part], done)
        self._jobs.append(job)
        self._waiting += len(job.latents)
        self._arrived.set()
        return job

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            jobs = self._next()
            if jobs:
                await self._run_batch(jobs)

    def _next(self) -> list[_Job]:
        """The jobs of the next batch, without cancelled ones."""
        jobs: list[_Job] = []
        size = 0
        while self._jobs and size + len(self._jobs[0].latents) <= self._batch:
            job = self._jobs.popleft()
            self._waiting -= len(job.latents)
            if not job.done.done():
                jobs.append(job)
                size += len(job.latents)
        if not self._jobs:
            self._arrived.clear()
        return jobs

    async def _run_batch(self, jobs: list[_Job]) -> None:
        self._on_batch(sum(len(job.latents) for job in jobs))
        try:
            call = partial(self._generate, *_concatenated(jobs))
            samples = await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except Exception as error:
            logging.getLogger("wgan.serving").exception("The model failed.")
            _fail(jobs, error)
            return
        start = 0
        for job in jobs:
            if not job.done.done():
                job.done.set_result(samples[start : start + len(job.latents)])
            start += len(job.latents)


def _concatenated(jobs: list[_Job]) -> tuple[Latents, Labels | None]:
    if len(jobs) == 1:
        return jobs[0].latents, jobs[0].labels
    labels = [job.labels for job in jobs if job.labels is not None]
    return np.concatenate([job.latents for job in jobs]), np.concatenate(labels) if labels else None


def _fail(jobs: list[_Job], error: Exception) -> None:
    # Its message may contain paths of this machine; it is in the log only.
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(
                error
                if isinstance(error, InputError)
                else HTTPError(500, "The model failed; see the server's log.")
            )

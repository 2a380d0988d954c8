"""Many small requests as few large calls of the model."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import numpy.typing as npt

from wgan.errors import InputError
from wgan.serving.http_errors import HTTPError

Latents = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Samples = npt.NDArray[np.float32]
Generate = Callable[[Latents, Labels | None], Samples]


@final
@dataclass(frozen=True)
class _Job:
    latents: Latents
    labels: Labels | None
    done: asyncio.Future[Samples]


@final
class Batcher:
    """Calls the model in one thread, each time with all that has come in meanwhile.

    There is no delay to tune: a request that comes alone goes alone and at once, and what comes while the
    model works is the next batch. Use it inside one event loop, between :meth:`start` and :meth:`stop`.

    Args:
        generate: The model.
        batch: Samples in one call, at most.
        queue: Samples that may wait.
        tell: Called with the size of each batch.
    """

    def __init__(
        self, generate: Generate, *, batch: int, queue: int, tell: Callable[[int], object] = lambda size: None
    ) -> None:
        self._generate = generate
        self._batch = batch
        self._queue = queue
        self._tell = tell
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, "wgan-model")
        self._news = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many samples wait now."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether requests are being answered."""
        return self._worker is not None and not self._worker.done()

    def start(self) -> None:
        """Begin to answer."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Answer what waits, then end."""
        while self._jobs:
            await asyncio.wait([job.done for job in self._jobs])
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        self._thread.shutdown()

    async def __call__(self, latents: Latents, labels: Labels | None) -> Samples:
        r"""The samples (N, \*shape) of latents (N, d) and, for a generator with classes, labels (N,).

        Raises:
            Refusal: With status 503: there is no room for as many.
        """
        if self._waiting + len(latents) > self._queue:
            raise HTTPError(503, "The queue is full; ask again in a second.")
        jobs = [self._enter(latents, labels, start) for start in range(0, len(latents), self._batch)]
        if len(jobs) == 1:
            return await jobs[0].done
        return np.concatenate(await asyncio.gather(*(job.done for job in jobs)))

    def _enter(self, latents: Latents, labels: Labels | None, start: int) -> _Job:
        part = slice(start, start + self._batch)
        done: asyncio.Future[Samples] = asyncio.get_running_loop().create_future()
        job = _Job(latents[part], None if labels is None else labels[part], done)
        self._jobs.append(job)
        self._waiting += len(job.latents)
        self._news.set()
        return job

    async def _work(self) -> None:
        while True:
            await self._news.wait()
            jobs = self._next()
            if jobs:
                await self._answer(jobs)

    def _next(self) -> list[_Job]:
        """What goes into the next batch; those who gave up are left out."""
        jobs: list[_Job] = []
        size = 0
        while self._jobs and size + len(self._jobs[0].latents) <= self._batch:
            job = self._jobs.popleft()
            self._waiting -= len(job.latents)
            if not job.done.done():
                jobs.append(job)
                size += len(job.latents)
        if not self._jobs:
            self._news.clear()
        return jobs

    async def _answer(self, jobs: list[_Job]) -> None:
        self._tell(sum(len(job.latents) for job in jobs))
        try:
            call = partial(self._generate, *_together(jobs))
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


def _together(jobs: list[_Job]) -> tuple[Latents, Labels | None]:
    if len(jobs) == 1:
        return jobs[0].latents, jobs[0].labels
    labels = [job.labels for job in jobs if job.labels is not None]
    return np.concatenate([job.latents for job in jobs]), np.concatenate(labels) if labels else None


def _fail(jobs: list[_Job], error: Exception) -> None:
    # Its words may hold paths of this machine; they stand in the log.
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(
                error
                if isinstance(error, InputError)
                else HTTPError(500, "The model failed; see the server's log.")
            )

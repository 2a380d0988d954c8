"""The served generator: loaded, warmed up, batched."""

import asyncio
from typing import final

from wgan.artifact import Artifact
from wgan.image_requests import ImageRequest, encode
from wgan.latents import draw_latents
from wgan.serving.batching import Batcher
from wgan.serving.metrics import ServerMetrics
from wgan.serving.protocol import ModelSignature
from wgan.serving.settings import ServerSettings


@final
class Service:
    """A served artifact.

    Args:
        artifact: The artifact.
        settings: Limits.

    Attributes:
        signature: Inputs and outputs of the generator.
        batcher: Runs the model.
        metrics: Counters for Prometheus.
        draining: Whether the server is about to end.
        description: Description for the demo page.
    """

    def __init__(self, artifact: Artifact, settings: ServerSettings) -> None:
        self._artifact = artifact
        self._run = artifact.runtime(settings.threads)
        classes = artifact.classes
        self.signature = ModelSignature(
            artifact.latent_dim, artifact.shape, None if classes is None else len(classes), settings.count
        )
        self.batcher = Batcher(
            self._run,
            batch=settings.batch,
            queue=settings.queue,
            on_batch=lambda size: self.metrics.count_batch(size),
        )
        self.metrics = ServerMetrics(lambda: self.batcher.waiting)
        self.draining = False
        self.description = artifact.page | {"most": settings.count}
        for count in (1, 2):  # the first inference of a single sample, and of several, is slow
            self._run(draw_latents(count, artifact.latent_dim))

    @property
    def ready(self) -> bool:
        """Whether requests are answered and the server is not about to end."""
        return self.batcher.alive and not self.draining

    def parse(self, value: object) -> ImageRequest:
        """Parse an image request; InputError if it is not one."""
        limit = self.signature.max_samples
        return ImageRequest.parse(value, max_count=limit, classes=self._artifact.classes)

    async def draw(self, request: ImageRequest) -> bytes:
        """Generate and encode the images of a request.

        Raises:
            InputError: The samples are not images, and the format needs images.
            HTTPError: The queue is full.
        """
        classes = self._artifact.classes
        samples = await self.batcher(request.latents(self.signature.latent_dim), request.labels(classes))
        # Encoding 256 images takes longer than generating them; meanwhile others are answered.
        return await asyncio.to_thread(encode, samples, request.format)

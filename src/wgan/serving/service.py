"""The generator behind the routes: loaded, warmed up, batched."""

import asyncio
from typing import final

from wgan.artifact import Artifact
from wgan.demo import describe
from wgan.image_requests import ImageRequest, encode
from wgan.latents import draw_latents
from wgan.serving.batching import Batcher
from wgan.serving.metrics import ServerMetrics
from wgan.serving.protocol import Form
from wgan.serving.settings import Settings


@final
class Service:
    """An artifact that answers.

    Args:
        artifact: What to serve.
        settings: Its bounds.

    Attributes:
        form: What the generator takes and gives.
        batcher: Answers inferences.
        meters: What happened.
        draining: Whether the server is about to end.
        description: What the page has to know.
    """

    def __init__(self, artifact: Artifact, settings: Settings) -> None:
        self._artifact = artifact
        self._run = artifact.runtime(settings.threads)
        classes = artifact.classes
        self.form = Form(
            artifact.latent_dim, artifact.shape, None if classes is None else len(classes), settings.count
        )
        self.batcher = Batcher(
            self._run,
            batch=settings.batch,
            queue=settings.queue,
            tell=lambda size: self.meters.called(size),
        )
        self.meters = ServerMetrics(lambda: self.batcher.waiting)
        self.draining = False
        self.description = describe(artifact) | {"most": settings.count}
        for count in (1, 2):  # the first inference of a single sample, and of several, is slow
            self._run(draw_latents(count, artifact.latent_dim))

    @property
    def ready(self) -> bool:
        """Whether a request would be answered, and the server means to go on."""
        return self.batcher.alive and not self.draining

    def read(self, given: object) -> ImageRequest:
        """The order that plain values are.

        Raises:
            InputError: They are none.
        """
        return ImageRequest.read(given, most=self.form.most, classes=self._artifact.classes)

    async def draw(self, order: ImageRequest) -> bytes:
        """The file that an order asks for.

        Raises:
            InputError: The samples are no images, and the format needs them.
            Refusal: There is no room in the queue.
        """
        classes = self._artifact.classes
        samples = await self.batcher(order.latents(self.form.latent_dim), order.labels(classes))
        # Packing 256 images takes longer than making them; meanwhile others are answered.
        return await asyncio.to_thread(encode, samples, order.format)

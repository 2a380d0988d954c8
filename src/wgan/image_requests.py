"""An order of images and its answer, the same behind a server, a Lambda function and Python.

An order is plain values, as they come out of JSON: ``{"seed": 7, "count": 16, "format": "png"}``.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeGuard, final

import numpy as np
import numpy.typing as npt
from PIL import Image

from wgan.errors import InputError
from wgan.images import show, to_image
from wgan.labels import class_number, cycle_classes
from wgan.latents import draw_latents

MEDIA = {"png": "image/png", "webp": "image/webp", "zip": "application/zip"}
"""What an answer can be, and its media type."""
WIDEST = 2**14 - 1
"""Pixels that a WebP can have on a side."""

Samples = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Generate = Callable[[npt.NDArray[np.float32], Labels | None], Samples]


@final
@dataclass(frozen=True)
class ImageRequest:
    """What someone wants to see.

    Attributes:
        seed: In [0, 2^64): the same seed gives the same images, and the first of them for any count.
        count: How many.
        label: Of a generator with classes: a class by number or name; None goes through them in turn.
        truncation: In (0, 1], a factor on the latents: less is nearer to what is typical, and less varied.
        format: ``png`` and ``webp`` (lossless) are the image, or a grid of several; ``zip`` is a PNG each.
    """

    seed: int = 0
    count: int = 1
    label: int | str | None = None
    truncation: float = 1.0
    format: str = "png"

    @classmethod
    def read(cls, given: object, *, most: int, classes: Sequence[str] | None = None) -> Self:
        """The order that plain values are.

        Args:
            given: What came out of JSON.
            most: The largest count.
            classes: The generator's, if it has any.

        Raises:
            InputError: They are no order; the first thing that is wrong.
        """
        if not isinstance(given, Mapping):
            raise InputError(f"An order is a JSON object, not {_named(given)}.")
        known = [field.name for field in fields(cls)]
        if others := [name for name in given if name not in known]:
            raise InputError(f"An order has no {_named(others[0])}; it has {', '.join(known)}.")
        order = cls(**given)
        order._check(most, classes)
        return order

    def _check(self, most: int, classes: Sequence[str] | None) -> None:
        if not _is_whole(self.seed) or not 0 <= self.seed < 2**64:
            raise InputError(f"seed must be a whole number in [0, 2^64), not {_named(self.seed)}.")
        if not _is_whole(self.count) or not 1 <= self.count <= most:
            raise InputError(f"count must be a whole number in [1, {most}], not {_named(self.count)}.")
        number = isinstance(self.truncation, int | float) and not isinstance(self.truncation, bool)
        if not number or not 0 < self.truncation <= 1:
            raise InputError(f"truncation must be a number in (0, 1], not {_named(self.truncation)}.")
        if not isinstance(self.format, str) or self.format not in MEDIA:
            raise InputError(f"format must be one of {', '.join(MEDIA)}, not {_named(self.format)}.")
        if self.label is not None:
            if not _is_whole(self.label) and not isinstance(self.label, str):
                raise InputError(f"label must be a class's name or number, not {_named(self.label)}.")
            class_number(self.label, classes)

    def latents(self, latent_dim: int) -> npt.NDArray[np.float32]:
        """The latents (count, latent_dim) of this order."""
        return draw_latents(self.count, latent_dim, self.seed) * np.float32(self.truncation)

    def labels(self, classes: Sequence[str] | None) -> Labels | None:
        """The labels (count,) of this order; None for a generator without classes.

        Raises:
            InputError: The label is none of the classes.
        """
        if self.label is not None:
            return np.full(self.count, class_number(self.label, classes), np.int64)
        return None if classes is None else cycle_classes(self.count, len(classes))


def encode(samples: Samples, form: str) -> bytes:
    """Samples (N, C, H, W) in [-1, 1], or vectors (N, d), as the bytes of a file.

    Args:
        samples: N >= 1.
        form: A key of :data:`MEDIA`.

    Raises:
        InputError: They are no images of 1 or 3 channels and the form needs images; or the image is
            larger than a WebP can be.
    """
    if form == "zip":
        return _zipped([_file(to_image(sample), "png") for sample in samples])
    return _file(to_image(samples[0]) if samples.ndim == 4 and len(samples) == 1 else show(samples), form)


def draw(
    generate: Generate, latent_dim: int, order: ImageRequest, *, classes: Sequence[str] | None = None
) -> bytes:
    """The file that an order asks for.

    Raises:
        InputError: The label is none of the classes, or the samples are none that the format can show.
    """
    return encode(generate(order.latents(latent_dim), order.labels(classes)), order.format)


def _file(image: Image.Image, form: str) -> bytes:
    if form == "webp" and max(image.size) > WIDEST:
        raise InputError(
            f"A WebP has at most {WIDEST:,} pixels a side, and this image is {image.width:,} x "
            f"{image.height:,}; ask for png or zip, or for fewer at once."
        )
    file = io.BytesIO()
    image.save(file, format=form.upper(), **({"lossless": True} if form == "webp" else {}))
    return file.getvalue()


def _zipped(files: Sequence[bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for index, content in enumerate(files):
            # A date of its own would make two answers to the same order differ.
            archive.writestr(zipfile.ZipInfo(f"{index:05d}.png"), content)
    return whole.getvalue()


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _named(value: object) -> str:
    """A value as a sentence can carry it, however large it is."""
    if isinstance(value, str):
        return _shortened(repr(value[:41]))
    if isinstance(value, int) and abs(value) >= 2**64:
        return "a number of more than 64 bits"
    if value is None or isinstance(value, int | float):
        return "null" if value is None else repr(value)
    return "an object" if isinstance(value, Mapping) else "a list"


def _shortened(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."

"""Image requests and their responses, the same for a server, a Lambda function and Python.

A request is a JSON object: ``{"seed": 7, "count": 16, "format": "png"}``.
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
"""Formats of a response, and their media types."""
WIDEST = 2**14 - 1
"""Largest side of a WebP in pixels."""

_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]


@final
@dataclass(frozen=True)
class ImageRequest:
    """A request for images.

    Attributes:
        seed: Random seed in [0, 2^64). The first k images are the same for every count >= k.
        count: Number of images.
        label: Number or name of a class, for a generator with classes; None for every class in turn.
        truncation: Factor on the latents, in (0, 1]: smaller values give more typical, less diverse images.
        format: ``png`` and ``webp`` (lossless) are the image, or a grid of several; ``zip`` has one PNG each.
    """

    seed: int = 0
    count: int = 1
    label: int | str | None = None
    truncation: float = 1.0
    format: str = "png"

    @classmethod
    def parse(cls, value: object, *, max_count: int, classes: Sequence[str] | None = None) -> Self:
        """Parse a request.

        Args:
            value: A JSON value.
            max_count: The largest count.
            classes: Names of the generator's classes, if it has any.

        Raises:
            InputError: This is not a request; the message names the first problem.
        """
        if not isinstance(value, Mapping):
            raise InputError(f"An image request is a JSON object, not {_named(value)}.")
        known = [field.name for field in fields(cls)]
        if others := [name for name in value if name not in known]:
            raise InputError(f"An image request has no {_named(others[0])}; it has {', '.join(known)}.")
        request = cls(**value)
        request._check(max_count, classes)
        return request

    def _check(self, max_count: int, classes: Sequence[str] | None) -> None:
        if not _is_whole(self.seed) or not 0 <= self.seed < 2**64:
            raise InputError(f"seed must be a whole number in [0, 2^64), not {_named(self.seed)}.")
        if not _is_whole(self.count) or not 1 <= self.count <= max_count:
            raise InputError(f"count must be a whole number in [1, {max_count}], not {_named(self.count)}.")
        number = isinstance(self.truncation, int | float) and not isinstance(self.truncation, bool)
        if not number or not 0 < self.truncation <= 1:
            raise InputError(f"truncation must be a number in (0, 1], not {_named(self.truncation)}.")
        if not isinstance(self.format, str) or self.format not in MEDIA:
            raise InputError(f"format must be one of {', '.join(MEDIA)}, not {_named(self.format)}.")
        if self.label is not None:
            if not _is_whole(self.label) and not isinstance(self.label, str):
                raise InputError(f"label must be a class's name or number, not {_named(self.label)}.")
            class_number(self.label, classes)

    def latents(self, latent_dim: int) -> _Floats:
        """The latents (count, latent_dim) of this request."""
        return draw_latents(self.count, latent_dim, self.seed) * np.float32(self.truncation)

    def labels(self, classes: Sequence[str] | None) -> _Labels | None:
        """The labels (count,) of this request; None for a generator without classes.

        Raises:
            InputError: The label is not one of the classes.
        """
        if self.label is not None:
            return np.full(self.count, class_number(self.label, classes), np.int64)
        return None if classes is None else cycle_classes(self.count, len(classes))


def encode(samples: _Floats, kind: str) -> bytes:
    """Encode images (N, C, H, W) in [-1, 1], or vectors (N, d), as a file.

    Args:
        samples: N >= 1 samples.
        kind: A key of :data:`MEDIA`.

    Raises:
        InputError: The format needs images of 1 or 3 channels and these are not, or the image is too large
            for a WebP.
    """
    if kind == "zip":
        return _zipped([_file(to_image(sample), "png") for sample in samples])
    return _file(to_image(samples[0]) if samples.ndim == 4 and len(samples) == 1 else show(samples), kind)


def draw(
    generate: Callable[[_Floats, _Labels | None], _Floats],
    latent_dim: int,
    request: ImageRequest,
    *,
    classes: Sequence[str] | None = None,
) -> bytes:
    """Generate and encode the images of a request.

    Raises:
        InputError: The label is not one of the classes, or the format cannot show the samples.
    """
    return encode(generate(request.latents(latent_dim), request.labels(classes)), request.format)


def _file(image: Image.Image, kind: str) -> bytes:
    if kind == "webp" and max(image.size) > WIDEST:
        raise InputError(
            f"A WebP has at most {WIDEST:,} pixels a side, and this image is {image.width:,} x "
            f"{image.height:,}; request png or zip, or fewer images."
        )
    file = io.BytesIO()
    image.save(file, format=kind.upper(), **({"lossless": True} if kind == "webp" else {}))
    return file.getvalue()


def _zipped(files: Sequence[bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for index, content in enumerate(files):
            # A modification time would make two responses to the same request differ.
            archive.writestr(zipfile.ZipInfo(f"{index:05d}.png"), content)
    return whole.getvalue()


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _named(value: object) -> str:
    """A value of any size as a short text."""
    if isinstance(value, str):
        return _shortened(repr(value[:41]))
    if isinstance(value, int) and abs(value) >= 2**64:
        return "a number of more than 64 bits"
    if value is None or isinstance(value, int | float):
        return "null" if value is None else repr(value)
    return "an object" if isinstance(value, Mapping) else "a list"


def _shortened(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."

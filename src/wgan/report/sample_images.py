"""The run's sample images, embedded in the page within limits on their number and size."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import sqrt
from pathlib import Path
from typing import final

from PIL import Image

from wgan.report.numbers import evenly_spaced

STILLS, STILL_BYTES = 8, 100_000
"""Limits on the images shown side by side: their number, and the bytes of each."""
FRAMES, FRAME_BYTES = 40, 55_000
"""Limits on the frames of the animation: their number, and the bytes of each."""
LARGEST = 900
"""Longest side in pixels; larger images are shrunk."""
LEAST = 64
"""Side in pixels below which an image is not shrunk to save bytes."""
QUALITY = 80
"""WebP quality of recompressed images."""


@final
@dataclass(frozen=True)
class EmbeddedImage:
    """An image in the page.

    Attributes:
        step: Step after which it was drawn.
        uri: Data URI with the whole image.
        width: In pixels.
        height: In pixels.
    """

    step: int
    uri: str
    width: int
    height: int


@final
@dataclass(frozen=True)
class SampleImages:
    """Sample images over time.

    Attributes:
        stills: A few, evenly spaced, including the first and the last.
        frames: More of them, for the animation; none if there are fewer than two.
        count: How many the run has drawn.
    """

    stills: Sequence[EmbeddedImage]
    frames: Sequence[EmbeddedImage]
    count: int


def choose_images(paths: Sequence[Path]) -> SampleImages:
    """Choose and read images from files named by step, in step order; unreadable files are left out."""
    stills = _read(paths, STILLS, STILL_BYTES)
    frames = _read(paths, FRAMES, FRAME_BYTES) if len(paths) > 1 else []
    return SampleImages(stills, frames if len(frames) > 1 else [], len(paths))


def _read(paths: Sequence[Path], most: int, limit: int) -> list[EmbeddedImage]:
    chosen = [paths[index] for index in evenly_spaced(len(paths), most)]
    return [image for path in chosen if (image := _embed(path, limit)) is not None]


def _embed(path: Path, limit: int) -> EmbeddedImage | None:
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content), formats=["PNG"]) as file:
            file.load()  # a truncated file can be opened, too
            image = file if file.mode in ("L", "RGB") else file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    kind = "png"
    if len(content) > limit or max(image.size) > LARGEST:
        kind, (content, image) = "webp", _compress(image, limit)
    uri = f"data:image/{kind};base64,{b64encode(content).decode()}"
    return EmbeddedImage(int(path.stem), uri, *image.size)


def _compress(image: Image.Image, limit: int) -> tuple[bytes, Image.Image]:
    """The image as WebP of at most ``limit`` bytes, shrunk if necessary."""
    image.thumbnail((LARGEST, LARGEST))
    while True:
        buffer = BytesIO()
        image.save(buffer, format="WEBP", quality=QUALITY)
        if buffer.tell() <= limit or max(image.size) <= LEAST:
            return buffer.getvalue(), image
        factor = min(0.9 * sqrt(limit / buffer.tell()), 0.9)  # bytes are about proportional to the area
        image = image.resize([max(1, int(side * factor)) for side in image.size])

"""The run's images as parts of a page, no larger than a page can bear."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import sqrt
from pathlib import Path
from typing import final

from PIL import Image

from wgan.report.numbers import spread

STILLS, STILL_BYTES = 8, 100_000
"""Images shown beside each other, at most, and what each may weigh."""
FRAMES, FRAME_BYTES = 40, 55_000
"""Images of the animation, at most, and what each may weigh."""
LARGEST = 900
"""The longest side in pixels of what is made smaller."""
LEAST = 64
"""No image is made smaller than this for its weight."""
QUALITY = 80
"""Of what is made lighter, as WebP counts it."""


@final
@dataclass(frozen=True)
class Still:
    """An image in a page.

    Attributes:
        step: After how many steps it was drawn.
        uri: All of it.
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
    """Images over time.

    Attributes:
        stills: A few, evenly spread, the first and the last among them.
        frames: More of them, for the animation; none where there are not two.
        count: How many the run has drawn.
    """

    stills: Sequence[Still]
    frames: Sequence[Still]
    count: int


def choose_images(paths: Sequence[Path]) -> SampleImages:
    """Choose and read images; one that cannot be read is left out.

    Args:
        paths: Files named by their step, in step order.
    """
    stills = _read(paths, STILLS, STILL_BYTES)
    frames = _read(paths, FRAMES, FRAME_BYTES) if len(paths) > 1 else []
    return SampleImages(stills, frames if len(frames) > 1 else [], len(paths))


def _read(paths: Sequence[Path], most: int, limit: int) -> list[Still]:
    chosen = [paths[index] for index in spread(len(paths), most)]
    return [made for path in chosen if (made := _image(path, limit)) is not None]


def _image(path: Path, limit: int) -> Still | None:
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            image.load()  # a torn file opens, too
            whole = image if image.mode in ("L", "RGB") else image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    kind = "png"
    if len(content) > limit or max(whole.size) > LARGEST:
        kind, (content, whole) = "webp", _lighter(whole, limit)
    uri = f"data:image/{kind};base64,{b64encode(content).decode()}"
    return Still(int(path.stem), uri, *whole.size)


def _lighter(image: Image.Image, limit: int) -> tuple[bytes, Image.Image]:
    """The image as WebP of at most so many bytes, smaller if it has to be."""
    image.thumbnail((LARGEST, LARGEST))
    while True:
        buffer = BytesIO()
        image.save(buffer, format="WEBP", quality=QUALITY)
        if buffer.tell() <= limit or max(image.size) <= LEAST:
            return buffer.getvalue(), image
        factor = min(0.9 * sqrt(limit / buffer.tell()), 0.9)  # the weight goes with the area
        image = image.resize([max(1, int(side * factor)) for side in image.size])

"""Decoding: from an image file of any common format to bytes (C, H, W)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, final

import numpy as np

from wgan.data.reader import Array
from wgan.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm"}
    | {".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
"""Suffixes of image files, in any case; other files of a folder are ignored."""

DEFAULT_RESOLUTION = 64
"""The side of images of different sizes, if none is requested."""

_MAX_RESOLUTION = 8192
# Never PostScript: Pillow would pass a file of unknown origin to Ghostscript.
_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PCX"),
    *("PNG", "PPM", "TGA", "TIFF", "WEBP"),
)
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})


@final
@dataclass(frozen=True)
class ImageInfo:
    """What the header of an image file says: its size (width, height), and whether it can hold no colour."""

    size: tuple[int, int]
    grey: bool


def check_image_options(resolution: int | None, channels: int | None) -> None:
    """Refuse a resolution or a number of channels that no image can have.

    Raises:
        InputError: `resolution` is not an integer in 1..8192, or `channels` is neither 1 nor 3.
    """
    if resolution is not None and (type(resolution) is not int or not 1 <= resolution <= _MAX_RESOLUTION):
        raise InputError(
            f"resolution is {resolution!r}; it is the side of a square image in pixels: give an integer "
            f"from 1 to {_MAX_RESOLUTION}, such as 64."
        )
    if channels is not None and (type(channels) is not int or channels not in (1, 3)):
        raise InputError(f"channels is {channels!r}; images are grey or coloured: give 1 or 3.")


def read_image_info(file: IO[bytes]) -> ImageInfo:
    """Read the header of an image file.

    Raises:
        Exception: Any exception of Pillow's for a file that is no image.
    """
    with _open(file) as image:
        return ImageInfo(image.size, _is_grey(image))


def decode(file: IO[bytes], resolution: int | tuple[int, int], channels: int) -> Array:
    """Read an image: turned upright, on white where transparent, cropped around its centre, resized.

    16-bit greys are divided by 257; floats are read as 0..1 if they all are, else as 0..255.

    Args:
        file: An open image file; of an animation the first frame is read.
        resolution: The side of the square result in pixels, or its height and width.
        channels: 1 or 3.

    Returns:
        uint8 (channels, height, width).

    Raises:
        Exception: Any exception of Pillow's for a broken file.
    """
    from PIL import ImageOps

    with _open(file) as image:
        opaque = _as_grey_or_rgb(ImageOps.exif_transpose(image))
    height, width = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    pixels = np.asarray(_fit(opaque.convert("L" if channels == 1 else "RGB"), (width, height)))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def convert_images(images: Array, resolution: int | None, channels: int | None) -> Array:
    """Resize (centre square, antialiased) images in an array and change their channels.

    Args:
        images: (N, C, H, W), uint8 or float32 in [-1, 1].
        resolution: The new side, or None to keep the size.
        channels: 1, 3, or None to keep them.

    Returns:
        (N, channels, resolution, resolution), of the same dtype.
    """
    if channels is not None and channels != images.shape[1]:
        images = _grey(images) if channels == 1 else np.repeat(images, 3, axis=1)
    if resolution is None or images.shape[2:] == (resolution, resolution):
        return images
    return np.stack([_resize(image, resolution) for image in images])


def on_white(images: Array) -> Array:
    """Composite uint8 (N, 4, H, W) with alpha last on white: uint8 (N, 3, H, W)."""
    alpha = images[:, 3:].astype(np.float32) / 255
    return np.rint(images[:, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _open(file: IO[bytes]) -> Image.Image:
    from PIL import Image

    Image.init()
    return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])


def _is_grey(image: Image.Image) -> bool:
    if image.mode != "P":
        return image.mode in _GREY_MODES or image.mode.startswith("I;16")
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _as_grey_or_rgb(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB, composited on white."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _as_bytes(image)
    if not image.has_transparency_data:
        return image.convert("L" if image.mode in _GREY_MODES else "RGB")
    grey = _is_grey(image)
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("L" if grey else "RGB")


def _as_bytes(image: Image.Image) -> Image.Image:
    from PIL import Image

    levels = np.asarray(image).astype(np.float64)
    if not np.isfinite(levels).all():
        raise ValueError("not every pixel is a finite number")
    if image.mode != "F":
        levels = levels / 257
    elif levels.min() >= 0 and levels.max() <= 1:
        levels = levels * 255
    return Image.fromarray(np.rint(levels).clip(0, 255).astype(np.uint8))


def _fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL import Image, ImageOps

    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def _resize(image: Array, resolution: int) -> Array:
    from PIL import Image

    # One channel at a time: Pillow resizes floats only so, and bytes come out the same either way.
    size = (resolution, resolution)
    planes = [np.asarray(_fit(Image.fromarray(np.ascontiguousarray(plane)), size)) for plane in image]
    resized = np.stack(planes)
    return resized if resized.dtype == np.uint8 else resized.clip(-1, 1)  # Lanczos overshoots.


def _grey(images: Array) -> Array:
    weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's "L".
    grey: Array = np.einsum("nchw,c->nhw", images.astype(np.float32), weights)[:, None]
    return np.rint(grey).astype(np.uint8) if images.dtype == np.uint8 else grey.clip(-1, 1)

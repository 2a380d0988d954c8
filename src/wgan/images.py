"""Samples as images: a grid of images, a scatter plot of vectors, an animation."""

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from wgan.core.arrays import FloatArray
from wgan.core.files import write_atomically
from wgan.errors import InputError

CELL = 40
"""Least side of an image in a grid, in pixels; smaller images are magnified by a whole factor."""
GAP = 3
"""Pixels between and around the images of a grid, which keep dark images apart."""
GREY: dict[str, int | tuple[int, int, int]] = {"L": 96, "RGB": (96, 96, 96)}
"""Background of a grid, by image mode."""
CANVAS = 400
"""Side of a scatter plot, in pixels."""


def to_bytes(samples: FloatArray) -> npt.NDArray[np.uint8]:
    """Convert images in [-1, 1] to bytes: round((x + 1) * 127.5), clipped to 0..255; NaN becomes black."""
    bounded = np.clip(np.nan_to_num(samples, nan=-1.0), -1, 1)
    pixels: npt.NDArray[np.uint8] = np.rint((bounded + 1) * 127.5).astype(np.uint8)
    return pixels


def to_image(sample: FloatArray) -> Image.Image:
    """Convert one image (C, H, W) in [-1, 1], C = 1 or 3, to a PIL image.

    Raises:
        InputError: The sample has another number of channels or dimensions.
    """
    if sample.ndim != 3 or sample.shape[0] not in (1, 3):
        raise InputError(
            f"A sample of shape {sample.shape} is no image with 1 or 3 channels; save samples as .npz."
        )
    pixels = to_bytes(sample).transpose(1, 2, 0)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def grid(samples: FloatArray, columns: int | None = None) -> Image.Image:
    """Arrange images (N, C, H, W) in [-1, 1] row by row; near-square unless ``columns`` is given.

    Raises:
        InputError: There are no samples, or they have neither 1 nor 3 channels.
    """
    if len(samples) == 0:
        raise InputError("There are no samples to show.")
    columns = columns or ceil(sqrt(len(samples)))
    height, width = samples.shape[2:]
    factor = max(1, ceil(CELL / min(height, width)))
    cell = (width * factor, height * factor)
    across, down = cell[0] + GAP, cell[1] + GAP
    mode = "L" if samples.shape[1] == 1 else "RGB"
    size = (columns * across + GAP, ceil(len(samples) / columns) * down + GAP)
    sheet = Image.new(mode, size, GREY[mode])
    for index, sample in enumerate(samples):
        row, column = divmod(index, columns)
        tile = to_image(sample).resize(cell, Image.Resampling.NEAREST)
        sheet.paste(tile, (column * across + GAP, row * down + GAP))
    return sheet


def scatter(samples: FloatArray, reference: FloatArray | None = None) -> Image.Image:
    """Plot vectors (N, d) as red points, by their first two coordinates, over the reference (M, d) in grey.

    The axes span the reference where there is one, so that outliers do not change the scale.
    """
    sheet = Image.new("RGB", (CANVAS, CANVAS), "white")
    frame = samples if reference is None else reference
    low, high = float(frame.min()), float(frame.max())
    margin = 0.1 * (high - low or 1.0)
    for points, colour in ((reference, (160, 160, 160)), (samples, (209, 73, 91))):
        if points is not None:
            _draw_points(sheet, (points - (low - margin)) / (high - low + 2 * margin), colour)
    return sheet


def _draw_points(sheet: Image.Image, places: FloatArray, colour: tuple[int, int, int]) -> None:
    # A plotting library takes longer for one image than many steps of a small run.
    draw = ImageDraw.Draw(sheet)
    across, up = places[:, 0], places[:, -1 if places.shape[1] == 1 else 1]
    for x, y in zip(across * CANVAS, (1 - up) * CANVAS, strict=True):
        if 0 <= x < CANVAS and 0 <= y < CANVAS:
            draw.rectangle((x - 1, y - 1, x + 1, y + 1), fill=colour)


def show(samples: FloatArray, reference: FloatArray | None = None, columns: int | None = None) -> Image.Image:
    """Draw samples as one image: images as a grid, vectors as a scatter plot over the reference."""
    return grid(samples, columns) if samples.ndim == 4 else scatter(samples, reference)


def write_png(path: Path, image: Image.Image) -> None:
    """Write an image as PNG, atomically.

    Raises:
        StorageError: The file cannot be written.
    """
    write_atomically(path, lambda file: image.save(file, format="PNG"))


def animation(frames: Sequence[Image.Image], path: Path, *, seconds: float = 0.2) -> None:
    """Write images as an endless GIF that holds the last frame for two seconds.

    Args:
        frames: At least one image, all of the same size.
        path: A path that ends in .gif.
        seconds: Duration of each frame, in [0.01, 600]; a GIF counts hundredths of seconds.

    Raises:
        InputError: An argument is out of its range.
        StorageError: The file cannot be written.
    """
    if path.suffix.lower() != ".gif":
        raise InputError(f"An animation is a GIF, and {path} does not end in .gif.")
    if not 0.01 <= seconds <= 600:
        raise InputError(f"seconds must be in [0.01, 600], not {seconds}.")
    if len({frame.size for frame in frames}) != 1:
        raise InputError("An animation needs at least one frame, and all frames of one size.")
    durations = [round(seconds * 1000)] * (len(frames) - 1) + [2000]
    first, *rest = frames
    write_atomically(
        path,
        lambda file: first.save(
            file, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0, disposal=1
        ),
    )

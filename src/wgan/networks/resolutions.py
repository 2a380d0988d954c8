"""The sizes (H, W) and channels that convolutional and residual networks go through."""

from collections.abc import Sequence

from wgan.errors import InputError
from wgan.networks.layers import check_shape

Size = tuple[int, int]

SMALLEST_SIDE = 4
ATTENTION_SIDE = 32
"""The largest side at which attention between all positions fits into a reasonable amount of memory."""


def image_size(shape: Sequence[int], kind: str, *, smallest: int) -> Size:
    """Return (H, W) of a shape (C, H, W), for a ``kind`` of network that takes sides from ``smallest`` on.

    Raises:
        InputError: The shape is not an image's, or a side is not a multiple of 4 or below ``smallest``.
    """
    if len(shape) != 3:
        raise InputError(
            f"A {kind} works on images (C, H, W), not on samples of shape {tuple(shape)}; use an MLP."
        )
    _, height, width = check_shape(shape)
    if height % 4 or width % 4 or min(height, width) < smallest:
        raise InputError(
            f"A {kind} needs a height and width that are multiples of 4 and at least {smallest}, not "
            f"{height}x{width}; resize with resolution={max(smallest, round(height / 4) * 4)}, or use an MLP."
        )
    return height, width


def halved_sizes(shape: Sequence[int]) -> list[Size]:
    """Return the sizes of a residual network, largest first: halves down to an odd side or one of 4 to 7.

    Raises:
        InputError: The shape is not an image's, or a side is not a multiple of 4 or below 8.
    """
    sizes = [image_size(shape, "residual network", smallest=2 * SMALLEST_SIDE)]
    while all(side % 2 == 0 and side >= 2 * SMALLEST_SIDE for side in sizes[-1]):
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def attention_size(sizes: Sequence[Size]) -> Size:
    """Return the size that gets self-attention: the largest below the image's with sides of at most 32.

    Source: Zhang et al. 2019, table 1: 32 x 32 is best in images of 128 x 128.
    """
    return next((size for size in sizes[1:] if max(size) <= ATTENTION_SIDE), sizes[-1])


def channels_per_size(width: int, count: int, max_multiplier: int) -> list[int]:
    """Return the channels at ``count`` sizes, largest first: ``width``, doubling, up to a multiple of it."""
    return [width * min(2**depth, max_multiplier) for depth in range(count)]

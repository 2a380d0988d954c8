"""The sizes that residual networks go through, and how wide they are there."""

from collections.abc import Sequence

from wgan.errors import InputError
from wgan.networks.layers import check_shape

Size = tuple[int, int]

SMALLEST_SIDE = 4
ATTENDED = 32
"""The largest side at which every position can look at every other in reasonable memory."""


def scales(shape: Sequence[int]) -> list[Size]:
    """The sizes (H, W), largest first, each half of the last, down to an odd side or one of 4 to 7.

    Args:
        shape: (C, H, W).

    Raises:
        InputError: The shape is not an image's, or a side is not a multiple of 4 or below 8.
    """
    if len(shape) != 3:
        raise InputError(
            f"A residual network works on images (C, H, W), not on samples of shape {tuple(shape)}; "
            "use an MLP."
        )
    _, height, breadth = check_shape(shape)
    if height % 4 or breadth % 4 or min(height, breadth) < 2 * SMALLEST_SIDE:
        raise InputError(
            "A residual network needs a height and width that are multiples of 4 and at least 8, not "
            f"{height}x{breadth}; resize with resolution={max(8, round(height / 4) * 4)}, or use an MLP."
        )
    sizes = [(height, breadth)]
    while all(side % 2 == 0 and side >= 2 * SMALLEST_SIDE for side in sizes[-1]):
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def attended(sizes: Sequence[Size]) -> Size:
    """Where self-attention stands: the largest size below the image's with sides of at most 32.

    Zhang et al. 2019, table 1, find 32 x 32 the best place in images of 128 x 128.
    """
    return next((size for size in sizes[1:] if max(size) <= ATTENDED), sizes[-1])


def widths(width: int, count: int, widest: int) -> list[int]:
    """Channels at each of ``count`` sizes, largest first: doubling, at most ``widest`` times ``width``."""
    return [width * min(2**depth, widest) for depth in range(count)]

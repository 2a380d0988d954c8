"""Reading files of latents and of samples to invert."""

import zipfile
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from wgan.core.arrays import AnyArray, FloatArray
from wgan.data import read_arrays
from wgan.data.decoding import decode
from wgan.errors import InputError


def read_archive(path: Path, dimensions: Mapping[str, int]) -> dict[str, AnyArray]:
    """Read the arrays of a .npz file.

    Args:
        path: The file.
        dimensions: Number of dimensions of the arrays, of finite numbers, that the file must hold, by name.

    Raises:
        InputError: There is no such file, or it has other contents.
    """
    try:
        # Opened here: NumPy does not close its own handle if the file is not an archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    # A .npy file of this name is loaded as an array, which is not a context manager: TypeError.
    except (OSError, ValueError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a .npz file of numbers: {error}.") from error
    for name, ndim in dimensions.items():
        array = arrays.get(name)
        numbers = array is not None and array.dtype.kind in "iuf" and np.isfinite(array).all()
        if array is None or not numbers or array.ndim != ndim:
            raise InputError(
                f"{path} holds no {ndim}-dimensional array `{name}` of finite numbers, but "
                f"{', '.join(arrays) or 'nothing'}."
            )
    return arrays


def read_latents(path: str | PathLike[str]) -> tuple[FloatArray, AnyArray | None]:
    """Read latents (N, latent_dim), and labels if any, from a .npz file of `wgan sample` or `wgan invert`.

    Raises:
        InputError: There is no such file, or it holds no latents.
    """
    arrays = read_archive(Path(path), {"latents": 2})
    return arrays["latents"].astype(np.float32), arrays.get("labels")


def read_samples(path: str | PathLike[str], shape: tuple[int, ...]) -> FloatArray:
    r"""Read samples (N, \*shape) with a generator's range of values: images in [-1, 1].

    Args:
        path: An image, which is cropped, resized and converted to grey or RGB; or a .npz or .npy file of
            samples of exactly this shape, floats or, for images, bytes.
        shape: Shape of one sample.

    Raises:
        InputError: It cannot be read, or has other contents.
    """
    path = Path(path)
    if path.suffix.lower() in (".npz", ".npy"):
        return _fitting(read_arrays(path)[0], shape, path)
    if len(shape) != 3:
        raise InputError(f"{path} is no .npz or .npy file, and this generator makes no images but vectors.")
    try:
        with path.open("rb") as file:
            pixels = decode(file, (shape[1], shape[2]), shape[0])
    except Exception as error:  # Pillow raises anything for a file that is not an image
        reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        raise InputError(
            f"{path} cannot be read as an image{reason}; give a PNG, a JPEG or the like."
        ) from error
    return pixels[None].astype(np.float32) / 127.5 - 1


def _fitting(array: AnyArray, shape: tuple[int, ...], path: Path) -> FloatArray:
    if array.shape[1:] != shape or len(array) == 0:
        sides = ", ".join(map(str, shape))
        raise InputError(
            f"{path} holds an array of shape {array.shape}; samples of this run are (N, {sides})."
        )
    if array.dtype == np.uint8 and len(shape) == 3:
        return array.astype(np.float32) / 127.5 - 1
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise InputError(f"{path} does not hold finite floats, nor images in bytes, but {array.dtype}.")
    return array.astype(np.float32)

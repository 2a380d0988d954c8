"""Files that go in: latents that were kept, and samples whose latents are looked for."""

import zipfile
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wgan.data import read_arrays
from wgan.data.decoding import decode
from wgan.errors import InputError

Floats = npt.NDArray[np.float32]


def read_archive(path: Path, wanted: Mapping[str, int]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a .npz file.

    Args:
        path: The file.
        wanted: Names that have to be there, of arrays of finite numbers with so many dimensions.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    try:
        # Opened here: NumPy leaves its own handle open when the file is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    # A .npy file under this name comes back as an array, which is no context manager: TypeError.
    except (OSError, ValueError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a .npz file of numbers: {error}.") from error
    for name, dimensions in wanted.items():
        found = arrays.get(name)
        numbers = found is not None and found.dtype.kind in "iuf" and np.isfinite(found).all()
        if found is None or not numbers or found.ndim != dimensions:
            raise InputError(
                f"{path} holds no {dimensions}-dimensional array `{name}` of finite numbers, but "
                f"{', '.join(arrays) or 'nothing'}."
            )
    return arrays


def read_latents(path: str | PathLike[str]) -> tuple[Floats, npt.NDArray[Any] | None]:
    """The latents (N, latent_dim) of a .npz file of `wgan sample` or `wgan invert`, and their labels, if any.

    Raises:
        InputError: There is no such file, or it holds none.
    """
    arrays = read_archive(Path(path), {"latents": 2})
    return arrays["latents"].astype(np.float32), arrays.get("labels")


def read_samples(path: str | PathLike[str], shape: tuple[int, ...]) -> Floats:
    r"""Samples (N, \*shape) as a generator of this shape makes them: images in [-1, 1].

    Args:
        path: An image, which is cropped and resized and made grey or coloured as need be; or a .npz or .npy
            file of samples of just this shape, floats or, for images, bytes.
        shape: Of one sample.

    Raises:
        InputError: It cannot be read, or is something else.
    """
    path = Path(path)
    if path.suffix.lower() in (".npz", ".npy"):
        return _fitting(read_arrays(path)[0], shape, path)
    if len(shape) != 3:
        raise InputError(f"{path} is no .npz or .npy file, and this generator makes no images but vectors.")
    try:
        with path.open("rb") as file:
            pixels = decode(file, (shape[1], shape[2]), shape[0])
    except Exception as error:  # whatever Pillow makes of a file that is no image
        reason = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        raise InputError(
            f"{path} cannot be read as an image{reason}; give a PNG, a JPEG or the like."
        ) from error
    return pixels[None].astype(np.float32) / 127.5 - 1


def _fitting(given: npt.NDArray[Any], shape: tuple[int, ...], path: Path) -> Floats:
    if given.shape[1:] != shape or len(given) == 0:
        wanted = ", ".join(map(str, shape))
        raise InputError(
            f"{path} holds an array of shape {given.shape}; samples of this run are (N, {wanted})."
        )
    if given.dtype == np.uint8 and len(shape) == 3:
        return given.astype(np.float32) / 127.5 - 1
    if given.dtype.kind != "f" or not np.isfinite(given).all():
        raise InputError(f"{path} does not hold finite floats, nor images in bytes, but {given.dtype}.")
    return given.astype(np.float32)

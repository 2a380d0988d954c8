"""Datasets of arrays, tensors, and NumPy's files."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wgan.data.cache import concatenate, materialize, memory_budget, read_digest, write_digest
from wgan.data.dataset import MIN_SAMPLES, Dataset, assemble
from wgan.data.decoding import check_image_options, convert_images, on_white
from wgan.data.reader import Array, Chunk, DatasetReader, DatasetSpec, digest_of, key_of, shard_count
from wgan.data.storage import MappedSamples, Memmap, Storage, in_memory, slices
from wgan.errors import InputError

Labels = npt.NDArray[Any] | Tensor | Sequence[int] | Sequence[float]

_SAMPLE_NAMES = ("samples", "images", "x", "data", "arr_0")
_LABEL_NAMES = ("labels", "y")
_CONVERTING = 1  # Raise it when `Conversion.convert` returns something else: datasets are then read again.
_LAYOUTS = (
    "(N, d) for vectors; (N, H, W), (N, C, H, W) or (N, H, W, C) with C = 1 or 3 (4 for bytes with alpha) "
    "for images"
)


@final
@dataclass(frozen=True)
class Conversion:
    """How an array becomes samples.

    Attributes:
        shape: The shape of one sample.
        dtype: uint8 or float32.
        arrange: Turns a slice of the array into a view (n, d) or (n, C, H, W).
        convert: Turns such a view into samples.
        as_is: Whether `convert` changes nothing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    arrange: Callable[[Array], Array]
    convert: Callable[[Array], Array]
    as_is: bool

    def chunks(self, array: Array) -> Iterator[Chunk]:
        """The samples of an array, about 64 MiB of it at a time."""
        for _, part in slices(array):
            yield Chunk(self.convert(self.arrange(part)))


@final
@dataclass(frozen=True, eq=False)
class ArrayReader(DatasetReader):
    """The samples of a .npy file, in the layouts of `from_array`.

    Attributes:
        path: The file.
        resolution: Images are cropped to their centre square and resized to this side.
        channels: Images are converted to grey (1) or colour (3).
    """

    path: Path
    resolution: int | None = None
    channels: int | None = None

    @property
    def origin(self) -> str:
        """The file's path."""
        return str(self.path)

    @property
    def key(self) -> str:
        """A hash of the file's location, size and date."""
        status = self.path.stat()
        stamp = str(self.path.resolve()), status.st_size, status.st_mtime_ns
        return key_of(_CONVERTING, *stamp, self.resolution, self.channels)

    @cached_property
    def spec(self) -> DatasetSpec:
        """The spec, after all values have been read and checked."""
        array, conversion = self._open()
        _check_values(array, conversion, self.origin)
        size = len(array) * math.prod(conversion.shape) * conversion.dtype.itemsize
        return DatasetSpec(conversion.shape, conversion.dtype.name, len(array), shard_count(size))

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """The samples, about 64 MiB of the file at a time."""
        array, conversion = self._open()
        rows = spec.shard_rows(shard)
        return conversion.chunks(array[rows.start : rows.stop])

    def _open(self) -> tuple[Memmap, Conversion]:
        array = _map_npy(self.path)
        return array, plan_conversion(array, self.resolution, self.channels, self.origin)


def from_array(
    array: npt.NDArray[Any] | Tensor,
    *,
    labels: Labels | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    memory_limit: int | None = None,
    name: str = "array",
) -> Dataset:
    """A dataset of the samples in an array or a tensor, which is copied.

    Layouts: (N, d) are vectors, of any real type, stored as float32. (N, H, W), (N, C, H, W) and
    (N, H, W, C) are images with C = 1 or 3, or 4 for bytes with alpha, which are composited on white; if
    both of the last two fit, channels come first. Images are integers 0..255 or floats in [-1, 1].

    Args:
        array: The samples, 8 or more.
        labels: Classes, integers (N,) counted from 0; or attributes, floats (N, k).
        resolution: Images are cropped to their centre square and resized to this side.
        channels: Images are converted to grey (1) or colour (3).
        memory_limit: The most bytes of a mapped array that are read into memory (see `from_file`).
        name: The dataset's name.

    Raises:
        InputError: A type, shape, range or value is unusable; the message says which.

    Warns:
        UserWarning: Float images all lie in [0, 1]: probably they should be scaled to [-1, 1].
    """
    values = _as_numpy(array, name)
    if isinstance(values, np.memmap) and values.nbytes > memory_budget(memory_limit):
        raise InputError(
            f"{name} is a mapped array larger than the memory budget: give the path of its .npy file, "
            "which is then mapped, or raise memory_limit."
        )
    conversion = plan_conversion(values, resolution, channels, name)
    checked = check_labels(labels, len(values), name)
    _check_values(values, conversion, name)
    storage = concatenate(conversion.chunks(values), len(values), conversion.shape, conversion.dtype)
    return assemble(storage, name=name, labels=checked)


def from_file(
    path: str | Path,
    *,
    labels: Labels | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    memory_limit: int | None = None,
) -> Dataset:
    """A dataset of the samples in a .npy or .npz file, in the layouts of `from_array`.

    A .npy file of more than `memory_limit` bytes (a quarter of the memory where None) is mapped: in place if
    its samples need no conversion, else converted once into shards in the user's cache. A .npz file, being
    compressed, is always read into memory; its samples are the array named samples, images, x, data or
    arr_0, or the only one; its labels the array named labels or y, if any.

    Raises:
        InputError: There is no such file, it cannot be read, or `from_array` refuses its content.
        StorageError: The cache is needed and cannot be written to.
    """
    file, name = Path(path), str(path)
    array, own_labels = read_arrays(file)
    if not isinstance(array, np.memmap):
        labels = own_labels if labels is None else labels
        return from_array(array, labels=labels, resolution=resolution, channels=channels, name=name)
    limit = memory_budget(memory_limit)
    conversion = plan_conversion(array, resolution, channels, name)
    checked = check_labels(labels, len(array), name)
    # In Fortran order a sample is spread over the whole file.
    if conversion.as_is and array.flags.c_contiguous and array.nbytes > limit:
        storage = Storage(MappedSamples([array], conversion.arrange), _cached_digest(file, array, conversion))
    else:
        storage = materialize(ArrayReader(file, resolution, channels), limit)
    return assemble(storage, name=name, labels=checked)


def read_arrays(file: Path) -> tuple[Array, Array | None]:
    """The samples of a .npz file and its labels, if any, or those of a .npy file, mapped; unconverted.

    Raises:
        InputError: There is no such file, it cannot be read, or it is unclear which array holds the samples
            (see `from_file`).
    """
    if not file.is_file():
        raise InputError(f"There is no file '{file}': give the path of a .npy or .npz file.")
    return _read_npz(file) if file.suffix.lower() == ".npz" else (_map_npy(file), None)


def convert_dataset(
    dataset: Dataset, resolution: int | None, channels: int | None, memory_limit: int | None = None
) -> Dataset:
    """A dataset in memory, with its images resized or their channels converted; the split is the same.

    Raises:
        InputError: The dataset holds vectors, or the result is larger than the memory budget.
    """
    check_image_options(resolution, channels)
    if resolution is None and channels is None:
        return dataset
    if not dataset.image:
        raise _not_images(dataset.name)
    assert isinstance(dataset.train.storage, Tensor)
    images = dataset.train.storage.numpy()
    height, width = (resolution, resolution) if resolution else images.shape[2:]
    size = len(images) * (channels or images.shape[1]) * height * width * images.itemsize
    if size > memory_budget(memory_limit):
        raise InputError(
            f"{dataset.name} as {len(images):,} images of {height} x {width} is larger than the memory "
            "budget: give a lower resolution."
        )
    return assemble(
        in_memory(np.ascontiguousarray(convert_images(images, resolution, channels))),
        name=dataset.name,
        labels=dataset.train.labels,
        classes=dataset.classes,
        rows=(dataset.train.rows, dataset.held_out.rows),
    )


def plan_conversion(array: Array, resolution: int | None, channels: int | None, name: str) -> Conversion:
    """Decide how an array becomes samples, from its dtype and shape alone.

    Raises:
        InputError: It cannot.
    """
    check_image_options(resolution, channels)
    _check_layout(array, name)
    if array.ndim == 2 and resolution is None and channels is None:
        as_is = array.dtype == np.float32 and array.dtype.isnative
        return Conversion(array.shape[1:], np.dtype(np.float32), lambda part: part, _as_float32, as_is)
    if array.ndim == 2:
        raise _not_images(name)
    return _plan_images(array, resolution, channels, name)


def check_labels(labels: Labels | None, count: int, name: str) -> Tensor | None:
    """The labels of `count` samples: classes, int64 (count,); attributes, float32 (count, k); None for None.

    Raises:
        InputError: `labels` are neither, not one a sample, not finite, negative, or numbered with wide gaps.
    """
    if labels is None:
        return None
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.dtype.kind == "f":
        return _attributes(values, count, name)
    if values.dtype.kind not in "iu":
        raise InputError(
            f"The labels of {name} are of type {values.dtype}; give classes as integers "
            "counted from 0, or attributes as floats."
        )
    if values.shape != (count,):
        raise InputError(f"The labels of {name} have shape {values.shape}; give one a sample: ({count},).")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= count:
        raise InputError(
            f"The labels of {name} run from {low} to {high}, for {count} samples; classes are counted from "
            "0 without gaps: renumber them, for example by np.unique(labels, return_inverse=True)[1]."
        )
    return torch.from_numpy(values.astype(np.int64))


def _as_numpy(array: npt.NDArray[Any] | Tensor, name: str) -> Array:
    if not isinstance(array, Tensor):
        return array
    if array.layout != torch.strided or array.is_quantized:
        raise InputError(f"{name} is a sparse or quantised tensor: make it dense, tensor.to_dense() does.")
    dense = array.detach().cpu()
    return (dense.float() if dense.dtype == torch.bfloat16 else dense).numpy()


def _attributes(values: Array, count: int, name: str) -> Tensor:
    columns = values[:, None] if values.ndim == 1 else values
    if columns.ndim != 2 or len(columns) != count or columns.shape[1] == 0:
        raise InputError(
            f"The attributes of {name} have shape {values.shape}; give the same few for each sample: "
            f"({count}, k)."
        )
    if not np.isfinite(columns).all():
        raise InputError(f"The attributes of {name} hold NaN or infinity: remove or repair those samples.")
    return torch.from_numpy(columns.astype(np.float32))


def _check_layout(array: Array, name: str) -> None:
    kind = array.dtype.kind
    if kind == "b":
        raise InputError(
            f"{name} holds booleans, which are neither bytes nor numbers one can interpolate: give "
            "array.astype(np.uint8) * 255 for images, astype(np.float32) for vectors."
        )
    if kind not in "iuf":
        raise InputError(f"{name} holds values of type {array.dtype}: give real numbers, bytes or floats.")
    if array.ndim not in (2, 3, 4):
        raise InputError(f"{name} has shape {array.shape}, {array.ndim} dimensions; give {_LAYOUTS}.")
    if len(array) < MIN_SAMPLES:
        raise InputError(
            f"{name} holds {len(array)} samples, too few to train on some and hold others out: give at "
            f"least {MIN_SAMPLES}."
        )
    if 0 in array.shape:
        raise InputError(f"{name} has shape {array.shape}: its samples are empty; give {_LAYOUTS}.")


def _not_images(name: str) -> InputError:
    return InputError(f"{name} holds vectors, which have neither resolution nor channels: leave both out.")


def _plan_images(array: Array, resolution: int | None, channels: int | None, name: str) -> Conversion:
    first = _channels_first(array.shape, name)
    depth, height, width = _as_nchw(array[:1], first).shape[1:]
    real = array.dtype.kind == "f"
    if depth == 4 and array.dtype != np.uint8:
        raise InputError(f"{name} has 4 channels of type {array.dtype}; alpha is supported in bytes only.")

    def convert(part: Array) -> Array:
        part = _as_float32(part) if real else part.astype(np.uint8, copy=False)
        return convert_images(on_white(part) if depth == 4 else part, resolution, channels)

    size = (resolution, resolution) if resolution else (height, width)
    shape = (channels or min(depth, 3), *size)
    dtype = np.dtype(np.float32 if real else np.uint8)
    as_is = array.dtype == dtype and array.dtype.isnative and shape == (depth, height, width)
    return Conversion(shape, dtype, lambda part: _as_nchw(part, first), convert, as_is)


def _channels_first(shape: tuple[int, ...], name: str) -> bool:
    if len(shape) == 3:
        return True
    for depths in ((1, 3), (4,)):
        if shape[1] in depths:
            return True
        if shape[3] in depths:
            return False
    raise InputError(f"{name} has shape {shape}, where no dimension can be the channels; give {_LAYOUTS}.")


def _as_nchw(part: Array, channels_first: bool) -> Array:
    if part.ndim == 3:
        return part[:, None]
    return part if channels_first else part.transpose(0, 3, 1, 2)


def _as_float32(part: Array) -> Array:
    with np.errstate(over="ignore"):  # Numbers that are too large become infinite, which is refused.
        return part.astype(np.float32, copy=False)


def _check_values(array: Array, conversion: Conversion, name: str) -> None:
    """Refuse values that are not finite, or out of the range of images."""
    if array.dtype == np.uint8:
        return
    if array.dtype.kind == "f":
        _check_finite(array, name)
    if len(conversion.shape) == 3:
        low = min(float(part.min()) for _, part in slices(array))
        high = max(float(part.max()) for _, part in slices(array))
        _check_range(low, high, array.dtype, name)


def _check_finite(array: Array, name: str) -> None:
    bad: list[int] = []
    for start, part in slices(array):
        finite = np.isfinite(_as_float32(part)).all(axis=tuple(range(1, part.ndim)))
        bad += (start + np.flatnonzero(~finite)).tolist()
    if bad:
        raise InputError(
            f"{len(bad)} of the {len(array)} samples of {name} hold NaN, infinity or a number too large for "
            f"float32, the first at index {bad[0]}: remove or repair them."
        )


def _check_range(low: float, high: float, dtype: np.dtype[Any], name: str) -> None:
    summary = f"{name} holds images of type {dtype} with values from {low:g} to {high:g}"
    if dtype.kind != "f":
        if low < 0 or high > 255:
            raise InputError(f"{summary}; integers must lie in 0..255: scale them to bytes first.")
    elif low < -1 or high > 1:
        raise InputError(
            f"{summary}; floats must lie in [-1, 1]: give images / 127.5 - 1 if they run from 0 to 255 "
            "(or bytes), 2 * images - 1 if from 0 to 1."
        )
    elif low >= 0:
        warnings.warn(
            f"{summary}, and is not rescaled: images run from -1 to 1. If 0 is black, give 2 * images - 1.",
            UserWarning,
            stacklevel=2,
        )


def _map_npy(file: Path) -> Memmap:
    """Map a .npy file, copying on write; this also checks that it is as long as its header says."""
    try:
        return np.lib.format.open_memmap(file, mode="c")
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise InputError(
            f"'{file}' cannot be read as a .npy file of numbers ({error}): write it again with np.save."
        ) from None


def _read_npz(file: Path) -> tuple[Array, Array | None]:
    try:
        # Opened here: NumPy leaves its own handle open when the file is no archive.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            samples, labels = _npz_names(list(archive.files), file)
            return archive[samples], archive[labels] if labels else None
    except InputError:
        raise
    # A .npy file under this name is loaded as an array, which is no context manager: TypeError.
    except (OSError, ValueError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"'{file}' cannot be read as a .npz file of numbers ({error}): write it again with np.savez."
        ) from None


def _npz_names(names: list[str], file: Path) -> tuple[str, str | None]:
    labels = next((name for name in _LABEL_NAMES if name in names), None)
    others = [name for name in names if name != labels]
    known = [name for name in _SAMPLE_NAMES if name in others]
    if not known and len(others) != 1:
        raise InputError(
            f"'{file}' holds the arrays {names}, and it is not clear which are the samples: name that "
            "one 'samples' (and their labels 'labels')."
        )
    return (known or others)[0], labels


def _cached_digest(file: Path, array: Array, conversion: Conversion) -> str:
    """The digest of a mapped file, which is read and checked once and cached by its size and date."""
    key = ArrayReader(file).key
    digest = read_digest(key)
    if digest is None:
        _check_values(array, conversion, str(file))
        digest = digest_of(conversion.arrange(part) for _, part in slices(array))
        write_digest(key, digest)
    return digest

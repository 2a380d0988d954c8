"""Arrays, tensors, and the files NumPy writes."""

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

from wgan.data.cache import gather, keep, memory_budget, recollect, remember
from wgan.data.dataset import MINIMUM, Dataset, assemble
from wgan.data.decoding import check_fit, on_white, refit
from wgan.data.reader import Array, Chunk, DatasetReader, DatasetSpec, digest_of, key_of, shards_for
from wgan.data.storage import File, Mapped, Storage, in_memory, pieces
from wgan.errors import InputError

Labels = npt.NDArray[Any] | Tensor | Sequence[int] | Sequence[float]

_SAMPLE_NAMES = ("samples", "images", "x", "data", "arr_0")
_LABEL_NAMES = ("labels", "y")
_CONVERTING = 1  # Raise it when `Plan.convert` changes what it returns: cached sets are then made again.
_LAYOUTS = (
    "(N, d) for vectors; (N, H, W), (N, C, H, W) or (N, H, W, C) with C = 1 or 3 (4 for bytes with alpha) "
    "for images"
)


@final
@dataclass(frozen=True)
class Plan:
    """How an array becomes samples.

    Attributes:
        shape: of one sample, in the end.
        dtype: uint8 or float32, in the end.
        arrange: a view of a block of the array as (n, d) or (n, C, H, W).
        convert: a block so arranged in its final form.
        as_is: whether `convert` changes nothing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    arrange: Callable[[Array], Array]
    convert: Callable[[Array], Array]
    as_is: bool


@final
@dataclass(frozen=True, eq=False)
class ArrayReader(DatasetReader):
    """The samples of a .npy file; layouts are those of `from_array`.

    Attributes:
        path: the file.
        resolution: images are cropped to their centre square and resized to this side.
        channels: images are made grey (1) or coloured (3).
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
        """Made from the file's place, size and date."""
        status = self.path.stat()
        stamp = str(self.path.resolve()), status.st_size, status.st_mtime_ns
        return key_of(_CONVERTING, *stamp, self.resolution, self.channels)

    @cached_property
    def spec(self) -> DatasetSpec:
        """Found by reading the file through, once: not every value can be trained on."""
        array, plan = self._opened()
        _survey(array, plan, self.origin)
        size = len(array) * math.prod(plan.shape) * plan.dtype.itemsize
        return DatasetSpec(plan.shape, plan.dtype.name, len(array), shards_for(size))

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """Some 64 MiB of the file at a time."""
        array, plan = self._opened()
        span = spec.span(shard)
        return _blocks(array[span.start : span.stop], plan)

    def _opened(self) -> tuple[File, Plan]:
        array = _map_npy(self.path)
        return array, plan_for(array, self.resolution, self.channels, self.origin)


def from_array(
    array: npt.NDArray[Any] | Tensor,
    *,
    labels: Labels | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    memory_limit: int | None = None,
    name: str = "array",
) -> Dataset:
    """A source of samples given as an array or a tensor; they are copied.

    Layouts: (N, d) are vectors, of any real type, kept as float32. (N, H, W), (N, C, H, W) and
    (N, H, W, C) are images, C being 1 or 3, or 4 for bytes with alpha, which are put on white; where
    both of the last two fit, channels come first. Images are integers 0..255 or floats in [-1, 1].

    Args:
        array: the samples, 8 or more.
        labels: classes, integers (N,) counted from 0; or attributes, floats (N, k).
        resolution: images are cropped to their centre square and resized to this side.
        channels: images are made grey (1) or coloured (3).
        memory_limit: most bytes of a mapped array that are read into memory (see `from_file`).
        name: the source's name.

    Raises:
        InputError: a type, shape, range or value that cannot be trained on; the message says which.

    Warns:
        UserWarning: float images that all lie in [0, 1]: probably meant to be scaled to [-1, 1].
    """
    values = _as_numpy(array, name)
    if isinstance(values, np.memmap) and values.nbytes > memory_budget(memory_limit):
        raise InputError(
            f"{name} is a mapped array larger than the memory budget: give the path of its .npy file, "
            f"which is then mapped, or raise memory_limit."
        )
    plan = plan_for(values, resolution, channels, name)
    checked = check_labels(labels, len(values), name)
    _survey(values, plan, name)
    stored = gather(_blocks(values, plan), len(values), plan.shape, plan.dtype)
    return assemble(stored, name=name, labels=checked)


def from_file(
    path: str | Path,
    *,
    labels: Labels | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    memory_limit: int | None = None,
) -> Dataset:
    """A source of samples in a .npy or .npz file; layouts are those of `from_array`.

    A .npy file of more than `memory_limit` bytes (a quarter of the memory where None) is mapped: in
    place if its samples need no conversion, else converted once into a pack in the user's cache. A
    .npz file, being compressed, is always read into memory; its samples are the array named samples,
    images, x, data or arr_0, or the only one; its labels those named labels or y, if any.

    Raises:
        InputError: no such file, one that cannot be read, or what `from_array` refuses.
        StorageError: the cache is needed and cannot be written to.
    """
    file, name = Path(path), str(path)
    mapped, own = read_arrays(file)
    if not isinstance(mapped, np.memmap):
        chosen = own if labels is None else labels
        return from_array(mapped, labels=chosen, resolution=resolution, channels=channels, name=name)
    limit = memory_budget(memory_limit)
    plan = plan_for(mapped, resolution, channels, name)
    checked = check_labels(labels, len(mapped), name)
    # In Fortran's order a sample is spread over the whole file.
    if plan.as_is and mapped.flags.c_contiguous and mapped.nbytes > limit:
        stored = Storage(Mapped([mapped], plan.arrange), _known_digest(file, mapped, plan))
    else:
        stored = keep(ArrayReader(file, resolution, channels), limit)
    return assemble(stored, name=name, labels=checked)


def read_arrays(file: Path) -> tuple[Array, Array | None]:
    """The samples of a .npz file with their labels, if any, or those of a .npy file, mapped; as they are.

    Raises:
        InputError: no such file, one that cannot be read, or it is not clear which array is meant (see
            `from_file`).
    """
    if not file.is_file():
        raise InputError(f"There is no file '{file}': give the path of a .npy or .npz file.")
    return _read_npz(file) if file.suffix.lower() == ".npz" else (_map_npy(file), None)


def refitted(
    dataset: Dataset, resolution: int | None, channels: int | None, memory_limit: int | None = None
) -> Dataset:
    """A source held in memory, with its images resized or their channels changed; same split.

    Raises:
        InputError: the source holds vectors and one of the two was asked for, or the result is larger than
            the memory budget.
    """
    check_fit(resolution, channels)
    if resolution is None and channels is None:
        return dataset
    if not dataset.image:
        raise _not_images(dataset.name)
    assert isinstance(dataset.train.storage, Tensor)
    storage = dataset.train.storage.numpy()
    shape = (
        len(storage),
        channels or storage.shape[1],
        *(2 * [resolution] if resolution else storage.shape[2:]),
    )
    if math.prod(shape) * storage.itemsize > memory_budget(memory_limit):
        raise InputError(
            f"{dataset.name} as {shape[0]:,} images of {shape[2]} x {shape[3]} is larger than the memory "
            f"budget: ask for a lower resolution."
        )
    samples = np.ascontiguousarray(refit(storage, resolution, channels))
    return assemble(
        in_memory(samples),
        name=dataset.name,
        labels=dataset.train.labels,
        classes=dataset.classes,
        rows=(dataset.train.rows, dataset.held_out.rows),
    )


def plan_for(array: Array, resolution: int | None, channels: int | None, name: str) -> Plan:
    """Decide how an array becomes samples, from its type and shape alone.

    Raises:
        InputError: no way to.
    """
    check_fit(resolution, channels)
    _check_kind(array, name)
    if array.ndim == 2 and resolution is None and channels is None:
        as_is = array.dtype == np.float32 and array.dtype.isnative
        return Plan(array.shape[1:], np.dtype(np.float32), lambda chunk: chunk, _as_float32, as_is)
    if array.ndim == 2:
        raise _not_images(name)
    return _image_plan(array, resolution, channels, name)


def check_labels(labels: Labels | None, count: int, name: str) -> Tensor | None:
    """The labels of `count` samples: classes, int64 (count,); attributes, float32 (count, k); None for None.

    Raises:
        InputError: neither, not one a sample, not finite, negative classes, or numbered with wide gaps.
    """
    if labels is None:
        return None
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.dtype.kind == "f":
        return _attributes(values, count, name)
    if values.dtype.kind not in "iu":
        raise InputError(
            f"The labels of {name} are of type {values.dtype}; give classes as integers "
            f"counted from 0, or attributes as floats."
        )
    if values.shape != (count,):
        raise InputError(f"The labels of {name} have shape {values.shape}; give one a sample: ({count},).")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= count:
        raise InputError(
            f"The labels of {name} run from {low} to {high}, for {count} samples; classes are counted from "
            f"0 without gaps: renumber them, np.unique(labels, return_inverse=True)[1] does."
        )
    return torch.from_numpy(values.astype(np.int64))


def _as_numpy(array: npt.NDArray[Any] | Tensor, name: str) -> Array:
    if not isinstance(array, Tensor):
        return array
    if array.layout != torch.strided or array.is_quantized:
        raise InputError(f"{name} is a sparse or quantised tensor: make it dense, tensor.to_dense() does.")
    plain = array.detach().cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


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


def _check_kind(array: Array, name: str) -> None:
    kind = array.dtype.kind
    if kind == "b":
        raise InputError(
            f"{name} holds booleans, which are neither bytes nor numbers one can interpolate: give "
            f"array.astype(np.uint8) * 255 for images, astype(np.float32) for vectors."
        )
    if kind not in "iuf":
        raise InputError(f"{name} holds values of type {array.dtype}: give real numbers, bytes or floats.")
    if array.ndim not in (2, 3, 4):
        raise InputError(f"{name} has shape {array.shape}, {array.ndim} dimensions; give {_LAYOUTS}.")
    if len(array) < MINIMUM:
        raise InputError(
            f"{name} holds {len(array)} samples, too few to train on some and hold others out: give at "
            f"least {MINIMUM}."
        )
    if 0 in array.shape:
        raise InputError(f"{name} has shape {array.shape}: its samples are empty; give {_LAYOUTS}.")


def _not_images(name: str) -> InputError:
    return InputError(f"{name} holds vectors, which have neither resolution nor channels: leave both out.")


def _image_plan(array: Array, resolution: int | None, channels: int | None, name: str) -> Plan:
    first = _channels_first(array.shape, name)
    depth, height, width = _arranged(array[:1], first).shape[1:]
    real = array.dtype.kind == "f"
    if depth == 4 and array.dtype != np.uint8:
        raise InputError(f"{name} has 4 channels of type {array.dtype}; alpha is understood in bytes only.")

    def convert(chunk: Array) -> Array:
        chunk = _as_float32(chunk) if real else chunk.astype(np.uint8, copy=False)
        return refit(on_white(chunk) if depth == 4 else chunk, resolution, channels)

    size = (resolution, resolution) if resolution else (height, width)
    shape = (channels or min(depth, 3), *size)
    dtype = np.dtype(np.float32 if real else np.uint8)
    as_is = array.dtype == dtype and array.dtype.isnative and shape == (depth, height, width)
    return Plan(shape, dtype, lambda chunk: _arranged(chunk, first), convert, as_is)


def _channels_first(shape: tuple[int, ...], name: str) -> bool:
    if len(shape) == 3:
        return True
    for depths in ((1, 3), (4,)):
        if shape[1] in depths:
            return True
        if shape[3] in depths:
            return False
    raise InputError(f"{name} has shape {shape}, where no dimension can be the channels; give {_LAYOUTS}.")


def _arranged(chunk: Array, channels_first: bool) -> Array:
    if chunk.ndim == 3:
        return chunk[:, None]
    return chunk if channels_first else chunk.transpose(0, 3, 1, 2)


def _as_float32(chunk: Array) -> Array:
    with np.errstate(over="ignore"):  # What is too large becomes infinite, and is then refused by name.
        return chunk.astype(np.float32, copy=False)


def _blocks(array: Array, plan: Plan) -> Iterator[Chunk]:
    for _, piece in pieces(array):
        yield Chunk(plan.convert(plan.arrange(piece)))


def _survey(array: Array, plan: Plan, name: str) -> None:
    """Refuse values that are not finite, or out of the range of images."""
    if array.dtype == np.uint8:
        return
    if array.dtype.kind == "f":
        _check_finite(array, name)
    if len(plan.shape) == 3:
        low = min(float(piece.min()) for _, piece in pieces(array))
        high = max(float(piece.max()) for _, piece in pieces(array))
        _check_range(low, high, array.dtype, name)


def _check_finite(array: Array, name: str) -> None:
    bad: list[int] = []
    for start, piece in pieces(array):
        finite = np.isfinite(_as_float32(piece)).all(axis=tuple(range(1, piece.ndim)))
        bad += (start + np.flatnonzero(~finite)).tolist()
    if bad:
        raise InputError(
            f"{len(bad)} of the {len(array)} samples of {name} hold NaN, infinity or a number too large for "
            f"float32, the first at index {bad[0]}: remove or repair them."
        )


def _check_range(low: float, high: float, dtype: np.dtype[Any], name: str) -> None:
    seen = f"{name} holds images of type {dtype} with values from {low:g} to {high:g}"
    if dtype.kind != "f":
        if low < 0 or high > 255:
            raise InputError(f"{seen}; integers must lie in 0..255: scale them to bytes first.")
    elif low < -1 or high > 1:
        raise InputError(
            f"{seen}; floats must lie in [-1, 1]: give images / 127.5 - 1 if they run from 0 to 255 "
            f"(or bytes), 2 * images - 1 if from 0 to 1."
        )
    elif low >= 0:
        warnings.warn(
            f"{seen}, which is taken as it is; if 0 is black, give 2 * images - 1: images run from -1 to 1.",
            UserWarning,
            stacklevel=2,
        )


def _map_npy(file: Path) -> File:
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
            chosen, labels = _npz_names(list(archive.files), file)
            return archive[chosen], archive[labels] if labels else None
    except InputError:
        raise
    # A .npy file under this name comes back as an array, which is no context manager: TypeError.
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
            f"one 'samples' (and their labels 'labels')."
        )
    return (known or others)[0], labels


def _known_digest(file: Path, mapped: Array, plan: Plan) -> str:
    """The digest of a mapped file: it is read through once, and then known by its size and date."""
    key = ArrayReader(file).key
    record = recollect(key)
    if record is None:
        _survey(mapped, plan, str(file))
        record = {"digest": digest_of(plan.arrange(piece) for _, piece in pieces(mapped))}
        remember(key, record)
    return str(record["digest"])

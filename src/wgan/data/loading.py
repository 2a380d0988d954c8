"""The one door to all data: `load`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from wgan.data.arrays import ArrayReader, Labels, from_array, from_file, refitted
from wgan.data.builtin import fashion_mnist, mnist
from wgan.data.cache import keep, memory_budget, within
from wgan.data.dataset import Dataset, assemble
from wgan.data.decoding import check_fit
from wgan.data.digits_file import digits
from wgan.data.emoji import emoji
from wgan.data.huggingface import PREFIX, hub_set
from wgan.data.image_files import ImageReader, album_of
from wgan.data.reader import DatasetReader
from wgan.data.shards import is_pack, open_pack
from wgan.data.storage import Storage
from wgan.data.tars import tar_album, tars_of
from wgan.data.toys import grid25, ring8, swiss_roll, two_gaussians
from wgan.errors import InputError

SOURCES: dict[str, Callable[[str | Path | None], Dataset]] = {
    "digits": lambda _: digits(),
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "emoji": emoji,
    "ring8": lambda _: ring8(),
    "grid25": lambda _: grid25(),
    "swiss-roll": lambda _: swiss_roll(),
    "two-gaussians": lambda _: two_gaussians(),
}
"""The named sources; each is made from the data folder, which most need not."""


def load(
    dataset: str | Path | npt.NDArray[Any] | Tensor,
    *,
    labels: Labels | None = None,
    data_dir: str | Path | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    memory_limit: int | None = None,
    name: str | None = None,
) -> Dataset:
    """Get the data to train on, whatever it is.

    Args:
        dataset: the name of a source in `SOURCES`; or the path of a folder, .zip, .tar or range of tars
            (x-{000..009}.tar) of images, of a .npy or .npz file, or of a pack; or hf:NAME, hf:NAME[SPLIT]
            or hf:NAME[CONFIG,SPLIT], a set of Hugging Face's; or an array or a tensor. A name comes before
            a path: give './digits' for a folder called so.
        labels: classes, integers (N,) counted from 0, or attributes, floats (N, k); for an array, a
            tensor or a file of NumPy's.
        data_dir: the folder where mnist, fashion-mnist and emoji are looked for first.
        resolution: side of the square that images are cropped and resized to.
        channels: 1 makes images grey, 3 coloured.
        memory_limit: a larger set (in bytes) is memory-mapped, packed once in the user's cache if it is no
            pack yet; a quarter of the memory where None.
        name: the source's name, instead of its own.

    Returns:
        the source, split into samples to train on and samples held out.

    Raises:
        InputError: what was given cannot be trained on; the message says why and what to do.
        MissingExtraError: `hf:` needs a package that is not installed.
        StorageError: the user's cache is needed and cannot be written to.
    """
    check_fit(resolution, channels)
    memory_budget(memory_limit)
    if isinstance(dataset, np.ndarray | Tensor):
        given = "array" if isinstance(dataset, np.ndarray) else "tensor"
        return from_array(
            dataset,
            labels=labels,
            resolution=resolution,
            channels=channels,
            memory_limit=memory_limit,
            name=name or given,
        )
    if not isinstance(dataset, str | Path):
        raise InputError(
            f"The source is a {type(dataset).__name__}; give a name, a path, a NumPy array or a tensor "
            f"(np.asarray makes an array of most things)."
        )
    if isinstance(dataset, str) and dataset in SOURCES:
        _refuse_labels(labels, dataset)
        loaded = refitted(SOURCES[dataset](data_dir), resolution, channels, memory_limit)
    else:
        loaded = _from_path(dataset, labels, resolution, channels, memory_limit)
    return loaded if name is None else replace(loaded, name=name)


def reader_of(
    dataset: str | Path, *, resolution: int | None = None, channels: int | None = None
) -> DatasetReader | None:
    """What a path or an `hf:` name stands for, if it can be packed: images anywhere, or a .npy file.

    Raises:
        InputError: there is nothing at the path, or it cannot be read.
    """
    check_fit(resolution, channels)
    if dataset in SOURCES:
        return None
    if str(dataset).startswith(PREFIX):
        return hub_set(str(dataset), resolution, channels)
    # os.path, because pathlib raises on a name that is too long or a user that is not there.
    path = Path(os.path.expanduser(dataset))
    if tars := tars_of(path):
        return ImageReader(tar_album(str(dataset), tars), resolution, channels)
    if str(dataset) == "" or not os.path.exists(path):
        raise _unknown(str(dataset))
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".zip":
        return ImageReader(album_of(path), resolution, channels)
    return ArrayReader(path, resolution, channels) if suffix == ".npy" else None


def _from_path(
    dataset: str | Path,
    labels: Labels | None,
    resolution: int | None,
    channels: int | None,
    memory_limit: int | None,
) -> Dataset:
    path = Path(os.path.expanduser(dataset))
    if path.suffix.lower() in (".npy", ".npz") and os.path.isfile(path):
        loaded = from_file(
            path, labels=labels, resolution=resolution, channels=channels, memory_limit=memory_limit
        )
        return replace(loaded, name=str(dataset))
    _refuse_labels(labels, str(dataset))
    if is_pack(path):
        stored = _sized(open_pack(path), resolution, channels, path)
        return assemble(within(stored, memory_budget(memory_limit)), name=str(dataset))
    reader = reader_of(dataset, resolution=resolution, channels=channels)
    if reader is None:
        raise InputError(
            f"'{dataset}' is a file of no kind known here: give a folder, a .zip, .tar, .npy or .npz file."
        )
    return assemble(keep(reader, memory_budget(memory_limit)), name=str(dataset))


def _sized(stored: Storage, resolution: int | None, channels: int | None, path: Path) -> Storage:
    """A pack, which has its size already."""
    shape = tuple(stored.samples.shape[1:])
    if shape == (channels or shape[0], *(2 * [resolution] if resolution else shape[1:])):
        return stored
    raise InputError(
        f"'{path}' is a pack of samples {'x'.join(map(str, shape))}, of no other size: leave out resolution "
        "and channels, or pack at the size that is wanted."
    )


def _refuse_labels(labels: Labels | None, dataset: str) -> None:
    if labels is not None:
        raise InputError(
            f"'{dataset}' brings its own labels, or none: labels can be given for arrays, tensors, .npy and "
            f".npz files only. Leave them out; sub-folders of images are their classes."
        )


def _unknown(dataset: str) -> InputError:
    close = difflib.get_close_matches(dataset.lower().replace("_", "-"), SOURCES, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return InputError(
        f"'{dataset}' is neither the name of a source nor a path that exists.{hint} Give one of "
        f"{', '.join(SOURCES)}, hf:NAME, or the path of a folder, .zip or .tar of images, of a .npy or "
        ".npz file, or of a pack."
    )

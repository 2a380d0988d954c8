"""`load`: from a name, a path, an array or a tensor to a `Dataset`; `reload_dataset`: a run's, once more."""

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

from wgan.data.arrays import ArrayReader, Labels, convert_dataset, from_array, from_file
from wgan.data.builtin import digits, fashion_mnist, mnist
from wgan.data.cache import into_memory, materialize, memory_budget
from wgan.data.dataset import Dataset, assemble
from wgan.data.decoding import check_image_options
from wgan.data.huggingface import PREFIX, parse_huggingface_name
from wgan.data.image_files import ImageReader, list_image_files
from wgan.data.noto_emoji import emoji
from wgan.data.reader import DatasetReader
from wgan.data.shards import is_shard_folder, open_shards
from wgan.data.storage import Storage
from wgan.data.tars import find_tars, list_tar_images
from wgan.data.toys import grid25, ring8, swiss_roll, two_clusters, two_gaussians
from wgan.errors import InputError

DATASETS: dict[str, Callable[[str | Path | None], Dataset]] = {
    "digits": lambda _: digits(),
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "emoji": emoji,
    "ring8": lambda _: ring8(),
    "grid25": lambda _: grid25(),
    "swiss-roll": lambda _: swiss_roll(),
    "two-gaussians": lambda _: two_gaussians(),
    "two-clusters": lambda _: two_clusters(),
}
"""The built-in datasets by name, as functions of the data folder, which most do not need."""


DataSource = str | Path | npt.NDArray[Any] | Tensor
"""What :func:`load` takes."""


def load(
    dataset: DataSource,
    *,
    labels: Labels | None = None,
    data_dir: str | Path | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    memory_limit: int | None = None,
    name: str | None = None,
) -> Dataset:
    """Load a dataset from a name, a path, an array or a tensor.

    The dataset is split once and for all: one sample in ten (at most 10,000), or the official test set, is
    held out. Images stay bytes until they are drawn; a batch is float32, images in [-1, 1].

    >>> import torch
    >>> import wgan
    >>> digits = wgan.load("digits")
    >>> digits
    Dataset 'digits': images (1, 8, 8)
      1,618 training samples, 179 held out, 10 classes
      fingerprint fdbe0aae6c6f..., 0 skipped
    >>> digits.train.batch(torch.arange(16)).shape
    torch.Size([16, 1, 8, 8])

    Args:
        dataset: One of

            - the name of a built-in dataset (`DATASETS`), which comes before a path: give './digits' for a
              folder called so;
            - the path of a folder, a .zip, a .tar or a range of tars (x-{000..009}.tar) of images, whose
              sub-folders (or .cls files in tars) are the classes;
            - the path of a .npy or .npz file in the layouts of `from_array`;
            - the path of a pack, a folder of shards written by `wgan data pack` or `write_shards`;
            - hf:NAME, hf:NAME[SPLIT] or hf:NAME[CONFIG,SPLIT], a dataset on Hugging Face's hub;
            - an array or a tensor, (N, d) or (N, H, W), (N, C, H, W), (N, H, W, C); see `from_array`.
        labels: Classes, integers (N,) counted from 0, or attributes, floats (N, k); for an array, a tensor
            or a NumPy file only.
        data_dir: The folder where the files of mnist, fashion-mnist and emoji are searched first.
        resolution: The side of the square, in pixels (1..8192), that images are cropped and resized to.
        channels: 1 converts images to grey, 3 to colour.
        memory_limit: A dataset of more bytes is memory-mapped; it is first written as shards to the user's
            cache unless it is mappable as it is. By default a quarter of the memory.
        name: The dataset's name, instead of the one it was loaded by.

    Returns:
        The dataset.

    Raises:
        InputError: The data cannot be used for training; the message says why and what to do.
        MissingExtraError: `hf:` needs a package that is not installed.
        StorageError: The user's cache is needed and cannot be written to.
    """
    check_image_options(resolution, channels)
    limit = memory_budget(memory_limit)
    if isinstance(dataset, np.ndarray | Tensor):
        return from_array(
            dataset,
            labels=labels,
            resolution=resolution,
            channels=channels,
            memory_limit=limit,
            name=name or ("array" if isinstance(dataset, np.ndarray) else "tensor"),
        )
    if not isinstance(dataset, str | Path):
        raise InputError(
            f"The dataset is a {type(dataset).__name__}; give a name, a path, a NumPy array or a tensor "
            "(np.asarray makes an array of most things)."
        )
    if isinstance(dataset, str) and dataset in DATASETS:
        _refuse_labels(labels, dataset)
        loaded = convert_dataset(DATASETS[dataset](data_dir), resolution, channels, limit)
    else:
        loaded = _from_path(dataset, labels, resolution, channels, limit)
    return loaded if name is None else replace(loaded, name=name)


def reload_dataset(recorded: Any, run: str, *, data_dir: str | Path | None = None) -> Dataset:  # noqa: ANN401
    """Load the dataset that a run was trained on.

    Args:
        recorded: The entry ``dataset`` of the run's ``config.json``: name, shape and fingerprint.
        run: The run's path, for messages.
        data_dir: The folder of the files of mnist, fashion-mnist and emoji.

    Raises:
        InputError: The entry is missing, or the dataset cannot be loaded or differs in any bit.
    """
    remedy = "restore the training data, or give another dataset as `against`"
    try:
        name, shape, fingerprint = recorded["name"], tuple(recorded["shape"]), recorded["fingerprint"]
    except (KeyError, TypeError) as error:
        raise InputError(f"config.json of {run} does not name the training data; {remedy}.") from error
    try:
        dataset = load(name, data_dir=data_dir)
        if dataset.shape != shape and dataset.image and len(shape) == 3:
            dataset = load(name, data_dir=data_dir, resolution=shape[1], channels=shape[0])
    except InputError as error:
        raise InputError(f"The training data of {run} cannot be loaded again; {remedy}. {error}") from error
    if dataset.fingerprint != fingerprint:
        raise InputError(f"{name} has changed since {run} was trained on it; {remedy}.")
    return dataset


def reader_of(
    dataset: str | Path, *, resolution: int | None = None, channels: int | None = None
) -> DatasetReader | None:
    """The reader of a path or an `hf:` name that can be written as shards: images or a .npy file; else None.

    Raises:
        InputError: There is nothing at the path, or it cannot be read.
    """
    check_image_options(resolution, channels)
    if dataset in DATASETS:
        return None
    if str(dataset).startswith(PREFIX):
        return parse_huggingface_name(str(dataset), resolution, channels)
    # os.path, because pathlib raises on a name that is too long or a user that is not there.
    path = Path(os.path.expanduser(dataset))
    if tars := find_tars(path):
        return ImageReader(list_tar_images(str(dataset), tars), resolution, channels)
    if str(dataset) == "" or not os.path.exists(path):
        raise _unknown(str(dataset))
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".zip":
        return ImageReader(list_image_files(path), resolution, channels)
    return ArrayReader(path, resolution, channels) if suffix == ".npy" else None


def _from_path(
    dataset: str | Path,
    labels: Labels | None,
    resolution: int | None,
    channels: int | None,
    limit: int,
) -> Dataset:
    name, path = str(dataset), Path(os.path.expanduser(dataset))
    if path.suffix.lower() in (".npy", ".npz") and os.path.isfile(path):
        loaded = from_file(path, labels=labels, resolution=resolution, channels=channels, memory_limit=limit)
        return replace(loaded, name=name)
    _refuse_labels(labels, name)
    if is_shard_folder(path):
        storage = open_shards(path)
        _check_shape(storage, resolution, channels, path)
        return assemble(into_memory(storage, limit), name=name)
    reader = reader_of(dataset, resolution=resolution, channels=channels)
    if reader is None:
        raise InputError(
            f"'{dataset}' is a file of an unknown kind: give a folder, a .zip, .tar, .npy or .npz file."
        )
    return assemble(materialize(reader, limit), name=name)


def _check_shape(storage: Storage, resolution: int | None, channels: int | None, path: Path) -> None:
    shape = tuple(storage.samples.shape[1:])
    if shape != (channels or shape[0], *(2 * [resolution] if resolution else shape[1:])):
        raise InputError(
            f"'{path}' is a pack of samples {'x'.join(map(str, shape))}, which are not resized: leave out "
            "resolution and channels, or pack again at the size you want."
        )


def _refuse_labels(labels: Labels | None, dataset: str) -> None:
    if labels is not None:
        raise InputError(
            f"'{dataset}' has its own labels, or none: labels can be given for arrays, tensors, .npy and "
            ".npz files only. Leave them out; sub-folders of images are their classes."
        )


def _unknown(dataset: str) -> InputError:
    close = difflib.get_close_matches(dataset.lower().replace("_", "-"), DATASETS, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return InputError(
        f"'{dataset}' is neither the name of a dataset nor a path that exists.{hint} Give one of "
        f"{', '.join(DATASETS)}, hf:NAME, or the path of a folder, .zip or .tar of images, of a .npy or "
        ".npz file, or of a pack."
    )

"""MNIST and Fashion-MNIST, in the IDX files they are published as."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, final

import numpy as np
import torch
from torch import Tensor

from wgan.data.dataset import Dataset, assemble
from wgan.data.reader import Array
from wgan.data.storage import in_memory
from wgan.errors import InputError, StorageError

_IMAGES, _LABELS = 0x803, 0x801
_SIDE = 28
_CLASSES = 10


@final
@dataclass(frozen=True)
class Published:
    """A set of four IDX files, and where it can be had.

    Attributes:
        name: of the source.
        checksums: MD5 of each published file (they are gzipped), by its name without '.gz'.
        mirrors: addresses of folders that hold them, tried in this order.
        classes: the name of each label.
        folders: where operating systems install it.
        package: the Debian package that does, or None.
        folder_names: what other libraries call the folder, relative to the user's.
    """

    name: str
    checksums: dict[str, str]
    mirrors: tuple[str, ...]
    classes: tuple[str, ...] = tuple("0123456789")
    folders: tuple[Path, ...] = ()
    package: str | None = None
    folder_names: tuple[str, ...] = field(default=())


FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

MNIST = Published(
    name="mnist",
    checksums=dict(
        zip(
            FILES,
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            strict=True,
        )
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    folder_names=("mnist", "MNIST/raw"),
)

FASHION_MNIST = Published(
    name="fashion-mnist",
    checksums=dict(
        zip(
            FILES,
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            strict=True,
        )
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    folders=(Path("/usr/share/datasets/fashion-mnist"),),
    package="dataset-fashion-mnist",
    folder_names=("fashion-mnist", "FashionMNIST/raw"),
)


def mnist(data_dir: str | Path | None = None) -> Dataset:
    """The 70,000 handwritten digits of LeCun, Cortes and Burges; 60,000 train, 10,000 are held out.

    The four IDX files, gzipped or not, are looked for in `data_dir`, in its sub-folders mnist and
    MNIST/raw, and in the user's cache, and else downloaded to the latter.

    Returns:
        images (1, 28, 28) with labels 0..9.

    Raises:
        InputError: no such folder, a file that is broken, or none found and no way to download them.
    """
    return published(MNIST, data_dir)


def fashion_mnist(data_dir: str | Path | None = None) -> Dataset:
    """The 70,000 images of clothing of Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747.

    Found as `mnist` is (sub-folders fashion-mnist and FashionMNIST/raw), and also where Debian's
    package dataset-fashion-mnist installs it.

    Returns:
        images (1, 28, 28) with labels 0..9.

    Raises:
        InputError: as `mnist`.
    """
    return published(FASHION_MNIST, data_dir)


def published(data: Published, data_dir: str | Path | None = None) -> Dataset:
    """Find, or else download, a published set and read it; the official test set is held out.

    Raises:
        InputError: as `mnist`.
    """
    found = find(data, data_dir)
    return read_folder(found if found else download(data), data)


def find(data: Published, data_dir: str | Path | None = None) -> Path | None:
    """The first folder that holds all four files, or None; see `mnist` for where they are looked for.

    Raises:
        InputError: `data_dir` is given and is no folder.
    """
    places = [*_user_folders(data, data_dir), _cache(data), *data.folders]
    return next((place for place in places if all(_file(place, name) for name in FILES)), None)


def read_folder(folder: Path, data: Published) -> Dataset:
    """Read the four files of a folder.

    Raises:
        InputError: a file is broken, or they do not belong together.
    """
    train, train_labels = _read_pair(folder, FILES[0], FILES[1])
    held_out, held_out_labels = _read_pair(folder, FILES[2], FILES[3])
    return assemble(
        in_memory(np.concatenate([train, held_out])[:, None]),
        name=data.name,
        labels=torch.from_numpy(np.concatenate([train_labels, held_out_labels]).astype(np.int64)),
        classes=data.classes,
        rows=_consecutive(len(train), len(held_out)),
    )


def download(data: Published) -> Path:
    """Download the four files to the user's cache; each must have its known checksum.

    Returns:
        the folder they are in.

    Raises:
        InputError: a file can be had from no mirror.
        StorageError: the cache cannot be written to.
    """
    folder = _cache(data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The cache '{folder}' cannot be written to ({error}): set XDG_CACHE_HOME to a folder that can."
        ) from error
    for name in FILES:
        _retrieve(data, name, folder)
    return folder


def _consecutive(first: int, second: int) -> tuple[Tensor, Tensor]:
    return torch.arange(first), torch.arange(first, first + second)


def _user_folders(data: Published, data_dir: str | Path | None) -> list[Path]:
    if data_dir is None:
        return []
    base = Path(os.path.expanduser(data_dir))
    if not os.path.isdir(base):
        raise InputError(f"The data folder '{base}' is not a folder that exists: make it, or leave it out.")
    return [base, *(base / name for name in data.folder_names)]


def _cache(data: Published) -> Path:
    import pooch

    return Path(pooch.os_cache("wgan")) / data.name


def _file(folder: Path, name: str) -> Path | None:
    """The file of this name, gzipped or not, or with the dot some copies have for the first hyphen."""
    dotted = name.replace("-idx", ".idx")
    candidates = [folder / f"{stem}{end}" for stem in (name, dotted) for end in ("", ".gz")]
    return next((path for path in candidates if path.is_file()), None)


def _retrieve(data: Published, name: str, folder: Path) -> None:
    import pooch

    reasons = []
    for mirror in data.mirrors:
        try:
            checksum = f"md5:{data.checksums[name]}"
            pooch.retrieve(f"{mirror}{name}.gz", checksum, fname=f"{name}.gz", path=folder)
        except (OSError, ValueError) as error:  # The network's errors are OSErrors, a wrong checksum is not.
            reasons.append(f"{mirror}: {type(error).__name__}")
        else:
            return
    raise InputError(
        f"{data.name} is not on this machine and cannot be downloaded ({'; '.join(reasons)}): {_remedy(data)}"
    )


def _remedy(data: Published) -> str:
    package = f"run `apt-get install {data.package}`, or " if data.package else ""
    files = ", ".join(f"{name}.gz" for name in FILES)
    return f"{package}put {files} into a folder and give it as `data_dir`."


def _read_pair(folder: Path, image_file: str, labels: str) -> tuple[Array, Array]:
    images = read_idx(_found(folder, image_file))
    numbers = read_idx(_found(folder, labels))
    if images.shape[1:] != (_SIDE, _SIDE):
        raise _broken(_found(folder, image_file), f"it does not hold images of {_SIDE} x {_SIDE} pixels")
    if numbers.ndim != 1 or len(numbers) != len(images):
        raise _broken(_found(folder, labels), f"it does not hold one label for each of {len(images)} images")
    if numbers.max() >= _CLASSES:
        raise _broken(_found(folder, labels), f"it holds the label {numbers.max()}; labels are 0..9")
    return images, numbers


def _found(folder: Path, name: str) -> Path:
    path = _file(folder, name)
    if path is None:
        raise InputError(f"There is no file '{name}' (or '{name}.gz') in '{folder}': put it there.")
    return path


def read_idx(path: Path) -> Array:
    """Read an IDX file of bytes (yann.lecun.com/exdb/mnist): magic, sizes (big-endian), values.

    Args:
        path: the file; its name ends in '.gz' if it is gzipped.

    Returns:
        uint8 (N,) of a file of labels, (N, H, W) of one of images.

    Raises:
        InputError: it is broken: not IDX, cut short, too long, or empty.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _parse(file, path)  # type: ignore[arg-type]  # GzipFile reads as any binary file.
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path, str(error)) from None


def _parse(file: IO[bytes], path: Path) -> Array:
    head = np.frombuffer(file.read(4), ">u4")
    if len(head) != 1 or head[0] not in (_IMAGES, _LABELS):
        raise _broken(path, "it does not begin as an IDX file of images or labels does")
    sizes = _sizes(file, int(head[0]) & 0xFF, path)
    length = int(np.prod(sizes))
    values = file.read(length + 1)
    if len(values) != length or length == 0:
        more = "more than" if len(values) > length else f"{len(values)} of"
        raise _broken(path, f"it holds {more} the {length} bytes that its head {tuple(sizes)} announces")
    return np.frombuffer(bytearray(values), np.uint8).reshape(sizes)


def _sizes(file: IO[bytes], dimensions: int, path: Path) -> Sequence[int]:
    raw = file.read(4 * dimensions)
    if len(raw) != 4 * dimensions:
        raise _broken(path, "it ends within its head")
    return [int(size) for size in np.frombuffer(raw, ">u4")]


def _broken(path: Path, reason: str) -> InputError:
    return InputError(f"'{path}' is broken ({reason}): delete it, and get it again.")

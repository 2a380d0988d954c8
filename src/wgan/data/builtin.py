"""Built-in datasets of images: the digits of this package, MNIST and Fashion-MNIST (from IDX files)."""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, final

import numpy as np
import torch

from wgan.data.cache import cache_folder
from wgan.data.dataset import Dataset, assemble
from wgan.data.reader import Array
from wgan.data.storage import in_memory
from wgan.errors import InputError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The IDX files of a dataset: images and labels to train on, then those of the official test set."""

_IMAGES, _LABELS = 0x803, 0x801
_SIDE = 28
_CLASSES = 10


@final
@dataclass(frozen=True)
class IdxFiles:
    """The four IDX files of a published dataset, and where to find them.

    Attributes:
        name: The name of the dataset.
        checksums: MD5 of each gzipped file, in the order of `FILES`.
        mirrors: Addresses of folders with the files, tried in this order.
        folder_names: What other libraries call the folder, relative to the user's data folder.
        classes: The name of each label.
        system_folders: Where operating systems install the files.
        package: The Debian package with the files, or None.
    """

    name: str
    checksums: tuple[str, ...]
    mirrors: tuple[str, ...]
    folder_names: tuple[str, ...]
    classes: tuple[str, ...] = tuple("0123456789")
    system_folders: tuple[Path, ...] = ()
    package: str | None = None


MNIST = IdxFiles(
    name="mnist",
    checksums=(
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    folder_names=("mnist", "MNIST/raw"),
)

FASHION_MNIST = IdxFiles(
    name="fashion-mnist",
    checksums=(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    folder_names=("fashion-mnist", "FashionMNIST/raw"),
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    system_folders=(Path("/usr/share/datasets/fashion-mnist"),),
    package="dataset-fashion-mnist",
)


def digits() -> Dataset:
    """The 1,797 handwritten digits in this package: a real dataset that needs no download.

    Images of 8 x 8 pixels in 17 grey levels, scaled by round(level * 255 / 16).

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, CC BY 4.0
    (see the NOTICE beside this file).

    Returns:
        Images (1, 8, 8) with labels 0..9.
    """
    with resources.files("wgan.data").joinpath("digits.npz").open("rb") as file, np.load(file) as archive:
        levels, labels = archive["levels"], archive["labels"]
    images = np.rint(levels * (255 / 16)).astype(np.uint8)[:, None]
    return assemble(in_memory(images), name="digits", labels=torch.from_numpy(labels.astype(np.int64)))


def mnist(data_dir: str | Path | None = None) -> Dataset:
    """The 70,000 handwritten digits of LeCun, Cortes and Burges; the test set of 10,000 is held out.

    The four IDX files, gzipped or not, are searched in `data_dir`, in its sub-folders mnist and MNIST/raw,
    and in the user's cache; else they are downloaded to the latter.

    Returns:
        Images (1, 28, 28) with labels 0..9.

    Raises:
        InputError: `data_dir` is no folder, a file is broken, or the files cannot be downloaded.
        StorageError: The cache cannot be written to.
    """
    return load_idx(MNIST, data_dir)


def fashion_mnist(data_dir: str | Path | None = None) -> Dataset:
    """The 70,000 images of clothing of Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747.

    Files are found as those of `mnist` (sub-folders fashion-mnist and FashionMNIST/raw), and also where
    Debian's package dataset-fashion-mnist installs them.

    Returns:
        Images (1, 28, 28) with labels 0..9.

    Raises:
        InputError: As `mnist`.
        StorageError: As `mnist`.
    """
    return load_idx(FASHION_MNIST, data_dir)


def load_idx(files: IdxFiles, data_dir: str | Path | None = None) -> Dataset:
    """Find, or else download, a dataset of IDX files and read it; the official test set is held out.

    Raises:
        InputError: As `mnist`.
        StorageError: As `mnist`.
    """
    return _read_folder(find_idx_files(files, data_dir) or _download(files), files)


def find_idx_files(files: IdxFiles, data_dir: str | Path | None = None) -> Path | None:
    """The first folder with all four files, or None; see `mnist` for the folders that are searched.

    Raises:
        InputError: `data_dir` is no folder.
    """
    base = check_data_dir(data_dir)
    users = [] if base is None else [base, *(base / name for name in files.folder_names)]
    folders = [*users, cache_folder(files.name), *files.system_folders]
    return next((folder for folder in folders if all(_find(folder, name) for name in FILES)), None)


def check_data_dir(data_dir: str | Path | None) -> Path | None:
    """The user's data folder, or None if none is given.

    Raises:
        InputError: It is no folder.
    """
    if data_dir is None:
        return None
    folder = Path(os.path.expanduser(data_dir))
    if not os.path.isdir(folder):
        raise InputError(
            f"The data folder '{folder}' is not a folder that exists: create it, or leave it out."
        )
    return folder


def read_idx(path: Path) -> Array:
    """Read an IDX file of bytes (yann.lecun.com/exdb/mnist): magic, sizes (big-endian), values.

    Args:
        path: The file; its name ends in '.gz' if it is gzipped.

    Returns:
        uint8 (N,) of a file of labels, (N, H, W) of one of images.

    Raises:
        InputError: The file is broken: not IDX, cut short, too long, or empty.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _parse(file, path)  # type: ignore[arg-type]  # GzipFile reads as any binary file.
    except (OSError, EOFError, zlib.error) as error:
        raise broken(path, str(error)) from None


def broken(path: Path, reason: str) -> InputError:
    """The error for a downloaded file that is broken."""
    return InputError(f"'{path}' is broken ({reason}): delete it, and get it again.")


def _read_folder(folder: Path, files: IdxFiles) -> Dataset:
    paths = [path for name in FILES if (path := _find(folder, name))]
    train, train_labels = _read_pair(*paths[:2])
    held_out, held_out_labels = _read_pair(*paths[2:])
    count = len(train) + len(held_out)
    return assemble(
        in_memory(np.concatenate([train, held_out])[:, None]),
        name=files.name,
        labels=torch.from_numpy(np.concatenate([train_labels, held_out_labels]).astype(np.int64)),
        classes=files.classes,
        rows=(torch.arange(len(train)), torch.arange(len(train), count)),
    )


def _find(folder: Path, name: str) -> Path | None:
    """The file of this name, gzipped or not, or with the dot that some copies have for the first hyphen."""
    dotted = name.replace("-idx", ".idx")
    candidates = [folder / f"{stem}{end}" for stem in (name, dotted) for end in ("", ".gz")]
    return next((path for path in candidates if path.is_file()), None)


def _download(files: IdxFiles) -> Path:
    """Download the four files to the user's cache and check them."""
    folder = cache_folder(files.name, create=True)
    for name, checksum in zip(FILES, files.checksums, strict=True):
        _retrieve(files, name, checksum, folder)
    return folder


def _retrieve(files: IdxFiles, name: str, checksum: str, folder: Path) -> None:
    import pooch

    reasons = []
    for mirror in files.mirrors:
        try:
            pooch.retrieve(f"{mirror}{name}.gz", f"md5:{checksum}", fname=f"{name}.gz", path=folder)
        except (OSError, ValueError) as error:  # Network errors are OSErrors, a wrong checksum is not.
            reasons.append(f"{mirror}: {type(error).__name__}")
        else:
            return
    package = f"run `apt-get install {files.package}`, or " if files.package else ""
    raise InputError(
        f"{files.name} is not on this machine and cannot be downloaded ({'; '.join(reasons)}): {package}put "
        f"{', '.join(f'{file}.gz' for file in FILES)} into a folder and give it as `data_dir`."
    )


def _read_pair(image_path: Path, label_path: Path) -> tuple[Array, Array]:
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.shape[1:] != (_SIDE, _SIDE):
        raise broken(image_path, f"it does not hold images of {_SIDE} x {_SIDE} pixels")
    if labels.ndim != 1 or len(labels) != len(images):
        raise broken(label_path, f"it does not hold one label for each of {len(images)} images")
    if labels.max() >= _CLASSES:
        raise broken(label_path, f"it holds the label {labels.max()}; labels are 0..9")
    return images, labels


def _parse(file: IO[bytes], path: Path) -> Array:
    magic = np.frombuffer(file.read(4), ">u4")
    if len(magic) != 1 or magic[0] not in (_IMAGES, _LABELS):
        raise broken(path, "it does not begin as an IDX file of images or labels does")
    dimensions = int(magic[0]) & 0xFF
    header = file.read(4 * dimensions)
    if len(header) != 4 * dimensions:
        raise broken(path, "it ends within its header")
    sizes = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    length = int(np.prod(sizes))
    values = file.read(length + 1)
    if len(values) != length or length == 0:
        size = "more than" if len(values) > length else f"{len(values)} of"
        raise broken(path, f"it holds {size} the {length} bytes that its header {sizes} announces")
    return np.frombuffer(bytearray(values), np.uint8).reshape(sizes)

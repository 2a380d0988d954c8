"""Google's emoji: a small dataset of colour images, from the npm package emoji-datasource-google."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from wgan.data.builtin import broken, check_data_dir
from wgan.data.cache import cache_folder
from wgan.data.dataset import Dataset, assemble
from wgan.data.decoding import decode
from wgan.data.storage import in_memory
from wgan.errors import InputError

PACKAGE, VERSION = "emoji-datasource-google", "16.0.0"
ADDRESS = f"https://registry.npmjs.org/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
CHECKSUM = "sha256:fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"

_TABLE, _IMAGES = "emoji.json", "img/google/64/"
_SIDE = 64

Files = dict[str, bytes]
"""The table and the images of the package, by their path in it."""


def emoji(data_dir: str | Path | None = None) -> Dataset:
    """The emoji of Google's Noto fonts as images of 64 x 64 pixels, on white; their categories are classes.

    The package, unpacked by npm or a .tgz of ``npm pack``, is searched in `data_dir` (itself, or in
    node_modules there), in ./node_modules and in the user's cache; else it is downloaded to the latter
    (72 MB). Any version will do; of equal images one is used: 3,767 in version 16.0.0.

    Half of them are others in another skin tone, so that held-out images have near copies in training.

    Source: https://github.com/iamcal/emoji-data (MIT), images https://github.com/googlefonts/noto-emoji
    (Apache 2.0).

    Returns:
        Images (3, 64, 64) with labels.

    Raises:
        InputError: `data_dir` is no folder, the package is broken, or it cannot be downloaded.
        StorageError: The cache cannot be written to.
    """
    package = _find_package(data_dir) or _download()
    files = _read_folder(package) if package.is_dir() else _read_archive(package)
    try:
        categories = _categories(files[_TABLE])
        names = sorted(name for name in files if name in categories)
        name_of = {decode(BytesIO(files[name]), _SIDE, 3).tobytes(): name for name in reversed(names)}
    except Exception as error:  # whatever a strange table or image raises
        raise broken(package, f"{type(error).__name__}: {error}") from None
    if not name_of:
        raise broken(package, "there are no images in it")
    unique = sorted((name, pixels) for pixels, name in name_of.items())
    classes = sorted({categories[name] for name, _ in unique})
    images = np.frombuffer(bytearray(b"".join(pixels for _, pixels in unique)), np.uint8)
    return assemble(
        in_memory(images.reshape(-1, 3, _SIDE, _SIDE)),
        name="emoji",
        labels=torch.tensor([classes.index(categories[name]) for name, _ in unique]),
        classes=tuple(classes),
    )


def _find_package(data_dir: str | Path | None) -> Path | None:
    """The package, a folder or a .tgz, or None."""
    base = check_data_dir(data_dir)
    folders = [*([] if base is None else [base]), Path(), cache_folder("emoji")]
    return next((package for folder in folders for package in _packages(folder)), None)


def _download() -> Path:
    """Download the package to the user's cache."""
    import pooch

    folder = cache_folder("emoji", create=True)
    try:
        return Path(pooch.retrieve(ADDRESS, CHECKSUM, fname=f"{PACKAGE}-{VERSION}.tgz", path=folder))
    except (OSError, ValueError) as error:  # Network errors are OSErrors, a wrong checksum is not.
        raise InputError(
            f"emoji is not on this machine and cannot be downloaded ({type(error).__name__}): run "
            f"`npm install {PACKAGE}` here, or give the folder in which you did as `data_dir`."
        ) from None


def _packages(base: Path) -> Iterator[Path]:
    for folder in (base, base / PACKAGE, base / "node_modules" / PACKAGE, base / "package"):
        if (folder / _TABLE).is_file() and (folder / _IMAGES).is_dir():
            yield folder
    yield from sorted(base.glob(f"{PACKAGE}-*.tgz"), reverse=True)


def _read_folder(folder: Path) -> Files:
    paths = [folder / _TABLE, *(folder / _IMAGES).glob("*.png")]
    try:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    except OSError as error:
        raise broken(folder, str(error)) from None


def _read_archive(archive: Path) -> Files:
    try:
        with tarfile.open(archive) as members:
            return {
                member.name.removeprefix("package/"): file.read()
                for member in members
                if member.name.removeprefix("package/").startswith((_TABLE, _IMAGES))
                and (file := members.extractfile(member))
            }
    except (OSError, EOFError, tarfile.TarError) as error:
        raise broken(archive, str(error)) from None


def _categories(table: bytes) -> dict[str, str]:
    """The category of each image, by its path in the package."""
    return {
        _IMAGES + variant["image"]: record["category"]
        for record in json.loads(table)
        for variant in (record, *record.get("skin_variations", {}).values())
    }

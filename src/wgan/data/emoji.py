"""Google's emoji: a small set of colour images, from the npm package emoji-datasource-google."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from wgan.data.dataset import Dataset, assemble
from wgan.data.decoding import decode
from wgan.data.storage import in_memory
from wgan.errors import InputError, StorageError

PACKAGE, VERSION = "emoji-datasource-google", "16.0.0"
ADDRESS = f"https://registry.npmjs.org/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
CHECKSUM = "sha256:fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"

_TABLE, _IMAGES = "emoji.json", "img/google/64/"
_SIDE = 64

Files = dict[str, bytes]
"""The table and the images of the package, by their path in it."""


def emoji(data_dir: str | Path | None = None) -> Dataset:
    """The emoji of Google's Noto fonts as images of 64 x 64 pixels, on white; their categories are classes.

    The package, unpacked by npm or a .tgz as ``npm pack`` leaves it, is looked for in `data_dir` (itself, or
    in node_modules there), in ./node_modules and in the user's cache, and else downloaded to the latter
    (72 MB). Any version will do; of equal images one is kept: 3,767 in version 16.0.0.

    Half of them are others in another skin tone, so that held-out images have near copies in training.

    Source: https://github.com/iamcal/emoji-data (MIT), images https://github.com/googlefonts/noto-emoji
    (Apache 2.0).

    Returns:
        images (3, 64, 64) with labels.

    Raises:
        InputError: no such folder, a broken package, or none found and no way to download it.
        StorageError: the cache cannot be written to.
    """
    package = find(data_dir) or download()
    files = _unpacked(package) if package.is_dir() else _packed(package)
    try:
        categories = _categories(files[_TABLE])
        names = sorted(name for name in files if name in categories)
        images = {decode(BytesIO(files[name]), _SIDE, 3).tobytes(): name for name in reversed(names)}
    except Exception as error:  # whatever a strange table or image does
        raise _broken(package, f"{type(error).__name__}: {error}") from None
    if not images:
        raise _broken(package, "there are no images in it")
    kept = sorted((name, pixels) for pixels, name in images.items())
    classes = sorted({categories[name] for name, _ in kept})
    stored = np.frombuffer(bytearray(b"".join(pixels for _, pixels in kept)), np.uint8)
    return assemble(
        in_memory(stored.reshape(-1, 3, _SIDE, _SIDE)),
        name="emoji",
        labels=torch.tensor([classes.index(categories[name]) for name, _ in kept]),
        classes=tuple(classes),
    )


def find(data_dir: str | Path | None = None) -> Path | None:
    """The package, a folder or a .tgz; None if it is nowhere that `emoji` looks.

    Raises:
        InputError: `data_dir` is given and is no folder.
    """
    bases = [Path(), _cache()]
    if data_dir is not None:
        base = Path(os.path.expanduser(data_dir))
        if not os.path.isdir(base):
            raise InputError(
                f"The data folder '{base}' is not a folder that exists: make it, or leave it out."
            )
        bases = [base, *bases]
    return next((found for base in bases for found in _packages(base)), None)


def download() -> Path:
    """Download the package to the user's cache.

    Raises:
        InputError: it cannot be had.
        StorageError: the cache cannot be written to.
    """
    import pooch

    folder = _cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The cache '{folder}' cannot be written to ({error}): set XDG_CACHE_HOME to a folder that can."
        ) from error
    try:
        return Path(pooch.retrieve(ADDRESS, CHECKSUM, fname=f"{PACKAGE}-{VERSION}.tgz", path=folder))
    except (OSError, ValueError) as error:  # the network's errors are OSErrors, a wrong checksum is not
        raise InputError(
            f"emoji is not on this machine and cannot be downloaded ({type(error).__name__}): run "
            f"`npm install {PACKAGE}` here, or give the folder in which you did as `data_dir`."
        ) from None


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("wgan")) / "emoji"


def _packages(base: Path) -> Iterable[Path]:
    for folder in (base, base / PACKAGE, base / "node_modules" / PACKAGE, base / "package"):
        if (folder / _TABLE).is_file() and (folder / _IMAGES).is_dir():
            yield folder
    yield from sorted(base.glob(f"{PACKAGE}-*.tgz"), reverse=True)


def _unpacked(folder: Path) -> Files:
    paths = [folder / _TABLE, *(folder / _IMAGES).glob("*.png")]
    try:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    except OSError as error:
        raise _broken(folder, str(error)) from None


def _packed(archive: Path) -> Files:
    try:
        with tarfile.open(archive) as members:
            return {
                member.name.removeprefix("package/"): file.read()
                for member in members
                if member.name.removeprefix("package/").startswith((_TABLE, _IMAGES))
                and (file := members.extractfile(member))
            }
    except (OSError, EOFError, tarfile.TarError) as error:
        raise _broken(archive, str(error)) from None


def _categories(table: bytes) -> dict[str, str]:
    """The category of each image, by its path in the package."""
    found: dict[str, str] = {}
    for record in json.loads(table):
        for variant in (record, *record.get("skin_variations", {}).values()):
            found[_IMAGES + variant["image"]] = record["category"]
    return found


def _broken(package: Path, reason: str) -> InputError:
    return InputError(f"'{package}' is broken ({reason}): delete it, and get it again.")

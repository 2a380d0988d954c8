"""Tars of images, as the package webdataset writes them; nothing is unpacked, and the package not needed.

Source: https://github.com/webdataset/webdataset, "The WebDataset Format": files that share a name up to its
first dot are one sample, and its class is the number in its .cls file.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

from wgan.data.image_files import LARGEST_FILE, ImageFiles, bomb, owners_of, wanted
from wgan.errors import InputError

_RANGE = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}")
_MOST = 100_000
"""Tars that a name may stand for."""


class Member(NamedTuple):
    """A file in a tar, and where its bytes lie there."""

    name: str
    tar: Path
    start: int
    size: int


def tars_of(path: Path) -> list[Path]:
    """The tars that a path names: one, those of a range such as x-{000..009}.tar, or those in a folder.

    Returns:
        in rising order; none if the path is of another kind, such as a folder with images beside tars.

    Raises:
        InputError: a range stands for more tars than there can be.
    """
    if os.path.isdir(path):  # pathlib raises on a name that is too long
        tars = sorted(path.glob("*.tar"))
        return [] if tars and any(wanted(file.name) for file in path.rglob("*")) else tars
    if path.suffix.lower() != ".tar":
        return []
    count = prod(max(1, int(last) + 1 - int(first)) for first, last in _RANGE.findall(str(path)))
    if count > _MOST:
        raise InputError(f"'{path}' stands for {count:,} tars, more than {_MOST:,}: see to its range.")
    return [Path(name) for name in _expanded(str(path))]


def tar_album(origin: str, tars: Sequence[Path]) -> ImageFiles:
    """Tars as one album, in the order of the tars and of the files in each.

    Classes are those of .cls files where every image has one, else folders.

    Raises:
        InputError: a tar is missing, broken or compressed, or there are no images.
    """
    base = os.path.commonpath([tar.parent for tar in tars])
    found = {
        f"{Path(os.path.relpath(tar, base)).as_posix()}/{member.name}": member
        for tar in tars
        for member in _members(tar)
    }
    images = {name: member for name, member in found.items() if wanted(member.name)}
    for member in images.values():
        if member.size > LARGEST_FILE:
            raise bomb(str(member.tar), member.name, f"{member.size:,} bytes")
    dates = {tar: tar.stat().st_mtime_ns for tar in tars}
    stamps = {name: f"{member.start} {member.size} {dates[member.tar]}" for name, member in images.items()}
    return ImageFiles(origin, stamps, partial(_open, images), _owners(found, images))


def _expanded(name: str) -> list[str]:
    match = _RANGE.search(name)
    if match is None:
        return [name]
    before, (first, last), after = name[: match.start()], match.groups(), _expanded(name[match.end() :])
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return [f"{before}{number}{end}" for number in numbers for end in after]


def _members(tar: Path) -> Iterator[Member]:
    try:
        # "r:", because in what is compressed as a whole nothing can be read without all that is before it.
        with tarfile.open(tar, "r:") as archive:
            yield from (Member(m.name, tar, m.offset_data, m.size) for m in archive if m.isfile())
    except (OSError, tarfile.TarError, ValueError) as error:
        gone = isinstance(error, FileNotFoundError)
        remedy = "see to its name" if gone else "make it again, not compressed as a whole"
        raise InputError(f"'{tar}' cannot be read as a tar ({error}): {remedy}.") from None


def _owners(found: Mapping[str, Member], images: Mapping[str, Member]) -> tuple[str, ...] | None:
    classes = {_stem(name): member for name, member in found.items() if name.endswith(".cls")}
    if images and all(_stem(name) in classes for name in images):
        return tuple(_read(classes[_stem(name)]).decode(errors="replace").strip() for name in images)
    return owners_of([member.name for member in images.values()])


def _stem(name: str) -> str:
    """What the files of a sample share: the name up to the first dot after the last slash."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _read(member: Member) -> bytes:
    with member.tar.open("rb") as file:
        file.seek(member.start)
        return file.read(member.size)


def _open(images: Mapping[str, Member], name: str) -> IO[bytes]:
    return BytesIO(_read(images[name]))

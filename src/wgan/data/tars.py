"""Image files in tar archives, as the package webdataset writes them; the package itself is not needed.

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

from wgan.data.image_files import MAX_FILE_BYTES, ImageFiles, folder_labels, is_image_name, too_large
from wgan.errors import InputError

_RANGE = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}")
_MAX_TARS = 100_000


class Member(NamedTuple):
    """A file in a tar, and the position of its bytes there."""

    name: str
    tar: Path
    start: int
    size: int


def find_tars(path: Path) -> list[Path]:
    """The tars of a path: a single one, those of a range such as x-{000..009}.tar, or those in a folder.

    Returns:
        In rising order; empty if the path is of another kind, such as a folder with images beside tars.

    Raises:
        InputError: The range has more than 100,000 tars.
    """
    if os.path.isdir(path):  # pathlib raises on a name that is too long
        tars = sorted(path.glob("*.tar"))
        return [] if tars and any(is_image_name(file.name) for file in path.rglob("*")) else tars
    if path.suffix.lower() != ".tar":
        return []
    count = prod(max(1, int(last) + 1 - int(first)) for first, last in _RANGE.findall(str(path)))
    if count > _MAX_TARS:
        raise InputError(f"'{path}' stands for {count:,} tars, more than {_MAX_TARS:,}: shorten its range.")
    return [Path(name) for name in _expand(str(path))]


def list_tar_images(origin: str, tars: Sequence[Path]) -> ImageFiles:
    """The images of all tars, in the order of the tars and of the files in each; nothing is unpacked.

    Classes are those of .cls files if every image has one, else folders.

    Raises:
        InputError: A tar is missing, broken or compressed, or there are no images.
    """
    base = os.path.commonpath([tar.parent for tar in tars])
    members = {
        f"{Path(os.path.relpath(tar, base)).as_posix()}/{member.name}": member
        for tar in tars
        for member in _list_members(tar)
    }
    images = {name: member for name, member in members.items() if is_image_name(member.name)}
    for member in images.values():
        if member.size > MAX_FILE_BYTES:
            raise too_large(str(member.tar), member.name, f"{member.size:,} bytes")
    dates = {tar: tar.stat().st_mtime_ns for tar in tars}
    stamps = {name: f"{member.start} {member.size} {dates[member.tar]}" for name, member in images.items()}
    return ImageFiles(origin, stamps, partial(_open, images), _labels(members, images))


def _expand(name: str) -> list[str]:
    match = _RANGE.search(name)
    if match is None:
        return [name]
    before, (first, last), after = name[: match.start()], match.groups(), _expand(name[match.end() :])
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return [f"{before}{number}{end}" for number in numbers for end in after]


def _list_members(tar: Path) -> Iterator[Member]:
    try:
        # "r:", because a compressed tar cannot be read at a position without all that is before it.
        with tarfile.open(tar, "r:") as archive:
            yield from (Member(m.name, tar, m.offset_data, m.size) for m in archive if m.isfile())
    except (OSError, tarfile.TarError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        remedy = "check its name" if missing else "make it again, not compressed as a whole"
        raise InputError(f"'{tar}' cannot be read as a tar ({error}): {remedy}.") from None


def _labels(members: Mapping[str, Member], images: Mapping[str, Member]) -> tuple[str, ...] | None:
    classes = {_sample_key(name): member for name, member in members.items() if name.endswith(".cls")}
    if images and all(_sample_key(name) in classes for name in images):
        return tuple(_read(classes[_sample_key(name)]).decode(errors="replace").strip() for name in images)
    return folder_labels([member.name for member in images.values()])


def _sample_key(name: str) -> str:
    """What the files of a sample share: the name up to the first dot after the last slash."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _read(member: Member) -> bytes:
    with member.tar.open("rb") as file:
        file.seek(member.start)
        return file.read(member.size)


def _open(images: Mapping[str, Member], name: str) -> IO[bytes]:
    return BytesIO(_read(images[name]))

"""A folder or a zip file of pictures."""

from __future__ import annotations

import itertools
import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, final

import numpy as np
import torch
from torch import Tensor

from wgan.data.pictures import DEFAULT_RESOLUTION, SUFFIXES, Facts, check_fit, decode, look
from wgan.data.source import Source, assemble
from wgan.data.stash import Array, Block, Stored, gather, key_of, memory_budget, recall, spill
from wgan.errors import InputError

_BLOCK = 256
_THREADS = 8
_LARGEST_FILE = 1 << 30
_DECODING = 1  # Raise it when `decode` changes what it returns: cached sets are then made again.


@final
@dataclass(frozen=True)
class Album:
    """Picture files that can be opened one by one, in sorted order.

    Attributes:
        origin: the path, for messages.
        stamps: for each picture's relative name, what changes when its content does.
        open: opens a picture by its name.
    """

    origin: str
    stamps: dict[str, str]
    open: Callable[[str], IO[bytes]]


def pictures_of(
    path: str | Path,
    *,
    resolution: int | None = None,
    channels: int | None = None,
    memory_limit: int | None = None,
) -> Source:
    """The pictures of a folder, with all its sub-folders, or of a zip file (which is never unpacked).

    Files are taken by their suffix (`SUFFIXES`), in sorted order; hidden files and `__MACOSX` are
    passed over. The first-level sub-folder is the class. Folders that all pictures have in common say
    nothing and are ignored; if pictures lie both at the top and in sub-folders there are no labels.

    A picture that cannot be read is skipped and named in `Source.skipped`.

    Args:
        path: the folder or the zip file.
        resolution: side of the square the pictures are cropped and resized to. If None: their own, if
            all share one square size that is a multiple of 4; else 64.
        channels: 1 (grey) or 3 (colour). If None: 1 if every file is grey by its format, else 3.
        memory_limit: a set of more bytes is decoded once into a file of the user's cache and mapped.
            If None: a quarter of the memory.

    Raises:
        InputError: nothing at `path`, no zip, no pictures, a picture so large that it must be an attack,
            more than 1 % (and more than one) unreadable, fewer than 8 readable.
        StorageError: the cache cannot be written to.
    """
    check_fit(resolution, channels)
    limit = memory_budget(memory_limit)
    with opened(Path(path)) as album:
        names = list(album.stamps)
        stored = _stored(album, resolution, channels, limit)
    gone = set(stored.dropped)
    labels, classes = classes_of(names)
    if labels is not None:
        labels = labels[[position for position in range(len(names)) if position not in gone]]
    skipped = tuple(names[position] for position in stored.dropped)
    return assemble(stored, name=str(path), labels=labels, classes=classes, skipped=skipped)


@contextmanager
def opened(path: Path) -> Iterator[Album]:
    """Open a folder or zip file as an album; it can be read from within the context.

    Raises:
        InputError: see `pictures_of`.
    """
    if path.is_dir():
        stamps = _listing(path)
        yield _checked(Album(str(path), stamps, lambda name: (path / name).open("rb")))
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(f"There is nothing at '{path}': give a folder or zip file of pictures.") from None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' cannot be read as a zip file ({error}): make it again.") from None
    with archive:
        stamps = _members(path, archive)
        yield _checked(Album(str(path), stamps, lambda name: BytesIO(archive.read(name))))


def classes_of(names: list[str]) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """The label of each picture, int64 (N,), and the names of the classes, or (None, None)."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    shared = _shared_depth(folders)
    if any(len(folder) == shared for folder in folders):
        return None, None
    owner = [folder[shared] for folder in folders]
    classes = sorted(set(owner))
    index = {name: label for label, name in enumerate(classes)}
    return torch.tensor([index[name] for name in owner]), tuple(classes)


def _shared_depth(folders: list[tuple[str, ...]]) -> int:
    """How many leading folders all have in common: what the first and the last in order share."""
    pairs = zip(min(folders), max(folders), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _checked(album: Album) -> Album:
    if album.stamps:
        return album
    raise InputError(
        f"'{album.origin}' holds no pictures: a picture is a file, not hidden, whose name ends in one of "
        f"{' '.join(sorted(SUFFIXES))}."
    )


def _listing(folder: Path) -> dict[str, str]:
    files = sorted(_walk(folder, frozenset()), key=lambda file: file.relative_to(folder).parts)
    return {file.relative_to(folder).as_posix(): _stamp(file) for file in files}


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Picture files under a folder; links are followed, but never in a circle."""
    real = folder.resolve()
    if real in above:
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be read ({error}): see to its permissions.") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir():
            yield from _walk(entry, above | {real})
        elif entry.suffix.lower() in SUFFIXES:
            yield entry


def _stamp(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return "missing"  # A broken link: opening it will fail, and it will be named.
    return f"{status.st_size} {status.st_mtime_ns}"


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    members = [member for member in archive.infolist() if not member.is_dir() and _wanted(member.filename)]
    for member in members:
        if member.flag_bits & 1:
            raise InputError(
                f"'{path}' is encrypted ('{member.filename}'): make it again without a password."
            )
        if member.file_size > _LARGEST_FILE:
            raise _bomb(str(path), member.filename, f"{member.file_size:,} bytes when unpacked")
    members.sort(key=lambda member: PurePosixPath(member.filename).parts)
    return {member.filename: f"{member.file_size} {member.CRC}" for member in members}


def _wanted(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


def _bomb(origin: str, name: str, size: str) -> InputError:
    return InputError(
        f"'{name}' in '{origin}' is a picture of {size}, far more than any camera takes, so it may be a "
        f"decompression bomb: remove it, or scale it down first."
    )


def _stored(album: Album, resolution: int | None, channels: int | None, limit: int) -> Stored:
    key = key_of(_DECODING, list(album.stamps.items()), resolution, channels)
    cached = recall(key, limit)
    if cached is not None:
        return cached
    facts = survey(album)
    side = resolution or common_resolution(facts)
    depth = channels or (1 if all(fact.grey for fact in facts if fact) else 3)
    shape = (depth, side, side)
    blocks = _decoded(album, facts, side, depth)
    if len(facts) * depth * side * side > limit:
        return spill(blocks, shape, np.uint8, key)
    return gather(blocks, len(facts), shape, np.uint8)


def survey(album: Album) -> list[Facts | None]:
    """The facts of every picture, in order; None for one whose head cannot be read.

    Raises:
        InputError: a picture is so large that decoding it might exhaust the memory.
    """
    with warnings.catch_warnings():
        from PIL import Image

        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [_facts(album, name) for name in album.stamps]


def _facts(album: Album, name: str) -> Facts | None:
    from PIL import Image

    try:
        with album.open(name) as file:
            return look(file)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise _bomb(album.origin, name, f"more than {limit:,} pixels") from None
    except Exception:  # Pillow's decoders fail in any way on a broken file.
        return None


def common_resolution(facts: list[Facts | None]) -> int:
    """The side all pictures share if they are square and it is a multiple of 4, else 64."""
    sizes = {fact.size for fact in facts if fact}
    width, height = sizes.pop() if len(sizes) == 1 else (0, 1)
    return width if width == height and width % 4 == 0 else DEFAULT_RESOLUTION


def _decoded(album: Album, facts: list[Facts | None], side: int, depth: int) -> Iterator[Block]:
    """The pictures in blocks; raises InputError as soon as too many were unreadable."""
    names = list(album.stamps)
    lost = [names[position] for position, fact in enumerate(facts) if fact is None]
    read = partial(_picture, album, side=side, channels=depth)
    _refuse_many(album, lost)
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(names), _BLOCK):
            some, known = names[start : start + _BLOCK], facts[start : start + _BLOCK]
            found = list(pool.map(lambda name, fact: read(name) if fact else None, some, known))
            lost += [n for n, f, p in zip(some, known, found, strict=True) if f is not None and p is None]
            _refuse_many(album, lost)
            yield _block(found, start, (depth, side, side))


def _picture(album: Album, name: str, *, side: int, channels: int) -> Array | None:
    try:
        with album.open(name) as file:
            return decode(file, side, channels)
    except Exception:  # As above: whatever it was, the file is named to the user.
        return None


def _block(found: list[Array | None], start: int, shape: tuple[int, ...]) -> Block:
    good = [picture for picture in found if picture is not None]
    dropped = [start + offset for offset, picture in enumerate(found) if picture is None]
    return Block(np.stack(good) if good else np.empty((0, *shape), np.uint8), dropped)


def _refuse_many(album: Album, lost: list[str]) -> None:
    total = len(album.stamps)
    if len(lost) <= max(1, total // 100):
        return
    named = ", ".join(f"'{name}'" for name in lost[:3]) + (", ..." if len(lost) > 3 else "")
    raise InputError(
        f"At least {len(lost)} of the {total} pictures of '{album.origin}' cannot be read ({named}); more "
        f"than 1 % means that something went wrong with the set: repair or remove them."
    )

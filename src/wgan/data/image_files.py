"""Images that lie somewhere as files: in a folder, a zip file, tars."""

from __future__ import annotations

import itertools
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from math import prod
from pathlib import Path, PurePosixPath
from typing import IO, final

import numpy as np

from wgan.data.decoding import DEFAULT_RESOLUTION, SUFFIXES, ImageInfo, decode, look
from wgan.data.reader import Array, Chunk, DatasetReader, DatasetSpec, key_of, refuse_many, shards_for
from wgan.errors import InputError

_BLOCK = 256
_THREADS = 8
LARGEST_FILE = 1 << 30
_DECODING = 1  # Raise it when `decode` changes what it returns: cached sets are then made again.


@final
@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files that can be opened one by one, in an order that is always the same.

    Attributes:
        origin: the path, for messages.
        stamps: for each image's name, what changes when its content does.
        open: opens an image by its name; can be pickled.
        owners: the class of each image; None where there are no classes.
    """

    origin: str
    stamps: dict[str, str]
    open: Callable[[str], IO[bytes]]
    owners: tuple[str, ...] | None

    def __post_init__(self) -> None:
        if not self.stamps:
            raise InputError(
                f"'{self.origin}' holds no images: an image is a file, not hidden, whose name ends in one "
                f"of {' '.join(sorted(SUFFIXES))}."
            )


@final
@dataclass(frozen=True, eq=False)
class ImageReader(DatasetReader):
    """The images of an album, as squares of one size; those that cannot be read are skipped and named.

    Attributes:
        album: where they are.
        resolution: their side. If None: their own, if all share one square size that is a multiple of 4;
            else 64.
        channels: 1 (grey) or 3 (colour). If None: 1 if every file is grey by its format, else 3.
    """

    album: ImageFiles
    resolution: int | None = None
    channels: int | None = None

    @property
    def origin(self) -> str:
        """The album's path."""
        return self.album.origin

    @property
    def key(self) -> str:
        """Made from every file's stamp."""
        return key_of(_DECODING, list(self.album.stamps.items()), self.resolution, self.channels)

    @cached_property
    def spec(self) -> DatasetSpec:
        """Found in the heads of all files."""
        facts = survey(self.album)
        lost = [name for name, fact in zip(self.album.stamps, facts, strict=True) if fact is None]
        refuse_many(self.origin, lost, len(facts))
        shape = common_shape(facts, self.resolution, self.channels)
        classes = None if self.album.owners is None else tuple(in_order(set(self.album.owners)))
        return DatasetSpec(shape, "uint8", len(facts), shards_for(len(facts) * prod(shape)), classes)

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """The images, 256 at a time, decoded by a few threads."""
        depth, side, _ = spec.shape
        span = spec.span(shard)
        names = list(itertools.islice(self.album.stamps, span.start, span.stop))
        labels = self._labels(spec, span)
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(names), _BLOCK):
                some = slice(start, start + _BLOCK)
                found = pool.map(partial(self._read, side=side, channels=depth), names[some])
                yield block_of(names[some], list(found), spec.shape, None if labels is None else labels[some])

    def _read(self, name: str, *, side: int, channels: int) -> Array | None:
        try:
            with self.album.open(name) as file:
                return decode(file, side, channels)
        except Exception:  # Pillow's decoders fail in any way on a broken file; it is named to the user.
            return None

    def _labels(self, spec: DatasetSpec, span: range) -> Array | None:
        if self.album.owners is None or spec.classes is None:
            return None
        label = {name: number for number, name in enumerate(spec.classes)}
        return np.array([label[name] for name in self.album.owners[span.start : span.stop]], np.int64)


def album_of(path: Path) -> ImageFiles:
    """The images of a folder, with all its sub-folders, or of a zip file (which is never unpacked).

    Files are taken by their suffix (`SUFFIXES`), in sorted order; hidden files and `__MACOSX` are
    passed over. The first-level sub-folder is the class. Folders that all images have in common say
    nothing and are ignored; if images lie both at the top and in sub-folders there are no labels.

    Raises:
        InputError: nothing at `path`, no zip or one that is encrypted, no images.
    """
    if path.is_dir():
        stamps = _listing(path)
        return ImageFiles(str(path), stamps, partial(_open_file, path), owners_of(list(stamps)))
    try:
        archive = _Zip(path)
    except FileNotFoundError:
        raise InputError(f"There is nothing at '{path}': give a folder or zip file of images.") from None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' cannot be read as a zip file ({error}): make it again.") from None
    stamps = _members(path, archive.members())
    return ImageFiles(str(path), stamps, archive, owners_of(list(stamps)))


def block_of(
    names: Sequence[str], found: Sequence[Array | None], shape: tuple[int, ...], labels: Array | None
) -> Chunk:
    """A block of the samples that were found; the others are dropped by their names."""
    good = [image is not None for image in found]
    return Chunk(
        np.stack([image for image in found if image is not None])
        if any(good)
        else np.empty((0, *shape), np.uint8),
        tuple(name for name, there in zip(names, good, strict=True) if not there),
        None if labels is None else labels[good],
    )


def owners_of(names: list[str]) -> tuple[str, ...] | None:
    """The class of each image by its folder, or None."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    shared = _shared_depth(folders)
    if any(len(folder) == shared for folder in folders):
        return None
    return tuple(folder[shared] for folder in folders)


def in_order(names: Iterable[str]) -> list[str]:
    """Names sorted, as numbers if they all are."""
    listed = sorted(names)
    return sorted(listed, key=int) if all(name.isdecimal() for name in listed) else listed


@final
class _Zip:
    """Opens members of a zip file; a process it is sent to opens the archive anew."""

    def __init__(self, path: Path) -> None:
        self._path, self._archive = path, zipfile.ZipFile(path)

    def __reduce__(self) -> tuple[type[_Zip], tuple[Path]]:
        return _Zip, (self._path,)

    def __call__(self, name: str) -> IO[bytes]:
        return BytesIO(self._archive.read(name))

    def members(self) -> list[zipfile.ZipInfo]:
        """All that is in the archive."""
        return self._archive.infolist()


def _open_file(folder: Path, name: str) -> IO[bytes]:
    return (folder / name).open("rb")


def _shared_depth(folders: list[tuple[str, ...]]) -> int:
    """How many leading folders all have in common: what the first and the last in order share."""
    pairs = zip(min(folders, default=()), max(folders, default=()), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _listing(folder: Path) -> dict[str, str]:
    files = sorted(_walk(folder, frozenset()), key=lambda file: file.relative_to(folder).parts)
    return {file.relative_to(folder).as_posix(): _stamp(file) for file in files}


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Image files under a folder; links are followed, but never in a circle."""
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


def _members(path: Path, found: list[zipfile.ZipInfo]) -> dict[str, str]:
    members = [member for member in found if not member.is_dir() and wanted(member.filename)]
    for member in members:
        if member.flag_bits & 1:
            raise InputError(
                f"'{path}' is encrypted ('{member.filename}'): make it again without a password."
            )
        if member.file_size > LARGEST_FILE:
            raise bomb(str(path), member.filename, f"{member.file_size:,} bytes when unpacked")
    members.sort(key=lambda member: PurePosixPath(member.filename).parts)
    return {member.filename: f"{member.file_size} {member.CRC}" for member in members}


def wanted(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    path = PurePosixPath(name)
    hidden = any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


def bomb(origin: str, name: str, size: str) -> InputError:
    """The error for an image that is too large to be one."""
    return InputError(
        f"'{name}' in '{origin}' is an image of {size}, far more than any camera takes, so it may be a "
        f"decompression bomb: remove it, or scale it down first."
    )


def survey(album: ImageFiles) -> list[ImageInfo | None]:
    """The facts of every image, in order; None for one whose head cannot be read.

    Raises:
        InputError: an image is so large that decoding it might exhaust the memory.
    """
    with warnings.catch_warnings():
        from PIL import Image

        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [_facts(album, name) for name in album.stamps]


def _facts(album: ImageFiles, name: str) -> ImageInfo | None:
    from PIL import Image

    try:
        with album.open(name) as file:
            return look(file)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise bomb(album.origin, name, f"more than {limit:,} pixels") from None
    except Exception:  # Pillow's decoders fail in any way on a broken file.
        return None


def common_shape(
    facts: list[ImageInfo | None], resolution: int | None, channels: int | None
) -> tuple[int, int, int]:
    """The shape that images become: what is not asked for is found in them, see :class:`ImageReader`."""
    side = resolution or _common_resolution(facts)
    return channels or (1 if all(fact.grey for fact in facts if fact) else 3), side, side


def _common_resolution(facts: list[ImageInfo | None]) -> int:
    sizes = {fact.size for fact in facts if fact}
    width, height = sizes.pop() if len(sizes) == 1 else (0, 1)
    return width if width == height and width % 4 == 0 else DEFAULT_RESOLUTION

"""Image files in a folder or a zip file, and the reader that decodes them."""

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

from wgan.data.decoding import DEFAULT_RESOLUTION, SUFFIXES, ImageInfo, decode, read_image_info
from wgan.data.reader import Array, Chunk, DatasetReader, DatasetSpec, check_skipped, key_of, shard_count
from wgan.errors import InputError

CHUNK_ROWS = 256
MAX_FILE_BYTES = 1 << 30
_THREADS = 8
_DECODING = 1  # Raise it when `decode` changes what it returns: cached datasets are then read again.


@final
@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files that can be opened one by one, in a fixed order.

    Attributes:
        origin: The path, for messages.
        stamps: By the name of each image, a text that changes with its content (size and date, or CRC).
        open: Opens an image by its name; picklable.
        labels: The class name of each image; None without classes.
    """

    origin: str
    stamps: dict[str, str]
    open: Callable[[str], IO[bytes]]
    labels: tuple[str, ...] | None

    def __post_init__(self) -> None:
        if not self.stamps:
            raise InputError(
                f"'{self.origin}' holds no images: an image is a file, not hidden, whose name ends in one "
                f"of {' '.join(sorted(SUFFIXES))}."
            )


@final
@dataclass(frozen=True, eq=False)
class ImageReader(DatasetReader):
    """Image files as squares of one size; unreadable files are skipped and named.

    Attributes:
        files: The image files.
        resolution: The side of the squares. If None: that of the images, if all are squares of one size that
            is a multiple of 4; else 64.
        channels: 1 (grey) or 3 (colour). If None: 1 if every file is grey by its format, else 3.
    """

    files: ImageFiles
    resolution: int | None = None
    channels: int | None = None

    @property
    def origin(self) -> str:
        """The path of the files."""
        return self.files.origin

    @property
    def key(self) -> str:
        """A hash of all files' stamps."""
        return key_of(_DECODING, list(self.files.stamps.items()), self.resolution, self.channels)

    @cached_property
    def spec(self) -> DatasetSpec:
        """The spec, from the headers of all files."""
        infos = read_headers(self.files)
        unreadable = [name for name, info in zip(self.files.stamps, infos, strict=True) if info is None]
        check_skipped(self.origin, unreadable, len(infos))
        shape = common_shape(infos, self.resolution, self.channels)
        classes = None if self.files.labels is None else tuple(sorted_classes(set(self.files.labels)))
        return DatasetSpec(shape, "uint8", len(infos), shard_count(len(infos) * prod(shape)), classes)

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """The images, 256 at a time, decoded by a few threads."""
        rows = spec.shard_rows(shard)
        names = list(itertools.islice(self.files.stamps, rows.start, rows.stop))
        labels = self._label_numbers(spec, rows)
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(names), CHUNK_ROWS):
                some = slice(start, start + CHUNK_ROWS)
                openers = (partial(self.files.open, name) for name in names[some])
                images = list(pool.map(partial(try_decode, shape=spec.shape), openers))
                yield chunk_of(names[some], images, spec.shape, None if labels is None else labels[some])

    def _label_numbers(self, spec: DatasetSpec, rows: range) -> Array | None:
        if self.files.labels is None or spec.classes is None:
            return None
        number = {name: index for index, name in enumerate(spec.classes)}
        return np.array([number[name] for name in self.files.labels[rows.start : rows.stop]], np.int64)


def list_image_files(path: Path) -> ImageFiles:
    """The images of a folder and all its sub-folders, or of a zip file (which is never unpacked).

    Files are recognised by their suffix (`SUFFIXES`) and sorted by name; hidden files and `__MACOSX` are
    ignored. The first-level sub-folder is the class. Folders that contain all images are no classes; if
    images lie both at the top and in sub-folders there are no labels.

    Raises:
        InputError: There is nothing at `path`, it is no zip file or an encrypted one, or holds no images.
    """
    if path.is_dir():
        stamps = _list_folder(path)
        return ImageFiles(str(path), stamps, partial(_open_file, path), folder_labels(list(stamps)))
    try:
        archive = _ZipOpener(path)
    except FileNotFoundError:
        raise InputError(f"There is nothing at '{path}': give a folder or zip file of images.") from None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' cannot be read as a zip file ({error}): make it again.") from None
    stamps = _list_zip(path, archive.infolist())
    return ImageFiles(str(path), stamps, archive, folder_labels(list(stamps)))


def try_decode(open_file: Callable[[], IO[bytes]], shape: tuple[int, ...]) -> Array | None:
    """The image in a file as bytes of this shape (channels, side, side); None if it cannot be read."""
    channels, side, _ = shape
    try:
        with open_file() as file:
            return decode(file, side, channels)
    except Exception:  # Pillow's decoders raise anything for a broken file; it is skipped and named.
        return None


def chunk_of(
    names: Sequence[str], images: Sequence[Array | None], shape: tuple[int, ...], labels: Array | None
) -> Chunk:
    """A chunk of these images; those that are None are skipped and named."""
    readable = [image is not None for image in images]
    pixels = [image for image in images if image is not None]
    return Chunk(
        np.stack(pixels) if pixels else np.empty((0, *shape), np.uint8),
        tuple(name for name, good in zip(names, readable, strict=True) if not good),
        None if labels is None else labels[readable],
    )


def folder_labels(names: list[str]) -> tuple[str, ...] | None:
    """The class of each image by its folder, or None."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    shared = _shared_depth(folders)
    if any(len(folder) == shared for folder in folders):
        return None
    return tuple(folder[shared] for folder in folders)


def sorted_classes(names: Iterable[str]) -> list[str]:
    """Class names sorted, as numbers if they all are."""
    listed = sorted(names)
    return sorted(listed, key=int) if all(name.isdecimal() for name in listed) else listed


def is_image_name(name: str) -> bool:
    """Whether a file of this name counts as an image."""
    path = PurePosixPath(name)
    hidden = any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


def too_large(origin: str, name: str, size: str) -> InputError:
    """The error for an image of a suspicious size."""
    return InputError(
        f"'{name}' in '{origin}' is an image of {size}, far more than cameras produce, so it may be a "
        "decompression bomb: remove it, or scale it down first."
    )


def read_headers(files: ImageFiles) -> list[ImageInfo | None]:
    """The header of every image, in order; None for one that cannot be read.

    Raises:
        InputError: An image is so large that decoding it might exhaust the memory.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [_read_header(files, name) for name in files.stamps]


def common_shape(
    infos: list[ImageInfo | None], resolution: int | None, channels: int | None
) -> tuple[int, int, int]:
    """The shape that images are converted to; see `ImageReader` for what is not requested."""
    side = resolution or _common_resolution(infos)
    return channels or (1 if all(info.grey for info in infos if info) else 3), side, side


@final
class _ZipOpener:
    """Opens members of a zip file; unpickled in another process it opens the archive anew."""

    def __init__(self, path: Path) -> None:
        self._path, self._archive = path, zipfile.ZipFile(path)
        self.infolist = self._archive.infolist

    def __reduce__(self) -> tuple[type[_ZipOpener], tuple[Path]]:
        return _ZipOpener, (self._path,)

    def __call__(self, name: str) -> IO[bytes]:
        return BytesIO(self._archive.read(name))


def _open_file(folder: Path, name: str) -> IO[bytes]:
    return (folder / name).open("rb")


def _shared_depth(folders: list[tuple[str, ...]]) -> int:
    """The number of leading folders that all have in common: those that the first and the last one share."""
    pairs = zip(min(folders, default=()), max(folders, default=()), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _list_folder(folder: Path) -> dict[str, str]:
    files = sorted(_walk(folder, frozenset()), key=lambda file: file.relative_to(folder).parts)
    return {file.relative_to(folder).as_posix(): _stamp(file) for file in files}


def _walk(folder: Path, parents: frozenset[Path]) -> Iterator[Path]:
    """Image files under a folder; links are followed, but never in a circle."""
    real = folder.resolve()
    if real in parents:
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be read ({error}): check its permissions.") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir():
            yield from _walk(entry, parents | {real})
        elif entry.suffix.lower() in SUFFIXES:
            yield entry


def _stamp(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return "missing"  # A broken link: opening it will fail, and it will be named.
    return f"{status.st_size} {status.st_mtime_ns}"


def _list_zip(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, str]:
    images = [member for member in members if not member.is_dir() and is_image_name(member.filename)]
    for member in images:
        if member.flag_bits & 1:
            raise InputError(
                f"'{path}' is encrypted ('{member.filename}'): make it again without a password."
            )
        if member.file_size > MAX_FILE_BYTES:
            raise too_large(str(path), member.filename, f"{member.file_size:,} bytes when unpacked")
    images.sort(key=lambda member: PurePosixPath(member.filename).parts)
    return {member.filename: f"{member.file_size} {member.CRC}" for member in images}


def _read_header(files: ImageFiles, name: str) -> ImageInfo | None:
    from PIL import Image

    try:
        with files.open(name) as file:
            return read_image_info(file)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise too_large(files.origin, name, f"more than {limit:,} pixels") from None
    except Exception:  # Pillow's decoders raise anything for a broken file.
        return None


def _common_resolution(infos: list[ImageInfo | None]) -> int:
    sizes = {info.size for info in infos if info}
    width, height = sizes.pop() if len(sizes) == 1 else (0, 1)
    return width if width == height and width % 4 == 0 else DEFAULT_RESOLUTION

"""Datasets of Hugging Face's package `datasets`, from its hub or a folder: `hf:NAME`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from wgan.data.decoding import ImageInfo, read_image_info
from wgan.data.image_files import CHUNK_ROWS, chunk_of, common_shape, try_decode
from wgan.data.reader import MAX_SHARDS, Array, Chunk, DatasetReader, DatasetSpec, key_of
from wgan.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from datasets import IterableDataset

PREFIX = "hf:"
"""The beginning of these datasets' names."""

_INSPECTED = 256
_READING = 1  # Raise it when `HuggingFaceReader.chunks` returns something else: datasets are then read again.


@final
@dataclass(frozen=True, eq=False)
class HuggingFaceReader(DatasetReader):
    """The images of a Hugging Face dataset, streamed: only converted images are stored.

    Attributes:
        path: The name on the hub, or a folder.
        config: The configuration; None if there is only one.
        split: 'train', 'test', ...
        resolution: The side of the squares. If None: as of a folder, by the first 256 images.
        channels: 1 or 3; likewise.
    """

    path: str
    config: str | None
    split: str
    resolution: int | None = None
    channels: int | None = None

    @property
    def origin(self) -> str:
        """The full name, as `load` takes it."""
        selection = self.split if self.config is None else f"{self.config},{self.split}"
        return f"{PREFIX}{self.path}[{selection}]"

    @property
    def location(self) -> str:
        """The absolute path of a folder, or the name."""
        return os.path.realpath(self.path) if os.path.isdir(self.path) else self.origin

    @property
    def key(self) -> str:
        """A hash of the name and of a folder's files; later versions on the hub do not change it."""
        return key_of(_READING, self.origin, _stamps(Path(self.path)), self.resolution, self.channels)

    @cached_property
    def spec(self) -> DatasetSpec:
        """The spec, from the first images; there are as many shards as files."""
        stream, image, label = self._stream()
        with _reading(self.origin):
            infos = [_read_header(row[image]) for row in stream.take(_INSPECTED)]
        shape = common_shape(infos, self.resolution, self.channels)
        classes = None if label is None else tuple(stream.features[label].names)
        return DatasetSpec(shape, "uint8", None, min(stream.num_shards, MAX_SHARDS), classes)

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """The images of one of the dataset's files, 256 at a time."""
        stream, image, label = self._stream()
        part = stream.shard(num_shards=spec.shards, index=shard)
        with _reading(self.origin):
            for count, rows in enumerate(part.iter(batch_size=CHUNK_ROWS)):
                start = count * CHUNK_ROWS
                names = [f"{self.origin} {shard}/{start + row}" for row in range(len(rows[image]))]
                images = [try_decode(partial(_open, value), spec.shape) for value in rows[image]]
                labels = None if label is None else self._label_numbers(rows[label])
                yield chunk_of(names, images, spec.shape, labels)

    def _label_numbers(self, values: list[int | None]) -> Array:
        if any(value is None or value < 0 for value in values):
            raise InputError(f"{self.origin} has samples without a label among others: give another split.")
        return np.array(values, np.int64)

    def _stream(self) -> tuple[IterableDataset, str, str | None]:
        """The dataset, and the names of the columns of images and of classes."""
        try:
            from datasets import ClassLabel, Image, load_dataset
        except ImportError as error:
            raise MissingExtraError(
                f"{self.origin} needs an optional package: pip install 'wgan[hf]'."
            ) from error
        with _reading(self.origin):
            stream = load_dataset(self.path, self.config, split=self.split, streaming=True)
        columns = stream.features or {}
        images = [name for name, feature in columns.items() if isinstance(feature, Image)]
        labels = [name for name, feature in columns.items() if isinstance(feature, ClassLabel)]
        if len(images) != 1:
            raise InputError(
                f"{self.origin} has the columns {', '.join(columns)}, and {len(images)} of them hold "
                "images: give a dataset with one such column, or save the images to a folder."
            )
        stream = stream.cast_column(images[0], Image(decode=False))
        return stream, images[0], labels[0] if len(labels) == 1 else None


def parse_huggingface_name(dataset: str, resolution: int | None, channels: int | None) -> HuggingFaceReader:
    """A reader of `hf:NAME` (its split 'train'), `hf:NAME[SPLIT]` or `hf:NAME[CONFIG,SPLIT]`.

    Raises:
        InputError: The name has another form.
    """
    path, bracket, inside = dataset.removeprefix(PREFIX).partition("[")
    selection = inside.removesuffix("]").split(",") if bracket else ["train"]
    if not path or not all(selection) or len(selection) > 2 or bool(bracket) != dataset.endswith("]"):
        raise InputError(
            f"'{dataset}' is no name of a dataset: give hf:NAME, hf:NAME[SPLIT] or hf:NAME[CONFIG,SPLIT]."
        )
    config = selection[0] if len(selection) == 2 else None
    return HuggingFaceReader(path, config, selection[-1], resolution, channels)


@contextmanager
def _reading(origin: str) -> Iterator[None]:
    """Turn any exception of `datasets` into an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Dozens of kinds, from the network, the hub and the file formats.
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"{origin} cannot be read ({type(error).__name__}: {reason}): check its name, split and network."
        ) from error


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and dates of a folder's files; none for a name on the hub."""
    files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
    return [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _read_header(value: Any) -> ImageInfo | None:  # noqa: ANN401 - whatever the dataset holds
    try:
        return read_image_info(_open(value))
    except Exception:  # It is named when it is decoded.
        return None


def _open(value: Any) -> BytesIO:  # noqa: ANN401 - whatever the dataset holds
    content = value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
    return BytesIO(content)

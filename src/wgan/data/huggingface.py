"""Sets for Hugging Face's package `datasets`, on its hub or in a folder: `hf:NAME`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from wgan.data.decoding import ImageInfo, decode, look
from wgan.data.image_files import block_of, common_shape
from wgan.data.reader import MOST_SHARDS, Array, Chunk, DatasetReader, DatasetSpec, key_of
from wgan.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from datasets import IterableDataset

PREFIX = "hf:"
"""What the names of these sources begin with."""

_LOOKED_AT = 256
_BLOCK = 256
_READING = (
    1  # Raise it when `HuggingFaceReader.blocks` changes what it returns: cached sets are then made again.
)


@final
@dataclass(frozen=True, eq=False)
class HuggingFaceReader(DatasetReader):
    """The images of such a set. They are streamed: what is kept of them is in their final form.

    Attributes:
        path: its name on the hub, or a folder.
        config: which of its configurations; None where there is one only.
        split: 'train', 'test', ...
        resolution: side of the squares. If None: as of a folder, by the first 256 images.
        channels: 1 or 3; likewise.
    """

    path: str
    config: str | None
    split: str
    resolution: int | None = None
    channels: int | None = None

    @property
    def origin(self) -> str:
        """The name it is asked for by."""
        chosen = self.split if self.config is None else f"{self.config},{self.split}"
        return f"{PREFIX}{self.path}[{chosen}]"

    @property
    def place(self) -> str:
        """The folder's, or the name."""
        return os.path.realpath(self.path) if os.path.isdir(self.path) else self.origin

    @property
    def key(self) -> str:
        """Made from the name, and of a folder from its files: a set of the hub stays what was packed."""
        return key_of(_READING, self.origin, _stamps(Path(self.path)), self.resolution, self.channels)

    @cached_property
    def spec(self) -> DatasetSpec:
        """Found in the first images; as many shards as the set has files."""
        stream, image, label = self._opened()
        with _telling(self.origin):
            facts = [_facts(row[image]) for row in stream.take(_LOOKED_AT)]
        shape = common_shape(facts, self.resolution, self.channels)
        classes = None if label is None else tuple(stream.features[label].names)
        return DatasetSpec(shape, "uint8", None, min(stream.num_shards, MOST_SHARDS), classes)

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        """The images of one of the set's files, 256 at a time."""
        stream, image, label = self._opened()
        part = stream.shard(num_shards=spec.shards, index=shard)
        with _telling(self.origin):
            for count, rows in enumerate(part.iter(batch_size=_BLOCK)):
                names = [f"{self.origin} {shard}/{count * _BLOCK + row}" for row in range(len(rows[image]))]
                found = [self._read(value, spec) for value in rows[image]]
                labels = None if label is None else self._labels(rows[label])
                yield block_of(names, found, spec.shape, labels)

    def _read(self, value: Any, spec: DatasetSpec) -> Array | None:  # noqa: ANN401 - whatever the set holds
        depth, side, _ = spec.shape
        try:
            return decode(_file(value), side, depth)
        except Exception:  # As of a folder: whatever it was, it is named to the user.
            return None

    def _labels(self, values: list[int | None]) -> Array:
        if any(value is None or value < 0 for value in values):
            raise InputError(f"{self.origin} has samples without a label among others: give another split.")
        return np.array(values, np.int64)

    def _opened(self) -> tuple[IterableDataset, str, str | None]:
        """The stream, and the names of the columns with images and with classes."""
        try:
            from datasets import ClassLabel, Image, load_dataset
        except ImportError as error:
            raise MissingExtraError(
                f"{self.origin} needs an optional package: pip install 'wgan[hf]'."
            ) from error
        with _telling(self.origin):
            stream = load_dataset(self.path, self.config, split=self.split, streaming=True)
        columns = stream.features or {}
        images = [name for name, feature in columns.items() if isinstance(feature, Image)]
        labels = [name for name, feature in columns.items() if isinstance(feature, ClassLabel)]
        if len(images) != 1:
            raise InputError(
                f"{self.origin} has the columns {', '.join(columns)}, and {len(images)} of them hold "
                "images: give a set with one such column, or save the images to a folder."
            )
        return (
            stream.cast_column(images[0], Image(decode=False)),
            images[0],
            labels[0] if len(labels) == 1 else None,
        )


def hub_set(dataset: str, resolution: int | None, channels: int | None) -> HuggingFaceReader:
    """The set named `hf:NAME` (of which 'train' is taken), `hf:NAME[SPLIT]` or `hf:NAME[CONFIG,SPLIT]`.

    Raises:
        InputError: a name of another form.
    """
    path, bracket, inside = dataset.removeprefix(PREFIX).partition("[")
    chosen = inside.removesuffix("]").split(",") if bracket else ["train"]
    if not path or not all(chosen) or len(chosen) > 2 or bool(bracket) != dataset.endswith("]"):
        raise InputError(
            f"'{dataset}' is no name of a set: give hf:NAME, hf:NAME[SPLIT] or hf:NAME[CONFIG,SPLIT]."
        )
    return HuggingFaceReader(path, chosen[0] if len(chosen) == 2 else None, chosen[-1], resolution, channels)


@contextmanager
def _telling(origin: str) -> Iterator[None]:
    """Say in one sentence what `datasets` makes of a set that it cannot read."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Dozens of kinds, from the network, the hub, the set and its file formats.
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"{origin} cannot be read ({type(error).__name__}: {reason}): see to its name, split and network."
        ) from error


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and dates of a folder's files; none for a name on the hub."""
    files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
    return [(str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _facts(value: Any) -> ImageInfo | None:  # noqa: ANN401
    try:
        return look(_file(value))
    except Exception:  # It will be named when it is read.
        return None


def _file(value: Any) -> BytesIO:  # noqa: ANN401
    content = value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
    return BytesIO(content)

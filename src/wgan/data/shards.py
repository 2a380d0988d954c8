"""Shards: samples in their final form, as .npy files of some 256 MiB in a folder, which are memory-mapped.

::

    pack.json    the manifest: origin and spec of the samples; once all shards are written, their digest
    00000.npy    the first shard, an array (n, *shape)
    00000.json   its record: digest, labels, names of skipped samples, and a checksum of the record itself
    ...

A *pack* is such a folder of shards, and to pack a dataset is to write its shards (`wgan data pack`).
`wgan.data.sharding` writes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from wgan.data.reader import DatasetSpec, digest_of, key_of
from wgan.data.storage import MappedSamples, Memmap, Storage, slices
from wgan.errors import InputError

FORMAT = 3
"""The version of the folder's layout, stored in the manifest; other versions are refused."""

MANIFEST = "pack.json"
"""The file that makes a folder a pack."""


@final
@dataclass(frozen=True)
class Manifest:
    """The content of ``pack.json``.

    Attributes:
        origin: The path or name of the data, for messages.
        key: That of the reader.
        spec: The spec of the samples.
        digest: SHA-256 of the samples' dtype, shape and values; None until all shards are written.
    """

    origin: str
    key: str
    spec: DatasetSpec
    digest: str | None


@final
@dataclass(frozen=True, eq=False)
class Shard:
    """One shard, mapped.

    Attributes:
        samples: (n, *shape).
        digest: That of the samples when they were written.
        skipped: Names of samples that could not be read.
        labels: Of each sample, or None.
    """

    samples: Memmap
    digest: str
    skipped: list[str]
    labels: list[int] | None


def is_shard_folder(path: Path) -> bool:
    """Whether this is a folder of shards, finished or not."""
    return os.path.isfile(path / MANIFEST)


def open_shards(folder: Path) -> Storage:
    """Map all shards of a finished folder and check the files' lengths; `verify_shards` reads all samples.

    Raises:
        InputError: The folder is unfinished or of another format, or a shard is missing or damaged.
    """
    spec, digest = _read_finished(folder)
    shards = read_shards(folder, spec)
    return Storage(
        MappedSamples([shard.samples for shard in shards]),
        digest,
        skipped=tuple(name for shard in shards for name in shard.skipped),
        labels=_labels(shards),
        classes=spec.classes,
    )


def verify_shards(folder: Path) -> None:
    """Read all samples and compare each shard with its digest.

    Raises:
        InputError: `open_shards` would raise it, or samples have changed since they were written.
    """
    spec, _ = _read_finished(folder)
    for number, shard in enumerate(read_shards(folder, spec)):
        if digest_of(part for _, part in slices(shard.samples)) != shard.digest:
            raise _damaged(folder, number, "its samples have changed since they were written")


def read_manifest(folder: Path) -> Manifest:
    """Read ``pack.json``.

    Raises:
        InputError: There is none, it cannot be read, or it is of another format.
    """
    if not is_shard_folder(folder):
        raise InputError(f"'{folder}' is not a pack: give a folder that `wgan data pack` wrote.")
    try:
        plain = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = plain.pop("format")
        if version == FORMAT:
            return Manifest(**plain | {"spec": _spec(**plain["spec"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"'{folder / MANIFEST}' cannot be read ({type(error).__name__}: {error}): delete the folder and "
            "pack again."
        ) from error
    raise InputError(
        f"'{folder}' is a pack of format {version}, and this wgan reads format {FORMAT}: pack again, or use "
        "the wgan that wrote it."
    )


def read_shard(folder: Path, spec: DatasetSpec, number: int) -> Shard:
    """Map a shard.

    Raises:
        InputError: It is missing or damaged.
    """
    path = shard_path(folder, number)
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        samples = np.lib.format.open_memmap(path, mode="r")
        shard = Shard(samples, record["digest"], record["skipped"], record["labels"])
        intact = record["checksum"] == record_checksum(number, shard.digest, shard.skipped, shard.labels)
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise _damaged(folder, number, f"{type(error).__name__}: {error}") from error
    if not intact:
        raise _damaged(folder, number, "its record has changed since it was written")
    if samples.shape[1:] != spec.shape or samples.dtype != spec.dtype:
        raise _damaged(folder, number, f"it holds samples {samples.shape[1:]} of type {samples.dtype}")
    if shard.labels is not None and len(shard.labels) != len(samples):
        raise _damaged(folder, number, f"it holds {len(shard.labels)} labels for {len(samples)} samples")
    return shard


def read_shards(folder: Path, spec: DatasetSpec) -> list[Shard]:
    """Map all shards.

    Raises:
        InputError: One is missing or damaged.
    """
    return [read_shard(folder, spec, number) for number in range(spec.shards)]


def is_intact(folder: Path, spec: DatasetSpec, number: int) -> bool:
    """Whether a shard can be mapped."""
    try:
        return bool(read_shard(folder, spec, number))
    except InputError:
        return False


def record_checksum(number: int, digest: str, skipped: list[str], labels: list[int] | None) -> str:
    """The checksum of a shard's record, because the digest of the samples does not cover their labels."""
    return key_of(number, digest, skipped, labels)


def shard_path(folder: Path, number: int) -> Path:
    """The path of a shard's samples; its record is beside them."""
    return folder / f"{number:05}.npy"


def _read_finished(folder: Path) -> tuple[DatasetSpec, str]:
    manifest = read_manifest(folder)
    if manifest.digest is None:
        raise InputError(
            f"'{folder}' is an unfinished pack: run the same `wgan data pack` command again to finish it."
        )
    return manifest.spec, manifest.digest


def _spec(*, shape: list[int], classes: list[str] | None, **others: Any) -> DatasetSpec:  # noqa: ANN401
    return DatasetSpec(shape=tuple(shape), classes=None if classes is None else tuple(classes), **others)


def _damaged(folder: Path, number: int, reason: str) -> InputError:
    return InputError(
        f"'{shard_path(folder, number)}' is damaged ({reason}): delete it and run the `wgan data pack` "
        "command again, which writes this shard anew."
    )


def _labels(shards: Iterable[Shard]) -> torch.Tensor | None:
    labels = [shard.labels for shard in shards]
    if any(some is None for some in labels):
        return None
    return torch.tensor([label for some in labels if some for label in some])

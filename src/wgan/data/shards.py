"""Packs: samples in their final form, in the files of a folder, which are mapped.

::

    pack.json    what is packed and in which form; once all is there, its digest
    00000.npy    the first shard, an array (n, *shape)
    00000.json   its digest, its labels, the names of what could not be read, and a seal on all that
    ...

`wgan.data.sharding` makes them.
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
from wgan.data.storage import File, Mapped, Storage, pieces
from wgan.errors import InputError

FORMAT = 2
"""The version of the folder's layout, in ``pack.json``; a reader refuses others."""

HEAD = "pack.json"
"""The file that makes a folder a pack."""


@final
@dataclass(frozen=True)
class Head:
    """What ``pack.json`` says.

    Attributes:
        origin: what is packed, for messages.
        key: that of its material.
        spec: of its samples.
        digest: SHA-256 of their type, shape and values; None as long as they are not all there.
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
        digest: of them, when they were written.
        dropped: names of what could not be read.
        labels: of each sample, or None.
    """

    samples: File
    digest: str
    dropped: list[str]
    labels: list[int] | None


def is_pack(path: Path) -> bool:
    """Whether this is a pack's folder, finished or not."""
    return os.path.isfile(path / HEAD)


def is_readable(path: Path) -> bool:
    """Whether a pack's ``pack.json`` is one that this version reads."""
    try:
        return bool(read_head(path))
    except InputError:
        return False


def open_pack(folder: Path) -> Storage:
    """Map a finished pack. That files are as long as they should be is checked; `verify` reads them through.

    Raises:
        InputError: it is not finished, of another format, or a shard is missing or damaged.
    """
    spec, digest = _read_finished(folder)
    shards = read_shards(folder, spec)
    return Storage(
        Mapped([shard.samples for shard in shards]),
        digest,
        dropped=tuple(name for shard in shards for name in shard.dropped),
        labels=_labels(shards),
        classes=spec.classes,
    )


def verify(folder: Path) -> None:
    """Read a pack through and hold each shard against its digest.

    Raises:
        InputError: what `open_pack` refuses; or samples are not those that were written.
    """
    spec, _ = _read_finished(folder)
    for number, shard in enumerate(read_shards(folder, spec)):
        if digest_of(piece for _, piece in pieces(shard.samples)) != shard.digest:
            raise _damaged(folder, number, "its samples are not those that were written")


def _read_finished(folder: Path) -> tuple[DatasetSpec, str]:
    head = read_head(folder)
    if head.digest is None:
        raise InputError(
            f"'{folder}' is not packed to the end: give the same `wgan data pack` command again."
        )
    return head.spec, head.digest


def read_head(folder: Path) -> Head:
    """Read ``pack.json``.

    Raises:
        InputError: there is none that can be read, or it is of another format.
    """
    if not is_pack(folder):
        raise InputError(f"'{folder}' is no pack: give a folder that `wgan data pack` made.")
    try:
        plain = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        version = plain.pop("format")
        if version == FORMAT:
            return Head(**plain | {"spec": _form(**plain["spec"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"'{folder / HEAD}' cannot be read ({type(error).__name__}: {error}): delete the folder and "
            "pack again."
        ) from error
    raise InputError(
        f"'{folder}' was packed in format {version}, and this wgan reads {FORMAT}: pack again, or take the "
        "wgan that packed it."
    )


def read_shard(folder: Path, spec: DatasetSpec, number: int) -> Shard:
    """Map a shard.

    Raises:
        InputError: it is not there, or not whole.
    """
    path = shard_path(folder, number)
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        samples = np.lib.format.open_memmap(path, mode="r")
        shard = Shard(samples, record["digest"], record["dropped"], record["labels"])
        whole = record["seal"] == seal_of(number, shard.digest, shard.dropped, shard.labels)
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise _damaged(folder, number, f"{type(error).__name__}: {error}") from error
    if not whole:
        raise _damaged(folder, number, "its record is not the one that was written")
    if samples.shape[1:] != spec.shape or samples.dtype != spec.dtype:
        raise _damaged(folder, number, f"it holds samples {samples.shape[1:]} of type {samples.dtype}")
    if shard.labels is not None and len(shard.labels) != len(samples):
        raise _damaged(folder, number, f"it holds {len(shard.labels)} labels for {len(samples)} samples")
    return shard


def read_shards(folder: Path, spec: DatasetSpec) -> list[Shard]:
    """Map all shards.

    Raises:
        InputError: one is not there, or not whole.
    """
    return [read_shard(folder, spec, number) for number in range(spec.shards)]


def is_whole(folder: Path, spec: DatasetSpec, number: int) -> bool:
    """Whether a shard can be mapped."""
    try:
        return bool(read_shard(folder, spec, number))
    except InputError:
        return False


def seal_of(number: int, digest: str, dropped: list[str], labels: list[int] | None) -> str:
    """What a shard's record ends with: labels have no samples' digest to tell that they have changed."""
    return key_of(number, digest, dropped, labels)


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard's samples are; its record is beside them."""
    return folder / f"{number:05}.npy"


def _form(*, shape: list[int], classes: list[str] | None, **others: Any) -> DatasetSpec:  # noqa: ANN401
    return DatasetSpec(shape=tuple(shape), classes=None if classes is None else tuple(classes), **others)


def _damaged(folder: Path, number: int, reason: str) -> InputError:
    return InputError(
        f"'{shard_path(folder, number)}' is damaged ({reason}): delete it, and give the `wgan data pack` "
        "command again, which makes this one anew."
    )


def _labels(shards: Iterable[Shard]) -> torch.Tensor | None:
    labels = [shard.labels for shard in shards]
    if any(some is None for some in labels):
        return None
    return torch.tensor([label for some in labels if some for label in some])

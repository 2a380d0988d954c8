"""Checkpoints: tensors in safetensors, the rest in JSON, checksums over both; never pickle.

A checkpoint is a folder ``checkpoints/00001200/``, written under a temporary name, synced and renamed: one
that bears its name is whole unless somebody changed it, and then its checksums say so.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wgan.core.files import remove, storing, sync_file, sync_folder, write_atomically
from wgan.errors import InputError

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back.

    Attributes:
        step: After how many steps it was taken.
        tensors: Its groups of tensors, by name.
        broken: Later checkpoints that were not whole, each with the reason, latest first.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    broken: tuple[str, ...]


def save(folder: Path, step: int, groups: Mapping[str, Tensors], keep: int) -> Path:
    """Write a checkpoint and remove all but the last ``keep``.

    Those of later steps go too: they are broken, or the run would have gone on from them.

    Args:
        folder: The run's ``checkpoints/``.
        step: After how many steps, >= 0.
        groups: Tensors by group name; each group becomes one file.
        keep: How many checkpoints stay, >= 1.

    Raises:
        StorageError: The file system refuses; earlier checkpoints are untouched.
    """
    final = folder / f"{step:08d}"
    partial = folder / f".{step:08d}.partial"
    with storing(final):
        remove(partial)
        partial.mkdir(parents=True)
        try:
            for name, tensors in groups.items():
                save_file(_apart(tensors), _file(partial, name))
            sums = {name: _checksum(_file(partial, name)) for name in groups}
            _write_index(partial / "checkpoint.json", {"step": step, "sha256": sums})
            for file in partial.iterdir():
                sync_file(file)
            remove(final)
            partial.rename(final)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, SafetensorError):
                raise OSError(str(error)) from error
            raise
        sync_folder(folder)
        found = _all(folder)
        last = found.index(final) + 1
        for other in found[: max(0, last - keep)] + found[last:]:
            remove(other)
    return final


def load_latest(
    folder: Path, groups: tuple[str, ...] | None = None, *, before: int | None = None
) -> Checkpoint | None:
    """Read the last whole checkpoint, or None if there never was one.

    Args:
        folder: The run's ``checkpoints/``.
        groups: Which groups to read; all by default.
        before: Only of steps before this one.

    Raises:
        InputError: There are checkpoints, and none of them is whole.
    """
    broken: list[str] = []
    for path in reversed([path for path in _all(folder) if before is None or int(path.name) < before]):
        try:
            return _load(path, groups, tuple(broken))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            broken.append(f"{path.name} ({error})")
    if broken:
        raise InputError(
            f"No checkpoint in {folder} is whole: {'; '.join(broken)}. "
            "Put one back from a copy, or move the run folder away to start again."
        )
    return None


def saved_steps(folder: Path) -> list[int]:
    """The steps of which there is a checkpoint, whole or broken, in rising order."""
    return [int(path.name) for path in _all(folder)]


def generator_files(folder: Path) -> list[Path]:
    """The files of the last checkpoint that are the trained generator; none where there is no checkpoint."""
    found = _all(folder)
    return [found[-1] / "checkpoint.json", _file(found[-1], "average")] if found else []


def _load(path: Path, groups: tuple[str, ...] | None, broken: tuple[str, ...]) -> Checkpoint:
    index = _read_index(path / "checkpoint.json")
    if index["step"] != int(path.name):
        raise ValueError(f"it is the checkpoint of step {index['step']}")
    wanted = index["sha256"] if groups is None else groups
    for name in wanted:
        if _checksum(_file(path, name)) != index["sha256"][name]:
            raise ValueError(f"{name}.safetensors does not match its checksum")
    return Checkpoint(index["step"], {name: load_file(_file(path, name)) for name in wanted}, broken)


def _write_index(path: Path, index: dict[str, Any]) -> None:
    seal = hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
    text = json.dumps({**index, "seal": seal}, indent=1)
    write_atomically(path, lambda file: file.write(text.encode()))


def _read_index(path: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads(path.read_text())
    seal = index.pop("seal")
    if hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest() != seal:
        raise ValueError("checkpoint.json does not match its checksum")
    return index


def _all(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("[0-9]*") if path.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def _apart(tensors: Tensors) -> dict[str, Tensor]:
    # safetensors refuses tensors that share memory, as tied weights do.
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}


def _file(folder: Path, group: str) -> Path:
    return folder / f"{group}.safetensors"


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Checkpoints: tensors in safetensors, the rest in JSON, checksums over both; never pickle.

A checkpoint is a folder ``checkpoints/00001200/``. It is written under a temporary name, synced and renamed,
so that a folder of this name is complete unless it was changed later; its checksums detect that.
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


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        step: Step after which it was saved.
        tensors: Tensors by group and name.
        broken: Later checkpoints that are damaged, each with the reason, latest first.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    broken: tuple[str, ...]


def save(folder: Path, step: int, groups: Mapping[str, Mapping[str, Tensor]], keep: int) -> Path:
    """Write a checkpoint and remove all but the last ``keep``.

    Checkpoints of later steps are removed too: they are damaged, or the run would have resumed from them.

    Args:
        folder: The run's ``checkpoints/``.
        step: Number of completed steps, >= 0.
        groups: Tensors by group name; each group becomes one file.
        keep: Number of checkpoints to keep, >= 1.

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
                save_file(_contiguous(tensors), _file(partial, name))
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
        paths = _paths(folder)
        last = paths.index(final) + 1
        for other in paths[: max(0, last - keep)] + paths[last:]:
            remove(other)
    return final


def load_latest(
    folder: Path, groups: tuple[str, ...] | None = None, *, before: int | None = None
) -> Checkpoint | None:
    """Read the last complete checkpoint; None if there is none at all.

    Args:
        folder: The run's ``checkpoints/``.
        groups: Groups to read; all by default.
        before: Ignore checkpoints of this step and later ones.

    Raises:
        InputError: There are checkpoints, and all of them are damaged.
    """
    broken: list[str] = []
    for path in reversed([path for path in _paths(folder) if before is None or int(path.name) < before]):
        try:
            return _load(path, groups, tuple(broken))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            broken.append(f"{path.name} ({error})")
    if broken:
        raise InputError(
            f"No checkpoint in {folder} is complete: {'; '.join(broken)}. "
            "Restore one from a copy, or move the run folder away to start again."
        )
    return None


def load_checkpoint(folder: Path, step: int | None, groups: tuple[str, ...] | None = None) -> Checkpoint:
    """Read the checkpoint of a step, or the last intact one.

    Args:
        folder: The run's ``checkpoints/``.
        step: Step of the checkpoint; None: the last intact one.
        groups: Groups to read; all by default.

    Raises:
        InputError: There is no such checkpoint, or it is damaged.
    """
    saved = saved_steps(folder)
    if not saved:
        raise InputError(f"{folder.parent} has no checkpoint yet; train it first.")
    if step is not None and step not in saved:
        raise InputError(
            f"{folder.parent} has no checkpoint of step {step}; it has those of {', '.join(map(str, saved))}."
        )
    checkpoint = load_latest(folder, groups, before=None if step is None else step + 1)
    if checkpoint is None or step not in (None, checkpoint.step):
        raise InputError(f"The checkpoint of step {step} in {folder.parent} is damaged.")
    return checkpoint


def saved_steps(folder: Path) -> list[int]:
    """Steps that have a checkpoint, complete or damaged, in rising order."""
    return [int(path.name) for path in _paths(folder)]


def generator_files(folder: Path) -> list[Path]:
    """The files of the last checkpoint that hold the trained generator; none without a checkpoint."""
    paths = _paths(folder)
    return [paths[-1] / "checkpoint.json", _file(paths[-1], "average")] if paths else []


def _load(path: Path, groups: tuple[str, ...] | None, broken: tuple[str, ...]) -> Checkpoint:
    index = _read_index(path / "checkpoint.json")
    if index["step"] != int(path.name):
        raise ValueError(f"it is the checkpoint of step {index['step']}")
    names = index["sha256"] if groups is None else groups
    for name in names:
        if _checksum(_file(path, name)) != index["sha256"][name]:
            raise ValueError(f"{name}.safetensors does not match its checksum")
    return Checkpoint(index["step"], {name: load_file(_file(path, name)) for name in names}, broken)


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


def _paths(folder: Path) -> list[Path]:
    paths = [path for path in folder.glob("[0-9]*") if path.name.isdecimal()]
    return sorted(paths, key=lambda path: int(path.name))


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses tensors that share memory, as tied weights do.
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}


def _file(folder: Path, group: str) -> Path:
    return folder / f"{group}.safetensors"


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

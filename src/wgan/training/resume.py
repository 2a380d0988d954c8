"""Starting a run in a folder, or going on with the one that is there."""

import warnings
from collections.abc import Mapping
from typing import Any

from wgan.errors import InputError
from wgan.runs import Checkpoint, RunFolder, differences, load_latest
from wgan.training.config import identity
from wgan.training.state import State


class ChangedSettingsError(InputError):
    """The folder holds a run with other settings; the message lists the differences."""


def check(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Make sure that the folder is this run's or can become it, touching nothing.

    A run whose learning rates are constant may be made longer: its first steps stay the same.

    Raises:
        ChangedSettingsError: The folder holds a run with other settings.
        InputError: The folder holds something else.
        StorageError: The file system refuses.
    """
    if not folder.exists:
        folder.check_free()
        return
    old, new = identity(folder.read_config()), identity(config)
    changed = list(differences(old, new))
    longer = new["decay"] == "constant" and [name for name, *_ in changed] == ["steps"]
    if changed and not (longer and isinstance(old.get("steps"), int)):
        table = ", ".join(f"{name} {was!r} -> {now!r}" for name, was, now in changed)
        raise ChangedSettingsError(
            f"{folder.path} holds a run with other settings: {table} (there -> asked for). "
            "Ask for its own settings to go on with it, or choose another folder."
        )


def claim(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Make the folder, checked and locked, this run's: write the configuration, or the new number of steps.

    Raises:
        StorageError: The file system refuses.
    """
    if not folder.exists:
        folder.write_config(config)
        return
    old = folder.read_config()
    if config["steps"] > old["steps"]:
        folder.write_config({**old, "steps": config["steps"]})


def resume(state: State, folder: RunFolder, *, rewind: bool = True) -> None:
    """Bring the state to the folder's last whole checkpoint, and the folder back to the same step."""
    checkpoint = load_latest(folder.checkpoints)
    if checkpoint is not None:
        _warn_of_broken(checkpoint)
        state.restore(checkpoint.step, checkpoint.tensors)
    if rewind:
        folder.rewind(state.step)


def branch(state: State, parent: RunFolder, before: int | None = None) -> None:
    """Take another run's last weights and their step; the optimisers start fresh: their settings may differ.

    Args:
        state: Takes them.
        parent: The other run.
        before: Rather its last weights before this step.

    Raises:
        InputError: The other run has no checkpoint, or other networks.
    """
    checkpoint = load_latest(parent.checkpoints, before=before)
    if checkpoint is None:
        raise InputError(f"{parent.path} has no checkpoint to start from.")
    _warn_of_broken(checkpoint)
    fresh = state.groups()
    kept = {name: checkpoint.tensors[name] for name in ("generator", "critic", "average")}
    try:
        state.restore(checkpoint.step, fresh | kept)
    except InputError as error:
        raise InputError(
            f"The networks of {parent.path} are others than those asked for, so no run can start from them: "
            f"{error}"
        ) from error


def _warn_of_broken(checkpoint: Checkpoint) -> None:
    if checkpoint.broken:
        warnings.warn(
            f"Checkpoint {', '.join(checkpoint.broken)} is not whole; "
            f"going on from the last one that is, step {checkpoint.step}.",
            stacklevel=3,
        )

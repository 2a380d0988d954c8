"""Starting a run in a folder, or resuming the run that is there."""

import warnings
from collections.abc import Mapping
from typing import Any

from wgan.errors import InputError
from wgan.runs import Checkpoint, RunFolder, differences, load_latest
from wgan.training.config import identity
from wgan.training.state import State


class ChangedSettingsError(InputError):
    """The folder holds a run with other settings; the message lists the differences."""


def check_same_run(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Check that a folder holds this run or can take it; change nothing.

    A run whose learning rates are constant may become longer: its first steps stay the same.

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
            f"{folder.path} holds a run with other settings: {table} (in the folder -> now). "
            "Give the settings of the folder to resume its run, or choose another folder."
        )


def write_run_config(folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Write the configuration, or the new number of steps, into a folder that was checked and locked.

    Raises:
        StorageError: The file system refuses.
    """
    if not folder.exists:
        folder.write_config(config)
        return
    old = folder.read_config()
    if config["steps"] > old["steps"]:
        folder.write_config({**old, "steps": config["steps"]})


def restore_last_checkpoint(state: State, folder: RunFolder, *, rewind: bool = True) -> None:
    """Restore the state from the folder's last whole checkpoint, and rewind the folder to its step."""
    checkpoint = load_latest(folder.checkpoints)
    if checkpoint is not None:
        _warn_of_broken(checkpoint)
        state.restore(checkpoint.step, checkpoint.tensors)
    if rewind:
        folder.rewind(state.step)


def start_from(state: State, parent: RunFolder, before: int | None = None) -> None:
    """Restore the weights and the step of another run; the optimisers start fresh: their settings may differ.

    Args:
        state: The state to restore.
        parent: The other run.
        before: Take the last weights before this step; None: the last ones.

    Raises:
        InputError: The other run has no checkpoint, or other networks.
    """
    checkpoint = load_latest(parent.checkpoints, before=before)
    if checkpoint is None:
        raise InputError(f"{parent.path} has no checkpoint to start from.")
    _warn_of_broken(checkpoint)
    fresh = state.groups()
    weights = {name: checkpoint.tensors[name] for name in ("generator", "critic", "average")}
    try:
        state.restore(checkpoint.step, fresh | weights)
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

"""What a run learned from, loaded once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wgan.data.dataset import Dataset
from wgan.data.loading import load
from wgan.errors import InputError

_AGAIN = "give the same data again, or others as `against`"


def reload_dataset(learned: Any, who: str, *, data_dir: str | Path | None = None) -> Dataset:  # noqa: ANN401
    """The source that a run learned from.

    Args:
        learned: What ``config.json`` says of its ``source``: name, shape and fingerprint.
        who: The run, for the messages.
        data_dir: Where the files of mnist and fashion-mnist lie.

    Raises:
        InputError: These are none, the source cannot be loaded, or is not the same to the last bit.
    """
    try:
        name, shape, fingerprint = learned["name"], tuple(learned["shape"]), learned["fingerprint"]
    except (KeyError, TypeError) as error:
        raise InputError(f"config.json of {who} does not say what the run learned from; {_AGAIN}.") from error
    try:
        dataset = load(name, data_dir=data_dir)
        if dataset.shape != shape and dataset.image and len(shape) == 3:
            dataset = load(name, data_dir=data_dir, resolution=shape[1], channels=shape[0])
    except InputError as error:
        raise InputError(f"What {who} learned from cannot be loaded again; {_AGAIN}. {error}") from error
    if dataset.fingerprint != fingerprint:
        raise InputError(f"{name} is not what {who} learned from, it changed since; {_AGAIN}.")
    return dataset

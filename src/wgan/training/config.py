"""A run as plain data: what ``config.json`` holds, and which part of it says which run it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from typing import Any

from wgan.data import Dataset
from wgan.networks import Condition
from wgan.runs import to_plain
from wgan.training.auxiliary_loss import AuxiliaryLoss
from wgan.training.optimisers import TorchOptimiser
from wgan.training.settings import IDENTITY, TrainingSettings

DEFAULTS = TrainingSettings()

INCIDENTAL = ("format", "origin", "versions")
"""Entries that say how a run came about, not which run it is."""


def run_config(
    settings: TrainingSettings,
    dataset: Dataset,
    condition: Condition | None,
    descriptions: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything about a run as JSON values: its settings, data, networks, origin and versions."""
    auxiliary: AuxiliaryLoss | None = descriptions["auxiliary_loss"]
    plain = {
        "dataset": {"name": dataset.name, "shape": dataset.shape, "fingerprint": dataset.fingerprint},
        "labels": _labels(dataset, condition),
        **{setting.name: _plain(getattr(settings, setting.name)) for setting in fields(settings)},
        **descriptions,
        "auxiliary_loss": auxiliary.plain() if auxiliary else None,
        "loss": settings.loss if isinstance(settings.loss, str) else settings.loss.name,
        "origin": dict(origin),
        "versions": {name: version(name) for name in ("wgan", "torch", "numpy")},
    }
    config: dict[str, Any] = json.loads(json.dumps(plain))
    return config


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that decides which run it is.

    Excluded are the origin of the settings, the place of the data - their fingerprint says whether they are
    the same - and the device. Entries that this version does not know count. A setting that an older version
    did not have counts as its default, which has to mean what was done before.
    """
    excluded = {
        *INCIDENTAL,
        *(field.name for field in fields(TrainingSettings) if field.name not in IDENTITY),
    }
    known = {name: _plain(getattr(DEFAULTS, name)) for name in IDENTITY if name != "steps"}
    found = {name: value for name, value in {**known, **config}.items() if name not in excluded}
    if isinstance(data := found.get("dataset"), Mapping):
        found["dataset"] = {name: value for name, value in data.items() if name != "name"}
    return found


def mark(config: Mapping[str, Any], **replaced: object) -> str:
    """Six hexadecimal digits that stand for a run's identity, with some entries replaced."""
    text = json.dumps({**identity(config), **replaced}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _plain(value: object) -> Any:  # noqa: ANN401 - any JSON value
    return value.plain() if isinstance(value, TorchOptimiser) else to_plain(value)


def _labels(dataset: Dataset, condition: Condition | None) -> dict[str, Any] | None:
    """What can be asked of the generator."""
    if condition is None:
        return None
    return {"classes": dataset.classes} if condition.classes else {"attributes": condition.attributes}

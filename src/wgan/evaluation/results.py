"""Numbers kept in run folders, and which of them may stand beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from wgan.errors import InputError
from wgan.evaluation.evaluator import Evaluation
from wgan.metrics import Provenance
from wgan.runs import RunFolder

Row = dict[str, Any]
"""A number as :meth:`Evaluation.rows` gives it."""

_SEVERAL = {
    "pr": ("precision", "recall"),
    "dc": ("density", "coverage"),
    "modes": ("modes", "effective_modes", "high_quality", "reverse_kl", "kl"),
}
"""Metrics that give more than one number."""


@final
@dataclass(frozen=True)
class Column:
    """One metric of one provenance, of every run.

    Attributes:
        name: 'fd', 'w1', ...
        provenance: The same for all.
        rows: By run.
    """

    name: str
    provenance: Provenance
    rows: Mapping[Path, Row]


def store(folder: RunFolder, evaluation: Evaluation) -> None:
    """Add numbers to a run's ``evaluation.json``, whatever other processes add to it meanwhile.

    Each takes the place only of one of the same name, step and provenance.

    Raises:
        InputError: The file that is there is broken.
        StorageError: The file system refuses; the old file is untouched.
    """
    with folder.changing_numbers():
        kept = {_key(row): row for row in [*folder.read_numbers(), *evaluation.rows()]}
        folder.write_numbers(list(kept.values()))


def last_numbers(folder: RunFolder) -> list[Row]:
    """The numbers of the last step at which a run was evaluated.

    Raises:
        InputError: This is no run, it was never evaluated, or its numbers cannot be read.
    """
    folder.read_config()
    rows = folder.read_numbers()
    if not rows:
        raise InputError(f"{folder.path} was not evaluated yet; `wgan evaluate {folder.path}` does it.")
    step = max(row["step"] for row in rows)
    return [row for row in rows if row["step"] == step]


def columns(runs: Mapping[Path, Sequence[Row]], metrics: Sequence[str] | None = None) -> list[Column]:
    """The numbers that runs can be compared by: those of which all have one of the same provenance.

    Args:
        runs: The numbers of each, one at least.
        metrics: Names as :func:`evaluate` takes them, or of single numbers. None: all that every run has.

    Raises:
        InputError: A run lacks a metric that is asked for, no metric is common to all, or all have numbers of
            a metric and no two of the same provenance; the message names the parts that differ.
    """
    if metrics is None:
        has = [{row["name"] for row in rows} for rows in runs.values()]
        names = [name for name in _names(runs) if all(name in own for own in has)]
    else:
        names = [number for name in metrics for number in _numbers(name, _names(runs))]
    if not names:
        raise InputError(
            f"{', '.join(map(str, runs))} have no metric in common; evaluate them with the same metrics."
        )
    return [column for name in names for column in _columns(name, runs)]


def _names(runs: Mapping[Path, Sequence[Row]]) -> list[str]:
    return list(dict.fromkeys(row["name"] for rows in runs.values() for row in rows))


def _numbers(metric: str, there: Sequence[str]) -> list[str]:
    """The numbers that a metric gives, of those there are."""
    return [name for name in _SEVERAL.get(metric, ()) if name in there] or [metric]


def _columns(name: str, runs: Mapping[Path, Sequence[Row]]) -> list[Column]:
    found = {run: [row for row in rows if row["name"] == name] for run, rows in runs.items()}
    for run, rows in found.items():
        if not rows:
            raise InputError(f"{run} has no {name}; there are {', '.join(_names({run: runs[run]}))}.")
    by_origin = {run: {_origin(row): row for row in rows} for run, rows in found.items()}
    first, *others = by_origin.values()
    common = [key for key in first if all(key in other for other in others)]
    if not common:
        raise _refusal(found)
    return [
        Column(name, _provenance(first[key]), {run: rows[key] for run, rows in by_origin.items()})
        for key in common
    ]


def _refusal(found: Mapping[Path, Sequence[Row]]) -> InputError:
    """Names the parts in which two runs differ that share no provenance, where they differ least."""
    run, *others = found
    mine = found[run]
    apart = [other for other in others if not {*map(_origin, mine)} & {*map(_origin, found[other])}]
    other = apart[0] if apart else others[-1]
    pairs = [(_provenance(a), _provenance(b)) for a in mine for b in found[other]]
    parts = min((a.differences(b) for a, b in pairs if a != b), key=len)
    told = ", ".join(f"{part} ({_short(a)} and {_short(b)})" for part, (a, b) in parts.items())
    label = _provenance(mine[0]).label
    return InputError(
        f"The {label} of {run} and of {other} do not compare, for they differ in {told}; evaluate "
        "both in one way, or name other metrics."
    )


def _short(value: object) -> str:
    text = str(value)
    return text[:8] if len(text) == 64 else text  # a hash


def _key(row: Row) -> tuple[str, int | None, str]:
    return row["name"], row["step"], _origin(row)


def _origin(row: Row) -> str:
    return json.dumps(row["provenance"], sort_keys=True)


def _provenance(row: Row) -> Provenance:
    try:
        return Provenance(**row["provenance"])
    except TypeError as error:
        raise InputError(
            f"The provenance of a stored {row['name']} is not one this version writes ({error}); evaluate "
            "the run again."
        ) from error

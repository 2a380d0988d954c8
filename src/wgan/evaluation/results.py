"""Evaluation results in run folders, and which of them are comparable."""

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

ResultRow = dict[str, Any]
"""A result in the form of :meth:`Evaluation.rows`."""

_NUMBERS = {
    "pr": ("precision", "recall"),
    "dc": ("density", "coverage"),
    "modes": ("modes", "effective_modes", "high_quality", "reverse_kl", "kl"),
}
"""Numbers of the metrics that give more than one."""


@final
@dataclass(frozen=True)
class ResultColumn:
    """One metric of one provenance, of every run.

    Attributes:
        name: 'fd', 'w1', ...
        provenance: The provenance that all runs share.
        rows: Results by run.
    """

    name: str
    provenance: Provenance
    rows: Mapping[Path, ResultRow]


def save_results(folder: RunFolder, evaluation: Evaluation) -> None:
    """Add results to a run's ``evaluation.json``, safely with other processes.

    Each replaces only one of the same name, step and provenance.

    Raises:
        InputError: The existing file is broken.
        StorageError: The file cannot be written; the old file is untouched.
    """
    with folder.changing_numbers():
        results = {_key(row): row for row in [*folder.read_numbers(), *evaluation.rows()]}
        folder.write_numbers(list(results.values()))


def latest_results(folder: RunFolder) -> list[ResultRow]:
    """Return the results of the last step at which a run was evaluated.

    Raises:
        InputError: This is not a run, it was never evaluated, or its results cannot be read.
    """
    folder.read_config()
    rows = folder.read_numbers()
    if not rows:
        raise InputError(f"{folder.path} was not evaluated yet; `wgan evaluate {folder.path}` does it.")
    step = max(row["step"] for row in rows)
    return [row for row in rows if row["step"] == step]


def comparable_columns(
    runs: Mapping[Path, Sequence[ResultRow]], metrics: Sequence[str] | None = None
) -> list[ResultColumn]:
    """Return the results by which runs can be compared: those that all have with the same provenance.

    Args:
        runs: The results of each run, at least one.
        metrics: Names as :func:`evaluate` takes them, or of single numbers. None: all that every run has.

    Raises:
        InputError: A run lacks a requested metric, no metric is common to all, or all have a metric but with
            different provenances; the message names the fields that differ.
    """
    if metrics is None:
        names_by_run = [{row["name"] for row in rows} for rows in runs.values()]
        names = [name for name in _names(runs) if all(name in names for names in names_by_run)]
    else:
        there = _names(runs)
        names = []
        for metric in metrics:
            names += [name for name in _NUMBERS.get(metric, ()) if name in there] or [metric]
    if not names:
        raise InputError(
            f"{', '.join(map(str, runs))} have no metric in common; evaluate them with the same metrics."
        )
    return [column for name in names for column in _columns(name, runs)]


def _names(runs: Mapping[Path, Sequence[ResultRow]]) -> list[str]:
    return list(dict.fromkeys(row["name"] for rows in runs.values() for row in rows))


def _columns(name: str, runs: Mapping[Path, Sequence[ResultRow]]) -> list[ResultColumn]:
    results = {run: [row for row in rows if row["name"] == name] for run, rows in runs.items()}
    for run, rows in results.items():
        if not rows:
            raise InputError(f"{run} has no {name}; there are {', '.join(_names({run: runs[run]}))}.")
    by_origin = {run: {_origin(row): row for row in rows} for run, rows in results.items()}
    first, *others = by_origin.values()
    common = [key for key in first if all(key in other for other in others)]
    if not common:
        raise _incomparable(results)
    return [
        ResultColumn(name, _provenance(first[key]), {run: rows[key] for run, rows in by_origin.items()})
        for key in common
    ]


def _incomparable(results: Mapping[Path, Sequence[ResultRow]]) -> InputError:
    """The error that names the fewest fields in which two runs without a common provenance differ."""
    run, *others = results
    mine = results[run]
    apart = [other for other in others if not {*map(_origin, mine)} & {*map(_origin, results[other])}]
    other = apart[0] if apart else others[-1]
    pairs = [(_provenance(a), _provenance(b)) for a in mine for b in results[other]]
    fields = min((a.differences(b) for a, b in pairs if a != b), key=len)
    listed = ", ".join(f"{name} ({_short(a)} and {_short(b)})" for name, (a, b) in fields.items())
    return InputError(
        f"The {_provenance(mine[0]).label} of {run} and of {other} do not compare, for they differ in "
        f"{listed}; evaluate both in one way, or name other metrics."
    )


def _short(value: object) -> str:
    text = str(value)
    return text[:8] if len(text) == 64 else text  # a hash


def _key(row: ResultRow) -> tuple[str, int | None, str]:
    return row["name"], row["step"], _origin(row)


def _origin(row: ResultRow) -> str:
    return json.dumps(row["provenance"], sort_keys=True)


def _provenance(row: ResultRow) -> Provenance:
    try:
        return Provenance(**row["provenance"])
    except TypeError as error:
        raise InputError(
            f"The provenance of a stored {row['name']} is not one that this version writes ({error}); "
            "evaluate the run again."
        ) from error

"""``wgan compare``."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wgan.cli.evaluate import Evaluate
from wgan.cli.options import command_line
from wgan.cli.parse import parse, split_names
from wgan.errors import InputError
from wgan.evaluation import ResultColumn, comparable_columns, latest_results
from wgan.metrics import MetricValue
from wgan.runs import RunFolder, saved_steps

Row = dict[str, Any]

MAX_COLUMNS = 4
"""Metrics in a table, for a terminal of 80 columns."""


@dataclass(frozen=True)
class Compare:
    """Compare the results of `wgan evaluate` of several runs in a table.

    Each result is of the last step at which its run was evaluated. Results of different extractors, counts,
    splits or library versions are not comparable: the command fails and names what differs.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders."""
    metrics: str | None = None
    """Metrics out of w1,fd,kid,pr,dc,memorisation,modes; by default all that every run has."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Compare, arguments)
    if not command.runs:
        raise InputError("Name the folders of the runs to compare, as in `wgan compare runs/a runs/b`.")
    runs = {path: latest_results(RunFolder(path)) for path in dict.fromkeys(command.runs)}
    steps = {path: rows[0]["step"] for path, rows in runs.items()}
    found = comparable_columns(runs, split_names(command.metrics))
    if command.json:
        sys.stdout.write(json.dumps({"numbers": [_plain(column) for column in found]}) + "\n")
        return
    terminal = Console(highlight=False)
    for origin, some in _groups(found).items():
        for start in range(0, len(some), MAX_COLUMNS):
            terminal.print(_table(some[start : start + MAX_COLUMNS], steps))
        terminal.print(f"[{origin}]\n", markup=False, soft_wrap=True)
    for line in _notes(runs, found if command.metrics is None else None):
        sys.stderr.write(f"wgan: note: {line}\n")


def _groups(found: Sequence[ResultColumn]) -> dict[str, list[ResultColumn]]:
    """Columns by provenance; those of one provenance share a table."""
    groups: dict[str, list[ResultColumn]] = {}
    for column in found:
        groups.setdefault(str(column.provenance), []).append(column)
    return groups


def _table(some: Sequence[ResultColumn], steps: dict[Path, int]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("steps", justify="right", no_wrap=True)
    for column in some:
        table.add_column(column.provenance.label, no_wrap=True)
    for path, step in steps.items():
        cells = (_cell(column.rows[path]) for column in some)
        table.add_row(Text(str(path)), f"{step:,}", *cells)
    if floors := [_floor(column) for column in some if column.name != "w1"]:
        table.add_row("floor", "", *floors)
    return table


def _cell(row: Row) -> str:
    if "lower" in row:
        return f"{row['lower']:.4g} <= W1 <= {row['upper']:.4g} ({100 * row['confidence']:g} %)"
    return str(MetricValue(row["value"], row["standard_error"]))


def _floor(column: ResultColumn) -> str:
    # Of the same real samples for every run, and so the same number.
    floor = next(iter(column.rows.values()))["floor"]
    return "unknown" if floor is None else str(MetricValue(**floor))


def _plain(column: ResultColumn) -> dict[str, Any]:
    shared = ("name", "label", "provenance")
    rows = {
        str(path): {key: value for key, value in row.items() if key not in shared}
        for path, row in column.rows.items()
    }
    return {"name": column.name, "label": column.provenance.label, "runs": rows} | {
        "provenance": asdict(column.provenance)
    }


def _notes(runs: dict[Path, list[Row]], shown: Sequence[ResultColumn] | None) -> Iterator[str]:
    """Notes on results that are outdated, and on metrics that are left out."""
    for path, rows in runs.items():
        step, saved = rows[0]["step"], saved_steps(RunFolder(path).checkpoints)
        if saved and saved[-1] > step:
            again = command_line(Evaluate(path))
            yield f"{path} went on to step {saved[-1]:,} since; `{again}` measures it there."
    names = dict.fromkeys(row["name"] for rows in runs.values() for row in rows)
    there = {column.name for column in shown or ()}
    if shown is not None and (left := [name for name in names if name not in there]):
        yield f"Left out, for not every run has them: {', '.join(left)}."

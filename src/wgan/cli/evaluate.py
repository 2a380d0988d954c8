"""``wgan evaluate``."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from wgan.cli.parse import parse, split_names
from wgan.data import Dataset, load
from wgan.errors import InputError
from wgan.evaluation import Evaluation, ProgressCallback, evaluate, no_progress, save_results
from wgan.metrics import Estimate, MetricValue
from wgan.runs import RunFolder


@dataclass(frozen=True)
class Evaluate:
    """Measure how good the samples of a run are, or those of any set.

    Quality is held against the samples that a run learns from, its floor is what held-out samples get in the
    fakes' place, and W1 is bracketed between fakes and held-out samples. The numbers of a run are kept in its
    folder, for `wgan compare`.
    """

    fake: tyro.conf.Positional[Path]
    """A run's folder; or, with --against, a .npz or .npy file or a folder or zip of images."""
    against: str | None = None
    """The real samples: a source as `wgan train` takes it; by default what the run learned from."""
    metrics: str | None = None
    """Some of w1,fd,kid,pr,dc,memorisation,modes; by default all that apply."""
    extractor: str | None = None
    """pixels, efficientnet-lite0, inception, or the file of a classifier; by default pixels for vectors and
    for images of up to 1,024 numbers, else efficientnet-lite0. Every number is of its features, W1
    too: with pixels, of the samples themselves. Only inception downloads anything, and only its Frechet
    distance is the FID of papers."""
    weights: Path | None = None
    """The file of the extractor's weights, where it is not to be found by itself."""
    count: int | None = None
    """How many fakes; by default as many as are held out, so that each number has its floor (where fewer
    than 64 are held out: as many as there are to train on, at most 1,000)."""
    seed: int = 0
    """Of the fakes."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""
    data_dir: Path | None = None
    """Where the files of --against mnist and fashion-mnist lie."""
    resolution: int | None = None
    """Resize and crop the images of --against to squares of this side."""
    channels: int | None = None
    """1 makes the images of --against grey, 3 coloured."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Evaluate, arguments)
    folder = RunFolder(command.fake)
    folder.read_numbers()  # what cannot be added to is better known now
    against = _against(command)
    with _progress() as watch:
        found = evaluate(
            command.fake,
            against,
            metrics=split_names(command.metrics),
            extractor=command.extractor,
            weights=command.weights,
            count=command.count,
            seed=command.seed,
            device=command.device,
            on_progress=watch,
        )
    try:
        if folder.exists:
            save_results(folder, found)
    finally:  # a full disk is no reason to keep the numbers back
        _tell(command, found)


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    """Somewhere to say how far it is: a line on the terminal that goes when it is done, or nowhere."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as line:
        task = line.add_task("", total=1.0)
        yield lambda doing, done: line.update(task, description=doing, completed=done)


def _against(command: Evaluate) -> Dataset | None:
    fit = {"data_dir": command.data_dir, "resolution": command.resolution, "channels": command.channels}
    if command.against is not None:
        return load(
            command.against,
            data_dir=command.data_dir,
            resolution=command.resolution,
            channels=command.channels,
        )
    if given := [name.replace("_", "-") for name, value in fit.items() if value is not None]:
        raise InputError(f"--{given[0]} is about the source to hold samples against; give --against.")
    return None


def _tell(command: Evaluate, found: Evaluation) -> None:
    if command.json:
        whole = {
            "samples": str(command.fake),
            "step": found.step,
            "numbers": {row.pop("name"): row for row in found.rows()},
        }
        sys.stdout.write(json.dumps(whole, allow_nan=False) + "\n")
        return
    terminal = Console(highlight=False, soft_wrap=True)
    steps = "" if found.step is None else f" after {found.step:,} steps"
    head = f"{command.fake}{steps}" + ("" if command.against is None else f" against {command.against}")
    terminal.print(head, *_lines(found), sep="\n", markup=False)


def _lines(found: Evaluation) -> list[str]:
    """Each number on a line, those of one provenance together above it."""
    groups: dict[str, list[str]] = {}
    width = max((len(estimate.provenance.label) for estimate in found.estimates.values()), default=0)
    for estimate in found.estimates.values():
        groups.setdefault(str(estimate.provenance), []).append(_line(estimate, width))
    if found.w1 is not None and found.w1_provenance is not None:
        bounds = f"{found.w1.lower:.4g} <= W1 <= {found.w1.upper:.4g} ({100 * found.w1.confidence:g} %)"
        groups.setdefault(str(found.w1_provenance), []).append(f"  {bounds}")
    return [line for origin, lines in groups.items() for line in ("", *lines, f"  [{origin}]")]


def _line(estimate: Estimate, width: int) -> str:
    number = str(MetricValue(estimate.value, estimate.standard_error))
    floor = "unknown" if estimate.floor is None else str(estimate.floor)
    return f"  {estimate.provenance.label:{width}}  {number:22}  floor {floor}"

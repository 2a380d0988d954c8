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

from wgan.cli.own_networks import load_sampler
from wgan.cli.parse import parse, split_names
from wgan.data import Dataset, load
from wgan.errors import InputError
from wgan.evaluation import Evaluation, ProgressCallback, evaluate, no_progress, save_results
from wgan.metrics import Estimate, MetricValue
from wgan.runs import RunFolder
from wgan.sampling import Sampler


@dataclass(frozen=True)
class Evaluate:
    """Measure the quality of the samples of a run, or of any set of samples.

    Samples are compared with the training split. The floor of a metric is its value for held-out samples in
    place of the fakes. W1 is bracketed between the fakes and the held-out samples. The results of a run are
    stored in its folder, where `wgan compare` finds them.
    """

    fake: tyro.conf.Positional[Path]
    """Run folder; or, with --against, a .npz or .npy file, or a folder or zip of images."""
    against: str | None = None
    """Real samples: data as `wgan train` takes them; by default the run's dataset."""
    metrics: str | None = None
    """Metrics out of w1,fd,kid,pr,dc,memorisation,modes; by default all that apply."""
    extractor: str | None = None
    """Feature extractor: pixels, efficientnet-lite0, inception, or the file of a classifier; by default
    pixels for vectors and for images of up to 1,024 values, otherwise efficientnet-lite0. All metrics, W1
    included, are computed on its features. Only inception downloads weights, and only its Frechet distance is
    the FID of papers."""
    weights: Path | None = None
    """File of the extractor's weights, where it is not found automatically."""
    count: int | None = None
    """Number of fakes; by default the number of held-out samples, so that each metric has a floor; with fewer
    than 64 held-out samples, the size of the training split, at most 1,000."""
    seed: int = 0
    """Random seed of the fakes."""
    device: str = "auto"
    """Device: cpu, cuda, ...; auto is a GPU if there is one."""
    step: int | None = None
    """Step of the checkpoint; by default the last one."""
    generator: str | None = None
    """The generator's class, package.module:Class, of a run with networks of your own."""
    data_dir: Path | None = None
    """Folder of the files of --against mnist and fashion-mnist."""
    resolution: int | None = None
    """Side, in pixels, of the squares that images of --against are cropped and resized to."""
    channels: int | None = None
    """Number of channels: 1 converts images of --against to grey, 3 to colour."""
    json: bool = False
    """Print one JSON object and nothing else."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Evaluate, arguments)
    folder = RunFolder(command.fake)
    folder.read_numbers()  # fails before the work if results cannot be added
    against = _against(command)
    with _progress() as watch:
        found = evaluate(
            _fake(command),
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
    finally:  # the numbers are printed even if the disk is full
        _print(command, found)


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    """A progress bar on a terminal that disappears when it is done, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as line:
        task = line.add_task("", total=1.0)
        yield lambda doing, done: line.update(task, description=doing, completed=done)


def _fake(command: Evaluate) -> Path | Sampler:
    if RunFolder(command.fake).exists:
        return load_sampler(command.fake, command.step, command.generator, command.device)
    if command.step is not None or command.generator is not None:
        raise InputError(f"--step and --generator are options of runs, and {command.fake} is no run folder.")
    return command.fake


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
        raise InputError(f"--{given[0]} is an option of the data of --against; give --against too.")
    return None


def _print(command: Evaluate, found: Evaluation) -> None:
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
    """One line per number, grouped by provenance."""
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

"""Which way each metric moves where it is known that samples get worse: Fashion-MNIST, harmed.

    python -m benchmarks.metric_sensitivity                              # all of it; goes on where it was
    python -m benchmarks.metric_sensitivity --table                      # prints the table of what was
    measured python -m benchmarks.metric_sensitivity --figure docs/metrics.png    # and draws it

Real images are held against other real ones that are noised, blurred, or lack classes. At every level they
are the same images, the same noise but for its size, and the same seed of the auditor, so that two levels
differ in the harm alone. Each line of benchmarks/metric_sensitivity.jsonl holds one level of one harm, by one
judge.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import ceil, hypot, inf
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
import tyro
from matplotlib.axes import Axes
from rich.console import Console
from scipy.ndimage import gaussian_filter
from torch import Tensor

from wgan.data import Split, load
from wgan.metrics import METRICS, PIXELS, Classifier, Comparison, Features, train_classifier
from wgan.wasserstein.auditing import MAX_OF_CONES, FitSettings, audit
from wgan.wasserstein.bracket import Bracket

RESULTS = Path(__file__).with_suffix(".jsonl")
LEVELS: dict[str, tuple[float, ...]] = {
    "noise": (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    "blur": (0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8, 3.2, 3.6, 4.0),
    "missing": (1, 2, 3, 4, 5, 6, 7, 8, 9),
}
"""Of each harm; level 0 is none. Its unit: the range of images being 2; pixels; classes of 10."""
TITLES = {"noise": "Gaussian noise", "blur": "Gaussian blur", "missing": "classes missing"}
UNITS = {"noise": "std (images span 2)", "blur": "std in pixels", "missing": "of 10"}
JUDGES = ("classifier", "pixels", "w1-classifier", "w1-pixels")
PANELS = {
    "fd": "Frechet distance",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "modes": "classes reached",
    "reverse_kl": "reverse KL",
    "kl": "KL",
    "memorisation": "memorisation",
}
FALLING = ("precision", "recall", "density", "coverage", "modes")
"""These fall where samples get worse; all others rise."""
COLOURS = {"classifier": "C0", "pixels": "C1", "w1-classifier": "C0", "w1-pixels": "C1"}

BRACKETS = {"w1-classifier": "W1 of features", "w1-pixels": "W1 of pixels"}
BOUNDS = ("lower", "upper", "estimate")
SIGNIFICANT = 2
"""Standard errors."""
LOGARITHMIC = {"fd": 0.1, "kid": 0.01, "density": 1.0, "reverse_kl": 0.01, "kl": 0.01}
"""Panels whose axis is linear up to that and then logarithmic."""

Row = dict[str, Any]
Number = tuple[float, float | None]
"""A value and its standard error."""
Numbers = dict[str, Number]
Curve = Sequence[Number]
"""One number from level to level."""
Measuring = Callable[[Tensor], Numbers]


@dataclass(frozen=True)
class Benchmark:
    """Measure real images against harmed ones."""

    judges: tuple[str, ...] = JUDGES
    """In whose features, and whether metrics or the bracket of W1."""
    count: int = 4000
    """Images of each side."""
    seed: int = 0
    """Of the images, the noise, and the auditor."""
    steps: int = 200
    """Of the auditor's fit."""
    classifier: Path = Path("runs/judge.safetensors")
    """What `wgan classifier fashion-mnist` wrote; trained here if there is none."""
    table: bool = False
    """Only print what was measured."""
    figure: Path | None = None
    """Draw it there, and print it."""


def main() -> None:
    """Measure what is missing and print the table."""
    command = tyro.cli(Benchmark, config=(tyro.conf.OmitArgPrefixes,))
    if not command.table and command.figure is None:
        measure(command)
    rows = chosen(read(), command)
    for line in lines(rows):
        print(line)
    if command.figure is not None:
        draw(rows, command.figure)


def read() -> list[Row]:
    """What has been measured."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def chosen(rows: Sequence[Row], command: Benchmark) -> list[Row]:
    """Those of the command's settings, of each level the last."""
    settings = command.count, command.seed, command.steps
    own = [row for row in rows if (row["n"], row["seed"], row.get("steps", command.steps)) == settings]
    return list({(row["harm"], row["level"], row["by"]): row for row in own}.values())


def measure(command: Benchmark) -> None:
    """Measure those levels of which there is no row."""
    torch.set_num_threads(1)
    split = load("fashion-mnist").train
    images = ImageReader.of(split, command.count, command.seed)
    judge = _classifier(command.classifier)
    terminal = Console(stderr=True, highlight=False)
    cases = [("none", 0.0), *((harm, level) for harm, levels in LEVELS.items() for level in levels)]
    for by in command.judges:
        origin = {"classifier": judge.extractor.hash[:8]} if by.endswith("classifier") else {}
        origin |= {"steps": command.steps} if by.startswith("w1") else {}
        numbers = _measuring(by, images, judge, command.steps)
        for harm, level in cases:
            case = {
                "harm": harm,
                "level": level,
                "by": by,
                "n": command.count,
                "seed": command.seed,
                **origin,
            }
            if any(case.items() <= row.items() for row in read()):
                continue
            start = time.perf_counter()
            found = numbers(images.harmed(harm, level))
            row = {**case, "numbers": found, "seconds": round(time.perf_counter() - start, 1)}
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            terminal.print(row)


def _classifier(path: Path) -> Classifier:
    """The one that `wgan classifier fashion-mnist` trains."""
    if not path.is_file():
        dataset = load("fashion-mnist")
        train, held_out = (
            (split.storage[split.rows], split.labels[split.rows])
            for split in (dataset.train, dataset.held_out)
            if split.labels is not None
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        train_classifier(*train, held_out=held_out, device="cpu").save(path)
    return Classifier.load(path, device="cpu")


def by_class(split: Split, seed: int) -> list[Tensor]:
    """The positions of each class, shuffled."""
    rng = torch.Generator().manual_seed(seed)
    labels = split.batch_labels(torch.arange(len(split)))
    assert labels is not None
    positions = (torch.nonzero(labels == label).flatten() for label in labels.unique())
    return [some[torch.randperm(len(some), generator=rng)] for some in positions]


def mixture(classes: Sequence[Tensor], count: int, start: int) -> Tensor:
    """So many positions, as many of each class as can be, those of a class from its `start` on."""
    shares = [len(range(first, count, len(classes))) for first in range(len(classes))]
    if any(start + share > len(some) for some, share in zip(classes, shares, strict=True)):
        raise ValueError(f"{len(classes)} classes do not have {count} images from number {start} on.")
    return torch.cat([some[start : start + share] for some, share in zip(classes, shares, strict=True)])


def noised(images: Tensor, level: float, seed: int) -> Tensor:
    """Gaussian noise of that standard deviation, then clipped to [-1, 1]; of one seed the same noise."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + level * noise).clamp(-1, 1)


def blurred(images: Tensor, level: float) -> Tensor:
    """A Gaussian blur of that standard deviation in pixels; images go on beyond their rim as they end."""
    return torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, level, level), mode="nearest"))


@dataclass(frozen=True, eq=False)
class ImageReader:
    """Three disjoint sets of images of one split, each with all classes in equal shares.

    All are of the training split: 4,000 images of the only class left are more than are held out of it.
    """

    split: Split
    classes: Sequence[Tensor]
    count: int
    seed: int

    @classmethod
    def of(cls, split: Split, count: int, seed: int) -> "ImageReader":
        """Of a labelled split; (seed, count) say which."""
        return cls(split, by_class(split, seed), count, seed)

    @property
    def _share(self) -> int:
        return ceil(self.count / len(self.classes))

    def real(self) -> Tensor:
        """(count, C, H, W), what others are held against."""
        return self.split.batch(mixture(self.classes, self.count, 0))

    def held_out(self) -> Tensor:
        """(count, C, H, W), for memorisation."""
        last = [some[-self._share :] for some in self.classes]
        return self.split.batch(mixture(last, self.count, 0))

    def harmed(self, harm: str, level: float) -> Tensor:
        """(count, C, H, W), others with one level of a harm; without the first classes they are 'missing'."""
        missing = int(level) if harm == "missing" else 0
        free = [some[: -self._share] for some in self.classes[missing:]]
        other = self.split.batch(mixture(free, self.count, self._share))
        if harm == "noise":
            return noised(other, level, self.seed)
        return blurred(other, level) if harm == "blur" else other


def _measuring(by: str, images: ImageReader, judge: Classifier, steps: int) -> Measuring:
    """What a judge makes of harmed images."""
    features = _flat if by.endswith("pixels") else _labelled(judge)
    real = features(images.real())
    if by.startswith("w1"):
        fit = FitSettings(candidates=(MAX_OF_CONES,), steps=steps)
        return lambda fake: _bracket(audit(real.values, features(fake).values, seed=images.seed, fit=fit))
    given = Comparison(real, real, features(images.held_out()))
    names = [name for name in METRICS if name != "modes" or by == "classifier"]

    def measured(fake: Tensor) -> Numbers:
        comparison = replace(given, fake=features(fake))
        return {name: value for metric in names for name, value in METRICS[metric](comparison).items()}

    return measured


def _bracket(found: Bracket) -> Numbers:
    names = ("lower", "upper", "estimate", "gap_fitted", "certificate")
    return {name: (getattr(found, name), None) for name in names}


def _flat(images: Tensor) -> Features:
    return Features(PIXELS(images))


def _labelled(judge: Classifier) -> Callable[[Tensor], Features]:
    return lambda images: Features(judge.extractor(images), judge(images))


def curves(rows: Sequence[Row], harm: str, by: str) -> tuple[list[float], dict[str, Curve]]:
    """Levels from none up, and by name each number there."""
    own = [row for row in rows if row["by"] == by and row["harm"] in ("none", harm)]
    own.sort(key=lambda row: row["level"])
    names = own[0]["numbers"] if own else ()
    return [row["level"] for row in own], {name: [row["numbers"][name] for row in own] for name in names}


def verdict(curve: Curve) -> str:
    """What a number does from level to level.

    'rises' or 'falls': without a step back. 'mostly': back somewhere, but no two levels are out of order by
    more than two standard errors of their difference. 'flat': no two differ by more. 'turns': both ways.
    Errors of levels are taken as independent; as they share images, the true ones are smaller.
    """
    up, down = _largest(curve, 1), _largest(curve, -1)
    if max(up, down) <= SIGNIFICANT:
        return "flat"
    if min(up, down) > SIGNIFICANT:
        return "turns"
    return ("mostly " if min(up, down) > 0 else "") + ("rises" if up > down else "falls")


def _largest(curve: Curve, sign: int) -> float:
    """The largest difference of a later level from an earlier one that way, in standard errors."""
    differences = (
        (sign * (after - before), hypot(error or 0, other or 0))
        for (before, error), (after, other) in combinations(curve, 2)
    )
    sizes = (size / error if error else inf for size, error in differences if size > 0)
    return max(sizes, default=0)


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table: without harm, at the last level of it, and what happens in between."""
    last = " | ".join(f"{harm} {levels[-1]:g}" for harm, levels in LEVELS.items())
    yield f"| judge | number | none | {last} |"
    yield "|---|---|---|" + "---|" * len(LEVELS)
    for by in JUDGES:
        found = {harm: curves(rows, harm, by)[1] for harm in LEVELS}
        for name in (*PANELS, *BOUNDS):
            known = {harm: numbers[name] for harm, numbers in found.items() if name in numbers}
            if known:
                first = _told(next(iter(known.values()))[0])
                cells = (_cell(known.get(harm, []), name) for harm in LEVELS)
                yield f"| {by} | {PANELS.get(name, name)} | {first} | {' | '.join(cells)} |"
    yield ""
    yield f"{len(rows)} levels, {sum(row['seconds'] for row in rows) / 60:.0f} minutes."


def _cell(curve: Curve, name: str) -> str:
    """Bold is what moves another way than it should; memorisation should none."""
    if len(curve) < 2:
        return ""
    found = verdict(curve)
    right = "falls" if name in FALLING else "rises"
    fits = name == "memorisation" or found == "flat" or right in found
    return f"{_told(curve[-1])}, {found if fits else f'**{found}**'}"


def _told(number: Number) -> str:
    value, error = number
    return f"{value:.3g}" if error is None else f"{value:.3g} ± {error:.1g}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """A row of panels for each metric, a column for each harm."""
    plt.switch_backend("agg")
    shape = (len(PANELS) + len(BRACKETS), len(LEVELS))
    figure, panels = plt.subplots(*shape, figsize=(9, 16), sharex="col", sharey="row", layout="constrained")
    for column, harm in zip(panels.T, LEVELS, strict=True):
        for panel, name in zip(column, PANELS, strict=False):
            for by in ("classifier", "pixels"):
                levels, numbers = curves(rows, harm, by)
                if name in numbers:
                    _line(panel, levels, numbers[name], by)
        for panel, by in zip(column[len(PANELS) :], BRACKETS, strict=True):
            _between(panel, *curves(rows, harm, by), by)
        column[0].set_title(TITLES[harm])
        column[-1].set_xlabel(UNITS[harm])
    _label(panels)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _line(panel: Axes, levels: Sequence[float], curve: Curve, by: str) -> None:
    """With two standard errors; the dotted line is where real images are."""
    values, errors = [value for value, _ in curve], [2 * (error or 0) for _, error in curve]
    panel.axhline(values[0], color=COLOURS[by], linestyle=":", linewidth=0.8)
    panel.errorbar(levels, values, errors, fmt="o-", markersize=3, color=COLOURS[by], label=by, linewidth=1.2)


def _between(panel: Axes, levels: Sequence[float], numbers: Mapping[str, Curve], by: str) -> None:
    bounds = {name: [value for value, _ in numbers.get(name, ())] for name in BOUNDS}
    panel.fill_between(levels, bounds["lower"], bounds["upper"], color=COLOURS[by], alpha=0.15)
    for name, style in zip(BOUNDS, ("o-", "o-", ":"), strict=True):
        panel.plot(levels, bounds[name], style, markersize=3, linewidth=1.2, color=COLOURS[by])


def _label(panels: Any) -> None:  # noqa: ANN401 - an array of axes
    for name, row in zip(PANELS, panels, strict=False):
        if name in LOGARITHMIC:
            row[0].set_yscale("symlog", linthresh=LOGARITHMIC[name])
    for row, name in zip(panels, (*PANELS.values(), *BRACKETS.values()), strict=True):
        row[0].set_ylabel(name)
        row[0].margins(y=0.1)
        row[0].set_ylim(bottom=min(0, *(panel.dataLim.ymin for panel in row)))
        for panel in row:
            panel.grid(color="0.92")
            panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False)


if __name__ == "__main__":
    main()

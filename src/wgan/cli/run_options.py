"""The options of the commands that leave a run: ``wgan train`` and ``wgan distil``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wgan.deploy.distillation import FEATURE, PIXEL, SIZE
from wgan.training import TrainingSettings, recipe


@dataclass(frozen=True)
class Train:
    """Train a generator on DATA into a run folder. The same command again goes on where it was.

    Settings that are not given are those of the recipe; every one can be overridden.
    """

    data: tyro.conf.Positional[str]
    """digits, mnist, fashion-mnist, emoji, ring8, grid25, swiss-roll, two-gaussians, two-clusters; or a
    folder, zip or tar of images; or a .npy or .npz file; or what `wgan data pack` made; or hf:NAME."""
    settings: Annotated[TrainingSettings, tyro.conf.arg(name="")]
    recipe: str = "default"
    """Where the settings start from; `wgan recipes` lists them."""
    out: Path | None = None
    """The run's folder; by default runs/DATA-RECIPE."""
    epochs: float | None = None
    """Instead of --steps: passes over the training data."""
    minutes: float | None = None
    """Instead of --steps: as many steps as this time allows at the measured speed."""
    data_dir: Path | None = None
    """Where the files of mnist, fashion-mnist or emoji lie."""
    generator: str | None = None
    """A generator of your own, package.module:Class, called with the shape of a sample; with --critic."""
    critic: str | None = None
    """A critic of your own, package.module:Class, called with the shape of a sample; with --generator."""
    resolution: int | None = None
    """Resize and crop images to squares of this side."""
    channels: int | None = None
    """1 makes images grey, 3 coloured; by default they stay what they are."""
    monitor: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Where else to watch the run: tensorboard, wandb, mlflow; may be given several times."""
    dry_run: bool = False
    """Print the settings, the networks, memory and time; train nothing."""
    fork: bool = False
    """If the folder holds a run with other settings, start a new run, beside it, from its weights."""
    heal: bool = False
    """Treat what the diagnosis finds, from the last healthy checkpoint; at most three times."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out or Path("runs") / f"{_stem(self.data)}-{self.recipe}"


@dataclass(frozen=True)
class Distil:
    """Train a smaller generator to make of each latent what the generator of the run in DIR makes of it.

    It imitates its teacher's samples and goes on against the trained critic, at the quicker one's rate, of 64
    samples at a time or more, and with all other settings of the run. What comes out is a run like any other;
    the same command again goes on where it was.
    """

    dir: tyro.conf.Positional[Path]
    """The teacher's run."""
    out: Path
    """The student's run."""
    size: float = SIZE
    """The student's weights as a share of the teacher's: at most, where a generator can be so narrow."""
    steps: int | None = None
    """Generator steps; by default those that see as many samples as the teacher's."""
    pixel: float = PIXEL
    """Weight of the distance to the teacher's samples, beside the critic's score."""
    feature: float = FEATURE
    """Weight of the distance in what the critic's layers make of both."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""
    against: str | None = None
    """The real samples: a source as `wgan train` takes it; by default what the run learned from."""
    data_dir: Path | None = None
    """Where the files of mnist and fashion-mnist lie."""
    monitor: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Where else to watch the run: tensorboard, wandb, mlflow; may be given several times."""


EVERYDAY = (
    "data",
    "out",
    "recipe",
    "steps",
    "epochs",
    "minutes",
    "seed",
    "conditional",
    "resolution",
    "monitor",
    "dry-run",
)
"""The options of ``wgan train`` that its help shows."""


def defaults(recipe_name: str, shape: tuple[int, ...], data: str = tyro.MISSING) -> Train:
    """The command without an option, for data of a shape."""
    return Train(data, recipe(recipe_name, shape))


def _stem(data: str) -> str:
    return Path(data).resolve().stem if any(mark in data for mark in "/\\.") else data

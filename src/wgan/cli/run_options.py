"""The options of the commands that leave a run: ``wgan train`` and ``wgan distil``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from wgan.deploy.distillation import FEATURE, PIXEL, SIZE
from wgan.runs import default_folder
from wgan.training import TrainingSettings, recipe


@dataclass(frozen=True)
class Train:
    """Train a generator on DATA into a run folder. The same command resumes the run.

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
    """Number of channels: 1 makes images grey, 3 coloured; by default they keep their own."""
    monitor: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Monitor of the run besides its folder: tensorboard, wandb or mlflow; may be given several times."""
    dry_run: bool = False
    """Print the settings, the networks, memory and time; train nothing."""
    fork: bool = False
    """If the folder holds a run with other settings, start a new run, beside it, from its weights."""
    heal: bool = False
    """Treat problems that the diagnosis finds, from the last healthy checkpoint; at most three times."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out or default_folder(self.data, self.recipe)


@dataclass(frozen=True)
class Distil:
    """Train a smaller generator to imitate the generator of the run in DIR, latent by latent.

    It is trained against the run's critic, at the higher of the run's two learning rates, with batches of at
    least 64 samples and all other settings of the run. The result is a run like any other; the same command
    resumes it.
    """

    dir: tyro.conf.Positional[Path]
    """The teacher's run."""
    out: Path
    """The student's run."""
    size: float = SIZE
    """Largest number of the student's weights, as a share of the teacher's."""
    steps: int | None = None
    """Generator steps; by default as many as it takes to see as many samples as the teacher did."""
    pixel: float = PIXEL
    """Weight of the distance to the teacher's samples, relative to the critic's score."""
    feature: float = FEATURE
    """Weight of the distance between the critic's features of both, relative to the critic's score."""
    device: str = "auto"
    """cpu, cuda, ...; auto is a GPU if there is one."""
    against: str | None = None
    """The real samples: data as `wgan train` takes them; by default those of the run."""
    data_dir: Path | None = None
    """Where the files of mnist and fashion-mnist lie."""
    monitor: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Monitor of the run besides its folder: tensorboard, wandb or mlflow; may be given several times."""


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
    """The command without options, for data of a shape."""
    return Train(data, recipe(recipe_name, shape))

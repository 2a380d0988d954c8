"""``wgan classifier``."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from torch import Tensor

from wgan.cli.parse import parse
from wgan.core.files import storing
from wgan.data import Split, even_indices, load
from wgan.errors import InputError, check_seed, check_whole
from wgan.metrics import train_classifier

MAX_IMAGES = 100_000
"""Images that the classifier is trained on, at most."""


@dataclass(frozen=True)
class Classifier:
    """Train a small classifier on labelled images, as a feature extractor for `wgan evaluate`.

    For grey or tiny images, its features separate the classes better than those of an ImageNet network do,
    and its predictions count the classes that a generator reaches. `wgan evaluate RUN --extractor
    classifier.safetensors` uses it.
    """

    data: tyro.conf.Positional[str]
    """Labelled images: digits, mnist, fashion-mnist; a folder or zip with a sub-folder for each class; or a
    .npz file with arrays `samples` and `labels`."""
    out: Path
    """Output: a .safetensors file."""
    steps: int = 1000
    """Number of training steps with batches of 128."""
    seed: int = 0
    """Random seed of the weights and batches."""
    device: str = "auto"
    """Device: cpu, cuda, ...; auto is a GPU if there is one."""
    data_dir: Path | None = None
    """Folder of the files of mnist and fashion-mnist."""
    resolution: int | None = None
    """Side, in pixels, of the squares that images are cropped and resized to."""
    channels: int | None = None
    """Number of channels: 1 converts images to grey, 3 to colour."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Classifier, arguments)
    _check(command)
    dataset = load(
        command.data,
        data_dir=command.data_dir,
        resolution=command.resolution,
        channels=command.channels,
    )
    if not dataset.image:
        raise InputError(f"{command.data} holds vectors; a classifier needs images.")
    if dataset.classes is None:
        raise InputError(
            f"{command.data} has no labels: give a folder with a sub-folder for each class, or a "
            ".npz file with arrays `samples` and `labels`."
        )
    if len(dataset.classes) < 2:
        raise InputError(f"{command.data} has only one class; a classifier needs at least two.")
    _check_writable(command.out)
    learned = train_classifier(
        *_labelled(dataset.train),
        held_out=_labelled(dataset.held_out),
        steps=command.steps,
        seed=command.seed,
        device=command.device,
    )
    learned.save(command.out)
    sys.stdout.write(
        f"Held-out accuracy {100 * learned.accuracy:.1f} % ({learned.training['held_out']:,} images of "
        f"{learned.classes} classes).\nNext: wgan evaluate RUN --extractor {shlex.quote(str(command.out))}\n"
    )


def _check(command: Classifier) -> None:
    if command.out.suffix != ".safetensors":
        raise InputError(f"Cannot write a classifier as {command.out}; use a name that ends in .safetensors.")
    check_seed(command.seed)
    check_whole(steps=(command.steps, 1))


def _check_writable(out: Path) -> None:
    """Refuse an output that cannot be written before the work."""
    with storing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.is_dir():
            raise InputError(f"{out} is a folder; give the name of a file.")
        if not os.access(out.parent, os.W_OK):
            raise PermissionError("there is no permission")


def _labelled(split: Split) -> tuple[Tensor, Tensor]:
    """Images as they are stored, bytes as bytes, with their labels; evenly spread where there are many."""
    rows = split.rows[even_indices(len(split), MAX_IMAGES)]
    assert split.labels is not None
    return split.storage.index_select(0, rows), split.labels[rows]

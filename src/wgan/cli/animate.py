"""``wgan animate``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image

from wgan.cli.parse import parse
from wgan.errors import InputError
from wgan.images import animation
from wgan.runs import RunFolder


@dataclass(frozen=True)
class Animate:
    """Make an animation of a run's images: the samples of fixed latents, in step order."""

    run: tyro.conf.Positional[Path]
    """Run folder."""
    out: Path
    """Output: a .gif file."""
    seconds: float = 0.2
    """Duration of an image, in seconds."""
    step: int | None = None
    """Last step of the animation; by default the last image."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Animate, arguments)
    folder = RunFolder(command.run)
    folder.read_config()
    paths = [p for p in folder.images() if command.step is None or int(p.stem) <= command.step]
    frames = [_open(path) for path in paths]
    if not frames and command.step is not None:
        raise InputError(f"{folder.path} has no image of step {command.step} or before.")
    if not frames:
        raise InputError(f"{folder.path} has no images in samples/ yet.")
    animation(frames, command.out, seconds=command.seconds)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("L" if image.mode == "L" else "RGB")
    except (OSError, SyntaxError, ValueError) as error:  # which Pillow raises for a broken file
        raise InputError(f"{path} cannot be read as an image: {error}.") from error

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
    """Make a GIF of what the run in the folder DIR made of its fixed latents, in step order."""

    dir: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """The GIF."""
    seconds: float = 0.2
    """How long each image is shown."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Animate, arguments)
    folder = RunFolder(command.dir)
    folder.read_config()
    frames = [_open(path) for path in folder.images()]
    if not frames:
        raise InputError(f"{folder.path} has no images in samples/ yet.")
    animation(frames, command.out, seconds=command.seconds)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("L" if image.mode == "L" else "RGB")
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's words for a broken file
        raise InputError(f"{path} cannot be read as an image: {error}.") from error

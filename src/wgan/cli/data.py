"""``wgan data``."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from wgan.cli.parse import parse
from wgan.data import load, reader_of, verify_shards, write_shards
from wgan.errors import InputError, check_whole


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Pack:
    """Write a dataset as shards, which `wgan train` memory-maps: for datasets larger than memory.

    The same command again continues an interrupted pack, and writes missing shards of a finished one anew.
    """

    data: tyro.conf.Positional[str]
    """Folder, zip, tar or range of tars (x-{000..009}.tar) of images; a .npy file; or hf:NAME."""
    out: Path | None = None
    """Output: the folder of shards; by default DATA.pack, or NAME.pack in this folder for hf:NAME."""
    resolution: int | None = None
    """Side, in pixels, of the squares that images are cropped and resized to."""
    channels: int | None = None
    """Number of channels: 1 converts images to grey, 3 to colour; by default they stay as they are."""
    processes: int = field(default_factory=_cores)
    """Number of processes; by default one for each core that this process may use."""


@dataclass(frozen=True)
class Verify:
    """Read every shard in a folder and compare it with its checksum."""

    dir: tyro.conf.Positional[Path]
    """Folder of shards, as `wgan data pack` writes it."""


@dataclass(frozen=True)
class Data:
    """Write a dataset that is larger than memory as shards, or verify such shards."""

    action: Annotated[
        Annotated[Pack, tyro.conf.subcommand("pack")] | Annotated[Verify, tyro.conf.subcommand("verify")],
        tyro.conf.arg(name=""),
    ]


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    action = parse(Data, arguments).action
    if isinstance(action, Verify):
        verify_shards(action.dir)
        sys.stdout.write(f"{action.dir} is intact.\n")
    else:
        _pack(action)


def _pack(command: Pack) -> None:
    check_whole(processes=(command.processes, 1))
    reader = reader_of(command.data, resolution=command.resolution, channels=command.channels)
    if reader is None:
        raise InputError(
            f"{command.data} cannot be packed, because it is always read into memory whole: give a "
            "folder, zip or tar of images, a .npy file, or hf:NAME."
        )
    folder = command.out or _default_folder(command.data)
    with _progress_bar() as progress:
        write_shards(reader, folder, processes=command.processes, progress=progress)
    dataset = load(folder, memory_limit=0)
    shape = "x".join(map(str, dataset.shape))
    sys.stdout.write(f"{len(dataset.train) + len(dataset.held_out):,} samples {shape} in {folder}.\n")
    if dataset.skipped:
        shown = ", ".join(dataset.skipped[:5]) + (", ..." if len(dataset.skipped) > 5 else "")
        sys.stdout.write(f"Skipped {len(dataset.skipped)} unreadable image(s): {shown}\n")
    sys.stdout.write(f"Next: wgan train {folder}\n")


def _default_folder(dataset: str) -> Path:
    if dataset.startswith("hf:"):
        return Path(f"{Path(dataset.removeprefix('hf:').partition('[')[0]).name}.pack")
    path = Path(os.path.expanduser(dataset))
    if path.name in ("", ".."):  # '.' and '..' have other names in their parents
        path = path.resolve()
    return path.with_name(f"{path.name}.pack")


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("Shards", total=None)
        yield lambda done, shards: bar.update(task, completed=done, total=shards)

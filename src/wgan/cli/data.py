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
from wgan.data import load, pack, reader_of, verify
from wgan.errors import InputError, check_whole


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Pack:
    """Pack SOURCE into a folder of bytes that `wgan train` maps: for sets larger than memory.

    The same command again goes on where it was, and makes anew what is missing of a finished pack.
    """

    dataset: tyro.conf.Positional[str]
    """A folder, zip, tar or range of tars (x-{000..009}.tar) of images; a .npy file; or hf:NAME."""
    out: Path | None = None
    """The pack's folder; by default SOURCE.pack, and NAME.pack in this one for hf:NAME."""
    resolution: int | None = None
    """Resize and crop images to squares of this side."""
    channels: int | None = None
    """1 makes images grey, 3 coloured; by default they stay what they are."""
    processes: int = field(default_factory=_cores)
    """How many work at once; by default one for each core that this process may use."""


@dataclass(frozen=True)
class Verify:
    """Read the pack in the folder DIR through, and hold every shard against its checksum."""

    dir: tyro.conf.Positional[Path]
    """The pack."""


@dataclass(frozen=True)
class Data:
    """Pack a set that is larger than memory, or read a pack through."""

    action: Annotated[
        Annotated[Pack, tyro.conf.subcommand("pack")] | Annotated[Verify, tyro.conf.subcommand("verify")],
        tyro.conf.arg(name=""),
    ]


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    action = parse(Data, arguments).action
    if isinstance(action, Verify):
        verify(action.dir)
        sys.stdout.write(f"{action.dir} is whole.\n")
    else:
        _pack(action)


def _pack(command: Pack) -> None:
    check_whole(processes=(command.processes, 1))
    reader = reader_of(command.dataset, resolution=command.resolution, channels=command.channels)
    if reader is None:
        raise InputError(
            f"{command.dataset} cannot be packed: what is held in memory whole need not be; give a folder, "
            "zip or tar of images, a .npy file, or hf:NAME."
        )
    folder = command.out or _beside(command.dataset)
    with _progress() as tell:
        pack(reader, folder, processes=command.processes, tell=tell)
    dataset = load(folder, memory_limit=0)
    shape = "x".join(map(str, dataset.shape))
    sys.stdout.write(f"{len(dataset.train) + len(dataset.held_out):,} samples {shape} in {folder}.\n")
    if dataset.skipped:
        shown = ", ".join(dataset.skipped[:5]) + (", ..." if len(dataset.skipped) > 5 else "")
        sys.stdout.write(f"Skipped {len(dataset.skipped)} unreadable image(s): {shown}\n")
    sys.stdout.write(f"Next: wgan train {folder}\n")


def _beside(dataset: str) -> Path:
    if dataset.startswith("hf:"):
        return Path(f"{Path(dataset.removeprefix('hf:').partition('[')[0]).name}.pack")
    path = Path(os.path.expanduser(dataset))
    if path.name in ("", ".."):  # '.' and '..' are called otherwise where they lie
        path = path.resolve()
    return path.with_name(f"{path.name}.pack")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("Shards", total=None)
        yield lambda done, shards: bar.update(task, completed=done, total=shards)

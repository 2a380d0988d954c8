"""Networks of one's own on the command line, named as package.module:Class."""

import os
import sys
from pathlib import Path

from wgan.cli.terminal import print_status
from wgan.sampling import Sampler


def allow_code(name: str) -> str:
    """Let modules of the current directory be imported, as ``python -m`` does, and say so."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    print_status(f"{name} is your own code, which wgan imports and runs.")
    return name


def load_sampler(run: Path, step: int | None, generator: str | None, device: str) -> Sampler:
    """Load the generator of a run's checkpoint, of a class of one's own where it is named."""
    own = None if generator is None else allow_code(generator)
    return Sampler.load(run, device=device, generator=own, step=step)

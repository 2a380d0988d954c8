"""Networks of one's own on the command line, named as package.module:Class."""

import os
import sys

from wgan.cli.terminal import print_status


def allow_code(name: str) -> str:
    """Let modules of the current directory be imported, as ``python -m`` does, and say so."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    print_status(f"{name} is your own code, which wgan imports and runs.")
    return name

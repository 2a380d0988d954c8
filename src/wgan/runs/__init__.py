"""A run is a folder: its configuration, history, checkpoints and pictures, safe against any interruption."""

from wgan.runs.checkpoint import Checkpoint, load_latest, save
from wgan.runs.files import storing, write_atomically
from wgan.runs.folder import FORMAT, RunFolder
from wgan.runs.plain import differences, from_plain, to_plain

__all__ = [
    "FORMAT",
    "Checkpoint",
    "RunFolder",
    "differences",
    "from_plain",
    "load_latest",
    "save",
    "storing",
    "to_plain",
    "write_atomically",
]

"""A run is a folder: its configuration, history, checkpoints and images, safe against interruptions."""

from wgan.runs.checkpoint import Checkpoint, generator_files, load_checkpoint, load_latest, save, saved_steps
from wgan.runs.folder import FORMAT, Row, RunFolder, default_folder
from wgan.runs.plain import differences, flatten, from_plain, setting, to_plain

__all__ = [
    "FORMAT",
    "Checkpoint",
    "Row",
    "RunFolder",
    "default_folder",
    "differences",
    "flatten",
    "from_plain",
    "generator_files",
    "load_checkpoint",
    "load_latest",
    "save",
    "saved_steps",
    "setting",
    "to_plain",
]

"""TensorBoard."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
from PIL.Image import Image

from wgan.errors import MissingExtraError
from wgan.monitors.monitor import Monitor, Values


@final
class TensorBoard(Monitor):
    """Scalars, picture grids and the configuration as TensorBoard events in ``tensorboard/``.

    A resumed run goes on in a new event file; TensorBoard drops what the first had logged beyond.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, run_dir: Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "The TensorBoard monitor needs an optional package: pip install 'wgan[tensorboard]'."
            ) from error
        self._open = SummaryWriter
        self._folder = run_dir / "tensorboard"

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Open an event file and write the configuration as text."""
        self._writer = self._open(str(self._folder), purge_step=step + 1)
        self._writer.add_text("config", f"```json\n{json.dumps(config, indent=1)}\n```", step)

    def log(self, step: int, values: Values) -> None:
        """Write scalars; a number that is not finite is written as NaN."""
        for name, value in values.items():
            self._writer.add_scalar(name, float("nan") if value is None else value, step)

    def pictures(self, step: int, image: Image) -> None:
        """Write the grid."""
        self._writer.add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def finish(self, outcome: str) -> None:
        """Close the event file."""
        self._writer.add_text("outcome", outcome)
        self._writer.close()

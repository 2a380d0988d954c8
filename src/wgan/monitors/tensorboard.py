"""The TensorBoard monitor."""

import json
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
from PIL.Image import Image

from wgan.monitors.extras import optional_package
from wgan.monitors.monitor import Histogram, Monitor, Values


@final
class TensorBoard(Monitor):
    """Logs scalars, histograms, image grids and the configuration as TensorBoard events in ``tensorboard/``.

    A resumed run writes a new event file; TensorBoard drops later steps of the earlier file.

    Args:
        run_dir: The run's folder.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, run_dir: str | PathLike[str]) -> None:
        with optional_package("tensorboard", "TensorBoard"):
            from tensorboard.compat.proto import event_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
            from torch.utils.tensorboard import summary

        self._events, self._records = event_pb2, RecordWriter
        self._summary: Any = summary
        self._folder = Path(run_dir) / "tensorboard"

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Create an event file and log the configuration as text.

        Raises:
            OSError: The file system refuses, here and in the other methods.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        seconds, rest = divmod(time.time_ns(), 10**9)
        self._file = self._folder / f"events.out.tfevents.{seconds:010d}.{rest:09d}"
        restart = self._events.SessionLog(status=self._events.SessionLog.START)
        text = self._summary.text("config", f"```json\n{json.dumps(config, indent=1)}\n```")
        self._write({"file_version": "brain.Event:2"}, {"step": step + 1, "session_log": restart})
        self._write({"step": step, "summary": text})

    def log(self, step: int, values: Values) -> None:
        """Log scalars; one that is not finite is logged as NaN."""
        numbers = {name: float("nan") if value is None else value for name, value in values.items()}
        scalars = [self._summary.scalar(name, number) for name, number in numbers.items()]
        self._write(*({"step": step, "summary": scalar} for scalar in scalars))

    def images(self, step: int, image: Image) -> None:
        """Log the image grid."""
        grid = self._summary.image("samples", np.asarray(image.convert("RGB")), dataformats="HWC")
        self._write({"step": step, "summary": grid})

    def histograms(self, step: int, histograms: Mapping[str, Histogram]) -> None:
        """Log distributions."""
        self._write(*({"step": step, "summary": self._histogram(*item)} for item in histograms.items()))

    def finish(self, outcome: str) -> None:
        """Log the outcome."""
        self._write({"summary": self._summary.text("outcome", outcome)})

    def _histogram(self, name: str, histogram: Histogram) -> Any:  # noqa: ANN401 - a protobuf message
        counts, edges = np.array(histogram.counts), np.array(histogram.edges)
        middles = (edges[1:] + edges[:-1]) / 2
        return self._summary.histogram_raw(
            name,
            min=histogram.low,
            max=histogram.high,
            num=int(counts.sum()),
            sum=float(counts @ middles),  # estimated from the bins
            sum_squares=float(counts @ middles**2),
            # The limits are upper ones: the empty first bin keeps the next one from starting at -infinity.
            bucket_limits=edges.tolist(),
            bucket_counts=[0, *histogram.counts],
        )

    def _write(self, *events: Mapping[str, Any]) -> None:
        # Not SummaryWriter: it writes on a thread of its own, which prints a traceback on a full disk.
        with self._file.open("ab") as file:
            records = self._records(file)
            for event in events:
                record = self._events.Event(wall_time=time.time(), **event)
                records.write(record.SerializeToString())

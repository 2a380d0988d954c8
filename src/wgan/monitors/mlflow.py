"""MLflow."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, final

from PIL.Image import Image

from wgan.monitors.extra import needing
from wgan.monitors.identity import recall, remember
from wgan.monitors.monitor import Monitor, Values

AT_ONCE = 100
"""How many parameters MLflow takes in one call."""
CHANGING = ("steps", "origin", "versions")
"""Parts of a configuration that a resumed run may have others of: tags, since parameters cannot change."""
STATUS = {"finished": "FINISHED", "stopped": "KILLED", "interrupted": "KILLED"}


@final
class MLflow(Monitor):
    """Numbers, image grids, configuration and the trained generator, for MLflow.

    They go to the server that ``MLFLOW_TRACKING_URI`` or ``mlflow.set_tracking_uri`` names, otherwise into an
    SQLite store ``mlflow/mlflow.db`` in the run's folder; the experiment is ``wgan``, or what
    ``MLFLOW_EXPERIMENT_NAME`` says. A resumed run is the same run there: its id is kept in ``mlflow/id``, and
    steps that are there already are not written again. Parameters cannot change in MLflow: what may, such as
    the number of steps of a run that is made longer, are tags, ``config.steps`` and the like. It has no
    histograms: ``histograms.jsonl`` goes there as a file.

    Args:
        run_dir: The run's folder.

    Raises:
        MissingExtraError: mlflow-skinny is not installed, or not what it needs for a store of its own.
    """

    def __init__(self, run_dir: str | PathLike[str]) -> None:
        with needing("mlflow", "MLflow"):
            import mlflow

            self._own_store = not mlflow.is_tracking_uri_set()
            for package in ("sqlalchemy", "alembic") if self._own_store else ():
                import_module(package)
        self._mlflow = mlflow
        self._folder = Path(run_dir).resolve() / "mlflow"

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Begin the run, or go on with it.

        Raises:
            StorageError: The file system refuses.
            mlflow.MlflowException: There is no server, or it refuses.
        """
        self._client = self._connect()
        if not self._go_on():
            self._begin(config)
        for name, value in _flat({part: config[part] for part in CHANGING if part in config}):
            self._client.set_tag(self._id, f"config.{name}", value)
        self._client.log_dict(self._id, dict(config), "config.json")

    def log(self, step: int, values: Values) -> None:
        """Write numbers; one that is not finite is written as NaN."""
        if step <= self._last:
            return
        now, metric = int(1000 * time.time()), self._mlflow.entities.Metric
        numbers = {key: float("nan") if value is None else value for key, value in values.items()}
        rows = [metric(key, value, now, step) for key, value in numbers.items()]
        self._client.log_batch(self._id, metrics=rows)

    def images(self, step: int, image: Image) -> None:
        """Write the grid."""
        if step > self._last:
            self._client.log_image(self._id, image, key="samples", step=step)

    def artifact(self, files: Mapping[str, Path]) -> None:
        """Write the trained generator, into ``generator/``."""
        for name, path in files.items():
            place = Path("generator", name).parent.as_posix()
            self._client.log_artifact(self._id, str(path), place)

    def finish(self, outcome: str) -> None:
        """End the run."""
        if (shapes := self._folder.parent / "histograms.jsonl").is_file():
            self._client.log_artifact(self._id, str(shapes))
        self._client.set_tag(self._id, "outcome", outcome)
        self._client.set_terminated(self._id, STATUS.get(outcome, "FAILED"))

    def _connect(self) -> Any:  # noqa: ANN401 - a class of an optional package
        if not self._own_store:
            return self._mlflow.MlflowClient()
        self._folder.mkdir(parents=True, exist_ok=True)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of every table
        return self._mlflow.MlflowClient(f"sqlite:///{self._folder.as_posix()}/mlflow.db")

    def _go_on(self) -> bool:
        """Whether the run is there already; from which step on, is kept."""
        known = recall(self._folder / "id")
        if known is None:
            return False
        try:
            run = self._client.get_run(known)
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False  # of another server
        self._client.update_run(known, status="RUNNING")
        histories = (self._client.get_metric_history(known, name) for name in run.data.metrics)
        self._last = max((metric.step for history in histories for metric in history), default=-1)
        self._id = known
        return True

    def _begin(self, config: Mapping[str, Any]) -> None:
        run = self._client.create_run(self._experiment(), run_name=self._folder.parent.name)
        self._id, self._last = run.info.run_id, -1
        remember(self._folder / "id", self._id)
        lasting = {part: value for part, value in config.items() if part not in CHANGING}
        rows = [self._mlflow.entities.Param(name, value) for name, value in _flat(lasting)]
        for start in range(0, len(rows), AT_ONCE):
            self._client.log_batch(self._id, params=rows[start : start + AT_ONCE])

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "wgan")
        place = (self._folder / "artifacts").as_uri() if self._own_store else None
        if known := self._client.get_experiment_by_name(name):
            return str(known.experiment_id)
        try:
            return str(self._client.create_experiment(name, artifact_location=place))
        except self._mlflow.MlflowException:  # another run may have been faster
            if known := self._client.get_experiment_by_name(name):
                return str(known.experiment_id)
            raise


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The configuration as parameters ``a.b``, each a text."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)

"""The MLflow monitor."""

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

from wgan.monitors.extras import optional_package
from wgan.monitors.monitor import Monitor, Values
from wgan.monitors.run_id import read_run_id, write_run_id

BATCH = 100
"""Number of parameters that MLflow accepts in one call."""
MUTABLE = ("steps", "origin", "versions")
"""Parts of the configuration that may change when a run resumes: tags, since parameters cannot change."""
STATUS = {"finished": "FINISHED", "stopped": "KILLED", "interrupted": "KILLED"}


@final
class MLflow(Monitor):
    """Logs metrics, image grids, configuration and the trained generator to MLflow.

    The server is that of ``MLFLOW_TRACKING_URI`` or ``mlflow.set_tracking_uri``, by default an SQLite store
    ``mlflow/mlflow.db`` in the run's folder. The experiment is ``MLFLOW_EXPERIMENT_NAME``, by default
    ``wgan``. A resumed run continues the same MLflow run, whose id is stored in ``mlflow/id``; steps that are
    already there are not logged again. MLflow parameters cannot change, so that settings which may, such as
    the number of steps, are tags: ``config.steps``. MLflow has no histograms; ``histograms.jsonl`` is logged
    as a file.

    Args:
        run_dir: The run's folder.

    Raises:
        MissingExtraError: mlflow-skinny, or a package that its SQLite store needs, is not installed.
    """

    def __init__(self, run_dir: str | PathLike[str]) -> None:
        with optional_package("mlflow", "MLflow"):
            import mlflow

            self._own_store = not mlflow.is_tracking_uri_set()
            for package in ("sqlalchemy", "alembic") if self._own_store else ():
                import_module(package)
        self._mlflow = mlflow
        self._folder = Path(run_dir).resolve() / "mlflow"

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Start or resume the run.

        Raises:
            StorageError: The file system refuses.
            mlflow.MlflowException: The server is missing or refuses.
        """
        self._client = self._connect()
        if not self._resume():
            self._create(config)
        for name, value in _flat({part: config[part] for part in MUTABLE if part in config}):
            self._client.set_tag(self._id, f"config.{name}", value)
        self._client.log_dict(self._id, dict(config), "config.json")

    def log(self, step: int, values: Values) -> None:
        """Log metrics; one that is not finite is logged as NaN."""
        if step <= self._last:
            return
        now, metric = int(1000 * time.time()), self._mlflow.entities.Metric
        numbers = {key: float("nan") if value is None else value for key, value in values.items()}
        rows = [metric(key, value, now, step) for key, value in numbers.items()]
        self._client.log_batch(self._id, metrics=rows)

    def images(self, step: int, image: Image) -> None:
        """Log the image grid."""
        if step > self._last:
            self._client.log_image(self._id, image, key="samples", step=step)

    def artifact(self, files: Mapping[str, Path]) -> None:
        """Log the trained generator under ``generator/``."""
        for name, path in files.items():
            target = Path("generator", name).parent.as_posix()
            self._client.log_artifact(self._id, str(path), target)

    def finish(self, outcome: str) -> None:
        """End the run."""
        if (histograms := self._folder.parent / "histograms.jsonl").is_file():
            self._client.log_artifact(self._id, str(histograms))
        self._client.set_tag(self._id, "outcome", outcome)
        self._client.set_terminated(self._id, STATUS.get(outcome, "FAILED"))

    def _connect(self) -> Any:  # noqa: ANN401 - a class of an optional package
        if not self._own_store:
            return self._mlflow.MlflowClient()
        self._folder.mkdir(parents=True, exist_ok=True)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it reports every table
        return self._mlflow.MlflowClient(f"sqlite:///{self._folder.as_posix()}/mlflow.db")

    def _resume(self) -> bool:
        """Whether the server has the run already; set its id and last step then."""
        run_id = read_run_id(self._folder / "id")
        if run_id is None:
            return False
        try:
            run = self._client.get_run(run_id)
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False  # of another server
        self._client.update_run(run_id, status="RUNNING")
        histories = (self._client.get_metric_history(run_id, name) for name in run.data.metrics)
        self._last = max((metric.step for history in histories for metric in history), default=-1)
        self._id = run_id
        return True

    def _create(self, config: Mapping[str, Any]) -> None:
        run = self._client.create_run(self._experiment(), run_name=self._folder.parent.name)
        self._id, self._last = run.info.run_id, -1
        write_run_id(self._folder / "id", self._id)
        fixed = {part: value for part, value in config.items() if part not in MUTABLE}
        rows = [self._mlflow.entities.Param(name, value) for name, value in _flat(fixed)]
        for start in range(0, len(rows), BATCH):
            self._client.log_batch(self._id, params=rows[start : start + BATCH])

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "wgan")
        location = (self._folder / "artifacts").as_uri() if self._own_store else None
        if known := self._client.get_experiment_by_name(name):
            return str(known.experiment_id)
        try:
            return str(self._client.create_experiment(name, artifact_location=location))
        except self._mlflow.MlflowException:  # another run may have created it meanwhile
            if known := self._client.get_experiment_by_name(name):
                return str(known.experiment_id)
            raise


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The configuration as pairs of a dotted name and a string."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)

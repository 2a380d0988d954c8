"""Self-healing runs: problems that the diagnosis finds are treated from the last healthy checkpoint.

An attempt with a problem is renamed to ``RUN-before-1`` (then 2, ...), with the finding in a file, and a new
one starts in RUN with the remedy's settings, from the last checkpoint before the problem began. Interventions
can be undone, since the old attempt is a complete run, and the same command resumes after any interruption.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

from PIL.Image import Image

from wgan.core.files import storing, write_atomically
from wgan.diagnosis import Finding, History, diagnose
from wgan.diagnosis.finding import SettingsByPath
from wgan.errors import DivergenceError, InputError
from wgan.monitors import Monitor
from wgan.monitors.monitor import Values
from wgan.runs import Row, RunFolder, from_plain, saved_steps
from wgan.training import Trainer, TrainingSettings
from wgan.training.resume import check_same_run
from wgan.training.settings import KINDS

MAX_INTERVENTIONS = 3
"""Interventions in a run; later problems are left to the user."""
WINDOW = 60
"""Log points that are diagnosed during a run: enough for every symptom of a problem."""
INTERVENTION_FILE = "intervention.json"
"""In an abandoned attempt: the finding, and where the next attempt started."""
DEAD = ("critic_dead", "generator_dead")
MAX_DEAD = 1 / 3
"""Share of dead units above which training does not resume from a checkpoint."""


@dataclass(frozen=True)
class Intervention:
    """A remedy that was applied to a run.

    Attributes:
        step: Log point at which the attempt was stopped.
        finding: The problem.
        start: Step from which training resumed; 0 for a new start.
        before: Folder of the abandoned attempt.
    """

    step: int
    finding: Finding
    start: int
    before: Path

    def plain(self) -> dict[str, Any]:
        """JSON values for the abandoned attempt and for the new configuration."""
        return {"step": self.step, "start": self.start, "before": str(self.before), **asdict(self.finding)}


Build = Callable[[TrainingSettings, Sequence[Intervention]], Trainer]
"""Builds a trainer from settings; it stores the interventions in the run's origin."""


def heal(
    settings: TrainingSettings,
    build: Build,
    *,
    steps: int,
    run_dir: Path,
    on_intervention: Callable[[Intervention], None] = lambda intervention: None,
) -> list[Intervention]:
    """Train, and treat the problems that the diagnosis finds.

    A run without findings is bit for bit the same as without healing.

    Args:
        settings: The settings to begin with.
        build: Builds the trainer of an attempt.
        steps: Total number of generator steps, >= 1.
        run_dir: Folder of the run and of its last attempt.
        on_intervention: Called after each intervention.

    Returns:
        The interventions, including earlier ones; at most :data:`MAX_INTERVENTIONS`.

    Raises:
        InputError: As :meth:`~wgan.training.Trainer.fit`; or a remedy does not fit the run, which is
            left unchanged; or a folder RUN-before-N belongs to another run.
        StorageError, DivergenceError, KeyboardInterrupt, SystemExit: As :meth:`~wgan.training.Trainer.fit`;
            DivergenceError only where no remedy is left.
    """
    run_dir = run_dir.resolve()
    done = _done(settings, build, steps, run_dir)
    trainer = build(with_remedies(settings, done), done)
    while finding := _fit(trainer, steps, run_dir, done):
        intervention = _intervention(run_dir, len(done) + 1, finding)
        trainer = build(with_remedies(settings, [*done, intervention]), [*done, intervention])  # checks them
        _abandon(run_dir, intervention)
        done.append(intervention)
        on_intervention(intervention)
    return done


def with_remedies(settings: TrainingSettings, interventions: Sequence[Intervention]) -> TrainingSettings:
    """The settings with those of all remedies, in order."""
    for intervention in interventions:
        settings = apply_remedy(settings, intervention.finding.remedy)
    return settings


def apply_remedy(settings: TrainingSettings, remedy: SettingsByPath) -> TrainingSettings:
    """The settings with those of a remedy; InputError if they do not fit, such as a norm of an MLP."""
    for path, value in remedy.items():
        settings = _with(settings, path.split("."), value)
    return settings


def attempt_folder(run_dir: Path, number: int) -> Path:
    """The folder of an abandoned attempt; ``number`` counts from 1."""
    run_dir = run_dir.resolve()
    return run_dir.with_name(f"{run_dir.name}-before-{number}")


def _fit(trainer: Trainer, steps: int, run_dir: Path, done: Sequence[Intervention]) -> Finding | None:
    """Train one attempt; return the finding to treat, or None if it finished."""
    start = done[-1].before if done and done[-1].start else None
    before = done[-1].start + 1 if done else None
    if len(done) == MAX_INTERVENTIONS:
        trainer.fit(run_dir, steps, start=start, before=before)
        return None
    health = _HealthMonitor(RunFolder(run_dir))
    trainer.monitors = [*trainer.monitors, health]
    try:
        trainer.fit(run_dir, steps, start=start, before=before, stop=lambda _: health.problem() is not None)
    except DivergenceError:
        if (finding := health.problem()) is None:
            raise
        return finding
    return health.problem()


@final
class _HealthMonitor(Monitor):
    """Collects the last log points of the run, to diagnose them."""

    synchronous = True

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._history = History([])

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """Read the log of the run so far."""
        rows, timing = (self._folder.history(name)[-WINDOW:] for name in ("metrics", "timing"))
        self._history = History(rows, config, timing, self._folder.read_data())

    def log(self, step: int, values: Values) -> None:
        """Add a log point."""
        row, old = {**values, "step": step}, self._history
        rows, timing = ([*some[1 - WINDOW :], row] for some in (old.rows, old.timing))
        self._history = replace(old, rows=rows, timing=timing)

    def images(self, step: int, image: Image) -> None:
        """Do nothing."""

    def finish(self, outcome: str) -> None:
        """Do nothing."""

    def problem(self) -> Finding | None:
        """The first problem that has a remedy."""
        findings = diagnose(self._history)
        return next((found for found in findings if found.severity != "note" and found.remedy), None)


def _intervention(run_dir: Path, number: int, finding: Finding) -> Intervention:
    folder = RunFolder(run_dir)
    rows = folder.history()
    # Weights learned under another constraint or with other networks are of no use.
    fresh = any(path == "constraint" or path.startswith("networks.") for path in finding.remedy)
    saved = [] if fresh else saved_steps(folder.checkpoints)
    healthy = [step for step in saved if 0 < step < finding.since and _alive(rows, step)]
    return Intervention(rows[-1]["step"], finding, max(healthy, default=0), attempt_folder(run_dir, number))


def _alive(rows: Sequence[Row], step: int) -> bool:
    """Whether few units of both networks had died up to a step; dead units stay dead."""
    shares = [row.get(name) or 0 for row in rows if row["step"] <= step for name in DEAD]
    return max(shares, default=0) < MAX_DEAD


def _abandon(run_dir: Path, intervention: Intervention) -> None:
    text = json.dumps(intervention.plain(), indent=1).encode()
    write_atomically(run_dir / INTERVENTION_FILE, lambda file: file.write(text))
    with storing(intervention.before):
        run_dir.rename(intervention.before)


def _done(settings: TrainingSettings, build: Build, steps: int, run_dir: Path) -> list[Intervention]:
    """The interventions so far, read from the abandoned attempts."""
    done: list[Intervention] = []
    for number in range(1, MAX_INTERVENTIONS + 1):
        before = attempt_folder(run_dir, number)
        if not before.exists():
            break
        config = build(with_remedies(settings, done), done).config(steps)
        check_same_run(RunFolder(before), config)
        done.append(_read(before))
    return done


def _read(before: Path) -> Intervention:
    try:
        plain = json.loads((before / INTERVENTION_FILE).read_text())
        step, start = plain.pop("step"), plain.pop("start")
        plain.pop("before")
        return Intervention(int(step), Finding(**plain), int(start), before)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{before} is not an abandoned attempt: its {INTERVENTION_FILE} cannot be read "
            f"({type(error).__name__}: {error}); move the folder away."
        ) from error


def _with(settings: Any, path: Sequence[str], value: Any) -> Any:  # noqa: ANN401 - settings or a part of them
    name, *rest = path
    if not hasattr(settings, name):
        raise InputError(f"{type(settings).__name__} has no setting {name}.")
    new = _with(getattr(settings, name), rest, value) if rest else from_plain(value, KINDS)
    return replace(settings, **{name: new})

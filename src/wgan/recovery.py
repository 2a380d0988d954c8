"""A run that looks after itself: what the diagnosis finds is treated, from the last healthy checkpoint.

An attempt that goes wrong is renamed to ``RUN-before-1`` (then 2, ...) in one move, with a note in it of what
was found, and a new one begins in RUN with the remedy's settings, from the last checkpoint before the trouble
began. So every intervention can be undone - the old attempt is a whole run - and the same command goes on
after any interruption.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

from PIL.Image import Image

from wgan.core.files import storing, write_atomically
from wgan.diagnosis import Finding, History, diagnose
from wgan.diagnosis.finding import Settings
from wgan.diagnosis.history import Row
from wgan.errors import DivergenceError, InputError
from wgan.lipschitz import R1, GradientPenalty
from wgan.monitors import Monitor
from wgan.monitors.monitor import Values
from wgan.runs import RunFolder, from_plain, saved_steps
from wgan.training import Trainer, TrainingSettings
from wgan.training.resume import check_same_run

AT_MOST = 3
"""Interventions in a run; what still goes wrong then is left to a person."""
LOOKED_BACK = 60
"""Log points that are diagnosed while a run goes on: enough for every symptom but that all is well."""
NOTE = "intervention.json"
"""In an attempt that was given up: why, and where the next one began."""
DEAD = ("critic_dead", "generator_dead")
MOSTLY = 1 / 3
"""Dead units of a network, above which a checkpoint is no place to go on from."""
TYPES = {kind.__name__: kind for kind in (GradientPenalty, R1)}
"""What a remedy's settings may name."""


@dataclass(frozen=True)
class Intervention:
    """What was done to a run.

    Attributes:
        step: The log point at which it was stopped.
        finding: Why.
        start: The step it went on from; 0: anew.
        before: The folder of the attempt that was given up.
    """

    step: int
    finding: Finding
    start: int
    before: Path

    def plain(self) -> dict[str, Any]:
        """As it stands in the note and in the configuration."""
        return {"step": self.step, "start": self.start, "before": str(self.before), **asdict(self.finding)}


Build = Callable[[TrainingSettings, Sequence[Intervention]], Trainer]
"""A trainer of a recipe, which notes what was done in the run's origin."""


def heal(
    recipe: TrainingSettings,
    build: Build,
    *,
    steps: int,
    run_dir: Path,
    tell: Callable[[Intervention], None] = lambda intervention: None,
) -> list[Intervention]:
    """Train, and treat what goes wrong.

    A run in which nothing is found is the run that it would have been without, bit for bit.

    Args:
        recipe: The settings to begin with.
        build: Makes the trainer of an attempt.
        steps: Generator steps in all, >= 1.
        run_dir: The run's folder, and that of the last attempt.
        tell: Hears of each intervention.

    Returns:
        The interventions, at most :data:`AT_MOST`.

    Raises:
        InputError: As :meth:`~wgan.training.Trainer.fit`; or a remedy does not suit the run, which stays as
            it is; or a folder RUN-before-N is of another run.
        StorageError, DivergenceError, KeyboardInterrupt, SystemExit: As :meth:`~wgan.training.Trainer.fit`;
            divergence only where no remedy is left.
    """
    run_dir = run_dir.resolve()
    done = _done(recipe, build, steps, run_dir)
    trainer = build(treated(recipe, done), done)
    while finding := _fit(trainer, steps, run_dir, done):
        intervention = _intervention(run_dir, len(done) + 1, finding)
        trainer = build(treated(recipe, [*done, intervention]), [*done, intervention])  # or it cannot be
        _give_up(run_dir, intervention)
        done.append(intervention)
        tell(intervention)
    return done


def treated(recipe: TrainingSettings, interventions: Sequence[Intervention]) -> TrainingSettings:
    """The recipe with the settings of all remedies."""
    for intervention in interventions:
        recipe = apply_remedy(recipe, intervention.finding.remedy)
    return recipe


def apply_remedy(settings: TrainingSettings, remedy: Settings) -> TrainingSettings:
    """The settings with those of a remedy.

    Raises:
        InputError: They do not suit the settings, as a norm of networks that have none.
    """
    for path, value in remedy.items():
        settings = _with(settings, path.split("."), value)
    return settings


def attempt(run_dir: Path, number: int) -> Path:
    """The folder of the n-th attempt that was given up, n >= 1."""
    run_dir = run_dir.resolve()
    return run_dir.with_name(f"{run_dir.name}-before-{number}")


def _fit(trainer: Trainer, steps: int, run_dir: Path, done: Sequence[Intervention]) -> Finding | None:
    """What is to be treated; None if the attempt came to its end."""
    start = done[-1].before if done and done[-1].start else None
    before = done[-1].start + 1 if done else None
    if len(done) == AT_MOST:
        trainer.fit(run_dir, steps, start=start, before=before)
        return None
    nurse = _HealthMonitor(RunFolder(run_dir))
    trainer.monitors = [*trainer.monitors, nurse]
    try:
        trainer.fit(run_dir, steps, start=start, before=before, stop=lambda _: nurse.finds() is not None)
    except DivergenceError:
        if (finding := nurse.finds()) is None:
            raise
        return finding
    return nurse.finds()


@final
class _HealthMonitor(Monitor):
    """Keeps what the run observes of itself, to be diagnosed at each log point."""

    synchronous = True

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._history = History([])

    def start(self, config: Mapping[str, Any], step: int) -> None:
        """What there is of the run already."""
        rows, timing = (self._folder.history(name)[-LOOKED_BACK:] for name in ("metrics", "timing"))
        self._history = History(rows, config, timing, self._folder.read_data())

    def log(self, step: int, values: Values) -> None:
        """Keep the last rows."""
        row, old = {**values, "step": step}, self._history
        rows, timing = ([*some[1 - LOOKED_BACK :], row] for some in (old.rows, old.timing))
        self._history = replace(old, rows=rows, timing=timing)

    def images(self, step: int, image: Image) -> None:
        """Nothing to see."""

    def finish(self, outcome: str) -> None:
        """Nothing to do."""

    def finds(self) -> Finding | None:
        """The first trouble that settings can mend."""
        troubles = (found for found in diagnose(self._history) if found.severity != "note")
        return next((found for found in troubles if found.remedy), None)


def _intervention(run_dir: Path, number: int, finding: Finding) -> Intervention:
    folder = RunFolder(run_dir)
    rows = folder.history()
    # What a critic learned under another constraint is no place to go on from, nor are other networks.
    anew = any(path == "constraint" or path.startswith("networks.") for path in finding.remedy)
    saved = [] if anew else saved_steps(folder.checkpoints)
    healthy = [step for step in saved if 0 < step < finding.since and _alive(rows, step)]
    return Intervention(rows[-1]["step"], finding, max(healthy, default=0), attempt(run_dir, number))


def _alive(rows: Sequence[Row], step: int) -> bool:
    """Whether most units of both networks were active up to a step: those that died stay dead."""
    shares = [row.get(name) or 0 for row in rows if row["step"] <= step for name in DEAD]
    return max(shares, default=0) < MOSTLY


def _give_up(run_dir: Path, intervention: Intervention) -> None:
    text = json.dumps(intervention.plain(), indent=1).encode()
    write_atomically(run_dir / NOTE, lambda file: file.write(text))
    with storing(intervention.before):
        run_dir.rename(intervention.before)


def _done(recipe: TrainingSettings, build: Build, steps: int, run_dir: Path) -> list[Intervention]:
    """The interventions so far, of which each attempt that was given up keeps a note."""
    done: list[Intervention] = []
    for number in range(1, AT_MOST + 1):
        before = attempt(run_dir, number)
        if not before.exists():
            break
        check_same_run(RunFolder(before), build(treated(recipe, done), done).config(steps))
        done.append(_read(before))
    return done


def _read(before: Path) -> Intervention:
    try:
        note = json.loads((before / NOTE).read_text())
        step, start = note.pop("step"), note.pop("start")
        note.pop("before")
        return Intervention(int(step), Finding(**note), int(start), before)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{before} is no attempt that was given up: its {NOTE} cannot be read ({type(error).__name__}: "
            f"{error}); move the folder away."
        ) from error


def _with(settings: Any, path: Sequence[str], value: Any) -> Any:  # noqa: ANN401 - a recipe or a part of it
    name, *rest = path
    if not hasattr(settings, name):
        raise InputError(f"{type(settings).__name__} has no setting {name}.")
    new = _with(getattr(settings, name), rest, value) if rest else from_plain(value, TYPES)
    return replace(settings, **{name: new})

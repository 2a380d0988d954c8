"""A run that looks after itself: what the diagnosis finds is treated, from the last healthy checkpoint.

An attempt that goes wrong is renamed to ``RUN-before-1`` (then 2, ...) in one move, and a new one begins in
RUN with the remedy's settings, from the last checkpoint before the trouble began. So every intervention can
be undone - the old attempt is a whole run - and nothing needs to be remembered: what was done follows from
the attempts that are there, and the same command goes on after any interruption.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wgan.diagnosis import Finding, History, diagnose
from wgan.errors import DivergenceError, InputError
from wgan.lipschitz import R1, GradientPenalty
from wgan.runs import RunFolder, from_plain, saved_steps
from wgan.training import Recipe, Trainer

AT_MOST = 3
"""Interventions in a run; what still goes wrong then is left to a person."""
LOOKED_BACK = 60
"""Log points that are diagnosed while a run goes on; no symptom needs more."""
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
        """As it stands in the configuration."""
        found = asdict(self.finding)
        kept = {name: found[name] for name in ("name", "since", "evidence", "remedy")}
        return {"step": self.step, "start": self.start, "before": str(self.before), **kept}


Build = Callable[[Recipe, Sequence[Intervention]], Trainer]
"""A trainer of a recipe, which notes what was done in the run's origin."""


def heal(
    recipe: Recipe,
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
        InputError, StorageError, DivergenceError, KeyboardInterrupt, SystemExit: As
            :meth:`~wgan.training.Trainer.fit` does; divergence only where no remedy is left.
    """
    done = list(_done(run_dir))
    while True:
        trainer = build(treated(recipe, done), done)
        if _fit(trainer, steps, run_dir, done, last=len(done) == AT_MOST):
            return done
        before = attempt(run_dir, len(done) + 1)
        run_dir.rename(before)
        done.append(_intervention(before))
        tell(done[-1])


def treated(recipe: Recipe, interventions: Sequence[Intervention]) -> Recipe:
    """The recipe with the settings of all remedies."""
    for intervention in interventions:
        for path, value in intervention.finding.remedy.items():
            recipe = _with(recipe, path.split("."), value)
    return recipe


def _fit(trainer: Trainer, steps: int, run_dir: Path, done: Sequence[Intervention], *, last: bool) -> bool:
    """Whether the attempt came to its end; if not, its history says what is to be done."""
    if last:
        trainer.fit(steps, run_dir, **_origin(done))
        return True
    try:
        trainer.fit(steps, run_dir, **_origin(done), stop=_curable)
    except DivergenceError:
        if not _curable(RunFolder(run_dir)):
            raise
    return not _curable(RunFolder(run_dir))


def _origin(done: Sequence[Intervention]) -> dict[str, Any]:
    if not done or not done[-1].start:
        return {}
    return {"start": done[-1].before, "before": done[-1].start + 1}


def _curable(folder: RunFolder) -> bool:
    return _first(folder) is not None


def _first(folder: RunFolder) -> Finding | None:
    """The first finding, if it is trouble that settings can mend."""
    history = History.load(folder.path)
    recent = replace(history, rows=history.rows[-LOOKED_BACK:], timing=history.timing[-LOOKED_BACK:])
    found = diagnose(recent)[:1]
    return found[0] if found and found[0].severity != "note" and found[0].remedy else None


def _done(run_dir: Path) -> Iterator[Intervention]:
    for number in range(1, AT_MOST + 1):
        before = attempt(run_dir, number)
        if not RunFolder(before).exists:
            return
        yield _intervention(before)


def _intervention(before: Path) -> Intervention:
    folder = RunFolder(before)
    finding = _first(folder)
    if finding is None:
        raise InputError(f"{before} is no attempt that was given up: nothing is found there; move it away.")
    healthy = [step for step in saved_steps(folder.checkpoints) if 0 < step < finding.since]
    # A critic that learned under another constraint, or weights that died, are no place to go on from.
    anew = "constraint" in finding.remedy or finding.name == "dead-units"
    return Intervention(
        folder.history()[-1]["step"], finding, 0 if anew or not healthy else healthy[-1], before
    )


def attempt(run_dir: Path, number: int) -> Path:
    """The folder of the n-th attempt that was given up, n >= 1."""
    return run_dir.with_name(f"{run_dir.name}-before-{number}")


def _with(settings: Any, path: Sequence[str], value: Any) -> Any:  # noqa: ANN401 - a recipe or a part of it
    name, *rest = path
    new = _with(getattr(settings, name), rest, value) if rest else from_plain(value, TYPES)
    return replace(settings, **{name: new})

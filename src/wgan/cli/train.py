"""``wgan train``."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import floor, isfinite
from pathlib import Path
from typing import Annotated, Any

import tyro

from wgan.cli.dry_run import dry_run
from wgan.cli.parse import parse, parse_known
from wgan.cli.report import reporting
from wgan.core.devices import processes
from wgan.data import Dataset, load
from wgan.diagnosis import format_settings
from wgan.errors import InputError, unknown
from wgan.monitors import MONITORS, Console, Monitor
from wgan.recovery import Intervention, attempt_folder, heal
from wgan.runs import RunFolder, saved_steps
from wgan.training import ChangedSettingsError, Trainer, TrainingSettings, recipe
from wgan.training.config import mark

EXAMPLE_SHAPES = (1, 28, 28), (2,)
"""What the settings are read for as long as the source is not loaded; the help shows them for the first."""


@dataclass(frozen=True)
class Train:
    """Train a generator on SOURCE into a run folder. The same command again goes on where it was.

    Settings that are not given are those of the recipe; every one can be overridden.
    """

    dataset: tyro.conf.Positional[str]
    """digits, mnist, fashion-mnist, emoji, ring8, grid25, swiss-roll, two-gaussians; or a folder, zip or tar
    of images; or a .npy or .npz file; or what `wgan data pack` made; or hf:NAME."""
    settings: Annotated[TrainingSettings, tyro.conf.arg(name="")]
    recipe: str = "default"
    """Where the settings start from; `wgan recipes` lists them."""
    out: Path | None = None
    """The run's folder; by default runs/SOURCE-RECIPE."""
    minutes: float | None = None
    """Instead of --steps: measure the speed first, then fix as many steps as this time allows."""
    data_dir: Path | None = None
    """Where the files of mnist, fashion-mnist or emoji lie."""
    resolution: int | None = None
    """Resize and crop images to squares of this side."""
    channels: int | None = None
    """1 makes images grey, 3 coloured; by default they stay what they are."""
    monitor: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Where else to watch the run: tensorboard, wandb, mlflow; may be given several times."""
    dry_run: bool = False
    """Print the settings, the networks, memory and time; train nothing."""
    fork: bool = False
    """If the folder holds a run with other settings, start a new run, beside it, from its weights."""
    heal: bool = False
    """Treat what the diagnosis finds, from the last healthy checkpoint; at most three times."""


@dataclass(frozen=True)
class _Basis:
    """The argument that decides which options there are."""

    recipe: str = "default"


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    draft = _draft(arguments)
    _check_length(draft, arguments)
    dataset = load(
        draft.dataset, data_dir=draft.data_dir, resolution=draft.resolution, channels=draft.channels
    )
    _tell_skipped(dataset)
    train(parse(Train, arguments, default=_defaults(draft.recipe, dataset.shape)), dataset, arguments)


def train(command: Train, dataset: Dataset, arguments: Sequence[str]) -> None:
    """Train as the command says.

    Args:
        command: What the arguments say.
        dataset: The data.
        arguments: Noted with the run, so that they can be given again.
    """
    if command.heal and processes()[1] > 1:
        raise InputError("--heal treats a run of one process; leave it out, or start one process.")
    if command.heal and command.fork:
        raise InputError("Give --heal or --fork, not both: a healed run has attempts beside it already.")
    folder = command.out or Path("runs") / f"{_stem(command.dataset)}-{command.recipe}"

    def build(settings: TrainingSettings, done: Sequence[Intervention] = ()) -> Trainer:
        """A trainer that notes in the run where its settings come from."""
        return Trainer(
            dataset,
            settings=settings,
            monitors=_monitors(command, folder),
            origin={
                "name": command.recipe,
                "dataset": command.dataset,
                "minutes": command.minutes,
                "arguments": list(arguments),
                "out": str(folder),
                "interventions": [intervention.plain() for intervention in done],
            },
        )

    trainer = build(command.settings)
    steps = _steps(command, trainer, folder)
    if command.dry_run:
        dry_run(trainer, steps)
        return
    try:
        with reporting(folder):
            if command.heal:
                heal(command.settings, build, steps=steps, run_dir=folder, on_intervention=_tell)
            else:
                trainer.fit(folder, steps)
    except ChangedSettingsError as error:
        if not command.fork:
            raise InputError(f"{error} --fork starts a new run, beside it, from its weights.") from None
        folder = _fork(command, trainer, steps, folder)
    print_status(f"Done: {folder}, images in {folder / 'samples'}.")
    print_status(f"Next: wgan sample {folder} --count 64 --out samples.png")


def _tell(intervention: Intervention) -> None:
    finding = intervention.finding
    settings = ", ".join(format_settings(finding.remedy))
    start = f"from step {intervention.start:,}" if intervention.start else "anew"
    print_status(
        f"Step {intervention.step:,}: {finding.name} since step {finding.since:,}. {finding.meaning} "
        f"Going on {start} with {settings}. What was there is in {intervention.before.name}."
    )


def print_status(text: str) -> None:
    """Say something to the person at the terminal, on standard error: once, of several processes."""
    if processes()[0] > 0:
        return
    from rich.console import Console as Terminal

    Terminal(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _draft(arguments: Sequence[str]) -> Train:
    """The command as far as it can be read without its source, whose shape decides the settings' defaults."""
    name = parse_known(_Basis, arguments, name="train").recipe
    refusals: list[InputError] = []
    # While a source is missing, tyro has no eye for what else is wrong: hence the look without.
    for shape, dataset in product(EXAMPLE_SHAPES, (tyro.MISSING, "")):
        try:
            draft = parse(Train, arguments, default=_defaults(name, shape, dataset))
        except InputError as refusal:
            refusals.append(refusal)
            if _weight(refusal) == 0:
                break
        else:
            if dataset is tyro.MISSING:
                return draft
    raise min(refusals, key=_weight)


def _weight(refusal: InputError) -> int:
    """How little a refusal of a draft says: options of the other shape's networks are always unknown."""
    return 2 if "'source'" in str(refusal) else int("nrecognized" in str(refusal))


def _defaults(name: str, shape: tuple[int, ...], dataset: str = tyro.MISSING) -> Train:
    return Train(dataset, recipe(name, shape))


def _check_length(command: Train, arguments: Sequence[str]) -> None:
    if command.minutes is None:
        return
    if any(word.split("=")[0] == "--steps" for word in arguments):
        raise InputError("Give --steps or --minutes, not both.")
    if not (isfinite(command.minutes) and command.minutes > 0):
        raise InputError(f"--minutes must be a finite number > 0, not {command.minutes}.")


def _steps(command: Train, trainer: Trainer, folder: Path) -> int:
    if command.minutes is None:
        return command.settings.steps
    for known in (folder, attempt_folder(folder, 1)) if command.heal else (folder,):
        if fixed := _fixed_steps(command, RunFolder(known)):
            return fixed
    steps = max(1, floor(60 * command.minutes / trainer.seconds_per_step()))
    print_status(f"{command.minutes:g} minutes are {steps:,} steps at the speed of this machine.")
    return steps


def _fixed_steps(command: Train, folder: RunFolder) -> int | None:
    """How many steps these minutes were found to be when the run in the folder was started."""
    if command.minutes is None or not folder.exists:
        return None
    config = folder.read_config()
    origin, steps = config.get("origin"), config.get("steps")
    same = isinstance(origin, dict) and origin.get("minutes") == command.minutes
    return steps if same and isinstance(steps, int) else None


def _fork(command: Train, trainer: Trainer, steps: int, folder: Path) -> Path:
    target = folder.with_name(f"{folder.name}-fork-{_mark(command, trainer.config(steps))}")
    steps = _fixed_steps(command, RunFolder(target)) or steps
    done = max(saved_steps(RunFolder(folder).checkpoints), default=0)
    if done >= steps and not RunFolder(target).exists:
        raise InputError(
            f"{folder} is at step {done:,} already; a fork goes on from there: ask for more steps."
        )
    print_status(f"Forking {folder} into {target}.")
    trainer.monitors = _monitors(command, target)
    with reporting(target):
        trainer.fit(target, steps, start=folder)
    return target


def _mark(command: Train, config: dict[str, Any]) -> str:
    """A name for these settings, so that the same command finds its fork again and goes on with it."""
    # Another measurement would give another number of steps for the same minutes.
    return mark(config, steps=config["steps"] if command.minutes is None else f"{command.minutes} minutes")


def _monitors(command: Train, folder: Path) -> list[Monitor]:
    for name in command.monitor:
        if name not in MONITORS:
            raise unknown("monitor", name, MONITORS)
    return [Console(), *(MONITORS[name](folder) for name in dict.fromkeys(command.monitor))]


def _stem(dataset: str) -> str:
    return Path(dataset).resolve().stem if any(mark in dataset for mark in "/\\.") else dataset


def _tell_skipped(dataset: Dataset) -> None:
    if dataset.skipped:
        shown = ", ".join(dataset.skipped[:5]) + (", ..." if len(dataset.skipped) > 5 else "")
        print_status(f"Skipped {len(dataset.skipped)} unreadable image(s): {shown}")

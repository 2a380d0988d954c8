"""``wgan train``."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any

from wgan.cli.dry_run import dry_run
from wgan.cli.elsewhere import check_recipe
from wgan.cli.help import everyday
from wgan.cli.options import command_line, stored
from wgan.cli.own_networks import allow_code
from wgan.cli.parse import UnknownOptionError, parse, parse_known
from wgan.cli.report import reporting
from wgan.cli.run_options import EVERYDAY, Train, defaults
from wgan.cli.sample import Sample
from wgan.cli.terminal import monitors_of, print_skipped, print_status
from wgan.core.devices import processes
from wgan.data import Dataset, load
from wgan.diagnosis import format_settings
from wgan.errors import InputError
from wgan.recovery import Intervention, attempt_folder, heal
from wgan.runs import RunFolder, saved_steps, setting, to_plain
from wgan.training import ChangedSettingsError, Trainer, TrainingSettings
from wgan.training.config import mark

EXAMPLE_SHAPES = (1, 28, 28), (2,)
"""What the settings are read for as long as the data are not loaded; the help shows them for the first."""


@dataclass(frozen=True)
class _Train:
    """The argument that decides which options there are."""

    recipe: str = "default"


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    if "--help-all" in arguments:
        arguments = [*(word for word in arguments if word != "--help-all"), "--help"]
    elif {"-h", "--help"} & set(arguments):
        _print_everyday_help(arguments)
    draft = _draft(arguments)
    _check_length(draft, arguments)
    dataset = load(draft.data, data_dir=draft.data_dir, resolution=draft.resolution, channels=draft.channels)
    print_skipped(dataset)
    command = parse(Train, arguments, default=defaults(draft.recipe, dataset.shape))
    train(_in_steps(command, dataset), dataset)


def _print_everyday_help(arguments: Sequence[str]) -> None:
    command = everyday(defaults(parse_known(_Train, arguments).recipe, EXAMPLE_SHAPES[0]), EVERYDAY)
    try:
        parse(type(command), ["--help"], default=command)
    finally:
        sys.stdout.write(
            "Defaults are those for images of 28 x 28; wgan train DATA --dry-run shows those for your data.\n"
            "wgan train --help-all shows all options: networks, constraint, optimisers, ...\n"
        )


def train(command: Train, dataset: Dataset) -> None:
    """Train on the data as the command says."""
    if command.heal and processes()[1] > 1:
        raise InputError("--heal treats a run of one process; leave it out, or start one process.")
    if command.heal and command.fork:
        raise InputError("Give --heal or --fork, not both: a healed run has attempts beside it already.")
    folder = command.folder
    for name in filter(None, (command.generator, command.critic)):
        allow_code(name)

    def build(settings: TrainingSettings, done: Sequence[Intervention] = ()) -> Trainer:
        """A trainer that notes in the run where its settings come from."""
        return Trainer(
            dataset,
            settings=settings,
            generator=command.generator,
            critic=command.critic,
            monitors=monitors_of(command.monitor, folder),
            origin={
                "name": command.recipe,
                "command": "train",
                "arguments": stored(command),
                "interventions": [intervention.plain() for intervention in done],
            }
            | ({"settings": to_plain(command.settings)} if done else {}),
        )

    trainer = build(command.settings)
    steps = _steps(command, trainer, folder)
    if command.dry_run:
        dry_run(trainer, steps)
        return
    finished = max(saved_steps(RunFolder(folder).checkpoints), default=0) >= steps
    try:
        with reporting(folder):
            if command.heal:
                heal(
                    command.settings, build, steps=steps, run_dir=folder, on_intervention=_print_intervention
                )
            else:
                trainer.fit(folder, steps)
    except ChangedSettingsError as error:
        if not command.fork:
            raise InputError(f"{error} --fork starts a new run, beside it, from its weights.") from None
        folder, finished = _fork(command, trainer, steps, folder), False
    if finished:
        print_status(f"{folder} had done {steps:,} steps or more already.")
    print_status(f"Done: {folder}, images in {folder / 'samples'}.")
    print_status(f"Next: {command_line(Sample(folder, Path('samples.png'), count=64))}")


def _print_intervention(intervention: Intervention) -> None:
    finding = intervention.finding
    settings = ", ".join(format_settings(finding.remedy))
    start = f"from step {intervention.start:,}" if intervention.start else "anew"
    print_status(
        f"Step {intervention.step:,}: {finding.name} since step {finding.since:,}. {finding.meaning} "
        f"Going on {start} with {settings}. What was there is in {intervention.before.name}."
    )


def _draft(arguments: Sequence[str]) -> Train:
    """The command as far as it can be read without its data, whose shape decides the settings' defaults."""
    name = parse_known(_Train, arguments).recipe
    check_recipe(name)
    refusals: list[InputError] = []
    for shape in EXAMPLE_SHAPES:
        try:
            return parse(Train, arguments, default=defaults(name, shape))
        except UnknownOptionError as refusal:  # it may be one of the other shape's networks
            refusals.append(refusal)
    raise refusals[0]


def _check_length(command: Train, arguments: Sequence[str]) -> None:
    lengths = {"--minutes": command.minutes, "--epochs": command.epochs}
    given = [option for option, value in lengths.items() if value is not None]
    if any(word.partition("=")[0] == "--steps" for word in arguments):
        given = ["--steps", *given]
    if len(given) > 1:
        raise InputError(f"Give {' or '.join(given)}, not both.")
    for option, value in lengths.items():
        if value is not None and not (isfinite(value) and value > 0):
            raise InputError(f"{option} must be a finite number > 0, not {value}.")


def _in_steps(command: Train, dataset: Dataset) -> Train:
    """The command with steps for epochs: each step takes ``n_critic`` batches of real samples."""
    if command.epochs is None:
        return command
    settings, samples = command.settings, len(dataset.train)
    seen = settings.n_critic * settings.batch_size
    steps = ceil(command.epochs * samples / seen)
    print_status(
        f"{command.epochs:g} epochs of {samples:,} samples are {steps:,} steps: a step takes {seen:,} "
        f"samples (n_critic {settings.n_critic} x batch_size {settings.batch_size})."
    )
    return replace(command, epochs=None, settings=replace(settings, steps=steps))


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
    steps = config.get("steps")
    same = setting(config, "origin.arguments.minutes") == command.minutes
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
    trainer.monitors = monitors_of(command.monitor, target)
    with reporting(target):
        trainer.fit(target, steps, start=folder)
    return target


def _mark(command: Train, config: dict[str, Any]) -> str:
    """A name for these settings, so that the same command finds its fork again and goes on with it."""
    # Another measurement would give another number of steps for the same minutes.
    return mark(config, steps=config["steps"] if command.minutes is None else f"{command.minutes} minutes")

"""The commands that make a run again, as its ``config.json`` holds it, or make it otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wgan.cli.evaluate import Evaluate
from wgan.cli.options import command_line, restored, words
from wgan.cli.parse import parse
from wgan.cli.run_options import Distil, Train, defaults
from wgan.cli.sample import Sample
from wgan.errors import InputError
from wgan.recovery import apply_remedy
from wgan.report import Commands
from wgan.runs import setting
from wgan.training import TrainingSettings

Config = Mapping[str, Any]


def run_commands(folder: Path, config: Config) -> Commands:
    """The commands that a run's report prints."""
    return Commands(
        rerun=rerun(config),
        remedied=lambda remedy: remedied(config, remedy),
        evaluate=command_line(Evaluate(folder)),
        sample=command_line(Sample(folder, Path("samples.png"), count=64)),
    )


def rerun(config: Config) -> str | None:
    """The command that trains a run again; None where it was not started from the command line.

    Minutes are the steps that the clock of one machine made of them.
    """
    if setting(config, "origin.command") == "distil":
        return _distil(config)
    command = train_command(config)
    if command is None:
        return None
    if command.minutes is not None:
        steps = setting(config, "steps")
        command = replace(command, minutes=None, settings=replace(command.settings, steps=steps))
    return _line(command, config)


def _distil(config: Config) -> str | None:
    try:
        return _printed(restored(Distil, setting(config, "origin.arguments")))
    except (TypeError, ValueError):
        return None


def remedied(config: Config, remedy: Mapping[str, Any]) -> str | None:
    """The command that starts a run anew, beside it, with other settings; None where there is none.

    What went wrong is in the old run's weights, too: hence a new one.
    """
    command = train_command(config) if remedy else None
    if command is None:
        return None
    try:
        settings = command.settings
        for done in setting(config, "origin.interventions") or ():
            settings = apply_remedy(settings, done["remedy"])
        settings = apply_remedy(settings, remedy)
    except (InputError, TypeError, KeyError):
        return None
    out = command.folder.with_name(f"{command.folder.name}-remedied")
    return _line(replace(command, settings=settings, out=out, fork=False), config)


def train_command(config: Config) -> Train | None:
    """The command that started a run; None where none did, or its words cannot be restored."""
    arguments = setting(config, "origin.arguments")
    if setting(config, "origin.command") != "train" or not isinstance(arguments, Mapping):
        return None
    try:
        settings = _settings(config)
        if arguments["minutes"] is not None:  # which the command has instead of steps
            settings = replace(settings, steps=_default(arguments["recipe"], config).settings.steps)
        command: Train = restored(Train, arguments, settings=settings)
    except (KeyError, TypeError, ValueError):
        return None
    return command


def _settings(config: Config) -> TrainingSettings:
    """The settings of the command; a healed run has others by now."""
    requested = TrainingSettings.from_config(setting(config, "origin.settings") or config)
    own = setting(config, "origin.arguments.generator") is not None  # wgan's own networks say it themselves
    return replace(requested, steps=config["steps"], latent_dim=config["latent_dim"] if own else None)


def _default(recipe: str, config: Config) -> Train:
    return defaults(recipe, tuple(setting(config, "dataset.shape")))


def _line(command: Train, config: Config) -> str | None:
    try:
        return _printed(command, _default(command.recipe, config))
    except (TypeError, ValueError):
        return None


def _printed(command: Any, default: Any = None) -> str | None:  # noqa: ANN401 - any command's dataclass
    """The command as it is typed; None if its words would be read otherwise."""
    kind = type(command)
    same = parse(kind, words(command, default), default=default) == command
    return command_line(command, default) if same else None

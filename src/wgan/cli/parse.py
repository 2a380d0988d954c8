"""Parsing a command's arguments into a dataclass."""

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import tyro

Command = TypeVar("Command")


def parse(command: type[Command], arguments: Sequence[str], *, default: Command | None = None) -> Command:
    """The arguments as an instance of ``command``; ends with exit code 2 if they do not parse."""
    read = partial(
        tyro.cli, prog=f"wgan {command.__name__.lower()}", config=(tyro.conf.CascadeSubcommandArgs,)
    )
    parsed: Command = (
        read(command, args=list(arguments))
        if default is None  # to tyro, a default of None would be a default
        else read(command, args=list(arguments), default=default)
    )
    return parsed


def parse_known(command: type[Command], arguments: Sequence[str], *, name: str) -> Command:
    """Like :func:`parse`, for the arguments that ``command`` knows; others are left for a later look."""
    known, _ = tyro.cli(
        command, args=list(arguments), prog=f"wgan {name}", return_unknown_args=True, add_help=False
    )
    return known

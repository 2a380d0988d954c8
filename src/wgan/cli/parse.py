"""Parsing a command's arguments into a dataclass."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial
from io import StringIO
from itertools import dropwhile, takewhile
from typing import TypeVar

import tyro

from wgan.errors import InputError

Command = TypeVar("Command")

_RULE = re.compile(r"[\s│╭╮╰╯─-]*")
_PLAINER = (
    (r"Error parsing (settings\.)?", ""),
    (r"\. Expected 1 values", ""),
    (r"invalid literal for int\(\) with base 10: (.*)", r"\1 is not a whole number"),
    (r"could not convert string to float: (.*)", r"\1 is not a number"),
    (r"no type matching \{None\}\|INT could be instantiated from \[(.*)\]", r"\1 is not a whole number"),
    (r"no type matching \{None\}\|FLOAT could be instantiated from \[(.*)\]", r"\1 is not a number"),
    (r"Could not parse arguments \[(.*)\] into tuple type .*", r"\1 are not numbers"),
    (r"Could not find valid parse for arguments: \[(.*)\]", r"\1 are not numbers"),
)
"""What tyro passes on from Python, and what it means to a person."""


def parse(command: type[Command], arguments: Sequence[str], *, default: Command | None = None) -> Command:
    """The arguments as an instance of ``command``.

    Raises:
        InputError: They do not parse.
        SystemExit: Help was asked for and printed; code 0.
    """
    name = f"wgan {command.__name__.lower()}"
    read = partial(
        tyro.cli,
        prog=name,
        config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.PositionalMetavarFromFieldName),
    )
    with _in_one_sentence(name):
        parsed: Command = (
            read(command, args=list(arguments))
            if default is None  # to tyro, a default of None would be a default
            else read(command, args=list(arguments), default=default)
        )
    return parsed


def parse_known(command: type[Command], arguments: Sequence[str], *, name: str) -> Command:
    """Like :func:`parse`, for the arguments that ``command`` knows; others are left for a later look."""
    with _in_one_sentence(f"wgan {name}"):
        known, _ = tyro.cli(
            command, args=list(arguments), prog=f"wgan {name}", return_unknown_args=True, add_help=False
        )
    return known


def names(listed: str | None) -> list[str] | None:
    """The names in a list such as ``fd,kid``, each once; None for no list."""
    if listed is None:
        return None
    return list(dict.fromkeys(name.strip() for name in listed.split(",")))


@contextmanager
def _in_one_sentence(name: str) -> Iterator[None]:
    """Turn the boxed text that tyro writes before it exits into the message of an InputError."""
    written = StringIO()
    try:
        with redirect_stderr(written):
            yield
    except SystemExit as error:
        if not error.code:
            raise
        raise InputError(f"{summary(written.getvalue())} See {name} --help.") from None


def summary(box: str) -> str:
    """What a box of tyro's says, in a sentence: its first section, and a hint if there is one.

    A box is a title, then sections between horizontal rules; in a section, an argument is set in by four
    spaces and its help by eight.
    """
    _, *lines = dropwhile(_is_rule, box.splitlines())
    section = takewhile(lambda line: not _is_rule(line), dropwhile(_is_rule, lines))
    body = "\n".join(line[2:].rstrip(" │") for line in section)  # without the frame
    told = re.sub(r"\n {8}.*", "", body)
    told = re.sub(r"(?<!:)\n {4}", ", ", told)
    told = re.sub(r"\n +|\n", " ", told).rstrip(".")
    for pattern, plainer in _PLAINER:
        told = re.sub(pattern, plainer, told)
    meant = re.search(r"Perhaps you meant:?[\s│]*(-\S+)", box)
    return f"{told}." + (f" Did you mean {meant[1]}?" if meant and meant[1] not in told else "")


def _is_rule(line: str) -> bool:
    return _RULE.fullmatch(line) is not None

"""Parsing a command's arguments into a dataclass, by tyro; what it refuses is said in one sentence.

tyro describes what it refuses by an event. That interface is private to tyro (``tyro._errors``), so
pyproject.toml bounds tyro's version, and an event that is unknown here still gets a sentence. The public
interface has nothing but the text of a box, drawn for the width of the terminal.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from difflib import get_close_matches
from io import StringIO
from itertools import takewhile
from shutil import get_terminal_size
from textwrap import fill
from typing import Any, NoReturn, TextIO, TypeVar, get_args

import tyro
from tyro import _errors as events

from wgan.cli.elsewhere import answer
from wgan.cli.fields import REGISTRY
from wgan.cli.options import all_options, all_words
from wgan.errors import InputError

Command = TypeVar("Command")


class UnknownOptionError(InputError):
    """There is no such option, or not for the networks, constraint or optimisers that are chosen."""


def parse(command: type[Command], arguments: Sequence[str], *, default: Command | None = None) -> Command:
    """Parse the arguments of a command.

    Args:
        command: A dataclass.
        arguments: The words after the command's name.
        default: What an option that is not given has; by default, that of the dataclass.

    Raises:
        InputError: They do not parse.
        SystemExit: Help was requested and printed; code 0.
    """
    with _in_one_sentence(command, arguments):
        parsed: Command = tyro.cli(
            command,
            args=list(arguments),
            prog=f"wgan {command.__name__.lower()}",
            config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.PositionalMetavarFromFieldName),
            default=tyro.MISSING_NONPROP if default is None else default,
            registry=REGISTRY,
        )
    return parsed


def parse_known(command: type[Command], arguments: Sequence[str]) -> Command:
    """Parse the arguments that a command knows, and leave the others."""
    with _in_one_sentence(command, arguments):
        known, _ = tyro.cli(command, args=list(arguments), return_unknown_args=True, add_help=False)
    return known


def split_names(listed: str | None) -> list[str] | None:
    """The names in a list such as ``fd,kid``, each once; None for no list."""
    if listed is None:
        return None
    return list(dict.fromkeys(name.strip() for name in listed.split(",")))


@contextmanager
def _in_one_sentence(command: type, arguments: Sequence[str]) -> Iterator[None]:
    """Turn what tyro refuses into an InputError."""
    name = f"wgan {command.__name__.lower().strip('_')}"

    def refuse(event: events.ParseErrorEvent) -> NoReturn:
        unknown = event.tokens if isinstance(event, events.UnrecognizedArgs) else []
        if isinstance(event, events.MissingArgs | events.BadValue):
            unknown = [word for word in arguments if word.startswith("--") and not _is_known(command, word)]
        if unknown:
            raise UnknownOptionError(f"{_unknown(command, name, unknown, arguments)} See {name} --help.")
        raise InputError(f"{_sentence(event, command, arguments)} See {name} --help.")

    page = _Page(sys.stdout)
    with redirect_stdout(page), redirect_stderr(StringIO()), events.on_parse_error(refuse):
        try:
            yield
        except SystemExit as error:
            if not error.code:
                page.print()
                raise
            raise InputError(f"These arguments do not fit. See {name} --help.") from None


class _Page(StringIO):
    """A help page, whose paragraphs tyro leaves to the terminal to wrap, and which may have empty rows."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self.terminal = terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The terminal's encoding, which decides how tyro draws boxes."""
        return self.terminal.encoding

    def isatty(self) -> bool:
        """Whether tyro colours the page."""
        return self.terminal.isatty()

    def print(self) -> None:
        """Print the page with its paragraphs wrapped, and without the empty rows."""
        width = get_terminal_size().columns
        for line in self.getvalue().splitlines():
            if line.isascii() and "\x1b" not in line:
                line = fill(line, width, break_long_words=False, break_on_hyphens=False)
            if not re.fullmatch("│ +│", re.sub(r"\x1b\[[0-9;]*m", "", line)):
                self.terminal.write(f"{line}\n")


def _sentence(event: events.ParseErrorEvent, command: type, arguments: Sequence[str]) -> str:
    """What an event of tyro's says."""
    match event:
        case events.MissingArgs():
            missing = " and ".join(_usage(missing.arg) for missing in event.missing_arguments)
            suffix = event.missing_arguments[0].source_parser.prog_suffix
            return f"{event.prog} {suffix}".strip() + f" needs {missing}."
        case events.MissingSubcommand():
            return f"{event.prog} needs one of {', '.join(event.subcommand_spec.parser_from_name)}."
        case events.SubcommandConflict():
            return (
                f"{event.trigger_flag} is an option of {event.already_selected}, so {event.attempted} comes "
                f"too late: give {event.attempted} before its options."
            )
        case events.BadValue():
            count = event.argument.lowered.nargs
            return f"{_name(event.argument)} needs {'a value' if count == 1 else f'{count} values'}."
        case events.InvalidChoice():
            name, choices = _name(event.argument), ", ".join(event.choices)
            close = _did_you_mean(event.value, event.choices)
            return f"{name} must be one of {choices}, not {event.value!r}.{close}"
        case events.InstantiationFailure() if event.argument is None:
            return event.message  # a setting out of its range
        case events.InstantiationFailure():
            return _not_of_its_type(_name(event.argument), command, arguments)
    return "These arguments do not fit."


def _not_of_its_type(option: str, command: type, arguments: Sequence[str]) -> str:
    annotations = [member.annotation for _, member in all_options(command) if f"--{member.option}" == option]
    annotation = next(iter(annotations), str)
    parts = [part for part in get_args(annotation) if part is not type(None)] or [annotation]
    kind = "whole number" if int in parts else "number"
    values = list(map(repr, _given(option, arguments)))
    if "tuple" in str(annotation):
        return f"{option}: {', '.join(values)} are not {kind}s."
    return f"{option}: {', '.join(values[:1])} is not a {kind}."


def _given(option: str, arguments: Sequence[str]) -> list[str]:
    """The values that an option is given last."""
    for index in reversed(range(len(arguments))):
        name, equals, value = arguments[index].partition("=")
        if name.replace("_", "-") == option:
            others = takewhile(lambda word: not word.startswith("--"), arguments[index + 1 :])
            return [value] if equals else list(others)
    return []


def _unknown(command: type, name: str, tokens: Sequence[str], arguments: Sequence[str]) -> str:
    """What is wrong with words that no option takes, the first of them."""
    options = [word for word in tokens if word.startswith("-")]
    if not options:
        return _unknown_word(command, name, tokens[0], arguments)
    option = options[0].partition("=")[0]
    if own := answer(command.__name__.lower(), option):
        return own
    option = option.replace("_", "-")
    known: dict[str, list[str]] = {}
    for group, member in all_options(command):
        known.setdefault(f"--{member.option}", []).append(group)
    positive = _without_no(option)
    if option not in known and known.get(positive, [""]) != [""]:
        return f"{option} comes after the word that chooses its group, as in {known[positive][0]} {option}."
    if option in known:
        unchosen = (
            f"{known[option][0]}, which is"
            if len(known[option]) == 1
            else f"{', '.join(known[option])}, which are"
        )
        return f"{option} is an option of {unchosen} not chosen."
    return f"{name} has no option {option}.{_did_you_mean(option, [*known, '--help'])}"


def _is_known(command: type, word: str) -> bool:
    option = _without_no(word.partition("=")[0].replace("_", "-"))
    return option in ("--", "--help", *(f"--{member.option}" for _, member in all_options(command)))


def _without_no(option: str) -> str:
    return re.sub(r"(--|\.)no-", r"\1", option)


def _unknown_word(command: type, name: str, word: str, arguments: Sequence[str]) -> str:
    part, colon, _ = word.partition(":")
    choices = [
        known for known in all_words(command) if known.partition(":")[:2] == (part, colon) or not colon
    ]
    if word in choices:
        return f"{word} comes after another of its kind; choose one."
    if choices and (colon or (":" not in choices[0] and not {*choices} & {*arguments})):
        return f"There is no {word}; known are {', '.join(choices)}.{_did_you_mean(word, choices)}"
    return f"{word!r} is more than {name} takes."


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f" Did you mean {close[0]}?" if close else ""


def _usage(argument: Any) -> str:  # noqa: ANN401 - tyro's own
    name = _name(argument)
    return name if argument.is_positional() else f"{name} {argument.lowered.metavar}"


def _name(argument: Any) -> str:  # noqa: ANN401
    if argument.is_positional():
        return str(argument.lowered.metavar)
    return str(argument.lowered.name_or_flags[-1])

"""The options of a command, read off its dataclass, and a command as the words that give it.

The names of options follow the rules of tyro, which parses them: ``n_critic`` is ``--n-critic``, and the
member ``lr`` of ``critic_optimiser`` is ``--critic-optimiser.lr``. A member that is one of several
dataclasses is chosen by a word of its own, as in ``constraint:weight-clipping``.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

POSITIONAL, _REPEATED = (
    marker.__metadata__[0]  # type: ignore[attr-defined]
    for marker in (tyro.conf.Positional[int], tyro.conf.UseAppendAction[int])
)


@dataclass(frozen=True)
class Member:
    """One member of a command or of its settings.

    Attributes:
        name: The attribute's name.
        option: Its dotted name on the command line, without the dashes.
        annotation: Its type, without markers.
        default: Its default; ``dataclasses.MISSING`` where it has none.
        positional: Whether it is given without its name.
        repeated: Whether its option is given once for each of its values.
        computed: Whether its default depends on the machine.
        kinds: The dataclasses that it may be, by the word that chooses each; none for a plain value.
    """

    name: str
    option: str
    annotation: Any
    default: Any
    positional: bool
    repeated: bool
    computed: bool
    kinds: dict[str, type]

    @property
    def nested(self) -> bool:
        """Whether it has members itself, and cannot be of another kind."""
        return is_dataclass(self.annotation)

    @property
    def type_name(self) -> str:
        """Its type in the notation of help texts."""
        return _type_name(self.annotation)


def members(kind: type, prefix: str = "") -> Iterator[Member]:
    """The members of a dataclass, whose options begin with a prefix."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        annotation, marks = unmarked(hints[field.name])
        named = [name for mark in marks if (name := getattr(mark, "name", None)) is not None]
        part = named[0] if named else field.name.replace("_", "-")
        option = f"{prefix}.{part}" if prefix and part else prefix + part
        yield Member(
            field.name,
            option,
            annotation,
            field.default if field.default_factory is MISSING else field.default_factory(),
            POSITIONAL in marks,
            _REPEATED in marks,
            field.default_factory is not MISSING,
            {f"{option}:{name}" if option else name: one for name, one in kinds(annotation).items()},
        )


def all_options(kind: type, prefix: str = "", group: str = "") -> Iterator[tuple[str, Member]]:
    """Every plain member at any depth, with the word that chooses the dataclass it belongs to, if any."""
    for member in members(kind, prefix):
        if member.nested:
            yield from all_options(member.annotation, member.option, group)
        for word, one in member.kinds.items():
            yield from all_options(one, member.option, word)
        if not member.nested and not member.kinds:
            yield group, member


def all_words(kind: type) -> Iterator[str]:
    """The words that choose one of several dataclasses."""
    for member in members(kind):
        yield from member.kinds
        if member.nested:
            yield from all_words(member.annotation)


def command_line(command: Any, default: Any = None) -> str:  # noqa: ANN401 - any command's dataclass
    """A command as one types it, quoted for the shell; see :func:`words`."""
    return shlex.join(["wgan", type(command).__name__.lower(), *words(command, default)])


def words(command: Any, default: Any = None) -> list[str]:  # noqa: ANN401
    """The words that :func:`~wgan.cli.parse.parse` reads as a command.

    Args:
        command: An instance of a command's dataclass.
        default: What an option that is not given has; by default, that of its dataclass.

    Returns:
        The positional arguments, then the options that differ from the default, then the words that choose
        other dataclasses, each with its options. A positional argument that looks like one of the others
        comes last, after ``--``.
    """
    found = _Words([], [])
    found.add(command, default, "")
    return [*found.plain, *(["--", *found.last] if found.last else [])]


def stored(command: Any) -> dict[str, Any]:  # noqa: ANN401
    """The plain members of a command as JSON, for a run's ``config.json``."""
    values = {
        member.name: getattr(command, member.name)
        for member in members(type(command))
        if not member.nested and not member.kinds
    }
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def restored(kind: type, plain: Mapping[str, Any], **others: Any) -> Any:  # noqa: ANN401
    """The command that :func:`stored` made plain, with the members that it leaves out.

    Raises:
        TypeError, ValueError: The values are not those of such a command.
    """
    values = dict(plain)
    for member in members(kind):
        value = values.get(member.name)
        if isinstance(value, list):
            values[member.name] = tuple(value)
        elif value is not None and Path in (member.annotation, *get_args(member.annotation)):
            values[member.name] = Path(value)
    return kind(**values, **others)


_GROUPS = ("networks", "constraint", "generator-optimiser", "critic-optimiser")
"""How words begin that choose a dataclass."""


@dataclass(frozen=True)
class _Words:
    """The words of a command, and those that are safe after ``--`` only."""

    plain: list[str]
    last: list[str]

    def add(self, value: Any, default: Any, prefix: str) -> None:  # noqa: ANN401
        """Add the words of a dataclass, as far as it differs from ``default``."""
        options: list[str] = []
        chosen: list[tuple[str, Any, Any, str]] = []
        for member, new, old in _changes(value, default, prefix):
            if member.kinds:
                word = next(word for word, kind in member.kinds.items() if kind is type(new))
                chosen.append((word, new, old if type(new) is type(old) else None, member.option))
            elif member.positional:
                positional = [_plain(one) for one in _several(new)]
                unsafe = any(one.startswith("-") or one.partition(":")[0] in _GROUPS for one in positional)
                (self.last if unsafe or self.last else self.plain).extend(positional)
            else:
                options.extend(_option_words(member, new))
        self.plain.extend(options)
        for word, new, old, option in chosen:
            self.plain.append(word)
            self.add(new, old, option)


def _changes(value: Any, default: Any, prefix: str) -> Iterator[tuple[Member, Any, Any]]:  # noqa: ANN401
    """Each member at any depth that differs from its default: the member, its value, its default."""
    for member in members(type(value), prefix):
        new = getattr(value, member.name)
        old = member.default if default is None else getattr(default, member.name)
        if member.nested or (member.kinds and type(new) is type(old)):
            changes = list(_changes(new, None if old is MISSING else old, member.option))
            if member.kinds and any(changed is False for _, changed, _ in changes):
                yield member, new, old  # tyro knows a flag's "no-" only after the word that chooses its group
            else:
                yield from changes
        elif new != old:
            yield member, new, old


def _option_words(member: Member, value: object) -> Iterator[str]:
    option = f"--{member.option}"
    if isinstance(value, bool):
        group, dot, name = member.option.rpartition(".")
        yield option if value else f"--{group}{dot}no-{name}"
    elif member.repeated:
        for one in _several(value):
            yield from _assigned(option, _plain(one))
    elif isinstance(value, tuple):
        yield from (option, *map(_plain, value))
    else:
        yield from _assigned(option, _plain(value))


def _assigned(option: str, word: str) -> Iterator[str]:
    # After a space, a word that begins with a dash would be another option.
    yield from (f"{option}={word}",) if word.startswith("-") else (option, word)


def _several(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _plain(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def kinds(annotation: Any) -> dict[str, type]:  # noqa: ANN401
    """The dataclasses of a union by name; none if it is no union of dataclasses."""
    found: dict[str, type] = {}
    if get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            kind, marks = unmarked(part)
            if is_dataclass(kind) and isinstance(kind, type):
                named = [mark.name for mark in marks if getattr(mark, "name", None)]
                found[named[0] if named else _word(kind.__name__)] = kind
    return found


_WORDS = {"ResNet": "resnet", "R3GAN": "r3gan", "RMSprop": "rmsprop"}
"""Names that are one word, whatever their capitals."""


def _word(name: str) -> str:
    """The name of a class on the command line: ``WeightClipping`` is ``weight-clipping``."""
    return _WORDS.get(name) or re.sub("((?<=[a-z0-9])[A-Z]|(?!^)[A-Z](?=[a-z]))", r"-\1", name).lower()


def unmarked(hint: Any) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401
    """A type and the marks around it."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    annotation, *marks = get_args(hint)
    return annotation, tuple(marks)


def _type_name(annotation: Any) -> str:  # noqa: ANN401
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return "|".join(_type_name(part) for part in arguments)
    if origin is Literal:
        return "{" + ",".join(map(str, arguments)) + "}"
    if origin is tuple:
        return " ".join("..." if part is Ellipsis else _type_name(part) for part in arguments)
    return "none" if annotation is type(None) else annotation.__name__

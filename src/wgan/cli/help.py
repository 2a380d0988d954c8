"""The help of a command, down to the options of every day."""

from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, get_args, get_type_hints

import tyro

from wgan.cli.options import all_options, members

_HIDDEN = tyro.conf.Suppress[tyro.conf.AvoidSubcommands[int]].__metadata__  # type: ignore[attr-defined]


def everyday(command: Any, shown: Collection[str]) -> Any:  # noqa: ANN401 - any command's dataclass
    """The same command, of a class that hides all options but those of these names, for its help."""
    kind = type(command)
    return _hiding(kind, command, shown, "")


def _hiding(kind: type, value: Any, shown: Collection[str], prefix: str) -> Any:  # noqa: ANN401
    hints = get_type_hints(kind, include_extras=True)
    annotations, values = {}, {field.name: getattr(value, field.name) for field in fields(kind)}
    for member in members(kind, prefix):
        hint = hints[member.name]
        inner = all_options(member.annotation, member.option) if member.nested else ()
        if any(option.option in shown for _, option in inner):
            part = _hiding(member.annotation, values[member.name], shown, member.option)
            values[member.name] = part
            annotations[member.name] = Annotated[(type(part), *get_args(hint)[1:])]
        elif member.option not in shown:
            annotations[member.name] = Annotated[(hint, *_HIDDEN)]
    # Only what is hidden is declared anew: tyro finds the texts of all others in the class above.
    declared = {name: default for name in annotations if (default := _default(kind, name)) is not MISSING}
    body = {"__annotations__": annotations, "__module__": kind.__module__, "__doc__": kind.__doc__}
    hiding: Any = type(kind.__name__, (kind,), body | declared)
    return dataclass(frozen=True)(hiding)(**values)


def _default(kind: type, name: str) -> Any:  # noqa: ANN401
    return next(member.default for member in members(kind) if member.name == name)

"""Conversion of frozen dataclasses to plain JSON values and back, and differences of such values."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from wgan.errors import InputError


def to_plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Convert dataclasses to ``{"is": class name, field: value, ...}`` and tuples to lists."""
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
        return {"is": type(value).__name__, **members}
    if isinstance(value, Mapping):
        return {str(key): to_plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(member) for member in value]
    return value


def from_plain(value: Any, types: Mapping[str, type]) -> Any:  # noqa: ANN401
    """Invert :func:`to_plain`, with tuples for lists, for the dataclasses in ``types``.

    Raises:
        InputError: A class is not in ``types`` (a file cannot name code to run), its settings are not those
            of this version, or a value is out of its range.
    """
    if isinstance(value, Mapping):
        members = {key: from_plain(member, types) for key, member in value.items()}
        if "is" not in members:
            return members
        name = members.pop("is")
        if not isinstance(name, str) or name not in types:
            raise InputError(
                f"{name!r} is not a settings class of wgan; there are {', '.join(sorted(types))}."
            )
        return _construct(types[name], members)
    if isinstance(value, list):
        return tuple(from_plain(member, types) for member in value)
    return value


def _construct(kind: type, members: dict[str, Any]) -> Any:  # noqa: ANN401
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(members) - known):
        raise InputError(f"{kind.__name__} has no setting {', '.join(unknown)}.")
    try:
        if set(members) == {"of"}:  # Chain takes its constraints as positional arguments
            return kind(*members["of"])
        return kind(**members)
    except TypeError as error:
        raise InputError(f"These settings do not fit {kind.__name__}: {error}.") from error


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield each leaf of a plain value with its dotted path; lists are leaves."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from flatten(member, f"{path}.{key}" if path else key)
    else:
        yield path, value


def setting(config: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401
    """Return the part of a plain value at a dotted path; None where there is none."""
    value: Any = config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def differences(old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401
    """Yield each leaf that differs as (dotted path, old value, new value); None for a missing one."""
    before, after = dict(flatten(old)), dict(flatten(new))
    for path in [*before, *(path for path in after if path not in before)]:
        if before.get(path) != after.get(path):
            yield path, before.get(path), after.get(path)

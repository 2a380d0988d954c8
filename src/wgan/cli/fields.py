"""How tyro reads the dataclasses of wgan: the words that choose one of several, and help texts.

The modules that define settings know nothing of tyro; what it has to know beside types is added here.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo
from tyro.constructors._struct_spec_dataclass import dataclass_rule

from wgan.cli.options import POSITIONAL, kinds, unmarked

REGISTRY = ConstructorRegistry()
"""The rule of this module, for :func:`tyro.cli`."""


@REGISTRY.struct_rule
def _dataclass(info: StructTypeInfo) -> StructConstructorSpec | None:
    """The rule of tyro for dataclasses, with the words and help texts of wgan for their fields."""
    found = dataclass_rule(info)  # private to tyro, as parse.py says of its events
    if found is None:
        return None
    of_recipe = not info.type.__module__.startswith(("wgan.cli.", "wgan.serving."))
    return dataclasses.replace(found, fields=tuple(_described(field, of_recipe) for field in found.fields))


def _described(field: StructFieldSpec, of_recipe: bool) -> StructFieldSpec:
    annotation, marks = unmarked(field.type)
    if chosen := kinds(annotation):
        named = (Annotated[kind, tyro.conf.subcommand(name)] for name, kind in chosen.items())
        annotation = Union[tuple(named)]  # noqa: UP007
    if not of_recipe:  # where None can be the word that switches a recipe's value off
        marks = (*_without_none(annotation, marks, field.default), *marks)
    kind: Any = Annotated[(annotation, *marks)] if marks else annotation
    return dataclasses.replace(field, type=kind, helptext=_one_paragraph(field.helptext))


def _without_none(annotation: Any, marks: tuple[Any, ...], default: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Marks that keep the default None, or none at all, out of the help: the text says what it means."""
    if POSITIONAL in marks and get_origin(annotation) is tuple:
        return (tyro.conf.arg(help_behavior_hint=""),)
    plain = [part for part in get_args(annotation) if part in (int, float, str, Path)]
    if default is not None or not plain:
        return ()
    metavar = None if POSITIONAL in marks else plain[0].__name__.upper()
    return (tyro.conf.arg(metavar=metavar, help_behavior_hint=""),)


def _one_paragraph(text: str | Callable[[], str | None] | None) -> Callable[[], str | None]:
    """A field's docstring without its line breaks, which are those of the source."""

    def joined() -> str | None:
        whole = text() if callable(text) else text
        return whole and " ".join(whole.split())

    return joined

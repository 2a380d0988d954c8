"""A command that is printed is the command: its words, parsed, are what was printed."""

import shlex
from dataclasses import MISSING, replace
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin

import pytest
from frozen import command_class
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from wgan.cli import COMMANDS
from wgan.cli.options import command_line, members, restored, stored, words
from wgan.cli.parse import parse
from wgan.cli.run_options import Train, defaults
from wgan.errors import InputError
from wgan.lipschitz import R1R2, SpectralNormalisation
from wgan.networks import MLP, ResNet
from wgan.training import RECIPES, Augment, RMSprop

DEFAULT = defaults("default", (1, 28, 28))
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 64, 64), (2,), (200,)]
OTHERS = [name for name in COMMANDS if name != "train"]

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
POSITIVE = {"lr", "eps", "weight", "gamma", "c", "noise", "minutes", "critic", "generator"}


def values(name, annotation):
    """Values of a plain member that no check refuses."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        (other,) = (part for part in arguments if part is not type(None))
        # "None" is how the command line says that there is none.
        return st.none() | values(name, other).filter(lambda value: str(value) != "None")
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        if arguments[1:] == (...,):
            return st.lists(values(name, arguments[0]), min_size=1, max_size=4).map(tuple)
        return st.tuples(*(values(name, part) for part in arguments))
    return {
        bool: st.booleans(),
        int: st.integers(2, 2**31 - 1),
        float: positive if name in POSITIVE else shares,
        str: texts,
        Path: texts.map(Path),
    }[annotation]


def some_of(kind):
    """Instances of a dataclass, whose members are their defaults or others."""
    return st.fixed_dictionaries(
        {member.name: others(member) for member in members(kind) if member.default is MISSING},
        optional={member.name: others(member) for member in members(kind) if member.default is not MISSING},
    ).map(lambda given: built(kind, given))


def built(kind, given):
    try:
        return kind(**given)
    except InputError:  # members that do not go together
        reject()


def others(member):
    if member.kinds:
        return st.one_of(*map(some_of, member.kinds.values()))
    return some_of(member.annotation) if member.nested else values(member.name, member.annotation)


@st.composite
def changed(draw, default):
    """A dataclass some of whose members, at any depth, are others than its default's."""
    changes = {}
    for member in members(type(default)):
        old = getattr(default, member.name)
        if draw(st.integers(0, 3)) == 0:
            changes[member.name] = draw(others(member))
        elif (member.kinds or member.nested) and draw(st.booleans()):
            changes[member.name] = draw(changed(old))
    return replace(default, **changes)


def check_round_trip(data):
    default = defaults(
        data.draw(st.sampled_from(list(RECIPES))), data.draw(st.sampled_from(SHAPES)), "digits"
    )
    command = replace(data.draw(changed(default)), recipe=default.recipe)
    line = command_line(command, default)
    assert shlex.split(line)[:2] == ["wgan", "train"]
    assert parse(Train, shlex.split(line)[2:], default=default) == command
    assert restored(Train, stored(command), settings=command.settings) == command


@pytest.mark.slow
@settings(max_examples=200)
@given(data=st.data())
def test_every_setting_of_every_recipe_is_printed_as_it_is_parsed(data):
    check_round_trip(data)


@pytest.mark.slow
@settings(max_examples=2000)
@given(data=st.data())
def test_two_thousand_settings_are_printed_as_they_are_parsed(data):
    check_round_trip(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
@settings(max_examples=20)
@given(data=st.data())
def test_every_other_command_is_printed_as_it_is_parsed(name, data):
    kind = command_class(name)
    command = data.draw(some_of(kind))
    printed, which, *rest = shlex.split(command_line(command))
    assert (printed, which) == ("wgan", name)
    assert parse(kind, rest) == command


def line_of(data="digits", recipe="default", shape=(1, 28, 28), **changes):
    default = defaults(recipe, shape)
    own = {name: changes.pop(name) for name in list(changes) if name in Train.__dataclass_fields__}
    command = replace(default, data=data, settings=replace(default.settings, **changes), **own)
    assert parse(Train, words(command, default), default=default) == command
    return command_line(command, default)


@pytest.mark.parametrize(
    ("line", "changes"),
    {
        "wgan train digits": {},
        "wgan train fashion-mnist --conditional --steps 2000": {
            "data": "fashion-mnist",
            "conditional": True,
            "steps": 2000,
        },
        "wgan train digits networks:resnet --networks.attention": {"networks": ResNet(attention=True)},
        "wgan train digits networks:mlp --networks.generator-hidden 64 64": {
            "networks": MLP(generator_hidden=(64, 64))
        },
        "wgan train digits --augment.transforms flip cutout": {"augment": Augment(("flip", "cutout"))},
        "wgan train digits --ema 1e-05 --penalty-every 1": {
            "penalty_every": 1,
            "ema": 1e-5,
        },
        "wgan train digits constraint:r1-r2 generator-optimiser:rmsprop --generator-optimiser.lr 0.1": {
            "constraint": R1R2(),
            "generator_optimiser": RMSprop(lr=0.1),
        },
        "wgan train 'my images' --out '/tmp/a b'": {"data": "my images", "out": Path("/tmp/a b")},
        "wgan train digits --monitor wandb --monitor mlflow": {"monitor": ("wandb", "mlflow")},
        "wgan train --steps 1 --out=-x networks:mlp -- -y": {
            "data": "-y",
            "out": Path("-x"),
            "steps": 1,
            "networks": MLP(),
        },
        "wgan train digits --networks.critic-conditioning projection --networks.kernel 5 constraint:"
        "spectral-normalisation": {
            "networks": replace(DEFAULT.settings.networks, kernel=5, critic_conditioning="projection"),
            "constraint": SpectralNormalisation(),
        },
    }.items(),
)
def test_a_command_is_printed_as_one_would_type_it(line, changes):
    assert line_of(**changes) == line


def test_a_setting_that_a_recipe_switches_on_is_switched_off_by_name():
    assert line_of(recipe="sagan", shape=(1, 32, 32), conditional=True) == "wgan train digits --conditional"
    small = replace(defaults("sagan", (1, 32, 32)).settings.networks, attention=False)
    assert line_of(recipe="sagan", shape=(1, 32, 32), networks=small) == (
        "wgan train digits networks:resnet --networks.no-attention"
    )
    printed = line_of(recipe="conditional-gp", shape=(1, 32, 32), conditional=False)
    assert printed == "wgan train digits --no-conditional"

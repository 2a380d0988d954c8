"""Settings as plain values and back."""

import json
from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgan.errors import InputError
from wgan.lipschitz import CONSTRAINTS, R1, R2, Chain, GradientPenalty, SpectralNormalisation, WeightClipping
from wgan.losses import ClassificationWeights
from wgan.networks import DCGAN, MLP, R3GAN, ResNet
from wgan.runs import differences, flatten, from_plain, to_plain
from wgan.training import RECIPES, Adam, Augment, LoggingIntervals, RMSprop, TrainingSettings, recipe

OTHERS = (
    Adam,
    Augment,
    ClassificationWeights,
    LoggingIntervals,
    DCGAN,
    MLP,
    R3GAN,
    TrainingSettings,
    ResNet,
    RMSprop,
)
TYPES: dict[str, type] = {
    **CONSTRAINTS,
    **{kind.__name__: kind for kind in OTHERS},
}
SHAPES = [(1, 28, 28), (3, 32, 32), (2,)]


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(to_plain(value)))


def returned(value: Any) -> Any:
    return from_plain(through_json(value), TYPES)


def of_other_values(kind: type) -> Any:
    """An instance in which no setting has its default."""
    types = get_type_hints(kind)
    return kind(**{field.name: another(field.default, types[field.name]) for field in fields(kind)})


def another(value: Any, kind: Any) -> Any:
    """Another value than this, of the same type: of a choice of names another name."""
    return next(name for name in get_args(kind) if name != value) if get_args(kind) else value + 1


SETTINGS = [
    *(kind() for kind in CONSTRAINTS.values()),
    *(of_other_values(kind) for kind in CONSTRAINTS.values() if kind is not Chain),
    Chain(R1(0.5)),
    Chain(Chain(), Chain(R1(0.25), Chain(WeightClipping(0.5), R2()), SpectralNormalisation(3))),
    Adam(),
    Adam(3e-4, (0.1, 0.2), 1e-5),
    RMSprop(),
    RMSprop(3e-4, 0.5, 1e-5),
    LoggingIntervals(1, 2, 3, 4),
    MLP(generator_hidden=(), critic_hidden=(7,)),
    DCGAN(),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=repr)
def test_settings_come_back(settings: Any):
    assert returned(settings) == settings
    assert type(returned(settings)) is type(settings)
    assert through_json(returned(settings)) == through_json(settings)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back(name: str, shape: tuple[int, ...]):
    made = recipe(name, shape)
    assert returned(made) == made
    assert hash(returned(made)) == hash(made)  # tuples and not lists, all the way down


constraints = st.recursive(
    st.sampled_from([kind() for kind in CONSTRAINTS.values()])
    | st.floats(1e-300, 1e300).map(WeightClipping)
    | st.tuples(st.floats(1e-9, 1e9), st.floats(0, 1e9)).map(lambda both: GradientPenalty(*both)),
    lambda inner: st.lists(inner, max_size=3).map(lambda members: Chain(*members)),
)


@given(constraints)
def test_any_nest_of_constraints_comes_back(constraint):
    assert returned(constraint) == constraint


@dataclass(frozen=True)
class Stranger:
    """Not one of the settings."""

    value: int = 0


REFUSED = {
    "a class of somebody else's": ({"is": "Stranger", "value": 1}, "'Stranger' is not a settings class"),
    "a class deep inside": (
        {"is": "Chain", "of": [{"is": "Chain", "of": [{"is": "os.system"}]}]},
        "os.system",
    ),
    "a class by its path": ({"is": "builtins.eval"}, "builtins.eval"),
    "no name": ({"is": 3}, "3 is not a settings class"),
    "a list for a name": ({"is": ["R1"]}, "not a settings class"),
    "an object for a name": ({"is": {"is": "R1"}}, "not a settings class"),
    "a field that is not there": ({"is": "R1", "gamma": 1.0, "delta": 2}, "R1 has no setting delta"),
    "a chain's field elsewhere": ({"is": "R1", "of": []}, "R1 has no setting of"),
    "a chain of one that is no list": ({"is": "Chain", "of": 3}, "Chain"),
    "a chain of no constraint": ({"is": "Chain", "of": [3]}, "Chain takes constraints"),
    "a value out of range": ({"is": "Adam", "lr": -1.0}, "learning rate"),
    "a value of another type": ({"is": "Adam", "lr": "fast"}, "learning rate"),
    "betas that are none": ({"is": "Adam", "betas": 3}, "Adam"),
}


@pytest.mark.parametrize(("plain", "phrase"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_ours_is_refused(plain: Any, phrase: str):
    with pytest.raises(InputError) as refusal:
        from_plain(plain, TYPES)
    assert phrase in str(refusal.value)
    assert "\n" not in str(refusal.value)


@dataclass(frozen=True)
class Demanding:
    """Settings with one that has no default."""

    value: int


def test_a_setting_that_is_missing_is_refused():
    with pytest.raises(InputError, match=r"These settings do not fit Demanding: .*'value'"):
        from_plain({"is": "Demanding"}, {"Demanding": Demanding})


def test_a_stranger_can_be_written_but_not_read():
    assert to_plain(Stranger(2)) == {"is": "Stranger", "value": 2}
    with pytest.raises(InputError, match="Stranger"):
        returned(Stranger(2))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
mappings = st.dictionaries(st.sampled_from("abcd"), plain, max_size=4)


@pytest.mark.slow
@given(mappings)
def test_plain_values_stay_as_they_are(value):
    assert to_plain(value) == value


@given(mappings)
def test_nothing_differs_from_itself(value):
    assert list(differences(value, json.loads(json.dumps(value)))) == []


@given(mappings, mappings)
def test_differences_are_those_of_the_leaves(old, new):
    before, after = dict(flatten(old)), dict(flatten(new))
    found = {path: (was, now) for path, was, now in differences(old, new)}
    for path in before.keys() | after.keys():
        was, now = before.get(path), after.get(path)
        assert (path in found) == (was != now)
        assert found.get(path, (was, now)) == (was, now)
    turned = {path: (now, was) for path, was, now in differences(new, old)}
    assert turned == found


def test_leaves_bear_their_paths():
    nested = {"a": {"b": 1, "c": {"d": [1, {"e": 2}]}}, "f": None, "g": {}}
    assert dict(flatten(nested)) == {"a.b": 1, "a.c.d": [1, {"e": 2}], "f": None}


def test_differences_name_what_was_and_what_is():
    old = {"constraint": to_plain(R1(1.0)), "seed": 0, "gone": 1}
    new = {"constraint": to_plain(R2(2.0)), "seed": 0, "new": 2}
    assert list(differences(old, new)) == [
        ("constraint.is", "R1", "R2"),
        ("constraint.gamma", 1.0, 2.0),
        ("gone", 1, None),
        ("new", None, 2),
    ]

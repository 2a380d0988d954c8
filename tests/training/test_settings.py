"""Every setting is written once: all that is derived from the settings follows each of them."""

from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import DIGITS, OTHER, assert_same_run, last, trainer

import wgan
from wgan.cli import main
from wgan.errors import InputError
from wgan.networks import MLP
from wgan.runs import differences, to_plain
from wgan.training import (
    RECIPES,
    LoggingIntervals,
    Trainer,
    TrainingSettings,
    recipe,
)
from wgan.training.config import identity, mark
from wgan.training.settings import ELSEWHERE, IDENTITY

FIELDS = [field.name for field in fields(TrainingSettings)]
NETWORKS = MLP(latent_dim=3, generator_hidden=(8,), critic_hidden=(8,))


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"networks": NETWORKS} | changes)


def test_this_table_has_every_setting_at_another_value():
    assert set(OTHER) == set(FIELDS)
    assert all(value != getattr(TrainingSettings(), name) for name, value in OTHER.items())


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_reaches_the_configuration_the_identity_and_comes_back(name: str):
    before = Trainer(DIGITS, settings=settings()).config()
    after = Trainer(DIGITS, settings=settings(**{name: OTHER[name]})).config()
    assert to_plain(OTHER[name]) == after[name] or name == "augment"
    assert TrainingSettings.from_config(after) == settings(**{"latent_dim": 3, name: OTHER[name]})
    changed = {path.partition(".")[0] for path, *_ in differences(identity(before), identity(after))}
    if name in ("networks", "conditional"):  # which the networks' own descriptions tell, too
        assert changed & {"generator", "critic", "conditional"}
    else:
        assert changed == ({name} if name in IDENTITY and name != "latent_dim" else set())
    assert (mark(before) == mark(after)) == (not changed)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_settings_survive_config_json(name: str):
    for shape in ((1, 8, 8), (1, 28, 28), (3, 64, 64), (2,)):
        chosen = recipe(name, shape)
        plain = {field: to_plain(getattr(chosen, field)) for field in FIELDS}
        assert TrainingSettings.from_config(plain) == chosen


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_of_another_project_is_answered_with_ours(name: str):
    with pytest.raises(InputError, match=f"There is no setting '{name}'; "):
        Trainer(DIGITS, **{name: 1})


def test_a_misspelt_setting_is_answered_with_the_one_that_was_meant():
    with pytest.raises(InputError, match="did you mean 'batch_size'"):
        Trainer(DIGITS, batchsize=3)


@pytest.mark.parametrize("given", [None, {"steps": 3}])
def test_what_is_no_settings_is_refused(given):
    with pytest.raises(InputError, match="settings must be TrainingSettings"):
        Trainer(DIGITS, settings=given)


def test_networks_that_are_no_settings_are_refused():
    with pytest.raises(InputError, match="networks of your own are generator= and critic="):
        Trainer(DIGITS, networks=torch.nn.Linear(2, 2))


# -------------------- Python and the command line


@pytest.mark.slow
def test_train_in_python_is_the_command(tmp_path, monkeypatch):
    """The same weights, moments and numbers, bit for bit, and the same configuration but for its origin."""
    monkeypatch.chdir(tmp_path)
    logging = LoggingIntervals(metrics=4, images=100)
    wgan.train("digits", "python", steps=8, seed=2, device="cpu", logging=logging)
    options = "--steps 8 --seed 2 --device cpu --logging.metrics 4 --logging.images 100"
    assert main(["train", "digits", "--out", "command", *options.split()]) == 0
    assert_same_run(tmp_path / "python", tmp_path / "command")


@pytest.mark.parametrize("data", ["photos/cats.npz", "cats.npz", "./cats.npz"])
def test_the_folder_of_a_run_that_is_not_named_is_the_commands(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    Path(data).parent.mkdir(exist_ok=True)
    np.savez(data, np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32))
    assert wgan.train(data, steps=1, device="cpu").path == Path("runs/cats-default")
    assert main(["train", data, "--steps", "1", "--device", "cpu"]) == 0  # resumes it
    assert [path.name for path in Path("runs").iterdir()] == ["cats-default"]


def test_networks_of_ones_own_are_trained_as_the_default_recipe_trains_its_own():
    generator, critic = NETWORKS.build(DIGITS.shape)
    own = Trainer(DIGITS, generator=generator, critic=critic).settings
    assert replace(own, networks=NETWORKS) == replace(recipe("default", DIGITS.shape), networks=NETWORKS)


# -------------------- optimisers of torch's


def sgd(weights) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=1e-3, momentum=0.9)


TORCHS = {
    "a class": torch.optim.AdamW,
    "a partial": partial(torch.optim.SGD, lr=1e-3, momentum=0.9),
    "a function": sgd,
    "an instance": torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3, betas=(0.0, 0.9)),
    "without state": partial(torch.optim.SGD, lr=1e-3),
}


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", TORCHS.values(), ids=TORCHS)
def test_an_optimiser_of_torchs_trains_and_resumes_bit_for_bit(tmp_path, optimiser):
    both = dict.fromkeys(("generator_optimiser", "critic_optimiser"), optimiser)
    both["logging"] = LoggingIntervals(metrics=2, images=100)
    trainer(**both).fit(tmp_path / "straight", 8)
    trainer(**both).fit(tmp_path / "resumed", 3)
    trainer(**both).fit(tmp_path / "resumed", 8)
    assert_same_run(tmp_path / "resumed", tmp_path / "straight", images=False)
    assert last(tmp_path / "straight").step == 8


def test_another_optimiser_is_another_run(tmp_path):
    trainer(critic_optimiser=torch.optim.AdamW).fit(tmp_path, 2)
    with pytest.raises(InputError, match=r"critic_optimiser.is .*AdamW' -> .*RMSprop'"):
        trainer(critic_optimiser=torch.optim.RMSprop).fit(tmp_path, 4)

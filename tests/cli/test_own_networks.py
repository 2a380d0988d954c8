"""Networks of one's own work from the command line by their names, and never because a file names them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import wgan as package
from wgan.cli import main
from wgan.cli.rerun import rerun
from wgan.errors import InputError

CODE = """
from math import prod
from pathlib import Path

from torch import nn

Path("imported").touch()

class Generator(nn.Module):
    latent_dim = 3

    def __init__(self, shape, condition=None):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, prod(shape)), nn.Tanh(), nn.Unflatten(1, shape))

    def forward(self, latents):
        return self.layers(latents)

class Unmarked(Generator):
    latent_dim = None

class Critic(nn.Sequential):
    def __init__(self, shape):
        super().__init__(nn.Flatten(), nn.Linear(prod(shape), 1))

class Nothing:
    def __init__(self, shape):
        pass
"""
TRAIN = (
    "train digits --steps 4 --device cpu --out run --generator own_nets:Generator --critic own_nets:Critic"
)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    (tmp_path / "own_nets.py").write_text(CODE)
    assert main(TRAIN.split()) == 0
    return tmp_path / "run"


def test_a_run_notes_the_names_and_that_they_are_code(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["generator"]["network"] == "own_nets:Generator"
    assert "runs its module" in config["generator"]["code"]
    assert config["latent_dim"] == 3


@pytest.mark.slow
def test_the_same_command_goes_on_and_the_same_seed_is_the_same_run(trained, tmp_path):
    assert main(TRAIN.replace("--steps 4", "--steps 4 --seed 0").split()) == 0
    assert main(TRAIN.replace("--out run", "--out other").split()) == 0
    one, other = (package.Sampler.load(run, generator="own_nets:Generator") for run in ("run", "other"))
    assert np.array_equal(one(4), other(4))


def test_nothing_that_a_run_names_is_imported_unasked(trained, monkeypatch, tmp_path, capsys):
    (tmp_path / "imported").unlink()
    monkeypatch.delitem(sys.modules, "own_nets")
    assert main(["sample", "run", "--count", "2", "--out", "x.npz"]) == 2
    assert "own_nets:Generator is not one of wgan's own networks" in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_nets", "package.module:Class"),
        ("own_nets:Other", "cannot be built: AttributeError"),
        ("nowhere:Generator", "cannot be built: ModuleNotFoundError"),
        ("own_nets:Nothing", "must build a torch module"),
    ],
)
def test_a_name_that_cannot_be_is_refused(trained, name, message):
    with pytest.raises(InputError, match=message):
        package.Trainer("digits", generator=name, critic="own_nets:Critic")


def test_another_class_than_the_runs_is_refused(trained):
    with pytest.raises(InputError, match="is own_nets:Generator, and not own_nets:Critic"):
        package.Sampler.load("run", generator="own_nets:Critic")


@pytest.mark.slow
def test_the_length_of_latents_is_in_the_command_that_trains_again(trained):
    command = TRAIN.replace(":Generator", ":Unmarked") + " --latent-dim 3"
    assert main(command.replace("--out run", "--out unmarked").split()) == 0
    printed = rerun(json.loads(Path("unmarked/config.json").read_text()))
    assert printed is not None
    assert "--latent-dim 3" in printed
    assert main(printed.split()[1:]) == 0  # resumes the run


@pytest.mark.slow
def test_commands_draw_evaluate_and_export_a_run_of_ones_own_networks(trained, capsys):
    own = ["--generator", "own_nets:Generator"]
    assert main(["sample", "run", "--count", "2", "--out", "x.npz", *own]) == 0
    assert main(["interpolate", "run", "--to-seed", "2", "--out", "walk.npz", *own]) == 0
    assert main(["directions", "run", "--out", "directions.npz", "--count", "2", *own]) == 0
    assert main(["evaluate", "run", "--metrics", "fd", "--count", "70", *own]) == 0
    assert main(["export", "run", "--to", "onnx", "--out", "dist", "--count", "100", *own]) == 0
    assert "own_nets:Generator is your own code" in capsys.readouterr().err

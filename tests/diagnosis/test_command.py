"""The command that a finding prints: it is the run's own but for the remedy, and `wgan train` takes it."""

import shlex

import pytest

from wgan.cli import main
from wgan.diagnosis import History
from wgan.diagnosis.command import command

GRADIENT_PENALTY = {"constraint": {"is": "GradientPenalty", "weight": 0.5}}


def printed(arguments, remedy):
    config = {"origin": {"arguments": arguments, "out": "runs/mine"}}
    return command(History([], config), remedy)


@pytest.mark.parametrize(
    ("arguments", "remedy", "wanted"),
    [
        ("digits", {"n_critic": 4}, "wgan train digits --n-critic 4 --out runs/mine-remedied"),
        (
            "digits --n-critic 2 --seed 3 --out runs/mine --fork",
            {"n_critic": 4},
            "wgan train digits --n-critic 4 --seed 3 --out runs/mine-remedied",
        ),
        (
            "digits --n-critic=2 --critic-optimiser.lr=1e-3",
            {"critic_optimiser.lr": 1e-4},
            "wgan train digits --n-critic 2 --critic-optimiser.lr 0.0001 --out runs/mine-remedied",
        ),
        (
            "digits --constraint.weight 3 --steps 20",
            GRADIENT_PENALTY,
            "wgan train digits --steps 20 --out runs/mine-remedied "
            "constraint:gradient-penalty --constraint.weight 0.5",
        ),
        (
            "digits networks:mlp --networks.latent-dim 8 constraint:weight-clipping --constraint.c 0.1 "
            "critic-optimiser:adam --critic-optimiser.lr 0.1",
            {**GRADIENT_PENALTY, "critic_optimiser.lr": 0.01},
            "wgan train digits --out runs/mine-remedied networks:mlp --networks.latent-dim 8 "
            "constraint:gradient-penalty --constraint.weight 0.5 "
            "critic-optimiser:adam --critic-optimiser.lr 0.01",
        ),
        (  # whatever order its words came in
            "--heal --out=runs/mine constraint:r1 digits --critic-optimiser.betas 0 0.9 --n-critic 2",
            {"n_critic": 4},
            "wgan train digits --heal --critic-optimiser.betas 0 0.9 --n-critic 4 --out runs/mine-remedied "
            "constraint:r1",
        ),
        (
            "digits --critic-optimiser.lr 0.1 networks:mlp --networks.latent-dim 8",
            GRADIENT_PENALTY,
            "wgan train digits --critic-optimiser.lr 0.1 --out runs/mine-remedied "
            "networks:mlp --networks.latent-dim 8 constraint:gradient-penalty --constraint.weight 0.5",
        ),
        ("'my images'", {"loss": "wasserstein"}, None),
    ],
)
def test_the_command_is_the_runs_own_with_the_settings_changed(arguments, remedy, wanted):
    found = printed(shlex.split(arguments), remedy)
    if wanted is None:
        assert shlex.split(found)[2] == "my images"
        return
    assert found == wanted
    words = shlex.split(found)[1:]
    assert main([*words[:2], "--dry-run", *words[2:]]) == 0


def test_a_run_from_python_has_no_command():
    assert command(History([], {"origin": {}}), {"n_critic": 2}) is None

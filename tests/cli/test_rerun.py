"""The command that a report or a finding prints is the run's own, and `wgan train` takes it."""

import json
import re
import shlex
from pathlib import Path

import pytest

from wgan.cli import main
from wgan.cli.options import stored
from wgan.cli.parse import parse
from wgan.cli.rerun import remedied, rerun, run_commands, train_command
from wgan.cli.run_options import Distil, Train, defaults
from wgan.recovery import apply_remedy
from wgan.runs import RunFolder, to_plain

GRADIENT_PENALTY = {"constraint": {"is": "GradientPenalty", "weight": 0.5}}
SHAPE = (1, 8, 8)


def config_of(line, *, steps=None, interventions=()):
    """What ``config.json`` holds of a run that a command started."""
    words = shlex.split(line)
    name = words[words.index("--recipe") + 1] if "--recipe" in words else "default"
    command = parse(Train, words, default=defaults(name, SHAPE))
    settings = to_plain(command.settings)
    return json.loads(
        json.dumps(
            {
                **settings,
                "steps": steps or command.settings.steps,
                "latent_dim": 32,
                "dataset": {"name": command.data, "shape": SHAPE},
                "origin": {
                    "name": command.recipe,
                    "command": "train",
                    "arguments": stored(command),
                    "interventions": list(interventions),
                    **({"settings": settings} if interventions else {}),
                },
            }
        )
    )


RUNS = [
    "digits",
    "fashion-mnist --conditional --steps 2000",
    "digits --seed 3 --device cpu --engine eager --out runs/mine --fork",
    "digits --ema 0.5 --augment.transforms flip cutout --augment.strength 0.5",
    "digits networks:resnet --networks.attention",
    "digits --networks.generator-hidden 64 64",
    "digits --heal constraint:weight-clipping --constraint.c 0.1 critic-optimiser:rmsprop",
    "digits --recipe sngan --no-conditional --resolution 8 --channels 1 --data-dir 'a b'",
    "digits --recipe quality --loss hinge --monitor wandb --monitor mlflow",
    "-- -odd",
]


@pytest.mark.slow
@pytest.mark.parametrize("line", RUNS)
def test_the_printed_command_is_the_one_that_was_typed(line):
    command = train_command(config_of(line))
    assert command == parse(Train, shlex.split(line), default=defaults(command.recipe, SHAPE))
    printed = shlex.split(rerun(config_of(line)))
    assert printed[:2] == ["wgan", "train"]
    assert parse(Train, printed[2:], default=defaults(command.recipe, SHAPE)) == command


def test_the_printed_command_has_nothing_that_was_not_typed():
    for line in (
        "digits",
        "fashion-mnist --conditional --steps 2000",
        "digits --networks.generator-hidden 64 64",
        "digits networks:resnet --networks.attention",
    ):
        assert rerun(config_of(line)) == f"wgan train {line}"


def test_minutes_become_the_steps_that_they_were():
    config = config_of("digits --minutes 5 --seed 2", steps=1234)
    assert rerun(config) == "wgan train digits --steps 1234 --seed 2"
    assert remedied(config, {"n_critic": 4}) == (
        "wgan train digits --n-critic 4 --seed 2 --out runs/digits-default-remedied --minutes 5.0"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "remedy", "printed"),
    [
        ("digits", {"n_critic": 4}, "digits --n-critic 4 --out runs/digits-default-remedied"),
        (
            "digits --n-critic 2 --seed 3 --out mine --fork",
            {"n_critic": 4},
            "digits --n-critic 4 --seed 3 --out mine-remedied",
        ),
        (
            "digits --critic-optimiser.lr=0.1",
            {"critic_optimiser.lr": 1e-4},
            "digits --critic-optimiser.lr 0.0001 --out runs/digits-default-remedied",
        ),
        (
            "digits --constraint.weight 3 --steps 20",
            GRADIENT_PENALTY,
            "digits --constraint.weight 0.5 --steps 20 --out runs/digits-default-remedied",
        ),
        (
            "digits networks:mlp --networks.latent-dim 8 constraint:weight-clipping --constraint.c 0.1",
            {"constraint": {"is": "R1", "gamma": 2.0}, "networks.critic_norm": "layer"},
            "digits --networks.latent-dim 8 --networks.critic-norm layer --out runs/digits-default-remedied "
            "constraint:r1 --constraint.gamma 2.0",
        ),
        (
            "images.zip --out 'a b' --heal",
            {"loss": "hinge"},
            "images.zip --loss hinge --out 'a b-remedied' --heal",
        ),
    ],
)
def test_a_remedy_changes_its_settings_and_starts_beside_the_run(line, remedy, printed):
    assert remedied(config_of(line), remedy) == f"wgan train {printed}"
    command = parse(Train, shlex.split(printed), default=defaults("default", SHAPE))
    assert command.settings == apply_remedy(train_command(config_of(line)).settings, remedy)


def test_a_remedy_adds_to_those_of_earlier_interventions():
    before = [{"remedy": {"n_critic": 3, "ema": 0.5}}]
    config = config_of("digits --heal", interventions=before)
    assert rerun(config) == "wgan train digits --heal"
    assert remedied(config, {"n_critic": 6}) == (
        "wgan train digits --n-critic 6 --ema 0.5 --out runs/digits-default-remedied --heal"
    )


def test_where_no_command_started_the_run_none_is_printed():
    config = config_of("digits")
    for origin in (
        {},
        {"name": "default"},
        {"command": "train"},
        {"command": "train", "arguments": []},
        None,
    ):
        assert rerun(config | {"origin": origin}) is None
        assert remedied(config | {"origin": origin}, {"n_critic": 2}) is None
    assert remedied(config, {}) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"n_critic": "many"},
        {"networks": {"is": "Transformer"}},
        {"dataset": None},
        {"constraint": {"is": "R1", "colour": "red"}},
    ],
)
def test_a_broken_configuration_prints_no_command(broken):
    config = config_of("digits")
    assert rerun(config | broken) is None
    assert rerun(config | {"origin": config["origin"] | {"arguments": {"data": 3}}}) is None


def test_a_remedy_that_does_not_fit_the_networks_prints_no_command():
    assert remedied(config_of("digits networks:resnet"), {"networks.colour": "red"}) is None


def test_a_distilled_run_prints_the_command_that_distilled_it():
    command = Distil(Path("a b"), Path("small"), steps=5, monitor=("wandb",))
    config = {"origin": {"command": "distil", "arguments": json.loads(json.dumps(stored(command)))}}
    assert rerun(config) == "wgan distil 'a b' --out small --steps 5 --monitor wandb"
    assert remedied(config, {"n_critic": 2}) is None
    assert rerun({"origin": {"command": "distil", "arguments": {"size": 1}}}) is None


def test_the_other_commands_of_a_report_name_its_folder():
    commands = run_commands(Path("my runs/a"), {})
    assert commands.evaluate == "wgan evaluate 'my runs/a'"
    assert commands.sample == "wgan sample 'my runs/a' --out samples.png --count 64"


@pytest.mark.slow
def test_a_run_made_by_the_printed_command_is_the_same_run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    tiny = "networks:mlp --networks.generator-hidden 4 4 --networks.critic-hidden 4 --networks.latent-dim 2"
    line = f"digits --steps 2 --logging.metrics 1 --conditional --batch-size 4 --seed 5 --device cpu {tiny}"
    assert main(["train", *shlex.split(line)]) == 0
    run = RunFolder(Path("runs/digits-default"))
    config = run.read_config()
    command = train_command(config)
    assert command == parse(Train, shlex.split(line), default=defaults("default", SHAPE))
    words = shlex.split(rerun(config))
    before = (run.path / "metrics.jsonl").read_bytes()
    run.path.rename("first")
    assert main(words[1:]) == 0
    assert (run.path / "metrics.jsonl").read_bytes() == before
    assert rerun(config) in re.sub("<[^>]*>", "", (run.path / "report.html").read_text()).replace(
        "&#x27;", "'"
    )
    assert f"Next: wgan sample {run.path} --out samples.png --count 64" in capfd.readouterr().err

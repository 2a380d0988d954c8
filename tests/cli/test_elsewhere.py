"""Who comes from another project is told the names of this one."""

import re

import pytest
from frozen import command_class

from wgan.cli import COMMANDS, elsewhere, main
from wgan.cli.elsewhere import answer, check_recipe
from wgan.cli.options import all_options, all_words
from wgan.errors import InputError
from wgan.training import RECIPES

ROWS = [(command, name, own) for command, table in elsewhere.OPTIONS.items() for name, own in table.items()]


def option_names(command):
    return {
        f"--{member.option}" for _, member in all_options(command_class(command)) if not member.positional
    }


@pytest.mark.parametrize(("command", "name", "own"), ROWS)
def test_every_answer_names_options_that_there_are(command, name, own):
    assert f"--{name}" not in option_names(command)
    said = answer(command, f"--{name}")
    assert said == f"Instead of --{name}, use {own}."
    for option in re.findall(r"--[a-z][a-z0-9.-]*[a-z0-9]", own):
        assert option in option_names(command)
    for word in re.findall(r"[a-z-]+:[a-z0-9-]+", own):
        assert word in all_words(command_class(command))


@pytest.mark.parametrize(
    ("words", "own"),
    {
        "train digits --lambda-gp 10": "--constraint.weight",
        "train digits --clip-value 0.01": "constraint:weight-clipping --constraint.c",
        "train digits --weight_clip 0.01": "constraint:weight-clipping --constraint.c",
        "train digits --lr 1e-4": "--generator-optimiser.lr and --critic-optimiser.lr",
        "train digits --lr=1e-4": "--generator-optimiser.lr and --critic-optimiser.lr",
        "train digits --beta1 0.5": "--generator-optimiser.betas and --critic-optimiser.betas",
        "train digits --num-workers 4": "use no option, because the data are in memory",
        "train digits --sample-interval 100": "--logging.images",
        "train digits --wandb": "--monitor wandb",
        "train digits --optimizer adam": "generator-optimiser:adam",
        "train --dataset digits": "the first argument",
        "train digits --batchSize 8": "Did you mean --batch-size?",
        "train digits --lrD 1e-4": "--critic-optimiser.lr",
        "train digits --recipe wgan-gp": "here it is dcgan-gp or wgan-gp-resnet for images",
        "train digits -b 8": "wgan train has no option -b",
        "recipes wgan-gp": "here it is dcgan-gp or wgan-gp-resnet for images",
        "sample run --num-samples 8 --out x.npz": "--count",
        "evaluate run --fid": "--metrics fd",
        "export run --format onnx --out x": "--to",
        "generate run": "did you mean wgan sample?",
        "trian digits": "did you mean wgan train?",
    }.items(),
)
def test_words_of_elsewhere_are_answered_in_one_sentence(words, own, capfd):
    assert main(words.split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("wgan: ")
    assert err.count("\n") == 1
    assert own in err


@pytest.mark.parametrize("name", elsewhere.RECIPES)
def test_the_recipes_that_are_named_are_there(name):
    assert name not in RECIPES
    with pytest.raises(InputError) as refusal:
        check_recipe(name)
    assert any(known in str(refusal.value) for known in RECIPES)
    for known in RECIPES:
        check_recipe(known)


def test_the_commands_that_are_named_are_there():
    assert set(elsewhere.COMMANDS.values()) <= set(COMMANDS)
    assert not set(elsewhere.COMMANDS) & set(COMMANDS)


TINY = "--device cpu --batch-size 16 --n-critic 2 networks:mlp --networks.generator-hidden 4"


@pytest.mark.parametrize(("epochs", "steps"), [("0.1", 6), ("1e-9", 1)])
def test_epochs_become_steps_and_it_is_said(epochs, steps, tmp_path, capfd):
    from wgan.cli.rerun import rerun
    from wgan.runs import RunFolder

    # 1,618 samples, 32 a step
    words = f"train digits --epochs {epochs} --out {tmp_path / 'run'} {TINY}".split()
    assert main(words) == 0
    err = capfd.readouterr().err
    assert (
        f"epochs of 1,618 samples are {steps} steps: a step takes 32 samples (n_critic 2 x batch_size 16)"
        in err
    )
    config = RunFolder(tmp_path / "run").read_config()
    assert config["steps"] == steps
    assert f" --steps {steps} " in rerun(config)


@pytest.mark.parametrize("epochs", ["0", "-1", "nan", "inf"])
def test_no_epochs_are_refused(epochs, capfd):
    assert main(["train", "digits", f"--epochs={epochs}"]) == 2
    assert "--epochs must be a finite number > 0" in capfd.readouterr().err


@pytest.mark.parametrize("other", ["--steps 3", "--minutes 1"])
def test_epochs_and_another_length_are_refused(other, capfd):
    assert main(["train", "digits", "--epochs", "1", *other.split()]) == 2
    assert "not both" in capfd.readouterr().err

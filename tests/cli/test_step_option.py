"""Commands take the step of a kept checkpoint."""

import json

import numpy as np
import pytest
from PIL import Image

from wgan import Sampler
from wgan.cli import main

TRAIN = (
    "train digits --steps 6 --device cpu --out run --logging.images 2 --logging.checkpoint 2 --logging.keep 9"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("steps")


@pytest.fixture
def trained(folder, monkeypatch):
    monkeypatch.chdir(folder)
    if not (folder / "run").exists():
        assert main(TRAIN.split()) == 0
    return folder / "run"


def test_sample_draws_from_the_checkpoint_of_a_step(trained):
    for step in (2, 6):
        assert main(f"sample run --count 3 --step {step} --out {step}.npz".split()) == 0
    assert main(["sample", "run", "--count", "3", "--out", "last.npz"]) == 0
    samples = {name: np.load(f"{name}.npz")["samples"] for name in ("2", "6", "last")}
    assert np.array_equal(samples["6"], samples["last"])
    assert not np.array_equal(samples["2"], samples["last"])
    assert Sampler.load("run", step=2).step == 2


def test_evaluate_measures_the_checkpoint_of_a_step(trained, capsys):
    assert main(["evaluate", "run", "--metrics", "fd", "--count", "70", "--step", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 4


def test_animate_ends_at_a_step(trained):
    assert main(["animate", "run", "--step", "4", "--out", "some.gif"]) == 0
    with Image.open("some.gif") as image:
        assert image.n_frames <= 3


@pytest.mark.parametrize(
    "command", ["sample run --out x.npz", "evaluate run", "export run --to onnx --out d"]
)
def test_a_step_without_a_checkpoint_is_refused_with_those_there_are(trained, capsys, command):
    assert main([*command.split(), "--step", "3"]) == 2
    assert "no checkpoint of step 3; it has those of 0, 2, 4, 6." in capsys.readouterr().err

"""Runs to report on: one that was trained, and folders that only look like one."""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wgan.cli import main

TINY = (
    "networks:mlp --networks.latent-dim 2 --networks.generator-hidden 4 --networks.critic-hidden 4 "
    "--batch-size 4 --n-critic 1 --device cpu --logging.metrics 2 --logging.images 2 --logging.checkpoint 4"
)

CONFIG = {
    "format": 2,
    "dataset": {"name": "digits", "shape": [1, 8, 8], "fingerprint": "fdbe0aae6c6f"},
    "generator": {"network": "MLPGenerator", "hidden": [256, 256]},
    "critic": {"network": "MLPCritic", "hidden": [256, 256]},
    "latent_dim": 32,
    "loss": "wasserstein",
    "constraint": {"is": "GradientPenalty", "weight": 1.0, "target": 1.0},
    "n_critic": 1,
    "batch_size": 64,
    "generator_optimiser": {"is": "Adam", "lr": 0.001, "betas": [0.0, 0.9], "eps": 1e-08},
    "critic_optimiser": {"is": "Adam", "lr": 0.001, "betas": [0.0, 0.9], "eps": 1e-08},
    "seed": 0,
    "steps": 1000,
    "origin": {"name": "default"},
    "versions": {"wgan": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
}
PROVENANCE = {
    "metric": "fd",
    "extractor": "pixels",
    "extractor_hash": "6ec9c2b0eb14",
    "resize": "none",
    "n_real": 1618,
    "n_fake": 179,
    "split": "digits fdbe0aae6c6f, train",
    "versions": {"wgan": "0.1.0"},
}


def row(step: int) -> dict[str, float | int]:
    """A log point of a healthy run with everything in it."""
    t = math.exp(-step / 300)
    spreads = {
        f"{name}/{part}": base + share
        for name, base in {
            "score_real": 1.0,
            "score_held_out": 0.9,
            "score_fake": -t,
            "critic_weights": 0,
        }.items()
        for part, share in {"05": -0.5, "25": -0.2, "50": 0.0, "75": 0.2, "95": 0.5}.items()
    }
    slopes = {
        f"{name}/{part}": value
        for name in ("slope", "slope_pairs")
        for part, value in {"50": 0.8, "95": 1.0, "max": 1.1}.items()
    }
    layers = {f"critic_gradient/layers.{index}": 0.5 + 0.1 * index for index in range(3)}
    return {
        "step": step,
        "gap": 0.3 + t,
        "gap_held_out": 0.25 + t,
        "w1_lower": 0.1 * t,
        "w1_upper": 0.5 + t,
        "critic_loss": -t,
        "generator_loss": -1 + t,
        "penalty": 0.02,
        "critic_gradient": 1.0 + t,
        "generator_gradient": 0.5 + t,
        "clipped": 0.1,
        "critic_update": 0.001,
        "generator_update": 0.001,
        "critic_dead": 0.0,
        "generator_dead": 0.01,
        "diversity": 0.9,
        "duplicates": 0.0,
        "recall_held_out": 0.8,
        "coverage_held_out": 0.7,
        "memorised": 0.0,
        **spreads,
        **slopes,
        **layers,
    }


def shapes(step: int) -> dict[str, object]:
    """The histograms of the same log point: generated scores come nearer to real ones."""
    near = step // 100

    def shape(low, high, counts):
        return {"low": low, "high": high, "counts": counts}

    return {
        "step": step,
        "score_real": shape(-2.0, 2.0, [0] * 12 + [1, 5, 1] + [0]),
        "score_held_out": shape(-2.0, 2.0, [0] * 11 + [1, 5, 1] + [0] * 2),
        "score_fake": shape(-2.0, 2.0, [0] * near + [1, 5, 1] + [0] * (13 - near)),
        "critic_weights": shape(-0.01, 0.01, [9] + [1] * 14 + [9]),
    }


@dataclass(frozen=True)
class Folder:
    """A run folder in the making."""

    path: Path

    def config(self, **changes):
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "config.json").write_text(json.dumps(CONFIG | changes))
        return self

    def log(self, rows, name="metrics", torn=""):
        text = "".join(json.dumps(line) + "\n" for line in rows) + torn
        (self.path / f"{name}.jsonl").write_text(text)
        return self

    def shape(self, rows):
        return self.log(rows, "histograms")

    def draw(self, steps, size=(40, 40)):
        (self.path / "samples").mkdir(exist_ok=True)
        for step in steps:
            pixels = np.random.default_rng(step).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.path / "samples" / f"{step:08d}.png")
        return self

    def measure(self, *numbers):
        rows = [{"step": 1000, "provenance": PROVENANCE, **number} for number in numbers]
        (self.path / "evaluation.json").write_text(json.dumps({"numbers": rows}))
        return self

    def whole(self):
        """A finished run with everything a report can show."""
        steps = range(100, 1001, 100)
        timing = [{"step": step, "seconds": step / 10, "images_per_second": 5e3} for step in steps]
        return (
            self.config()
            .log([row(step) for step in steps])
            .log(timing, "timing")
            .shape([shapes(step) for step in steps])
            .draw(range(0, 1001, 250))
        )


@pytest.fixture
def healthy():
    """Log points of a healthy run, for these steps."""
    return lambda *steps: [row(step) for step in steps]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "run")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the command line's, as it left its folder; not to be written to."""
    path = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "digits", "--steps", "8", "--out", str(path), *TINY.split()]) == 0
    return path


@pytest.fixture
def a_run(trained, tmp_path):
    """A copy of the trained run."""
    return Path(shutil.copytree(trained, tmp_path / "run"))

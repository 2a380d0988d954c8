"""A small conditional run on digits, and what is exported of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from wgan.artifact import Artifact
from wgan.data import digits
from wgan.deploy import export
from wgan.networks import DCGAN
from wgan.training import LoggingIntervals, Trainer, recipe

COUNT = 300


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A few steps of a conditional DCGAN, whose labels enter by its norms: everything an export can meet."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    settings = replace(
        recipe("default", (1, 8, 8)),
        networks=DCGAN(latent_dim=6, generator_width=8, critic_width=8, generator_conditioning="norm"),
        conditional=True,
        batch_size=16,
        logging=LoggingIntervals(metrics=20, images=1000),
    )
    Trainer(digits(), settings=settings, device="cpu").fit(folder, 40)
    return folder


@pytest.fixture(scope="session")
def artifacts(run, tmp_path_factory) -> dict[str, Artifact]:
    """The run as an artifact of each kind."""
    home = tmp_path_factory.mktemp("artifacts")
    kinds = ("onnx-float32", "openvino-float32", "openvino-int8")
    settings = {"gate": 1.5, "count": COUNT, "seconds": 0.01}
    return {
        name: export(run, home / name, to=name.split("-")[0], int8=name.endswith("int8"), **settings)
        for name in kinds
    }

import os
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from wgan import data
from wgan.metrics import Classifier, train_classifier


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """Images and labels to train on."""
    split = data.digits().train
    rows = torch.arange(len(split))
    return split.batch(rows), split.batch_labels(rows)


@pytest.fixture(scope="session")
def unseen() -> tuple[Tensor, Tensor]:
    """Images and labels held out."""
    split = data.digits().held_out
    rows = torch.arange(len(split))
    return split.batch(rows), split.batch_labels(rows)


@pytest.fixture(scope="session")
def train_digits(digits, unseen):
    """Trains a classifier of digits; as fast as a test needs."""

    def train(seed: int = 0, steps: int = 150) -> Classifier:
        return train_classifier(*digits, held_out=unseen, steps=steps, seed=seed, device="cpu")

    return train


@pytest.fixture(scope="session")
def classifier(train_digits) -> Classifier:
    return train_digits()


@pytest.fixture(scope="session")
def torch_fidelity() -> None:
    """torch-fidelity where it is installed; continuous integration has to install it."""
    if find_spec("torch_fidelity") is None:
        reason = "torch-fidelity is not installed: pip install --no-deps torch-fidelity"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

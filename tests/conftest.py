import os
import signal

import pytest
import torch
from hypothesis import settings

from wgan import data

# No test is timed: the first example of a property also pays for what torch loads late.
settings.register_profile("wgan", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("wgan")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """These networks are too small to share out, and on a busy machine threads wait for one another."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """A shell's background jobs begin with SIGINT ignored, and tests send it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def fashion_mnist() -> data.Dataset:
    """Fashion-MNIST where it is installed; continuous integration has to install it."""
    if data.find_idx_files(data.FASHION_MNIST) is None:
        reason = "Fashion-MNIST is not installed: apt-get install dataset-fashion-mnist"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return data.fashion_mnist()

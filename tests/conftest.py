import os

import pytest
from hypothesis import settings

from wgan import data

# No test is timed: the first example of a property also pays for what torch loads late.
settings.register_profile("wgan", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("wgan")


@pytest.fixture(scope="session")
def fashion_mnist() -> data.Source:
    """Fashion-MNIST where it is installed; continuous integration has to install it."""
    if data.find(data.FASHION_MNIST) is None:
        reason = "Fashion-MNIST is not installed: apt-get install dataset-fashion-mnist"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return data.fashion_mnist()

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A user's cache of its own for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def noise():
    """Makes random images: noise(h, w) grey, noise(h, w, 3) coloured."""
    rng = np.random.default_rng(0)

    def make(*shape):
        return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))

    return make


@pytest.fixture
def folder(tmp_path, noise):
    """A folder of 20 coloured images of 16 x 16 pixels."""
    path = tmp_path / "images"
    path.mkdir()
    for index in range(20):
        noise(16, 16, 3).save(path / f"{index:02}.png")
    return path

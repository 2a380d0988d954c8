"""The emoji of an npm package: where it is looked for, what becomes of its images, and its download."""

import hashlib
import importlib
import json
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from wgan import data
from wgan.errors import InputError

PACKAGE = "emoji-datasource-google"
module = importlib.import_module("wgan.data.noto_emoji")


def image(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    pixels[:8] = 0  # transparent
    return Image.fromarray(pixels)


@pytest.fixture
def package(tmp_path):
    """A package as npm unpacks it: ten emoji, one of them twice, with a skin tone each, and other files."""
    folder = tmp_path / "project" / "node_modules" / PACKAGE
    images = folder / "img" / "google" / "64"
    images.mkdir(parents=True)
    (folder / "img" / "google" / "sheets").mkdir()
    image(0).save(folder / "img" / "google" / "sheets" / "64.png")
    table = []
    for number in range(10):
        variant = {"1F3FB": {"image": f"{number}-1f3fb.png"}}
        kind = "Flags" if number < 4 else "Animals & Nature"
        table.append({"image": f"{number}.png", "category": kind, "skin_variations": variant})
        image(number if number else 9).save(images / f"{number}.png")
        image(100 + number).save(images / f"{number}-1f3fb.png")
    (folder / "emoji.json").write_text(json.dumps(table))
    return folder


@pytest.fixture
def archive(package, tmp_path):
    """The same as `npm pack` leaves it."""
    path = tmp_path / "packed" / f"{PACKAGE}-16.0.0.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as members:
        members.add(package, "package")
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No package in the working folder, and nobody who answers at the registry's address."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(module, "ADDRESS", "http://127.0.0.1:9/none.tgz")


def test_images_are_on_white_once_each_with_their_category(package):
    dataset = data.load("emoji", data_dir=package.parents[1])
    assert dataset.shape == (3, 64, 64)
    assert len(dataset.train) + len(dataset.held_out) == 19  # 0.png is 9.png
    assert dataset.classes == ("Animals & Nature", "Flags")
    stored = dataset.train.storage
    assert (stored[:, :, :8] == 255).all()
    assert len({bytes(one.numpy()) for one in stored}) == 19
    counts = dataset.train.labels.bincount().tolist()
    assert counts == [11, 8]  # of equal images the first by name is kept, a flag
    pixels = np.asarray(image(3)).astype(float)
    alpha = pixels[..., 3:] / 255
    white = pixels[..., :3] * alpha + 255 * (1 - alpha)
    nearest = min(np.abs(one.numpy().transpose(1, 2, 0) - white).max() for one in stored)
    assert nearest <= 1


def test_a_folder_an_archive_and_their_parents_are_the_same_dataset(package, archive, monkeypatch):
    places = [package, package.parent, package.parents[1], archive.parent]
    found = {data.load("emoji", data_dir=place).fingerprint for place in places}
    monkeypatch.chdir(package.parents[1])
    assert {data.load("emoji").fingerprint} == found


def test_images_can_be_made_smaller(package):
    assert data.load("emoji", data_dir=package, resolution=32).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "emoji.json").write_text("{"), "is broken"),
        (lambda folder: (folder / "emoji.json").write_text("[]"), "no images"),
        (lambda folder: (folder / "img/google/64/3.png").write_bytes(b"no image"), "is broken"),
    ],
)
def test_a_broken_package_is_refused(package, damage, message):
    damage(package)
    with pytest.raises(InputError, match=message):
        data.load("emoji", data_dir=package)


def test_an_archive_cut_short_is_refused(archive):
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(InputError, match="is broken"):
        data.load("emoji", data_dir=archive.parent)


def test_without_package_and_network_the_error_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match=rf"npm install {PACKAGE}.*data_dir"):
        data.load("emoji")
    with pytest.raises(InputError, match="not a folder that exists"):
        data.load("emoji", data_dir=tmp_path / "nowhere")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_it_is_downloaded_once_and_only_as_it_was_published(archive, monkeypatch):
    handler = partial(Quiet, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setattr(module, "ADDRESS", f"http://127.0.0.1:{running.server_port}/{archive.name}")
        with pytest.raises(InputError, match="cannot be downloaded"):
            data.load("emoji")  # another checksum
        checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
        monkeypatch.setattr(module, "CHECKSUM", f"sha256:{checksum}")
        first = data.load("emoji")
        running.shutdown()
        thread.join()
    assert data.load("emoji").fingerprint == first.fingerprint  # the server is gone

"""MNIST and Fashion-MNIST: the IDX format, where it is looked for, and its download."""

import gzip
import hashlib
import struct
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from wgan import data
from wgan.data.builtin import FILES
from wgan.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8)
LABELS = (np.arange(30) % 10).astype(np.uint8)


def idx(array, magic=None, sizes=None):
    head = struct.pack(">I", 0x800 | array.ndim if magic is None else magic)
    return head + struct.pack(f">{array.ndim}I", *(sizes or array.shape)) + array.tobytes()


CONTENTS = dict(
    zip(FILES, (idx(IMAGES[:20]), idx(LABELS[:20]), idx(IMAGES[20:]), idx(LABELS[20:])), strict=True)
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def published(tmp_path):
    """MNIST of 30 images in a folder, gzipped, with mirrors nobody answers at."""
    folder = tmp_path / "published"
    folder.mkdir()
    sums = []
    for name, content in CONTENTS.items():
        packed = gzip.compress(content)
        (folder / f"{name}.gz").write_bytes(packed)
        sums.append(hashlib.md5(packed).hexdigest())
    return replace(data.MNIST, checksums=tuple(sums), mirrors=("http://127.0.0.1:9/",)), folder


@pytest.fixture
def server(published):
    handler = partial(Quiet, directory=str(published[1]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def write(folder, rename=lambda name: name, pack=bytes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENTS.items():
        (folder / rename(name)).write_bytes(pack(content))


def check(dataset):
    assert dataset.shape == (1, 28, 28)
    assert dataset.name == "mnist"
    assert dataset.classes == tuple("0123456789")
    assert (len(dataset.train), len(dataset.held_out)) == (20, 10)
    index = torch.arange(10)
    expected = torch.from_numpy(IMAGES[20:, None] / 127.5 - 1).float()
    torch.testing.assert_close(dataset.held_out.batch(index), expected)
    assert dataset.held_out.batch_labels(index).tolist() == LABELS[20:].tolist()


@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize(
    ("rename", "pack"),
    [
        (lambda name: name, bytes),
        (lambda name: f"{name}.gz", gzip.compress),
        (lambda name: name.replace("-idx", ".idx"), bytes),
    ],
    ids=["plain", "gz", "dotted"],
)
def test_files_are_found_in_the_users_folder(tmp_path, place, rename, pack):
    write(tmp_path / place, rename, pack)
    check(data.load("mnist", data_dir=tmp_path))


def test_files_are_found_in_the_cache(cache):
    write(cache / "wgan" / "mnist")
    check(data.load("mnist"))


def test_the_users_folder_comes_first(tmp_path, cache):
    write(cache / "wgan" / "mnist", pack=lambda content: content[:9])
    write(tmp_path)
    check(data.mnist(str(tmp_path)))


def test_images_can_be_resized_and_coloured(tmp_path):
    write(tmp_path)
    dataset = data.load("mnist", data_dir=tmp_path, resolution=32, channels=3)
    assert dataset.shape == (3, 32, 32)
    assert (len(dataset.train), len(dataset.held_out)) == (20, 10)


def test_a_missing_data_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder that exists"):
        data.load("mnist", data_dir=tmp_path / "nowhere")


def _sized(array, *sizes):
    return idx(array, sizes=sizes)


BROKEN = {
    "no images": (FILES[0], b"", "does not begin as an IDX"),
    "text": (FILES[0], b"<html>404</html>", "does not begin as an IDX"),
    "cut header": (FILES[0], CONTENTS[FILES[0]][:10], "ends within its header"),
    "cut": (FILES[0], CONTENTS[FILES[0]][:-1], "holds 15679 of the 15680 bytes"),
    "too long": (FILES[2], CONTENTS[FILES[2]] + b"x", "more than the 7840 bytes"),
    "none in it": (FILES[2], _sized(IMAGES[:0], 0, 28, 28), "0 of the 0 bytes"),
    "floats": (FILES[0], idx(IMAGES, magic=0xD03), "does not begin as an IDX"),
    "29 wide": (FILES[0], idx(np.zeros((20, 28, 29), np.uint8)), "images of 28 x 28"),
    "labels for images": (FILES[0], CONTENTS[FILES[1]], "images of 28 x 28"),
    "images for labels": (FILES[1], CONTENTS[FILES[0]], "one label for each of 20"),
    "fewer labels": (FILES[1], idx(LABELS[:19]), "one label for each of 20"),
    "eleven classes": (FILES[3], idx(LABELS[20:] + 1), "holds the label 10"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(tmp_path, case):
    name, content, phrase = BROKEN[case]
    write(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}' is broken.*{phrase}"):
        data.load("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("length", [0, 5, 15, 500, -9, -1])
def test_a_gzip_file_cut_short_is_refused(tmp_path, length):
    write(tmp_path, lambda name: f"{name}.gz", gzip.compress)
    path = tmp_path / f"{FILES[2]}.gz"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=f"{FILES[2]}.gz' is broken"):
        data.load("mnist", data_dir=tmp_path)


def test_a_gzip_file_with_a_flipped_bit_is_refused(tmp_path):
    write(tmp_path, lambda name: f"{name}.gz", gzip.compress)
    path = tmp_path / f"{FILES[0]}.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is broken"):
        data.load("mnist", data_dir=tmp_path)


class TestDownload:
    @pytest.mark.slow
    def test_from_the_first_mirror_that_answers(self, published, server, cache):
        files = replace(published[0], mirrors=("http://127.0.0.1:9/", server))
        check(data.load_idx(files))
        assert sorted(file.name for file in (cache / "wgan" / "mnist").iterdir()) == sorted(
            f"{name}.gz" for name in FILES
        )
        check(data.load_idx(published[0]))  # Now it is here, and no mirror is needed.

    @pytest.mark.slow
    def test_a_wrong_checksum_is_refused_and_nothing_of_it_kept(self, published, server, cache):
        packed = published[1] / f"{FILES[0]}.gz"
        packed.write_bytes(gzip.compress(b"something else"))
        with pytest.raises(InputError, match=r"cannot be downloaded.*ValueError"):
            data.load_idx(replace(published[0], mirrors=(server,)))
        assert [file for file in cache.rglob("*") if file.is_file()] == []

    def test_a_missing_network_is_reported_with_a_remedy(self, published):
        with pytest.raises(InputError, match=r"mnist is not on this machine.*data_dir") as caught:
            data.load_idx(published[0])
        assert "apt-get" not in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_fashion_mnist_names_the_package(self, published):
        unreachable = replace(data.FASHION_MNIST, mirrors=published[0].mirrors, system_folders=())
        with pytest.raises(InputError, match="apt-get install dataset-fashion-mnist"):
            data.load_idx(unreachable)


@pytest.mark.slow
def test_fashion_mnist_is_the_published_one(fashion_mnist):
    assert fashion_mnist.shape == (1, 28, 28)
    assert (len(fashion_mnist.train), len(fashion_mnist.held_out)) == (60_000, 10_000)
    assert fashion_mnist.classes[9] == "Ankle boot"
    for split, each in ((fashion_mnist.train, 6000), (fashion_mnist.held_out, 1000)):
        assert torch.bincount(split.labels[split.rows]).tolist() == [each] * 10
    # Xiao et al.'s images have a mean of 0.2860 and a standard deviation of 0.3530 over [0, 1].
    values = fashion_mnist.train.storage[:60_000].double() / 255
    assert abs(values.mean() - 0.2860) < 1e-4
    assert abs(values.std() - 0.3530) < 1e-4

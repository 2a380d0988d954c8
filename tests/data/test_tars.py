"""Tars of images, as webdataset writes them and as tar does."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from wgan import data
from wgan.errors import InputError


def png(index):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def written(pattern, count=24, *, labelled=True, each=10):
    """Tars by webdataset's own writer."""
    with webdataset.ShardWriter(str(pattern), maxcount=each, verbose=0) as writer:
        for index in range(count):
            sample = {"__key__": f"{index:05}", "png": png(index), "json": {"index": index}}
            writer.write(sample | ({"cls": index % 12} if labelled else {}))


def tarred(path, names):
    with tarfile.open(path, "w") as archive:
        for index, name in enumerate(names):
            content = png(index)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def as_array(count=24):
    return np.stack([np.asarray(Image.open(io.BytesIO(png(i)))).transpose(2, 0, 1) for i in range(count)])


@pytest.mark.parametrize("how", ["range", "folder", "one"])
@pytest.mark.parametrize("limit", [None, 0])
def test_tars_of_webdataset_are_read(tmp_path, how, limit):
    written(tmp_path / "x-%03d.tar", each=24 if how == "one" else 10)
    names = {"range": "x-{000..002}.tar", "folder": "", "one": "x-000.tar"}
    dataset = data.load(tmp_path / names[how], memory_limit=limit)
    expected = data.load(as_array(), labels=np.arange(24) % 12)
    assert dataset.classes == tuple(str(label) for label in range(12))  # as numbers: 10 after 9
    assert dataset.fingerprint == expected.fingerprint
    assert dataset.train.resident == (limit is None)


def test_without_class_files_folders_are_classes(tmp_path):
    dataset = data.load(tarred(tmp_path / "a.tar", [f"./set/{'ab'[i % 2]}/{i:02}.png" for i in range(24)]))
    assert dataset.classes == ("a", "b")
    assert dataset.fingerprint == data.load(as_array(), labels=np.arange(24) % 2).fingerprint


def test_class_files_for_some_images_only_are_ignored(tmp_path):
    written(tmp_path / "x-%03d.tar", each=30)
    with tarfile.open(tmp_path / "x-000.tar", "a") as archive:
        info = tarfile.TarInfo("lonely.png")
        info.size = len(png(99))
        archive.addfile(info, io.BytesIO(png(99)))
    assert data.load(tmp_path / "x-000.tar").classes is None


def test_a_broken_image_is_named_by_its_tar(tmp_path):
    names = [f"{index:02}.png" for index in range(24)]
    path = tarred(tmp_path / "a.tar", names)
    content = path.read_bytes()
    path.write_bytes(content.replace(png(7)[:60], bytes(60)))
    assert data.load(path).skipped == ("a.tar/07.png",)


def test_tars_of_one_name_in_two_folders(tmp_path):
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        tarred(tmp_path / str(number) / "x.tar", [f"{index:02}.png" for index in range(12)])
    dataset = data.load(str(tmp_path / "{0..1}" / "x.tar"))
    assert len(dataset.train) + len(dataset.held_out) == 24


def test_images_beside_tars_are_a_folder_of_images(tmp_path):
    tarred(tmp_path / "backup.tar", ["a.png"])
    for index in range(9):
        (tmp_path / f"{index}.png").write_bytes(png(index))
    assert len(data.load(tmp_path).train.storage) == 9


def test_a_file_that_was_added_twice_counts_once(tmp_path):
    path = tarred(tmp_path / "a.tar", [f"{'ab'[index % 2]}/{index % 20:02}.png" for index in range(24)])
    assert len(data.load(path).train.storage) == 20


BAD = {
    "gone.tar": (lambda path: None, r"gone.tar' cannot be read as a tar.*No such file.*check its name"),
    "text.tar": (lambda path: path.write_text("no tar"), "cannot be read as a tar"),
    "empty.tar": (lambda path: path.write_bytes(b""), "cannot be read as a tar"),
    "none.tar": (lambda path: tarred(path, ["notes.txt", ".hidden.png"]), "holds no images"),
    "zipped.tar": (
        lambda path: path.write_bytes(gzip.compress(tarred(path, ["a.png"]).read_bytes())),
        "not compressed as a whole",
    ),
    "cut.tar": (
        lambda path: path.write_bytes(tarred(path, ["a.png", "b.png"]).read_bytes()[:900]),
        "as a tar",
    ),
    "few.tar": (lambda path: tarred(path, ["a.png", "b.png"]), "2 usable samples"),
    "x-{0..9999}{0..9999}.tar": (lambda path: None, "stands for 100,000,000 tars, more than 100,000"),
    "x-{2..1}{0..999999999}.tar": (lambda path: None, "stands for 1,000,000,000 tars"),
    "x-{00..01}.tar": (
        lambda path: tarred(path.with_name("x-00.tar"), ["a.png"]),
        r"x-01.tar' cannot be read",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tars_are_refused(tmp_path: Path, name: str):
    make, phrase = BAD[name]
    make(tmp_path / name)
    with pytest.raises(InputError, match=phrase):
        data.load(tmp_path / name)

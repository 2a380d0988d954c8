"""Datasets of Hugging Face, written to disk by its package: the hub itself is never used."""

import io
import sys

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from wgan import data
from wgan.errors import InputError, MissingExtraError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)
LABELS = np.arange(24) % 3
CLASSES = ("ant", "bee", "cow")


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path_factory):
    """No network, no progress bars, and a cache of its own."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("hf")))
    datasets.disable_progress_bars()


def written(folder, columns, features, files=3, split="train"):
    whole = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for number in range(files):
        name = folder / "data" / f"{split}-{number:05}-of-{files:05}.parquet"
        whole.shard(files, number, contiguous=True).to_parquet(name)
    return f"hf:{folder}"


@pytest.fixture
def animals(tmp_path):
    features = {"image": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))}
    return written(tmp_path / "animals", {"image": list(PIXELS), "kind": LABELS.tolist()}, features)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("limit", [None, 0])
def test_a_dataset_is_its_images(animals, limit):
    for name in (animals, f"{animals}[train]", f"{animals}[default,train]"):
        dataset = data.load(name, memory_limit=limit)
        assert dataset.fingerprint == data.load(PIXELS, labels=LABELS).fingerprint
        assert dataset.classes == CLASSES
        assert dataset.name == name
        assert dataset.train.resident == (limit is None)


def test_the_dataset_is_streamed_once(animals, cache, tmp_path, monkeypatch):
    first = data.load(animals, memory_limit=0)
    dates = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert len(dates) == 3  # one for each of its files
    monkeypatch.setitem(sys.modules, "datasets", None)  # not even asked
    assert data.load(animals, memory_limit=0).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")} == dates
    assert not list(tmp_path.rglob("*.arrow"))


def test_images_can_be_resized_and_made_grey(animals):
    assert data.load(animals, resolution=4, channels=1).shape == (1, 4, 4)


@pytest.mark.slow
def test_it_can_be_written_as_shards_by_several_processes(animals, tmp_path):
    data.write_shards(data.reader_of(animals), tmp_path / "a.pack", processes=2)
    assert data.load(tmp_path / "a.pack").fingerprint == data.load(PIXELS, labels=LABELS).fingerprint


def test_a_folder_that_changed_is_read_again(animals, tmp_path):
    before = data.load(animals).fingerprint
    features = {"image": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))}
    written(tmp_path / "animals", {"image": list(255 - PIXELS), "kind": LABELS.tolist()}, features)
    assert data.load(animals).fingerprint != before


def test_splits_are_chosen_by_name(animals, tmp_path):
    features = {"image": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))}
    columns = {"image": list(PIXELS[:9]), "kind": LABELS[:9].tolist()}
    written(tmp_path / "animals", columns, features, files=1, split="test")
    assert len(data.load(f"{animals}[test]").train.storage) == 9
    assert len(data.load(animals).train.storage) == 24


def test_a_dataset_without_labels_has_no_classes(tmp_path):
    dataset = data.load(written(tmp_path / "a", {"image": list(PIXELS)}, {"image": datasets.Image()}))
    assert dataset.classes is None
    assert dataset.fingerprint == data.load(PIXELS).fingerprint


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    rows = [
        {"bytes": b"x" if index == 20 else png(pixels), "path": None} for index, pixels in enumerate(PIXELS)
    ]
    name = written(tmp_path / "a", {"image": rows}, {"image": datasets.Image()})
    dataset = data.load(name)
    assert dataset.skipped == (f"{name}[train] 2/4",)  # of the third file, the fifth
    assert len(dataset.train.storage) == 23


def test_a_dataset_of_many_files_has_not_more_shards_than_files_can_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr("wgan.data.huggingface.MAX_SHARDS", 2)
    name = written(tmp_path / "a", {"image": list(PIXELS)}, {"image": datasets.Image()}, files=5)
    dataset = data.load(name)
    assert torch.equal(dataset.train.storage, data.load(PIXELS).train.storage)


@pytest.mark.parametrize(
    "name", ["hf:", "hf:[train]", "hf:a[", "hf:a]", "hf:a[]", "hf:a[,]", "hf:a[b,c,d]", "hf:a[b"]
)
def test_malformed_names_are_refused(name):
    with pytest.raises(InputError, match="is no name of a dataset"):
        data.load(name)


def test_missing_datasets_splits_and_configurations_are_refused(animals):
    for name, phrase in (
        ("hf:nobody/nothing", r"hf:nobody/nothing\[train\] cannot be read"),
        (f"{animals}[valid]", "cannot be read.*valid"),
        (f"{animals}[small,train]", "cannot be read.*small"),
    ):
        with pytest.raises(InputError, match=phrase):
            data.load(name)


def test_datasets_without_or_with_two_image_columns_are_refused(tmp_path):
    words = written(tmp_path / "words", {"text": ["a"] * 9}, {"text": datasets.Value("string")})
    with pytest.raises(InputError, match="has the columns text, and 0 of them hold images"):
        data.load(words)
    both = {"a": list(PIXELS), "b": list(PIXELS)}
    two = written(tmp_path / "two", both, {"a": datasets.Image(), "b": datasets.Image()})
    with pytest.raises(InputError, match="has the columns a, b, and 2 of them"):
        data.load(two)


def test_samples_without_a_label_among_others_are_refused(tmp_path):
    features = {"image": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))}
    labels = [*LABELS.tolist()[:-1], -1]
    with pytest.raises(InputError, match="samples without a label"):
        data.load(written(tmp_path / "a", {"image": list(PIXELS), "kind": labels}, features))


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wgan\[hf\]'"):
        data.load("hf:nobody/nothing")

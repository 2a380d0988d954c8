"""Arrays, tensors and NumPy's files."""

import re
import resource

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wgan import data
from wgan.errors import InputError, StorageError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (20, 4, 6), dtype=np.uint8)


def stored(dataset):
    return dataset.train.storage.numpy()


@given(
    count=st.integers(8, 12),
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    layout=st.sampled_from(["first", "last"]),
    kind=st.sampled_from(["uint8", "int64", "float32", "float64", "float16", ">f4"]),
    tensor=st.booleans(),
)
def test_every_layout_and_type_of_images_holds_the_same(count, channels, size, layout, kind, tensor):
    values = np.random.default_rng(count).integers(0, 256, (count, channels, *size))
    values = values.astype(kind) if "int" in kind else (values / 127.5 - 1).astype(kind)
    laid_out = values if layout == "first" else values.transpose(0, 2, 3, 1)
    if tensor:
        laid_out = torch.from_numpy(laid_out.astype(laid_out.dtype.newbyteorder("=")))
    dataset = data.load(laid_out)
    assert dataset.shape == (channels, *size)
    assert dataset.train.storage.dtype == (torch.uint8 if "int" in kind else torch.float32)
    np.testing.assert_array_equal(stored(dataset), values.astype(stored(dataset).dtype))


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(8, 12), st.integers(1, 5)), elements=st.floats(-1e30, 1e30))
)
def test_vectors_become_float32(values):
    dataset = data.load(values)
    assert dataset.shape == values.shape[1:]
    np.testing.assert_array_equal(stored(dataset), values.astype(np.float32))
    rows = dataset.train.rows.numpy()
    batch = dataset.train.batch(torch.arange(len(dataset.train)))
    np.testing.assert_array_equal(batch.numpy(), values.astype(np.float32)[rows])


def test_three_dimensions_are_grey_images():
    dataset = data.load(BYTES)
    assert dataset.shape == (1, 4, 6)
    np.testing.assert_array_equal(stored(dataset)[:, 0], BYTES)


def test_channels_come_first_where_both_fit():
    images = RNG.integers(0, 256, (8, 3, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(stored(data.load(images)), images)


@pytest.mark.parametrize("last", [True, False])
def test_alpha_is_put_on_white(last):
    images = np.full((8, 4, 5, 5), 200, np.uint8)
    images[:, 3] = 0
    images[:, 3, 0] = 255
    images[:, 3, 1] = 51  # One fifth of 200, four fifths of 255.
    dataset = data.load(images.transpose(0, 2, 3, 1) if last else images)
    assert dataset.shape == (3, 5, 5)
    for row, level in enumerate([200, 244, 255, 255, 255]):
        assert (stored(dataset)[:, :, row] == level).all()


def test_bfloat16_and_tensors_with_gradients_are_accepted():
    values = torch.randn(9, 2, requires_grad=True)
    torch.testing.assert_close(data.load(values).train.storage, values.detach())
    low = values.detach().bfloat16()
    torch.testing.assert_close(data.load(low).train.storage, low.float())


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_callers_array_may_change_afterwards(kind):
    values = np.zeros((8, 1, 2, 2), kind) - (0 if kind is np.uint8 else 1)
    dataset = data.load(values)
    before = stored(dataset).copy()
    values += 1
    np.testing.assert_array_equal(stored(dataset), before)


def test_floats_from_zero_to_one_are_used_with_a_warning():
    with pytest.warns(UserWarning, match=r"values from 0 to 1.*2 \* images - 1"):
        dataset = data.load(np.linspace(0, 1, 8 * 9).reshape(8, 3, 3))
    assert dataset.train.storage.min() == 0


@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_constant_images_stay_constant_when_resized(kind):
    value = 77 if kind == "bytes" else np.float32(-0.25)
    images = np.full((8, 3, 7, 10), value)
    images = images.astype(np.uint8 if kind == "bytes" else np.float32)
    dataset = data.load(images, resolution=4, channels=1)
    assert dataset.shape == (1, 4, 4)
    np.testing.assert_allclose(stored(dataset), value, rtol=1e-5)


def test_resizing_takes_the_centre_square():
    images = np.zeros((8, 4, 12), np.uint8)
    images[:, :, 4:8] = BYTES[:8, :, :4]
    np.testing.assert_array_equal(stored(data.load(images, resolution=4))[:, 0], BYTES[:8, :, :4])


def test_resizing_floats_agrees_with_bytes():
    values = RNG.integers(80, 176, (8, 3, 11, 11), dtype=np.uint8)  # No overshoot leaves the range.
    fine = data.load((values / 127.5 - 1).astype(np.float32), resolution=8)
    coarse = data.load(values, resolution=8)
    index = torch.arange(7)
    difference = fine.train.batch(index) - coarse.train.batch(index)
    assert difference.abs().max() < 2 / 127.5
    assert fine.train.storage.abs().max() <= 1


def test_grey_from_colour_weighs_as_bt601():
    images = np.zeros((8, 3, 1, 3), np.uint8)
    for channel in range(3):
        images[:, channel, 0, channel] = 255
    grey = stored(data.load(images, channels=1))[0, 0, 0]
    assert grey.tolist() == [round(255 * weight) for weight in (0.299, 0.587, 0.114)]


def test_labels_follow_their_samples():
    labels = torch.arange(20) % 4
    dataset = data.load(BYTES, labels=labels)
    assert dataset.classes == ("0", "1", "2", "3")
    index = torch.arange(len(dataset.held_out))
    assert torch.equal(dataset.held_out.batch_labels(index), labels[dataset.held_out.rows])
    assert torch.equal(data.load(BYTES, labels=labels.tolist()).train.labels, labels)
    assert data.load(BYTES, labels=labels.to(torch.uint8)).fingerprint == dataset.fingerprint


VECTORS = np.zeros((10, 2), np.float32)
HOLED = VECTORS.copy()
HOLED[[3, 7], 0] = np.nan, np.inf

BAD_ARRAYS = {
    "bool": (BYTES > 3, "booleans"),
    "complex": (VECTORS.astype(complex), "type complex128"),
    "object": (np.array([[None, 1]] * 10, dtype=object), "type object"),
    "text": (np.array([["a", "b"]] * 10), "type <U1"),
    "dates": (np.zeros((10, 2), "M8[s]"), "datetime64"),
    "structured": (np.zeros((10, 2), [("x", "f4")]), "real numbers"),
    "0-d": (np.array(1.0), r"shape \(\), 0 dimensions"),
    "1-d": (np.zeros(10), "1 dimensions"),
    "5-d": (np.zeros((8, 1, 2, 2, 2)), "5 dimensions"),
    "no samples": (np.zeros((0, 2)), "0 samples, too few"),
    "seven samples": (np.zeros((7, 2)), "7 samples, too few"),
    "empty vectors": (np.zeros((10, 0)), "empty"),
    "empty images": (np.zeros((10, 3, 0, 4), np.uint8), "empty"),
    "channels": (np.zeros((10, 5, 6, 7), np.uint8), r"shape \(10, 5, 6, 7\), where no dimension"),
    "float alpha": (np.zeros((10, 4, 6, 7)), "alpha is supported in bytes only"),
    "holes": (HOLED, "2 of the 10 samples.*first at index 3"),
    "too large": (np.full((10, 2), 1e300), "too large for float32, the first at index 0"),
    "holed images": (np.full((10, 4, 4), np.nan), "10 of the 10 samples"),
    "0..255 floats": (BYTES.astype(np.float32), r"values from 0 to 255.*\[-1, 1\].*127.5"),
    "beyond one": (np.full((10, 4, 4), 1.001), r"from 1.001 to 1.001"),
    "16-bit": (np.full((10, 4, 4), 4095, np.uint16), "uint16 with values from 4095 to 4095.*0..255"),
    "negative integers": (np.full((10, 4, 4), -1), "from -1 to -1"),
    "sparse": (torch.zeros(10, 2).to_sparse(), "sparse"),
    "a list": ([[0.0, 1.0]] * 10, "a list; give a name"),
    "nothing": (None, "a NoneType"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused(case):
    array, phrase = BAD_ARRAYS[case]
    with pytest.raises(InputError, match=phrase):
        data.load(array)


BAD_ARGUMENTS = {
    "short labels": ({"labels": np.zeros(9, int)}, r"shape \(9,\); give one a sample: \(20,\)"),
    "2-d labels": ({"labels": np.zeros((20, 1), int)}, r"shape \(20, 1\)"),
    "short attributes": ({"labels": np.zeros((9, 2))}, r"attributes .* shape \(9, 2\)"),
    "attributes that are none": ({"labels": np.full(20, np.nan)}, "attributes .* NaN"),
    "bool labels": ({"labels": torch.zeros(20, dtype=torch.bool)}, "type bool"),
    "text labels": ({"labels": ["a"] * 20}, "type <U1"),
    "negative labels": ({"labels": np.arange(20) - 1}, "from -1 to 18"),
    "labels from one": ({"labels": np.arange(20) + 1}, "from 1 to 20"),
    "gaping labels": ({"labels": np.arange(20) * 1000}, "from 0 to 19000.*renumber"),
    "no resolution": ({"resolution": 0}, "resolution is 0"),
    "half a pixel": ({"resolution": 7.5}, "resolution is 7.5"),
    "true resolution": ({"resolution": True}, "resolution is True"),
    "huge resolution": ({"resolution": 100_000}, "from 1 to 8192"),
    "two channels": ({"channels": 2}, "channels is 2.*give 1 or 3"),
    "true channels": ({"channels": True}, "channels is True"),
    "negative memory": ({"memory_limit": -1}, "memory_limit is -1"),
    "textual memory": ({"memory_limit": "1GB"}, "memory_limit is '1GB'"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_are_refused(case):
    arguments, phrase = BAD_ARGUMENTS[case]
    with pytest.raises(InputError, match=phrase):
        data.load(BYTES, **arguments)


@pytest.mark.parametrize("argument", [{"resolution": 8}, {"channels": 1}])
def test_vectors_have_neither_resolution_nor_channels(argument):
    with pytest.raises(InputError, match="vectors, which have neither"):
        data.load(VECTORS, **argument)


class TestFiles:
    def test_npy(self, tmp_path):
        np.save(tmp_path / "a.npy", BYTES)
        dataset = data.load(tmp_path / "a.npy", labels=np.arange(20) % 2)
        assert dataset.name == str(tmp_path / "a.npy")
        assert dataset.train.resident
        assert dataset.fingerprint == data.load(BYTES, labels=np.arange(20) % 2).fingerprint

    @pytest.mark.parametrize("name", ["samples", "images", "x", "data", "arr_0", "anything"])
    @pytest.mark.parametrize("labels", ["labels", "y"])
    def test_npz(self, tmp_path, name, labels):
        np.savez_compressed(tmp_path / "a.npz", **{name: BYTES, labels: np.arange(20) % 5})
        dataset = data.load(str(tmp_path / "a.npz"))
        assert dataset.fingerprint == data.load(BYTES, labels=np.arange(20) % 5).fingerprint

    def test_npz_without_labels_or_with_others(self, tmp_path):
        np.savez(tmp_path / "a.npz", samples=BYTES, extra=np.zeros(3))
        assert data.load(tmp_path / "a.npz").classes is None
        assert data.load(tmp_path / "a.npz", labels=np.arange(20) % 2).classes == ("0", "1")

    def test_home_is_expanded(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        np.save(tmp_path / "a.npy", BYTES)
        assert data.load("~/a.npy").name == "~/a.npy"


BAD_FILES = {
    "object.npy": (lambda p: np.save(p, np.array([{}] * 9), allow_pickle=True), "cannot be read as a .npy"),
    "object.npz": (lambda p: np.savez(p, x=np.array([{}] * 9)), "cannot be read as a .npz"),
    "empty.npy": (lambda p: p.write_bytes(b""), "cannot be read as a .npy"),
    "empty.npz": (lambda p: p.write_bytes(b""), "cannot be read as a .npz"),
    "text.npy": (lambda p: p.write_text("hello " * 50), "cannot be read as a .npy"),
    "text.npz": (lambda p: p.write_text("hello " * 50), "cannot be read as a .npz"),
    "none.npz": (lambda p: np.savez(p), "not clear which are the samples"),
    "several.npz": (lambda p: np.savez(p, train=BYTES, test=BYTES), r"\['train', 'test'\].*not clear"),
    "bool.npy": (lambda p: np.save(p, BYTES > 3), "bool.npy holds booleans"),
    "range.npy": (lambda p: np.save(p, BYTES * 1.5), "range.npy holds images of type float64"),
    "labels.npz": (lambda p: np.savez(p, x=BYTES, y=np.zeros(3, int)), "labels of .*labels.npz"),
    "image.png": (lambda p: p.write_bytes(b"x"), "a file of an unknown kind"),
    "archive.tar.gz": (lambda p: p.write_bytes(b"x"), "a file of an unknown kind"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused(tmp_path, name):
    write, phrase = BAD_FILES[name]
    write(tmp_path / name)
    with pytest.raises(InputError, match=phrase):
        data.load(tmp_path / name)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_file_cut_anywhere_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    (np.save if suffix == "npy" else np.savez)(path, BYTES)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=f"cannot be read as a .{suffix}"):
            data.load(path)


def test_npz_and_npy_files_with_the_wrong_suffix_are_refused(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, BYTES)
    with pytest.raises(InputError, match=r"cannot be read as a \.npz"):
        data.load(tmp_path / "a.npz")
    with (tmp_path / "b.npy").open("wb") as file:
        np.savez(file, BYTES)
    with pytest.raises(InputError, match=r"cannot be read as a \.npy"):
        data.load(tmp_path / "b.npy")


MAPPED = {
    "bytes": (RNG.integers(0, 256, (30, 3, 4, 5), dtype=np.uint8), {}),
    "bytes, channels last": (RNG.integers(0, 256, (30, 4, 5, 3), dtype=np.uint8), {}),
    "bytes, grey": (RNG.integers(0, 256, (30, 4, 5), dtype=np.uint8), {}),
    "alpha": (RNG.integers(0, 256, (30, 4, 5, 4), dtype=np.uint8), {}),
    "resized": (RNG.integers(0, 256, (30, 8, 9, 3), dtype=np.uint8), {"resolution": 4, "channels": 1}),
    "vectors": (RNG.normal(size=(30, 7)).astype(np.float32), {}),
    "vectors, Fortran": (np.asfortranarray(RNG.normal(size=(30, 7)).astype(np.float32)), {}),
    "vectors, big-endian": (RNG.normal(size=(30, 7)).astype(">f4"), {}),
    "vectors, double": (RNG.normal(size=(30, 7)), {}),
    "images, half": (RNG.uniform(-1, 1, (30, 5, 5)).astype(np.float16), {}),
}


@pytest.mark.parametrize("case", MAPPED)
def test_over_the_budget_a_file_is_mapped_and_nothing_else_changes(tmp_path, case):
    values, options = MAPPED[case]
    np.save(tmp_path / "a.npy", values)
    labels = np.arange(30) % 3
    in_memory = data.load(tmp_path / "a.npy", labels=labels, **options)
    for _ in ("written", "reused"):
        mapped = data.load(tmp_path / "a.npy", labels=labels, memory_limit=100, **options)
        assert (in_memory.train.resident, mapped.train.resident) == (True, False)
        assert mapped.fingerprint == in_memory.fingerprint
        assert mapped.to("meta") is mapped
        for part in ("train", "held_out"):
            one, other = getattr(in_memory, part), getattr(mapped, part)
            index = torch.arange(len(one)).flip(0)
            assert torch.equal(one.batch(index), other.batch(index))
            assert other.batch(index).is_contiguous()
            assert torch.equal(one.batch_labels(index), other.batch_labels(index))


def test_a_mapped_file_is_never_written_to(tmp_path):
    np.save(tmp_path / "a.npy", BYTES)
    before = (tmp_path / "a.npy").read_bytes()
    dataset = data.load(tmp_path / "a.npy", memory_limit=0)
    dataset.train.storage.index_select(0, torch.arange(20)).zero_()
    assert (tmp_path / "a.npy").read_bytes() == before


def test_a_mapped_file_that_changed_has_another_fingerprint(tmp_path):
    path = tmp_path / "a.npy"
    prints = set()
    for level in range(3):
        np.save(path, np.full((20, 2), level, np.float32))
        prints.add(data.load(path, memory_limit=0).fingerprint)
    assert len(prints) == 3


@pytest.mark.parametrize("case", ["holes", "0..255 floats", "16-bit", "too large"])
def test_values_of_a_mapped_file_are_checked_too(tmp_path, case):
    array, phrase = BAD_ARRAYS[case]
    np.save(tmp_path / "a.npy", array)
    for _ in range(2):
        with pytest.raises(InputError, match=phrase):
            data.load(tmp_path / "a.npy", memory_limit=0)


def test_damaged_shards_in_the_cache_are_written_again(tmp_path, cache):
    np.save(tmp_path / "a.npy", RNG.normal(size=(30, 7)))
    first = data.load(tmp_path / "a.npy", memory_limit=0)
    (shard,) = cache.rglob("*.npy")
    for content in (b"", shard.read_bytes()[:200]):
        shard.unlink()
        shard.write_bytes(content)
        again = data.load(tmp_path / "a.npy", memory_limit=0)
        index = torch.arange(len(first.train))
        assert torch.equal(again.train.batch(index), first.train.batch(index))
    for record in cache.rglob("*.json"):
        record.write_text("{")
        assert data.load(tmp_path / "a.npy", memory_limit=0).fingerprint == first.fingerprint


def test_a_cache_that_cannot_be_written_is_reported_and_left_alone(tmp_path, cache):
    np.save(tmp_path / "a.npy", RNG.normal(size=(30, 7)))
    (cache / "wgan").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=re.escape(str(cache))):
        data.load(tmp_path / "a.npy", memory_limit=0)
    assert (cache / "wgan").read_text() == "a file where the folder should be"


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, cache):
    np.save(tmp_path / "a.npy", RNG.normal(size=(3000, 7)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # As full as a test can make it.
    try:
        with pytest.raises(StorageError, match="make room"):
            data.load(tmp_path / "a.npy", memory_limit=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(cache.rglob("*.npy"))
    assert not list(cache.rglob(".*.partial"))
    assert not data.load(tmp_path / "a.npy", memory_limit=0).train.resident


def test_a_failed_conversion_leaves_nothing_in_the_cache(tmp_path, cache):
    path = tmp_path / "images"
    path.mkdir()
    for index in range(300):
        (path / f"{index:03}.ppm").write_bytes(b"P6 2 2 255\n" + bytes(12 if index < 260 else 1))
    with pytest.raises(InputError, match="cannot be read"):
        data.load(path, memory_limit=0)
    assert [file for file in cache.rglob("*") if file.is_file()] == []


def test_a_mapped_array_over_the_budget_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", BYTES)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert data.load(mapped).fingerprint == data.load(BYTES).fingerprint
    with pytest.raises(InputError, match="give the path"):
        data.load(mapped, memory_limit=10)


def test_a_built_in_dataset_too_large_for_the_memory_is_refused():
    with pytest.raises(InputError, match="digits as 1,797 images of 8192 x 8192 is larger than the memory"):
        data.load("digits", resolution=8192)

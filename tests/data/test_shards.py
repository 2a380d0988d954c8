"""Shards: written once, from any reader, through any interruption, and mapped."""

import json
import os
import resource
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import assert_same_run, critic, generator, run_python, trainer, tree

from wgan import data
from wgan.cli import main
from wgan.data.reader import Chunk, DatasetReader, DatasetSpec, key_of
from wgan.data.storage import MappedSamples
from wgan.errors import InputError, ProcessError, StorageError
from wgan.training import LoggingIntervals

COUNT, SHARDS = 40, 8
IMAGE = 3 * 8 * 8


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of five images."""
    monkeypatch.setattr("wgan.data.reader._SHARD_BYTES", 5 * IMAGE)


@pytest.fixture
def images(tmp_path, noise):
    """A folder of 40 coloured images of 8 x 8 pixels, in two classes."""
    path = tmp_path / "images"
    for index in range(COUNT):
        file = path / ("cat" if index % 3 else "dog") / f"{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise(8, 8, 3).save(file)
    return path


def packed(dataset, folder, **options):
    data.write_shards(data.reader_of(dataset), folder, **options)
    return folder


def same(one, other):
    """Whether two datasets hold the same samples and labels."""
    index = torch.arange(len(one.held_out)).flip(0)
    return (
        one.fingerprint == other.fingerprint
        and one.classes == other.classes
        and one.shape == other.shape
        and one.skipped == other.skipped
        and torch.equal(one.held_out.batch(index), other.held_out.batch(index))
        and (
            one.classes is None
            or torch.equal(one.held_out.batch_labels(index), other.held_out.batch_labels(index))
        )
    )


def shards(folder):
    return sorted(folder.glob("*.npy"))


def dates(folder):
    return {path.name: path.stat().st_mtime_ns for path in shards(folder)}


class Stopped(Exception):
    """Ends the writing of a pack in these tests."""


def stopping(after):
    def progress(done, _):
        if done == after:
            raise Stopped

    return progress


# ---------------------------------------------------------------------------------- what is in a pack


@pytest.mark.parametrize("kind", ["folder", "zip", "npy"])
def test_a_pack_holds_what_it_was_written_from(tmp_path, images, kind):
    dataset = images
    if kind == "zip":
        dataset = Path(shutil.make_archive(str(tmp_path / "a"), "zip", images))
    elif kind == "npy":
        dataset = tmp_path / "a.npy"
        np.save(dataset, data.load(images).train.storage.numpy().transpose(0, 2, 3, 1))
    folder = packed(dataset, tmp_path / "a.pack")
    assert len(shards(folder)) == SHARDS
    whole = data.load(dataset)
    assert whole.train.resident
    assert not data.load(folder, memory_limit=0).train.resident
    assert data.load(folder).train.resident
    for limit in (None, 0):
        assert same(data.load(folder, memory_limit=limit), whole)
        assert data.load(folder, memory_limit=limit).name == str(folder)


@pytest.mark.slow
def test_several_processes_write_the_same_files(tmp_path, images):
    one = packed(images, tmp_path / "one")
    two = packed(images, tmp_path / "two", processes=2)
    assert tree(one) == tree(two)


def test_vectors_can_be_packed_too(tmp_path):
    values = np.random.default_rng(0).normal(size=(30, 7))
    np.save(tmp_path / "a.npy", values)
    folder = packed(tmp_path / "a.npy", tmp_path / "a.pack")
    assert same(data.load(folder, memory_limit=0), data.load(values))


def test_an_image_that_cannot_be_read_is_named(tmp_path, images):
    (images / "cat" / "07.png").write_bytes(b"")
    folder = packed(images, tmp_path / "a.pack")
    assert data.load(folder).skipped == ("cat/07.png",)
    assert same(data.load(folder, memory_limit=0), data.load(images))


def test_too_many_unreadable_images_are_refused_and_read_again_next_time(tmp_path, images):
    names = ("cat/07.png", "cat/08.png")
    whole = {name: (images / name).read_bytes() for name in names}
    reader = data.reader_of(images)
    for name in names:
        (images / name).write_bytes(whole[name][:-30])  # with a whole head
    with pytest.raises(InputError, match=r"2 of the 40 images.*'cat/07.png', 'cat/08.png'"):
        data.write_shards(reader, tmp_path / "a.pack")
    before = dates(tmp_path / "a.pack")
    assert 0 < len(before) < SHARDS
    for name in names:
        (images / name).write_bytes(whole[name])
    data.write_shards(reader, tmp_path / "a.pack")
    assert before.items() <= dates(tmp_path / "a.pack").items()
    assert same(data.load(tmp_path / "a.pack"), data.load(images))


def test_if_nothing_can_be_read_only_the_files_of_the_pack_are_removed(tmp_path, images):
    reader = data.reader_of(images)
    for file in images.rglob("*.png"):
        file.write_bytes(file.read_bytes()[:-30])
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / ".thesis").write_text("irreplaceable")
    with pytest.raises(InputError, match="40 of the 40 images"):
        data.write_shards(reader, folder)
    assert sorted(entry.name for entry in folder.iterdir()) == [".lock", ".thesis"]


# ---------------------------------------------------------------------------------- drawing from files


@given(
    parts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    shape=st.sampled_from([(3,), (1, 4, 5)]),
    choose=st.data(),
)
def test_mapped_files_behave_as_one_tensor(tmp_path_factory, parts, shape, choose):
    folder = tmp_path_factory.mktemp("parts")
    arrays = [np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8) for count in parts]
    for number, array in enumerate(arrays):
        np.save(folder / f"{number}.npy", array)
    mapped = MappedSamples(
        [np.lib.format.open_memmap(folder / f"{n}.npy", mode="r") for n in range(len(parts))]
    )
    whole = torch.from_numpy(np.concatenate(arrays))
    rows = choose.draw(st.lists(st.integers(0, len(whole) - 1), max_size=30))
    index = torch.tensor(rows, dtype=torch.int64)
    assert torch.equal(mapped.index_select(0, index), whole.index_select(0, index))
    assert (mapped.shape, mapped.dtype, len(mapped), mapped.nbytes) == (
        whole.shape,
        whole.dtype,
        len(whole),
        whole.nbytes,
    )
    assert np.array_equal(np.concatenate(list(mapped.chunks())), whole.numpy())


def resident_files():
    """KiB of files that count as this process's memory."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssFile"].split()[0])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Only Linux says so.")
def test_memory_of_drawn_batches_is_released(tmp_path):
    count = (64 << 20) // IMAGE
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (count, 3, 8, 8))[:] = 7
    mapped = data.load(tmp_path / "a.npy", memory_limit=0)
    np.load(tmp_path / "a.npy", mmap_mode="r").sum()  # and it lies in the system's cache
    before = resident_files()
    for seed in range(200):
        index = torch.randint(len(mapped.train), (256,), generator=torch.Generator().manual_seed(seed))
        assert (mapped.train.storage.index_select(0, mapped.train.rows[index]) == 7).all()
        assert resident_files() < before + (8 << 10)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_file_in_c_or_fortran_order_is_read_right(tmp_path, order):
    values = np.asarray(np.random.default_rng(0).normal(size=(50, 9)), np.float32, order=order)
    np.save(tmp_path / "a.npy", values)
    assert same(data.load(tmp_path / "a.npy", memory_limit=0), data.load(values))


# ---------------------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("after", range(1, SHARDS + 1))
def test_an_interrupted_pack_is_continued(tmp_path, images, after):
    folder = tmp_path / "a.pack"
    with pytest.raises(Stopped):
        packed(images, folder, progress=stopping(after))
    with pytest.raises(InputError, match="is an unfinished pack"):
        data.load(folder)
    (folder / ".00007.npy.123.partial").write_bytes(b"torn")
    before = dates(folder)
    assert len(before) == after
    packed(images, folder)
    assert before.items() <= dates(folder).items()
    assert tree(folder) == tree(packed(images, tmp_path / "straight"))


@pytest.mark.slow
def test_a_killed_process_leaves_complete_shards_and_no_worker(tmp_path, images):
    code = """
        import sys, time
        from pathlib import Path
        from wgan import data
        from wgan.data import reader

        if __name__ == "__main__":
            reader._SHARD_BYTES = int(sys.argv[3])
            slowly = lambda done, shards: (print(done, flush=True), time.sleep(600))
            data.write_shards(data.reader_of(sys.argv[1]), Path(sys.argv[2]), processes=2, progress=slowly)
    """
    folder = tmp_path / "a.pack"
    script = tmp_path / "script.py"
    script.write_text("\n".join(line[8:] for line in code.splitlines()))
    process = run_python(
        "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')",
        script,
        images,
        folder,
        5 * IMAGE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    workers = children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    while any(Path(f"/proc/{worker}").exists() and state(worker) != "Z" for worker in workers):
        time.sleep(0.05)
    before = dates(folder)
    packed(images, folder)
    assert before
    assert before.items() <= dates(folder).items()
    assert same(data.load(folder), data.load(images))


def children(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@dataclass(frozen=True)
class KillingReader(DatasetReader):
    """Ends the process that reads its second shard."""

    @property
    def origin(self) -> str:
        return "killing"

    @property
    def key(self) -> str:
        return key_of("killing")

    @property
    def spec(self) -> DatasetSpec:
        return DatasetSpec((2,), "float32", 16, 2)

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        if shard == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield Chunk(np.zeros((8, 2), np.float32))


@pytest.mark.slow
def test_a_killed_worker_is_reported(tmp_path):
    with pytest.raises(ProcessError, match=r"complete shards stay.*with fewer processes"):
        data.write_shards(KillingReader(), tmp_path / "a.pack", processes=2)


def test_concurrent_writers_make_one_pack(tmp_path, images):
    folder = tmp_path / "a.pack"
    threads = [threading.Thread(target=packed, args=(images, folder)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tree(folder) == tree(packed(images, tmp_path / "straight"))


def test_a_finished_pack_is_not_written_again(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    before = dates(folder)
    packed(images, folder)
    assert dates(folder) == before


# ---------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("damage", ["cut", "gone", "no record", "torn record", "another", "a label less"])
def test_a_damaged_shard_is_named_and_written_again(tmp_path, images, damage):
    folder = packed(images, tmp_path / "a.pack")
    whole, before, victim = tree(folder), dates(folder), folder / "00003.npy"
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-1])
    elif damage == "another":
        np.save(victim, np.zeros((5, 1, 8, 8), np.uint8))
    elif damage == "gone":
        victim.unlink()
    elif damage == "no record":
        victim.with_suffix(".json").unlink()
    elif damage == "a label less":
        record = json.loads(victim.with_suffix(".json").read_text())
        victim.with_suffix(".json").write_text(json.dumps(record | {"labels": record["labels"][1:]}))
    else:
        victim.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match=r"00003.npy' is damaged.*delete it.*writes this shard anew"):
        data.load(folder)
    packed(images, folder)
    assert tree(folder) == whole
    assert {name for name, date in dates(folder).items() if before[name] != date} == {"00003.npy"}


def test_a_pack_under_repair_is_unfinished(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    whole = tree(folder)
    (folder / "00003.npy").unlink()
    with pytest.raises(Stopped):
        packed(images, folder, progress=stopping(SHARDS))
    with pytest.raises(InputError, match="is an unfinished pack"):
        data.load(folder)
    packed(images, folder)
    assert tree(folder) == whole


def test_swapped_shards_are_detected(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    for suffix in (".npy", ".json"):
        one, other, aside = (folder / f"{name}{suffix}" for name in ("00001", "00004", "aside"))
        one.rename(aside), other.rename(one), aside.rename(other)
    with pytest.raises(InputError, match="its record has changed since it was written"):
        data.verify_shards(folder)


def test_a_flipped_bit_is_found_by_verification(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    data.verify_shards(folder)
    content = bytearray((folder / "00005.npy").read_bytes())
    content[-9] ^= 1
    (folder / "00005.npy").write_bytes(content)
    data.load(folder)
    with pytest.raises(InputError, match=r"00005.npy' is damaged \(its samples have changed since"):
        data.verify_shards(folder)


def test_a_changed_label_is_found_on_loading(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    file = folder / "00002.json"
    record = json.loads(file.read_text())
    record["labels"][0] = 1 - record["labels"][0]
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"00002.npy' is damaged \(its record has changed since"):
        data.load(folder)


def test_two_folders_with_the_same_names_sizes_and_dates_are_two_datasets(tmp_path, noise):
    """As archives without dates give them."""
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        for number in range(20):
            file = tmp_path / place / f"{number}.bmp"
            noise(8, 8).save(file)
            os.utime(file, (0, 0))
    one, other = (data.load(tmp_path / place, memory_limit=0) for place in ("one", "other"))
    assert one.fingerprint != other.fingerprint


def test_two_ranges_of_tars_of_one_name_are_two_datasets(tmp_path, noise, monkeypatch):
    found = []
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        noise(8, 8).save("0.bmp")
        for number in range(2):
            with tarfile.open(f"x-{number}.tar", "w") as archive:
                for index in range(10):
                    archive.add("0.bmp", f"{index}.bmp")
            os.utime(f"x-{number}.tar", (0, 0))
        found.append(data.load("x-{0..1}.tar", memory_limit=0).fingerprint)
    assert found[0] != found[1]


def test_verification_never_advises_to_delete_a_folder_that_is_not_a_pack(images):
    before = tree(images)
    with pytest.raises(InputError, match=r"is not a pack: give a folder that `wgan data pack` wrote\.$"):
        data.verify_shards(images)
    assert tree(images) == before


MANIFESTS = {
    "empty": ("", "cannot be read"),
    "list": ("[]", "cannot be read"),
    "older": ('{"format": 1}', "a pack of format 1, and this wgan reads format 3"),
    "newer": ('{"format": 99}', "a pack of format 99, and this wgan reads format 3"),
    "bare": ('{"format": 3}', "cannot be read"),
    "odd": ('{"format": 3, "spec": {"shape": 3}}', "cannot be read"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_cannot_be_read_is_refused_and_nothing_is_deleted(tmp_path, images, case):
    folder = packed(images, tmp_path / "a.pack")
    text, phrase = MANIFESTS[case]
    (folder / "pack.json").write_text(text)
    before = tree(folder)
    for action in (data.load, data.verify_shards, lambda where: packed(images, where)):
        with pytest.raises(InputError, match=phrase):
            action(folder)
    assert tree(folder) == before


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("damage", ["more", "changed", "resolution", "channels"])
def test_a_pack_of_other_images_or_another_size_is_refused(tmp_path, images, noise, damage):
    folder = tmp_path / "a.pack"
    with pytest.raises(Stopped):
        packed(images, folder, progress=stopping(2))
    before = tree(folder)
    if damage in ("more", "changed"):
        noise(9, 9, 3).save(images / "cat" / ("01.png" if damage == "changed" else "99.png"))
    options = {"resolution": {"resolution": 4}, "channels": {"channels": 1}}.get(damage, {})
    with pytest.raises(InputError, match=r"is a pack of other files or of another size.*3x8x8"):
        data.write_shards(data.reader_of(images, **options), folder)
    assert tree(folder) == before


def test_a_folder_with_other_files_is_left_alone(tmp_path, images):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    (tmp_path / "file").write_text("irreplaceable")
    before = tree(tmp_path)
    for name, phrase in (("mine", "holds files and is not a pack"), ("file", "is a file")):
        with pytest.raises(InputError, match=phrase):
            packed(images, tmp_path / name)
    assert tree(tmp_path) == before


def test_a_pack_cannot_be_resized(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    assert same(data.load(folder, resolution=8, channels=3), data.load(folder))
    for options in ({"resolution": 4}, {"channels": 1}, {"resolution": 8, "channels": 1}):
        with pytest.raises(InputError, match="is a pack of samples 3x8x8, which are not resized"):
            data.load(folder, **options)
    with pytest.raises(InputError, match="has its own labels"):
        data.load(folder, labels=np.zeros(COUNT, int))


def test_too_little_room_is_reported_before_anything_is_written(tmp_path, images, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=COUNT * IMAGE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match=r"takes 0.0 GB more.*make room"):
        packed(images, tmp_path / "a.pack")
    assert shards(tmp_path / "a.pack") == []


def test_a_full_disk_leaves_complete_shards(tmp_path, images):
    folder = tmp_path / "a.pack"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done, _):
        if done == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # As full as a test can make it.

    try:
        with pytest.raises(StorageError, match="Cannot write"):
            packed(images, folder, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    before = dates(folder)
    assert len(before) == 3
    packed(images, folder)
    assert before.items() <= dates(folder).items()


# ---------------------------------------------------------------------------------- training


@pytest.mark.slow
def test_a_run_on_mapped_shards_equals_the_run_in_memory_and_resumes_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("wgan.data.reader._SHARD_BYTES", 64 * 100)
    np.save(tmp_path / "digits.npy", data.digits().train.storage.numpy())
    folder = packed(tmp_path / "digits.npy", tmp_path / "digits.pack")
    logging = LoggingIntervals(metrics=5, images=10, checkpoint=5)

    def run(limit):
        dataset = data.load(folder, memory_limit=limit)
        assert dataset.train.resident == (limit is None)
        return trainer(generator=generator(), critic=critic(), data=dataset, logging=logging)

    straight = run(None).fit(tmp_path / "straight", 20).path
    mapped = run(0).fit(tmp_path / "mapped", 20).path
    assert_same_run(mapped, straight)
    run(0).fit(tmp_path / "stopped", 20, stop=lambda so_far: so_far.history()[-1]["step"] == 10)
    assert_same_run(run(0).fit(tmp_path / "stopped", 20).path, straight)


# ---------------------------------------------------------------------------------- the command


def test_the_command_packs_and_verifies(tmp_path, images, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (images / "cat" / "07.png").write_bytes(b"")
    assert main(["data", "pack", "images", "--processes", "1"]) == 0
    output = capsys.readouterr().out
    assert "39 samples 3x8x8 in images.pack.\n" in output
    assert "Skipped 1 unreadable image(s): cat/07.png\n" in output
    assert main(["data", "verify", "images.pack"]) == 0
    assert capsys.readouterr().out == "images.pack is intact.\n"
    manifest = json.loads((tmp_path / "images.pack" / "pack.json").read_text())
    assert manifest["spec"]["classes"] == ["cat", "dog"]
    monkeypatch.chdir(images)
    assert main(["data", "pack", ".", "--processes", "1"]) == 0
    assert f"in {tmp_path / 'images.pack'}.\n" in capsys.readouterr().out

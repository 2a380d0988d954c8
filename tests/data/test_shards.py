"""Packs: what is larger than memory, packed once, from anywhere, through any interruption."""

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
from wgan.data import reader
from wgan.data.reader import Chunk, DatasetReader, DatasetSpec, key_of
from wgan.data.storage import Mapped
from wgan.errors import InputError, ProcessError, StorageError
from wgan.training import LoggingIntervals

COUNT, SHARDS = 40, 8
IMAGE = 3 * 8 * 8


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of five images."""
    monkeypatch.setattr(reader, "_SHARD_BYTES", 5 * IMAGE)


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
    made = data.reader_of(dataset)
    data.pack(made, folder, **options)
    return folder


def same(one, other):
    """Whether two sources hold the same, and hand it out alike."""
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
    """What ends a pack in these tests."""


def stopping(after):
    def tell(done, _):
        if done == after:
            raise Stopped

    return tell


# ---------------------------------------------------------------------------------- what is in a pack


@pytest.mark.parametrize("kind", ["folder", "zip", "npy"])
def test_a_pack_is_its_source(tmp_path, images, kind):
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


def test_processes_pack_the_same(tmp_path, images):
    one = packed(images, tmp_path / "one")
    two = packed(images, tmp_path / "two", processes=2)
    assert tree(one) == tree(two)


def test_vectors_can_be_packed_too(tmp_path):
    values = np.random.default_rng(0).normal(size=(30, 7))
    np.save(tmp_path / "a.npy", values)
    folder = packed(tmp_path / "a.npy", tmp_path / "a.pack")
    assert same(data.load(folder, memory_limit=0), data.load(values))


def test_a_image_that_cannot_be_read_is_named(tmp_path, images):
    (images / "cat" / "07.png").write_bytes(b"")
    folder = packed(images, tmp_path / "a.pack")
    assert data.load(folder).skipped == ("cat/07.png",)
    assert same(data.load(folder, memory_limit=0), data.load(images))


def test_too_many_that_cannot_be_read_are_refused_and_tried_again(tmp_path, images):
    names = ("cat/07.png", "cat/08.png")
    whole = {name: (images / name).read_bytes() for name in names}
    seen = data.reader_of(images)
    for name in names:
        (images / name).write_bytes(whole[name][:-30])  # with a whole head
    with pytest.raises(InputError, match=r"2 of the 40 images.*'cat/07.png', 'cat/08.png'"):
        data.pack(seen, tmp_path / "a.pack")
    kept = dates(tmp_path / "a.pack")
    assert 0 < len(kept) < SHARDS
    for name in names:
        (images / name).write_bytes(whole[name])
    data.pack(seen, tmp_path / "a.pack")
    assert kept.items() <= dates(tmp_path / "a.pack").items()
    assert same(data.load(tmp_path / "a.pack"), data.load(images))


def test_where_nothing_can_be_read_only_the_pack_is_removed(tmp_path, images):
    seen = data.reader_of(images)
    for file in images.rglob("*.png"):
        file.write_bytes(file.read_bytes()[:-30])
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / ".thesis").write_text("irreplaceable")
    with pytest.raises(InputError, match="40 of the 40 images"):
        data.pack(seen, folder)
    assert sorted(entry.name for entry in folder.iterdir()) == [".lock", ".thesis"]


# ---------------------------------------------------------------------------------- drawing from files


@given(
    parts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    shape=st.sampled_from([(3,), (1, 4, 5)]),
    choose=st.data(),
)
def test_mapped_files_are_one_tensor(tmp_path_factory, parts, shape, choose):
    folder = tmp_path_factory.mktemp("parts")
    arrays = [np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8) for count in parts]
    for number, array in enumerate(arrays):
        np.save(folder / f"{number}.npy", array)
    mapped = Mapped([np.lib.format.open_memmap(folder / f"{n}.npy", mode="r") for n in range(len(parts))])
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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Only Linux says so.")
def test_what_was_drawn_leaves_the_memory_again(tmp_path):
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
def test_a_large_file_in_any_order_is_read_right(tmp_path, order):
    values = np.asarray(np.random.default_rng(0).normal(size=(50, 9)), np.float32, order=order)
    np.save(tmp_path / "a.npy", values)
    assert same(data.load(tmp_path / "a.npy", memory_limit=0), data.load(values))


# ---------------------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("after", range(1, SHARDS + 1))
def test_a_pack_that_was_interrupted_goes_on(tmp_path, images, after):
    folder = tmp_path / "a.pack"
    with pytest.raises(Stopped):
        packed(images, folder, tell=stopping(after))
    with pytest.raises(InputError, match="not packed to the end"):
        data.load(folder)
    (folder / ".00007.npy.123.partial").write_bytes(b"torn")
    kept = dates(folder)
    assert len(kept) == after
    packed(images, folder)
    assert kept.items() <= dates(folder).items()
    assert tree(folder) == tree(packed(images, tmp_path / "straight"))


def test_a_process_that_is_killed_leaves_whole_shards_and_no_process(tmp_path, images):
    code = """
        import sys, time
        from pathlib import Path
        from wgan import data
        from wgan.data import material

        if __name__ == "__main__":
            material._SHARD_BYTES = int(sys.argv[3])
            slowly = lambda done, shards: (print(done, flush=True), time.sleep(600))
            data.pack(data.reader_of(sys.argv[1]), Path(sys.argv[2]), processes=2, tell=slowly)
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
    kept = dates(folder)
    packed(images, folder)
    assert kept
    assert kept.items() <= dates(folder).items()
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
class Deadly(DatasetReader):
    """Ends the process that reads its second shard."""

    @property
    def origin(self) -> str:
        return "deadly"

    @property
    def key(self) -> str:
        return key_of("deadly")

    @property
    def spec(self) -> DatasetSpec:
        return DatasetSpec((2,), "float32", 16, 2)

    def chunks(self, spec: DatasetSpec, shard: int) -> Iterator[Chunk]:
        if shard == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield Chunk(np.zeros((8, 2), np.float32))


def test_a_process_that_is_lost_is_told(tmp_path):
    with pytest.raises(ProcessError, match=r"whole shards stay.*fewer processes"):
        data.pack(Deadly(), tmp_path / "a.pack", processes=2)


def test_two_at_once_make_one_pack(tmp_path, images):
    folder = tmp_path / "a.pack"
    threads = [threading.Thread(target=packed, args=(images, folder)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tree(folder) == tree(packed(images, tmp_path / "straight"))


def test_a_finished_pack_is_left_alone(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    kept = dates(folder)
    packed(images, folder)
    assert dates(folder) == kept


# ---------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("harm", ["cut", "gone", "no record", "torn record", "another", "a label less"])
def test_a_shard_that_is_not_whole_is_told_and_made_again(tmp_path, images, harm):
    folder = packed(images, tmp_path / "a.pack")
    whole, kept, victim = tree(folder), dates(folder), folder / "00003.npy"
    if harm == "cut":
        victim.write_bytes(victim.read_bytes()[:-1])
    elif harm == "another":
        np.save(victim, np.zeros((5, 1, 8, 8), np.uint8))
    elif harm == "gone":
        victim.unlink()
    elif harm == "no record":
        victim.with_suffix(".json").unlink()
    elif harm == "a label less":
        record = json.loads(victim.with_suffix(".json").read_text())
        victim.with_suffix(".json").write_text(json.dumps(record | {"labels": record["labels"][1:]}))
    else:
        victim.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match=r"00003.npy' is damaged.*delete it.*makes this one anew"):
        data.load(folder)
    packed(images, folder)
    assert tree(folder) == whole
    assert {name for name, date in dates(folder).items() if kept[name] != date} == {"00003.npy"}


def test_a_pack_that_is_made_anew_is_not_finished_before_it_is(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    whole = tree(folder)
    (folder / "00003.npy").unlink()
    with pytest.raises(Stopped):
        packed(images, folder, tell=stopping(SHARDS))
    with pytest.raises(InputError, match="not packed to the end"):
        data.load(folder)
    packed(images, folder)
    assert tree(folder) == whole


def test_shards_that_changed_places_are_found(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    for suffix in (".npy", ".json"):
        one, other, aside = (folder / f"{name}{suffix}" for name in ("00001", "00004", "aside"))
        one.rename(aside), other.rename(one), aside.rename(other)
    with pytest.raises(InputError, match="its record is not the one that was written"):
        data.verify(folder)


def test_a_bit_that_turned_is_found_by_reading_it_through(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    data.verify(folder)
    content = bytearray((folder / "00005.npy").read_bytes())
    content[-9] ^= 1
    (folder / "00005.npy").write_bytes(content)
    data.load(folder)
    with pytest.raises(InputError, match=r"00005.npy' is damaged \(its samples are not those"):
        data.verify(folder)


def test_a_label_that_changed_is_found_before_any_training(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    file = folder / "00002.json"
    record = json.loads(file.read_text())
    record["labels"][0] = 1 - record["labels"][0]
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"00002.npy' is damaged \(its record is not the one"):
        data.load(folder)


def test_two_folders_with_the_same_names_sizes_and_dates_are_two_sets(tmp_path, noise):
    """As archives without dates give them."""
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        for number in range(20):
            file = tmp_path / place / f"{number}.bmp"
            noise(8, 8).save(file)
            os.utime(file, (0, 0))
    one, other = (data.load(tmp_path / place, memory_limit=0) for place in ("one", "other"))
    assert one.fingerprint != other.fingerprint


def test_two_ranges_of_tars_of_one_name_are_two_sets(tmp_path, noise, monkeypatch):
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


def test_nobody_is_told_to_delete_a_folder_that_is_no_pack(images):
    before = tree(images)
    with pytest.raises(InputError, match=r"images' is no pack: give a folder that `wgan data pack` made\.$"):
        data.verify(images)
    assert tree(images) == before


HEADS = {
    "empty": ("", "cannot be read"),
    "list": ("[]", "cannot be read"),
    "older": ('{"format": 1}', "packed in format 1, and this wgan reads 2"),
    "newer": ('{"format": 99}', "packed in format 99, and this wgan reads 2"),
    "bare": ('{"format": 2}', "cannot be read"),
    "odd": ('{"format": 2, "form": {"shape": 3}}', "cannot be read"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_cannot_be_read(tmp_path, images, case):
    folder = packed(images, tmp_path / "a.pack")
    text, phrase = HEADS[case]
    (folder / "pack.json").write_text(text)
    before = tree(folder)
    for action in (data.load, data.verify, lambda where: packed(images, where)):
        with pytest.raises(InputError, match=phrase):
            action(folder)
    assert tree(folder) == before


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("harm", ["more", "changed", "resolution", "channels"])
def test_other_images_do_not_go_into_a_pack(tmp_path, images, noise, harm):
    folder = tmp_path / "a.pack"
    with pytest.raises(Stopped):
        packed(images, folder, tell=stopping(2))
    before = tree(folder)
    if harm in ("more", "changed"):
        noise(9, 9, 3).save(images / "cat" / ("01.png" if harm == "changed" else "99.png"))
    options = {"resolution": {"resolution": 4}, "channels": {"channels": 1}}.get(harm, {})
    with pytest.raises(InputError, match=r"is a pack of other files or at another size.*3x8x8"):
        data.pack(data.reader_of(images, **options), folder)
    assert tree(folder) == before


def test_a_folder_with_something_else_is_left_alone(tmp_path, images):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("irreplaceable")
    (tmp_path / "file").write_text("irreplaceable")
    before = tree(tmp_path)
    for name, phrase in (("mine", "holds files and is no pack"), ("file", "is a file")):
        with pytest.raises(InputError, match=phrase):
            packed(images, tmp_path / name)
    assert tree(tmp_path) == before


def test_a_pack_has_one_size(tmp_path, images):
    folder = packed(images, tmp_path / "a.pack")
    assert same(data.load(folder, resolution=8, channels=3), data.load(folder))
    for options in ({"resolution": 4}, {"channels": 1}, {"resolution": 8, "channels": 1}):
        with pytest.raises(InputError, match="is a pack of samples 3x8x8, of no other size"):
            data.load(folder, **options)
    with pytest.raises(InputError, match="brings its own labels"):
        data.load(folder, labels=np.zeros(COUNT, int))


def test_too_little_room_is_told_before(tmp_path, images, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=COUNT * IMAGE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match=r"takes 0.0 GB more.*make room"):
        packed(images, tmp_path / "a.pack")
    assert shards(tmp_path / "a.pack") == []


def test_a_disk_that_fills_up_keeps_what_is_whole(tmp_path, images):
    folder = tmp_path / "a.pack"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done, _):
        if done == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # As full as a test can make it.

    try:
        with pytest.raises(StorageError, match="Cannot write"):
            packed(images, folder, tell=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = dates(folder)
    assert len(kept) == 3
    packed(images, folder)
    assert kept.items() <= dates(folder).items()


# ---------------------------------------------------------------------------------- training


def test_a_run_that_learns_from_a_pack_is_the_run_in_memory_and_resumes_to_the_last_bit(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(reader, "_SHARD_BYTES", 64 * 100)
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


def test_the_command(tmp_path, images, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (images / "cat" / "07.png").write_bytes(b"")
    assert main(["data", "pack", "images", "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert "39 samples 3x8x8 in images.pack.\n" in said
    assert "Skipped 1 unreadable image(s): cat/07.png\n" in said
    assert main(["data", "verify", "images.pack"]) == 0
    assert capsys.readouterr().out == "images.pack is whole.\n"
    head = json.loads((tmp_path / "images.pack" / "pack.json").read_text())
    assert head["form"]["classes"] == ["cat", "dog"]
    monkeypatch.chdir(images)
    assert main(["data", "pack", ".", "--processes", "1"]) == 0
    assert f"in {tmp_path / 'images.pack'}.\n" in capsys.readouterr().out

"""A checkpoint is whole or it is not there, and one that was tampered with says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import assert_same_tensors, leftovers, tree

from wgan.errors import InputError, StorageError
from wgan.runs import load_latest, save, saved_steps

Break = Callable[[Path], object]


def groups(value: float = 0.0):
    return {
        "weights": {"a": torch.full((3, 4), value), "b.c": torch.arange(5)},
        "average": {"a": torch.tensor(value, dtype=torch.float64)},
        "nothing": {},
    }


def rewritten(path: Path, change: Callable[[dict], object]) -> None:
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def flip(path: Path, position: int, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= bits
    path.write_bytes(content)


def truncate(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def emptied(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def turned_into_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("gone")


def index_of_another(path: Path) -> None:
    other = save(path.parent / "other", 99, groups(99.0), keep=1)
    shutil.copy(other / "checkpoint.json", path)


def renamed(path: Path) -> None:
    path.rename(path.with_name(f"{int(path.name) + 4:08d}"))


BREAKS: dict[str, Break] = {
    "truncated tensors": lambda path: truncate(path / "weights.safetensors", -8),
    "no tensors": lambda path: truncate(path / "weights.safetensors", 0),
    "a flipped byte in the tensors": lambda path: flip(path / "average.safetensors", -1),
    "a flipped byte in their header": lambda path: flip(path / "weights.safetensors", 8),
    "a missing file": lambda path: (path / "nothing.safetensors").unlink(),
    "tensors of another group": lambda path: shutil.copy(
        path / "average.safetensors", path / "weights.safetensors"
    ),
    "another step": lambda path: rewritten(path / "checkpoint.json", lambda index: index.update(step=99)),
    "fewer groups": lambda path: rewritten(
        path / "checkpoint.json", lambda index: index["sha256"].pop("nothing")
    ),
    "no seal": lambda path: rewritten(path / "checkpoint.json", lambda index: index.pop("seal")),
    "no index": lambda path: (path / "checkpoint.json").unlink(),
    "an index that is no JSON": lambda path: (path / "checkpoint.json").write_bytes(b"\xff\x00{"),
    "an index that is no object": lambda path: (path / "checkpoint.json").write_text("[1, 2]"),
    "an empty index": lambda path: truncate(path / "checkpoint.json", 0),
    "the index of another checkpoint": index_of_another,
    "an empty folder": emptied,
    "a file in its place": turned_into_a_file,
    "the name of another step": renamed,
}
every_break = pytest.mark.parametrize("harm", BREAKS.values(), ids=BREAKS)


def test_what_is_saved_is_what_is_read(tmp_path: Path):
    assert load_latest(tmp_path) is None
    assert saved_steps(tmp_path) == []
    save(tmp_path, 12, groups(1.5), keep=2)
    read = load_latest(tmp_path)
    assert read.step == 12
    assert read.broken == ()
    assert read.tensors.keys() == groups().keys()
    for name, tensors in groups(1.5).items():
        assert_same_tensors(read.tensors[name], tensors)
    assert leftovers(tmp_path) == []


def test_some_groups_can_be_read_alone(tmp_path: Path):
    path = save(tmp_path, 12, groups(1.5), keep=2)
    flip(path / "weights.safetensors", -1)
    assert load_latest(tmp_path, groups=("average",)).tensors.keys() == {"average"}


def test_the_last_few_stay(tmp_path: Path):
    for step in (1, 2, 10, 100, 99_999_999, 100_000_000, 100_000_001):
        save(tmp_path, step, groups(), keep=3)
    assert saved_steps(tmp_path) == [99_999_999, 100_000_000, 100_000_001]
    assert load_latest(tmp_path).step == 100_000_001
    save(tmp_path, 100_000_002, groups(), keep=1)
    assert saved_steps(tmp_path) == [100_000_002]


def test_a_step_may_be_saved_again(tmp_path: Path):
    save(tmp_path, 3, groups(1.0), keep=2)
    save(tmp_path, 3, groups(2.0), keep=2)
    assert load_latest(tmp_path).tensors["average"]["a"].item() == 2.0


@every_break
def test_a_broken_one_is_passed_over_and_named(tmp_path: Path, harm: Break):
    for step in (1, 2, 3):
        save(tmp_path, step, groups(step), keep=3)
    harm(tmp_path / "00000003")
    before = tree(tmp_path)
    read = load_latest(tmp_path)
    assert read.step == 2
    assert read.tensors["average"]["a"].item() == 2.0
    (name,) = read.broken
    assert name.startswith(("00000003 (", "00000007 ("))
    assert tree(tmp_path) == before


@every_break
def test_if_all_are_broken_nothing_is_touched(tmp_path: Path, harm: Break):
    for step in (1, 2, 3):
        save(tmp_path, step, groups(step), keep=3)
    for step in (1, 2, 3):
        harm(tmp_path / f"{step:08d}")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"No checkpoint in .* is complete: .*Restore one") as refusal:
        load_latest(tmp_path)
    assert "\n" not in str(refusal.value)
    assert tree(tmp_path) == before


@every_break
@pytest.mark.parametrize("keep", [1, 2, 5])
def test_going_on_from_before_a_broken_one_never_costs_the_new_one(tmp_path: Path, keep: int, harm: Break):
    for step in (1, 3):
        save(tmp_path, step, groups(step), keep=2)
    harm(tmp_path / "00000003")
    save(tmp_path, 2, groups(2.0), keep=keep)
    read = load_latest(tmp_path)
    assert (read.step, read.broken) == (2, ())
    assert saved_steps(tmp_path) == ([2] if keep == 1 else [1, 2])


def test_a_half_written_one_does_not_count(tmp_path: Path):
    path = save(tmp_path, 3, groups(3.0), keep=2)
    shutil.copytree(path, tmp_path / ".00000004.partial")
    assert load_latest(tmp_path).step == 3
    save(tmp_path, 4, groups(4.0), keep=2)
    assert leftovers(tmp_path) == []
    assert load_latest(tmp_path).step == 4


def test_other_files_are_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "best").mkdir()
    for step in range(4):
        save(tmp_path, step, groups(), keep=1)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "best", "00000003"}


def test_tensors_that_share_memory_or_lie_in_strides(tmp_path: Path):
    whole = torch.arange(12.0).reshape(3, 4)
    given = {"whole": whole, "same": whole, "part": whole[1:], "turned": whole.t(), "one": whole[0, 0]}
    save(tmp_path, 1, {"group": given}, keep=1)
    assert_same_tensors(load_latest(tmp_path).tensors["group"], given)


def test_a_place_one_cannot_write_to(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match=r"^Cannot write .*00000001: Not a directory"):
        save(tmp_path / "file", 1, groups(), keep=1)
    assert (tmp_path / "file").read_text() == "mine"


def test_nothing_but_json_and_tensors(tmp_path: Path):
    path = save(tmp_path, 1, groups(), keep=1)
    assert {file.suffix for file in path.iterdir()} == {".json", ".safetensors"}
    for file in path.glob("*.safetensors"):
        content = file.read_bytes()
        size = int.from_bytes(content[:8], "little")
        assert isinstance(json.loads(content[8 : 8 + size]), dict)
    assert set(json.loads((path / "checkpoint.json").read_text())) == {"step", "sha256", "seal"}


@settings(max_examples=40)
@given(st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("checkpoints")
    path = save(folder, 1, groups(1.0), keep=1)
    file = path / data.draw(st.sampled_from(sorted(file.name for file in path.iterdir())))
    before = file.read_bytes()
    flip(file, data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(1, 255)))
    if file.suffix == ".json" and meaning(file.read_bytes()) == meaning(
        before
    ):  # another kind of white space
        assert load_latest(folder).step == 1
    else:
        with pytest.raises(InputError, match="00000001"):
            load_latest(folder)


def meaning(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None

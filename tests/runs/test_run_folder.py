"""The folder of a run: what it refuses, remembers and forgets."""

import json
import os
import signal
from pathlib import Path

import pytest
from small_runs import leftovers, run_python, tree

from wgan.core.files import write_atomically
from wgan.errors import InputError, StorageError
from wgan.runs import FORMAT, RunFolder


def rows(*steps: int) -> list[dict[str, int]]:
    return [{"step": step, "gap": 10 * step} for step in steps]


def filled(path: Path, *steps: int) -> RunFolder:
    folder = RunFolder(path)
    for row in rows(*steps):
        folder.append("metrics", row)
        folder.append("timing", row)
    return folder


def test_a_configuration_is_read_as_it_was_written(tmp_path: Path):
    folder = RunFolder(tmp_path / "deep" / "run")
    assert not folder.exists
    folder.check_free()
    assert tree(tmp_path) == {}
    folder.write_config({"seed": 3})
    assert folder.exists
    assert folder.read_config() == {"format": FORMAT, "seed": 3}
    assert leftovers(tmp_path) == []


def test_a_newer_format_is_refused(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.write_config({"format": FORMAT + 1})
    with pytest.raises(InputError, match=f"format {FORMAT + 1}, .* reads format {FORMAT}; upgrade"):
        folder.read_config()


def test_a_run_of_an_earlier_format_is_refused_with_what_to_do(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.write_config({"format": 1})
    with pytest.raises(InputError, match=r"earlier version of wgan.*train again, or use wgan 0\.1"):
        folder.read_config()


GARBAGE = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "no JSON": b"seed: 3",
    "half": b'{"format": 2, "seed"',
    "a list": b"[1]",
    "a number": b"1",
    "null": b"null",
    "no format": b"{}",
    "a format in words": b'{"format": "one"}',
    "no format at all": b'{"format": null}',
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes):
    folder = RunFolder(tmp_path)
    folder.config_file.write_bytes(content)
    with pytest.raises(InputError, match=str(tmp_path)) as refusal:
        folder.read_config()
    assert "\n" not in str(refusal.value)
    assert folder.config_file.read_bytes() == content


def test_a_folder_that_is_no_run_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"is not a run folder: it has no config\.json"):
        RunFolder(tmp_path).read_config()


def test_where_a_run_can_start(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".lock").touch()  # what a start that was killed leaves
    before = tree(tmp_path)
    for name in ("new", "empty", "hidden"):
        RunFolder(tmp_path / name).check_free()
    assert tree(tmp_path) == before


def test_where_no_run_can_start(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "letter").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"photos contains files but is not a run folder"):
        RunFolder(tmp_path / "photos").check_free()
    with pytest.raises(InputError, match=r"letter is a file"):
        RunFolder(tmp_path / "letter").check_free()
    assert tree(tmp_path) == before


def test_history_is_what_was_appended(tmp_path: Path):
    assert RunFolder(tmp_path).history() == []
    assert filled(tmp_path, 10, 20).history() == rows(10, 20)
    assert RunFolder(tmp_path).history("timing") == rows(10, 20)


TORN = [b'{"step": 30', b'{"step": 30, "gap": 3', b"{", b"\x00\x00\x00\x00", b'{"step": \xff']


@pytest.mark.parametrize("end", TORN)
def test_a_torn_last_line_is_left_out(tmp_path: Path, end: bytes):
    folder = filled(tmp_path, 10, 20)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(end)
    assert folder.history() == rows(10, 20)
    folder.rewind(20)
    folder.append("metrics", rows(30)[0])
    assert folder.history() == rows(10, 20, 30)


def test_a_last_line_without_its_end_is_whole(tmp_path: Path):
    folder = filled(tmp_path, 10, 20)
    content = (tmp_path / "metrics.jsonl").read_bytes()
    (tmp_path / "metrics.jsonl").write_bytes(content.rstrip())
    folder.rewind(20)
    assert (tmp_path / "metrics.jsonl").read_bytes() == content


def test_rewinding_forgets_what_came_later(tmp_path: Path):
    folder = filled(tmp_path, 10, 20, 30)
    folder.samples.mkdir()
    for name in ("00000000.png", "00000020.png", "00000030.png", "123456789.png", "mine.png", "00000030.txt"):
        (folder.samples / name).touch()
    (tmp_path / "notes.txt").write_text("mine")
    folder.rewind(20)
    assert folder.history() == folder.history("timing") == rows(10, 20)
    assert [path.name for path in folder.images()] == ["00000000.png", "00000020.png"]
    assert {"mine.png", "00000030.txt"} < {path.name for path in folder.samples.iterdir()}
    assert (tmp_path / "notes.txt").read_text() == "mine"
    before = tree(tmp_path)
    folder.rewind(20)
    assert tree(tmp_path) == before


def test_rewinding_an_empty_folder_is_nothing(tmp_path: Path):
    RunFolder(tmp_path).rewind(0)
    assert tree(tmp_path) == {}


def test_rewinding_removes_what_crashes_left(tmp_path: Path):
    folder = filled(tmp_path, 10)
    (folder.checkpoints / ".00000010.partial").mkdir(parents=True)
    (folder.checkpoints / ".00000010.partial" / ".checkpoint.json.12.partial").touch()
    folder.samples.mkdir()
    (folder.samples / ".00000010.png.12.partial").touch()
    (tmp_path / ".config.json.12.partial").touch()
    folder.rewind(10)
    assert leftovers(tmp_path) == []


def test_images_come_in_step_order(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.samples.mkdir()
    for name in ("100000000", "00000200", "99999999", "00000000"):
        (folder.samples / f"{name}.png").touch()
    assert [int(path.stem) for path in folder.images()] == [0, 200, 99_999_999, 100_000_000]


def test_one_at_a_time(tmp_path: Path):
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        with pytest.raises(InputError, match=r"Another process is training in .*run"), folder.locked():
            raise AssertionError
        with pytest.raises(InputError, match="Another process"), folder.locked():
            raise AssertionError
    with folder.locked():
        pass
    with pytest.raises(ZeroDivisionError), folder.locked():
        1 / 0  # noqa: B018
    with folder.locked():
        pass


@pytest.mark.slow
def test_a_dead_process_locks_nothing(tmp_path: Path):
    script = """
        import signal, sys
        from pathlib import Path
        from wgan.runs import RunFolder
        with RunFolder(Path(sys.argv[1])).locked():
            print("locked", flush=True)
            signal.pause()
    """
    with run_python(script, tmp_path) as process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(InputError, match="Another process"), RunFolder(tmp_path).locked():
            raise AssertionError
        process.send_signal(signal.SIGKILL)
        process.wait()
        with RunFolder(tmp_path).locked():
            pass


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path):
    path = tmp_path / "deep" / "file.json"
    write_atomically(path, lambda file: file.write(b"old"))
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write_atomically(path, lambda file, error=error: (file.write(b"ne"), raising(error)))
        assert path.read_bytes() == b"old"
    with pytest.raises(StorageError, match=r"^Cannot write .*file\.json: Input/output error"):
        write_atomically(path, lambda file: raising(OSError(5, os.strerror(5))))
    write_atomically(path, lambda file: file.write(b"new"))
    assert tree(tmp_path).keys() == {"deep", "deep/file.json"}
    assert path.read_bytes() == b"new"


def raising(error):
    raise error


def test_a_reader_never_sees_half_a_file(tmp_path: Path):
    path = tmp_path / "file.json"
    write_atomically(path, lambda file: file.write(b"[]"))
    script = """
        import json, sys
        from pathlib import Path
        from wgan.core.files import write_atomically

        def write(text, file):
            for start in range(0, len(text), 99):
                file.write(text[start : start + 99])

        for size in [5000, 0] * 50:
            text = json.dumps([0] * size).encode()
            write_atomically(Path(sys.argv[1]), lambda file: write(text, file))
    """
    seen = set()
    with run_python(script, path) as writer:
        while writer.poll() is None:
            seen.add(len(json.loads(path.read_text())))
    assert writer.returncode == 0
    assert seen == {0, 5000}

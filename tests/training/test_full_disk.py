"""A disk that is full, or that one may not write to, ends a run in one sentence and costs nothing."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL, Structure, byref, c_int, c_uint32, get_errno
from pathlib import Path

import pytest
from small_runs import (
    Hook,
    assert_same_run,
    generator,
    last,
    leftovers,
    no_file_larger_than,
    output_of,
    run_python,
    trainer,
    tree,
)

from wgan.errors import StorageError
from wgan.training import LoggingIntervals

LOGGING = LoggingIntervals(metrics=2, images=3, checkpoint=4)


def small_run(**changes):
    return trainer(logging=LOGGING, decay="linear", **changes)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """The run that nothing happened to."""
    return small_run().fit(tmp_path_factory.mktemp("straight") / "run", 20).path


def assert_one_sentence(error: StorageError, reason: str) -> None:
    assert str(error).startswith("Cannot write ")
    assert reason in str(error)
    assert "\n" not in str(error)


SIZES = [0, 100, 1500, 3000, 6000, 12_000]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_no_space_from_the_start(tmp_path: Path, straight: Path, size: int):
    with no_file_larger_than(size), pytest.raises(StorageError) as refusal:
        small_run().fit(tmp_path / "run", 20)
    assert_one_sentence(refusal.value, "File too large")
    assert leftovers(tmp_path) == []
    small_run().fit(tmp_path / "run", 20)
    assert_same_run(tmp_path / "run", straight)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [3, 12])
def test_space_runs_out_on_the_way(tmp_path: Path, straight: Path, step: int, size: int):
    def fill(now: int) -> None:
        if now == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    monitor = Hook(fill)
    with no_file_larger_than(1 << 30), pytest.raises(StorageError) as refusal:
        small_run(monitors=[monitor]).fit(tmp_path / "run", 20)
    assert_one_sentence(refusal.value, "File too large")
    assert monitor.outcomes == ["failed"]
    assert leftovers(tmp_path) == []
    assert last(tmp_path / "run").step >= step // 4 * 4 - 4
    before = tree(tmp_path / "run" / "checkpoints")
    with no_file_larger_than(0), pytest.raises(StorageError):  # still full
        small_run().fit(tmp_path / "run", 20)
    assert tree(tmp_path / "run" / "checkpoints") == before
    small_run().fit(tmp_path / "run", 20)
    assert_same_run(tmp_path / "run", straight)


@pytest.mark.slow
def test_a_device_that_is_always_full(tmp_path: Path, straight: Path):
    metrics = tmp_path / "run" / "metrics.jsonl"

    def redirect(step: int) -> None:
        if step == 0:
            metrics.symlink_to("/dev/full")

    with pytest.raises(StorageError) as refusal:
        small_run(monitors=[Hook(redirect)]).fit(tmp_path / "run", 20)
    assert_one_sentence(refusal.value, "No space left on device")
    assert last(tmp_path / "run").step == 0
    metrics.unlink()
    small_run().fit(tmp_path / "run", 20)
    assert_same_run(tmp_path / "run", straight)


# File systems that are really full, in a name space of their own, where even an ordinary user may mount one.
# Where the system forbids that (some containers do), the limit on a file's size stands in for them.
FULL_DISK = """
    import shutil, subprocess, sys
    from pathlib import Path
    from resource import RLIMIT_FSIZE, getrlimit, setrlimit
    import small_runs
    from wgan.errors import StorageError
    from wgan.training import LoggingIntervals

    disk, out = Path(sys.argv[1]), Path(sys.argv[2])
    unlimited = getrlimit(RLIMIT_FSIZE)

    def run():
        logging = LoggingIntervals(metrics=2, images=3, checkpoint=4)
        small_runs.trainer(logging=logging, decay="linear").fit(disk / "run", 20)

    for size in sys.argv[3:]:
        options = ["-t", "tmpfs", "-o", f"size={size}k", "tmpfs"]
        mounted = subprocess.call(["mount", *options, disk], stderr=subprocess.DEVNULL) == 0
        if not mounted:
            setrlimit(RLIMIT_FSIZE, (50 * int(size), unlimited[1]))
        for attempt in range(2):
            try:
                run()
            except StorageError as error:
                left = [path.name for path in small_runs.leftovers(disk)]
                print(mounted, left, error, sep="|", flush=True)
            else:
                raise AssertionError("it did fit")
        if mounted:
            subprocess.check_call(["mount", "-o", "remount,size=64m", disk])
        setrlimit(RLIMIT_FSIZE, unlimited)
        run()
        shutil.copytree(disk / "run", out / size)
        if mounted:
            subprocess.check_call(["umount", disk])
        else:
            shutil.rmtree(disk / "run")
"""


@pytest.mark.slow
def test_file_systems_without_space(tmp_path: Path, straight: Path):
    (tmp_path / "disk").mkdir()
    inside = ("unshare", "--mount", "--map-root-user")
    allowed = os.system(f"{' '.join(inside)} true 2>/dev/null") == 0
    sizes = [8, 90, 180]
    process = run_python(
        FULL_DISK, tmp_path / "disk", tmp_path / "out", *sizes, command=inside if allowed else ()
    )
    lines = output_of(process).splitlines()
    assert len(lines) == 2 * len(sizes)
    for line in lines:
        mounted, left, sentence = line.split("|")
        assert left == "[]"
        reason = "No space left on device" if mounted == "True" else "File too large"
        assert_one_sentence(StorageError(sentence), reason)
    for size in sizes:
        assert_same_run(tmp_path / "out" / str(size), straight)


class Header(Structure):
    _fields_ = (("version", c_uint32), ("pid", c_int))


class Powers(Structure):
    _fields_ = (("effective", c_uint32), ("permitted", c_uint32), ("inheritable", c_uint32))


@contextmanager
def without_powers() -> Iterator[None]:
    """As an ordinary user: even root is held to the permissions of files while it lays its powers down."""
    system, header, powers = CDLL(None, use_errno=True), Header(0x20080522, 0), (Powers * 2)()
    assert system.capget(byref(header), powers) == 0, os.strerror(get_errno())
    none = (Powers * 2)(*(Powers(0, power.permitted, power.inheritable) for power in powers))
    assert system.capset(byref(header), none) == 0, os.strerror(get_errno())
    try:
        yield
    finally:
        assert system.capset(byref(header), powers) == 0, os.strerror(get_errno())


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write to the folder or to anything under it."""
    paths = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    try:
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        with without_powers():
            yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


def test_a_new_run_where_one_may_not_write(tmp_path: Path):
    with read_only(tmp_path), pytest.raises(StorageError) as refusal:
        small_run().fit(tmp_path / "deep" / "run", 20)
    assert_one_sentence(refusal.value, "Permission denied")
    assert tree(tmp_path) == {}


def test_an_empty_folder_one_may_not_write_to(tmp_path: Path):
    (tmp_path / "run").mkdir()
    with read_only(tmp_path), pytest.raises(StorageError) as refusal:
        small_run().fit(tmp_path / "run", 20)
    assert_one_sentence(refusal.value, "Permission denied")
    assert tree(tmp_path) == {"run": "folder"}


def test_a_folder_one_may_not_look_into(tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0)
    try:
        with without_powers(), pytest.raises(StorageError) as refusal:
            small_run().fit(tmp_path / "closed" / "run", 20)
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert_one_sentence(refusal.value, "Permission denied")


def test_a_run_that_became_read_only(tmp_path: Path, straight: Path):
    with pytest.raises(StorageError), no_file_larger_than(1 << 30):
        small_run(monitors=[Hook(filling_at(9))]).fit(tmp_path / "run", 20)
    before = tree(tmp_path)
    with read_only(tmp_path), pytest.raises(StorageError) as refusal:
        small_run().fit(tmp_path / "run", 20)
    assert_one_sentence(refusal.value, "Permission denied")
    assert tree(tmp_path) == before
    small_run().fit(tmp_path / "run", 20)
    assert_same_run(tmp_path / "run", straight)


def filling_at(step: int):
    def fill(now: int) -> None:
        if now == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    return fill


@pytest.mark.parametrize("parent", ["/proc", "/proc/self/status", "/dev/null", sys.executable])
def test_places_where_no_folder_can_be(parent: str):
    with pytest.raises(StorageError) as refusal:
        small_run().fit(Path(parent) / "wgan-run", 20)
    assert_one_sentence(refusal.value, str(Path(parent) / "wgan-run"))


def test_a_name_that_is_too_long(tmp_path: Path):
    with pytest.raises(StorageError) as refusal:
        small_run(generator=generator()).fit(tmp_path / ("x" * 300), 20)
    assert_one_sentence(refusal.value, "File name too long")
    assert tree(tmp_path) == {}

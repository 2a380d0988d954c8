"""Several processes are the run that one is, and say what is wrong; real processes, by torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from distributed_step import CASES, main
from hypothesis import given
from hypothesis import strategies as st
from small_runs import assert_same_tensors, last

from wgan.core.randomness import RankGenerator, local_rows
from wgan.runs import RunFolder, load_latest
from wgan.training.distributed import fingerprint

HERE = Path(__file__).parents[1]
LOGGING = ["--logging.metrics", "10", "--logging.checkpoint", "10"]
ALONE = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}


def torchrun(processes, *arguments, **options):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    # A port that is free, so that two tests on one machine do not meet.
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", *map(str, arguments)]
    settings = {"env": ALONE | {"OMP_NUM_THREADS": "1"}, "cwd": HERE, "text": True, **options}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **settings)


def finished(process):
    told, _ = process.communicate(timeout=240)
    return process.returncode, told


def train(out, steps, *more):
    return ["-m", "wgan", "train", "digits", "--steps", steps, "--out", out, *LOGGING, *more]


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_shard_has_its_rows_of_what_one_process_draws(rank):
    def drawn(rng):
        return [local_rows(lambda n: torch.rand(n, 3, generator=rng), 4, rng) for _ in range(2)]

    cpu = torch.device("cpu")
    own = drawn(RankGenerator(cpu, rank=rank, size=3).manual_seed(5))
    rng = torch.Generator().manual_seed(5)
    whole = [torch.rand(12, 3, generator=rng) for _ in range(2)]
    for part, all_of_it in zip(own, whole, strict=True):
        assert torch.equal(part, all_of_it[4 * rank : 4 * rank + 4])


@pytest.mark.slow
@pytest.mark.parametrize(("case", "processes"), [*((case, 2) for case in CASES), ("penalty", 4)])
def test_any_number_of_processes_takes_the_same_steps(tmp_path, case, processes):
    """Penalty by double backward, lazy or not, power iterations, labels and batch norms of both networks."""
    main(str(tmp_path / "one.pt"), case)
    code, told = finished(torchrun(processes, HERE / "distributed_step.py", tmp_path / "more.pt", case))
    assert code == 0, told
    # One that lets go of a tensor while the interpreter ends would abort the process, now and then.
    assert told.count("threads left: 0") == processes, told
    one, more = (torch.load(tmp_path / f"{name}.pt") for name in ("one", "more"))
    for alone, shared in zip(one, more, strict=True):
        assert torch.allclose(alone, shared, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same short run: by one process, by two, and begun by two and ended by one."""
    folder = tmp_path_factory.mktemp("runs")
    one = subprocess.run(
        [sys.executable, *map(str, train(folder / "one", 40))], env=ALONE, capture_output=True, text=True
    )
    assert one.returncode == 0, one.stderr
    code, told = finished(torchrun(2, *train(folder / "two", 40)))
    assert code == 0, told
    return folder, told


@pytest.mark.slow
def test_a_run_of_two_processes_is_that_of_one(runs):
    folder, told = runs
    assert told.count("Done:") == 1  # one of them speaks
    one, two = (RunFolder(folder / name).history() for name in ("one", "two"))
    assert [row["step"] for row in two] == [10, 20, 30, 40]
    for alone, shared in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        # Sums in another order round otherwise in float32, and the game magnifies that with every step.
        near = 1e-3 if alone["step"] == 10 else 0.05
        for name in ("gap", "gap_held_out", "critic_loss", "generator_gradient"):
            assert shared[name] == pytest.approx(alone[name], rel=near, abs=near)


@pytest.mark.slow
def test_two_processes_in_bfloat16_are_one_but_for_its_rounding(tmp_path):
    more = ["--precision", "bfloat16"]
    command = [sys.executable, *map(str, train(tmp_path / "one", 10, *more))]
    assert subprocess.run(command, env=ALONE, capture_output=True, check=False).returncode == 0
    code, told = finished(torchrun(2, *train(tmp_path / "two", 10, *more)))
    assert code == 0, told
    (one,), (two,) = (RunFolder(tmp_path / name).history() for name in ("one", "two"))
    for name in ("gap", "critic_loss"):
        assert two[name] == pytest.approx(one[name], rel=0.05, abs=0.05)
    one, two = (last(tmp_path / name).tensors["generator"] for name in ("one", "two"))
    remembered = [name for name in one if name.endswith(("running_mean", "running_var"))]
    assert remembered
    for name in remembered:
        assert torch.allclose(one[name], two[name], rtol=0.1, atol=0.02), name


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    process = torchrun(2, *train(tmp_path / "run", 4000))
    wait_for(tmp_path / "run", 20)
    process.send_signal(signal.SIGTERM)
    code, told = finished(process)
    assert code != 0
    done = load_latest(RunFolder(tmp_path / "run").checkpoints).step
    assert 0 < done < 4000, told
    again = subprocess.Popen([sys.executable, *map(str, train(tmp_path / "run", 4000))], env=ALONE)
    wait_for(tmp_path / "run", done + 20)
    again.send_signal(signal.SIGTERM)
    assert again.wait(60) == 143
    assert load_latest(RunFolder(tmp_path / "run").checkpoints).step > done


def wait_for(folder, step):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        written = folder / "metrics.jsonl"
        lines = written.read_text().splitlines() if written.exists() else []
        if lines and json.loads(lines[-1])["step"] >= step:
            return
        time.sleep(0.1)
    raise AssertionError(f"{folder} did not reach step {step}")


@pytest.mark.slow
def test_where_one_process_is_asked_to_end_all_do_and_go_on_as_if_nothing_had_been(tmp_path):
    code, told = finished(torchrun(2, HERE / "distributed_ending.py", tmp_path))
    assert code == 0, told
    assert told.count("ended with 143") == 2
    assert told.count("told of another order") == 2
    assert told.count("threads left: 0") == 2
    stopped, straight = (last(tmp_path / name).tensors for name in ("stopped", "straight"))
    for group, tensors in straight.items():
        assert_same_tensors(stopped[group], tensors, group)
    # The mean of a block that was cut in two is that of all processes, but for float32.
    one, other = (RunFolder(tmp_path / name).history()[-1] for name in ("stopped", "straight"))
    assert one == pytest.approx(other, rel=1e-6)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=9, unique=True),
    st.randoms(),
)
def test_a_fingerprint_knows_every_value_and_its_place(values, random):
    tensor = torch.tensor(values)
    here, there = random.sample(range(len(values)), 2)
    exchanged, moved = tensor.clone(), tensor.double()
    exchanged[[here, there]] = tensor[[there, here]]
    moved[here] = moved[here].nextafter(torch.tensor(1e39, dtype=torch.float64))
    assert fingerprint(exchanged) != fingerprint(tensor) == fingerprint(tensor.clone())
    assert fingerprint(moved) != fingerprint(tensor.double())
    assert fingerprint(torch.stack([tensor, exchanged]).T) == fingerprint(
        torch.stack([tensor, exchanged], 1).contiguous()
    )


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.complex64])
def test_a_fingerprint_is_of_any_type(kind):
    tensor = torch.tensor([[0, 1], [1, 1]]).to(kind)
    assert fingerprint(tensor) != fingerprint(tensor.flip(0))
    assert fingerprint(tensor[:0]) == 0


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_with_a_sentence(tmp_path):
    process = torchrun(2, *train(tmp_path / "run", 100_000), start_new_session=True)
    wait_for(tmp_path / "run", 20)
    ranks = [int(pid) for pid in children(process.pid)]
    os.kill(max(ranks), signal.SIGKILL)
    code, told = finished(process)
    assert code != 0
    assert "Another of the run's 2 processes is gone" in told
    assert "src/wgan" not in told  # the trace is torchrun's own
    assert load_latest(RunFolder(tmp_path / "run").checkpoints).step >= 10


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--batch-size", "63"], "cannot be shared by 2 processes"),
        (["constraint:max-gradient-penalty"], "looks at a batch as a whole"),
        (["--heal"], "--heal treats a run of one process"),
    ],
)
def test_what_processes_cannot_share_is_refused_by_one_of_them(tmp_path, more, told):
    code, said = finished(torchrun(2, *train(tmp_path / "run", 5, *more)))
    assert code != 0
    assert said.count(told) == 1
    assert not RunFolder(tmp_path / "run").exists

"""Asked to stop, a run stops between two steps, with a checkpoint, and hands the signals back."""

import signal
import threading
import time
from pathlib import Path

import pytest
from small_runs import Hook, assert_same_run, last, run_python, trainer

from wgan.errors import DivergenceError, InputError
from wgan.training import LoggingIntervals, RMSprop

OFTEN = LoggingIntervals(metrics=10, images=5, checkpoint=1000)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def sending(*numbers: signal.Signals, at: int = 15) -> Hook:
    def act(step: int) -> None:
        if step == at:
            for number in numbers:
                signal.raise_signal(number)

    return Hook(act)


def test_sigint_ends_with_a_checkpoint_at_the_step_in_hand(tmp_path: Path):
    before, monitor = handlers(), sending(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer(logging=OFTEN, monitors=[monitor]).fit(tmp_path, 30)
    assert last(tmp_path).step == 15
    assert monitor.outcomes == ["interrupted"]
    assert handlers() == before


def test_sigterm_ends_with_a_checkpoint_and_code_143(tmp_path: Path):
    before, monitor = handlers(), sending(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        trainer(logging=OFTEN, monitors=[monitor]).fit(tmp_path, 30)
    assert end.value.code == 143
    assert last(tmp_path).step == 15
    assert monitor.outcomes == ["interrupted"]
    assert handlers() == before


@pytest.mark.slow
def test_a_second_sigint_interrupts_at_once(tmp_path: Path):
    before, monitor = handlers(), sending(signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer(logging=OFTEN, monitors=[monitor]).fit(tmp_path / "run", 30)
    assert last(tmp_path / "run").step == 0
    assert monitor.outcomes == ["interrupted"]
    assert handlers() == before
    trainer(logging=OFTEN).fit(tmp_path / "run", 30)
    trainer(logging=OFTEN).fit(tmp_path / "straight", 30)
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_a_signal_before_the_first_step_leaves_a_run_to_go_on_with(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        trainer(logging=OFTEN, monitors=[sending(signal.SIGINT, at=0)]).fit(tmp_path, 10)
    assert last(tmp_path).step == 0


def test_a_signal_in_the_last_step_changes_nothing(tmp_path: Path):
    monitor = sending(signal.SIGINT, at=15)
    trainer(logging=OFTEN, monitors=[monitor]).fit(tmp_path, 15)
    assert last(tmp_path).step == 15
    assert monitor.outcomes == ["finished"]


def test_handlers_of_the_users_own_come_back_whatever_happens(tmp_path: Path):
    def mine(number, frame):
        raise AssertionError

    before = {number: signal.signal(number, mine) for number in SIGNALS}
    try:
        trainer().fit(tmp_path / "finished", 3)
        assert handlers() == [mine, mine]
        with pytest.raises(InputError):
            trainer().fit(tmp_path / "refused", 0)
        assert handlers() == [mine, mine]
        wild = RMSprop(1e30)
        with pytest.raises(DivergenceError):
            trainer(generator_optimiser=wild, critic_optimiser=wild).fit(tmp_path / "diverged", 20)
        assert handlers() == [mine, mine]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_outside_the_main_thread_a_run_leaves_signals_alone(tmp_path: Path):
    seen = []
    watched = trainer(monitors=[Hook(lambda step: seen.append(handlers()))])
    thread = threading.Thread(target=watched.fit, args=(tmp_path, 5))
    before = handlers()
    thread.start()
    thread.join()
    assert last(tmp_path).step == 5
    assert seen == [before] * len(seen)
    assert seen


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_another_process_may_send_it(tmp_path: Path, number: signal.Signals, code: int):
    script = """
        import sys
        import small_runs
        small_runs.trainer().fit(sys.argv[1], 1_000_000)
    """
    process = run_python(script, tmp_path / "run")
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    _, complaints = process.communicate()
    # `import torch._dynamo; raise KeyboardInterrupt` alone may end with 1, and torch's optimisers import it.
    forgotten = number == signal.SIGINT and process.returncode == 1 and "KeyboardInterrupt" in complaints
    assert process.returncode == code or forgotten, complaints
    assert last(tmp_path / "run").step >= 10

"""An interrupted run that goes on is the run that was not interrupted, bit for bit."""

import signal
from pathlib import Path

import pytest
from small_runs import (
    BOTH_ADAM,
    BOTH_RMSPROP,
    Hook,
    assert_same_run,
    critic,
    last,
    output_of,
    run_python,
    trainer,
    tree,
)
from torch import nn

from wgan.lipschitz import Chain, WeightClipping
from wgan.training import Adam, LoggingIntervals, RMSprop

STEPS = 60
CASES = {
    "adam": BOTH_ADAM,
    "rmsprop": BOTH_RMSPROP,
    "mixed, clipped": {
        "generator_optimiser": Adam(1e-3, (0.9, 0.999)),
        "critic_optimiser": RMSprop(1e-3),
        "constraint": WeightClipping(0.05),
    },
    "relativistic, unconstrained": {"loss": "relativistic", "constraint": Chain(), "n_critic": 1},
}
every_case = pytest.mark.parametrize("settings", CASES.values(), ids=CASES)


@pytest.mark.slow
@every_case
def test_a_longer_run_equals_a_shorter_one_gone_on_with(tmp_path: Path, settings):
    trainer(**settings).fit(tmp_path / "straight", STEPS)
    trainer(**settings).fit(tmp_path / "resumed", 25)
    assert last(tmp_path / "resumed").tensors["window"].keys() >= {"penalty.sum", "penalty.count"}
    trainer(**settings).fit(tmp_path / "resumed", STEPS)
    assert_same_run(tmp_path / "resumed", tmp_path / "straight", images=False)


@pytest.mark.slow
@every_case
@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_a_run_interrupted_while_its_rates_decay(tmp_path: Path, settings, decay: str):
    settings = settings | {
        "decay": decay,
        "logging": LoggingIntervals(metrics=10, images=25, checkpoint=1000),
    }
    trainer(**settings).fit(tmp_path / "straight", STEPS)
    interrupt = Hook(lambda step: signal.raise_signal(signal.SIGINT) if step == 25 else None)
    with pytest.raises(KeyboardInterrupt):
        trainer(**settings, monitors=[interrupt]).fit(tmp_path / "resumed", STEPS)
    assert last(tmp_path / "resumed").step == 25
    trainer(**settings).fit(tmp_path / "resumed", STEPS)
    assert_same_run(tmp_path / "resumed", tmp_path / "straight")


@pytest.mark.slow
def test_the_same_trainer_may_go_on(tmp_path: Path):
    trainer().fit(tmp_path / "straight", 30)
    same = trainer()
    same.fit(tmp_path / "resumed", 10)
    same.fit(tmp_path / "resumed", 30)
    assert_same_run(tmp_path / "resumed", tmp_path / "straight", images=False)


@pytest.mark.slow
def test_being_interrupted_at_every_step(tmp_path: Path):
    logging = LoggingIntervals(metrics=3, images=1, checkpoint=4)
    trainer(logging=logging, decay="linear").fit(tmp_path / "straight", 12)
    for _ in range(12):
        monitor = Hook(lambda step: signal.raise_signal(signal.SIGINT) if 0 < step < 12 else None)
        try:
            trainer(logging=logging, decay="linear", monitors=[monitor]).fit(tmp_path / "resumed", 12)
        except KeyboardInterrupt:
            assert monitor.outcomes == ["interrupted"]
    assert monitor.outcomes == ["finished"]
    assert_same_run(tmp_path / "resumed", tmp_path / "straight")


def test_a_finished_run_asked_for_again_stays_as_it_is(tmp_path: Path):
    trainer().fit(tmp_path, 20)
    before = tree(tmp_path)
    trainer().fit(tmp_path, 20)
    trainer().fit(tmp_path, 7)
    assert tree(tmp_path) == before


@pytest.mark.slow
def test_a_checkpoint_from_elsewhere_in_the_run_leads_to_the_same_end(tmp_path: Path):
    """A history that is ahead of the last checkpoint, as a crash leaves it, is written again."""
    logging = LoggingIntervals(metrics=5, images=10, checkpoint=10, keep=9)
    trainer(logging=logging).fit(tmp_path / "straight", 40)
    trainer(logging=logging).fit(tmp_path / "resumed", 40)
    for step in (20, 30, 40):
        (tmp_path / "resumed" / "checkpoints" / f"{step:08d}").rename(tmp_path / f"{step}")
    trainer(logging=logging).fit(tmp_path / "resumed", 40)
    assert_same_run(tmp_path / "resumed", tmp_path / "straight")


# Starts runs in processes of their own and kills each after a random time: one third in their start, one
# third anywhere after some steps, one third when next they write a checkpoint.
KILLING = """
    import os, random, signal, sys, time
    from pathlib import Path
    import small_runs
    import torch._dynamo  # which every process would load anew with its first step
    from wgan.runs import saved_steps
    from wgan.training import LoggingIntervals

    straight, resumed, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

    def start(folder):
        process = os.fork()
        if process == 0:
            logging = LoggingIntervals(metrics=4, images=7, checkpoint=1)
            small_runs.trainer(logging=logging, decay="cosine").fit(folder, steps)
            os._exit(0)
        return process

    def wait(process, condition):
        while not condition():
            assert os.waitpid(process, os.WNOHANG)[0] == 0, "the run was over too soon"
            time.sleep(0.0005)

    def last():
        return max(saved_steps(resumed / "checkpoints"), default=-1)

    def writing():
        return bool(list(resumed.glob("checkpoints/.*.partial")))

    assert os.waitpid(start(straight), 0)[1] == 0
    rng = random.Random(0)
    for kill in range(9):
        before = last()
        process = start(resumed)
        if kill % 3 == 0:
            time.sleep(rng.uniform(0, 0.05))
        else:
            reached = before + rng.randint(1, 3)
            wait(process, lambda: last() >= reached)
            begin = time.monotonic()
            wait(process, lambda: last() > reached)
            time.sleep(rng.uniform(0, time.monotonic() - begin))
        if kill % 3 == 2:
            wait(process, writing)
        os.kill(process, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(process, 0)[1])
        print(last(), writing(), flush=True)
    assert os.waitpid(start(resumed), 0)[1] == 0
"""


@pytest.mark.slow
def test_a_run_killed_at_random_moments(tmp_path: Path):
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    found = output_of(run_python(KILLING, straight, resumed, 40)).splitlines()
    assert found[0].startswith("-1"), "none before the first checkpoint"
    assert len({line.split()[0] for line in found}) > 4, "few in the midst of the run"
    assert any(line.endswith("True") for line in found), "none while a checkpoint was being written"
    assert_same_run(resumed, straight)


class Mean(nn.Module):
    """The mean of each sample."""

    def forward(self, samples):
        return samples.mean(1)


def test_weights_that_are_tied_survive(tmp_path: Path):
    def tied():
        made = critic(width=64)
        made[4] = made[1]  # the same layer twice, then a mean
        made.append(Mean())
        return made

    settings = {"critic": None, "constraint": Chain()}
    trainer(**settings | {"critic": tied()}).fit(tmp_path / "straight", 20)
    trainer(**settings | {"critic": tied()}).fit(tmp_path / "resumed", 5)
    trainer(**settings | {"critic": tied()}).fit(tmp_path / "resumed", 20)
    assert_same_run(tmp_path / "resumed", tmp_path / "straight", images=False)

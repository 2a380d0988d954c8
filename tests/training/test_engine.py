"""Every engine is the eager one but for rounding, or is not used, which one sentence says."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from small_runs import DIGITS, Hook, assert_same_run, assert_same_tensors, trainer
from torch import nn

from wgan.errors import InputError
from wgan.lipschitz import Chain, GradientPenalty
from wgan.networks import DCGANCritic, DCGANGenerator, MLPCritic
from wgan.training import Augment, LoggingIntervals, RMSprop, engine
from wgan.training.engine import ENGINES, Plan, Replays, equip, relative_difference
from wgan.training.state import State


def called_again(work: Callable[[], list]) -> Callable[[], list]:
    """A capture as far as a CPU can do it: what is returned is always in the same place."""
    for _ in range(3):
        work()
    written = work()

    def replay() -> list:
        for kept, numbers in zip(written, work(), strict=True):
            for name, number in numbers.items():
                kept[name].copy_(number)
        return written

    return replay


def by_replays(state: State, step: engine.Step, capture: engine.Capture = called_again) -> None:
    state.step_fn = Replays(step, capture)


@pytest.fixture
def replaying(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the graph engine but CUDA's own part of it."""
    monkeypatch.setitem(ENGINES, "graph", by_replays)
    monkeypatch.setattr(engine, "_hindrance", lambda *_: None)


def augmented() -> dict[str, object]:
    torch.manual_seed(0)
    return {
        "generator": DCGANGenerator(DIGITS.shape, latent_dim=4, width=4),
        "critic": DCGANCritic(DIGITS.shape, width=4),
        "constraint": GradientPenalty(),
        "augment": Augment(target=0.5, span=1000),
    }


CASES = {
    "lazy penalties": dict,
    "moments of another kind": lambda: {"critic_optimiser": RMSprop(1e-3), "penalty_every": 3},
    "a warm-up, a decay": lambda: {"warm_up": True, "decay": "linear"},
    "an augmentation that adapts": augmented,
    "bfloat16": lambda: {"precision": "bfloat16"},
    "a paired loss": lambda: {"loss": "relativistic", "constraint": Chain()},
}


@pytest.mark.slow
@pytest.mark.usefixtures("replaying")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_replayed_run_is_the_eager_one_and_goes_on(tmp_path: Path, monkeypatch, case):
    monkeypatch.setattr("wgan.training.trainer.WARM_UP_STEPS", 2)
    shared = {"logging": LoggingIntervals(metrics=6, images=5, checkpoint=1000)}
    interrupt = Hook(lambda step: signal.raise_signal(signal.SIGINT) if step == 5 else None)
    trainer(**case(), **shared, engine="eager").fit(tmp_path / "eager", 14)
    trainer(**case(), **shared, engine="graph").fit(tmp_path / "graph", 14)
    with pytest.raises(KeyboardInterrupt):
        trainer(**case(), **shared, engine="graph", monitors=[interrupt]).fit(tmp_path / "resumed", 14)
    trainer(**case(), **shared, engine="graph").fit(tmp_path / "resumed", 14)
    assert_same_run(tmp_path / "graph", tmp_path / "eager")
    assert_same_run(tmp_path / "resumed", tmp_path / "eager")


def test_learning_a_step_leaves_no_trace():
    made = trainer()
    state = made.state()
    made.advance(state, 100)
    before = {name: {k: v.clone() for k, v in group.items()} for name, group in state.groups().items()}
    drawn = torch.get_rng_state()
    Replays(made._step, called_again)._captured(state, Plan((2, 0), False), torch.default_generator)
    assert torch.equal(torch.get_rng_state(), drawn)
    for name, group in state.groups().items():
        assert_same_tensors(group, before[name], name)


@pytest.mark.parametrize("failing", [2, 3])
def test_steps_that_cannot_be_captured_later_are_eager(tmp_path: Path, monkeypatch, failing: int):
    """The first capture is the rehearsal's; then come those of steps without a penalty, and with one."""
    made: list[None] = []

    def short_of_memory(work: Callable[[], list]) -> Callable[[], list]:
        made.append(None)
        if len(made) == failing:
            work()  # what it did is undone
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return called_again(work)

    monkeypatch.setitem(ENGINES, "compile", partial(by_replays, capture=short_of_memory))
    settings = {"constraint": GradientPenalty(10.0), "penalty_every": 2, "n_critic": 1}
    with pytest.warns(UserWarning, match="another kind stay eager: .* OutOfMemoryError: CUDA out of"):
        trainer(**settings, engine="compile").fit(tmp_path / "short", 12)
    assert len(made) == failing
    trainer(**settings, engine="eager").fit(tmp_path / "eager", 12)
    assert_same_run(tmp_path / "short", tmp_path / "eager", images=False)


def test_what_a_step_touches_is_all_that_changes():
    made = trainer(**augmented())
    state = made.state()
    made.advance(state, 100)
    kept = [tensor.clone() for tensor in engine.touched(state)]
    before = {name: {k: v.clone() for k, v in group.items()} for name, group in state.groups().items()}
    made._step(state, Plan((1,), True), made._world.rng(7))
    for tensor, value in zip(engine.touched(state), kept, strict=True):
        tensor.copy_(value)
    for name, group in state.groups().items():
        assert_same_tensors(group, before[name], name)


def test_a_graph_needs_a_gpu(tmp_path: Path):
    with pytest.warns(UserWarning, match="Training eagerly: the engine 'graph' needs a GPU"):
        trainer(engine="graph").fit(tmp_path / "graph", 10)
    trainer(engine="eager").fit(tmp_path / "eager", 10)
    assert_same_run(tmp_path / "graph", tmp_path / "eager", images=False)


IN_FILES = {"n_critic": 5, "resident": False}
LONG = {"n_critic": 33, "resident": True}


@pytest.mark.parametrize(
    ("settings", "given", "reason"),
    [
        ("graph", IN_FILES, "needs data that fit into memory"),
        ("graph", LONG, "captures at most 32 critic steps"),
        ("auto", IN_FILES, None),
        ("auto", LONG, None),
    ],
)
def test_what_cannot_be_captured_is_told_to_those_who_asked(monkeypatch, recwarn, settings, given, reason):
    """Nobody asked for a graph by ``auto``, so that it is not worth a line that there is none."""
    monkeypatch.setattr(engine, "_device", lambda _: torch.device("cuda"))
    made = trainer()
    state = made.state()
    equip(state, settings, made._step, made._verify_against_eager, **given)
    assert state.step_fn is None
    assert [str(one.message) for one in recwarn] == (
        [f"Training eagerly: the engine 'graph' {reason}."] if reason else []
    )


def wrong(state: State, step: engine.Step) -> None:
    """An engine that forgets the penalty."""
    state.step_fn = lambda trial, plan, rng: step(trial, Plan((0,) * len(plan.penalties), False), rng)


def broken(state: State, step: engine.Step) -> None:
    """An engine that does not work here."""

    def fail(*_):
        raise RuntimeError("no compiler\nand more")

    state.step_fn = fail


def lost(state: State, step: engine.Step) -> None:
    """An engine that makes weights that are no numbers."""

    def lose(trial, plan, rng):
        found = step(trial, plan, rng)
        with torch.no_grad():
            next(trial.critic.parameters()).fill_(float("nan"))
        return found

    state.step_fn = lose


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (wrong, r"changes the critic by .*% differently .* more than 2%"),
        (broken, "fails here: RuntimeError: no compiler\\."),
        (lost, "changes the critic by nan% differently"),
    ],
)
def test_an_engine_that_is_not_the_same_is_not_used(tmp_path: Path, monkeypatch, other, reason):
    monkeypatch.setitem(ENGINES, "compile", other)
    watched = Hook()
    settings = {"constraint": GradientPenalty(10.0), "monitors": [watched]}
    with pytest.warns(UserWarning, match="Training eagerly: the engine 'compile' " + reason):
        trainer(**settings, engine="compile").fit(tmp_path / "compile", 12)
    trainer(**settings, engine="eager").fit(tmp_path / "eager", 12)
    assert_same_run(tmp_path / "compile", tmp_path / "eager", images=False)


def test_networks_that_cannot_be_copied_are_trained_eagerly(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(ENGINES, "compile", by_replays)
    made = trainer(engine="compile")
    made.critic.computed = torch.ones(1, requires_grad=True) * 2  # as torch's older weight_norm leaves it
    with pytest.warns(UserWarning, match="'compile' fails here: RuntimeError: Only Tensors created explicit"):
        made.fit(tmp_path / "run", 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own, of which it has some
def test_a_run_of_compiled_objectives_goes_on(tmp_path: Path, monkeypatch):
    """As graphs of forward and backward passes, without the minute that a compiler takes for machine code."""
    traced = []

    def compiled(objective):
        traced.append(objective.__name__)
        return compile_(objective, backend="aot_eager")

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", compiled)
    torch._dynamo.reset()
    settings = {"constraint": GradientPenalty(1.0), "critic": None, "penalty_every": 1}
    for name, steps in (("straight", (10,)), ("resumed", (3, 10))):
        for end in steps:
            torch.manual_seed(0)
            settings["critic"] = MLPCritic(DIGITS.shape, hidden=(8,))
            trainer(**settings, engine="compile").fit(tmp_path / name, end)
    # In each of three calls for the rehearsal and, as it agreed, for the run.
    assert traced == ["critic_terms", "generator_terms"] * 6
    assert_same_run(tmp_path / "resumed", tmp_path / "straight", images=False)


def test_networks_apart():
    one, two = (nn.Linear(1, 1, bias=False) for _ in range(2))
    start = nn.Linear(1, 1, bias=False)
    for network, value in ((start, 1.0), (one, 3.0), (two, 4.0)):
        nn.init.constant_(network.weight, value)
    assert relative_difference(start, one, two) == pytest.approx(0.5)
    assert relative_difference(start, one, one) == 0
    assert relative_difference(start, start, start) == 0
    assert relative_difference(start, start, one) == float("inf")


def test_an_engine_that_does_not_exist():
    with pytest.raises(InputError, match="There is no engine 'grahp'; did you mean 'graph'"):
        trainer(engine="grahp")

"""Settings that cannot work are refused in a sentence, before anything is made or touched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import DIGITS, critic, generator, trainer, tree
from torch import nn

from wgan.core.randomness import isolated_global_rng, seed_global_rng
from wgan.errors import InputError
from wgan.lipschitz import DRAGAN, R1, Chain, GradientPenalty, SpectralNormalisation
from wgan.networks import MLPCritic, MLPGenerator
from wgan.training import Adam, LoggingIntervals, RMSprop

nan, inf = float("nan"), float("inf")


class Asking(nn.Module):
    """A generator that wants labels, too."""

    latent_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 64)

    def forward(self, latents, labels):
        return self.layer(latents).reshape(-1, 1, 8, 8)


class Failing(Asking):
    """A generator that fails in its own way."""

    def forward(self, latents):
        raise KeyError


class Weightless(nn.Module):
    """A critic without a dense or convolutional layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, samples):
        return self.scale * samples.mean((1, 2, 3))


def bare() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8)))


def frozen(network: nn.Module) -> nn.Module:
    return network.requires_grad_(False)


WHOLE = [0, -1, 1.5, 2.0, "2", None, True, nan]
SETTINGS: list[tuple[str, dict[str, Any], str]] = [
    *(("n_critic", {"n_critic": value}, "n_critic must be a whole number of at least 1") for value in WHOLE),
    *(("penalty_every", {"penalty_every": value}, "penalty_every must be a whole") for value in WHOLE),
    *(("batch_size", {"batch_size": value}, "at least 2") for value in [*WHOLE, 1]),
    *(
        ("ema", {"ema": value}, r"ema must be in \[0, 1\)")
        for value in (1, 1.0, -0.1, 2, nan, inf, "x", None)
    ),
    *(
        ("seed", {"seed": value}, r"seed must be a whole number in \[0, 2\^63\)")
        for value in (-1, 2**63, 0.5, "0")
    ),
    *(("loss", {"loss": value}, "There is no loss .* wasserstein") for value in ("l2", "", None, 3)),
    *(("decay", {"decay": value}, "There is no decay .* constant") for value in ("exp", "", None)),
    *(
        ("precision", {"precision": value}, "There is no precision .* float32, bfloat16")
        for value in ("float16", "", None, 32)
    ),
    *(("device", {"device": value}, "There is no device") for value in ("abacus", "", "cpu:x", "cuda:99")),
    ("constraint", {"constraint": GradientPenalty}, "constraint must be a Constraint, as in"),
    ("constraint", {"constraint": "gp"}, "constraint must be a Constraint, as in"),
    ("constraint", {"constraint": 10.0}, "constraint must be a Constraint, as in"),
    ("optimiser", {"critic_optimiser": Adam}, r"critic_optimiser must be .*Adam\(\.\.\.\)"),
    ("optimiser", {"generator_optimiser": nn.Linear}, "generator_optimiser must be"),
    ("optimiser", {"generator_optimiser": 1e-4}, "generator_optimiser must be"),
    (
        "shape",
        {"generator": MLPGenerator((1, 7, 7), latent_dim=4)},
        r"\(1, 7, 7\), those of digits are \(1, 8, 8\)",
    ),
    ("shape", {"generator": MLPGenerator((64,), latent_dim=4)}, r"\(64,\), those of digits"),
    ("shape", {"critic": MLPCritic((1, 9, 9))}, r"do not fit samples of shape \(1, 8, 8\)"),
    (
        "weights",
        {"classification": 0.1},
        r"classification must be wgan.losses's ClassificationWeights\(\.\.\.\), not 0.1",
    ),
    ("scores", {"critic": nn.Sequential(nn.Flatten(), nn.Linear(64, 2))}, "one score a sample"),
    ("scores", {"critic": nn.Conv2d(1, 1, 1)}, "one score a sample"),
    (
        "latent_dim",
        {"generator": bare()},
        "Sequential does not say the length of its latents; pass latent_dim=",
    ),
    *(("latent_dim", {"latent_dim": value}, "latent_dim") for value in (0, -1, 2.5, "4")),
    ("latent_dim", {"latent_dim": 5}, "do not fit .* with latents of length 5"),
    ("labels", {"generator": Asking()}, "do not fit .*TypeError: .*labels"),
    ("own error", {"generator": Failing()}, "do not fit .*KeyError"),
    ("frozen", {"generator": frozen(generator())}, "The generator MLPGenerator has no weights to train"),
    ("frozen", {"critic": frozen(critic())}, "The critic Sequential has no weights to train"),
    ("no weights", {"critic": nn.Flatten()}, "The critic Flatten has no weights to train"),
    ("nothing", {"generator": None}, "generator and critic are given together"),
    ("nothing", {"generator": generator}, "generator must be a torch module, not <function"),
    ("nothing", {"critic": critic}, "critic must be a torch module, not <function"),
    *(
        (
            "batch norm",
            {"critic": MLPCritic((1, 8, 8), norm="batch"), "constraint": constraint},
            "BatchNorm1d at",
        )
        for constraint in (GradientPenalty(), R1(), DRAGAN(), Chain(SpectralNormalisation(), R1()))
    ),
    (
        "spectral",
        {"critic": Weightless(), "constraint": SpectralNormalisation()},
        "no dense or convolutional",
    ),
    ("data", {"data": "no-such-source"}, "neither the name of a dataset nor a path"),
    ("data", {"data": None}, "The dataset is a NoneType"),
    ("data", {"data": np.zeros((3, 1, 8, 8), np.uint8)}, "at least 8"),
]


@pytest.mark.parametrize(
    ("changes", "phrase"), [case[1:] for case in SETTINGS], ids=[case[0] for case in SETTINGS]
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], phrase: str):
    with pytest.raises(InputError, match=phrase) as refusal:
        trainer(**changes)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000


OPTIMISERS = [
    *((kind, {"lr": rate}) for kind in (Adam, RMSprop) for rate in (0, 0.0, -1e-3, nan, inf, "1", None)),
    *((kind, {"eps": eps}) for kind in (Adam, RMSprop) for eps in (0, -1e-8, nan, inf, "1")),
    *(
        (Adam, {"betas": betas})
        for betas in ((0.9,), (0.9, 1), (-0.1, 0.9), (0.5, nan), (0.1, 0.2, 0.3), 0.5, "ab", None)
    ),
    *((RMSprop, {"alpha": alpha}) for alpha in (1, -0.1, nan, "1")),
    *(
        (LoggingIntervals, {name: value})
        for name in ("metrics", "images", "checkpoint", "keep")
        for value in (0, -1, 1.5, "1")
    ),
]


@pytest.mark.parametrize(("kind", "settings"), OPTIMISERS)
def test_settings_of_their_own_are_checked_where_they_are_made(kind, settings: dict[str, Any]):
    with pytest.raises(InputError, match=rf"{kind.__name__}|learning rate") as refusal:
        kind(**settings)
    (value,) = settings.values()
    assert str(value) in str(refusal.value)


@pytest.mark.parametrize("steps", [value for value in WHOLE if value is not None])
def test_steps_that_cannot_be_are_refused(tmp_path: Path, steps: Any):
    with pytest.raises(InputError, match="steps must be a whole number of at least 1"):
        trainer().fit(tmp_path / "run", steps)
    assert tree(tmp_path) == {}


def test_settings_at_the_edge_of_what_can_work(tmp_path: Path):
    edge = trainer(
        n_critic=1,
        batch_size=2,
        ema=0,
        penalty_every=1000,
        seed=2**63 - 1,
        constraint=None,
        critic_optimiser=Adam(1e-3, (0, 0)),
        generator_optimiser=RMSprop(1e-3, alpha=0),
        logging=LoggingIntervals(1, 1, 1, 1),
    )
    edge.fit(tmp_path / "run", 1)
    assert (tmp_path / "run" / "checkpoints" / "00000001").is_dir()


@pytest.mark.parametrize("given", ["digits", DIGITS])
def test_data_may_be_a_name_or_a_source(given):
    assert trainer(data=given).dataset.fingerprint == DIGITS.fingerprint


def test_scores_may_be_a_vector_or_a_column(tmp_path: Path):
    folder = trainer(critic=nn.Sequential(*critic(), nn.Flatten(0))).fit(tmp_path, 2)
    assert (folder.checkpoints / "00000002").is_dir()


def test_checks_leave_networks_as_they_are():
    made, judge = generator().eval(), critic()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    trainer(generator=made, critic=judge, constraint=None)
    assert not made.training
    assert judge.training
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


# -------------------- randomness


def test_another_seed_is_another_run(tmp_path: Path):
    for seed in (0, 1, 2**63 - 1):
        trainer(seed=seed).fit(tmp_path / str(seed), 10)
    numbers = {(path / "metrics.jsonl").read_bytes() for path in tmp_path.iterdir()}
    assert len(numbers) == 3


def test_the_same_seed_is_the_same_run_whatever_the_user_draws(tmp_path: Path):
    for name in ("one", "other"):
        torch.rand(7)
        trainer(seed=3).fit(tmp_path / name, 10)
    one, other = (tree(tmp_path / name) for name in ("one", "other"))
    assert {path for path in one if one[path] != other[path]} == {"timing.jsonl"}


@pytest.mark.parametrize("constraint", [None, SpectralNormalisation(), GradientPenalty()])
def test_the_users_own_randomness_is_not_disturbed(tmp_path: Path, constraint):
    torch.manual_seed(12)
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the user's
    asked = trainer(constraint=constraint)
    assert torch.equal(torch.get_rng_state(), before)
    asked.fit(tmp_path, 6)
    assert torch.equal(torch.get_rng_state(), before)
    asked.seconds_per_step(at_most=0.01)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002


def test_measuring_the_speed_changes_nothing(tmp_path: Path):
    measured, not_measured = trainer(), trainer()
    assert 0 < measured.seconds_per_step(at_most=0.05) < 60
    measured.fit(tmp_path / "one", 10)
    not_measured.fit(tmp_path / "other", 10)
    one, other = (tree(tmp_path / name) for name in ("one", "other"))
    assert {path for path in one if one[path] != other[path]} == {"timing.jsonl"}


def test_seeding_stays_inside():
    cpu = torch.device("cpu")
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with isolated_global_rng(cpu):
            seed_global_rng(5, cpu)
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)

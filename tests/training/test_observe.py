"""What a run sees of itself: closed forms, every recipe and constraint, and that looking changes nothing."""

import json
from copy import deepcopy
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import (
    DIGITS,
    Hook,
    assert_same_tensors,
    critic,
    generator,
    last,
    trainer,
)
from torch import Tensor, nn
from torch.nn import functional

from wgan.data import Dataset, from_array, load
from wgan.errors import DivergenceError, InputError
from wgan.lipschitz import (
    CONSTRAINTS,
    Chain,
    Constraint,
    GradientPenalty,
    Orthogonal,
    SpectralNormalisation,
    WeightClipping,
)
from wgan.metrics import density_coverage, precision_recall
from wgan.runs import RunFolder
from wgan.training import RECIPES, LoggingIntervals, Trainer, recipe
from wgan.training.observe import (
    Observer,
    certified_bounds,
    gaps,
    histograms,
    measure_dataset,
    observing,
    scored,
)
from wgan.training.observe.dead_units import RectifiedUnits
from wgan.training.observe.histograms import BINS, shared_bins, symmetric_bins
from wgan.training.observe.probe_batch import draw_probe_batch, evaluating, golden, quantiles
from wgan.training.observe.sample_diversity import SampleDiversity
from wgan.training.observe.slopes import Slopes
from wgan.training.observe.weights import (
    SAMPLED,
    Weights,
    following,
    gradient_norm,
    layer_gradients,
    plain_numbers,
    weight_layers,
)

QUARTILES = ("05", "25", "50", "75", "95")
UPPER = ("50", "95", "max")
NAMES = {
    *("gap", "gap_held_out", "critic_loss", "penalty", "generator_loss", "critic_gradient"),
    *("generator_gradient", "critic_update", "generator_update", "critic_dead", "generator_dead"),
    *("diversity", "duplicates", "precision_held_out", "recall_held_out", "coverage_held_out", "memorised"),
    *(f"{name}/{end}" for name in ("score_real", "score_held_out", "score_fake") for end in QUARTILES),
    *(f"critic_weights/{end}" for end in QUARTILES),
    *(f"{name}/{end}" for name in ("slope", "slope_pairs") for end in UPPER),
}
"""What every row holds, but for the layers' gradients, `clipped` and the bracket."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def values(numbers: dict[str, Tensor]) -> dict[str, float]:
    return {name: number.item() for name, number in numbers.items()}


def lists(numbers: dict[str, Tensor]) -> dict[str, list[float]]:
    return {name: number.flatten().tolist() for name, number in numbers.items()}


def linear(weight: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight), 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weight]))
    return layer


# -------------------- scores


def test_the_gaps_of_a_critic_one_can_calculate():
    judge = linear([3.0, 3.0])
    with observing(judge):
        seen = scored(
            judge,
            nn.Identity(),
            latents=torch.zeros(4, 2),
            train=torch.ones(5, 2),
            held_out=torch.full((7, 2), 2.0),
        )
    assert values(gaps(seen)) == pytest.approx({"gap": 6.0, "gap_held_out": 12.0})


def test_quantiles_of_a_ramp():
    ramp = torch.arange(101.0)[torch.randperm(101, generator=seeded())]
    assert values(quantiles("a", ramp)) == pytest.approx({f"a/{end}": float(end) for end in QUARTILES})
    assert values(quantiles("a", ramp, (50, 100))) == pytest.approx({"a/50": 50, "a/max": 100})
    assert values(quantiles("a", torch.ones(1))) == {f"a/{end}": 1.0 for end in QUARTILES}


def test_golden_numbers_fill_the_interval_evenly():
    for count in (1, 7, 64, 1000):
        gaps_between = golden(count).sort().values.diff()
        assert ((golden(count) >= 0) & (golden(count) < 1)).all()
        assert count == 1 or gaps_between.max() < 3 / count


class Counting(nn.Module):
    """Lets batches pass and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, batch: Tensor) -> Tensor:
        self.sizes.append(len(batch))
        return batch


@pytest.mark.slow
def test_a_look_generates_once_and_scores_each_batch_once():
    latents, samples = Counting(), Counting()
    made = nn.Sequential(latents, generator())
    judge = nn.Sequential(samples, *[part for part in critic() if not isinstance(part, nn.Dropout)])
    watched = trainer(generator=made, critic=judge, latent_dim=4, constraint=Orthogonal())
    observer = observer_of(watched)
    latents.sizes.clear()
    samples.sizes.clear()
    observer.look()
    assert latents.sizes == [256]
    assert samples.sizes == [256, 256, 179, 64]


# -------------------- slopes


@pytest.mark.parametrize("weight", [[3.0], [3.0, 4.0], [0.0, 0.0]])
def test_a_linear_critic_has_one_slope(weight):
    shape = (20, len(weight))
    train, held_out, fakes = (normal(*shape, seed=seed) for seed in range(3))
    judge = linear(weight)
    with observing(judge):
        numbers = values(Slopes(train, held_out).look(judge, fakes, judge(held_out)[:, 0]))
    steep = sqrt(sum(part**2 for part in weight))
    assert [numbers[f"slope/{end}"] for end in UPPER] == pytest.approx([steep] * 3, abs=1e-6)
    assert 0 <= numbers["slope_pairs/max"] <= steep * 1.001 + 1e-6
    if len(weight) == 1:
        assert [numbers[f"slope_pairs/{end}"] for end in UPPER] == pytest.approx([steep] * 3, rel=1e-3)


def slopes_of(judge: nn.Module) -> dict[str, float]:
    train, held_out, fakes = (normal(20, 2, seed=seed) for seed in range(3))
    with observing(judge):
        return values(Slopes(train, held_out).look(judge, fakes, judge(held_out)[:, 0]))


def test_slopes_are_those_of_evaluation():
    """Noise is no slope, and a batch-normalised critic has that of its running statistics."""
    plain_slopes = slopes_of(linear([3.0, 4.0]))
    assert slopes_of(nn.Sequential(nn.Dropout(0.5), linear([3.0, 4.0]))) == pytest.approx(plain_slopes)
    norm = nn.BatchNorm1d(2, momentum=0.0)
    norm.running_var.fill_(4.0)
    judge = nn.Sequential(norm, linear([3.0, 4.0]))
    assert slopes_of(judge) == pytest.approx(
        {name: value / 2 for name, value in plain_slopes.items()}, rel=1e-3
    )
    assert all(module.training for module in judge.modules())
    assert norm.running_var.tolist() == [4.0, 4.0]


def test_modes_are_put_back_one_by_one():
    judge = nn.Sequential(nn.Dropout(), nn.Dropout())
    judge[0].eval()
    with evaluating(judge):
        assert not any(module.training for module in judge.modules())
    assert [module.training for module in judge] == [False, True]


class Mixing(nn.Module):
    """Takes the mean of the batch away, always."""

    mixes_samples = True

    def forward(self, batch: Tensor) -> Tensor:
        return batch - batch.mean(0)


def test_a_critic_that_always_mixes_samples_has_no_slope():
    assert slopes_of(nn.Sequential(Mixing(), linear([3.0, 4.0]))) == {}


def test_equal_samples_are_no_pair():
    judge = linear([2.0])
    held_out = torch.tensor([[0.0], [0.0], [1.0], [5.0]])
    with observing(judge):
        numbers = Slopes(held_out, held_out).look(judge, held_out, judge(held_out)[:, 0])
    assert values(numbers)["slope_pairs/max"] == pytest.approx(2)
    same = torch.zeros(4, 1)
    with observing(judge):
        assert "slope_pairs/max" not in Slopes(same, same).look(judge, same, judge(same)[:, 0])


# -------------------- weights


def test_the_share_that_clipping_holds():
    judge = nn.Linear(3, 1)
    with torch.no_grad():
        judge.weight.copy_(torch.tensor([[-9.0, 0.5, 0.001]]))
        judge.bias.fill_(0.02)
    clipping = WeightClipping(0.01)
    clipping.project(judge)
    assert clipping.clipped(judge).item() == pytest.approx(3 / 4)
    assert Chain(WeightClipping(1.0), clipping, GradientPenalty()).clipped(judge).item() == pytest.approx(
        3 / 4
    )
    assert Chain(GradientPenalty()).clipped(judge) is None
    with torch.no_grad():
        judge.weight.fill_(7.0)
    clipping.project(judge)
    assert clipping.clipped(judge).item() == 1


def test_the_quantiles_of_few_and_of_many_weights():
    few, many = nn.Linear(100, 1, bias=False), nn.Linear(1000, 100, bias=False)
    with torch.no_grad():
        few.weight.copy_(torch.linspace(0, 1, 100)[None])
        many.weight.copy_(torch.linspace(0, 1, 100_000).reshape(100, 1000))
    assert values(quantiles("w", Weights(few).look())) == pytest.approx(
        {"w/05": 0.05, "w/25": 0.25, "w/50": 0.5, "w/75": 0.75, "w/95": 0.95}
    )
    assert len(Weights(many).look()) == SAMPLED
    assert values(quantiles("w", Weights(many).look())) == pytest.approx(
        values(quantiles("w", Weights(few).look())), abs=4 / SAMPLED
    )


def test_histograms_of_several_kinds_share_their_bins():
    shapes = histograms.plain_histograms(shared_bins(a=torch.arange(64.0), b=torch.tensor([-64.0, 0.0, 0.0])))
    a, b = shapes["a"], shapes["b"]
    assert (a.low, a.high) == (b.low, b.high) == (-64.0, 63.0)
    assert (sum(a.counts), sum(b.counts), len(a.counts)) == (64, 3, BINS)
    assert sum(a.counts[: BINS // 2]) == 0
    assert b.counts[0] == 1
    expected, edges = np.histogram(np.arange(64.0), BINS, (-64, 63))
    assert list(a.counts) == expected.tolist()
    assert a.edges == pytest.approx(edges.tolist())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=50))
def test_a_histogram_counts_every_value_once(some: list[float]):
    shape = histograms.plain_histograms({"w": symmetric_bins(torch.tensor(some))})["w"]
    assert sum(shape.counts) == len(some)
    assert shape.low == -shape.high
    assert shape.edges == sorted(set(shape.edges))


def test_clipped_weights_fill_the_outermost_bins():
    clipped = (10 * normal(1000)).clamp(-0.01, 0.01)
    shape = histograms.plain_histograms({"w": symmetric_bins(clipped)})["w"]
    assert shape.counts[0] + shape.counts[-1] > 950
    assert shape.high == pytest.approx(0.01)


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_has_no_histogram(lost: float):
    assert histograms.plain_histograms(shared_bins(a=torch.tensor([1.0, lost]), b=torch.ones(3))) == {}
    assert histograms.plain_histograms({}) == {}


def test_gradients_by_layer_add_up_to_the_whole():
    judge = SpectralNormalisation().wrap(critic(width=8))
    judge(normal(5, 1, 8, 8)).sum().backward()
    layers = values(layer_gradients("critic_gradient", weight_layers(judge)))
    assert list(layers) == ["critic_gradient/1", "critic_gradient/4"]
    whole = sqrt(sum(value**2 for value in layers.values()))
    assert whole == pytest.approx(gradient_norm(judge).item())


def test_what_a_layer_is():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GroupNorm(1, 4), nn.Sequential(nn.Linear(4, 1)), nn.PReLU()
    )
    assert list(weight_layers(network)) == ["0", "2.0"]
    network[0].requires_grad_(False)
    assert list(weight_layers(network)) == ["2.0"]
    assert list(weight_layers(nn.Linear(2, 1))) == ["Linear"]
    assert list(weight_layers(SpectralNormalisation().wrap(nn.Linear(2, 1)))) == ["ParametrizedLinear"]


def test_a_layer_without_a_gradient_has_none():
    assert values(layer_gradients("g", weight_layers(nn.Linear(2, 1)))) == {"g/Linear": 0.0}


@pytest.mark.parametrize("steps", [1, 3])
def test_the_update_of_gradient_descent(steps: int):
    """w <- w - lr g with constant g: the last step moves by lr |g|, from w - (steps - 1) lr g."""
    layer = nn.Linear(2, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    with following(optimiser) as update:
        for _ in range(steps):
            layer.weight.grad = torch.ones(1, 2)
            optimiser.step()
    assert update.ratio().item() == pytest.approx(0.1 / (1 - 0.1 * (steps - 1)))
    before = layer.weight.clone()
    optimiser.step()  # which nobody follows any more
    assert update.ratio().item() == pytest.approx(0.2 / (1 - 0.1 * (steps - 1)))
    assert not torch.equal(before, layer.weight)
    assert not optimiser._optimizer_step_pre_hooks


def test_the_update_is_what_the_projection_leaves_of_it():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 0.01)
    optimiser = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer.weight.grad = torch.full((1, 1), -5.0)
    with following(optimiser) as update:
        optimiser.step()
        WeightClipping(0.01).project(layer)
    assert update.ratio().item() == pytest.approx(0, abs=1e-6)


# -------------------- units


def dead(network: nn.Module, *batches: Tensor) -> float:
    units = RectifiedUnits()
    for batch in batches:
        with units:
            network(batch)
    return units.dead().item()


class Functional(nn.Module):
    """Rectifies the first feature twice, without modules, in three of the ways to do it."""

    def forward(self, batch: Tensor) -> Tensor:
        return functional.leaky_relu(torch.relu(batch).relu_(), 0.2)


def shifted(shift: float, *activations: nn.Module) -> nn.Module:
    layer = nn.Linear(3, 4)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, shift)
    return nn.Sequential(layer, *activations)


@pytest.mark.parametrize("kind", [nn.ReLU(), nn.ReLU(inplace=True)], ids=str)
def test_a_layer_that_is_never_positive_is_dead(kind: nn.Module):
    assert dead(shifted(-1.0, kind), normal(5, 3)) == 1
    assert dead(shifted(1.0, kind), normal(5, 3)) == 0


@pytest.mark.parametrize("kind", [nn.LeakyReLU(0.2, inplace=True), nn.PReLU()], ids=str)
def test_a_leaky_layer_gets_gradients_and_is_never_dead(kind: nn.Module):
    assert dead(shifted(-1.0, kind), normal(5, 3)) == 0


@pytest.mark.parametrize("kind", [nn.Tanh(), nn.Softplus(), nn.ELU(), nn.Identity()], ids=str)
def test_other_activations_have_no_dead_units(kind: nn.Module):
    assert dead(shifted(-1.0, kind), normal(5, 3)) == 0


def test_a_unit_is_dead_if_no_sample_of_any_pass_wakes_it():
    batch = torch.tensor([[1.0, -1.0, -1.0, -1.0], [-1.0, 1.0, -1.0, -1.0]])
    assert dead(nn.ReLU(), batch) == 0.5
    assert dead(nn.ReLU(), batch, -batch) == 0
    assert dead(nn.ReLU(), batch, batch[:, [0, 2, 1, 3]]) == 0.25
    assert dead(Functional(), batch) == 0.5
    images = torch.full((2, 4, 3, 3), -1.0)
    images[1, 2, 0, 1] = 1.0
    assert dead(nn.ReLU(), images) == 0.75  # a channel is one unit


def test_units_are_not_noted_after_the_block():
    units = RectifiedUnits()
    with units:
        pass
    torch.relu(-torch.ones(2, 2))
    assert units.dead().item() == 0


# -------------------- variety


REALS, HELD_OUT = normal(500, 2), normal(100, 2, seed=1)


def diversity(fakes: Tensor, held_out: Tensor = HELD_OUT, train: Tensor = REALS) -> dict[str, float]:
    return values(SampleDiversity(held_out, train).look(fakes))


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8), (3, 4, 4)])
@pytest.mark.parametrize("where", [0.0, 0.3, 50.0])
def test_a_generator_of_one_sample(shape, where):
    reals, held_out = normal(300, *shape), normal(100, *shape, seed=1)
    found = diversity(torch.full((100, *shape), where), held_out, reals)
    assert (found["diversity"], found["duplicates"], found["recall_held_out"]) == (0, 1, 0)
    assert found["precision_held_out"] in (0, 1)
    assert values(SampleDiversity(held_out, reals).look(reals[:1].expand(100, *shape)))["memorised"] > 0.8


def test_the_law_itself():
    found = diversity(normal(100, 2, seed=2))
    assert found["diversity"] == pytest.approx(1, abs=0.15)
    assert found["duplicates"] <= 0.1
    assert min(found["recall_held_out"], found["coverage_held_out"]) > 0.8
    assert found["memorised"] <= 0.1


def test_held_out_samples_as_fakes():
    found = diversity(HELD_OUT)
    assert found == pytest.approx(
        {
            "diversity": 1,
            "duplicates": 0.01,
            "precision_held_out": 1,
            "recall_held_out": 1,
            "coverage_held_out": 1,
            "memorised": 0,
        },
        abs=0.011,
    )


def test_copies_of_training_samples():
    copies = REALS[:100] + 1e-4 * normal(100, 2, seed=3)
    assert diversity(copies)["memorised"] > 0.8
    half = torch.cat([copies[:50], normal(50, 2, seed=4)])
    assert 0.3 < diversity(half)["memorised"] < 0.6
    twice = torch.cat([REALS, REALS])  # a sample that is there twice can be copied, too
    assert diversity(copies, train=twice)["memorised"] == diversity(copies)["memorised"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)])
def test_precision_recall_and_coverage_are_those_of_the_metrics(seed: int, shape):
    held_out, fakes = normal(90, *shape, seed=seed), 0.7 * normal(90, *shape, seed=100 + seed)
    found = diversity(fakes, held_out, normal(50, *shape, seed=7))
    assert found["recall_held_out"] == pytest.approx(precision_recall(held_out, fakes)[1].value)
    assert found["coverage_held_out"] == pytest.approx(density_coverage(held_out, fakes)[1].value)
    assert found["precision_held_out"] == pytest.approx(
        precision_recall(held_out, fakes, neighbours=5)[0].value
    )


def test_variety_does_not_depend_on_the_place_and_the_unit():
    fakes = 0.5 * normal(100, 2, seed=5)
    moved = values(SampleDiversity(10 * HELD_OUT + 1000, 10 * REALS + 1000).look(10 * fakes + 1000))
    assert moved == pytest.approx(diversity(fakes), abs=0.021)


def test_too_few_samples_have_no_variety():
    assert diversity(HELD_OUT, HELD_OUT[:5]) == {}
    assert diversity(HELD_OUT[:5]) == {}
    assert diversity(HELD_OUT, HELD_OUT[:6]).keys() >= {"diversity", "recall_held_out"}


def test_equal_data_have_no_diversity_and_no_copies():
    same = torch.ones(50, 3)
    found = diversity(normal(50, 3), same, same)
    assert found.keys() == {"duplicates", "precision_held_out", "recall_held_out", "coverage_held_out"}


# -------------------- whole rows


def observer_of(watched) -> Observer:
    state = watched.state()
    observer = watched._observer(state, normal(300, watched.latent_dim))
    with observer.following():
        watched.advance(state, 100)
    return observer


@pytest.mark.slow
@pytest.mark.parametrize(
    "constraint",
    [Chain(), WeightClipping(0.05), *(kind() for kind in CONSTRAINTS.values())],
    ids=lambda constraint: type(constraint).__name__,
)
def test_every_constraint_gets_its_row(tmp_path: Path, constraint: Constraint):
    watched = trainer(constraint=constraint, logging=LoggingIntervals(metrics=2, images=100))
    row = watched.fit(tmp_path / "run", 2).history()[-1]
    layers = {f"critic_gradient/{path}" for path in ("1", "4")}
    optional = {"w1_lower", "w1_upper"} if constraint.certified else set()
    clipped = {"clipped"} if isinstance(constraint, WeightClipping) else set()
    assert row.keys() - optional == NAMES | layers | clipped | {"step"}
    assert None not in row.values()


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_gets_its_row(tmp_path: Path, name: str):
    dataset = load("ring8") if name.startswith("toy") else DIGITS
    settings = replace(recipe(name, dataset.shape), logging=LoggingIntervals(metrics=1), warm_up=False)
    row = Trainer(dataset, settings=settings, device="cpu").fit(tmp_path / "run", 1).history()[-1]
    assert row.keys() >= NAMES
    assert None not in row.values()
    assert ("clipped" in row) == isinstance(settings.constraint, WeightClipping)
    assert ("w1_lower" in row) == settings.constraint.certified
    assert max(name for name in row if name.startswith("critic_gradient/")) >= "critic_gradient/layers.2"
    for group in ("score_real", "score_fake", "critic_weights"):
        assert sorted(row[f"{group}/{end}"] for end in QUARTILES) == [
            row[f"{group}/{end}"] for end in QUARTILES
        ]
    for share in (
        "critic_dead",
        "generator_dead",
        "duplicates",
        "precision_held_out",
        "recall_held_out",
        "coverage_held_out",
        "memorised",
    ):
        assert 0 <= row[share] <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "constraint",
    [Chain(SpectralNormalisation(), GradientPenalty(1.0)), WeightClipping(0.05), Orthogonal()],
    ids=lambda constraint: type(constraint).__name__,
)
@pytest.mark.parametrize("norm", [False, True])
def test_looking_changes_nothing_in_the_run(tmp_path: Path, constraint: Constraint, norm: bool):
    """With dropout, batch normalisation, power iterations: the same weights however often the run looks."""
    judge = critic()
    if norm and isinstance(constraint, WeightClipping):
        judge = nn.Sequential(*judge[:2], nn.BatchNorm1d(16), *judge[2:])
    ends = []
    for log in (1, 10, 1000):
        logging = LoggingIntervals(metrics=log, images=1000, checkpoint=1000)
        watched = trainer(critic=deepcopy(judge), constraint=constraint, logging=logging)
        ends.append(last(watched.fit(tmp_path / str(log), 20).path).tensors)
    for group in ("generator", "critic", "average", "generator_optimiser", "critic_optimiser"):
        assert_same_tensors(ends[0][group], ends[1][group], group)
        assert_same_tensors(ends[0][group], ends[2][group], group)
    rows = {row["step"]: row for row in RunFolder(tmp_path / "1").history()}
    means = {"critic_loss", "penalty", "generator_loss"}
    for row in RunFolder(tmp_path / "10").history():
        assert {n: v for n, v in row.items() if n not in means} == {
            n: v for n, v in rows[row["step"]].items() if n not in means
        }


@pytest.mark.parametrize("norm_in_critic", [False, True])
def test_a_look_leaves_no_trace(norm_in_critic: bool):
    judge = critic()
    if norm_in_critic:
        judge = nn.Sequential(*judge[:2], nn.BatchNorm1d(16), *judge[2:])
    watched = trainer(critic=judge, constraint=SpectralNormalisation())
    observer = observer_of(watched)
    networks = nn.ModuleList([watched.generator, watched.critic])
    before, noise = {n: t.clone() for n, t in networks.state_dict().items()}, torch.get_rng_state()
    gradients = [weight.grad.clone() for weight in networks.parameters()]
    modes = [module.training for module in networks.modules()]
    one = [lists(part) for part in observer.look()]
    assert_same_tensors(dict(networks.state_dict()), before)
    assert torch.equal(torch.get_rng_state(), noise)
    assert [module.training for module in networks.modules()] == modes
    assert all(map(torch.equal, (weight.grad for weight in networks.parameters()), gradients))
    assert [lists(part) for part in observer.look()] == one


def test_a_look_that_fails_leaves_no_trace_either():
    made = generator()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    made.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), observing(made):
        made(normal(16, 4))
    assert_same_tensors(dict(made.state_dict()), before)


def test_a_critic_without_a_proof_has_no_bracket():
    judge = nn.Sequential(linear([1.0, 1.0]), nn.GELU(), nn.InstanceNorm1d(1, eps=0))
    held_out = normal(10, 2)
    seen = scored(linear([1.0, 1.0]), nn.Identity(), latents=held_out, train=held_out, held_out=held_out)
    with torch.no_grad():
        assert certified_bounds(judge, seen, held_out) == {}


# -------------------- numbers that are not finite


def test_a_run_goes_on_without_a_number_it_does_not_need(tmp_path: Path):
    judge = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), Zero())
    monitor = Hook()
    watched = trainer(critic=judge, constraint=None, monitors=[monitor], logging=LoggingIntervals(metrics=2))
    rows = watched.fit(tmp_path, 4).history()
    assert [row["slope/max"] for row in rows] == [None, None]
    assert rows[0]["gap"] is not None
    assert monitor.logged[0][1]["slope/max"] is None


class Zero(nn.Module):
    """Passes scores, and in evaluation mode makes their gradient NaN."""

    def forward(self, scores: Tensor) -> Tensor:
        return scores if self.training else scores + (scores * 0).sqrt()


def test_a_vital_number_ends_the_run(tmp_path: Path):
    judge = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), Lost())
    with pytest.raises(DivergenceError, match="gap_held_out is not finite at step 2"):
        trainer(critic=judge, constraint=None, logging=LoggingIntervals(metrics=2)).fit(tmp_path, 4)
    (row,) = RunFolder(tmp_path).history()
    assert row["gap_held_out"] is row["score_held_out/50"] is None
    assert row["gap"] is not None


class Lost(nn.Module):
    """Loses the held-out batch of digits, by its size."""

    def forward(self, scores: Tensor) -> Tensor:
        return scores * torch.nan if len(scores) == len(DIGITS.held_out) else scores


def test_numbers_become_plain():
    numbers = {
        "a": torch.tensor(0.5),
        "b": torch.tensor(torch.inf),
        "c": torch.tensor(2, dtype=torch.float64),
    }
    assert plain_numbers(numbers) == {"a": 0.5, "b": None, "c": 2.0}
    assert plain_numbers({}) == {}


# -------------------- the data, the memory


def test_the_facts_of_digits():
    found = measure_dataset(DIGITS)
    assert found["count"], found["held_out"] == (len(DIGITS.train), len(DIGITS.held_out))
    assert (found["classes"], found["min"], found["max"]) == (10, -1.0, 1.0)
    assert found["largest_class_share"] == pytest.approx(0.1, abs=0.02)
    assert (found["duplicate_share"], found["constant_share"]) == (0, 0)


def test_the_facts_of_data_in_trouble():
    """Half of the samples of one colour, all of those equal, one class."""
    images = 2 * torch.rand(100, 3, 4, 4, generator=seeded()) - 1
    images[::2] = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    dataset = from_array(images, labels=torch.full((100,), 3))
    found = measure_dataset(dataset)
    rows = dataset.train.rows
    coloured = (rows % 2 == 0).float().mean().item()
    assert found["constant_share"] == pytest.approx(coloured)
    assert found["duplicate_share"] == pytest.approx(coloured - 1 / len(rows))
    assert (found["classes"], found["largest_class_share"]) == (1, 1.0)
    samples = dataset.train.storage[rows]
    assert (found["min"], found["max"]) == (samples.min().item(), samples.max().item())
    assert found["std"] == pytest.approx(samples.std().item(), rel=1e-3)


class Partial(nn.Module):
    """Scores a sample by its class alone, as a critic may at no cost."""

    def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
        return 100 * labels.float().square() + 0 * samples.flatten(1).sum(1)


class Unmoved(nn.Module):
    """Makes the same of all latents."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return torch.zeros_like(latents)


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(10, 600),
    classes=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    fakes=st.integers(60, 300),
)
def test_what_a_critic_adds_to_a_class_is_no_gap(count: int, classes: int, seed: int, fakes: int):
    """Classes as uneven as they come, some with a single sample."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(torch.rand(classes, generator=rng) ** 3 + 1e-3, count, True, generator=rng)
    dataset = from_array(torch.zeros(count, 2), labels=drawn)
    latents, train, held_out, labels = draw_probe_batch(dataset, torch.zeros(fakes, 2), labelled=True)
    assert min(len(latents), len(held_out)) > 0
    assert len(held_out) <= len(latents) == len(train) <= fakes
    seen = scored(Partial(), Unmoved(), latents=latents, train=train, held_out=held_out, labels=labels)
    found = gaps(seen)
    assert abs(float(found["gap_held_out"])) < 1e-2
    assert labels[2] is not None
    known = dataset.train.batch_labels(torch.arange(len(dataset.train)))
    if set(labels[2].tolist()) <= set(known.tolist()):
        assert abs(float(found["gap"])) < 1e-2


def test_what_a_conditional_run_is_looked_at_by_is_its_own_data():
    """The labels are those of the samples that they go with."""
    values = torch.arange(300) % 7
    dataset = from_array(values[:, None].float() / 7, labels=values)
    _, train, held_out, (_, of_train, of_held_out) = draw_probe_batch(
        dataset, torch.zeros(64, 2), labelled=True
    )
    assert torch.equal((train[:, 0] * 7).round().long(), of_train)
    assert torch.equal((held_out[:, 0] * 7).round().long(), of_held_out)
    assert set(of_train.tolist()) == set(of_held_out.tolist())


@pytest.mark.parametrize("count", [60, 300, 3000])
@pytest.mark.parametrize("attributes", [False, True])
def test_slopes_are_taken_between_samples_of_one_label(count: int, attributes: bool):
    """Between a shoe and a shirt there is nothing that a conditional critic was ever asked about."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.rand(count, 2, generator=rng) if attributes else torch.randint(7, (count,), generator=rng)
    dataset = from_array(torch.randn(count, 2, generator=rng), labels=labels)
    latents, train, held_out, (asked, of_train, of_held_out) = draw_probe_batch(
        dataset, torch.zeros(256, 2), labelled=True
    )
    assert len(latents) == len(asked) == len(train) > 128
    if attributes:
        # The nearest of so many points in a square is about half of 1 / sqrt(count) away.
        assert torch.linalg.vector_norm(asked - of_train, dim=1).mean() < 2 / count**0.5
    else:
        assert torch.equal(asked, of_train)
    seen = []

    class Witness(nn.Module):
        def forward(self, points: Tensor, given_labels: Tensor) -> Tensor:
            seen.append(given_labels)
            return points.sum(1)

    Slopes(train, held_out, (of_train, of_held_out)).look(Witness(), latents, torch.zeros(len(held_out)))
    fakes = asked[torch.arange(len(seen[0])) * len(asked) // len(seen[0])]
    apart = (fakes.float() - seen[0].float()).abs().max()
    assert apart < 6 / count**0.5 if attributes else apart == 0


def test_vectors_have_no_colour_and_need_no_labels():
    dataset = from_array(normal(50, 1))
    assert measure_dataset(dataset)["constant_share"] is None
    assert measure_dataset(dataset)["classes"] is measure_dataset(dataset)["largest_class_share"] is None


@pytest.fixture
def small() -> Dataset:
    return from_array(normal(40, 1, 8, 8).clamp(-1, 1))


def test_a_run_keeps_the_facts_and_its_memory(tmp_path: Path, small: Dataset):
    folder = trainer(data=small).fit(tmp_path / "run", 10)
    assert folder.read_data() == json.loads(json.dumps(measure_dataset(small)))
    assert folder.history("timing")[-1]["memory"] > 50
    folder.data_file.write_text("[")
    with pytest.raises(InputError, match=r"data\.json cannot be read"):
        folder.read_data()
    folder.data_file.unlink()
    assert folder.read_data() == {}
    trainer(data=small).fit(tmp_path / "run", 10)
    assert folder.read_data()["count"] == 36


def test_facts_that_are_not_finite_are_null(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.write_data({"std": float("nan"), "count": 3, "classes": None})
    assert json.loads(folder.data_file.read_text()) == {"std": None, "count": 3, "classes": None}

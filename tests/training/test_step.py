"""The algorithm: who moves in which step, by how much, and on what."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import (
    BOTH_ADAM,
    BOTH_RMSPROP,
    DIGITS,
    Hook,
    assert_same_tensors,
    bytes_of,
    critic,
    generator,
    last,
    samples_of,
    trainer,
)
from torch import Tensor, nn

from wgan.core.randomness import derive, seed_global_rng
from wgan.data import from_array
from wgan.errors import DivergenceError, InputError
from wgan.lipschitz import Chain, Constraint, GradientPenalty, SpectralNormalisation, WeightClipping
from wgan.losses import LOSSES, Loss
from wgan.networks import MLPCritic
from wgan.runs import RunFolder
from wgan.training import Adam, LoggingIntervals, RMSprop
from wgan.training.ema import EMA
from wgan.training.objective import Batch, Objective
from wgan.training.observe import gradient_norm, spread
from wgan.training.optimisers import DECAYS, set_rate, size_of
from wgan.training.settings import changed
from wgan.training.state import State
from wgan.training.step import critic_step, generator_step
from wgan.training.training_step import critic_steps

every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
every_optimiser = pytest.mark.parametrize("settings", [Adam(1e-2), RMSprop(1e-2)], ids=["adam", "rmsprop"])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(seed: int = 0) -> tuple[Tensor, Tensor]:
    """A batch of digits and latents."""
    index = torch.randint(len(DIGITS.train), (16,), generator=rng(seed))
    return DIGITS.train.batch(index), torch.randn(16, 4, generator=rng(seed))


def snapshot(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor | None]]:
    weights = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    gradients = {
        name: None if weight.grad is None else weight.grad.clone()
        for name, weight in network.named_parameters()
    }
    return weights, gradients


def assert_untouched(network: nn.Module, before: tuple[dict[str, Tensor], dict[str, Tensor | None]]) -> None:
    weights, gradients = snapshot(network)
    assert_same_tensors(weights, before[0])
    for name, gradient in gradients.items():
        was = before[1][name]
        assert gradient is was is None or torch.equal(gradient, was), name


def assert_moved(network: nn.Module, before: tuple[dict[str, Tensor], object], *, but: str) -> None:
    still = {name for name, weight in network.named_parameters() if torch.equal(weight, before[0][name])}
    assert still <= {but}


def both_with_gradients() -> tuple[nn.Module, nn.Module]:
    """Networks that hold gradients of their own already, which somebody else's step must leave alone."""
    networks = generator(), critic()
    for network in networks:
        for weight in network.parameters():
            weight.grad = torch.ones_like(weight)
    return networks


# -------------------- who moves


@every_loss
@every_optimiser
def test_the_critics_step_moves_the_critic_alone(loss: Loss, settings):
    made, judge = both_with_gradients()
    moving, still = snapshot(judge), snapshot(made)
    real, latents = batches()
    state = State(made, judge, None, settings.build(judge))
    numbers = critic_step(state, Objective(loss, GradientPenalty()), Batch(real), latents, rng())
    assert_untouched(made, still)
    # Most losses are the same for all scores raised by a number, so that the last bias has no gradient.
    assert_moved(judge, moving, but="4.bias")
    assert numbers.keys() == {"critic_loss", "penalty"}
    assert not any(number.requires_grad for number in numbers.values())
    assert all(number.shape == () for number in numbers.values())


@every_loss
@every_optimiser
def test_the_generators_step_moves_the_generator_alone(loss: Loss, settings):
    made, judge = both_with_gradients()
    moving, still = snapshot(made), snapshot(judge)
    real, latents = batches()
    state = State(made, judge, settings.build(made), None)
    numbers = generator_step(state, Objective(loss), latents, real=Batch(real))
    assert_untouched(judge, still)
    # Before a batch normalisation a bias moves nothing: its gradient is rounding alone, and may be none.
    assert_moved(made, moving, but="layers.2.bias")
    assert numbers.keys() == {"generator_loss"}
    assert not any(number.requires_grad for number in numbers.values())


@every_loss
def test_a_step_goes_downhill(loss: Loss):
    """A small step of either network lowers its own loss on the same draws."""
    made, judge = generator(), critic().eval()
    real, latents = batches()

    def critic_loss() -> float:
        with torch.no_grad():
            return loss.critic(judge(real).flatten(), judge(made(latents)).flatten()).item()

    def generator_loss() -> float:
        with torch.no_grad():
            return loss.generator(judge(real).flatten(), judge(made(latents)).flatten()).item()

    before = critic_loss()
    optimisers = (torch.optim.SGD(network.parameters(), lr=1e-3) for network in (made, judge))
    state = State(made, judge, *optimisers)
    numbers = critic_step(state, Objective(loss), Batch(real), latents, rng())
    assert numbers["critic_loss"].item() == pytest.approx(before, rel=1e-5)
    assert critic_loss() < before
    before = generator_loss()
    numbers = generator_step(state, Objective(loss), latents, real=Batch(real))
    assert numbers["generator_loss"].item() == pytest.approx(before, rel=1e-5)
    assert generator_loss() < before


def test_the_critics_step_by_hand():
    """With f(x) = w x, real samples 5 and fakes 3 the loss is -(5 w - 3 w) and the slope |w|."""
    judge, made = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
    with torch.no_grad():
        judge.weight.fill_(0.25)
        made.weight.fill_(0.0)
        made.bias.fill_(3.0)
    optimiser = torch.optim.SGD(judge.parameters(), lr=0.1)
    state = State(made, judge, None, optimiser)
    objective = Objective(LOSSES["wasserstein"], GradientPenalty(10.0))
    real = Batch(torch.full((4, 1), 5.0))
    numbers = critic_step(state, objective, real, torch.zeros(4, 1), rng(), penalty_scale=3.0)
    # -(5 w - 3 w) + 3 * 10 (|w| - 1)^2 at w = 1/4: its derivative is -2 + 60 (w - 1) = -47.
    assert numbers["critic_loss"].item() == pytest.approx(-0.5)
    assert numbers["penalty"].item() == pytest.approx(3 * 10 * 0.75**2)
    assert gradient_norm(judge).item() == pytest.approx(47)
    assert judge.weight.item() == pytest.approx(0.25 + 0.1 * 47)


def test_the_generators_step_by_hand():
    """With f(x) = 2 x and G(z) = w z + b the loss is -2 E (w z + b)."""
    judge, made = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
    with torch.no_grad():
        judge.weight.fill_(2.0)
        made.weight.fill_(1.0)
        made.bias.fill_(0.5)
    optimiser = torch.optim.SGD(made.parameters(), lr=0.1)
    latents = torch.tensor([[1.0], [2.0]])
    numbers = generator_step(State(made, judge, optimiser, None), Objective(LOSSES["wasserstein"]), latents)
    assert numbers["generator_loss"].item() == pytest.approx(-4.0)
    assert made.weight.item() == pytest.approx(1 + 0.1 * 3)
    assert made.bias.item() == pytest.approx(0.5 + 0.1 * 2)
    assert gradient_norm(made).item() == pytest.approx((9 + 4) ** 0.5)


def test_the_critic_is_projected_after_its_step():
    made, judge = generator(), critic()
    real, latents = batches()
    optimiser = torch.optim.SGD(judge.parameters(), lr=100.0)
    objective = Objective(LOSSES["wasserstein"], WeightClipping(0.01))
    critic_step(State(made, judge, None, optimiser), objective, Batch(real), latents, rng())
    assert max(weight.abs().max() for weight in judge.parameters()) <= 0.01


def test_a_generator_that_is_frozen_in_part_learns_with_the_rest():
    made, judge = generator(), critic()
    made.layers[0].requires_grad_(False)
    before = snapshot(made)
    optimiser = Adam(1e-2).build(made)
    generator_step(State(made, judge, optimiser, None), Objective(LOSSES["wasserstein"]), batches()[1])
    assert torch.equal(made.layers[0].weight, before[0]["layers.0.weight"])
    assert not torch.equal(made.layers[-2].weight, before[0]["layers.5.weight"])


def test_the_norm_of_all_gradients():
    layer = nn.Linear(2, 1)
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0, 4.0]]), torch.tensor([12.0])
    assert gradient_norm(layer).item() == pytest.approx(13)
    layer.bias.grad = None
    assert gradient_norm(layer).item() == pytest.approx(5)
    layer.weight.grad = None
    assert gradient_norm(layer).item() == 0


# -------------------- the average


@given(st.floats(0, 0.999), st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=5))
def test_the_average_is_the_closed_form(decay: float, path: list[float]):
    """After g_1 ... g_n the average is d^n g_0 + (1 - d) sum d^(n - i) g_i, for weights and statistics."""
    made = nn.BatchNorm1d(3)
    ema = EMA(made, decay)
    average, start = ema.module, ema.module.weight[0].item()
    for value in path:
        with torch.no_grad():
            made.weight.fill_(value)
            made.running_mean.fill_(value)
        ema.update(updates=10**9)  # so late that the decay is the full one
    n = len(path)
    expected = sum((1 - decay) * decay ** (n - i) * value for i, value in enumerate(path, 1))
    assert average.weight.tolist() == pytest.approx([decay**n * start + expected] * 3, rel=1e-4, abs=1e-4)
    assert average.running_mean.tolist() == pytest.approx([expected] * 3, rel=1e-4, abs=1e-4)
    assert made.weight.tolist() == pytest.approx([path[-1]] * 3)


def test_no_decay_is_no_memory():
    made = generator()
    ema = EMA(made, decay=0.0)
    made.load_state_dict(generator(7).state_dict())
    ema.update()
    assert_same_tensors(dict(ema.module.state_dict()), dict(made.state_dict()))


def test_the_average_rests():
    average = EMA(generator()).module
    assert not any(weight.requires_grad for weight in average.parameters())
    assert not any(module.training for module in average.modules())


def test_a_young_average_forgets_where_it_began():
    """In step s the decay is at most s / (s + 10), so that the first weights are soon forgotten."""
    trained = trainer(ema=0.9999, generator=generator())
    state = trained.state()
    expected = {name: value.clone() for name, value in state.average.named_parameters()}
    for step in range(1, 6):
        trained.advance(state, 100)
        decay = step / (step + 10)
        for name, value in state.generator.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in state.average.named_parameters():
        assert torch.allclose(value, expected[name], atol=1e-5), name


# -------------------- what a run draws


class Seen(nn.Module):
    """Lets samples or latents pass and keeps them by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Tensor] = []

    def forward(self, batch: Tensor) -> Tensor:
        if self.training:
            self.batches.append(batch.detach().clone())
        return batch

    def __deepcopy__(self, memo) -> "Seen":
        return Seen()


def test_every_draw_is_fresh():
    """Over three steps no two latents are equal, no two critic's steps see the same real batch."""
    latents, samples = Seen(), Seen()
    made = nn.Sequential(latents, generator())
    judge = nn.Sequential(samples, critic())
    trained = trainer(generator=made, critic=judge, latent_dim=4, constraint=Chain(), n_critic=3)
    state = trained.state()
    for _ in range(3):
        trained.advance(state, 100)
    assert len(latents.batches) == 3 * (3 + 1)
    values = torch.cat(latents.batches).flatten()
    assert len(values.unique()) > 0.999 * len(values)  # floats of one batch may coincide by chance
    assert len({bytes_of(latent) for latent in torch.cat(latents.batches)}) == 3 * 4 * 16
    # The critic sees real and fake in one batch, then in the generator's step fakes alone.
    real = [batch[:16] for batch in samples.batches if len(batch) == 32]
    assert len(real) == 3 * 3
    assert len({bytes_of(batch) for batch in real}) == len(real)
    fakes = [bytes_of(fake) for batch in samples.batches for fake in batch[-16:]]
    assert len(set(fakes)) == len(fakes) == 3 * 4 * 16


def test_a_paired_loss_draws_real_samples_of_its_own():
    samples = Seen()
    judge = nn.Sequential(samples, critic())
    trained = trainer(critic=judge, constraint=Chain(), n_critic=1, loss="relativistic")
    state = trained.state()
    for _ in range(3):
        trained.advance(state, 100)
    assert [len(batch) for batch in samples.batches] == [32] * 6
    assert len({bytes_of(batch[:16]) for batch in samples.batches}) == 6


def test_held_out_samples_never_reach_training():
    """In real digits some images might be equal, so here each sample bears its own number."""
    numbers = torch.linspace(-1, 1, 60)
    dataset = from_array(numbers.reshape(60, 1, 1, 1).expand(60, 1, 8, 8).clone())
    samples = Seen()
    judge = nn.Sequential(samples, critic())
    trained = trainer(critic=judge, data=dataset, constraint=Chain(), loss="relativistic")
    state = trained.state()
    for _ in range(60):
        trained.advance(state, 60)
    drawn = {sample.flatten()[0].item() for batch in samples.batches for sample in batch[:16]}
    held_out = {sample.flatten()[0].item() for sample in dataset.held_out.storage[dataset.held_out.rows]}
    train = {sample.flatten()[0].item() for sample in dataset.train.storage[dataset.train.rows]}
    assert drawn == train  # with replacement, but 60 * 3 * 16 draws leave none of 54 out
    assert not drawn & held_out


def test_what_training_and_the_held_out_gap_see_are_apart():
    assert not set(DIGITS.train.rows.tolist()) & set(DIGITS.held_out.rows.tolist())
    shown = spread(DIGITS.held_out, 256, torch.device("cpu"))
    assert {bytes_of(sample) for sample in shown} <= samples_of(DIGITS, DIGITS.held_out.rows)


def test_randomness_is_a_function_of_its_key():
    keys = [(seed, purpose, step, *rest) for seed in range(3) for purpose in range(3) for step in range(20)
            for rest in ((), (1,))]  # fmt: skip
    assert len({derive(*key) for key in keys}) == len(keys)
    assert all(0 <= derive(*key) < 2**63 for key in keys)
    cpu = torch.device("cpu")
    one, same, other = (
        torch.randn(5, generator=seed_global_rng(derive(*key), cpu)) for key in ((1, 2), (1, 2), (1, 3))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# -------------------- schedules


@pytest.mark.parametrize("n_critic", [1, 5, 100, 200])
def test_the_warm_up_is_that_of_the_original_code(n_critic: int):
    warm = [step for step in range(2000) if critic_steps(step, n_critic=n_critic, warm_up=True) != n_critic]
    expected = [*range(25), 500, 1000, 1500]
    assert warm == (expected if n_critic < 100 else [])
    assert critic_steps(3, n_critic=n_critic, warm_up=True) == max(100, n_critic)
    assert {critic_steps(step, n_critic=n_critic, warm_up=False) for step in range(2000)} == {n_critic}


@pytest.mark.slow
def test_a_step_is_n_critic_critic_steps_and_one_of_the_generator():
    latents = Seen()
    trained = trainer(generator=nn.Sequential(latents, generator()), latent_dim=4, n_critic=4, warm_up=True)
    state = trained.state()
    for step, expected in [(0, 101), (24, 101), (25, 5), (499, 5), (500, 101), (501, 5)]:
        latents.batches.clear()
        state.step = step
        trained.advance(state, 1000)
        assert len(latents.batches) == expected
        assert state.step == step + 1


class Constant(Constraint):
    """A penalty of 1 that moves nothing, and knows how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def penalty(self, critic, real, fake, labels=None, rng=None):
        self.asked += 1
        return torch.ones(())


@pytest.mark.slow
@pytest.mark.parametrize("n_critic", [1, 2, 5])
@pytest.mark.parametrize("every", [1, 2, 3, 4, 16])
def test_a_lazy_penalty_comes_every_kth_time_k_times_as_strong(n_critic: int, every: int):
    constraint = Constant()
    trained = trainer(constraint=constraint, n_critic=n_critic, penalty_every=every)
    state = trained.state()
    asked, means = [], []
    for _ in range(48):
        trained.advance(state, 100)
        asked.append(constraint.asked)
        means.append(state.means()["penalty"].item())
    assert asked == [-(-n_critic * step // every) for step in range(1, 49)]
    turns = [asked[0], *(now - before for before, now in pairwise(asked))]
    assert means == pytest.approx([every * turn / n_critic for turn in turns])


def test_a_lazy_penalty_is_as_strong_on_average():
    constraint = Constant()
    trained = trainer(constraint=constraint, n_critic=3, penalty_every=4)
    state = trained.state()
    for _ in range(40):
        trained.advance(state, 100)
    assert state.means()["penalty"].item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "begin", "middle", "end"),
    [("constant", 1, 1, 1), ("linear", 1, 0.5, 0), ("cosine", 1, 0.5, 0)],
)
def test_learning_rates_end_where_they_should(name: str, begin: float, middle: float, end: float):
    assert DECAYS.keys() == {"constant", "linear", "cosine"}
    factors = [DECAYS[name](done) for done in (0, 0.5, 1)]
    assert factors == pytest.approx([begin, middle, end])
    steps = [DECAYS[name](step / 100) for step in range(100)]
    assert steps == sorted(steps, reverse=True)
    assert min(steps) > 0


@pytest.mark.parametrize("optimisers", [BOTH_ADAM, BOTH_RMSPROP], ids=["adam", "rmsprop"])
def test_both_networks_learn_at_the_rate_of_the_step(optimisers):
    trained = trainer(decay="linear", **optimisers)
    state = trained.state()
    for step, factor in [(0, 1.0), (25, 0.75), (99, 0.01)]:
        state.step = step
        trained.advance(state, 100)
        for optimiser in (state.generator_optimiser, state.critic_optimiser):
            assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([1e-3 * factor])


@pytest.mark.parametrize("rate", [1.0, torch.tensor(1.0)], ids=["number", "where captured steps read it"])
def test_a_rate_that_is_set_is_used(rate):
    layer = nn.Linear(1, 1, bias=False)
    optimiser = torch.optim.SGD(layer.parameters(), lr=rate)
    set_rate(optimiser, 0.25)
    assert torch.equal(torch.as_tensor(rate), torch.tensor(1.0 if isinstance(rate, float) else 0.25))
    before = layer.weight.item()
    layer.weight.grad = torch.ones(1, 1)
    optimiser.step()
    assert layer.weight.item() == pytest.approx(before - 0.25)


@pytest.mark.parametrize("width", [8, 32, 128])
@pytest.mark.parametrize("depth", [1, 6])
def test_a_network_that_is_twice_as_large_has_half_of_the_rate(width: int, depth: int):
    made = MLPCritic((16,), hidden=(width,) * depth)
    size = 16 + width * depth
    for at, share in [(None, 1.0), (size, 1.0), (2 * size, 1.0), (size // 2, 0.5)]:
        (group,) = Adam(1e-2, size=at).build(made).param_groups
        assert group["lr"] == pytest.approx(1e-2 * share)


def test_a_decay_goes_on_from_the_rate_that_a_size_leaves():
    trained = trainer(decay="linear", critic_optimiser=Adam(1e-3, size=1))
    state = trained.state()
    state.step = 90
    trained.advance(state, 100)
    (group,) = state.critic_optimiser.param_groups
    assert group["lr"] == pytest.approx(1e-3 / size_of(state.critic) / 10)


def test_a_rate_that_is_changed_between_steps_is_taken_up():
    trained = trainer()
    state = trained.state()
    trained.advance(state, 100)
    trained.settings = changed(trained.settings, critic_optimiser=Adam(7e-3))
    trained.advance(state, 100)
    assert [group["lr"] for group in state.critic_optimiser.param_groups] == [7e-3]


def test_of_convolutions_the_inputs_of_an_output_count():
    network = nn.Sequential(nn.Conv2d(3, 5, 4), nn.ConvTranspose2d(5, 2, 4, stride=2), nn.LayerNorm(9))
    assert size_of(network) == 3 * 16 + 5 * 16 / 4


def test_a_rate_by_size_leaves_a_parametrised_network_as_it_is():
    network = SpectralNormalisation().wrap(MLPCritic((4,), hidden=(8,))).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Adam(size=1).build(network)
    assert_same_tensors(dict(network.state_dict()), before, "critic")


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_a_size_that_is_none(size):
    with pytest.raises(InputError, match="size must be a whole number of at least 1"):
        Adam(size=size)


# -------------------- looking on


@given(st.integers(8, 400), st.integers(1, 500))
def test_what_is_looked_at_is_spread_evenly(size: int, wanted: int):
    split = from_array(torch.arange(float(size))[:, None].expand(size, 2).clone()).train
    order = {value: place for place, value in enumerate(split.storage[split.rows][:, 0].tolist())}
    index = [order[value] for value in spread(split, wanted, torch.device("cpu"))[:, 0].tolist()]
    assert len(index) == min(wanted, len(split))
    assert index[0] == 0
    steps = [after - before for before, after in pairwise(index)]
    assert all(step >= 1 for step in steps)
    assert max(steps, default=1) - min(steps, default=1) <= 1
    assert len(split) - index[-1] <= max(steps, default=len(split)) + 1


# -------------------- runs that cannot be saved


@pytest.mark.parametrize("wild", [RMSprop(1e30), Adam(1e30)], ids=["rmsprop", "adam"])
def test_a_run_that_diverges_keeps_its_last_healthy_checkpoint(tmp_path, wild):
    logging = LoggingIntervals(metrics=5, images=1000, checkpoint=1000)
    monitor = Hook()
    settings = {"constraint": GradientPenalty(), "decay": "linear", "monitors": [monitor], "logging": logging}
    with pytest.raises(
        DivergenceError, match=r"diverged: .* not finite at step 5\. .*lower learning rate"
    ) as error:
        trainer(generator_optimiser=wild, critic_optimiser=wild, **settings).fit(tmp_path, 20)
    assert "\n" not in str(error.value)
    assert last(tmp_path).step == 0
    assert all(
        tensor.isfinite().all() for group in last(tmp_path).tensors.values() for tensor in group.values()
    )
    (row,) = RunFolder(tmp_path).history()
    assert row["step"] == 5
    assert None in row.values()
    assert monitor.logged[0][1]["critic_loss"] is None
    assert monitor.outcomes == ["failed"]


def test_a_run_that_diverges_between_two_log_points_is_not_saved(tmp_path):
    logging = LoggingIntervals(metrics=1000, images=1000, checkpoint=4)
    wild = RMSprop(1e30)
    asked = trainer(generator_optimiser=wild, critic_optimiser=wild, constraint=Chain(), logging=logging)
    with pytest.raises(DivergenceError, match="a weight is not finite at step 4"):
        asked.fit(tmp_path, 20)
    assert last(tmp_path).step == 0


def test_a_run_cannot_start_from_weights_that_are_not_finite(tmp_path):
    made = generator()
    with torch.no_grad():
        made.layers[0].bias[0] = torch.nan
    with pytest.raises(DivergenceError, match="step 0"):
        trainer(generator=made).fit(tmp_path, 5)


def test_the_numbers_of_a_log_point_are_means_over_its_window():
    trained = trainer()
    state = trained.state()
    state.add({"a": torch.tensor(1.0), "b": torch.tensor(5.0)})
    state.add({"a": torch.tensor(2.0)})
    assert {name: value.item() for name, value in state.means().items()} == {"a": 1.5, "b": 5.0}
    assert state.means() == {}

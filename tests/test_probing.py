"""How far a critic is from its optimum: the statistics in closed form, and runs of which one knows it."""

import json
from dataclasses import replace
from math import isfinite

import pytest
import torch
from small_runs import DIGITS, assert_same_tensors, tree
from small_runs import trainer as small_trainer

from wgan.cli import main
from wgan.deploy.distillation import Distillation, distil
from wgan.diagnosis import History, diagnose
from wgan.errors import InputError
from wgan.lipschitz import GradientPenalty, Orthogonal, SpectralNormalisation, WeightClipping
from wgan.networks import MLP
from wgan.probing import _compare, _CriticScores, probe_critic, trainer_of
from wgan.runs import RunFolder
from wgan.training import Adam, LoggingIntervals, Trainer, critic_step, recipe, training_step
from wgan.training.observe import Scored
from wgan.training.observe.dead_units import RectifiedUnits

SOUND = replace(
    recipe("default", DIGITS.shape),
    networks=MLP(latent_dim=8, generator_hidden=(32, 32), critic_hidden=(64, 64)),
    n_critic=5,
    logging=LoggingIntervals(metrics=10, images=1000, checkpoint=1000),
    decay="constant",
)
STARVED = replace(SOUND, n_critic=1, critic_optimiser=Adam(1e-8, (0.0, 0.9)))


def run(settings, folder, steps=60):
    Trainer(DIGITS, settings=settings, device="cpu").fit(folder, steps)
    return folder


@pytest.fixture(scope="module")
def starved(tmp_path_factory):
    return run(STARVED, tmp_path_factory.mktemp("starved") / "run")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return run(SOUND, tmp_path_factory.mktemp("sound") / "run")


def judged(held_out, fake, excess=1.0):
    return _CriticScores(
        Scored(torch.empty(0), fake, held_out, held_out, RectifiedUnits(), RectifiedUnits()), excess
    )


def compared(now, then):
    return _compare(now, then, step=1, steps=2)


def normal(count, seed):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.25, 1.0, -0.5])
def test_a_critic_that_is_another_one_times_a_number_has_that_share_without_doubt(share):
    held_out, fake = 5 + normal(200, 0), normal(100, 1)
    found = compared(judged(share * held_out, share * fake), judged(held_out, fake))
    assert [found.share, found.low, found.high] == pytest.approx([share] * 3, abs=1e-5)


def test_a_steeper_critic_is_not_a_better_one():
    held_out, fake = 5 + normal(200, 0), normal(100, 1)
    found = compared(judged(held_out, fake), judged(4 * held_out, 4 * fake, excess=4.0))
    assert found.share == pytest.approx(1.0)
    assert found.reached == pytest.approx(4 * found.gap)


def test_where_no_critic_sees_a_difference_there_is_no_share():
    found = compared(judged(normal(500, 0), normal(500, 1)), judged(normal(500, 2), normal(500, 3)))
    assert (found.share, found.low, found.high) == (None, None, None)


def test_the_interval_holds_the_share_as_often_as_it_says():
    held = 0
    for seed in range(0, 2000, 4):
        real, fake, noise, other = (normal(200, seed + index).double() for index in range(4))
        then = judged(1 + real, fake)
        found = compared(judged(0.4 * (1 + real) + noise, 0.4 * fake + other), then)
        held += found.low <= 0.4 <= found.high
    assert 0.97 <= held / 500 <= 1.0


@pytest.mark.slow
def test_a_starved_critic_is_found_and_a_sound_one_is_not(starved, sound):
    for folder, expected in ((starved, True), (sound, False)):
        found = probe_critic(trainer_of(folder, device="cpu"), folder)
        assert (found.step, found.steps) == (60, 200)
        assert (found.high < 0.1) == expected
        history = replace(History.load(folder), probe=found.plain())
        findings = {finding.name: finding for finding in diagnose(history)}
        assert ("critic-starved" in findings) == expected
        if expected:
            assert findings["critic-starved"].evidence["probe_high"] == pytest.approx(found.high, rel=1e-3)


@pytest.mark.slow
def test_a_probe_leaves_the_run_and_its_trainer_as_they_are_and_is_the_same_again(sound):
    trainer, before = trainer_of(sound, device="cpu"), tree(sound)
    networks = torch.nn.ModuleList([trainer.generator, trainer.critic])
    weights = {name: tensor.clone() for name, tensor in networks.state_dict().items()}
    noise = torch.get_rng_state()
    one = probe_critic(trainer, sound, steps=7)
    assert one.steps == 10  # whole steps of the run
    assert probe_critic(trainer, sound, steps=7) == one
    assert_same_tensors(dict(networks.state_dict()), weights)
    assert torch.equal(torch.get_rng_state(), noise)
    assert tree(sound) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "constraint", [GradientPenalty(), WeightClipping(0.05), SpectralNormalisation(), Orthogonal()]
)
def test_every_kind_of_constraint_can_be_probed(tmp_path, constraint):
    folder = run(replace(SOUND, constraint=constraint), tmp_path / "run", steps=10)
    found = probe_critic(trainer_of(folder, device="cpu"), folder, steps=20)
    assert (found.step, found.steps) == (10, 20)
    assert isfinite(found.gap)
    assert isfinite(found.reached)
    assert found.reached != found.gap  # the critic went on learning


@pytest.mark.slow
def test_only_what_can_be_probed_is(tmp_path, sound):
    with pytest.raises(InputError, match="is not a run folder"):
        trainer_of(tmp_path)
    small_trainer().fit(tmp_path / "python", 1)
    with pytest.raises(InputError, match="is not one of wgan's own networks"):
        trainer_of(tmp_path / "python")
    assert probe_critic(small_trainer(), tmp_path / "python", steps=4).step == 1
    with pytest.raises(InputError, match="other settings"):
        probe_critic(Trainer(DIGITS, settings=STARVED, device="cpu"), sound)
    with pytest.raises(InputError, match="steps"):
        probe_critic(trainer_of(sound, device="cpu"), sound, steps=0)
    empty = RunFolder(tmp_path / "empty")
    empty.path.mkdir()
    empty.write_config(RunFolder(sound).read_config())
    with pytest.raises(InputError, match="no checkpoint"):
        probe_critic(trainer_of(empty.path, device="cpu"), empty.path)


@pytest.mark.slow
def test_the_command_tells_and_prints_what_it_found(starved, capsys):
    words = ["diagnose", str(starved), "--probe", "--device", "cpu"]
    assert main(words) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "% of the gap that 200 more steps on the generator of step 60 reach (with 99 % confidence" in told
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["probe"]["steps"] == 200
    assert "critic-starved" in [finding["name"] for finding in found["findings"]]


@pytest.mark.slow
def test_a_probe_takes_no_warm_up(tmp_path, monkeypatch):
    folder = run(replace(SOUND, warm_up=True), tmp_path / "run", steps=1)
    taken = []

    def counted(*arguments, **named):
        taken.append(1)
        return critic_step(*arguments, **named)

    monkeypatch.setattr(training_step, "critic_step", counted)
    found = probe_critic(trainer_of(folder, device="cpu"), folder, steps=10)
    assert found.steps == len(taken) == 10


def test_a_trainer_with_an_optimiser_of_torch_can_be_probed(tmp_path):
    settings = {"generator_optimiser": torch.optim.AdamW, "critic_optimiser": torch.optim.AdamW}
    trainer = Trainer(DIGITS, settings=SOUND, device="cpu", **settings)
    trainer.fit(tmp_path / "run", 2)
    assert probe_critic(trainer, tmp_path / "run", steps=5).steps == 5


def test_a_distilled_run_is_probed_by_its_trainer_only(tmp_path):
    teacher = run(SOUND, tmp_path / "run", steps=1)
    student = distil(teacher, tmp_path / "student", Distillation(steps=1), device="cpu").path
    with pytest.raises(InputError, match="trained with an auxiliary loss"):
        trainer_of(student)

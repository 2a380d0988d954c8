"""A student is a run like any other, narrower, that makes of each latent what its teacher makes."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import OTHER, Hook, assert_same_run, last

from wgan.deploy import distil
from wgan.deploy.distillation import Distillation, Imitation, features, narrower
from wgan.deploy.trained_generator import TrainedGenerator
from wgan.errors import InputError
from wgan.networks import MLP, DCGANGenerator, MLPGenerator, R3GANGenerator, ResNetGenerator, build, describe
from wgan.sampling import Sampler
from wgan.training import Trainer

QUARTER = Distillation(size=0.25, steps=60)


@pytest.fixture(scope="session")
def student(run, tmp_path_factory):
    return distil(run, tmp_path_factory.mktemp("runs") / "student", QUARTER, device="cpu").path


class Interrupter(Hook):
    """Sends what Ctrl-C sends, at the second log point."""

    def log(self, step, values):
        if step == 40:
            signal.raise_signal(signal.SIGINT)


def weights(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.slow
def test_a_student_is_a_run_with_at_most_a_quarter_of_the_weights(run, student):
    teacher, taught = Sampler.load(run, device="cpu"), Sampler.load(student, device="cpu")
    assert (taught.latent_dim, taught.classes, taught.step) == (teacher.latent_dim, teacher.classes, 60)
    assert taught(5).shape == teacher(5).shape
    assert 0.1 < weights(taught.generator) / weights(teacher.generator) <= 0.25
    rows = [json.loads(line) for line in (student / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 40, 60]
    assert all(row["auxiliary_loss"] > 0 for row in rows)


@pytest.mark.slow
def test_by_itself_a_student_sees_as_many_samples_as_its_teacher_64_at_a_time(run, tmp_path):
    there = distil(run, tmp_path / "student", device="cpu")
    own, taught = TrainedGenerator.load(run).config, there.read_config()
    assert own["batch_size"] < taught["batch_size"] == 64
    more = taught["steps"] * taught["batch_size"] - own["steps"] * own["batch_size"]
    assert 0 <= more < 64


def test_a_student_inherits_every_setting_of_its_teacher(tmp_path, monkeypatch):
    other = {
        name: value
        for name, value in OTHER.items()
        if name not in ("networks", "augment", "precision", "latent_dim", "steps")
    }
    networks = MLP(latent_dim=3, generator_hidden=(8,), critic_hidden=(8,))
    trainer = Trainer("digits", networks=networks, steps=1, **other)
    trainer.fit(tmp_path / "teacher", progress=False)
    students = []
    monkeypatch.setattr(Trainer, "fit", lambda student, folder: students.append(student))
    distil(tmp_path / "teacher", tmp_path / "student", device="cpu")
    inherited = replace(trainer.settings, latent_dim=3, batch_size=64)
    assert students[0].settings == replace(
        inherited, generator_optimiser=replace(inherited.generator_optimiser, lr=1e-2)
    )


@pytest.mark.slow
def test_it_comes_nearer_to_its_teacher(run, tmp_path):
    there = distil(run, tmp_path / "student", Distillation(0.75, 800, pixel=30, feature=0), device="cpu").path
    torch.manual_seed(0)  # of the network that nobody taught
    teacher, taught = TrainedGenerator.load(run), TrainedGenerator.load(there)
    given = teacher.feed(64, seed=3)
    untaught = replace(
        taught, sampler=replace(taught.sampler, generator=build(taught.config["generator"]).eval())
    )
    apart = [float(np.abs(one.forward(given) - teacher.forward(given)).mean()) for one in (taught, untaught)]
    assert apart[0] < 0.75 * apart[1]


@pytest.mark.slow
def test_it_goes_on_where_it_was(run, student, tmp_path):
    there = tmp_path / "student"
    with pytest.raises(KeyboardInterrupt):
        distil(run, there, QUARTER, device="cpu", monitors=[Interrupter()])
    assert last(there).step < 60
    distil(run, there, QUARTER, device="cpu")
    assert_same_run(there, student)


@pytest.mark.slow
def test_another_teacher_or_size_is_another_run(run, student):
    for changes, named in (({"size": 0.5}, "generator.width"), ({"pixel": 2.0}, "auxiliary_loss.pixel")):
        with pytest.raises(InputError, match=named):
            distil(run, student, replace(QUARTER, **changes), device="cpu")


def test_the_critic_it_begins_with_is_the_trained_one(run, tmp_path):
    """After one step with a learning rate of nearly nothing, the critic still is its teacher's."""
    trained = last(run).tensors["critic"]
    there = distil(run, tmp_path / "short", Distillation(steps=1), device="cpu").path
    begun = last(there).tensors["critic"]
    moved = max(float((begun[name] - value).abs().max()) for name, value in trained.items())
    assert 0 < moved <= 0.01  # one step of Adam moves a weight by its rate at most


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "in \\(0, 1\\)"),
        ({"size": 1}, "in \\(0, 1\\)"),
        ({"size": float("nan")}, "in \\(0, 1\\)"),
        ({"pixel": -1}, "pixel and feature"),
        ({"feature": float("inf")}, "pixel and feature"),
        ({"steps": 0}, "steps"),
    ],
)
def test_what_cannot_be_is_refused(run, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        distil(run, tmp_path / "student", Distillation(**settings), device="cpu")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "network",
    [
        DCGANGenerator((1, 8, 8), width=32),
        DCGANGenerator((1, 8, 8), width=24, norm="group"),
        MLPGenerator((2,), hidden=(40, 60)),
        ResNetGenerator((1, 8, 8), width=32),
        R3GANGenerator((1, 8, 8), width=32),
        DCGANGenerator((1, 8, 8), width=1),
    ],
)
@pytest.mark.parametrize("size", [0.01, 0.25, 0.9])
def test_every_family_has_narrower_members(network, size):
    described = json.loads(json.dumps(describe(network)))
    smaller = build(narrower(described, size))
    assert type(smaller) is type(network)
    narrowest = weights(build(narrower(described, 1e-9)))
    assert weights(smaller) <= max(size * weights(network), narrowest)
    points = torch.randn(2, network.latent_dim)
    assert smaller.eval()(points).shape == network.eval()(points).shape


def test_a_student_is_as_wide_as_its_share_allows():
    described = json.loads(json.dumps(describe(DCGANGenerator((1, 28, 28), width=24))))
    whole, width = weights(build(described)), narrower(described, 0.25)["width"]
    shares = [weights(build(described | {"width": width + more})) / whole for more in (0, 1)]
    assert shares[0] <= 0.25 < shares[1]


def test_a_network_of_ones_own_has_no_narrower_one():
    with pytest.raises(InputError, match=r"needs one of DCGANGenerator.* is my\.Net"):
        narrower({"network": "my.Net"}, 0.25)


def test_the_distance_is_that_of_the_equation():
    """For a linear critic of one hidden layer, written out."""
    torch.manual_seed(0)
    teacher, critic = torch.nn.Linear(3, 4), torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Linear(5, 1))
    points, fake = torch.randn(6, 3), torch.randn(6, 4, requires_grad=True)
    target = teacher(points).detach()
    (hidden,) = features(critic, target, None)
    torch.testing.assert_close(hidden, critic[0](target))
    expected = (
        2 * (fake - target).norm(dim=1).mean()
        + 3 * target.norm(dim=1).mean() * ((critic[0](fake) - hidden).norm(dim=1) / hidden.norm(dim=1)).mean()
    )
    found = Imitation(teacher, critic, {}, pixel=2.0, feature=3.0)(points, None, fake)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert fake.grad is not None
    torch.testing.assert_close(Imitation(teacher, critic, {})(points, None, target), torch.tensor(0.0))
    assert not critic[0]._forward_pre_hooks

"""Labels in both networks, in steps and constraints, in a run and in its sampler."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.overrides import TorchFunctionMode

import wgan
from wgan.cli import main
from wgan.data import load
from wgan.errors import InputError
from wgan.labels import class_number, cycle_classes
from wgan.lipschitz import (
    R1,
    Chain,
    GradientPenalty,
    SpectralNormalisation,
    WeightClipping,
    score,
    score_pair,
)
from wgan.losses import LOSSES, ClassificationWeights
from wgan.networks import DCGAN, MLP, R3GAN, Condition, ResNet, build, describe, generate
from wgan.networks.conditioning import LabelEncoder
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.training import Adam, LoggingIntervals, Trainer, recipe
from wgan.training.batches import BatchSampler, condition_of
from wgan.training.objective import Batch, Objective
from wgan.training.state import State
from wgan.training.step import critic_step, generator_step

CLASSES, ATTRIBUTES = Condition(classes=3), Condition(attributes=((10.0, 2.0), (0.0, 1.0)))
IMAGE, VECTOR = (1, 8, 8), (5,)
FAMILIES = {
    "MLP, embedding, projection": (MLP(latent_dim=4, generator_hidden=(16,), critic_hidden=(16,)), VECTOR),
    "MLP on images, concatenation": (
        MLP(
            latent_dim=4, generator_hidden=(16, 16), critic_hidden=(16,), critic_conditioning="concatenation"
        ),
        IMAGE,
    ),
    "MLP, norm": (
        MLP(
            latent_dim=4,
            generator_hidden=(16, 16),
            critic_hidden=(16,),
            generator_norm="batch",
            generator_conditioning="norm",
        ),
        VECTOR,
    ),
    "DCGAN, embedding, projection": (DCGAN(latent_dim=4, generator_width=4, critic_width=4), IMAGE),
    "DCGAN, norm, concatenation": (
        DCGAN(
            latent_dim=4,
            generator_width=4,
            critic_width=4,
            generator_conditioning="norm",
            critic_conditioning="concatenation",
        ),
        IMAGE,
    ),
    "DCGAN, max-pool": (DCGAN(latent_dim=4, generator_width=4, critic_width=4, head="max-pool"), IMAGE),
    "ResNet, norm, projection": (
        ResNet(latent_dim=4, generator_width=4, critic_width=4, attention=True, generator_spectral=True),
        IMAGE,
    ),
    "ResNet, embedding, concatenation": (
        ResNet(
            latent_dim=4,
            generator_width=4,
            critic_width=4,
            generator_conditioning="embedding",
            critic_conditioning="concatenation",
        ),
        IMAGE,
    ),
    "R3GAN, embedding, projection": (
        R3GAN(latent_dim=4, generator_width=4, critic_width=4, group_size=4),
        IMAGE,
    ),
}


def labels_of(condition, count):
    torch.manual_seed(1)
    if condition.classes:
        return torch.arange(count) % condition.classes
    return torch.randn(count, condition.size) * 2 + 10


def built(name, condition):
    family, shape = FAMILIES[name]
    torch.manual_seed(0)
    generator, critic = family.build(shape, condition)
    return generator, critic, shape


# ------------------------------------------------------------------------------------- the encoding


@given(st.integers(2, 50), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_an_encoded_class_has_a_mean_square_of_one(classes, count, seed):
    labels = torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))
    encoded = LabelEncoder(Condition(classes=classes)).encode(labels)
    assert encoded.shape == (count, classes)
    assert torch.allclose(encoded.square().mean(1), torch.ones(count))
    assert torch.equal(encoded.argmax(1), labels)


def test_attributes_are_encoded_as_standard_deviations_from_their_mean():
    encoded = LabelEncoder(ATTRIBUTES).encode(torch.tensor([[12.0, -1.0]]))
    assert torch.allclose(encoded, torch.tensor([[1.0, -1.0]]))


def test_a_mixture_of_classes_is_encoded_as_their_weighted_mean():
    encode = LabelEncoder(CLASSES).encode
    one, other = (encode(torch.tensor([label])) for label in (0, 2))
    assert torch.allclose(encode(torch.tensor([[0.5, 0.0, 0.5]])), (one + other) / 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"classes": 1},
        {"classes": 3, "attributes": ((0, 1),)},
        {"attributes": ((0, 0),)},
        {"attributes": ((0, float("nan")),)},
    ],
)
def test_an_invalid_condition_is_an_error(arguments):
    with pytest.raises(InputError):
        Condition(**arguments)


@pytest.mark.parametrize("labels", [None, torch.zeros(2, 4), torch.zeros(2), torch.zeros(2, 3, 1)])
def test_labels_that_do_not_fit_are_an_error(labels):
    with pytest.raises(InputError, match=r"labels|Labels"):
        LabelEncoder(CLASSES).encode(labels)


# ------------------------------------------------------------------------------------- the networks


@pytest.mark.parametrize("condition", [CLASSES, ATTRIBUTES], ids=["classes", "attributes"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_label_changes_the_sample_and_the_score_of_its_own_row_alone(name, condition):
    generator, critic, shape = built(name, condition)
    generator.eval()
    for weight in generator.parameters():  # scales by the label start at zero
        weight.data += 0.1 * torch.randn_like(weight)
    latents, labels = torch.randn(6, 4), labels_of(condition, 6)
    changed = labels.clone()
    changed[0] = labels[1]
    samples = generate(generator, latents, labels)
    assert samples.shape == (6, *shape)
    moved = (generate(generator, latents, changed) - samples).flatten(1).abs().amax(1)
    assert moved[0] > 1e-4
    assert moved[1:].max() < 1e-5
    shifted = (score(critic, samples, changed) - score(critic, samples, labels)).abs()
    assert shifted[0] > 1e-6
    assert shifted[1:].max() < 1e-5


class NothingFromNumbers(TorchFunctionMode):
    """Lets no Python numbers become a tensor, for which a GPU would have to stop."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        assert function not in (torch.tensor, torch.as_tensor)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_moments_of_attributes_are_on_the_networks_device_and_are_not_saved(name):
    generator, critic, shape = built(name, ATTRIBUTES)
    assert not [key for network in (generator, critic) for key in network.state_dict() if "moments" in key]
    for device in ("cpu", "meta"):
        latents, labels = torch.randn(6, 4, device=device), labels_of(ATTRIBUTES, 6).to(device)
        with NothingFromNumbers():
            samples = generate(generator.to(device), latents, labels)
            scored = critic.to(device)(samples, labels)
        assert (samples.device.type, scored.device.type) == (device, device)
        assert (samples.shape, scored.shape) == ((6, *shape), (6,))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_description_builds_the_same_network(name):
    for network in built(name, CLASSES)[:2]:
        described = json.loads(json.dumps(describe(network)))
        again = build(described)
        assert describe(again) == describe(network)
        assert [p.shape for p in again.parameters()] == [p.shape for p in network.parameters()]


@pytest.mark.parametrize("name", FAMILIES)
def test_without_a_condition_labels_are_refused_and_nothing_is_changed(name):
    generator, critic, shape = built(name, None)
    assert "condition" not in describe(generator)
    with pytest.raises(InputError, match="takes no labels"):
        generator(torch.randn(2, 4), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="takes no labels"):
        critic(torch.randn(2, *shape), torch.tensor([0, 1]))


def test_a_projection_adds_the_product_of_label_and_features():
    _, critic, shape = built("MLP, embedding, projection", CLASSES)
    samples, labels = torch.randn(4, *shape), torch.tensor([0, 1, 2, 1])
    features = critic.layers[:-1](samples)
    rows = critic.labels.embedding.weight.T[labels] * 3**0.5
    expected = critic.layers[-1](features).squeeze(1) + (features * rows).sum(1)
    assert torch.allclose(score(critic, samples, labels), expected, atol=1e-6)


def test_a_conditional_norm_starts_as_the_norm_alone():
    generator, _, _ = built("DCGAN, norm, concatenation", CLASSES)
    latents = torch.randn(8, 4)
    one, other = (generate(generator, latents, torch.full((8,), label)) for label in (0, 1))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("family", "condition", "message"),
    [
        (MLP(generator_conditioning="norm"), CLASSES, "norm='batch'"),
        (MLP(critic_conditioning="auxiliary"), ATTRIBUTES, "predicts classes"),
        (MLP(critic_conditioning="other"), CLASSES, "one of projection"),
        (DCGAN(generator_conditioning="other"), CLASSES, "one of embedding"),
    ],
)
def test_conditioning_that_cannot_work_is_an_error(family, condition, message):
    with pytest.raises(InputError, match=message):
        family.build(IMAGE, condition)


# ------------------------------------------------------------------------- steps, losses, constraints


def step(critic, generator, shape, *, loss="wasserstein", constraint=None, classification=None, labels):
    real = torch.randn(len(labels), *shape).tanh()
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(len(labels), 4, generator=rng)
    objective = Objective(LOSSES[loss], constraint or Chain(), classification)
    state = State(generator, critic, *(Adam(1e-2).build(network) for network in (generator, critic)))
    first = critic_step(state, objective, Batch(real, labels), latents, rng)
    return first | generator_step(state, objective, latents, real=Batch(real, labels))


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic"])
@pytest.mark.parametrize(
    "constraint", [GradientPenalty(), R1(), WeightClipping(0.1), SpectralNormalisation()], ids=repr
)
@pytest.mark.parametrize("name", FAMILIES)
def test_constraints_work_with_labels(name, constraint, loss):
    generator, critic, shape = built(name, CLASSES)
    for weight in critic.parameters():  # branches that end in zeros have no norm to divide by
        weight.data += 0.1 * torch.randn_like(weight)
    critic = constraint.wrap(critic)
    numbers = step(critic, generator, shape, loss=loss, constraint=constraint, labels=labels_of(CLASSES, 6))
    assert all(torch.isfinite(number) for number in numbers.values())
    moved = [p.grad is not None and bool(p.grad.any()) for p in critic.labels.parameters()]
    assert all(moved)


def test_the_penalty_is_that_of_the_critic_of_each_label():
    """For f(x, y) = a_y x the slope is |a_y|, so that the two-sided penalty is the mean of (|a_y| - 1)^2."""

    class Slopes(nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = nn.Parameter(torch.tensor([0.0, 1.0, 3.0]))

        def forward(self, samples, labels):
            return self.slope[labels] * samples[:, 0]

    labels = torch.tensor([0, 1, 2, 2])
    real, fake = torch.randn(4, 1), torch.randn(4, 1)
    penalty = GradientPenalty(1.0).penalty(Slopes(), real, fake, labels)
    assert penalty.item() == pytest.approx((1 + 0 + 4 + 4) / 4)
    one, other = score_pair(Slopes(), real, fake, labels)
    assert torch.allclose(one, torch.tensor([0.0, 1.0, 3.0, 3.0]) * real[:, 0])
    assert torch.allclose(other, torch.tensor([0.0, 1.0, 3.0, 3.0]) * fake[:, 0])


def test_an_auxiliary_classifier_learns_and_its_loss_has_its_weight():
    family = MLP(latent_dim=4, generator_hidden=(16,), critic_hidden=(16,), critic_conditioning="auxiliary")
    torch.manual_seed(0)
    generator, critic = family.build(VECTOR, CLASSES)
    labels = labels_of(CLASSES, 30)
    real = torch.randn(30, 5) + 3 * torch.nn.functional.one_hot(labels, 5)
    assert torch.equal(score(critic, real, labels), score(critic, real, labels.flip(0)))
    optimiser = Adam(1e-2, (0.0, 0.9)).build(critic)
    losses = []
    for weight in (2.0, *[1.0] * 60):
        numbers = critic_step(
            State(generator, critic, None, optimiser),
            Objective(LOSSES["wasserstein"], GradientPenalty(), ClassificationWeights(weight)),
            Batch(real, labels),
            torch.randn(30, 4),
            torch.Generator().manual_seed(0),
        )
        losses.append(numbers["critic_classification"].item())
    assert losses[0] == pytest.approx(2 * np.log(3), rel=0.5)
    assert losses[-1] < 0.2
    assert (critic.logits(real).argmax(1) == labels).float().mean() > 0.95
    with pytest.raises(InputError, match="no auxiliary classifier"):
        built("MLP, embedding, projection", CLASSES)[1].logits(real)


# ------------------------------------------------------------------------------------------- the data


def labelled(labels, count=200, shape=(5,)):
    samples = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    return load(samples, labels=labels)


def test_balanced_draws_reach_rare_classes_as_often_as_others():
    labels = np.repeat([0, 1, 3], [180, 15, 5])  # nobody is of class 2
    dataset = labelled(labels)
    rng = torch.Generator().manual_seed(0)
    cpu = torch.device("cpu")
    drawn = BatchSampler(dataset.train, labelled=True, balanced=True, device=cpu).draw(6000, rng)
    assert drawn.labels.bincount().tolist() == pytest.approx([2000, 2000, 0, 2000], abs=200)
    plain = BatchSampler(dataset.train, labelled=True, balanced=False, device=cpu).draw(6000, rng)
    assert plain.labels.bincount()[0] > 4800


@pytest.mark.parametrize("balanced", [False, True])
def test_a_drawn_label_is_that_of_its_sample(balanced):
    labels = np.random.default_rng(1).integers(0, 4, 200)
    samples = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    samples[:, 0] = labels
    dataset = load(samples, labels=labels)
    draws = BatchSampler(dataset.train, labelled=True, balanced=balanced, device=torch.device("cpu"))
    batch = draws.draw(500, torch.Generator().manual_seed(0))
    assert torch.equal(batch.samples[:, 0].long(), batch.labels)


def test_attributes_come_with_the_moments_of_what_training_sees():
    attributes = np.random.default_rng(0).normal([10, -1], [2, 0.5], (200, 2))
    dataset = labelled(attributes)
    assert dataset.classes is None
    known = attributes[dataset.train.rows.numpy()]
    found = np.array(condition_of(dataset).attributes)
    assert np.allclose(found, np.stack([known.mean(0), known.std(0)], 1), atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "has no labels"),
        (np.zeros(200, int), "only one class"),
        (np.stack([np.arange(200.0), np.ones(200)], 1), "Attribute 1 .* is constant"),
    ],
)
def test_labels_that_distinguish_nothing_are_an_error(labels, message):
    with pytest.raises(InputError, match=message):
        condition_of(labelled(labels))


# --------------------------------------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    dataset = load("digits")
    some = replace(
        recipe("default", dataset.shape), conditional=True, logging=LoggingIntervals(metrics=100, images=200)
    )
    return Trainer(dataset, settings=some, device="cpu", monitors=[]).fit(
        tmp_path_factory.mktemp("runs") / "digits", 400
    )


@pytest.mark.slow
def test_a_conditional_generator_generates_the_requested_class(trained):
    """Samples of a class are nearest to the mean of that class's real images."""
    dataset = load("digits")
    real, kinds = dataset.held_out.batch(torch.arange(len(dataset.held_out))), dataset.held_out.labels
    kinds = kinds[dataset.held_out.rows]
    means = torch.stack([real[kinds == label].mean(0).flatten() for label in range(10)])
    sampler = Sampler.load(trained.path, device="cpu")
    assert sampler.classes == tuple("0123456789")
    labels = cycle_classes(500, 10)
    samples = sampler.from_latents(sampler.latents(500), labels)
    right = torch.cdist(samples.flatten(1), means).argmin(1) == torch.from_numpy(labels)
    assert right.float().mean() > 0.7
    assert torch.equal(sampler(500), samples)  # by default every class in turn
    assert torch.equal(sampler(3, label="7"), sampler.from_latents(sampler.latents(3), [7, 7, 7]))


@pytest.mark.slow
def test_a_resumed_conditional_run_is_the_run_that_was_not_interrupted(tmp_path):
    dataset = load("digits")
    some = replace(
        recipe("default", dataset.shape),
        conditional=True,
        balanced=True,
        logging=LoggingIntervals(metrics=2, checkpoint=1),
    )

    def weights(name, *stops):
        for stop in stops:
            trainer = Trainer(dataset, settings=some, device="cpu", monitors=[])
            folder = trainer.fit(tmp_path / name, 6, stop=stop)
        assert [row["step"] for row in folder.history()] == [2, 4, 6]
        return torch.cat([weight.flatten() for weight in trainer.critic.parameters()])

    def at_once(_):
        return True

    assert torch.equal(weights("whole", None), weights("interrupted", at_once, None))


@pytest.mark.slow
def test_the_configuration_names_the_classes(trained):
    config = trained.read_config()
    assert config["labels"] == {"classes": list("0123456789")}
    assert config["generator"]["condition"] == asdict(Condition(classes=10)) | {"attributes": []}


def test_images_of_a_conditional_run_have_a_row_for_each_class(trained):
    with Image.open(sorted((trained.path / "samples").glob("*.png"))[-1]) as sheet:
        assert sheet.height / sheet.width == pytest.approx(10 / 8, rel=0.02)


def test_the_command_line_samples_a_class_and_refuses_an_unknown_one(trained, tmp_path, capsys):
    out = tmp_path / "x.npz"
    arguments = ["sample", str(trained.path), "--count", "3", "--out", str(out), "--device", "cpu"]
    assert main([*arguments, "--label", "4"]) == 0
    first = np.load(out)
    assert first["labels"].tolist() == [4, 4, 4]
    before = out.read_bytes()
    assert main([*arguments, "--label", "boot"]) == 2
    assert "no class 'boot'" in capsys.readouterr().err
    assert main([*arguments, "--truncation", "0"]) == 2
    assert out.read_bytes() == before
    assert main([*arguments, "--label", "all"]) == 0
    assert np.load(out)["labels"].tolist() == np.repeat(np.arange(10), 3).tolist()
    assert main([*arguments, "--truncation", "0.5"]) == 0
    assert np.allclose(np.load(out)["latents"], first["latents"] / 2)


def test_a_conditional_run_can_be_evaluated(trained):
    numbers = wgan.evaluate(trained.path, metrics=["fd"], device="cpu")
    assert numbers


@pytest.mark.slow
def test_attributes_reach_the_samples(tmp_path):
    """A generator of points on a circle by their angle puts them at the requested angle."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(-1, 1, 2000)
    points = np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(0, 0.05, (2000, 2))
    dataset = load(points.astype(np.float32), labels=angle)
    some = replace(recipe("default", (2,)), conditional=True)
    folder = Trainer(dataset, settings=some, device="cpu", monitors=[]).fit(tmp_path / "run", 400)
    sampler = Sampler.load(folder.path, device="cpu")
    low, high = sampler(200, label=[-0.8]), sampler(200, label=[0.8])
    assert low[:, 1].mean() < -0.3
    assert high[:, 1].mean() > 0.3
    with pytest.raises(InputError, match="1 attribute"):
        sampler(5)


def test_an_unlabelled_dataset_is_refused_before_anything_is_written(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "swiss-roll", "--conditional", "--steps", "1", "--out", str(out)]) == 2
    assert "train without `conditional`" in capsys.readouterr().err
    assert not RunFolder(out).exists


# --------------------------------------------------------------------------------------------- names


def test_a_label_is_a_class_name_before_it_is_a_number():
    assert class_number("1", ("1", "0")) == 0
    assert class_number(1, ("zero", "one")) == 1
    assert class_number("one", ("zero", "one")) == 1


@pytest.mark.parametrize("label", [2, -1, "two", "", "9" * 500])
def test_unknown_classes_are_an_error(label):
    with pytest.raises(InputError, match="There is no class"):
        class_number(label, ("zero", "one"))


def test_a_class_is_an_error_where_there_are_no_classes():
    with pytest.raises(InputError, match="no classes"):
        class_number(0, None)

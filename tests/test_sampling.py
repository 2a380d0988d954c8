import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import wgan
from wgan.errors import InputError, StorageError
from wgan.images import grid, to_image
from wgan.latents import draw_latents
from wgan.lipschitz import GradientPenalty
from wgan.networks import DCGAN, MLP, build
from wgan.sampling import BATCH, Sampler, save_samples
from wgan.training import Adam, Trainer

FAST = Adam(1e-2, (0.0, 0.9))


def run(folder, family, dataset, steps=3):
    """A few steps: the average is then neither the generator nor where it started."""
    data = wgan.data.load(dataset)
    generator, critic = family.build(data.shape)
    Trainer(
        generator=generator,
        critic=critic,
        data=data,
        constraint=GradientPenalty(1.0),
        n_critic=1,
        batch_size=8,
        generator_optimiser=FAST,
        critic_optimiser=FAST,
        device="cpu",
    ).fit(folder, steps)
    return folder


@pytest.fixture(scope="module")
def images_run(tmp_path_factory):
    family = DCGAN(latent_dim=4, generator_width=4, critic_width=4)
    return run(tmp_path_factory.mktemp("runs") / "images", family, "digits")


@pytest.fixture(scope="module")
def vectors_run(tmp_path_factory):
    family = MLP(latent_dim=3, generator_hidden=(8,), critic_hidden=(8,))
    return run(tmp_path_factory.mktemp("runs") / "vectors", family, "ring8")


@pytest.fixture(scope="module")
def sampler(images_run):
    return Sampler.load(images_run, device="cpu")


def test_images_are_float32_nchw_in_their_range(sampler):
    samples = sampler(64, seed=0)
    assert samples.shape == (64, 1, 8, 8)
    assert samples.dtype == torch.float32
    assert samples.device == torch.device("cpu")
    assert not samples.requires_grad
    assert samples.min() >= -1
    assert samples.max() <= 1
    assert samples.std(0).mean() > 0


def test_vectors_are_float32_of_their_dimension(vectors_run):
    samples = Sampler.load(vectors_run)(10)
    assert samples.shape == (10, 2)
    assert samples.dtype == torch.float32


def test_the_same_seed_gives_the_same_samples_and_another_others(images_run, sampler):
    again = Sampler.load(images_run, device="cpu")
    assert torch.equal(sampler(20, seed=5), again(20, seed=5))
    assert torch.equal(sampler(20), again(20, seed=0))
    assert not torch.allclose(sampler(20, seed=5), sampler(20, seed=6))


@pytest.mark.parametrize("count", [1, 2, 63, BATCH, BATCH + 1])
def test_fewer_samples_are_the_first_of_more(sampler, count):
    more = sampler(2 * BATCH + 3, seed=1)
    torch.testing.assert_close(sampler(count, seed=1), more[:count])
    assert np.array_equal(sampler.latents(count, seed=1), sampler.latents(600, seed=1)[:count])


@pytest.mark.slow
def test_a_sample_does_not_depend_on_its_batch(sampler):
    count = BATCH + 1
    points = sampler.latents(count, seed=2)
    assert np.array_equal(points, draw_latents(count, 4, 2))
    together = sampler(count, seed=2)
    assert len(together) == count
    for index in (0, 1, BATCH - 1, BATCH):
        torch.testing.assert_close(sampler.from_latents(points[index : index + 1])[0], together[index])


def test_samples_come_from_the_average(images_run, sampler):
    config = json.loads((images_run / "config.json").read_text())
    last = max((images_run / "checkpoints").iterdir())
    points = torch.from_numpy(draw_latents(16, 4, 0))

    def rebuilt(group):
        network = build(config["generator"])
        network.load_state_dict(load_file(last / f"{group}.safetensors"))
        with torch.no_grad():
            return network.eval()(points)

    assert torch.equal(sampler(16, seed=0), rebuilt("average"))
    assert not torch.allclose(sampler(16, seed=0), rebuilt("generator"))


def test_the_sampler_is_in_evaluation_mode_and_learns_nothing(sampler):
    assert not any(module.training for module in sampler.generator.modules())
    assert not any(parameter.requires_grad for parameter in sampler.generator.parameters())


def test_latents_of_any_real_type_do(sampler):
    points = sampler.latents(5)
    expected = sampler.from_latents(points)
    for given in (points.astype(np.float64), points.tolist(), torch.from_numpy(points)):
        assert torch.equal(sampler.from_latents(given), expected)
    assert sampler.from_latents(np.zeros((0, 4), np.float32)).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 5), (2, 4, 1)])
def test_latents_of_another_length_are_refused(sampler, shape):
    with pytest.raises(InputError, match=r"do not fit a generator of latents \(N, 4\)"):
        sampler.from_latents(np.zeros(shape, np.float32))


@pytest.mark.parametrize("count", [0, -1, 2**31, 10**30, 2.5])
def test_an_impossible_count_is_refused(sampler, count):
    with pytest.raises(InputError, match="count"):
        sampler(count)


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5])
def test_an_impossible_seed_is_refused(sampler, seed):
    with pytest.raises(InputError, match="seed"):
        sampler(2, seed=seed)


class Own(nn.Module):
    """A generator of a user's own."""

    def __init__(self, width=8):
        super().__init__()
        self.latent_dim = 3
        self.dense = nn.Linear(3, width)
        self.head = nn.Linear(width, 64)

    def forward(self, points):
        return self.head(self.dense(points)).tanh().unflatten(1, (1, 8, 8))


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "own"
    critic = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    Trainer(generator=Own(), critic=critic, data="digits", n_critic=1, batch_size=8, device="cpu").fit(
        folder, 2
    )
    return folder


def test_a_generator_of_ones_own_is_passed_in(own_run):
    own = Own()
    before = own.head.weight.clone()
    sampler = Sampler.load(own_run, generator=own, device="cpu")
    assert sampler.latent_dim == 3
    samples = sampler(5)
    assert samples.shape == (5, 1, 8, 8)
    last = max((own_run / "checkpoints").iterdir())
    assert torch.equal(sampler.generator.head.weight, load_file(last / "average.safetensors")["head.weight"])
    assert torch.equal(own.head.weight, before)  # it can be trained again
    assert own.head.weight.requires_grad


def test_a_generator_of_ones_own_cannot_be_guessed(own_run):
    with pytest.raises(InputError, match="pass the module or, where it is importable"):
        Sampler.load(own_run)


@pytest.mark.parametrize("module", [Own(width=9), nn.Linear(3, 64)])
def test_another_generator_than_the_runs_is_refused(own_run, module):
    with pytest.raises(InputError, match="are not those of this generator"):
        Sampler.load(own_run, generator=module)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        Sampler.load(tmp_path)


def test_a_device_that_is_not_there_is_refused(images_run):
    for device in ("nonsense", "meta", "hpu", "mps:7"):
        with pytest.raises(InputError, match=f"no device '{device}' here"):
            Sampler.load(images_run, device=device)


@pytest.mark.slow
def test_samples_as_arrays(tmp_path, sampler):
    points = sampler.latents(5)
    samples = sampler.from_latents(points).numpy()
    save_samples(tmp_path / "x.npz", samples, points)
    with np.load(tmp_path / "x.npz") as archive:
        assert set(archive.files) == {"samples", "latents"}
        assert np.array_equal(archive["samples"], samples)
        assert np.array_equal(archive["latents"], points)


def test_samples_as_one_image(tmp_path, sampler):
    samples = sampler(5).numpy()
    save_samples(tmp_path / "x.png", samples, sampler.latents(5))
    with Image.open(tmp_path / "x.png") as image:
        assert image.tobytes() == grid(samples).tobytes()


def test_samples_as_a_folder(tmp_path, sampler):
    samples = sampler(3).numpy()
    save_samples(tmp_path / "deep" / "folder", samples, sampler.latents(3))
    files = sorted((tmp_path / "deep" / "folder").iterdir())
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png"]
    for file, sample in zip(files, samples, strict=True):
        with Image.open(file) as image:
            assert image.tobytes() == to_image(sample).tobytes()


def test_vectors_as_a_scatter_but_not_as_a_folder_of_images(tmp_path, vectors_run):
    sampler = Sampler.load(vectors_run)
    samples, points = sampler(5).numpy(), sampler.latents(5)
    save_samples(tmp_path / "x.png", samples, points)
    with Image.open(tmp_path / "x.png") as image:
        assert image.mode == "RGB"
    with pytest.raises(InputError, match=r"no image with 1 or 3 channels; save samples as \.npz"):
        save_samples(tmp_path / "folder", samples, points)
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("name", ["x.jpg", "x.npy", "x.tar.gz", "x.PNG"])
def test_an_unknown_ending_is_refused(tmp_path, sampler, name):
    with pytest.raises(InputError, match=r"use \.npz, \.png, or a folder's name"):
        save_samples(tmp_path / name, sampler(2).numpy(), sampler.latents(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.npz", "x.png", "folder"])
def test_no_place_to_write_is_told(tmp_path, sampler, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="Cannot write"):
        save_samples(tmp_path / "file" / name, sampler(2).numpy(), sampler.latents(2))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_of_samples_holds_nothing_else(sampler, tmp_path):
    samples, points = sampler(3).numpy(), sampler.latents(3)
    save_samples(tmp_path / "folder", samples, points)
    save_samples(tmp_path / "folder", samples, points)
    with pytest.raises(InputError, match=r"holds 1 other file\(s\), 00002\.png the first"):
        save_samples(tmp_path / "folder", samples[:2], points[:2])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"letter\.txt"):
        save_samples(tmp_path / "mine", samples, points)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]

"""The critic of a run is loaded as it was trained, its constraint included."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import wgan
from wgan.critics import load_critic
from wgan.errors import InputError
from wgan.lipschitz import GradientPenalty, SpectralNormalisation, score
from wgan.networks import MLP
from wgan.runs import RunFolder, load_latest
from wgan.training import Trainer

DATA = wgan.data.load("digits")


def train(folder, constraint, critic=None):
    generator, own = MLP(latent_dim=3, generator_hidden=(8,), critic_hidden=(8,)).build(DATA.shape)
    settings = {"constraint": constraint, "n_critic": 1, "batch_size": 8, "device": "cpu"}
    trainer = Trainer(DATA, generator=generator, critic=critic or own, **settings)
    trainer.fit(folder, 3)
    return trainer


@pytest.mark.parametrize("constraint", [GradientPenalty(1.0), SpectralNormalisation()])
def test_the_loaded_critic_scores_as_the_trained_one(tmp_path, constraint):
    trained = train(tmp_path / "run", constraint).critic.eval()
    critic = wgan.load_critic(tmp_path / "run", device="cpu")
    samples = DATA.train.batch(torch.arange(5))
    assert torch.equal(score(critic, samples), score(trained, samples))
    assert not critic.training
    assert not any(weight.requires_grad for weight in critic.parameters())
    saved = load_latest(RunFolder(tmp_path / "run").checkpoints).tensors["critic"]
    assert critic.state_dict().keys() == saved.keys()
    constrained = any(parametrize.is_parametrized(module) for module in critic.modules())
    assert constrained == isinstance(constraint, SpectralNormalisation)


def own_critic():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))


def test_a_critic_of_ones_own_is_loaded_into_a_copy_of_the_module_that_is_passed(tmp_path):
    trained = train(tmp_path / "run", SpectralNormalisation(), own_critic()).critic.eval()
    with pytest.raises(InputError, match="pass the module or"):
        load_critic(tmp_path / "run")
    critic = load_critic(tmp_path / "run", device="cpu", critic=own_critic())
    samples = DATA.train.batch(torch.arange(5))
    assert torch.equal(critic(samples), trained(samples))


def test_a_critic_that_cannot_be_loaded_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        load_critic(tmp_path)
    train(tmp_path / "run", GradientPenalty(1.0))
    with pytest.raises(InputError, match="are not those of this critic"):
        load_critic(tmp_path / "run", device="cpu", critic=own_critic())
    folder = RunFolder(tmp_path / "run")
    config = folder.read_config()
    folder.write_config({**config, "constraint": {"is": "Mine"}})
    with pytest.raises(InputError, match="'Mine' is not a settings class"):
        load_critic(tmp_path / "run")
    folder.write_config({**config, "critic": None})
    with pytest.raises(InputError, match="does not say what critic"):
        load_critic(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "empty").write_config(config)
    with pytest.raises(InputError, match="no checkpoint yet"):
        load_critic(tmp_path / "empty")

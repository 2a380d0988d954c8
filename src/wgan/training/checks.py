"""Whether networks and data fit each other, checked before any work is done."""

import torch
from torch import nn

from wgan.data import Dataset
from wgan.errors import InputError
from wgan.lipschitz import score
from wgan.networks import generate
from wgan.training.batches import refuse_unbalanced
from wgan.training.settings import TrainingSettings


def check_networks(
    generator: nn.Module, critic: nn.Module, dataset: Dataset, settings: TrainingSettings
) -> int:
    """The length of the generator's latents, for networks that fit the data and the settings.

    Raises:
        InputError: A network is no module, has nothing to train, or does not fit the data.
    """
    for name, network in (("generator", generator), ("critic", critic)):
        if not isinstance(network, nn.Module):
            raise InputError(f"{name} must be a torch module, not {network!r}.")
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InputError(f"The {name} {type(network).__name__} has no weights to train.")
    latent_dim = find_latent_dim(generator, settings.latent_dim)
    if settings.augment.active and not dataset.image:
        raise InputError(f"Augmentation is for images; the samples of {dataset.name} are vectors.")
    if settings.balanced:
        refuse_unbalanced(dataset)
    check_fit(generator, critic, dataset, latent_dim, labelled=settings.conditional)
    return latent_dim


def find_latent_dim(generator: nn.Module, latent_dim: int | None) -> int:
    """The length of the generator's latents: the one given, or the generator's own attribute."""
    found = getattr(generator, "latent_dim", None) if latent_dim is None else latent_dim
    if not isinstance(found, int) or found < 1:
        raise InputError(
            f"The generator {type(generator).__name__} does not say the length of its latents; "
            "pass latent_dim=, or give it an attribute latent_dim."
        )
    return found


@torch.no_grad()
def check_fit(
    generator: nn.Module, critic: nn.Module, dataset: Dataset, latent_dim: int, *, labelled: bool = False
) -> None:
    """Raise InputError unless the generator makes, and the critic scores, samples like the dataset's."""
    modes = generator.training, critic.training
    generator.eval()
    critic.eval()
    device = next((p.device for p in generator.parameters()), torch.device("cpu"))
    labels = dataset.train.batch_labels(torch.tensor([0, 1], device=device)) if labelled else None
    try:
        made = tuple(generate(generator, torch.zeros(2, latent_dim, device=device), labels).shape[1:])
        if made != dataset.shape:
            raise InputError(
                f"The generator makes samples of shape {made}, those of {dataset.name} are {dataset.shape}; "
                "build it for that shape."
            )
        score(critic, torch.zeros(2, *dataset.shape, device=device), labels)
    except InputError:
        raise
    except Exception as error:  # whatever a network of the user's own may raise
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"The networks do not fit samples of shape {dataset.shape} with latents of length {latent_dim}: "
            f"{type(error).__name__}: {reason}."
        ) from error
    finally:
        generator.train(modes[0])
        critic.train(modes[1])

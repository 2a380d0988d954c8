"""Settings that cannot work, told before any work is done."""

import torch
from torch import nn

from wgan.data import Dataset
from wgan.errors import InputError
from wgan.lipschitz import Chain, Constraint, score
from wgan.losses import LOSSES, Loss
from wgan.networks import generate
from wgan.training.augment import Augment
from wgan.training.optimisers import DECAYS, Optimiser, is_share


def check_share(name: str, value: float) -> None:
    """Raise InputError for anything but a number in [0, 1)."""
    if not is_share(value):
        raise InputError(f"{name} must be in [0, 1), not {value!r}.")


def check_decay(decay: str) -> None:
    """Raise InputError for an unknown schedule."""
    if decay not in DECAYS:
        raise InputError(f"There is no decay {decay!r}; known are {', '.join(DECAYS)}.")


def find_loss(loss: Loss | str) -> Loss:
    """The loss itself, or the one of that name; InputError if there is none."""
    if isinstance(loss, Loss):
        return loss
    if loss not in LOSSES:
        raise InputError(f"There is no loss {loss!r}; known are {', '.join(LOSSES)}.")
    return LOSSES[loss]


def find_constraint(constraint: Constraint | None) -> Constraint:
    """The constraint itself, or one that does nothing; InputError if it is none."""
    if constraint is None:
        return Chain()
    if not isinstance(constraint, Constraint):
        raise InputError(f"The constraint must be one, as in GradientPenalty(10.0), not {constraint!r}.")
    return constraint


def check_kinds(**settings: tuple[object, type]) -> None:
    """Raise InputError for a setting that is not of the kind beside it."""
    for name, (value, kind) in settings.items():
        if not isinstance(value, kind):
            raise InputError(f"{name} must be {kind.__module__}'s {kind.__name__}(...), not {value!r}.")


def check_augmentable(augment: Augment, dataset: Dataset) -> None:
    """Raise InputError for an augmentation of samples that are no images."""
    if augment.active and not dataset.image:
        raise InputError(f"Augmentation is for images; the samples of {dataset.name} are vectors.")


def check_optimisers(**optimisers: Optimiser) -> None:
    """Raise InputError for one that is not of wgan's settings."""
    for name, optimiser in optimisers.items():
        if not isinstance(optimiser, Optimiser):
            raise InputError(f"{name} must be wgan.training's Adam(...) or RMSprop(...), not {optimiser!r}.")


def check_trainable(**networks: nn.Module) -> None:
    """Raise InputError for what is no network, or one without a weight to learn."""
    for name, network in networks.items():
        if not isinstance(network, nn.Module):
            raise InputError(f"{name} must be a torch module, not {network!r}.")
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InputError(f"The {name} {type(network).__name__} has no weights to train.")


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
    """Raise InputError unless the generator makes, and the critic scores, samples like the source's."""
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

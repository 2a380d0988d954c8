"""Differentiable augmentation of real and fake images before the critic, for small datasets.

A critic overfits a small dataset. With random transforms T of real and fake images alike, through which the
generator's gradient passes, it compares the distributions T#P and T#Q instead, and every image is a new one.
Where T is invertible as a map of distributions, T#P = T#Q only if P = Q.

Sources: Zhao, Liu, Lin, Zhu, Han 2020, "Differentiable Augmentation for Data-Efficient GAN Training", section
3 (the transforms); Karras, Aittala, Hellsten, Laine, Lehtinen, Aila 2020, "Training Generative Adversarial
Networks with Limited Data", sections 2.2 and 3 (their probability, and its adaptation).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from wgan.errors import InputError
from wgan.training.optimisers import is_share

Transform = Literal["translation", "cutout", "colour", "flip"]

ADAPTED_EVERY = 4
"""Generator steps between two adaptations of the strength."""
MAX_STRENGTH = 0.8
"""Largest adapted strength: above, transforms leak into the samples (Karras et al. 2020, section 2.2)."""
SHIFT = 1 / 8
"""Largest translation, as a share of the side."""
CUT = 1 / 2
"""Side of the square that cutout blanks, as a share of the image's side."""


@final
@dataclass(frozen=True)
class Augment:
    """Random transforms of all images before the critic; off without a strength or a target."""

    transforms: tuple[Transform, ...] = ("translation", "cutout", "colour")
    """Any of translation, cutout, colour (brightness, saturation, contrast) and flip (left to right; not for
    images that are never mirrored, such as letters)."""
    strength: float = 0.0
    """Probability of each transform for each image, from the start, in [0, 1]."""
    target: float = 0.0
    """Adapt the strength so that the share of the gap which held-out images do not show stays at this value,
    in (0, 1), 0.5 being a good choice; 0: the strength stays as it is."""
    span: int = 100_000
    """Number of real images in which the strength can go from 0 to 1, >= 1; 500,000 in the paper."""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.transforms if name not in TRANSFORMS]:
            raise InputError(f"There is no transform {unknown[0]!r}; known are {', '.join(TRANSFORMS)}.")
        if not is_share(self.strength) and self.strength != 1:
            raise InputError(f"The augmentation's strength must be in [0, 1], not {self.strength!r}.")
        if not is_share(self.target):
            raise InputError(f"The augmentation's target must be in [0, 1), not {self.target!r}.")
        if not isinstance(self.span, int) or self.span < 1:
            raise InputError(f"The augmentation's span must be a whole number >= 1, not {self.span!r}.")
        if self.active and not self.transforms:
            raise InputError("An augmentation needs a transform: " + ", ".join(TRANSFORMS) + ".")

    @property
    def active(self) -> bool:
        """Whether images are transformed."""
        return self.strength > 0 or self.target > 0


@final
class Augmenter(nn.Module):
    """Applies the transforms and holds their strength, which may adapt.

    Args:
        settings: The transforms and their strength.
    """

    strength: Tensor

    def __init__(self, settings: Augment) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("strength", torch.tensor(settings.strength))

    def forward(self, images: Tensor, rng: torch.Generator | None) -> Tensor:
        """Transform images (N, C, H, W), each by its own random transforms; differentiable."""
        for name in self.settings.transforms:
            chance = torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device)
            changed = TRANSFORMS[name](images, rng)
            images = torch.where(chance < self.strength, changed, images)
        return images

    @torch.no_grad()
    def adapt(self, seen: Tensor, unseen: Tensor, fake: Tensor, images: int) -> None:
        """Move the strength towards its target, by how much the critic overfits.

            r_v = (E f(x) - E f(x')) / (E f(x) - E f(G(z))),  x seen in training and x' held out

        (eq. 1, left). The paper prefers r_t = E sign(f(x)), which needs no held-out images; but a Wasserstein
        critic is determined up to a constant only, so that its sign says little about overfitting.

        Args:
            seen: The critic's mean score of transformed training images.
            unseen: Its mean score of transformed held-out images.
            fake: Its mean score of transformed fakes.
            images: Number of real images trained on since the last adaptation.
        """
        excess = (seen - unseen) - self.settings.target * (seen - fake)
        step = excess.sign() * images / self.settings.span
        self.strength.add_(step).clamp_(0, max(MAX_STRENGTH, self.settings.strength))


def translate(images: Tensor, rng: torch.Generator | None) -> Tensor:
    """Shift by up to an eighth of each side, in whole pixels; new pixels are zero, mid-grey."""
    shifted = images
    for axis in (2, 3):
        side = images.shape[axis]
        most = round(side * SHIFT)
        shift = torch.randint(-most, most + 1, (len(images), 1), generator=rng, device=images.device)
        origin = torch.arange(side, device=images.device) + shift
        inside = (origin >= 0) & (origin < side)
        shape = (len(images), 1, side, 1) if axis == 2 else (len(images), 1, 1, side)
        index = origin.clamp(0, side - 1).reshape(shape).expand_as(images)
        shifted = shifted.gather(axis, index) * inside.reshape(shape)
    return shifted


def cut_out(images: Tensor, rng: torch.Generator | None) -> Tensor:
    """Blank a rectangle of half the sides around a pixel anywhere, as far as it is within."""
    count, _, height, breadth = images.shape
    rows = _covered(count, height, rng, images.device)
    columns = _covered(count, breadth, rng, images.device)
    return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0)


def _covered(count: int, side: int, rng: torch.Generator | None, device: torch.device) -> Tensor:
    """Which of ``side`` positions the rectangle covers, (count, side)."""
    centre = torch.randint(0, side, (count, 1), generator=rng, device=device)
    distance = torch.arange(side, device=device) - centre
    length = round(side * CUT)
    return (distance >= -(length // 2)) & (distance < length - length // 2)


def recolour(images: Tensor, rng: torch.Generator | None) -> Tensor:
    """Change brightness by up to a quarter of its range, saturation to 0-2 and contrast to 0.5-1.5 times."""
    brightness, saturation, contrast = torch.rand(
        3, len(images), 1, 1, 1, generator=rng, device=images.device, dtype=images.dtype
    )
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * 2 * saturation
    middle = images.mean((1, 2, 3), keepdim=True)
    recoloured: Tensor = middle + (images - middle) * (contrast + 0.5)
    return recoloured


def mirror(images: Tensor, rng: torch.Generator | None) -> Tensor:
    """Mirror half of the images, left to right."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


TRANSFORMS: dict[str, Callable[[Tensor, torch.Generator | None], Tensor]] = {
    "translation": translate,
    "cutout": cut_out,
    "colour": recolour,
    "flip": mirror,
}

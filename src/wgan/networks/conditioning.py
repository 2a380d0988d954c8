"""How labels enter a network: as classes or as attributes, in the generator and in the critic.

Labels are int64 (N,) classes or float (N, k) attributes; networks work on their *encoding*, a vector a
sample, so that no layer has to know which of the two it is. A mixture of classes, float (N, classes), is
encoded too: that is the way from one class to another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, prod, sqrt
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wgan.errors import InputError

GeneratorCondition = Literal["embedding", "norm"]
CriticCondition = Literal["projection", "concatenation", "auxiliary"]


@final
@dataclass(frozen=True)
class Condition:
    """What labels are: one of ``classes``, or values of ``attributes``; exactly one of the two is given.

    Attributes:
        classes: How many classes there are, >= 2; 0 for attributes.
        attributes: Mean and standard deviation (> 0) of each attribute, in its own unit.

    Raises:
        InputError: Both or none are given, or a number is out of its range.
    """

    classes: int = 0
    attributes: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple((float(m), float(s)) for m, s in self.attributes))
        if (self.classes > 0) == bool(self.attributes):
            raise InputError("A condition is a number of classes or a list of attributes, one of the two.")
        if not self.attributes and self.classes < 2:
            raise InputError(f"Labels of {self.classes} class say nothing; at least 2 are needed.")
        if not all(isfinite(mean) and isfinite(std) and std > 0 for mean, std in self.attributes):
            raise InputError("Attributes need a finite mean and a finite standard deviation > 0 each.")

    @property
    def size(self) -> int:
        """The length of an encoded label."""
        return self.classes or len(self.attributes)

    def __str__(self) -> str:
        if self.classes:
            return f"int64 (N,) in [0, {self.classes}), or weights of the classes (N, {self.classes})"
        return f"attributes, float (N, {self.size})"


@final
class Encoder(nn.Module):
    """Labels as vectors whose components have a mean square of one, as those of latents have.

    Args:
        condition: What labels are.
    """

    moments: Tensor

    def __init__(self, condition: Condition) -> None:
        super().__init__()
        self.condition = condition
        if condition.attributes:
            # Where the network is: made for each batch, they would stop a GPU at each. Not saved: a run's
            # configuration has them.
            self.register_buffer("moments", torch.tensor(condition.attributes), persistent=False)

    def encode(self, labels: Tensor | None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Labels as vectors (N, size).

        Args:
            labels: int64 (N,) in [0, classes), or float (N, size): attributes in their own unit, or a weight
                for each class.
            dtype: Of the result.

        Raises:
            InputError: There are none, or they have another shape.
        """
        classes, size = self.condition.classes, self.condition.size
        if labels is None:
            raise InputError(f"This network needs labels: {self.condition}.")
        if labels.dim() == 1 and classes and not labels.is_floating_point():
            labels = (labels[:, None] == torch.arange(classes, device=labels.device)).to(dtype)
        if labels.dim() != 2 or labels.shape[1] != size:
            raise InputError(f"Labels of shape {tuple(labels.shape)} do not fit: {self.condition}.")
        if classes:
            return labels.to(dtype) * sqrt(classes)
        mean, std = self.moments.to(dtype).unbind(1)
        return (labels.to(dtype) - mean) / std


def described(condition: Condition | None, labels_by: str) -> dict[str, object]:
    """The two as arguments of a network; none without a condition."""
    return {} if condition is None else {"condition": condition, "labels_by": labels_by}


def generate(generator: nn.Module, latents: Tensor, labels: Tensor | None = None) -> Tensor:
    r"""Samples (N, \*shape) of latents (N, latent_dim), and of labels where there are any.

    In float32 even under autocast (float64 stays).
    """
    samples: Tensor = generator(latents) if labels is None else generator(latents, labels)
    return samples.to(torch.promote_types(samples.dtype, torch.float32))


def refuse_labels(labels: Tensor | None) -> None:
    """Raise InputError for labels given to a network that was built without a condition."""
    if labels is not None:
        raise InputError("This network takes no labels: it was built without a condition.")


# ------------------------------------------------------------------------------------- in the generator


class Labelled(nn.Module):
    """A layer that takes encoded labels (N, size) beside the features: see :func:`run`."""


@final
class ConditionalNorm(Labelled):
    """A norm with scale and shift by the label: norm(x) (1 + s(y)) + b(y), s and b linear, zero at first.

    Source: Dumoulin, Shlens, Kudlur 2017, "A Learned Representation for Artistic Style", eq. 5.

    Args:
        norm: Of ``width`` channels.
        width: Channels.
        condition: What labels are.
    """

    def __init__(self, norm: nn.Module, width: int, condition: Condition) -> None:
        super().__init__()
        self.norm = norm
        # No Linear: it starts at zero whatever the initialisation of the rest is.
        self.weight = nn.Parameter(torch.zeros(2 * width, condition.size))

    def forward(self, features: Tensor, encoded: Tensor) -> Tensor:
        """Features (N, width, ...) and encoded labels (N, size) to features of the same shape."""
        moved = F.linear(encoded, self.weight)
        scale, shift = moved.reshape(*moved.shape, *[1] * (features.dim() - 2)).chunk(2, 1)
        normal: Tensor = self.norm(features)
        return normal * (1 + scale) + shift


def conditioned(norms: list[nn.Module], width: int, condition: Condition | None) -> list[nn.Module]:
    """The norms, made conditional if there is a condition."""
    return norms if condition is None else [ConditionalNorm(norm, width, condition) for norm in norms]


def run(layers: Iterable[nn.Module], features: Tensor, encoded: Tensor | None) -> Tensor:
    """Features through the layers, with the encoded labels for those that take them."""
    for layer in layers:
        features = layer(features, encoded) if isinstance(layer, Labelled) else layer(features)
    return features


@final
class GeneratorLabels(nn.Module):
    """How labels enter a generator.

    Args:
        condition: What labels are; None: there are none.
        by: ``embedding``: beside the latent, where the first layer embeds them; ``norm``: in every norm.

    Raises:
        InputError: The way does not exist.
    """

    def __init__(self, condition: Condition | None, by: GeneratorCondition) -> None:
        super().__init__()
        if by not in ("embedding", "norm"):
            raise InputError(f"There is no way {by!r} of labels into a generator; known are embedding, norm.")
        self.condition, self.by = condition, by
        self.encoder = None if condition is None else Encoder(condition)

    @property
    def extra(self) -> int:
        """How many numbers stand beside a latent."""
        return self.condition.size if self.condition is not None and self.by == "embedding" else 0

    @property
    def in_norms(self) -> Condition | None:
        """The condition of the norms."""
        return self.condition if self.by == "norm" else None

    def refuse_without_norm(self, norm: str) -> None:
        """Raise InputError for labels that would enter by norms which are not there."""
        if self.in_norms is not None and norm == "none":
            raise InputError(
                "Labels can enter by the norms only if there are some; use norm='batch' or 'embedding'."
            )

    def enter(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the first layer takes, (N, latent_dim + extra), and what the norms take."""
        if self.encoder is None:
            refuse_labels(labels)
            return latents, None
        encoded = self.encoder.encode(labels, latents.dtype)
        return (torch.cat([latents, encoded], 1), None) if self.extra else (latents, encoded)


# ---------------------------------------------------------------------------------------- in the critic


class CriticLabels(nn.Module):
    """How labels enter a critic: with its samples, or with the features before its last layer."""

    @property
    @abstractmethod
    def planes(self) -> int:
        """How many channels (images) or numbers (vectors) stand beside a sample."""

    @abstractmethod
    def enter(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """Samples as the first layer takes them."""

    @abstractmethod
    def score(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """What is added to the scores (N,) of features (N, F)."""


@final
class Projection(CriticLabels):
    """Adds <V y, phi(x)> to the score, phi(x) being the last features.

    Source: Miyato, Koyama 2018, "cGANs with Projection Discriminator", eq. 4.
    """

    def __init__(self, condition: Condition, features: int) -> None:
        super().__init__()
        self.encoder = Encoder(condition)
        self.embedding = nn.Linear(condition.size, features, bias=False)
        # As large as the weights of a last dense layer in PyTorch's initialisation, however many classes.
        nn.init.normal_(self.embedding.weight, 0.0, 1 / sqrt(3 * features * condition.size))

    @property
    def planes(self) -> int:
        """None."""
        return 0

    def enter(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """Samples as they are."""
        return samples

    def score(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """<V y, phi(x)>, (N,)."""
        embedded: Tensor = self.embedding(self.encoder.encode(labels, features.dtype))
        return (embedded * features).sum(1)


@final
class Concatenation(CriticLabels):
    """Puts labels beside the sample: a plane of learned values by an image, the encoding by a vector.

    Source: Mirza, Osindero 2014, "Conditional Generative Adversarial Nets", section 3.2.
    """

    def __init__(self, condition: Condition, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = Encoder(condition)
        self.plane = nn.Linear(condition.size, prod(shape[1:]), bias=False) if len(shape) == 3 else None

    @property
    def planes(self) -> int:
        """One channel for images, the encoding's length for vectors."""
        return self.encoder.condition.size if self.plane is None else 1

    def enter(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """(N, C + 1, H, W) for images, (N, d + size) for vectors."""
        encoded = self.encoder.encode(labels, samples.dtype)
        if self.plane is not None:
            encoded = self.plane(encoded).reshape(len(samples), 1, *samples.shape[2:])
        return torch.cat([samples, encoded], 1)

    def score(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Nothing more."""
        return features.new_zeros(len(features))


@final
class AuxiliaryClassifier(CriticLabels):
    """Scores without looking at labels, and has a second last layer that guesses them: see ``logits``.

    Source: Odena, Olah, Shlens 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", eqs. 2-3.

    Raises:
        InputError: Labels are attributes.
    """

    def __init__(self, condition: Condition, features: int) -> None:
        super().__init__()
        if not condition.classes:
            raise InputError(
                "An auxiliary classifier guesses classes, and labels are attributes; use 'projection'."
            )
        self.classifier = nn.Linear(features, condition.classes)

    @property
    def planes(self) -> int:
        """None."""
        return 0

    def enter(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """Samples as they are."""
        return samples

    def score(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Nothing more."""
        return features.new_zeros(len(features))

    def logits(self, features: Tensor) -> Tensor:
        """Features (N, F) to the logits of the classes (N, classes)."""
        guessed: Tensor = self.classifier(features)
        return guessed


def scores(layers: nn.Sequential, by: CriticLabels | None, samples: Tensor, labels: Tensor | None) -> Tensor:
    """Scores (N,) of layers whose last one takes features (N, F), with labels entering in their way."""
    if by is None:
        refuse_labels(labels)
        scored: Tensor = layers(samples)
        return scored.squeeze(1)
    features: Tensor = layers[:-1](by.enter(samples, labels))
    scored = layers[-1](features)
    return scored.squeeze(1) + by.score(features, labels)


def logits(layers: nn.Sequential, by: CriticLabels | None, samples: Tensor) -> Tensor:
    """Logits (N, classes) of the auxiliary classifier beside the last layer.

    Raises:
        InputError: There is none.
    """
    if not isinstance(by, AuxiliaryClassifier):
        raise InputError("This critic has no auxiliary classifier; build it with labels_by='auxiliary'.")
    return by.logits(layers[:-1](samples))


def critic_labels(
    condition: Condition | None, by: CriticCondition, *, shape: tuple[int, ...], features: int
) -> CriticLabels | None:
    """How labels, if there are any, enter a critic of samples of ``shape`` with ``features`` in the end.

    Raises:
        InputError: The way does not exist or does not suit the condition.
    """
    if by not in ("projection", "concatenation", "auxiliary"):
        raise InputError(
            f"There is no way {by!r} of labels into a critic; known are projection, concatenation, auxiliary."
        )
    if condition is None:
        return None
    if by == "concatenation":
        return Concatenation(condition, shape)
    return Projection(condition, features) if by == "projection" else AuxiliaryClassifier(condition, features)

"""How labels enter a network: as classes or as attributes, in the generator and in the critic.

Labels are int64 (N,) classes or float (N, k) attributes. Layers work on their *encoding*, a vector for each
sample, and need not know which of the two they are. A mixture of classes, float (N, classes), has an encoding
too, so that samples can be interpolated between classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, prod, sqrt
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wgan.errors import InputError

GeneratorConditioning = Literal["embedding", "norm"]
CriticConditioning = Literal["projection", "concatenation", "auxiliary"]


@final
@dataclass(frozen=True)
class Condition:
    """What labels are: one of ``classes``, or values of ``attributes``, and not both.

    Attributes:
        classes: Number of classes, >= 2; 0 for attributes.
        attributes: Mean and standard deviation (> 0) of each attribute, in its own unit.

    Raises:
        InputError: Both or none are specified, or a number is out of its range.
    """

    classes: int = 0
    attributes: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple((float(m), float(s)) for m, s in self.attributes))
        if (self.classes > 0) == bool(self.attributes):
            raise InputError("A Condition needs either a number of classes or a list of attributes.")
        if not self.attributes and self.classes < 2:
            raise InputError(f"A Condition needs at least 2 classes, not {self.classes}.")
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
class LabelEncoder(nn.Module):
    """Labels as vectors whose components have a mean square of one, like those of latents.

    Args:
        condition: What labels are.
    """

    moments: Tensor

    def __init__(self, condition: Condition) -> None:
        super().__init__()
        self.condition = condition
        if condition.attributes:
            # A buffer, as making a tensor in each forward pass would synchronise a GPU. It is not saved: a
            # run's configuration has the moments.
            self.register_buffer("moments", torch.tensor(condition.attributes), persistent=False)

    def encode(self, labels: Tensor | None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Encode labels as vectors (N, size).

        Args:
            labels: int64 (N,) in [0, classes), or float (N, size): attributes in their own unit, or a weight
                for each class.
            dtype: Of the result.

        Raises:
            InputError: There are no labels, or their shape is wrong.
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


def generate(generator: nn.Module, latents: Tensor, labels: Tensor | None = None) -> Tensor:
    r"""Generate samples (N, \*shape) from latents (N, latent_dim), and from labels if there are any.

    The samples are float32 even under autocast; float64 stays float64.
    """
    samples: Tensor = generator(latents) if labels is None else generator(latents, labels)
    return samples.to(torch.promote_types(samples.dtype, torch.float32))


def refuse_labels(labels: Tensor | None) -> None:
    """Raise InputError if an unconditional network is called with labels."""
    if labels is not None:
        raise InputError("This network takes no labels: it was built without a condition.")


# ---------------------------------------------------------------------------------------------- generator


class ConditionalLayer(nn.Module):
    """A layer that takes encoded labels (N, size) beside the features; see :func:`apply_layers`."""


@final
class ConditionalNorm(ConditionalLayer):
    """A norm with scale and shift by the label: norm(x) (1 + s(y)) + b(y), s and b linear, zero at first.

    Source: Dumoulin, Shlens, Kudlur 2017, "A Learned Representation for Artistic Style", eq. 5.

    Args:
        norm: Norm of ``width`` channels.
        width: Channels.
        condition: What labels are.
    """

    def __init__(self, norm: nn.Module, width: int, condition: Condition) -> None:
        super().__init__()
        self.norm = norm
        # A parameter and not a Linear, so that it starts at zero whatever the network's initialisation is.
        self.weight = nn.Parameter(torch.zeros(2 * width, condition.size))

    def forward(self, features: Tensor, encoded: Tensor) -> Tensor:
        """Map features (N, width, ...) and encoded labels (N, size) to features of the same shape."""
        affine = F.linear(encoded, self.weight)
        scale, shift = affine.reshape(*affine.shape, *[1] * (features.dim() - 2)).chunk(2, 1)
        normal: Tensor = self.norm(features)
        return normal * (1 + scale) + shift


def apply_layers(layers: Iterable[nn.Module], features: Tensor, encoded: Tensor | None) -> Tensor:
    """Apply the layers in turn, with the encoded labels for those that take them."""
    for layer in layers:
        features = layer(features, encoded) if isinstance(layer, ConditionalLayer) else layer(features)
    return features


@final
class GeneratorLabels(nn.Module):
    """How labels enter a generator.

    Args:
        condition: What labels are; None: there are none.
        conditioning: ``embedding``: the first layer takes them beside the latent; ``norm``: every norm does.
        norm: The generator's norm.

    Attributes:
        norm_condition: The condition of the generator's norms.
        embedding_size: Number of inputs of the first layer beside the latent.

    Raises:
        InputError: Labels would enter by norms, and the generator has none.
    """

    def __init__(self, condition: Condition | None, conditioning: GeneratorConditioning, norm: str) -> None:
        super().__init__()
        by_norm = conditioning == "norm"
        if condition is not None and by_norm and norm == "none":
            raise InputError(
                "conditioning='norm' needs norms, and this generator has none; use conditioning='embedding', "
                "or norm='batch' in a network that takes a norm."
            )
        self.encoder = None if condition is None else LabelEncoder(condition)
        self.norm_condition = condition if by_norm else None
        self.embedding_size = 0 if condition is None or by_norm else condition.size

    def join(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the first layer's inputs (N, latent_dim + embedding_size) and the labels for the norms."""
        if self.encoder is None:
            refuse_labels(labels)
            return latents, None
        encoded = self.encoder.encode(labels, latents.dtype)
        return (torch.cat([latents, encoded], 1), None) if self.embedding_size else (latents, encoded)


# ------------------------------------------------------------------------------------------------- critic


class CriticLabels(nn.Module):
    """How labels enter a critic: with its samples, or with the features before its last layer.

    Attributes:
        extra_channels: Channels (images) or numbers (vectors) that :meth:`join` adds to a sample.
    """

    extra_channels = 0

    def join(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """Return what the critic's first layer takes: the samples, or the samples and their labels."""
        return samples

    def score_term(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Return what is added to the scores (N,) of features (N, F)."""
        return features.new_zeros(len(features))


@final
class Projection(CriticLabels):
    """Adds <V y, phi(x)> to the score, where phi(x) are the last features.

    Source: Miyato, Koyama 2018, "cGANs with Projection Discriminator", eq. 4.
    """

    def __init__(self, condition: Condition, features: int) -> None:
        super().__init__()
        self.encoder = LabelEncoder(condition)
        self.embedding = nn.Linear(condition.size, features, bias=False)
        # As large as the weights of a last dense layer in PyTorch's initialisation, however many classes.
        nn.init.normal_(self.embedding.weight, 0.0, 1 / sqrt(3 * features * condition.size))

    def score_term(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Return <V y, phi(x)>, (N,)."""
        embedded: Tensor = self.embedding(self.encoder.encode(labels, features.dtype))
        return (embedded * features).sum(1)


@final
class Concatenation(CriticLabels):
    """Joins labels to the sample: a learned channel to an image, the encoded label to a vector.

    Source: Mirza, Osindero 2014, "Conditional Generative Adversarial Nets", section 3.2.
    """

    def __init__(self, condition: Condition, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = LabelEncoder(condition)
        self.plane = nn.Linear(condition.size, prod(shape[1:]), bias=False) if len(shape) == 3 else None
        self.extra_channels = condition.size if self.plane is None else 1

    def join(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """Return (N, C + 1, H, W) for images, (N, d + size) for vectors."""
        encoded = self.encoder.encode(labels, samples.dtype)
        if self.plane is not None:
            encoded = self.plane(encoded).reshape(len(samples), 1, *samples.shape[2:])
        return torch.cat([samples, encoded], 1)


@final
class AuxiliaryClassifier(CriticLabels):
    """A second last layer that predicts the class, beside a score that does not depend on labels.

    Source: Odena, Olah, Shlens 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", eqs. 2-3.
    """

    def __init__(self, condition: Condition, features: int) -> None:
        super().__init__()
        if not condition.classes:
            raise InputError(
                "conditioning='auxiliary' predicts classes, and these labels are attributes; "
                "use conditioning='projection'."
            )
        self.classifier = nn.Linear(features, condition.classes)


def critic_labels(
    condition: Condition | None, conditioning: CriticConditioning, *, shape: tuple[int, ...], features: int
) -> CriticLabels | None:
    """Build the way in which labels enter a critic of samples of ``shape`` with ``features`` at the end.

    Raises:
        InputError: An auxiliary classifier is requested for attributes.
    """
    if condition is None:
        return None
    if conditioning == "concatenation":
        return Concatenation(condition, shape)
    kind = Projection if conditioning == "projection" else AuxiliaryClassifier
    return kind(condition, features)

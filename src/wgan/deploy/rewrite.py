"""Rewriting of a trained generator to fewer and simpler layers that compute the same."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from wgan.networks.conditioning import ConditionalNorm

THIN = 8
"""Number of output channels below which an int8 transposed convolution leaves most of a vector unit idle."""


@final
@dataclass(frozen=True)
class Axis:
    """One axis of a transposed convolution with stride s, as s convolutions of stride 1, its phases.

    Output o = s j + r is the sum over inputs i of x[i] w[o + p - s i]. With d = i - j, phase r has the weight
    w[r + p - s d] at offset d, as long as 0 <= r + p - s d < k.

    Attributes:
        kernel: k.
        stride: s.
        padding: p.
        output_padding: Number of additional outputs.
    """

    kernel: int
    stride: int
    padding: int
    output_padding: int

    @property
    def low(self) -> int:
        """First offset that any phase needs: ceil((p - k + 1) / s)."""
        return -((self.kernel - 1 - self.padding) // self.stride)

    @property
    def window(self) -> int:
        """Number of offsets up to the last, floor((s - 1 + p) / s)."""
        return (self.stride - 1 + self.padding) // self.stride - self.low + 1

    @property
    def taps(self) -> Iterator[tuple[int, int, int]]:
        """Triples of a phase, an index in the window, and the index of the kernel's weight there."""
        for phase in range(self.stride):
            for index in range(self.window):
                tap = phase + self.padding - self.stride * (index + self.low)
                if 0 <= tap < self.kernel:
                    yield phase, index, tap

    def length(self, size: int) -> int:
        """Number of outputs for ``size`` inputs."""
        return (size - 1) * self.stride - 2 * self.padding + self.kernel + self.output_padding

    def pads(self, size: int) -> tuple[int, int]:
        """Numbers of zeros to add before and after ``size`` inputs; a negative number is a crop."""
        each = -(-self.length(size) // self.stride)
        return -self.low, each - 1 + self.window + self.low - size


@final
class SubPixel(nn.Module):
    """A transposed convolution of stride s, written as a convolution of stride 1 and a pixel shuffle.

    In int8 on the CPU both are faster where there are few outputs. For k = 4, p = 1 and for k = 5, p = 2 at
    s = 2 the window is 3 x 3.

    Source: Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?".

    Args:
        layer: A layer for which :func:`is_sub_pixel` is true.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        stride = layer.stride[0]
        down, across = self.axes = (_axis(layer, 0), _axis(layer, 1))
        self.convolution = nn.Conv2d(
            layer.in_channels,
            layer.out_channels * stride**2,
            (down.window, across.window),
            groups=layer.groups,
            bias=layer.bias is not None,
        ).to(layer.weight)
        self.shuffle = nn.PixelShuffle(stride)
        with torch.no_grad():
            self.convolution.weight.copy_(_phases(layer, down, across))
            if layer.bias is not None and self.convolution.bias is not None:
                self.convolution.bias.copy_(layer.bias.repeat_interleave(stride**2))

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs of the transposed convolution for inputs (N, C, H, W)."""
        down, across = self.axes
        height, width = inputs.shape[2:]
        (top, bottom), (left, right) = down.pads(height), across.pads(width)
        layer, padding = self.convolution, (0, 0)
        if top == bottom >= 0 and left == right >= 0:
            padding = (top, left)  # a runtime can pad within the convolution
        else:
            inputs = F.pad(inputs, (left, right, top, bottom))
        phases = F.conv2d(inputs, layer.weight, layer.bias, padding=padding, groups=layer.groups)
        outputs: Tensor = self.shuffle(phases)
        if outputs.shape[2:] != (down.length(height), across.length(width)):
            outputs = outputs[:, :, : down.length(height), : across.length(width)]
        return outputs


def _axis(layer: nn.ConvTranspose2d, axis: int) -> Axis:
    padding = layer.padding[axis]
    assert isinstance(padding, int)  # only other convolutions take a name
    return Axis(layer.kernel_size[axis], layer.stride[axis], padding, layer.output_padding[axis])


def _phases(layer: nn.ConvTranspose2d, down: Axis, across: Axis) -> Tensor:
    """Weight (outputs * s * s, inputs / groups, window, window) of the convolution for all phases."""
    kernel = layer.weight.reshape(layer.groups, -1, *layer.weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    outputs, inputs, *_ = kernel.shape
    phases = kernel.new_zeros(outputs, down.stride, across.stride, inputs, down.window, across.window)
    for row, y, from_row in down.taps:
        for column, x, from_column in across.taps:
            phases[:, row, column, :, y, x] = kernel[:, :, from_row, from_column]
    return phases.flatten(0, 2)


def is_sub_pixel(layer: nn.ConvTranspose2d) -> bool:
    """Whether :class:`SubPixel` can replace a layer: equal strides > 1, no dilation."""
    return layer.stride[0] == layer.stride[1] > 1 and layer.dilation == (1, 1)


def is_thin(layer: nn.ConvTranspose2d) -> bool:
    """Whether a layer has fewer output channels than a vector unit computes at once."""
    return layer.out_channels < THIN


def simplify(
    generator: nn.Module, shuffled: Callable[[nn.ConvTranspose2d], bool] = lambda layer: False
) -> nn.Module:
    """A copy of a generator that computes the same in evaluation mode with fewer layers.

    Parametrised weights (spectral normalisation) become plain ones, and batch normalisation in a
    ``Sequential`` is folded into the layer before it.

    Args:
        generator: The generator, in evaluation mode.
        shuffled: Which transposed convolutions become :class:`SubPixel`, where possible.
    """
    copy = deepcopy(generator).eval().requires_grad_(False)
    for module in list(copy.modules()):
        if parametrize.is_parametrized(module):
            _remove_parametrisations(module)
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]  # an exported graph would contain copies because of it
    for module in list(copy.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    for module in list(copy.modules()):
        for name, child in module.named_children():
            if type(child) is nn.ConvTranspose2d and is_sub_pixel(child) and shuffled(child):
                setattr(module, name, SubPixel(child).eval().requires_grad_(False))
    return copy


def _remove_parametrisations(module: nn.Module) -> None:
    """Make parametrised weights plain ones in a copy of a module.

    ``remove_parametrizations`` changes the class, which a copy shares with its original.
    """
    weights = {name: getattr(module, name).detach() for name in module.parametrizations}  # type: ignore[union-attr]
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight, requires_grad=False))


def _fold(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        before, after = layers[index], layers[index + 1]
        norm = after.norm if isinstance(after, ConditionalNorm) else after
        folded = _folded(before, norm)
        if folded is None:
            continue
        layers[index] = folded
        if isinstance(after, ConditionalNorm):
            after.norm = nn.Identity()
        else:
            layers[index + 1] = nn.Identity()


def _folded(before: nn.Module, norm: nn.Module) -> nn.Module | None:
    """One layer that replaces a layer and the batch normalisation after it; None where that is impossible."""
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or norm.running_mean is None:
        return None
    if type(before) is nn.Linear and isinstance(norm, nn.BatchNorm1d):
        return fuse_linear_bn_eval(before, norm)
    if type(before) is nn.Conv2d or (type(before) is nn.ConvTranspose2d and before.groups == 1):
        return fuse_conv_bn_eval(before, norm, transpose=type(before) is nn.ConvTranspose2d)
    return None

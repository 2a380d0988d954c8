"""What every extractor is, and the one that changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from wgan.errors import InputError

CPU = torch.device("cpu")

BATCH = 32
"""Samples that go through an extractor at once; larger batches leave the caches and are slower on a CPU."""


@final
@dataclass(frozen=True, eq=False)
class Extractor:
    """A map from samples to features, under a name and a hash that a number can be traced by.

    Attributes:
        name: 'pixels', 'inception', ...
        hash: SHA-256 (64 hexadecimal digits) of its weights and rules.
        resize: How it resizes images, in words.
        width: d, of the features; None where it is that of the samples.
        function: Takes float32 (n, *shape), images in [-1, 1], on `device`, to (n, d).
        device: Where its weights live.
    """

    name: str
    hash: str
    resize: str
    width: int | None
    function: Callable[[Tensor], Tensor]
    device: torch.device = CPU

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Tensor:
        """The features (N, d) of samples (N, *shape), float32 on the CPU; a batch at a time.

        Raises:
            InputError: There is no sample, one is not finite, or the features have another shape than told.
        """
        if samples.ndim < 2 or len(samples) == 0:
            raise InputError(
                f"Samples of shape {tuple(samples.shape)} have no features; pass (N, *shape), N > 0."
            )
        if not samples.is_floating_point():
            raise InputError(f"Samples are {samples.dtype}; scale bytes by x / 127.5 - 1 to [-1, 1] first.")
        return torch.cat([self._batch(batch) for batch in torch.split(samples, BATCH)])

    def _batch(self, batch: Tensor) -> Tensor:
        if not batch.isfinite().all():
            raise InputError("Samples hold NaN or infinity, which have no features; leave them out.")
        features = self.function(batch.to(self.device, torch.float32))
        fits = features.ndim == 2 and self.width in (None, features.shape[1])
        if not fits or len(features) != len(batch):
            raise InputError(
                f"Extractor {self.name!r} made features of shape {tuple(features.shape)} of {len(batch)} "
                f"samples; its function must return ({len(batch)}, {self.width or 'd'})."
            )
        return features.float().cpu()


def from_callable(
    function: Callable[[Tensor], Tensor],
    *,
    name: str,
    width: int | None = None,
    resize: str = "none",
    device: torch.device | str = "cpu",
) -> Extractor:
    """An extractor of your own: any function or module from images in [-1, 1] to features.

    A module's weights are hashed, and it is used in the mode it is in: call ``eval()`` first. Of another
    function only the names are, so a new version of it needs a new `name`.

    Args:
        function: Takes float32 (n, *shape) on `device` to (n, d).
        name: What numbers made with it are traced by; 'inception' does not make it one.
        width: d, if it is to be checked.
        resize: How it resizes images, in words.
        device: Where it computes.
    """
    weights = function.state_dict() if isinstance(function, nn.Module) else {}
    code = f"{type(function).__qualname__} {getattr(function, '__qualname__', '')}"
    return Extractor(name, digest(weights, name, code, resize), resize, width, function, torch.device(device))


def digest(weights: Mapping[str, Tensor], *rules: str) -> str:
    """SHA-256 of named tensors (names, types, shapes and bits) and of rules in words."""
    whole = hashlib.sha256("\n".join(rules).encode())
    for name, tensor in sorted(weights.items()):
        whole.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def coloured(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] with three channels: grey is tiled.

    Raises:
        InputError: They are no images, have another number of channels, or leave [-1, 1].
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(
            f"Samples of shape {tuple(images.shape[1:])} are no images with 1 or 3 channels; use "
            "extractor 'pixels'."
        )
    if (largest := images.abs().max().item()) > 1 + 1e-3:
        raise InputError(f"Images must lie in [-1, 1], and these reach {largest:g}; scale them first.")
    return images.expand(-1, 3, -1, -1)


def _flat(samples: Tensor) -> Tensor:
    return samples.flatten(1)


PIXELS = Extractor("pixels", digest({}, "pixels"), "none", None, _flat)
"""The samples themselves, flattened: for vectors the identity."""

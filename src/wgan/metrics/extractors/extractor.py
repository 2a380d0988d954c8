"""The interface of feature extractors, and the identity extractor `PIXELS`."""

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
"""Samples that go through an extractor at once; on a CPU larger batches exceed the caches and are slower."""


@final
@dataclass(frozen=True, eq=False)
class Extractor:
    """A map from samples to features, with a name and a hash for the provenance.

    Attributes:
        name: 'pixels', 'inception', ...
        hash: SHA-256 (64 hexadecimal digits) of its weights and rules.
        resize: How it resizes images, in words.
        width: d, the width of the features; None if it is that of the samples.
        function: Takes float32 (n, *shape), images in [-1, 1], on `device`, to (n, d).
        device: Device of its weights.
    """

    name: str
    hash: str
    resize: str
    width: int | None
    function: Callable[[Tensor], Tensor]
    device: torch.device = CPU

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Tensor:
        """Compute the features (N, d), float32 on the CPU, of samples (N, *shape), batch by batch.

        Raises:
            InputError: There are no samples, one is not finite, or the features have the wrong shape.
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
    """Make an extractor of any function or module from images in [-1, 1] to features.

    A module is hashed by its weights and used in its present mode: call ``eval()`` first. Any other function
    is hashed by its names only, so a new version of it needs a new `name`.

    Args:
        function: Maps float32 (n, *shape) on `device` to (n, d).
        name: Name in the provenance; the name 'inception' does not make it the official one.
        width: d, to check the features' width.
        resize: How it resizes images, in words.
        device: Device to compute on.
    """
    weights = function.state_dict() if isinstance(function, nn.Module) else {}
    code = f"{type(function).__qualname__} {getattr(function, '__qualname__', '')}"
    return Extractor(name, digest(weights, name, code, resize), resize, width, function, torch.device(device))


def digest(weights: Mapping[str, Tensor], *rules: str) -> str:
    """Return the SHA-256 of named tensors (names, types, shapes and bits) and of rules in words."""
    whole = hashlib.sha256("\n".join(rules).encode())
    for name, tensor in sorted(weights.items()):
        whole.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def to_rgb(images: Tensor) -> Tensor:
    """Repeat the channel of grey images (N, C, H, W) in [-1, 1]; RGB images are returned unchanged.

    Raises:
        InputError: They are not images with 1 or 3 channels in [-1, 1].
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

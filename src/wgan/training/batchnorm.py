"""Batch normalisation over a batch that several processes share."""

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size
from torch.nn.modules.batchnorm import _BatchNorm


@final
class SharedBatchNorm(_BatchNorm):
    """Batch normalisation by the statistics of all processes' samples; ``nn.SyncBatchNorm`` needs GPUs.

    Source: Ioffe, Szegedy 2015, "Batch Normalization", algorithm 1.
    """

    @classmethod
    def of(cls, norm: _BatchNorm) -> "SharedBatchNorm":
        """Wrap another norm: weights and running statistics are shared."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        made._parameters, made._buffers = norm._parameters, norm._buffers
        return made.train(norm.training)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features (N, C, ...), equally many in every process."""
        if not self.training:
            return F.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        dtype = features.dtype
        # A sum in bfloat16 loses most of what is added to it.
        features = features.to(torch.promote_types(dtype, torch.float32))
        others = [side for side in range(features.dim()) if side != 1]
        shape = [1, -1] + [1] * (features.dim() - 2)
        count = features.numel() // features.shape[1] * get_world_size()
        mean = summed(features.sum(others)) / count
        centred = features - mean.reshape(shape)
        variance = summed(centred.square().sum(others)) / count
        self._update_running(mean.detach(), variance.detach() * count / max(1, count - 1))
        normal: Tensor = centred * torch.rsqrt(variance + self.eps).reshape(shape)
        if self.weight is not None:
            normal = normal * self.weight.reshape(shape) + self.bias.reshape(shape)
        return normal.to(dtype)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Any number of dimensions will do."""


class _Sum(torch.autograd.Function):
    """Sum over processes; the gradient of a part is the sum of all processes' gradients."""

    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:  # noqa: ANN401 - torch has no public type for it
        whole = part.clone()
        all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        (gradient,) = gradients
        whole = gradient.clone()
        all_reduce(whole)
        return whole


def summed(part: Tensor) -> Tensor:
    """The sum of all processes' tensors, differentiable."""
    whole: Tensor = _Sum.apply(part)  # type: ignore[no-untyped-call]
    return whole


def synchronised(network: nn.Module) -> nn.Module:
    """Replace each batch norm of a network by one over the whole batch, with the same weights."""
    if isinstance(network, _BatchNorm):
        return network if isinstance(network, SharedBatchNorm) else SharedBatchNorm.of(network)
    for name, child in network.named_children():
        setattr(network, name, synchronised(child))
    return network

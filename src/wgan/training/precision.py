"""Precision of the networks' forward passes; weights, moments and averages are always float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch

from wgan.errors import unknown

Precision = Literal["float32", "bfloat16"]


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """A context in which matrix products and convolutions, and their derivatives, have that precision.

    Source: Micikevicius et al. 2018, "Mixed Precision Training", section 3; bfloat16 has float32's range, so
    that no loss need be scaled.
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def check_precision(name: str) -> None:
    """Raise InputError for a precision that does not exist."""
    if name not in get_args(Precision):
        raise unknown("precision", name, get_args(Precision))

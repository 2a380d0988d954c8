"""Devices and processes."""

import ctypes
import os

import torch

from wgan.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # in malloc.h


def processes() -> tuple[int, int]:
    """Return the rank of this process and the number of processes of ``torchrun``; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def find_device(name: str) -> torch.device:
    """Return the device of this name; ``auto`` is a GPU if there is one.

    Under ``torchrun`` each process of a machine has a GPU of its own.

    Raises:
        InputError: The device is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and processes()[1] > 1:
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # nothing can be computed on "meta"
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise InputError(f"There is no device {name!r} here ({reason}); use 'cpu'.") from error
    return device


def keep_freed_memory() -> None:
    """Make the C library keep freed memory, so that a step reuses the memory of the previous step.

    By default glibc returns large allocations to the kernel, which clears each page before it is reused: a
    twentieth of a step on a CPU. Does nothing without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the maximum in glibc
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)

"""Where tensors live."""

import ctypes
import os

import torch

from wgan.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # in malloc.h


def processes() -> tuple[int, int]:
    """This process's rank and how many there are, as ``torchrun`` says; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def find_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is a GPU where there is one; InputError if it is not there.

    Where ``torchrun`` started several processes on a machine, each has a GPU of its own.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and processes()[1] > 1:
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # on "meta" nothing can be computed
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise InputError(f"There is no device {name!r} here ({reason}); use 'cpu'.") from error
    return device


def keep_freed_memory() -> None:
    """Have what is freed stay with the process, so that a step finds the memory of the step before again.

    By itself the C library gives large blocks back, and the kernel clears each page before it hands it out
    again: a twentieth of a step on a CPU. Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the most that glibc takes
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)

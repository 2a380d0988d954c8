"""Where tensors live."""

import os

import torch

from wgan.errors import InputError


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
        raise InputError(f"There is no device {name!r} here ({reason}); use --device cpu.") from error
    return device

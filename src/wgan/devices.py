"""Where tensors live."""

import torch

from wgan.errors import InputError


def find_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is a GPU where there is one; InputError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # on "meta" nothing can be computed
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise InputError(f"There is no device {name!r} here ({reason}); use --device cpu.") from error
    return device

"""Loading the trained critic of a run."""

from os import PathLike
from pathlib import Path

from torch import nn

from wgan.core.devices import find_device
from wgan.errors import InputError
from wgan.lipschitz import CONSTRAINTS
from wgan.networks import network_of
from wgan.runs import RunFolder, from_plain, load_checkpoint


def load_critic(
    run_dir: str | PathLike[str], *, device: str = "auto", critic: nn.Module | str | None = None
) -> nn.Module:
    r"""The critic of a run's last complete checkpoint, in evaluation mode and without gradients.

    It has the parametrisations of the run's constraint, such as spectral normalisation, so that it is exactly
    the trained function. Apply it by :func:`wgan.lipschitz.score` to samples (N, \*shape) and perhaps labels.

    Args:
        run_dir: The run's folder.
        device: Where to put it; ``auto`` is a GPU if there is one.
        critic: For a critic that is not one of wgan's own, a module whose copy gets the weights, or the
            name under which it was trained, ``package.module:Class``, whose code is then imported.

    Raises:
        InputError: This is not a run, it has no complete checkpoint, or its critic or constraint cannot be
            built.
    """
    folder = RunFolder(Path(run_dir))
    config = folder.read_config()
    checkpoint = load_checkpoint(folder.checkpoints, None, groups=("critic",))
    description, constraint = config.get("critic"), config.get("constraint")
    if not isinstance(description, dict) or not isinstance(constraint, dict):
        raise InputError(f"{folder.config_file} does not say what critic the run trained.")
    network: nn.Module = from_plain(constraint, CONSTRAINTS).wrap(network_of(description, critic))
    try:
        network.load_state_dict(checkpoint.tensors["critic"])
    except RuntimeError as error:
        raise InputError(f"The weights in {folder.path} are not those of this critic.") from error
    return network.to(find_device(device)).eval().requires_grad_(False)

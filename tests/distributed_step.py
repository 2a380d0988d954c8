"""Run by ``torchrun`` in tests: five steps in float64; rank 0 saves the weights. Arguments: file, case."""

import atexit
import os
import sys
import time
from pathlib import Path

import torch
from torch import nn

from wgan.core.randomness import local_rows
from wgan.lipschitz import R1, Chain, GradientPenalty, SpectralNormalisation
from wgan.losses import LOSSES
from wgan.networks import DCGAN, Condition
from wgan.training.distributed import World
from wgan.training.objective import Batch, Objective
from wgan.training.state import State
from wgan.training.step import critic_step, generator_step

BATCH = 8
CASES = {
    "penalty": (GradientPenalty(), "wasserstein", 1),
    "lazy penalty": (R1(), "relativistic", 2),
    "spectral": (SpectralNormalisation(), "hinge", 1),
    "batch norm in the critic": (Chain(), "wasserstein", 1),
}


def main(file: str, case: str) -> None:
    constraint, loss, lazy = CASES[case]
    world = World(torch.device("cpu"))
    torch.manual_seed(0)
    family = DCGAN(
        latent_dim=3, generator_width=2, critic_width=2, critic_norm="batch" if "norm in" in case else "none"
    )
    generator, critic = (network.double() for network in family.build((1, 8, 8), Condition(classes=3)))
    critic = world.synchronise(constraint.wrap(critic))
    generator = world.synchronise(generator)
    # Adam would divide rounding errors by their own size where a gradient is zero.
    optimisers = (torch.optim.SGD(network.parameters(), lr=0.05) for network in (generator, critic))
    state = State(generator, critic, *optimisers)
    objective = Objective(LOSSES[loss], constraint)
    world.wrap(state)
    share = world.share(BATCH)
    for step in range(5):
        rng = world.rng(step)

        def drawn(*shape: int) -> torch.Tensor:
            return local_rows(
                lambda n: torch.randn(n, *shape, generator=rng, dtype=torch.float64),  # noqa: B023
                share,
                rng,  # noqa: B023
            )

        labels = local_rows(lambda n: torch.randint(3, (n,), generator=rng), share, rng)  # noqa: B023
        real, latents = Batch(drawn(1, 8, 8).tanh(), labels), drawn(3)
        scale = lazy if step % lazy == 0 else 0
        critic_step(state, objective, real, latents, rng, penalty_scale=scale)
        latents, real = drawn(3), Batch(drawn(1, 8, 8).tanh(), labels)
        generator_step(state, objective, latents, real=real)
        world.check_agreement(step, critic, generator)
    if world.is_main:
        torch.save([tensor for network in (critic, generator) for tensor in tensors(network)], file)


def tensors(network: nn.Module) -> list[torch.Tensor]:
    return [tensor.detach() for tensor in network.state_dict().values()]


def tell_threads() -> None:
    """How many of the backend's threads are left; one that has ended may still be listed for a moment."""
    until = time.monotonic() + 2
    while left := sum(map(of_backend, os.listdir("/proc/self/task"))):
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    sys.stdout.write(f"threads left: {left}\n")


def of_backend(task: str) -> bool:
    try:
        return "gloo" in Path(f"/proc/self/task/{task}/comm").read_text()
    except OSError:  # it has ended since
        return False


if __name__ == "__main__":
    atexit.register(tell_threads)  # before any other, as the first that is registered runs last
    main(*sys.argv[1:])

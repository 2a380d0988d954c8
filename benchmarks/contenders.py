"""The two loops that `benchmarks.speed` compares in torch: this project's, and the one of tutorials.

    echo 5 | python -m benchmarks.contenders ours dcgan-28 images.npy

Both train the same networks, of a recipe, with its optimisers; only the loop differs.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import data as torch_data

from benchmarks.peers.pace import Train, serve
from wgan.core.devices import keep_freed_memory, processes
from wgan.data import Dataset, load
from wgan.training import Trainer, TrainingSettings, recipe
from wgan.training.precision import Precision

RECIPES = {"dcgan-28": "dcgan-gp", "dcgan-32": "dcgan-gp", "toy": "toy-gp"}
"""The recipe of each case; the batch of dcgan-gp is 64 here, n_critic is 5 in all."""


def recipe_of(case: str, shape: tuple[int, ...]) -> TrainingSettings:
    """The networks and settings of a case."""
    found = recipe(RECIPES[case], shape)
    return found if case == "toy" else replace(found, batch_size=64)


def ours(case: str, dataset: Dataset, precision: Precision = "float32") -> Train:
    """The trainer's step, as ``fit`` takes it between two log points."""
    return training(
        Trainer(dataset, settings=replace(recipe_of(case, dataset.shape), precision=precision), device="cpu")
    )


def training(trainer: Trainer) -> Train:
    """A trainer's steps."""
    state = trainer.state()
    trainer._world.wrap(state)
    keep_freed_memory()  # as `fit` does

    def train(steps: int) -> None:
        for _ in range(steps):
            trainer.advance(state, 10**6)

    return train


class Samples(torch_data.Dataset[Tensor]):
    """Images one by one as tensors in [-1, 1], as torchvision's ToTensor and Normalize make them."""

    def __init__(self, samples: np.ndarray[Any, Any]) -> None:
        self._samples = torch.from_numpy(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Tensor:
        sample = self._samples[index]
        return sample.float().div(127.5).sub(1) if sample.dtype == torch.uint8 else sample


def textbook(case: str, dataset: Dataset, *, device: str = "cpu", workers: int = 0) -> Train:
    """The loop of tutorials: eager, with a DataLoader, torch's defaults, a pass each for real and fake."""
    settings = recipe_of(case, dataset.shape)
    generator, critic = (network.to(device) for network in settings.networks.build(dataset.shape))
    adam = settings.critic_optimiser
    critic_adam, generator_adam = (
        torch.optim.Adam(network.parameters(), lr=adam.lr, betas=adam.betas)
        for network in (critic, generator)
    )
    weight, size = settings.constraint.weight, settings.batch_size
    batches = forever(
        torch_data.DataLoader(
            Samples(dataset.train.storage.numpy()),
            size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            pin_memory=device != "cpu",
            persistent_workers=workers > 0,
        )
    )

    def train(steps: int) -> None:
        for _ in range(steps):
            for _ in range(settings.n_critic):
                real = next(batches).to(device, non_blocking=True)
                fake = generator(torch.randn(size, generator.latent_dim, device=device)).detach()
                critic_adam.zero_grad()
                loss = critic(fake).mean() - critic(real).mean()
                loss = loss + weight * gradient_penalty(critic, real, fake)
                loss.backward()
                critic_adam.step()
            generator_adam.zero_grad()
            loss = -critic(generator(torch.randn(size, generator.latent_dim, device=device))).mean()
            loss.backward()
            generator_adam.step()

    return train


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """E (|grad f| - 1)^2 between real and fake, as tutorials write it."""
    alpha = torch.rand(len(real), *(1,) * (real.dim() - 1), device=real.device)
    between = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(between)
    (gradients,) = torch.autograd.grad(
        outputs=scores,
        inputs=between,
        grad_outputs=torch.ones_like(scores),
        create_graph=True,
        retain_graph=True,
    )
    return ((gradients.view(len(real), -1).norm(2, dim=1) - 1) ** 2).mean()


def forever(loader: torch_data.DataLoader[Tensor]) -> Iterator[Tensor]:
    """Batches without end."""
    while True:
        yield from loader


CONTENDERS: dict[str, Callable[[str, Dataset], Train]] = {
    "ours": ours,
    "textbook": textbook,
    "ours in bfloat16": partial(ours, precision="bfloat16"),
}


def main() -> None:
    """Be the contender that the arguments name; of several processes, train for the steps they give."""
    name, case, data, *bursts = sys.argv[1:]
    dataset = load(Path(data))
    if not bursts:
        serve(lambda: CONTENDERS[name](case, dataset))
        return
    train = CONTENDERS[name](case, dataset)
    for steps in map(int, bursts):
        start = perf_counter()
        train(steps)
        if processes()[0] == 0:
            print((perf_counter() - start) / steps, flush=True)


if __name__ == "__main__":
    main()

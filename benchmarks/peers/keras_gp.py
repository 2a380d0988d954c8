"""A WGAN-GP in Keras 3 on the backend that KERAS_BACKEND names, jax or torch, as its guides write steps.

echo 5 | KERAS_BACKEND=jax VENV/bin/python -m benchmarks.peers.keras_gp toy samples.npy
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.peers.pace import Train, serve

N_CRITIC = 5
Step = Callable[[Any, Any, Any], None]
"""Takes real samples, latents and, for a critic's step, where between real and fake the penalty is."""


def networks(case: str) -> tuple[keras.Model, keras.Model]:
    """The generator and the critic of a case, as `benchmarks.contenders` has them."""
    if case == "toy":
        dense = [[layers.Dense(512, activation="relu") for _ in range(3)] for _ in range(2)]
        generator = keras.Sequential([keras.Input((2,)), *dense[0], layers.Dense(2)])
        return generator, keras.Sequential([keras.Input((2,)), *dense[1], layers.Dense(1)])
    generator = keras.Sequential([keras.Input((128,)), layers.Dense(4 * 4 * 256, activation="relu")])
    generator.add(layers.Reshape((4, 4, 256)))
    for width in (128, 64):
        generator.add(layers.Conv2DTranspose(width, 5, strides=2, padding="same", activation="relu"))
    generator.add(layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="tanh"))
    critic = keras.Sequential([keras.Input((32, 32, 1))])
    for width in (64, 128, 256):
        critic.add(layers.Conv2D(width, 5, strides=2, padding="same"))
        critic.add(layers.LeakyReLU(0.2))
    critic.add(layers.Flatten())
    critic.add(layers.Dense(1))
    return generator, critic


def jax_steps(generator: keras.Model, critic: keras.Model, weight: float) -> tuple[Step, Step]:
    """The two steps in JAX, each compiled as a whole."""
    import jax
    import jax.numpy as jnp

    adams = [keras.optimizers.Adam(1e-4, 0.5, 0.9) for _ in range(2)]
    for adam, model in zip(adams, (generator, critic), strict=True):
        adam.build(model.trainable_variables)
    made = [
        [variable.value for variable in variables]
        for model, adam in ((generator, adams[0]), (critic, adams[1]))
        for variables in (model.trainable_variables, adam.variables)
    ]

    def run(model: keras.Model, weights: Any, inputs: Any) -> Any:  # noqa: ANN401
        return model.stateless_call(weights, [], inputs)[0]

    def critic_loss(weights: Any, real: Any, fake: Any, epsilon: Any) -> Any:  # noqa: ANN401
        between = epsilon * real + (1 - epsilon) * fake
        gradients = jax.grad(lambda points: run(critic, weights, points).sum())(between)
        slopes = jnp.sqrt(jnp.square(gradients).reshape(len(real), -1).sum(1))
        gap = run(critic, weights, fake).mean() - run(critic, weights, real).mean()
        return gap + weight * jnp.square(slopes - 1).mean()

    @jax.jit
    def critic_update(state: Any, real: Any, latents: Any, epsilon: Any) -> Any:  # noqa: ANN401
        fake = run(generator, state[0], latents)
        gradients = jax.grad(critic_loss)(state[2], real, fake, epsilon)
        return adams[1].stateless_apply(state[3], gradients, state[2])

    @jax.jit
    def generator_update(state: Any, latents: Any) -> Any:  # noqa: ANN401
        gradients = jax.grad(lambda weights: -run(critic, state[2], run(generator, weights, latents)).mean())(
            state[0]
        )
        return adams[0].stateless_apply(state[1], gradients, state[0])

    def critic_step(real: Any, latents: Any, epsilon: Any) -> None:  # noqa: ANN401
        made[2], made[3] = critic_update(made, real, latents, epsilon)

    def generator_step(real: Any, latents: Any, epsilon: Any) -> None:  # noqa: ANN401
        made[0], made[1] = jax.block_until_ready(generator_update(made, latents))

    return critic_step, generator_step


def torch_steps(generator: keras.Model, critic: keras.Model, weight: float) -> tuple[Step, Step]:
    """The two steps in torch, eagerly."""
    import torch

    adams = [keras.optimizers.Adam(1e-4, 0.5, 0.9) for _ in range(2)]

    def update(model: keras.Model, adam: keras.Optimizer, loss: torch.Tensor) -> None:
        model.zero_grad()
        loss.backward()
        weights = model.trainable_weights
        with torch.no_grad():
            adam.apply([weight.value.grad for weight in weights], weights)

    def critic_step(*given: Any) -> None:  # noqa: ANN401
        real, latents, epsilon = map(torch.from_numpy, given)
        fake = generator(latents).detach()
        between = (epsilon * real + (1 - epsilon) * fake).requires_grad_(True)
        (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        slopes = gradients.flatten(1).norm(2, dim=1)
        gap = critic(fake).mean() - critic(real).mean()
        update(critic, adams[1], gap + weight * ((slopes - 1) ** 2).mean())

    def generator_step(*given: Any) -> None:  # noqa: ANN401
        update(generator, adams[0], -critic(generator(torch.from_numpy(given[1]))).mean())

    return critic_step, generator_step


def prepare(case: str, data: str) -> Train:
    """The contender of a case."""
    generator, critic = networks(case)
    steps = {"jax": jax_steps, "torch": torch_steps}[keras.backend.backend()]
    critic_step, generator_step = steps(generator, critic, 0.1 if case == "toy" else 10.0)
    samples, rng = np.load(data), np.random.default_rng(0)
    size, length = (256, 2) if case == "toy" else (64, 128)

    def drawn() -> tuple[Any, Any, Any]:
        real = samples[rng.integers(len(samples), size=size)]
        if real.dtype == np.uint8:
            real = real.transpose(0, 2, 3, 1).astype(np.float32) / 127.5 - 1
        latents = rng.standard_normal((size, length), dtype=np.float32)
        return real, latents, rng.random((size, *(1,) * (real.ndim - 1)), dtype=np.float32)

    def train(count: int) -> None:
        for _ in range(count):
            for _ in range(N_CRITIC):
                critic_step(*drawn())
            generator_step(*drawn())

    return train


if __name__ == "__main__":
    serve(lambda: prepare(*sys.argv[1:]))

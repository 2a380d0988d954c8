"""The toy WGAN-GP in JAX by hand: MLPs of 3 x 512, a whole iteration of five critic steps compiled as one.

echo 5 | VENV/bin/python -m benchmarks.peers.jax_gp toy samples.npy
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.pace import Train, serve

N_CRITIC, BATCH, WEIGHT, RATE, FIRST, SECOND = 5, 256, 0.1, 1e-4, 0.5, 0.9
Tree = Any


def network(key: Tree, *widths: int) -> Tree:
    """Weights and biases of dense layers, drawn as PyTorch does."""
    keys = jax.random.split(key, len(widths) - 1)
    bounds = [width**-0.5 for width in widths[:-1]]
    return [
        (jax.random.uniform(k, (m, n), minval=-b, maxval=b), jnp.zeros(n))
        for k, b, m, n in zip(keys, bounds, widths[:-1], widths[1:], strict=True)
    ]


def run(layers: Tree, features: Tree) -> Tree:
    """Features through the layers, with ReLU between them."""
    *hidden, (weight, bias) = layers
    for inner, shift in hidden:
        features = jax.nn.relu(features @ inner + shift)
    return features @ weight + bias


def critic_loss(critic: Tree, real: Tree, fake: Tree, epsilon: Tree) -> Tree:
    """The loss with its gradient penalty."""
    between = epsilon * real + (1 - epsilon) * fake
    gradients = jax.grad(lambda points: run(critic, points).sum())(between)
    slopes = jnp.sqrt(jnp.square(gradients).sum(1))
    return run(critic, fake).mean() - run(critic, real).mean() + WEIGHT * jnp.square(slopes - 1).mean()


def adam(weights: Tree, moments: Tree, gradients: Tree, step: Tree) -> tuple[Tree, Tree]:
    """A step of Adam."""
    first = jax.tree.map(lambda m, g: FIRST * m + (1 - FIRST) * g, moments[0], gradients)
    second = jax.tree.map(lambda v, g: SECOND * v + (1 - SECOND) * g * g, moments[1], gradients)

    def moved(weight: Tree, m: Tree, v: Tree) -> Tree:
        return weight - RATE * (m / (1 - FIRST**step)) / (jnp.sqrt(v / (1 - SECOND**step)) + 1e-8)

    return jax.tree.map(moved, weights, first, second), (first, second)


@jax.jit
def iteration(state: Tree, samples: Tree, key: Tree, step: Tree) -> Tree:
    """Five critic steps and a generator step."""
    generator, critic, of_generator, of_critic = state
    for turn in range(N_CRITIC):
        rows, noise, where = jax.random.split(jax.random.fold_in(key, turn), 3)
        real = samples[jax.random.randint(rows, (BATCH,), 0, len(samples))]
        fake = run(generator, jax.random.normal(noise, (BATCH, 2)))
        gradients = jax.grad(critic_loss)(critic, real, fake, jax.random.uniform(where, (BATCH, 1)))
        critic, of_critic = adam(critic, of_critic, gradients, N_CRITIC * step + turn + 1.0)
    latents = jax.random.normal(jax.random.fold_in(key, N_CRITIC), (BATCH, 2))
    gradients = jax.grad(lambda weights: -run(critic, run(weights, latents)).mean())(generator)
    generator, of_generator = adam(generator, of_generator, gradients, step + 1.0)
    return generator, critic, of_generator, of_critic


def prepare(case: str, data: str) -> Train:
    """The contender, of the toy alone."""
    if case != "toy":
        raise SystemExit(f"There is no {case} here.")
    keys = jax.random.split(jax.random.key(0), 3)
    samples = jnp.asarray(np.load(data))
    networks = network(keys[0], 2, 512, 512, 512, 2), network(keys[1], 2, 512, 512, 512, 1)
    moments = [tuple(jax.tree.map(jnp.zeros_like, made) for _ in range(2)) for made in networks]
    held = {"state": (*networks, *moments), "step": 0}

    def train(count: int) -> None:
        for _ in range(count):
            key = jax.random.fold_in(keys[2], held["step"])
            held["state"] = iteration(held["state"], samples, key, float(held["step"]))
            held["step"] += 1
        jax.block_until_ready(held["state"])

    return train


if __name__ == "__main__":
    serve(lambda: prepare(*sys.argv[1:]))

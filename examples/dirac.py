"""The Dirac-GAN, the smallest GAN there is: which constraints make it converge.

    python examples/dirac.py [dirac.png]

The Dirac-GAN of Mescheder, Geiger, Nowozin 2018, "Which Training Methods for GANs do actually Converge?",
section 2, trained by the project's own steps: the data is the point 0, the generator the point theta, the
critic psi x. Both should converge to 0. It is also an example of a training loop of one's own.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn

from wgan.lipschitz import R1, R2, Chain, Constraint, GradientPenalty, WeightClipping
from wgan.losses import LOSSES
from wgan.training import Batch, Objective, State, critic_step, generator_step

CASES: dict[str, Constraint] = {
    "no constraint": Chain(),
    "clipping at 0.5": WeightClipping(0.5),
    "GP, weight 0.3": GradientPenalty(0.3),
    "GP, weight 1": GradientPenalty(1.0),
    "R1": R1(1.0),
    "R2": R2(1.0),
}
LEARNING_RATE, STEPS = 0.1, 300


class Point(nn.Module):
    """A generator that maps every latent to the same point theta."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([[1.0]]))

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (N, d) to samples (N, 1)."""
        return self.theta.expand(len(latents), 1)


def train(constraint: Constraint) -> np.ndarray:
    """Train; return the path of (theta, psi), an array (steps + 1, 2)."""
    generator, critic = Point(), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(critic.weight)
    optimisers = [torch.optim.SGD(network.parameters(), LEARNING_RATE) for network in (generator, critic)]
    state = State(generator, critic, *optimisers)
    objective = Objective(LOSSES["wasserstein"], constraint)
    data, rng = torch.zeros(2, 1), torch.Generator()
    path = [(1.0, 0.0)]
    for _ in range(STEPS):
        critic_step(state, objective, Batch(data), data, rng)
        generator_step(state, objective, data)
        path.append((generator.theta.item(), critic.weight.item()))
    return np.array(path)


def draw(path: str) -> None:
    """Save the figure."""
    figure, panels = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained", sharex=True, sharey=True)
    for panel, (name, constraint) in zip(panels.flat, CASES.items(), strict=True):
        theta, psi = train(constraint).T
        panel.axhline(0, color="0.85", linewidth=0.8)
        panel.axvline(0, color="0.85", linewidth=0.8)
        panel.plot(theta, psi, linewidth=1)
        panel.plot(theta[-1], psi[-1], "o", markersize=5, color="C3")
        panel.set(title=name)
    for panel in panels[1]:
        panel.set(xlabel="generator: theta")
    for panel in panels[:, 0]:
        panel.set(ylabel="critic: psi")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"Saved {path}.")


if __name__ == "__main__":
    plt.switch_backend("agg")
    draw(sys.argv[1] if len(sys.argv) > 1 else "dirac.png")

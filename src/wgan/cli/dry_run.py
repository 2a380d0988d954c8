"""What ``wgan train --dry-run`` prints."""

import torch
from rich.console import Console, Group, RenderableType
from rich.table import Table
from torch import Tensor, nn

from wgan.networks import generate, summarise
from wgan.runs import flatten
from wgan.training import Trainer
from wgan.training.observe import spread_labels

MIB = 2**20


def dry_run(trainer: Trainer, steps: int) -> None:
    """Print the settings, the networks layer by layer, and what memory and time they need."""
    terminal = Console(highlight=False)
    config = trainer.config(steps)
    settings = _table("Configuration", "setting", "value")
    for name, value in flatten({k: v for k, v in config.items() if k != "origin"}):
        settings.add_row(name, str(value))
    state = trainer.state()
    latents = torch.zeros(2, config["latent_dim"], device=next(state.generator.parameters()).device)
    labels = spread_labels(trainer.dataset.train, 2, latents.device) if trainer.settings.conditional else None
    samples = generate(state.average, latents, labels)
    seconds = trainer.seconds_per_step()
    terminal.print(
        Group(
            settings,
            *_network("Generator", state.generator, latents, labels),
            *_network("Critic", state.critic, samples, labels),
        )
    )
    memory = _memory(trainer, latents, samples, labels)
    terminal.print(f"\nMemory: about {memory / MIB:,.0f} MiB beside PyTorch itself.")
    terminal.print(
        f"Time: {seconds * 1000:.3g} ms a step here, {_duration(seconds * steps)} for {steps:,} steps."
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")  # rather than cut
    return table


def _network(title: str, network: nn.Module, example: Tensor, labels: Tensor | None) -> list[RenderableType]:
    table = _table(f"\n{title}", "layer", "kind", "output", "parameters")
    for layer in summarise(network, example, labels):
        table.add_row(layer.path, layer.kind, "x".join(map(str, layer.shape)), f"{layer.parameters:,}")
    count = sum(parameter.numel() for parameter in network.parameters())
    return [table, f"{count:,} parameters"]


def _memory(trainer: Trainer, latents: Tensor, samples: Tensor, labels: Tensor | None) -> int:
    generator, critic = trainer.generator, trainer.critic
    weights = sum(p.numel() for network in (generator, critic) for p in network.parameters())
    average = sum(p.numel() for p in generator.parameters())
    # Weights, gradients and two moments each; activations of a pass and of the penalty's pass through it.
    activations = 2 * _activations(generator, latents, labels) + 6 * _activations(critic, samples, labels)
    data = trainer.dataset.train.storage
    resident = data.nbytes if isinstance(data, Tensor) else 0
    return 4 * (4 * weights + average + trainer.settings.batch_size * activations) + resident


def _activations(network: nn.Module, example: Tensor, labels: Tensor | None) -> int:
    return sum(torch.Size(layer.shape).numel() for layer in summarise(network, example, labels))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

"""Everything that changes while a run trains, as one object that becomes tensors and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from wgan.errors import InputError
from wgan.training.augment import Augmenter
from wgan.training.ema import EMA
from wgan.training.objective import Numbers, TermsEvaluation, evaluate_eagerly

Groups = dict[str, dict[str, Tensor]]


@dataclass
class State:
    """The state of a run after ``step`` steps.

    Attributes:
        generator: The generator under training.
        critic: The critic under training, wrapped by its constraint.
        generator_optimiser: Optimiser of the generator's parameters.
        critic_optimiser: Optimiser of the critic's parameters.
        ema: The generator's exponential moving average; one with its default decay if none is passed.
        augmenter: Transforms what the critic sees, with a strength that may adapt; None: no augmentation.
        step: Number of steps done; one step is n_critic critic steps and a generator step.
        sums: Sums of the numbers that steps returned since the last log point.
        counts: How many numbers were added up in each sum.
        evaluate_critic: How the critic's terms are evaluated: eagerly, compiled, or by several processes.
        evaluate_generator: How the generator's terms are evaluated.
        step_fn: How a whole step is executed; None: as it is written.
    """

    generator: nn.Module
    critic: nn.Module
    generator_optimiser: Optimizer
    critic_optimiser: Optimizer
    ema: EMA = None  # type: ignore[assignment]  # set right after construction
    augmenter: Augmenter | None = None
    step: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    evaluate_critic: TermsEvaluation = evaluate_eagerly
    evaluate_generator: TermsEvaluation = evaluate_eagerly
    step_fn: Callable[..., list[Numbers]] | None = None

    def __post_init__(self) -> None:
        self.ema = self.ema or EMA(self.generator)

    @property
    def average(self) -> nn.Module:
        """The averaged generator, which is observed, evaluated and shipped."""
        return self.ema.module

    def add(self, numbers: Mapping[str, Tensor]) -> None:
        """Add what a step returned to the sums, on the device."""
        for name, number in numbers.items():
            # A copy: a replayed step writes its numbers to the same place each time.
            self.sums[name] = self.sums[name] + number if name in self.sums else number.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, Tensor]:
        """The means since the last call, by name in alphabetical order, and start anew."""
        means = {name: self.sums[name] / self.counts[name] for name in sorted(self.sums)}
        self.sums, self.counts = {}, {}
        return means

    def groups(self, sums: Mapping[str, Tensor] | None = None) -> Groups:
        """All of it as named tensors, with other sums if given; ``average`` alone is enough to sample."""
        return {
            "generator": dict(self.generator.state_dict()),
            "critic": dict(self.critic.state_dict()),
            "average": dict(self.average.state_dict()),
            "generator_optimiser": _optimiser_tensors(self.generator_optimiser),
            "critic_optimiser": _optimiser_tensors(self.critic_optimiser),
            "window": {f"{name}.sum": total for name, total in (sums or self.sums).items()}
            | {f"{name}.count": torch.tensor(count) for name, count in self.counts.items()},
            **({} if self.augmenter is None else {"augmenter": dict(self.augmenter.state_dict())}),
        }

    def restore(self, step: int, groups: Groups) -> None:
        """Become the state whose :meth:`groups` these are.

        Raises:
            InputError: The networks are others than those that were saved; nothing is changed.
        """
        _check_same("generator", self.generator, groups["generator"])
        _check_same("critic", self.critic, groups["critic"])
        self.generator.load_state_dict(groups["generator"])
        self.critic.load_state_dict(groups["critic"])
        self.average.load_state_dict(groups["average"])
        _restore_optimiser(self.generator_optimiser, groups["generator_optimiser"])
        _restore_optimiser(self.critic_optimiser, groups["critic_optimiser"])
        if self.augmenter is not None:
            self.augmenter.load_state_dict(groups["augmenter"])
        window = groups["window"]
        device = next(self.generator.parameters()).device
        self.sums = {k[:-4]: v.to(device) for k, v in window.items() if k.endswith(".sum")}
        self.counts = {k[:-6]: int(v) for k, v in window.items() if k.endswith(".count")}
        self.step = step

    def finite(self) -> bool:
        """Whether every weight is a finite number. Waits for the device."""
        weights = [*self.generator.parameters(), *self.critic.parameters()]
        return all(bool(torch.isfinite(weight).all()) for weight in weights)


def use_channels_last(network: nn.Module) -> None:
    """Store the kernels of 2-D convolutions with channels last where that is quicker: on a CPU.

    Convolutions follow the layout of their weights. What a tensor is, and its order in files, stays the same.
    """
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for weight in (weight for convolution in convolutions for weight in convolution.parameters()):
        if weight.dim() == 4 and weight.device.type == "cpu":
            # Not contiguous(), which leaves a single channel as it is: gradients have exactly this layout.
            laid = torch.empty_like(weight.data, memory_format=torch.channels_last)
            weight.data = laid.copy_(weight.data)


def trainable(optimiser: Optimizer) -> list[Tensor]:
    """The parameters that the optimiser moves: its own list, faster than a walk through the network."""
    return [p for group in optimiser.param_groups for p in group["params"] if p.requires_grad]


def _check_same(name: str, network: nn.Module, saved: Mapping[str, Tensor]) -> None:
    now = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    then = {key: tuple(tensor.shape) for key, tensor in saved.items()}
    for key in now | then:
        if now.get(key) != then.get(key):
            raise InputError(
                f"The {name} has `{key}` of shape {now.get(key)}, the saved one {then.get(key)}."
            )


def _optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    slots = ((f"{index}.{name}", value) for index, own in state.items() for name, value in own.items())
    return {name: value for name, value in slots if value is not None}


def _restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        weight = weights[int(index)]
        # Fused optimisers walk weights and moments in the order of storage, and a file knows one order only.
        laid = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
        slots.setdefault(int(index), {})[name] = laid
    optimiser.load_state_dict({"state": slots, "param_groups": optimiser.state_dict()["param_groups"]})

"""Data-parallel training: several processes that train one run together.

A step's batch is a function of (seed, step) alone; every process draws all of it and keeps its own rows, so
that one, two or four processes make the same run, up to rounding. All terms of a network, the penalty's inner
gradient included, are the forward pass of one module under ``DistributedDataParallel``, with one backward
pass: with two of them, or with the penalty in a pass of its own, processes would end up with different
weights and no error.
"""

import atexit
import gc
import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from inspect import signature
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wgan.core.devices import processes
from wgan.core.randomness import RankGenerator, seed_global_rng
from wgan.errors import InputError, ProcessError, WganError
from wgan.training.batchnorm import synchronised
from wgan.training.objective import Numbers, Terms, TermsEvaluation
from wgan.training.settings import TrainingSettings
from wgan.training.state import State

_KNOWN = signature(DistributedDataParallel.__init__).parameters
_BUFFERS_AS_THEY_ARE: dict[str, Any] = {
    # Buffers are functions of the same whole batches everywhere; torch renamed the option in 2.13.
    "forward_sync_buffers" if "forward_sync_buffers" in _KNOWN else "broadcast_buffers": False
}
PATIENCE = timedelta(minutes=10)
"""How long a process waits for another before it counts as lost."""
CONNECTION_ERROR = re.compile("gloo|nccl|ucc|process group|connection|socket|timed? ?out", re.IGNORECASE)
"""Errors that a backend raises when another process is gone."""


@final
class World:
    """The processes of a run: one, unless ``torchrun`` started several.

    Attributes:
        rank: Rank of this process, in [0, size).
        size: Number of processes.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = processes()
        self._device = device
        if self.size > 1 and not dist.is_initialized():
            # Before there is a group, for the defaults of its functions would keep that one.
            importlib.import_module("torch.distributed.nn.functional")
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
            atexit.register(_leave)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def refuse(self, settings: TrainingSettings, *networks: nn.Module) -> None:
        """Raise InputError for what several processes cannot share."""
        if self.size == 1:
            return
        batch_size, constraint = settings.batch_size, settings.constraint
        if settings.augment.active:
            raise InputError("Augmentation draws for one process alone; use one, or leave it out.")
        if batch_size % self.size or batch_size // self.size < 2:
            raise InputError(
                f"A batch of {batch_size} cannot be shared by {self.size} processes in equal parts of at "
                "least 2 samples."
            )
        if constraint.needs_whole_batch:
            raise InputError(
                f"{constraint} looks at a batch as a whole, which {self.size} processes cannot share; use "
                "one process."
            )
        for module in (module for network in networks for module in network.modules()):
            if getattr(module, "mixes_samples", False) is True:
                raise InputError(
                    f"{type(module).__name__} mixes the samples of a batch, which processes share."
                )

    def main_process_first(self, act: Callable[[], None]) -> None:
        """Call a function in the main process while the others wait; where it fails, all end."""
        if self.size == 1:
            act()
            return
        failure: Exception | None = None
        if self.is_main:
            try:
                act()
            except WganError as error:
                failure = error
        if self.any(failure is not None):
            raise failure or SystemExit(2)

    def rng(self, seed: int) -> torch.Generator:
        """The generator of a step; modules such as dropout draw from the device's own, seeded alike."""
        own = seed_global_rng(seed, self._device)
        if self.size == 1:
            return own
        return RankGenerator(self._device, rank=self.rank, size=self.size).manual_seed(seed)

    def share(self, batch_size: int) -> int:
        """Number of samples of a batch that are this process's."""
        return batch_size // self.size

    def synchronise(self, network: nn.Module) -> nn.Module:
        """Let a network's batch norms use the statistics of the whole batch."""
        return network if self.size == 1 else synchronised(network)

    def wrap(self, state: State) -> None:
        """Evaluate both networks' terms in all processes, so that gradients are those of the whole batch."""
        if self.size > 1:
            state.evaluate_critic = self._evaluate(state.critic)
            state.evaluate_generator = self._evaluate(state.generator)

    def _evaluate(self, network: nn.Module) -> TermsEvaluation:
        whole = DistributedDataParallel(
            _Whole(network),
            device_ids=[self._device.index] if self._device.type == "cuda" else None,
            **_BUFFERS_AS_THEY_ARE,
        )
        return lambda terms, _, **inputs: whole(terms, inputs)

    def mean(self, numbers: Numbers) -> Numbers:
        """Average each number over processes."""
        if self.size == 1 or not numbers:
            return numbers
        together = torch.stack([number.double() for number in numbers.values()]) / self.size
        dist.all_reduce(together)
        return dict(zip(numbers, together.to(torch.float32).unbind(), strict=True))

    def any(self, here: bool) -> bool:
        """Whether a condition holds in any process."""
        return self.each(here)[0]

    def each(self, *here: bool) -> list[bool]:
        """Whether each of several conditions holds in any process."""
        return list(here) if self.size == 1 else [n > 0 for n in self._reduced(dist.ReduceOp.MAX, *here)]

    def of_main(self, number: float) -> float:
        """The main process's number."""
        return number if self.size == 1 else self._reduced(dist.ReduceOp.SUM, self.is_main * number)[0]

    def check_agreement(self, step: int, *networks: nn.Module) -> None:
        """Check that all processes have the same weights and buffers, bit for bit.

        Raises:
            ProcessError: They have not.
        """
        if self.size == 1:
            return
        tensors = [t for network in networks for t in (*network.parameters(), *network.buffers())]
        low = torch.stack([fingerprint(tensor) for tensor in tensors])
        high = low.clone()
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
        if not torch.equal(low, high):
            raise ProcessError(
                f"The {self.size} processes have different weights or buffers at step {step:,}. The last "
                "checkpoint is from before; the same command goes on from there. Please report this."
            )

    @contextmanager
    def naming_lost_process(self) -> Iterator[None]:
        """A context in which the loss of another process is an error of one sentence.

        Raises:
            ProcessError: Another process is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not CONNECTION_ERROR.search(str(error)):
                raise
            raise ProcessError(
                f"Another of the run's {self.size} processes is gone, so process {self.rank} ends too. The "
                "last checkpoint is whole; the same command goes on from there, with any number of processes."
            ) from error

    def _reduced(self, by: Any, *numbers: float) -> list[float]:  # noqa: ANN401 - torch's type is private
        values = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        dist.all_reduce(values, by)
        reduced: list[float] = values.tolist()
        return reduced


def _leave() -> None:
    """Destroy the process group, whose threads end once no object refers to it, cycles included.

    A thread that frees its last tensor while the interpreter ends would abort the process.
    """
    gc.collect()
    dist.destroy_process_group()


def fingerprint(tensor: Tensor) -> Tensor:
    """The sum of i w_i over a tensor's words w_i, i = 1, 2, ..., modulo 2^64: a scalar, int64.

    It changes with any bit of a single value, and when two values are exchanged. Being a sum of whole
    numbers, it does not depend on the order in which a device adds.

    Source: Fletcher 1982, "An Arithmetic Checksum for Serial Transmissions", the second of its two sums.

    Args:
        tensor: Of any shape and type; all values that are not finite count as equal.
    """
    values = tensor.detach().nan_to_num().flatten().contiguous()
    words = values.view(torch.int32 if values.element_size() % 4 == 0 else torch.int8).long()
    return (words * torch.arange(1, len(words) + 1, device=words.device)).sum()


@final
class _Whole(nn.Module):
    """The terms of a network as the forward pass of one module."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, terms: Terms, inputs: dict[str, Any]) -> Numbers:
        return terms(self.network, **inputs)

"""Dead units: those that are never active."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

RECTIFIERS = frozenset({"relu", "relu_"})
"""Functions whose units can die, by the name under which torch dispatches them however a network calls them.

Leaky rectifiers are not among them: their gradient never vanishes."""


@final
class RectifiedUnits(TorchFunctionMode):
    """A context that records the largest value of each unit behind a rectifier.

    A unit is a feature of (N, d) and a channel of (N, c, ...). Entered again for another pass through the
    same network, it records the larger value.
    """

    def __init__(self) -> None:
        super().__init__()
        self._largest: list[Tensor] = []
        self._turn = 0

    def __enter__(self) -> "RectifiedUnits":
        self._turn = 0
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call the function, and record what a rectifier returns."""
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in RECTIFIERS and isinstance(result, Tensor) and result.dim() > 1:
            self._record(result.detach())
        return result

    def dead(self) -> Tensor:
        """The share of units that were never positive, a scalar; 0 for a network without rectifiers."""
        if not self._largest:
            return torch.zeros(())
        return (torch.cat(self._largest) <= 0).float().mean()

    def _record(self, values: Tensor) -> None:
        largest = values.amax([side for side in range(values.dim()) if side != 1])
        if self._turn < len(self._largest):
            largest = torch.maximum(self._largest[self._turn], largest)
            self._largest[self._turn] = largest
        else:
            self._largest.append(largest)
        self._turn += 1

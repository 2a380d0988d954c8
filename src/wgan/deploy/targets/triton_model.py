"""An artifact as a model of Triton's Python backend, which loads this file as ``model.py``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

HERE = Path(__file__).parent


@final
class TritonPythonModel:
    """The class that the backend expects; see the README of Triton's ``python_backend``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load and check the artifact."""
        sys.path.insert(0, str(HERE))
        from wgan.artifact import Artifact

        self._run = Artifact.load(HERE / "artifact").runtime()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Respond to several requests with one call of the model."""
        import triton_python_backend_utils as triton

        feeds = [_feed(request, triton) for request in requests]
        ends = np.cumsum([len(latents) for latents, _ in feeds])
        labels = [label for _, label in feeds if label is not None]
        try:
            samples = self._run(
                np.concatenate([latents for latents, _ in feeds]), np.concatenate(labels) if labels else None
            )
        except ValueError as error:
            if len(requests) > 1:  # an invalid request must not fail the others
                return [self.execute([request])[0] for request in requests]
            return [triton.InferenceResponse(error=triton.TritonError(str(error)))]
        return [
            triton.InferenceResponse([triton.Tensor("samples", part)])
            for part in np.split(samples, ends[:-1])
        ]


def _feed(request: Any, triton: Any) -> tuple[Any, Any]:  # noqa: ANN401 - the backend's own types
    """The latents (N, d) of a request and its labels (N,), if it has any."""
    latents = triton.get_input_tensor_by_name(request, "latents").as_numpy()
    labels = triton.get_input_tensor_by_name(request, "labels")
    return latents, None if labels is None else labels.as_numpy().reshape(-1)

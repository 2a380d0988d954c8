"""The demo page: static files, with the generator on a server or in the browser.

``demo.js`` calls two functions of ``backend.js``: ``describe()``, see :func:`describe_generator`, and
``generate(latents, labels)``. There are two backends, one for each place where the generator runs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wgan.demo.sliders import slider_directions

__all__ = ["Backend", "describe_generator", "page_files", "slider_directions"]

Backend = Literal["server", "wasm"]

MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HERE = Path(__file__).parent
_SHARED = ("index.html", "style.css", "demo.js", "latents.js")


def page_files(backend: Backend) -> dict[str, bytes]:
    """The files of the page by name, ``index.html`` first."""
    page = {name: (_HERE / name).read_bytes() for name in _SHARED}
    return page | {"backend.js": (_HERE / f"{backend}.js").read_bytes()}


def describe_generator(
    run: Callable[[npt.NDArray[np.float32], npt.NDArray[np.int64] | None], npt.NDArray[np.float32]],
    *,
    name: str,
    latent_dim: int,
    shape: Sequence[int],
    classes: Sequence[str] | None,
) -> dict[str, Any]:
    """A generator's description for the page, as JSON values.

    Args:
        run: The generator: from latents (N, latent_dim) and perhaps labels (N,) to samples.
        name: Title of the page.
        latent_dim: Length of a latent.
        shape: Shape of a sample.
        classes: Name of each label; None for a generator without.

    Returns:
        The arguments and the ``directions`` of the sliders, (k, latent_dim): with classes, those of the first.
    """

    def generate(latents: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return run(latents, None if classes is None else np.zeros(len(latents), np.int64))

    return {
        "name": name,
        "latent_dim": latent_dim,
        "shape": list(shape),
        "classes": None if classes is None else list(classes),
        "directions": [
            [round(float(component), 6) for component in direction]
            for direction in slider_directions(generate, latent_dim)
        ],
    }

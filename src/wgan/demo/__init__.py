"""The demo page: static files, with the generator on a server or in the browser.

``demo.js`` calls two functions of ``backend.js``: ``describe()``, see :func:`describe_generator`, and
``generate(latents, labels)``. There are two backends, one for each place where the generator runs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from wgan.demo.sliders import slider_directions

__all__ = ["Backend", "GeneratorInfo", "describe_generator", "page_files", "slider_directions"]

Backend = Literal["server", "wasm"]

MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HERE = Path(__file__).parent
_SHARED = ("index.html", "style.css", "demo.js", "latents.js")


def page_files(backend: Backend) -> dict[str, bytes]:
    """The files of the page by name, ``index.html`` first."""
    page = {name: (_HERE / name).read_bytes() for name in _SHARED}
    return page | {"backend.js": (_HERE / f"{backend}.js").read_bytes()}


class GeneratorInfo(Protocol):
    """What the page needs of an artifact."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def latent_dim(self) -> int:
        """Length of a latent."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Name of each label; None for a generator without."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Origin and validation."""


def describe_generator(
    info: GeneratorInfo,
    run: Callable[[npt.NDArray[np.float32], npt.NDArray[np.int64] | None], npt.NDArray[np.float32]],
) -> dict[str, Any]:
    """A generator's description for the page, as JSON values.

    Args:
        info: The artifact.
        run: The generator: from latents (N, latent_dim) and perhaps labels (N,) to samples.

    Returns:
        ``name``, ``latent_dim``, ``shape``, ``classes`` (None without), and the ``directions`` of the page's
        sliders, (k, latent_dim), which are those of the first class if there are classes.
    """

    def generate(latents: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return run(latents, None if info.classes is None else np.zeros(len(latents), np.int64))

    data = info.provenance.get("data", {})
    return {
        "name": data.get("name") or info.path.resolve().name,
        "latent_dim": info.latent_dim,
        "shape": list(info.shape),
        "classes": None if info.classes is None else list(info.classes),
        "directions": [
            [round(float(component), 6) for component in direction]
            for direction in slider_directions(generate, info.latent_dim)
        ],
    }

"""The page that shows what a generator makes: static files, with a server or a model in the browser behind.

``gallery.js`` asks ``backend.js`` for two things: ``describe()``, see :func:`describe`, and
``generate(latents, labels)``. There are two backends, one for each place where the generator runs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from wgan.demo.sliders import Array, directions

__all__ = ["Backend", "Shown", "describe", "directions", "files"]

Backend = Literal["server", "wasm"]

MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HERE = Path(__file__).parent
_SHARED = ("index.html", "style.css", "gallery.js", "latents.js")


def files(backend: Backend) -> dict[str, bytes]:
    """The page's files by their names, ``index.html`` first."""
    page = {name: (_HERE / name).read_bytes() for name in _SHARED}
    return page | {"backend.js": (_HERE / f"{backend}.js").read_bytes()}


class Shown(Protocol):
    """What is shown: an artifact, as far as the page has to know it."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def latent_dim(self) -> int:
        """Length of a latent."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The name of each label."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where it comes from."""


def describe(shown: Shown, run: Callable[[Array, npt.NDArray[np.int64] | None], Array]) -> dict[str, Any]:
    """What the page has to know of a generator, as plain values.

    Args:
        shown: The artifact.
        run: Its samples at latents (N, latent_dim) and, for a generator with classes, labels (N,).

    Returns:
        Its name for people, ``latent_dim``, ``shape``, ``classes`` (None without), and the ``directions`` of
        the page's sliders, (k, latent_dim): those of the first class, if there are classes.
    """

    def generate(latents: Array) -> Array:
        return run(latents, None if shown.classes is None else np.zeros(len(latents), np.int64))

    data = shown.provenance.get("data", {})
    return {
        "name": data.get("name") or shown.path.resolve().name,
        "latent_dim": shown.latent_dim,
        "shape": list(shown.shape),
        "classes": None if shown.classes is None else list(shown.classes),
        "directions": [
            [round(float(number), 6) for number in way] for way in directions(generate, shown.latent_dim)
        ],
    }

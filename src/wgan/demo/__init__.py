"""The page that shows what a generator makes: static files, with a server or a model in the browser behind.

``gallery.js`` asks ``backend.js`` for two things: ``describe()``, see :func:`describe`, and
``generate(latents, labels)``. There are two backends, one for each place where the generator runs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from wgan.core.arrays import FloatArray

__all__ = ["Backend", "Shown", "describe", "files"]

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
    def directions(self) -> FloatArray:
        """Latent directions of the sliders, (k, latent_dim)."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where it comes from."""


def describe(shown: Shown) -> dict[str, Any]:
    """Describe a generator to the page, as plain values.

    Returns:
        Its display name, ``latent_dim``, ``shape``, ``classes`` (None without), and the ``directions`` of the
        page's sliders, (k, latent_dim).
    """
    data = shown.provenance.get("data", {})
    return {
        "name": data.get("name") or shown.path.resolve().name,
        "latent_dim": shown.latent_dim,
        "shape": list(shown.shape),
        "classes": None if shown.classes is None else list(shown.classes),
        # The shortest digits that give the same float32 again.
        "directions": [[float(str(number)) for number in direction] for direction in shown.directions],
    }

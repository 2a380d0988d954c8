"""The demo page: static files, with the generator on a server or in the browser.

``demo.js`` calls two functions of ``backend.js``: ``describe()``, see `wgan.artifact.Artifact.page`, and
``generate(latents, labels)``. There are two backends, one for each place where the generator runs.
"""

from pathlib import Path
from typing import Literal

__all__ = ["Backend", "page_files"]

Backend = Literal["server", "wasm"]

MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HERE = Path(__file__).parent
_SHARED = ("index.html", "style.css", "demo.js", "latents.js")


def page_files(backend: Backend) -> dict[str, bytes]:
    """The files of the page by name, ``index.html`` first."""
    page = {name: (_HERE / name).read_bytes() for name in _SHARED}
    return page | {"backend.js": (_HERE / f"{backend}.js").read_bytes()}

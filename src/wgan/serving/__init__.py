"""A generator behind HTTP: the Open Inference Protocol, images by seed, and a page to look at.

What it needs is in the extra ``serve``; :func:`serve` loads it.
"""

from collections.abc import Callable

from wgan.artifact import Artifact
from wgan.errors import MissingExtraError
from wgan.serving.settings import PREFIX, Settings

__all__ = ["PREFIX", "Settings", "serve"]


def serve(
    artifact: Artifact,
    settings: Settings | None = None,
    *,
    token: str | None = None,
    started: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve an artifact until SIGTERM or SIGINT, then answer all that came in and return.

    Args:
        artifact: What to serve.
        settings: Where, and the bounds.
        token: That clients have to say as ``Authorization: Bearer TOKEN``; None lets everybody in.
        started: Called with the server's address once it listens.

    Raises:
        InputError: The address cannot be listened at, or the artifact cannot be run.
        MissingExtraError: A package of the extra, or the artifact's runtime, is not installed.
    """
    try:
        from wgan.serving import server
    except ImportError as error:
        raise MissingExtraError(f"Serving needs {error.name}: pip install 'wgan[serve]'.") from None
    server.serve(artifact, settings or Settings(), token=token, started=started)

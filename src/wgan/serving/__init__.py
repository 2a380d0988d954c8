"""HTTP server for a generator: the Open Inference Protocol, images by seed, and a demo page.

Its dependencies are in the extra ``serve``; :func:`serve` imports them.
"""

from collections.abc import Callable

from wgan.artifact import Artifact
from wgan.errors import MissingExtraError
from wgan.serving.settings import PREFIX, ServerSettings

__all__ = ["PREFIX", "ServerSettings", "serve"]


def serve(
    artifact: Artifact,
    settings: ServerSettings | None = None,
    *,
    token: str | None = None,
    started: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve an artifact until SIGTERM or SIGINT, then answer the requests that were received and return.

    Args:
        artifact: The artifact.
        settings: Address and limits.
        token: Token that clients send as ``Authorization: Bearer TOKEN``; None for no authorisation.
        started: Called with the server's URL once it listens.

    Raises:
        InputError: The server cannot listen at the address, or the artifact cannot be run.
        MissingExtraError: A package of the extra, or the artifact's runtime, is not installed.
    """
    try:
        from wgan.serving import server
    except ImportError as error:
        raise MissingExtraError(f"Serving needs {error.name}: pip install 'wgan[serve]'.") from None
    server.serve(artifact, settings or ServerSettings(), token=token, started=started)

"""An artifact as an AWS Lambda function; in the function's archive this file is ``handler.py``.

An event is an image request, ``{"seed": 7, "count": 16}``, or an HTTP request with one as its body, as a
function URL or an API Gateway sends it. The result is an HTTP response with the file in base64.
"""

import json
from base64 import b64decode, b64encode
from functools import cache
from pathlib import Path
from typing import Any

from wgan.artifact import Artifact, Runtime
from wgan.errors import InputError
from wgan.image_requests import MEDIA, ImageRequest, draw

HERE = Path(__file__).parent
MAX_COUNT = 64
"""Largest number of images per event."""
MAX_BYTES = 4_500_000
"""Largest file: in base64 it is close to the 6 MB that a Lambda function can return."""


def handler(event: object, context: object) -> dict[str, Any]:
    """Respond to one event: status 200 and a file, or status 400 and a sentence."""
    artifact, run = load()
    try:
        request = ImageRequest.parse(_body(event), max_count=MAX_COUNT, classes=artifact.classes)
        file = draw(run, artifact.latent_dim, request, classes=artifact.classes)
        if len(file) > MAX_BYTES:
            raise InputError(
                f"The response would have {len(file)} bytes, too many for Lambda; request fewer images."
            )
    except InputError as error:
        return _response(400, "application/json", json.dumps({"error": str(error)}).encode())
    return _response(200, MEDIA[request.format], file)


@cache
def load() -> tuple[Artifact, Runtime]:
    """The artifact beside this file, and its runtime."""
    artifact = Artifact.load(HERE / "artifact")
    return artifact, artifact.runtime()


if (HERE / "artifact").is_dir():
    load()  # at cold start, before the first request is timed


def _body(event: object) -> object:
    """The image request in an event, which may be the body of an HTTP request."""
    if not isinstance(event, dict) or "requestContext" not in event:
        return event
    body = event.get("body") or "{}"
    try:
        return json.loads(b64decode(body) if event.get("isBase64Encoded") else body)
    except (TypeError, ValueError, RecursionError):
        raise InputError("The body is not JSON.") from None


def _response(status: int, media: str, file: bytes) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": media},
        "isBase64Encoded": True,
        "body": b64encode(file).decode(),
    }

"""An artifact as an AWS Lambda function; it stands in the function's archive as ``handler.py``.

An event is an order, ``{"seed": 7, "count": 16}``, or an HTTP request with an order as its body, as a
function URL or an API Gateway sends it. The answer has the shape of an HTTP answer with the file in base64.
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
MOST = 64
"""Images that one event may ask for."""
LARGEST = 4_500_000
"""Bytes of a file: in base64 they come near the 6 MB that a Lambda function can answer."""


def handler(event: object, context: object) -> dict[str, Any]:
    """Answer one event: 200 and a file, or 400 and a sentence."""
    artifact, run = load()
    try:
        order = ImageRequest.read(_asked(event), most=MOST, classes=artifact.classes)
        file = draw(run, artifact.latent_dim, order, classes=artifact.classes)
        if len(file) > LARGEST:
            raise InputError(
                f"The answer would have {len(file)} bytes, too many for Lambda; ask for fewer images."
            )
    except InputError as error:
        return _answer(400, "application/json", json.dumps({"error": str(error)}).encode())
    return _answer(200, MEDIA[order.format], file)


@cache
def load() -> tuple[Artifact, Runtime]:
    """The artifact beside this file, and its runtime."""
    artifact = Artifact.load(HERE / "artifact")
    return artifact, artifact.runtime()


if (HERE / "artifact").is_dir():
    load()  # while the function starts, which is not the caller's time


def _asked(event: object) -> object:
    """The order in an event, which may be packed as the body of an HTTP request."""
    if not isinstance(event, dict) or "requestContext" not in event:
        return event
    body = event.get("body") or "{}"
    try:
        return json.loads(b64decode(body) if event.get("isBase64Encoded") else body)
    except (TypeError, ValueError, RecursionError):
        raise InputError("The body is not JSON.") from None


def _answer(status: int, media: str, file: bytes) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": media},
        "isBase64Encoded": True,
        "body": b64encode(file).decode(),
    }

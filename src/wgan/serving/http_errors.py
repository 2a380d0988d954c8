"""HTTP errors: a status and one sentence."""

import json
from typing import final

from starlette.responses import Response

from wgan.errors import WganError


@final
class HTTPError(WganError):
    """A request that fails; the message is the sentence for the client.

    Attributes:
        status: Status of the response: 4xx, or 503 for a server that is too busy.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}


def error_response(status: int, sentence: str, *, close: bool = False) -> Response:
    """An error response in the format of the Open Inference Protocol.

    Args:
        status: HTTP status; 401 and 503 add the headers WWW-Authenticate and Retry-After.
        sentence: What is wrong, and what to do.
        close: Whether to close the connection, without reading the rest of the request.
    """
    headers = dict(_HEADERS.get(status, {}))
    if close:
        headers["Connection"] = "close"
    # ASCII: a sentence may quote what UTF-8 cannot encode, such as half of a surrogate pair.
    return Response(json.dumps({"error": sentence}), status, headers, "application/json")

"""The answer to what cannot be answered: a status and one sentence."""

import json
from typing import final

from starlette.responses import Response

from wgan.errors import WganError


@final
class HTTPError(WganError):
    """A request that gets no result, and why.

    Attributes:
        status: Of the HTTP answer: 4xx, or 503 for a server that is too busy now.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


_SAID_WITH = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}


def refuse(status: int, sentence: str, *, close: bool = False) -> Response:
    """The answer with this sentence, in the shape of the Open Inference Protocol.

    Args:
        status: 401 says what is asked for, and 503 when to come again.
        sentence: What was wrong, and what to do.
        close: Whether the connection ends: what is left of the request will not be read.
    """
    headers = dict(_SAID_WITH.get(status, {}))
    if close:
        headers["Connection"] = "close"
    # ASCII: a sentence may quote what no encoding can carry, such as half of a surrogate pair.
    return Response(json.dumps({"error": sentence}), status, headers, "application/json")

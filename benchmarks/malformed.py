"""Requests that are wrong by construction, against a server: each must get a 4xx with one clear sentence.

``python -m benchmarks.malformed http://127.0.0.1:8000 --count 10000`` against ``wgan serve`` of any artifact.
"""

import argparse
import http.client
import json
import struct
import urllib.parse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INFER, IMAGES = "/v2/models/generator/infer", "/v1/images"
LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Wrong:
    """A request that no server should answer with a result."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True)
class Model:
    """What the server says of its generator."""

    latent_dim: int
    classes: int | None
    most: int


# ------------------------------------------------------------------------------------- strategies

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NOT_WHOLE = ANYTHING.filter(lambda value: not isinstance(value, int) or isinstance(value, bool))


def wrong_orders(model: Model) -> st.SearchStrategy[Wrong]:
    """Orders of images with one thing wrong, or that are no orders."""
    fields = {
        "seed": NOT_WHOLE | st.integers(max_value=-1) | st.integers(min_value=2**64),
        "count": NOT_WHOLE | st.integers(max_value=0) | st.integers(min_value=model.most + 1),
        "truncation": ANYTHING.filter(
            lambda value: not isinstance(value, int | float) or isinstance(value, bool)
        )
        | st.floats(max_value=0)
        | st.floats(min_value=1, exclude_min=True)
        | st.just(float("nan")),
        "format": ANYTHING.filter(lambda value: value not in ("png", "webp", "zip")),
        "label": st.integers(max_value=-1)
        | st.integers(min_value=model.classes or 0)
        | st.lists(ANYTHING, max_size=3)
        | st.floats(),
        "colour": ANYTHING,
    }
    one = st.sampled_from(sorted(fields)).flatmap(lambda name: st.tuples(st.just(name), fields[name]))
    order = st.tuples(
        one, st.fixed_dictionaries({}, optional={"seed": st.integers(0, 9), "format": st.just("png")})
    )
    plain = order.map(lambda both: {**both[1], both[0][0]: both[0][1]})
    no_order = ANYTHING.filter(lambda value: not isinstance(value, dict))
    return (plain | no_order).map(lambda value: Wrong(IMAGES, json.dumps(value).encode()))


def no_json() -> st.SearchStrategy[Wrong]:
    """Bodies that are no JSON objects: bytes, texts, depths, numbers without an end."""
    bodies = (
        st.binary(max_size=200).filter(lambda body: not body.strip().startswith(b"{"))
        | st.integers(1, 100_000).map(lambda depth: b"[" * depth)
        | st.integers(1, 20_000)
        .map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth)
        .filter(lambda b: len(b) > 9)
        | st.integers(5_000, 100_000).map(lambda digits: b'{"seed": ' + b"9" * digits + b"}")
        | st.sampled_from(
            [b"", b"{", b'{"seed": 1', b'{"seed": NaN}', b'{"count": Infinity}', b"\xff\xfe", b"null"]
        )
        | st.sampled_from([b'{"\\ud800": 1}', b'{"format": "\\udfff"}', b"[" * 3000 + b"]" * 3000])
    )
    return st.builds(Wrong, st.sampled_from([INFER, IMAGES]), bodies)


@st.composite
def wrong_inferences(draw: Callable[[st.SearchStrategy[Any]], Any], model: Model) -> Wrong:
    """An inference that was right before one thing in it was changed."""
    count = draw(st.integers(1, 3))
    latents = struct.pack(f"<{count * model.latent_dim}f", *[0.5] * (count * model.latent_dim))
    inputs = [tensor("latents", "FP32", [count, model.latent_dim], latents)]
    raw = latents
    if model.classes is not None:
        labels = struct.pack(f"<{count}q", *[0] * count)
        inputs.append(tensor("labels", "INT64", [count], labels))
        raw += labels
    request: dict[str, Any] = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    headers: dict[str, str] = {}
    change = draw(
        st.sampled_from(["head", "tail", "field", "data", "latents", "output", "inputs", "packed", "length"])
    )
    chosen = draw(st.sampled_from(inputs))
    if change == "tail":
        raw = raw[: draw(st.integers(0, len(raw) - 1))] if draw(st.booleans()) else raw + b"\0"
    elif change == "field":
        name = draw(st.sampled_from(["name", "datatype", "shape"]))
        chosen[name] = draw(ANYTHING.filter(lambda value: value != chosen[name]))
    elif change == "length":
        chosen["parameters"]["binary_data_size"] = draw(
            ANYTHING.filter(
                lambda value: value is not None and value != chosen["parameters"]["binary_data_size"]
            )
        )
    elif change == "data":
        del chosen["parameters"]
        chosen["data"] = draw(st.lists(ANYTHING, max_size=5) | ANYTHING)
        if isinstance(chosen["data"], list) and all(
            type(number) in (int, float) for number in chosen["data"]
        ):
            chosen["data"].append("x")
    elif change == "latents":
        bad = draw(st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e30]))
        raw = struct.pack("<f", bad) + raw[4:]
    elif change == "output":
        request["outputs"] = draw(
            st.sampled_from([[{"name": "x"}], [{}], ["samples"], {}, [{"name": "samples"}] * 2])
            | st.just([{"name": "samples", "parameters": {"classification": 3}}])
        )
    elif change == "inputs":
        request["inputs"] = draw(ANYTHING | st.just(inputs * 2) | st.just([]))
    elif change == "packed":
        headers["Content-Encoding"] = draw(st.sampled_from(["gzip", "deflate", "br", "x"]))
    head = json.dumps(request).encode()
    length = str(len(head))
    if change == "head":
        length = draw(
            st.sampled_from(
                ["-1", "0", "x", "1e3", str(len(head) - 1), "9" * 30, str(len(head + raw) + 1), "²", ""]
            )
        )
    return Wrong(INFER, head + raw, {LENGTH: length, **headers})


def tensor(name: str, datatype: str, shape: list[int], raw: bytes) -> dict[str, Any]:
    """An input whose numbers are raw bytes."""
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}


def wrong_addresses() -> st.SearchStrategy[Wrong]:
    """Paths and methods that are not there."""
    text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).map(
        lambda path: urllib.parse.quote(path, "")
    )
    methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    return st.builds(Wrong, text.map("/no/{}".format), st.binary(max_size=50), method=methods) | st.builds(
        Wrong,
        st.sampled_from([INFER, IMAGES, "/", "/metrics", "/v2/health/live"]),
        st.binary(max_size=50),
        method=st.sampled_from(["PUT", "DELETE", "PATCH"]),
    )


def malformed(model: Model) -> st.SearchStrategy[Wrong]:
    """All of these."""
    return wrong_orders(model) | no_json() | wrong_inferences(model) | wrong_addresses()


# ------------------------------------------------------------------------------------------ asking


class Client:
    """Asks, and holds every answer against what it has to be."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=60)
        self.statuses: Counter[int] = Counter()
        status, body = self._ask(Wrong("/v1/model", b"", method="GET"))
        assert status == 200, body
        said = json.loads(body)
        self.model = Model(said["latent_dim"], said["classes"] and len(said["classes"]), said["most"])

    def _ask(self, wrong: Wrong) -> tuple[int, bytes]:
        headers = {name: value.encode() for name, value in wrong.headers.items()}
        try:
            self._connection.request(wrong.method, wrong.path, wrong.body, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def check(self, wrong: Wrong) -> None:
        """Send a wrong request; raise AssertionError unless the answer is a 4xx with one clear sentence."""
        status, body = self._ask(wrong)
        self.statuses[status] += 1
        assert 400 <= status < 500, (status, wrong, body[:300])
        said = json.loads(body)
        assert list(said) == ["error"], said
        sentence = said["error"]
        assert sentence.endswith("."), sentence
        assert 10 < len(sentence) < 400, sentence
        assert "\n" not in sentence, sentence
        assert "Traceback" not in sentence, sentence
        assert ".py" not in sentence, sentence

    def check_alive(self) -> None:
        """A right request is still answered."""
        status, _ = self._ask(Wrong(IMAGES, b'{"count": 1}'))
        assert status == 200


def attack(client: Client, count: int) -> None:
    """Send ``count`` wrong requests, and then a right one."""

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(malformed(client.model))
    def each(wrong: Wrong) -> None:
        client.check(wrong)

    each()
    client.check_alive()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="as `wgan serve` prints it")
    parser.add_argument("--count", type=int, default=10_000)
    given_arguments = parser.parse_args()
    place = urllib.parse.urlsplit(given_arguments.address)
    client = Client(place.hostname or "127.0.0.1", place.port or 80)
    attack(client, given_arguments.count)
    print(
        f"{client.statuses.total():,} answers: {dict(sorted(client.statuses.items()))}; the server is alive."
    )


if __name__ == "__main__":
    main()

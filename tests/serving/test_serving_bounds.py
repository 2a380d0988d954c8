"""What a server does at its bounds: full, with slow or endless clients, at its end, at a wrong start."""

import asyncio
import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from wgan.errors import InputError
from wgan.serving.batching import Batcher
from wgan.serving.http_errors import HTTPError, error_response
from wgan.serving.settings import ServerSettings

ORDER = json.dumps({"count": 32, "format": "zip"}).encode()


# --------------------------------------------------------------------------------------- batches


class Model:
    """Doubles latents; waits until it may, and notes what it was called with."""

    def __init__(self):
        self.sizes = []
        self.may = threading.Event()

    def __call__(self, latents, labels):
        self.may.wait(60)
        self.sizes.append(len(latents))
        if (latents < 0).any():
            raise RuntimeError("/a/path/of/this/machine")
        return latents * 2 if labels is None else latents + labels[:, None]


def batched(work, *, batch=4, queue=12):
    """Runs ``work(batcher, model)`` in an event loop, with a batcher that ends in order."""

    async def run():
        model = Model()
        batcher = Batcher(model, batch=batch, queue=queue)
        batcher.start()
        assert batcher.alive
        try:
            return await work(batcher, model)
        finally:
            model.may.set()
            await batcher.stop()
            assert not batcher.alive

    return asyncio.run(run())


def rows(*values):
    return np.array(values, np.float32)[:, None]


def test_what_comes_while_the_model_works_is_the_next_batch():
    async def work(batcher, model):
        first = asyncio.create_task(batcher(rows(1), None))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(batcher(rows(value, value), None)) for value in (2, 3, 4)]
        await asyncio.sleep(0.05)
        assert batcher.waiting == 6
        model.may.set()
        assert (await first).tolist() == [[2]]
        assert [(await other).tolist() for other in others] == [[[4], [4]], [[6], [6]], [[8], [8]]]
        assert model.sizes == [1, 4, 2]
        assert batcher.waiting == 0

    batched(work)


def test_a_request_larger_than_a_batch_goes_in_parts_with_its_labels():
    async def work(batcher, model):
        model.may.set()
        got = await batcher(rows(*range(10)), np.arange(10))
        assert got[:, 0].tolist() == [2 * value for value in range(10)]
        assert model.sizes == [4, 4, 2]

    batched(work)


def test_a_full_queue_refuses_and_goes_on():
    async def work(batcher, model):
        held = [asyncio.create_task(batcher(rows(0), None))]
        await asyncio.sleep(0.05)  # the model works on it
        held += [asyncio.create_task(batcher(rows(value), None)) for value in range(12)]
        await asyncio.sleep(0.05)
        with pytest.raises(HTTPError, match="full") as refused:
            await batcher(rows(99), None)
        assert refused.value.status == 503
        model.may.set()
        assert len(await asyncio.gather(*held)) == 13
        assert (await batcher(rows(5), None)).tolist() == [[10]]

    batched(work)


def test_who_gives_up_is_left_out():
    async def work(batcher, model):
        first = asyncio.create_task(batcher(rows(1), None))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(batcher(rows(*range(9)), None))
        last = asyncio.create_task(batcher(rows(3), None))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0)
        model.may.set()
        assert (await last).tolist() == [[6]]
        await first
        assert model.sizes == [1, 1]

    batched(work)


def test_a_model_that_fails_fails_those_it_was_called_for(caplog):
    async def work(batcher, model):
        model.may.set()
        with pytest.raises(HTTPError) as refused:
            await batcher(rows(-1), None)
        assert refused.value.status == 500
        assert "/a/path" not in str(refused.value)
        assert (await batcher(rows(1), None)).tolist() == [[2]]

    batched(work)
    assert "/a/path" in caplog.text


def test_the_end_answers_what_waits():
    async def run():
        model = Model()
        batcher = Batcher(model, batch=2, queue=20)
        batcher.start()
        asked = [asyncio.create_task(batcher(rows(value), None)) for value in range(9)]
        await asyncio.sleep(0.05)
        model.may.set()
        await batcher.stop()
        return [(await one)[0, 0] for one in asked]

    assert asyncio.run(run()) == [2.0 * value for value in range(9)]


# --------------------------------------------------------------------------------------- clients


def talk(place, *parts, pause=0.0):
    """Sends parts, with pauses between, and returns all that the server says until it ends the connection."""
    with socket.create_connection(place, 60) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except OSError:  # it had enough
            pass
        said = b""
        try:
            while some := connection.recv(65536):
                said += some
        except ConnectionResetError:
            pass
        return said


@pytest.fixture(scope="module")
def hasty(artifact, start):
    """A server with no patience and no room."""
    with start(artifact, "--seconds", "1", "--body", "10000", "--count", "32", "--queue", "32") as running:
        yield running


def head(length, path="/v1/images"):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def alive(server):
    connection = http.client.HTTPConnection(*server.place, timeout=60)
    connection.request("POST", "/v1/images", b"{}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "pause", "status"),
    [
        ((head(30), b'{"seed":'), 0.0, b"408"),  # a body that never ends
        ((head(20), *[b" "] * 19), 0.1, b"408"),  # one that ends too late
        ((head(10001),), 0.0, b"413"),
        (
            (
                b"POST /v1/images HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                *[b"2000\r\n" + b" " * 0x2000 + b"\r\n"] * 3,
            ),
            0.0,
            b"413",
        ),
        ((b"GET", b" /", *[b"x"] * 20), 0.1, None),  # a head that never ends
        ((), 0.0, None),  # silence
        ((b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000, b"x" * 100_000), 0.1, None),  # a head too large
        ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",), 0.0, b"400"),  # TLS
        ((head(20), b"nonsense"), 0.0, b"408"),
    ],
    ids=["body", "late", "declared", "chunked", "head", "silence", "large", "tls", "cut"],
)
def test_slow_and_endless_clients_end_and_others_do_not_wait(hasty, parts, pause, status):
    said = talk(hasty.place, *parts, pause=pause)
    if status is None:
        assert said == b""
    else:
        assert said.split(b" ")[1] == status
    assert alive(hasty)


@pytest.mark.slow
def test_a_client_that_does_not_read_ends(artifact, start):
    """It gets what the system held for it already, and then the end instead of the rest."""
    with start(artifact, "--seconds", "0.5", "--count", "256") as server:
        body = json.dumps({"count": 256, "format": "zip"}).encode()
        asked = (head(len(body)) + body) * 256
        whole = 256 * len(
            talk(server.place, head(len(body)).replace(b"Host", b"Connection: close\r\nHost") + body)
        )
        with socket.create_connection(server.place, 60) as slow:
            slow.sendall(asked)
            time.sleep(2)
            got = 0
            with suppress(ConnectionResetError):
                while some := slow.recv(65536):
                    got += len(some)
        assert got < whole
        assert alive(server)
        assert server.end() == 0


@pytest.mark.slow
def test_a_bomb_is_not_unpacked(hasty):
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(bomb) < 10000
    asked = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    said = talk(
        hasty.place, b"POST /v2/models/generator/infer HTTP/1.1\r\nConnection: close\r\n" + asked + bomb
    )
    assert said.split(b" ")[1] == b"413"


@pytest.mark.slow
def test_a_full_server_answers_or_says_when_to_come_again(hasty):
    answers = []

    def ask():
        connection = http.client.HTTPConnection(*hasty.place, timeout=60)
        connection.request("POST", "/v1/images", ORDER)
        answer = connection.getresponse()
        answer.read()
        answers.append((answer.status, answer.getheader("Retry-After")))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 40
    assert set(answers) <= {(200, None), (503, "1")}
    assert error_response(503, "Later.").headers["Retry-After"] == "1"
    assert alive(hasty)


# --------------------------------------------------------------------------------------- the end


@pytest.mark.slow
def test_no_request_is_lost_at_the_end(artifact, start):
    """Eight clients ask without a pause until they are told to go elsewhere; each request has its answer."""
    answered, lost = [], []
    with start(artifact, "--drain", "3") as server:

        def ask():
            connection = http.client.HTTPConnection(*server.place, timeout=60)
            going = True
            while going:
                try:
                    connection.request("POST", "/v1/images", ORDER)
                    answer = connection.getresponse()
                    answer.read()
                except (OSError, http.client.HTTPException) as error:
                    lost.append(error)
                    return
                answered.append(answer.status)
                going = answer.getheader("Connection") != "close"
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(answered) < 20:
            time.sleep(0.01)
        assert server.end() == 0
        for thread in threads:
            thread.join()
    assert lost == []
    assert set(answered) == {200}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.place)


@pytest.mark.slow
def test_readiness_is_withdrawn_first(artifact, start):
    with start(artifact, "--drain", "5") as server:
        server.process.terminate()
        connection = http.client.HTTPConnection(*server.place, timeout=60)

        def ready():
            connection.request("GET", "/v2/health/ready")
            answer = connection.getresponse()
            answer.read()
            return answer.status

        while ready() == 200:
            time.sleep(0.01)
        assert ready() == 503
        assert alive(server)
        assert server.end() == 0  # the second signal does not wait


# --------------------------------------------------------------------------------------- the start


def refused(*words, **environment):
    """What the command says when it refuses."""
    words = [sys.executable, "-m", "wgan", "serve", *map(str, words)]
    done = subprocess.run(
        words, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.slow
def test_a_wrong_start_is_refused_in_one_sentence(artifact, tmp_path):
    assert "is not an artifact" in refused(tmp_path)
    assert "WGAN_SERVE_PORT must be a whole number" in refused(artifact.path, WGAN_SERVE_PORT="http")
    assert "choose another" in refused(artifact.path, "--host", "192.0.2.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.listen()
        assert "in use" in refused(artifact.path, "--port", taken.getsockname()[1])
    (tmp_path / "changed").mkdir()
    for file in artifact.path.iterdir():
        (tmp_path / "changed" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "changed" / "model.onnx").write_bytes(b"another")
    assert "SHA-256" in refused(tmp_path / "changed")


def test_settings_come_from_the_environment():
    read = ServerSettings.read(
        {"WGAN_SERVE_PORT": "80", "WGAN_SERVE_SECONDS": "2.5", "WGAN_SERVE_THREADS": "3", "PORT": "1"}
    )
    assert read == ServerSettings(port=80, seconds=2.5, threads=3)
    assert ServerSettings().host == "127.0.0.1"


@pytest.mark.parametrize(
    "given",
    [
        {"port": 65536},
        {"port": -1},
        {"threads": 0},
        {"batch": 0},
        {"queue": 5, "count": 6},
        {"seconds": float("nan")},
        {"seconds": 0.0},
        {"drain": -1.0},
        {"body": 0},
    ],
)
def test_settings_out_of_their_range_are_refused(given):
    with pytest.raises(InputError, match=next(iter(given))):
        ServerSettings(**given)


@pytest.mark.slow
def test_serving_needs_no_torch():
    code = "import sys, wgan.cli.serve, wgan.serving.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_everybody_is_let_in_only_knowingly(artifact):
    words = [sys.executable, "-m", "wgan", "serve", str(artifact.path), "--port", "0", "--host", "0.0.0.0"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert "WGAN_SERVE_TOKEN is not set" in process.stderr.readline()
        assert "serving http://0.0.0.0:" in process.stderr.readline()
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


def test_an_empty_token_opens_no_door(artifact):
    words = [sys.executable, "-m", "wgan", "serve", str(artifact.path), "--port", "0"]
    empty = os.environ | {"WGAN_SERVE_TOKEN": ""}
    ended = subprocess.run(words, env=empty, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "WGAN_SERVE_TOKEN is set and empty" in ended.stderr


@pytest.mark.slow
def test_more_requests_than_may_be_under_way_are_told_to_come_again(artifact, start):
    """Each may hold a body that is not whole yet; who asks for health is always let in."""

    def asked(place, path):
        connection = http.client.HTTPConnection(*place, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    with start(artifact, "--requests", "2", "--drain", "0") as few:
        held = [socket.create_connection(few.place) for _ in range(2)]
        try:
            for connection in held:
                connection.sendall(b"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            until = time.monotonic() + 20
            while (answer := asked(few.place, "/v1/model")).status != 503:
                assert time.monotonic() < until
            assert answer.headers["Retry-After"]
            assert asked(few.place, "/v2/health/live").status == 200
        finally:
            for connection in held:
                connection.close()

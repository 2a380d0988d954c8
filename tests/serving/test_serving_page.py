"""The page in a real browser, with the generator on the server and with the generator in the browser."""

import base64
import io
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from wgan.demo import page_files
from wgan.latents import draw_latents

SCREENS = [(1280, "light"), (390, "dark")]


def check_page(seen, url):
    """What has to hold whatever the generator is."""
    assert seen["console"] == [
        text for text in seen["console"] if "willReadFrequently" in text
    ]  # ours, in look.mjs
    assert seen["errors"] == []
    assert all(request.startswith((url, "data:", "blob:")) for request in seen["requests"]), seen["requests"]
    assert seen["outside"] == []
    assert seen["unnamed"] == []
    assert seen["trouble"] == ""


def check_images(seen, artifact, seed):
    """What the page shows is what the artifact makes, and its controls do what they say."""
    points = draw_latents(5, artifact.latent_dim, seed)
    assert np.array_equal(np.array(seen["latents"], np.float32), points.reshape(-1))
    labels = np.arange(5) % len(artifact.classes)
    samples = artifact.runtime()(points, labels)
    assert np.abs(np.array(seen["samples"]) - samples.reshape(-1)).max() <= 1e-5
    red = np.rint((samples[0, 0].reshape(-1) + 1) * 127.5)
    assert np.abs(np.array(seen["first"]) - red).max() <= 1
    first, fourth, moved, reset, end = seen["large"]
    assert first == seen["first"]
    assert len({tuple(image) for image in (first, fourth, moved, end)}) == 4
    assert reset == fourth
    assert seen["tiles"] == 36
    assert seen["strip"] == 9
    half = artifact.runtime()(points * np.float32(0.5), labels)[0, 0].reshape(-1)
    assert np.abs(np.array(seen["truncated"]) - np.rint((half + 1) * 127.5)).max() <= 1
    other = artifact.runtime()(points * np.float32(0.5), np.full(5, 2))[0, 0].reshape(-1)
    assert np.abs(np.array(seen["labelled"]) - np.rint((other + 1) * 127.5)).max() <= 1
    assert seen["refused"] == "A seed is a whole number from 0 to 2^64 - 1."
    name, content = seen["saved"]
    assert name == f"seed-{seed}-4.png"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == artifact.shape[:0:-1]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_the_page_of_a_server(server, artifact, look, width, scheme):
    seed = 2**63 + 1
    seen = look(server.url + "/", seed, width, scheme)
    check_page(seen, server.url)
    check_images(seen, artifact, seed)
    page_width, screen = seen["width"]
    assert page_width <= screen == width
    assert (sum(map(int, seen["back"].strip("rgb()").split(","))) > 600) == (scheme == "light")
    assert seen["title"] == "pets"


@pytest.mark.slow
def test_the_page_without_a_server(web, shipped, look):
    seed = 12345
    seen = look(web, seed, 390, "light")
    check_page(seen, web)
    check_images(seen, shipped, seed)
    assert seen["title"] == "digits"


@pytest.mark.slow
def test_a_page_asks_for_the_token_until_it_is_right(points, start, look):
    with start(points, token="sesame") as server:
        seen = look(server.url + "/", 3, tokens="open sesame")
    assert seen["errors"] == []
    assert seen["title"] == "points"
    assert len(seen["samples"]) == 10


@pytest.mark.slow
def test_a_page_asks_a_busy_server_a_number_of_times_and_says_what_it_is_told(tmp_path):
    """The page shows what the backend raises; here Node runs the backend alone."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed: apt-get install nodejs")
    (tmp_path / "backend.mjs").write_bytes(page_files("server")["backend.js"])
    (tmp_path / "ask.mjs").write_text(
        'import { describe } from "./backend.mjs";\n'
        "const real = fetch;\n"
        "globalThis.fetch = (path, options) => real(new URL(path, process.argv[2]), options);\n"
        "describe().catch((error) => console.log(error.message));\n"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            words = [node, tmp_path / "ask.mjs", f"http://127.0.0.1:{server.server_port}/"]
            done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        finally:
            server.shutdown()
    assert done.stdout == "The queue is full.\n"
    assert Busy.asked == 10


class Busy(BaseHTTPRequestHandler):
    """A server that is always busy."""

    asked = 0

    def do_GET(self) -> None:
        """Refuse."""
        Busy.asked += 1
        self.send_response(503)
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(b'{"error": "The queue is full."}')

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.slow
def test_vectors_are_plotted(points, start, look):
    with start(points) as server:
        seen = look(server.url + "/", 3)
        check_page(seen, server.url)
        assert np.allclose(
            np.array(seen["samples"]), points.runtime()(draw_latents(5, 3, 3)).reshape(-1), atol=1e-5
        )

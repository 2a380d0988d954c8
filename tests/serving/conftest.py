"""An artifact of a generator with classes, and servers that run it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from wgan.artifact import DIRECTIONS_FILE, FORMAT, Artifact, checksum, seal
from wgan.cli import main
from wgan.deploy.conversion import write_onnx
from wgan.deploy.targets import aws_lambda
from wgan.deploy.targets.triton import layout as layout_triton
from wgan.deploy.targets.web import layout as layout_web
from wgan.networks import DCGANGenerator
from wgan.networks.conditioning import Condition

HERE = Path(__file__).parent
PYTHON = sysconfig.get_python_version()
CLASSES = ("cat", "dog", "1")


def write_artifact(folder: Path, generator: nn.Module, shape: tuple[int, ...], classes=None) -> Path:
    """An artifact with random weights; what its numbers are worth is no matter here."""
    folder.mkdir()
    generator.eval()
    labels = () if classes is None else (torch.tensor([0, 1]),)
    write_onnx(generator, folder / "model.onnx", (torch.randn(2, generator.latent_dim), *labels))
    directions = np.eye(generator.latent_dim, dtype=np.float32)
    np.savez(folder / DIRECTIONS_FILE, directions=directions[: min(4, generator.latent_dim)])
    said = {
        "kind": "onnx",
        "precision": "float32",
        "model": "model.onnx",
        "latent_dim": generator.latent_dim,
        "shape": list(shape),
        "classes": None if classes is None else list(classes),
        "range": [-1, 1],
        "files": {name: checksum(folder / name) for name in ("model.onnx", DIRECTIONS_FILE)},
    }
    written = json.dumps({"format": FORMAT, "seal": seal(said), **said})
    (folder / "artifact.json").write_text(written)
    return folder


@pytest.fixture(scope="session")
def artifact(tmp_path_factory) -> Artifact:
    """Of colour images (3, 8, 16) of three classes, the last of them called by a number."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        shape = (3, 8, 16)
        generator = DCGANGenerator(
            shape, latent_dim=7, width=4, condition=Condition(len(CLASSES)), conditioning="norm"
        )
        for weight in generator.parameters():  # as after training: contrast, and a say of the labels
            weight.data += 0.3 * torch.randn_like(weight)
        return Artifact.load(
            write_artifact(tmp_path_factory.mktemp("artifacts") / "pets", generator, shape, CLASSES)
        )


@pytest.fixture(scope="session")
def points(tmp_path_factory) -> Artifact:
    """Of vectors (2,), without classes."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
        network.latent_dim = 3
        return Artifact.load(write_artifact(tmp_path_factory.mktemp("artifacts") / "points", network, (2,)))


class Server:
    """A running ``wgan serve``."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.address = url.removeprefix("http://")
        host, port = self.address.rsplit(":", 1)
        self.place = (host, int(port))

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(artifact: Artifact, *options: str, token: str | None = None) -> Iterator[Server]:
    """A server with these options, which must have nothing to complain of."""
    words = [
        sys.executable,
        "-m",
        "wgan",
        "serve",
        str(artifact.path),
        "--port",
        "0",
        "--threads",
        "1",
        *options,
    ]
    single = {"OMP_NUM_THREADS": "1"} | ({} if token is None else {"WGAN_SERVE_TOKEN": token})
    process = subprocess.Popen(words, env=os.environ | single, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = re.match(r"wgan: serving (http://\S+)", first := process.stderr.readline())
        assert found, first + process.stderr.read()
        yield Server(process, found[1])
    finally:
        process.kill()
        said = process.communicate()[1]
    assert said == ""


@pytest.fixture(scope="session")
def server(artifact) -> Iterator[Server]:
    """One for all tests that do not end it."""
    with serving(artifact, "--count", "32", "--batch", "16", "--drain", "0") as running:
        yield running


@pytest.fixture(scope="session")
def start() -> Callable[..., object]:
    """Starts servers with options of their own."""
    return serving


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A conditional run on the digits, long enough for images with some contrast."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    words = "train digits --conditional --steps 150 --device cpu --n-critic 1 --out"
    assert main([*words.split(), str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def shipped(run, tmp_path_factory) -> Artifact:
    """Its export."""
    folder = tmp_path_factory.mktemp("shipped") / "digits"
    words = [
        "export",
        str(run),
        "--to",
        "onnx",
        "--out",
        str(folder),
        "--extractor",
        "pixels",
        "--count",
        "200",
    ]
    assert main(words) == 0
    return Artifact.load(folder)


def needed(found: str | None, reason: str) -> str:
    """Something that is installed beside Python; continuous integration has to have it."""
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


# ---------------------------------------------------------------------------------------- browser


@pytest.fixture(scope="session")
def look():
    """Uses a page, in a window of some width, by day or night; returns what happened."""
    browser = needed(shutil.which("chromium"), "Chromium is not installed: apt-get install chromium")
    needed(shutil.which("node"), "Node is not installed: apt-get install nodejs npm")
    driver = HERE / "node_modules" / "playwright-core"
    needed(str(driver) * driver.is_dir(), "playwright-core is not: npm install --prefix tests/serving")

    def at(url: str, seed: int, width: int = 1280, scheme: str = "light", tokens: str = "") -> dict[str, Any]:
        words = ["node", str(HERE / "look.mjs"), browser, url, str(width), scheme, str(seed)]
        environment = os.environ | {"TOKENS": tokens}
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return at


@pytest.fixture(scope="session")
def web(shipped, tmp_path_factory) -> Iterator[str]:
    """The address of a plain file server with the page for browsers."""
    needed(shutil.which("npm"), "npm is not installed: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("web")
    layout_web(shipped.path, folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as files:
        thread = threading.Thread(target=files.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{files.server_port}/"
        files.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Python's file server, without a log."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


# ----------------------------------------------------------------------------------------- Triton


@pytest.fixture(scope="session")
def triton(shipped, tmp_path_factory) -> Iterator[str]:
    """The address of a real Triton server that runs the Python variant."""
    place = needed(
        os.environ.get("WGAN_TRITON"),
        "WGAN_TRITON has to name an environment of its own: "
        "python -m venv PLACE && PLACE/bin/pip install nvidia-pytriton onnxruntime",
    )
    folder = tmp_path_factory.mktemp("triton")
    layout_triton(shipped.path, folder)
    packages = Path(place) / f"lib/python{PYTHON}/site-packages"
    bundle = packages / "pytriton" / "tritonserver"
    shutil.copytree(bundle / "backends" / "python", folder / "backends" / "python")
    stub = bundle / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    shutil.copy(stub, folder / "backends" / "python")
    port = free_port()
    words = [f"--model-repository={folder}/python", f"--backend-directory={folder}/backends"]
    words += [
        f"--http-port={port}",
        "--http-address=127.0.0.1",
        "--allow-grpc=false",
        "--allow-metrics=false",
    ]
    libraries = f"{sysconfig.get_config_var('LIBDIR')}:{packages}/nvidia_pytriton.libs"
    environment = {"PATH": f"{place}/bin:{os.environ['PATH']}", "LD_LIBRARY_PATH": libraries}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [str(bundle / "bin" / "tritonserver"), *words],
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(port, process, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    """One that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[Any], log: Path) -> None:
    """Until somebody listens."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(log.read_text())


# ----------------------------------------------------------------------------------------- Lambda


@pytest.fixture(scope="session")
def archive(shipped, tmp_path_factory) -> Path:
    """The function's archive for this Python; Lambda's own are newer."""
    folder = tmp_path_factory.mktemp("lambda")
    aws_lambda.layout(shipped.path, folder, python=PYTHON)
    return folder / "function.zip"


@pytest.fixture(scope="session")
def function(archive, tmp_path_factory):
    """Starts the function behind the emulator of Lambda's own runtime interface; call(event) invokes it."""
    emulator = needed(
        os.environ.get("WGAN_LAMBDA_EMULATOR"),
        "WGAN_LAMBDA_EMULATOR has to name samcli/local/rapid/aws-lambda-rie-x86_64 of the wheel aws-sam-cli",
    )
    folder = tmp_path_factory.mktemp("function")
    shutil.unpack_archive(archive, folder)

    @contextmanager
    def started(handler: str = "handler.handler", *, seconds: int = 60, more: Path | None = None):
        port, inner = free_port(), free_port()
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{inner}"]
        words = [emulator, *addresses, sys.executable, "-S", "-m", "awslambdaric", handler]
        path = os.pathsep.join(map(str, filter(None, [folder, more])))
        environment = {
            "PYTHONPATH": path,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(seconds),
            "LAMBDA_TASK_ROOT": str(folder),
        }
        log = tmp_path_factory.mktemp("log") / "log"
        with log.open("w") as file:
            process = subprocess.Popen(
                words,
                env=os.environ | environment,
                cwd=folder,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            try:
                wait_for(port, process, log)
                yield lambda event: invoke(port, event), log
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    return started


def invoke(port: int, event: object) -> Any:
    """What the function answers."""
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=120) as answer:
        said = answer.read()
    try:
        return json.loads(said)
    except ValueError:
        return said.decode()

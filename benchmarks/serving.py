"""What serving costs, and what a server bears: latency, throughput, mixed load, memory, nonsense.

``python -m benchmarks.serving DIST`` starts ``wgan serve`` for an artifact, its model with one thread, asks
it over loopback from this process, and prints a line a measurement. Give it a machine that does nothing else.
"""

import argparse
import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count, cycle
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import numpy as np

from benchmarks.malformed import IMAGES, INFER, LENGTH, Client, attack
from wgan.artifact import Artifact
from wgan.labels import cycle_classes
from wgan.latents import draw_latents

CLIENTS = 64
Request = tuple[str, str, bytes, dict[str, str]]


@contextmanager
def serving(artifact: Artifact, *options: str) -> Iterator[tuple[int, int]]:
    """The port and the process of a server that has to end well."""
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
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = re.search(r":(\d+)$", process.stderr.readline())
        assert found
        yield int(found[1]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    assert said == "", said


def inference(artifact: Artifact, samples: int, seed: int = 0, *, binary: bool = True) -> Request:
    """A request of the Open Inference Protocol."""
    arrays = {"latents": ("FP32", draw_latents(samples, artifact.latent_dim, seed))}
    if artifact.classes is not None:
        arrays["labels"] = ("INT64", cycle_classes(samples, len(artifact.classes)))
    inputs = []
    for name, (datatype, values) in arrays.items():
        one = {"name": name, "datatype": datatype, "shape": list(values.shape)}
        said = {"parameters": {"binary_data_size": values.nbytes}} if binary else {"data": values.tolist()}
        inputs.append(one | said)
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": binary}}).encode()
    raw = b"".join(values.tobytes() for _, values in arrays.values()) if binary else b""
    return "POST", INFER, head + raw, {LENGTH: str(len(head))}


def order(**values: object) -> Request:
    """A request of images."""
    return "POST", IMAGES, json.dumps(values).encode(), {}


# --------------------------------------------------------------------------------------- latency


def timed(call: Callable[[], object], repeats: int) -> list[float]:
    """Milliseconds of each call."""
    spent = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        spent.append(1e3 * (perf_counter() - start))
    return spent


def worked(process: int) -> float:
    """Seconds that a process has kept processors busy; unlike a clock's, they know nothing of other work."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def latency(artifact: Artifact, port: int, process: int, rounds: int = 20, repeats: int = 100) -> None:
    """The raw call and the served one in turns, one sample each, on one connection."""
    run = artifact.runtime(1)
    points, labels = draw_latents(1, artifact.latent_dim), None if artifact.classes is None else [0]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    asked = inference(artifact, 1)

    def ask() -> None:
        connection.request(*asked)
        connection.getresponse().read()

    raw: list[float] = []
    served: list[float] = []
    ask()
    before = worked(process)
    for _ in range(rounds):
        raw += timed(lambda: run(points, labels), repeats)
        served += timed(ask, repeats)
    busy = 1e3 * (worked(process) - before) / len(served)
    connection.close()
    for name, spent in (("raw call", raw), ("served", served)):
        low, high = quantiles(spent, n=100)[9], quantiles(spent, n=100)[98]
        print(f"latency, {name}: p10 {low:.3f}, p50 {median(spent):.3f}, p99 {high:.3f} ms")
    print(f"latency, served - raw at p50: {median(served) - median(raw):.3f} ms")
    print(f"latency, the server's own work, model included: {busy:.3f} ms of one core a request")


# ------------------------------------------------------------------------------------ throughput


async def load(port: int, requests: Iterator[Request], *, clients: int = CLIENTS) -> Counter[int]:
    """As many clients as given, each with a connection of its own, ask until there are no more requests."""
    statuses: Counter[int] = Counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for method, path, body, headers in requests:
            lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            statuses[int(head[9:12])] += 1
            if b"connection: close" in head.lower():
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return statuses


def repeated(
    requests: Sequence[Request], *, seconds: float | None = None, times: int | None = None
) -> Iterator[Request]:
    """The requests in turn, for so long or so often."""
    end = None if seconds is None else perf_counter() + seconds
    for index, request in zip(count(), cycle(requests), strict=False):
        if (end is not None and perf_counter() >= end) or index == times:
            return
        yield request


def throughput(artifact: Artifact, port: int, seconds: float = 8) -> None:
    """Samples a second of the model alone at its best batch, and of 64 clients."""
    run = artifact.runtime(1)
    alone: dict[int, float] = {}
    for size in (1, 4, 16, 64, 256):
        points = draw_latents(size, artifact.latent_dim)
        labels = None if artifact.classes is None else cycle_classes(size, len(artifact.classes))
        end, done, start = perf_counter() + seconds / 5, 0, perf_counter()
        while perf_counter() < end:
            run(points, labels)
            done += size
        alone[size] = done / (perf_counter() - start)
    best = max(alone, key=lambda size: alone[size])
    print(f"throughput, model alone: {alone[best]:,.0f} samples/s at its best batch, {best}")
    for size in (1, 16, 64):
        start = perf_counter()
        requests = [inference(artifact, size, seed) for seed in range(16)]
        statuses = asyncio.run(load(port, repeated(requests, seconds=seconds)))
        rate = statuses[200] * size / (perf_counter() - start)
        print(
            f"throughput, {CLIENTS} clients, {size} sample(s) a request: {rate:,.0f} samples/s, "
            f"{rate / alone[best]:.0%} of the model alone; {dict(statuses)}"
        )


# ------------------------------------------------------------------------------- load and memory


def memory(process: int) -> float:
    """What a process holds, in MiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) / 1024


def mixed(artifact: Artifact, port: int, seconds: float) -> None:
    """All kinds of requests together."""
    requests = [
        *(inference(artifact, size, size, binary=binary) for size in (1, 3, 64) for binary in (True, False)),
        *(
            order(seed=seed, count=1 + 7 * seed, format=form)
            for seed in range(3)
            for form in ("png", "webp", "zip")
        ),
        *(
            ("GET", path, b"", {})
            for path in ("/", "/metrics", "/v2/health/ready", "/v2/models/generator", "/nothing")
        ),
        order(seed="x"),
        order(count=10**9),
        ("POST", INFER, b"[" * 10_000, {}),
    ]
    statuses = asyncio.run(load(port, repeated(requests, seconds=seconds)))
    told = dict(sorted(statuses.items()))
    print(f"mixed load, {seconds:g} s, {CLIENTS} clients: {statuses.total():,} answers, {told}")


def growth(artifact: Artifact, port: int, process: int, times: int) -> None:
    """What many requests leave behind."""
    requests = [inference(artifact, 1 + seed % 8, seed) for seed in range(16)]
    asyncio.run(load(port, repeated(requests, times=times // 10)))
    before = memory(process)
    statuses = asyncio.run(load(port, repeated(requests, times=times)))
    after = memory(process)
    print(
        f"memory: {before:.1f} MiB after {times // 10:,} requests, {after:.1f} MiB after {times:,} more "
        f"({after / before - 1:+.1%}); {dict(statuses)}"
    )


def full(artifact: Artifact) -> None:
    """A queue that is too small: what finds no room gets a 503, nothing else happens."""
    with serving(artifact, "--queue", "64", "--count", "64") as (port, _):
        requests = [inference(artifact, 64, seed) for seed in range(4)]
        statuses = asyncio.run(load(port, repeated(requests, times=2000)))
    print(f"full queue: {dict(sorted(statuses.items()))}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="of mixed load")
    parser.add_argument("--requests", type=int, default=50_000, help="whose memory is looked at")
    parser.add_argument("--malformed", type=int, default=10_000, help="wrong requests")
    given = parser.parse_args()
    artifact = Artifact.load(given.artifact)
    with serving(artifact) as (port, process):
        latency(artifact, port, process)
        throughput(artifact, port)
        mixed(artifact, port, given.seconds)
        growth(artifact, port, process, given.requests)
        with closing(Client("127.0.0.1", port)) as client:
            attack(client, given.malformed)
            print(f"malformed: {client.statuses.total():,} requests, {dict(sorted(client.statuses.items()))}")
        print(f"memory at the end: {memory(process):.1f} MiB")
    full(artifact)
    print(f"numpy {np.__version__}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()

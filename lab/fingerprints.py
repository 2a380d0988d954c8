"""Fingerprints of what the package computes: equal before and after a refactoring, or it changed behaviour.

    python -m lab.fingerprints record before.json      # with the old code
    python -m lab.fingerprints record after.json       # with the new code
    python -m lab.fingerprints compare before.json after.json

Only values are hashed, never names, so that keys and options may be renamed: adapt the table of commands
below and run again. Everything goes through the command line. Numbers that come from a clock are left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from wgan.cli import main

LOG = "--seed 3 --device cpu --logging.metrics 20 --logging.images 1000000"
RUNS = {
    # name: arguments of `wgan train`
    **{f"{name} on ring8": f"ring8 --recipe {name} --steps 60" for name in ("default", "toy-gp", "toy-clip")},
    "toy-orthogonal on ring8": "ring8 --recipe toy-orthogonal --steps 60",
    "wgan-original on ring8": "ring8 --recipe wgan-original --batch-size 16 --steps 20",
    "default on digits": "digits --steps 60",
    "default on fashion-mnist": "fashion-mnist --steps 60",
    "default on fashion-mnist, conditional": "fashion-mnist --conditional --steps 60",
    "default on digits, conditional and balanced": "digits --conditional --balanced --steps 60",
    "default on digits, augmented": "digits --augment.strength 0.4 --steps 60",
    "dcgan-gp, adaptive": "digits --recipe dcgan-gp --augment.target 0.5 --batch-size 16 --steps 24",
    "default on digits, bfloat16": "digits --precision bfloat16 --steps 60",
    "default on digits, hinge": "digits --loss hinge --n-critic 2 --steps 60",
    **{
        f"default on ring8, {loss}": f"ring8 --loss {loss} --decay cosine --steps 60"
        for loss in ("minimax", "non-saturating", "relativistic")
    },
    **{
        f"default on ring8, {name}": f"ring8 --steps 60 constraint:{name}"
        for name in ("lipschitz-penalty", "max-gradient-penalty", "dragan", "r1", "spectral-normalisation")
    },
    "default on ring8, warm-up": "ring8 --warm-up --steps 20",
    **{
        f"{name} on digits": f"digits --recipe {name} --batch-size 8 --steps 20"
        for name in ("mlp-clip", "dcgan-clip", "dcgan-adam", "dcgan-gp", "dcgan-orthogonal", "quality")
    },
    **{
        f"{name} on digits": f"digits --recipe {name} --batch-size 4 --n-critic 1 --steps 20"
        for name in ("wgan-gp-resnet", "sngan", "sagan", "conditional-gp", "conditional-projection")
    },
}
FAULTS = {
    # Runs that are broken on purpose, by settings, long enough to be diagnosed.
    "rates too high": "--generator-optimiser.lr 3 --critic-optimiser.lr 3",
    "rates too low": "--generator-optimiser.lr 1e-9 --critic-optimiser.lr 1e-9",
    "critic too slow": "--critic-optimiser.lr 1e-8",
    "generator too fast": "--generator-optimiser.lr 1",
    "no penalty": "constraint:gradient-penalty --constraint.weight 1e-7",
    "clipped too tight": "constraint:weight-clipping --constraint.c 1e-4",
    "clipped too loose": "constraint:weight-clipping --constraint.c 3",
    "saturating loss": "--loss minimax --n-critic 10 constraint:r1 --constraint.gamma 1e-6",
    "healthy": "",
}
SLOW_RMSPROP = " ".join(f"{n}-optimiser:rmsprop --{n}-optimiser.lr 5e-4" for n in ("generator", "critic"))
MORE_FAULTS = {
    # name: dataset and options
    "divergence": "ring8 --critic-optimiser.lr 1e30",
    "clipped too loose, RMSprop": (
        f"ring8 --n-critic 5 constraint:weight-clipping --constraint.c 3 {SLOW_RMSPROP}"
    ),
    "saturated critic": (
        "digits --steps 150 --loss minimax --n-critic 10 --generator-optimiser.lr 1e-6 "
        "constraint:r1 --constraint.gamma 1e-6"
    ),
    "few samples": "few.npy",
    "copies": "copies.npy",
    "blank samples": "blank.npy",
}
TIMED = ("speed", "second", "memory", "MiB", "python", "torch", "numpy")


def record(out: Path) -> None:
    """Train, sample, export, report and diagnose, and write the fingerprint of each."""
    found: dict[str, Any] = {}
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        for name, arguments in RUNS.items():
            positional, *options = arguments.split(" ", 1)
            wgan("train", positional, *f"{options[0]} {LOG} --out run".split())
            found |= {f"{name}: {key}": value for key, value in of_run(Path("run")).items()}
            for kind in ("default on digits", "default on fashion-mnist, conditional", "default on ring8"):
                if name == kind:
                    found |= {f"{name}: {key}": value for key, value in of_products(Path("run")).items()}
            shutil.rmtree("run")
        faulty_data()
        faults = {name: f"ring8 {options}" for name, options in FAULTS.items()} | MORE_FAULTS
        for name, arguments in faults.items():
            dataset, *words = arguments.split()
            wgan(
                *("train", dataset, "--seed", "3", "--device", "cpu", "--out", "run"),
                *(() if "--steps" in words else ("--steps", "400")),
                *("--logging.metrics", "10", *words),
            )
            rows = json.loads(wgan("diagnose", "run", "--json"))
            rows = rows if isinstance(rows, list) else rows["findings"]
            found[f"diagnosis of {name}"] = sorted(f"{row['name']} {row['since']}" for row in rows)
            found[f"severities of {name}"] = sorted(row["severity"] for row in rows)
            shutil.rmtree("run")
        os.chdir(home)
    out.write_text(json.dumps(found, indent=1))


def faulty_data() -> None:
    """Write data sets with a fault: too few samples, copies, and blank samples among the others."""
    rng = np.random.default_rng(0)
    angles = rng.integers(0, 8, 1000) * np.pi / 4
    points = np.stack([np.cos(angles), np.sin(angles)], 1) + 0.02 * rng.normal(size=(1000, 2))
    points = points.astype(np.float32)
    np.save("few.npy", points[:32])
    np.save("copies.npy", np.tile(points[:50], (20, 1)))
    points[::3] = 0
    np.save("blank.npy", points)


def of_run(run: Path) -> dict[str, str]:
    """Hashes of the last checkpoint by group, and of everything that was logged."""
    last = max((run / "checkpoints").iterdir(), key=lambda path: path.name)
    found = {
        group.stem: digest(part for tensor in by_name(group) for part in tensor)
        for group in sorted(last.glob("*.safetensors"))
        if group.stem != "window"
    }
    for log in ("metrics", "histograms"):
        rows = (json.loads(line) for line in (run / f"{log}.jsonl").read_text().splitlines())
        # Sorted, because keys that are renamed may change their place.
        found[log] = digest(repr(sorted(map(repr, leaves(row)))).encode() for row in rows)
    return found


def of_products(run: Path) -> dict[str, Any]:
    """Hashes of samples, walks, directions, exported models and the report's numbers."""
    found: dict[str, Any] = {}
    wgan("sample", f"{run}", "--count", "16", "--seed", "7", "--out", "x.npz")
    wgan("interpolate", f"{run}", "--from-seed", "1", "--to-seed", "2", "--frames", "5", "--out", "walk.npz")
    wgan("directions", f"{run}", "--count", "2", "--out", "ways.npz")
    for name in ("x", "walk", "ways"):
        with np.load(f"{name}.npz") as arrays:
            found[name] = digest(arrays[key].tobytes() for key in sorted(arrays))
    for target in ("onnx", "openvino"):
        wgan("export", f"{run}", "--to", target, "--out", "dist")
        found[target] = outputs(Path("dist"), target)
        shutil.rmtree("dist")
    wgan("report", f"{run}")
    found["report"] = digest(text.encode() for text in numbers(run / "report.html"))
    return found


def outputs(folder: Path, target: str) -> list[float]:
    """What an exported model makes of fixed latents and labels: sums and sums of squares, to five digits."""
    rng = np.random.default_rng(0)
    specification = json.loads((folder / "artifact.json").read_text())
    feed = {"latents": rng.normal(size=(4, specification["latent_dim"])).astype(np.float32)}
    if target == "onnx":
        import onnxruntime

        model = onnxruntime.InferenceSession(str(next(folder.glob("*.onnx"))))
        names = [entry.name for entry in model.get_inputs()]
        if len(names) > 1:
            feed[names[1]] = labels(model.get_inputs()[1].type, specification)
        (made,) = model.run(None, {name: feed[name] for name in names})
    else:
        import openvino

        compiled = openvino.compile_model(str(next(folder.glob("*.xml"))), "CPU")
        if len(compiled.inputs) > 1:
            feed[compiled.inputs[1].any_name] = labels(str(compiled.inputs[1].element_type), specification)
        made = compiled(feed)[0]
    return [float(f"{value:.5g}") for value in (made.sum(), (made**2).sum(), *made.flatten()[:5])]


def labels(kind: str, specification: dict[str, Any]) -> Any:  # noqa: ANN401
    """Labels as a model takes them: class numbers, or a weight for each class."""
    count = len(specification["classes"])
    if "int" in kind:
        return np.arange(4) % count
    return np.eye(count, dtype=np.float32)[np.arange(4) % count]


def numbers(page: Path) -> list[str]:
    """The coordinates of a report's curves, sorted: numbers that depend on no clock and no version."""
    text = page.read_text()
    figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
    kept = [figure for figure in figures if not any(word in figure.lower() for word in TIMED)]
    return sorted(path for figure in kept for path in re.findall(r'(?:points|d)="([-\d., MLZ]+)"', figure))


def by_name(file: Path) -> list[tuple[bytes, bytes, bytes]]:
    """Shape, type and content of each tensor of a file, in the order of their names."""
    tensors = load_file(file)
    return [
        (repr(tensors[name].shape).encode(), tensors[name].dtype.str.encode(), tensors[name].tobytes())
        for name in sorted(tensors)
    ]


def leaves(value: Any) -> Iterator[object]:  # noqa: ANN401
    """The values of a row, however nested, without their keys."""
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from leaves(member)
    else:
        yield value


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of all parts."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


def wgan(*arguments: str) -> str:
    """Run a command in this process, and return what it printed."""
    with tempfile.TemporaryFile("w+") as written:
        kept = os.dup(1)
        os.dup2(written.fileno(), 1)
        try:
            code = main(list(arguments))
            sys.stdout.flush()
        finally:
            os.dup2(kept, 1)
            os.close(kept)
        written.seek(0)
        text = written.read()
    if code not in (0, 1):  # 1: the run diverged, which is what some faults do
        raise SystemExit(f"wgan {' '.join(arguments)} ended with {code}")
    return text


def compare(before: Path, after: Path) -> int:
    """Print every fingerprint that differs; 1 if any does."""
    old, new = (json.loads(path.read_text()) for path in (before, after))
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    for name in names:
        print(f"{name}: {old.get(name)} -> {new.get(name)}")
    print(f"{sum(old[name] == new.get(name) for name in old)} of {len(old)} fingerprints are equal.")
    return int(bool(names))


if __name__ == "__main__":
    verb, *paths = sys.argv[1:]
    if verb == "record":
        record(Path(paths[0]).resolve())
    else:
        sys.exit(compare(*map(Path, paths)))

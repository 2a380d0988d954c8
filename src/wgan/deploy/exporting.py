"""From a run to an artifact: converted, measured, and left only if it passes."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from wgan.artifact import DIRECTIONS, RUNTIMES, Artifact
from wgan.core.files import storing
from wgan.data import Dataset
from wgan.deploy import conversion
from wgan.deploy.artifact_folder import building, check_free, write_readme, write_specification
from wgan.deploy.latency import torch_threads
from wgan.deploy.reference_statistics import COUNT, ReferenceStatistics, find_extractor, shown_name
from wgan.deploy.rewrite import is_thin, plain
from wgan.deploy.trained_generator import TrainedGenerator
from wgan.deploy.validation import GATE, JUDGE, REFERENCE, Reference, check_gate, timed, told
from wgan.errors import check_whole, unknown
from wgan.generation import stored_or_found

TARGETS: dict[str, tuple[str, str | None]] = {
    "onnx": ("onnx", None),
    "openvino": ("openvino", None),
    "web": ("onnx", "wgan.deploy.targets.web"),
    "triton": ("onnx", "wgan.deploy.targets.triton"),
    "lambda": ("onnx", "wgan.deploy.targets.aws_lambda"),
}
"""Where to: the kind of artifact that it needs, and the module that lays out a folder with it."""
EAGER = "eager torch"

_CALIBRATION_SEED = 2
_PACKAGES = ("wgan", "torch", "numpy", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")


def export(
    run_dir: str | Path,
    out: str | Path,
    *,
    to: str = "onnx",
    int8: bool = False,
    gate: float = GATE,
    extractor: str | Path | None = None,
    against: Dataset | None = None,
    count: int = COUNT,
    seconds: float = 0.3,
    data_dir: Path | None = None,
    generator: nn.Module | None = None,
) -> Artifact:
    """Write a run's averaged generator as an artifact, unless it is worse than the gate allows.

    Args:
        run_dir: The run.
        out: The folder; an artifact of the same run is replaced, anything else refused.
        to: A name in :data:`TARGETS`; a target's own files lie in the sub-folder of its name.
        int8: Whether weights and what goes through the network become 8 bits wide.
        gate: How many times larger the Frechet distance may become, > 0.
        extractor: What judges: see :func:`wgan.deploy.reference_statistics.find_extractor`.
        against: Other real samples than those that the run learned from.
        count: Samples that the distance is measured on, >= 2.
        seconds: How long each batch size is timed for.
        data_dir: Where the files of mnist and fashion-mnist lie.
        generator: The module to load weights into, for a generator that is not one of wgan's own.

    Raises:
        InputError: The run, the folder or a setting cannot be used.
        GateError: It is worse than the gate allows, or in float32 not the same. Nothing was written.
        MissingExtraError: A package is not there.
        StorageError: The file system refuses; what was there before still is.
    """
    out = Path(out)
    kind, module = _target(to)
    check_gate(gate)
    check_whole(count=(count, 2))
    trained = TrainedGenerator.load(run_dir, generator)
    identity = trained.identity()
    check_free(out, identity["id"])
    judge, classifier = find_extractor(extractor, trained.shape)
    dataset = trained.dataset(against, data_dir)
    with building(out) as folder:
        model = CONVERSIONS[kind](trained, folder, int8)
        reference = Reference.of(trained, dataset, ReferenceStatistics.of(dataset, judge), count)
        forward = RUNTIMES[kind](folder / model, 1)
        validation = reference.validate(forward, int8=int8, gate=gate)
        validation.check(f"The export of {trained.folder.path} to {to}", "Nothing was written.")
        with torch_threads(1):
            latency = timed({out.absolute().name: forward, EAGER: trained.forward}, reference, seconds)
        with storing(out):
            np.savez_compressed(folder / REFERENCE, **reference.arrays())
        stored_or_found(trained.folder, trained.sampler).save(folder / DIRECTIONS)
        if classifier is not None:
            classifier.save(folder / JUDGE)
        said = {
            **_specified(trained, kind, model, int8),
            "target": to,
            "run": identity,
            "data": {"name": shown_name(dataset), "fingerprint": dataset.fingerprint},
            **told(reference, validation, latency),
            "versions": _versions(),
        }
        write_specification(folder, said)
        write_readme(folder, said)
        if module is not None:
            import_module(module).layout(folder, folder / to)
            laid = [
                path.relative_to(folder).as_posix() for path in (folder / to).rglob("*") if path.is_file()
            ]
            write_specification(folder, {**said, "laid": sorted(laid)})
    return Artifact.load(out)


def _target(to: str) -> tuple[str, str | None]:
    if to not in TARGETS:
        raise unknown("target", to, TARGETS)
    return TARGETS[to]


def _specified(trained: TrainedGenerator, kind: str, model: str, int8: bool) -> dict[str, Any]:
    return {
        "kind": kind,
        "precision": "int8" if int8 else "float32",
        "model": model,
        "latent_dim": trained.sampler.latent_dim,
        "shape": trained.shape,
        "classes": trained.sampler.classes,
        "range": (-1.0, 1.0) if len(trained.shape) == 3 else None,
    }


def _to_onnx(trained: TrainedGenerator, folder: Path, int8: bool) -> str:
    generator, path = trained.sampler.generator, folder / "model.onnx"
    if not int8:
        conversion.write_onnx(plain(generator), path, trained.example)
        return path.name
    whole = folder / "float32.onnx"
    conversion.write_onnx(plain(generator, lambda layer: True), whole, trained.example)
    conversion.quantise_onnx(whole, path, trained.feed(conversion.CALIBRATED, seed=_CALIBRATION_SEED))
    whole.unlink()
    return path.name


def _to_openvino(trained: TrainedGenerator, folder: Path, int8: bool) -> str:
    path, whole = folder / "model.xml", folder / "float32.onnx"
    form = plain(trained.sampler.generator, is_thin) if int8 else plain(trained.sampler.generator)
    conversion.write_onnx(form, whole, trained.example)
    if int8:
        given = trained.feed(conversion.CALIBRATED, seed=_CALIBRATION_SEED)
        conversion.quantise_openvino(whole, path, given)
    else:
        conversion.write_openvino(whole, path)
    whole.unlink()
    return path.name


CONVERSIONS = {"onnx": _to_onnx, "openvino": _to_openvino}
"""What writes a model of each kind into a folder, in float32 or int8, and gives its file's name."""


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

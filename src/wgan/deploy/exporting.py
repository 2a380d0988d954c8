"""Export of a run's generator as an artifact: converted, measured, and written only if it passes."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from wgan.artifact import DIRECTIONS_FILE, RUNTIMES, Artifact
from wgan.core.files import storing
from wgan.data import Dataset
from wgan.deploy import conversion
from wgan.deploy.artifact_folder import building, check_free, write_readme, write_specification
from wgan.deploy.latency import torch_threads
from wgan.deploy.reference_statistics import COUNT, ReferenceStatistics, display_name, find_extractor
from wgan.deploy.rewrite import is_thin, simplify
from wgan.deploy.trained_generator import TrainedGenerator
from wgan.deploy.validation import (
    CLASSIFIER_FILE,
    GATE,
    REFERENCE_FILE,
    Reference,
    check_gate,
    describe_validation,
    measure_latencies,
)
from wgan.errors import InputError, check_whole, unknown
from wgan.generation import stored_or_found
from wgan.sampling import Sampler

TARGETS: dict[str, tuple[str, str | None]] = {
    "onnx": ("onnx", None),
    "openvino": ("openvino", None),
    "web": ("onnx", "wgan.deploy.targets.web"),
    "triton": ("onnx", "wgan.deploy.targets.triton"),
    "lambda": ("onnx", "wgan.deploy.targets.aws_lambda"),
}
"""Targets: the kind of artifact that each needs, and the module that writes its own folder."""
EAGER = "eager torch"

_CALIBRATION_SEED = 2
_PACKAGES = ("wgan", "torch", "numpy", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf")


def export(
    run: str | Path | Sampler,
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
) -> Artifact:
    """Write a run's averaged generator as an artifact, unless it fails the quality gate.

    Args:
        run: The run's folder, or a sampler of it: of another checkpoint, or of a generator of one's own.
        out: The folder; an artifact of the same run is replaced, anything else is refused.
        to: A name in :data:`TARGETS`; the target's own files are in the sub-folder of its name.
        int8: Whether to quantise weights and activations to 8 bits; for OpenVINO only.
        gate: Largest ratio of the Frechet distances after and before, > 0.
        extractor: Features of the distance: see :func:`wgan.deploy.reference_statistics.find_extractor`.
        against: Other real samples than those of the run's dataset.
        count: Number of samples for the distance, >= 2.
        seconds: Time for which each batch size is timed.
        data_dir: Folder of the files of mnist and fashion-mnist.

    Raises:
        InputError: The run, the folder or a setting cannot be used, or int8 is asked for ONNX Runtime.
        GateError: The ratio is above the gate, or a float32 artifact differs. Nothing was written.
        MissingExtraError: A package is not installed.
        StorageError: The file system refuses; an older artifact is untouched.
    """
    out = Path(out)
    kind, module = _target(to)
    if int8 and kind == "onnx":
        raise InputError(
            f"The target {to} cannot be int8: ONNX Runtime is slower in int8 than in float32 on most of the "
            "measured generators; export to openvino (OpenVINO) in int8, or in float32."
        )
    check_gate(gate)
    check_whole(count=(count, 2))
    trained = TrainedGenerator.load(run)
    identity = trained.identity()
    check_free(out, identity["id"])
    features, classifier = find_extractor(extractor, trained.shape)
    dataset = trained.dataset(against, data_dir)
    with building(out) as folder:
        model = CONVERSIONS[kind](trained, folder, int8)
        reference = Reference.of(trained, dataset, ReferenceStatistics.of(dataset, features), count)
        forward = RUNTIMES[kind](folder / model, 1)
        validation = reference.validate(forward, int8=int8, gate=gate)
        validation.check(f"The export of {trained.folder.path} to {to}", "Nothing was written.")
        with torch_threads(1):
            generators = {out.absolute().name: forward, EAGER: trained.forward}
            latency = measure_latencies(generators, reference, seconds)
        with storing(out):
            np.savez_compressed(folder / REFERENCE_FILE, **reference.arrays())
        stored_or_found(trained.folder, trained.sampler).save(folder / DIRECTIONS_FILE)
        if classifier is not None:
            classifier.save(folder / CLASSIFIER_FILE)
        specification = {
            **_specified(trained, kind, model, int8),
            "target": to,
            "run": identity,
            "data": {"name": display_name(dataset), "fingerprint": dataset.fingerprint},
            **describe_validation(reference, validation, latency),
            "versions": _versions(),
        }
        write_specification(folder, specification)
        write_readme(folder, specification)
        if module is not None:
            import_module(module).layout(folder, folder / to)
            target_files = [
                path.relative_to(folder).as_posix() for path in (folder / to).rglob("*") if path.is_file()
            ]
            write_specification(folder, {**specification, "target_files": sorted(target_files)})
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
    assert not int8  # refused by export
    path = folder / "model.onnx"
    conversion.write_onnx(simplify(trained.sampler.generator), path, trained.example)
    return path.name


def _to_openvino(trained: TrainedGenerator, folder: Path, int8: bool) -> str:
    path, onnx = folder / "model.xml", folder / "float32.onnx"
    generator = trained.sampler.generator
    conversion.write_onnx(
        simplify(generator, is_thin) if int8 else simplify(generator), onnx, trained.example
    )
    if int8:
        calibration = trained.feed(conversion.CALIBRATION_SAMPLES, seed=_CALIBRATION_SEED)
        conversion.quantise_openvino(onnx, path, calibration)
    else:
        conversion.write_openvino(onnx, path)
    onnx.unlink()
    return path.name


CONVERSIONS = {"onnx": _to_onnx, "openvino": _to_openvino}
"""Functions that write a model of each kind into a folder, in float32 or int8, and return its file name."""


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions

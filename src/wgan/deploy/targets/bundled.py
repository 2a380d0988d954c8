"""Copies of the artifact, and of the modules of this package that run one, for the targets."""

import shutil
from pathlib import Path

import wgan.artifact
from wgan.artifact import Artifact, read_specification
from wgan.core.files import storing
from wgan.deploy.artifact_folder import write_specification
from wgan.errors import InputError

LEAN = (
    *("__init__.py", "artifact.py", "core/__init__.py", "core/arrays.py", "core/files.py"),
    *("errors.py", "image_requests.py", "images.py", "labels.py", "latents.py"),
)
"""The modules that answer an image request; they need numpy, Pillow and the artifact's runtime."""


def load_onnx(path: Path, target: str) -> Artifact:
    """Load an artifact that has to be ONNX.

    Raises:
        InputError: This is not an artifact, or one of another kind.
    """
    artifact = Artifact.load(path)
    if artifact.kind != "onnx":
        raise InputError(
            f"A {target} runs ONNX models, and {path} is of kind {artifact.kind!r}; export it to onnx first."
        )
    return artifact


def copy_artifact(artifact: Artifact, out: Path) -> None:
    """Copy the model and specification of an artifact into a folder, without its reference.

    Raises:
        StorageError: The file system refuses.
    """
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.model, out / artifact.model.name)
    write_specification(out, read_specification(artifact.path))


def copy_package(out: Path) -> None:
    """Copy the modules in :data:`LEAN` into a folder from which Python can import them.

    Raises:
        StorageError: The file system refuses.
    """
    package = Path(wgan.artifact.__file__).parent
    with storing(out):
        (out / "wgan").mkdir(parents=True, exist_ok=True)
        for name in LEAN:
            (out / "wgan" / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(package / name, out / "wgan" / name)

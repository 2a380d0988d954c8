"""What the targets share: the artifact, and as much of this package as it takes to run one."""

import shutil
from pathlib import Path

import wgan.artifact
from wgan.artifact import Artifact, read_specification
from wgan.core.files import storing
from wgan.deploy.artifact_folder import write_specification
from wgan.errors import InputError

LEAN = (
    *("__init__.py", "artifact.py", "drawing.py", "errors.py", "files.py", "labels.py", "latents.py"),
    "images.py",
)
"""The modules behind an order of images; they need numpy, Pillow and the artifact's runtime."""


def load_onnx(path: Path, target: str) -> Artifact:
    """The artifact in a folder, if its model is ONNX.

    Raises:
        InputError: It is no artifact, or of another kind.
    """
    artifact = Artifact.load(path)
    if artifact.kind != "onnx":
        raise InputError(
            f"A {target} runs ONNX models, and {path} is of kind {artifact.kind!r}; export it to onnx first."
        )
    return artifact


def copy_artifact(artifact: Artifact, out: Path) -> None:
    """Copy what it takes to run an artifact into a folder of its own; what it is verified by stays behind.

    Raises:
        StorageError: The file system refuses.
    """
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.model, out / artifact.model.name)
    write_specification(out, read_specification(artifact.path))


def copy_package(out: Path) -> None:
    """Copy the lean part of this package into a folder of which Python imports.

    Raises:
        StorageError: The file system refuses.
    """
    package = Path(wgan.artifact.__file__).parent
    with storing(out):
        (out / "wgan").mkdir(parents=True, exist_ok=True)
        for name in LEAN:
            shutil.copyfile(package / name, out / "wgan" / name)

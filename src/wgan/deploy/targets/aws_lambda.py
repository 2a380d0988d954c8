"""An archive for AWS Lambda with artifact, runtime and handler, and a SAM template that deploys it."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

from wgan.core.files import storing
from wgan.deploy.targets import handler
from wgan.deploy.targets.bundled import copy_artifact, copy_package, load_onnx
from wgan.errors import InputError

PYTHON = "3.12"
"""The first Python of Lambda whose system, Amazon Linux 2023, is new enough for ONNX Runtime's wheels."""
PLATFORMS = tuple(f"manylinux{tag}_x86_64" for tag in ("_2_28", "_2_27", "_2_17", "2014"))
"""Platform tags of wheels that run on that system."""
CLIENT = "awslambdaric==4.2.2"
"""AWS's runtime interface client."""
NEEDED = ("numpy", "onnxruntime", "pillow")
"""Packages, in the installed versions, with which the artifact was validated."""
MAX_ZIPPED = 50 * 10**6
MAX_UNPACKED = 250 * 10**6
"""Lambda's limits in bytes for a directly uploaded archive."""

UNUSED = (
    *("onnxruntime/capi/libonnxruntime.so*", "onnxruntime/transformers", "onnxruntime/quantization"),
    *("onnxruntime/tools", "onnxruntime/datasets", "numpy/**/tests", "numpy/_core/include", "numpy/f2py"),
    *("pillow.libs/libavif*", "PIL/_avif*", "bin", "**/__pycache__", "**/*.pyi", "**/*.a"),
)
"""Unused files: copies of the runtime for other languages, tools, tests."""

TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Description: Images from a generator, by seed.
Resources:
  Generator:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: function.zip
      Handler: handler.handler
      Runtime: python{python}
      Architectures: [x86_64]
      MemorySize: 1024
      Timeout: 10
      FunctionUrlConfig:
        AuthType: AWS_IAM
Outputs:
  Url:
    Value: !GetAtt GeneratorUrl.FunctionUrl
"""


def layout(artifact: Path, out: Path, *, python: str = PYTHON) -> None:
    """Write ``function.zip`` and ``template.yaml`` into a folder, for ``sam deploy --guided``.

    Args:
        artifact: The folder of an ONNX artifact.
        out: The folder; created if it does not exist.
        python: Version of Python on Lambda, 3.12 or later.

    Raises:
        InputError: This is not an ONNX artifact, pip cannot install a package, or the archive would exceed
            Lambda's limits.
        StorageError: The file system refuses.
    """
    loaded = load_onnx(artifact, "Lambda function")
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder)
        _install(content, python)
        _prune(content)
        copy_package(content)
        copy_artifact(loaded, content / "artifact")
        shutil.copyfile(handler.__file__, content / "handler.py")
        with storing(out):
            out.mkdir(parents=True, exist_ok=True)
            _pack(content, out / "function.zip")
            (out / "template.yaml").write_text(TEMPLATE.format(python=python), encoding="utf-8")
        _check(out / "function.zip")


def _install(folder: Path, python: str) -> None:
    chosen = [f"--platform={platform}" for platform in PLATFORMS]
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", f"--target={folder}"]
    words += ["--only-binary=:all:", f"--python-version={python}", *chosen]
    # The other dependencies of onnxruntime are for its tools only.
    without_dependencies = ["--no-deps", *(f"{name}=={version(name)}" for name in NEEDED)]
    for packages in (without_dependencies, [CLIENT]):
        done = subprocess.run([*words, *packages], capture_output=True, text=True, check=False)
        if done.returncode:
            errors = (line for line in done.stderr.splitlines() if line.startswith("ERROR"))
            reason = next(errors, "no reason given")
            raise InputError(f"pip cannot install {packages[-1]} for Python {python}: {reason}.")


def _prune(folder: Path) -> None:
    for pattern in UNUSED:
        for path in list(folder.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _pack(folder: Path, archive: Path) -> None:
    """Zip a folder deterministically."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                entry.external_attr = 0o755 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(entry, path.read_bytes())


def _check(archive: Path) -> None:
    zipped = archive.stat().st_size
    with zipfile.ZipFile(archive) as packed:
        unpacked = sum(entry.file_size for entry in packed.infolist())
    if zipped >= MAX_ZIPPED or unpacked >= MAX_UNPACKED:
        archive.unlink()
        raise InputError(
            f"The archive would have {zipped / 1e6:.0f} MB, {unpacked / 1e6:.0f} MB unpacked, and Lambda "
            f"takes under {MAX_ZIPPED // 10**6} and {MAX_UNPACKED // 10**6}; export a smaller generator."
        )

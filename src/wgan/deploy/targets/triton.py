"""Model repositories for Triton Inference Server, in two variants.

``onnx/`` is for the server's ONNX Runtime backend. ``python/`` is for its Python backend and includes the
modules that run an artifact; it needs numpy and onnxruntime in the server's Python. Source: Triton's
``model_repository.md``, ``model_configuration.md`` and the README of ``python_backend``.
"""

import shutil
from pathlib import Path

from wgan.artifact import Artifact
from wgan.core.files import storing
from wgan.deploy.targets import triton_model
from wgan.deploy.targets.bundled import copy_artifact, copy_package, load_onnx

NAME = "generator"
"""The model's name, the same as behind ``wgan serve``."""
BATCH = 64
"""Largest batch size."""
QUEUE = 1024
"""Largest number of queued requests; further ones are refused."""
DELAY = 500
"""Microseconds that a request waits for others in its batch."""


def layout(artifact: Path, out: Path) -> None:
    """Write two model repositories, for ``tritonserver --model-repository=OUT/python`` and ``OUT/onnx``.

    Args:
        artifact: The folder of an ONNX artifact.
        out: The folder; created if it does not exist.

    Raises:
        InputError: This is not an ONNX artifact.
        StorageError: The file system refuses.
    """
    loaded = load_onnx(artifact, "Triton server")
    with storing(out):
        for backend in ("onnx", "python"):
            (out / backend / NAME / "1").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(loaded.model, out / "onnx" / NAME / "1" / "model.onnx")
        (out / "onnx" / NAME / "config.pbtxt").write_text(config(loaded, "onnxruntime"), encoding="utf-8")
        (out / "python" / NAME / "config.pbtxt").write_text(config(loaded, "python"), encoding="utf-8")
        shutil.copyfile(triton_model.__file__, out / "python" / NAME / "1" / "model.py")
    copy_artifact(loaded, out / "python" / NAME / "1" / "artifact")
    copy_package(out / "python" / NAME / "1")


def config(artifact: Artifact, backend: str) -> str:
    """The text of ``config.pbtxt``; ``backend`` is ``onnxruntime`` or ``python``."""
    inputs = [_tensor("latents", "TYPE_FP32", (artifact.latent_dim,))]
    if artifact.classes is not None:
        # Triton's tensors have a second axis beside the batch; the model's labels are (N,).
        inputs.append(_tensor("labels", "TYPE_INT64", (1,), "reshape { shape: [] }"))
    return "\n".join(
        (
            f'name: "{NAME}"',
            f'backend: "{backend}"',
            f"max_batch_size: {BATCH}",
            *(f"input [ {text} ]" for text in inputs),
            f"output [ {_tensor('samples', 'TYPE_FP32', artifact.shape)} ]",
            "instance_group [ { count: 1 kind: KIND_CPU } ]",
            f"dynamic_batching {{ max_queue_delay_microseconds: {DELAY} "
            f"default_queue_policy {{ max_queue_size: {QUEUE} }} }}",
            "",
        )
    )


def _tensor(name: str, datatype: str, dims: tuple[int, ...], more: str = "") -> str:
    sides = ", ".join(map(str, dims))
    return f'{{ name: "{name}" data_type: {datatype} dims: [ {sides} ] {more} }}'

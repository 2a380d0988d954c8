"""An exported generator: a folder that is checked when it is loaded, and that runs without torch.

::

    artifact.json    specification, origin, validation, checksums
    model.onnx       or model.xml and model.bin: the generator
    directions.npz   latent directions of the demo page's sliders, the strongest first
    reference.npz    the reference for ``wgan verify``
    README.md        instructions

Nothing is unpickled, and only numpy is imported here, so that a server needs neither torch nor training code.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from wgan.errors import InputError, MissingExtraError, check_whole
from wgan.labels import cycle_classes

FORMAT = 1
"""The version of the folder's layout; others are refused."""
SPECIFICATION = "artifact.json"
"""The file that makes a folder an artifact."""
DIRECTIONS_FILE = "directions.npz"
"""The file of latent directions, an array ``directions`` (k, latent_dim)."""

Samples = npt.NDArray[np.float32]
Latents = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Feed = dict[str, npt.NDArray[Any]]


@final
@dataclass(frozen=True)
class Runtime:
    r"""A loaded generator: ``runtime(latents, labels)`` returns samples. It is thread-safe.

    Attributes:
        latent_dim: Length of a latent.
        classes: Number of labels; None for a generator without.
        forward: From ``latents`` (N, latent_dim) and perhaps ``labels`` (N,) to samples (N, \*shape), N >= 1.
    """

    latent_dim: int
    classes: int | None
    forward: Callable[[Feed], Samples]

    def __call__(self, latents: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> Samples:
        r"""Samples (N, \*shape) float32 of latents (N, latent_dim) and, if there are classes, labels (N,).

        Args:
            latents: Real numbers, converted to float32; N >= 1.
            labels: Whole numbers in [0, classes). None for a generator without classes; otherwise None
                stands for every class in turn.

        Raises:
            InputError: The shape, type or range of an argument is wrong.
        """
        points = np.ascontiguousarray(latents, np.float32)
        if points.ndim != 2 or points.shape[1] != self.latent_dim or len(points) == 0:
            raise InputError(
                f"Latents of shape {points.shape} do not fit a generator of latents (N, {self.latent_dim}), "
                "N >= 1."
            )
        if not np.isfinite(points).all():
            raise InputError("Latents must be finite, and these hold NaN or infinity.")
        return self.forward({"latents": points} | self._labels(labels, len(points)))

    def _labels(self, labels: npt.ArrayLike | None, count: int) -> Feed:
        if self.classes is None:
            if labels is None:
                return {}
            raise InputError("This generator takes no labels; leave them out.")
        array = cycle_classes(count, self.classes) if labels is None else np.asarray(labels)
        if array.shape != (count,) or array.dtype.kind not in "iu":
            raise InputError(
                f"{count} latents need as many labels, whole numbers, not {array.dtype} of shape "
                f"{array.shape}."
            )
        if array.min() < 0 or array.max() >= self.classes:
            raise InputError(
                f"Labels must be in [0, {self.classes}), and these go from {array.min()} to {array.max()}."
            )
        return {"labels": np.ascontiguousarray(array, np.int64)}


@final
@dataclass(frozen=True)
class Artifact:
    """An exported generator whose files were checked.

    Attributes:
        path: The folder.
        kind: ``onnx`` or ``openvino``.
        precision: ``float32`` or ``int8``, of weights and activations.
        model: The file that the runtime opens.
        latent_dim: Length of a latent.
        shape: Shape of one sample: (C, H, W) for images, (d,) for vectors.
        classes: Name of each label; None for a generator without labels.
        range: Bounds of a sample's values; None without bounds.
        provenance: The rest of artifact.json: run, data, parity, quality, latency, versions.
        files: SHA-256 of each file, by its name in the folder.
    """

    path: Path
    kind: str
    precision: str
    model: Path
    latent_dim: int
    shape: tuple[int, ...]
    classes: tuple[str, ...] | None
    range: tuple[float, float] | None
    provenance: Mapping[str, Any]
    files: Mapping[str, str]

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Load an artifact and check its checksums.

        Raises:
            InputError: This is not an artifact, its version differs, or a file is missing or was changed.
        """
        folder = Path(path)
        specification = read_specification(folder)
        try:
            artifact = cls(
                folder,
                specification.pop("kind"),
                specification.pop("precision"),
                folder / specification.pop("model"),
                specification.pop("latent_dim"),
                tuple(specification.pop("shape")),
                _tuple(specification.pop("classes")),
                _tuple(specification.pop("range")),
                specification,
                dict(specification.pop("files")),
            )
            check_whole(latent_dim=(artifact.latent_dim, 1))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder / SPECIFICATION} is incomplete ({error}); export it again.") from error
        artifact._check()
        return artifact

    @property
    def page(self) -> dict[str, Any]:
        """The generator's description for the demo page, as JSON values.

        Its ``directions``, (k, latent_dim), are those of its run; older artifacts have none.
        """
        name = self.provenance.get("data", {}).get("name") or self.path.resolve().name
        return {
            "name": name,
            "latent_dim": self.latent_dim,
            "shape": list(self.shape),
            "classes": None if self.classes is None else list(self.classes),
            # The shortest digits that give the same float32 again.
            "directions": [[float(str(number)) for number in row] for row in self.directions],
        }

    @property
    def directions(self) -> Latents:
        """Directions (k, latent_dim) that change samples most, those of the run; none in older artifacts."""
        if DIRECTIONS_FILE not in self.files:
            return np.zeros((0, self.latent_dim), np.float32)
        with np.load(self.path / DIRECTIONS_FILE) as arrays:
            directions: Latents = arrays["directions"]
        return directions

    def runtime(self, threads: int | None = None) -> Runtime:
        """Load the generator into its runtime.

        Args:
            threads: Number of threads per call, >= 1; None for the runtime's default.

        Raises:
            InputError: threads is not positive, or the runtime cannot read the model.
            MissingExtraError: The runtime is not installed; the message names the extra.
        """
        if threads is not None:
            check_whole(threads=(threads, 1))
        forward = RUNTIMES[self.kind](self.model, threads)
        return Runtime(self.latent_dim, None if self.classes is None else len(self.classes), forward)

    def _check(self) -> None:
        if self.kind not in RUNTIMES:
            raise InputError(
                f"{self.path} is an artifact of kind {self.kind!r}, this wgan runs {', '.join(RUNTIMES)}; "
                "upgrade wgan."
            )
        if self.model.parent != self.path or self.model.name not in self.files:
            raise InputError(f"{self.path} has no checksum of its model {self.model.name}; export it again.")
        for name, expected in self.files.items():
            if Path(name).name != name:
                raise InputError(f"{self.path / SPECIFICATION} names a file outside its folder: {name!r}.")
            if checksum(self.path / name) != expected:
                raise InputError(
                    f"{self.path / name} is not the file that was exported: its SHA-256 differs. Copy it "
                    "again, or export it again."
                )


def read_specification(folder: Path) -> dict[str, Any]:
    """Read ``artifact.json`` and remove its format and checksum.

    Raises:
        InputError: It is missing, not a JSON object, of another version, or was changed.
    """
    path = folder / SPECIFICATION
    try:
        specification = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{folder} is not an artifact: it has no {SPECIFICATION}. `wgan export` writes one."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    if not isinstance(specification, dict) or not isinstance(specification.get("format"), int):
        raise InputError(f"{path} has no format number; it was not written by wgan.")
    if (version := specification.pop("format")) != FORMAT:
        raise InputError(f"{folder} is an artifact of format {version}, and this wgan reads format {FORMAT}.")
    if specification.pop("seal", None) != seal(specification):
        raise InputError(f"{path} was changed after the export: it does not match its own checksum.")
    return specification


def seal(specification: Mapping[str, Any]) -> str:
    """The SHA-256 of a specification, which ``artifact.json`` contains."""
    return hashlib.sha256(json.dumps(specification, sort_keys=True).encode()).hexdigest()


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _tuple(values: Any) -> Any:  # noqa: ANN401 - any value of artifact.json
    return None if values is None else tuple(values)


def _open_onnx(model: Path, threads: int | None) -> Callable[[Feed], Samples]:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("This artifact runs in ONNX Runtime: pip install 'wgan[onnx]'.") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no other class
        raise _unreadable(model, error) from error

    def forward(feed: Feed) -> Samples:
        samples: Samples = session.run(["samples"], feed)[0]
        return samples

    return forward


def _open_openvino(model: Path, threads: int | None) -> Callable[[Feed], Samples]:
    core = _openvino()
    # Without the first hint, CPUs with bfloat16 compute in it, and the samples differ from other machines.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = str(threads)
    try:
        network = core.read_model(model)
        many = core.compile_model(network, "CPU", settings)
        network.reshape({port.any_name: [1, *list(port.partial_shape)[1:]] for port in network.inputs})
        one = core.compile_model(network, "CPU", settings)
    except Exception as error:  # its errors share no other class
        raise _unreadable(model, error) from error
    return _OpenVINO(many.create_infer_request(), one.create_infer_request())


@cache
def _openvino() -> Any:  # noqa: ANN401 - openvino has no types
    """The only core of this process: creating and deleting several breaks the handling of Ctrl-C."""
    return import_openvino().Core()


def import_openvino() -> Any:  # noqa: ANN401 - openvino has no types
    """Import OpenVINO without its telemetry, which reports every import over the network.

    Raises:
        MissingExtraError: It is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("This needs OpenVINO: pip install 'wgan[openvino]'.") from None
    return openvino


@final
class _OpenVINO:
    """Two infer requests: one for any number of samples, and one for a single sample.

    For a small network the handling of dynamic shapes takes longer than the network, so that single samples
    have a request with fixed shapes.
    """

    def __init__(self, many: Any, one: Any) -> None:  # noqa: ANN401 - openvino has no types
        self._many, self._one = many, one
        self._inputs = {port.any_name: one.get_tensor(port).data for port in one.model_inputs}
        self._output = one.get_tensor("samples").data
        self._lock = Lock()  # a request has only one set of buffers

    def __call__(self, feed: Feed) -> Samples:
        openvino = import_openvino()
        with self._lock:
            if len(feed["latents"]) == 1:
                for name, values in feed.items():
                    self._inputs[name][...] = values
                self._one.infer()
                output = self._output
            else:
                for name, values in feed.items():
                    # OpenVINO requires writable memory, which the body of an HTTP request is not.
                    own = np.require(values, requirements=["C", "W"])
                    self._many.set_tensor(name, openvino.Tensor(own, shared_memory=True))
                self._many.infer()
                output = self._many.get_tensor("samples").data
            samples: Samples = output.copy()
        return samples


def _unreadable(model: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"{model} cannot be opened by its runtime ({reason}); export it again.")


RUNTIMES: dict[str, Callable[[Path, int | None], Callable[[Feed], Samples]]] = {
    "onnx": _open_onnx,
    "openvino": _open_openvino,
}
"""Functions that open a model of each kind, from its file and a number of threads."""

"""The Open Inference Protocol V2 with Triton's binary-tensor extension: bytes to arrays and back.

Sources: the protocol, ``specification/protocol/inference_rest.md`` of kserve/open-inference-protocol; the
extension, Triton's ``docs/protocol/extension_binary_data.md``. A body is a JSON object. If a header gives its
length, raw little-endian tensors follow it, in the order in which it lists them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn, final

import numpy as np
import numpy.typing as npt

from wgan.errors import InputError

NAME = "generator"
"""The model's name in the protocol."""
VERSION = "1"
LENGTH = "inference-header-content-length"
"""The header with the length of the JSON part of a body."""
LARGEST = 1e3
"""Largest latent. Latents are standard normal; much larger ones make the model overflow."""

TYPES: dict[str, tuple[str, np.dtype[Any]]] = {
    "latents": ("FP32", np.dtype("<f4")),
    "labels": ("INT64", np.dtype("<i8")),
}
"""Datatype of each input."""
OUTPUT = "samples"

_Array = npt.NDArray[Any]


@final
@dataclass(frozen=True)
class ModelSignature:
    """Inputs and outputs of the generator.

    Attributes:
        latent_dim: Length of a latent.
        shape: Shape of a sample.
        classes: Number of labels; None for a generator without.
        max_samples: Largest number of samples per request.
    """

    latent_dim: int
    shape: tuple[int, ...]
    classes: int | None
    max_samples: int

    def metadata(self) -> dict[str, Any]:
        """The model's metadata in the protocol."""
        inputs = [_tensor("latents", "FP32", [-1, self.latent_dim])]
        if self.classes is not None:
            inputs.append(_tensor("labels", "INT64", [-1]))
        return {
            "name": NAME,
            "versions": [VERSION],
            "platform": "wgan",
            "inputs": inputs,
            "outputs": [_tensor(OUTPUT, "FP32", [-1, *self.shape])],
        }


@final
@dataclass(frozen=True)
class Inference:
    """A parsed inference request.

    Attributes:
        latents: (N, latent_dim) float32, finite.
        labels: (N,) int64; None for a generator without classes.
        id: Identifier to repeat in the response.
        binary: Whether to send the samples as raw bytes.
    """

    latents: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None
    id: str | None
    binary: bool


def load_json(text: bytes) -> object:
    """Parse JSON, without NaN and infinities.

    Raises:
        InputError: The text is not JSON, or it is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except RecursionError:
        raise InputError("The JSON is nested too deeply.") from None
    except InputError:
        raise
    except ValueError as error:
        # The message of a decode error has bounded length; that of others may quote a number of any length.
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a text or number that is none"
        raise InputError(f"The body is not JSON: {reason}.") from None


def parse_request(body: bytes, length: str | None, signature: ModelSignature) -> Inference:
    """Parse an inference request.

    Args:
        body: The body.
        length: The header :data:`LENGTH`; None without one.
        signature: Inputs of the generator.

    Raises:
        InputError: The request is invalid; the message names the first problem.
    """
    cut = len(body) if length is None else _length(length, len(body))
    request = _mapping(load_json(body[:cut]), "The request")
    arrays = _inputs(request.get("inputs"), body[cut:], signature)
    latents = _latents(arrays["latents"], signature)
    labels = (
        _labels(arrays["labels"], len(latents), signature.classes) if signature.classes is not None else None
    )
    identifier = request.get("id")
    if identifier is not None and (not isinstance(identifier, str) or len(identifier) > 256):
        _reject("id must be a text of at most 256 characters")
    return Inference(latents, labels, identifier, _binary_requested(request))


def encode_response(samples: npt.NDArray[np.float32], inference: Inference) -> tuple[bytes, int | None]:
    """Encode a response: its body, and the length of its JSON part if raw bytes follow.

    Raises:
        InputError: JSON is requested and the samples are not finite.
    """
    output = _tensor(OUTPUT, "FP32", list(samples.shape))
    response: dict[str, Any] = {"model_name": NAME, "model_version": VERSION, "outputs": [output]}
    if inference.id is not None:
        response["id"] = inference.id
    if inference.binary:
        raw = np.ascontiguousarray(samples, "<f4").tobytes()
        output["parameters"] = {"binary_data_size": len(raw)}
        head = json.dumps(response, separators=(",", ":")).encode()
        return head + raw, len(head)
    if not np.isfinite(samples).all():
        raise InputError("The samples of these latents are not finite, which JSON cannot say.")
    output["data"] = samples.reshape(-1).tolist()
    return json.dumps(response).encode(), None


# --------------------------------------------------------------------------------------------- inputs


def _inputs(value: object, raw: bytes, signature: ModelSignature) -> dict[str, _Array]:
    expected = ["latents"] if signature.classes is None else ["latents", "labels"]
    tensors = [_mapping(tensor, "An input") for tensor in _list(value, "inputs")]
    names = [tensor.get("name") for tensor in tensors]
    if len(names) != len(expected) or any(name not in names for name in expected):
        _reject(f"inputs must be {' and '.join(expected)}, each once")
    arrays, start = {}, 0
    for tensor in tensors:
        array, used = _read_tensor(tensor, raw[start:], signature.max_samples)
        arrays[tensor["name"]] = array
        start += used
    if start != len(raw):
        _reject(f"{len(raw)} bytes follow the JSON, and its inputs account for {start}")
    return arrays


def _read_tensor(tensor: Mapping[str, Any], raw: bytes, most: int) -> tuple[_Array, int]:
    """A tensor in its shape, and the number of raw bytes it takes."""
    name = tensor["name"]
    datatype, dtype = TYPES[name]
    if tensor.get("datatype") != datatype:
        _reject(f"the datatype of {name} must be {datatype}")
    shape = _shape(tensor.get("shape"), name, most)
    size = _mapping(tensor.get("parameters", {}), "parameters").get("binary_data_size")
    if size is None:
        return _from_json(tensor.get("data"), name, dtype).reshape(_fitting(shape, name, tensor)), 0
    expected = prod(shape) * dtype.itemsize
    if not _is_whole(size) or size != expected or size > len(raw):
        _reject(
            f"{name} of shape {list(shape)} needs {expected} bytes: binary_data_size must say so, and they "
            "must follow"
        )
    return np.frombuffer(raw, dtype, prod(shape)).reshape(shape), size


def _shape(value: object, name: str, most: int) -> tuple[int, ...]:
    shape = _list(value, f"shape of {name}")
    if not 1 <= len(shape) <= 2 or not all(_is_whole(side) and 1 <= side < 2**31 for side in shape):
        _reject(f"the shape of {name} must be one or two whole numbers of at least 1")
    if shape[0] > most:
        _reject(f"one request may ask for {most} samples, not {min(shape[0], 2**31)}")
    return tuple(shape)


def _fitting(shape: tuple[int, ...], name: str, tensor: Mapping[str, Any]) -> tuple[int, ...]:
    count = sum(len(row) if isinstance(row, list) else 1 for row in tensor["data"])
    if count != prod(shape):
        _reject(f"{name} of shape {list(shape)} needs {prod(shape)} numbers, and data has {count}")
    return shape


def _from_json(value: object, name: str, dtype: np.dtype[Any]) -> _Array:
    """An array from a list, or a list of lists, of numbers."""
    rows = _list(value, f"data of {name}")
    numbers = [number for row in rows for number in (row if isinstance(row, list) else (row,))]
    types = {int} if dtype.kind == "i" else {int, float}
    if not set(map(type, numbers)) <= types:
        kind = "whole numbers" if dtype.kind == "i" else "numbers"
        _reject(f"data of {name} must be {kind}, in a list or a list of lists")
    try:
        return np.array(numbers, "<i8" if dtype.kind == "i" else "<f8")
    except OverflowError:
        _reject(f"data of {name} holds a number that is too large")


def _latents(value: _Array, signature: ModelSignature) -> npt.NDArray[np.float32]:
    if value.ndim != 2 or value.shape[1] != signature.latent_dim:
        _reject(f"latents must have the shape [N, {signature.latent_dim}], not {list(value.shape)}")
    if not (np.abs(value) <= LARGEST).all():  # NaN fails, too
        _reject(f"latents must be numbers in [-{LARGEST:g}, {LARGEST:g}]")
    return value.astype(np.float32, copy=False)


def _labels(value: _Array, count: int, classes: int) -> npt.NDArray[np.int64]:
    # Triton's tensors have a second axis beside the batch.
    if value.shape not in ((count,), (count, 1)):
        _reject(f"{count} latents need labels of shape [{count}], not {list(value.shape)}")
    if value.min() < 0 or value.max() >= classes:
        _reject(f"labels must be in [0, {classes})")
    return value.reshape(count).astype(np.int64, copy=False)


# -------------------------------------------------------------------------------------------- the rest


def _binary_requested(request: Mapping[str, Any]) -> bool:
    """Whether the request, or its only output, asks for raw bytes."""
    binary = _mapping(request.get("parameters", {}), "parameters").get("binary_data_output", False)
    outputs = [_mapping(output, "An output") for output in _list(request.get("outputs", []), "outputs")]
    if len(outputs) > 1 or any(output.get("name") != OUTPUT for output in outputs):
        _reject(f"there is one output, {OUTPUT}")
    for output in outputs:
        parameters = _mapping(output.get("parameters", {}), "parameters")
        if parameters.get("classification") or parameters.get("shared_memory_region"):
            _reject("classification and shared memory are not offered")
        binary = parameters.get("binary_data", binary)
    if not isinstance(binary, bool):
        _reject("binary_data and binary_data_output must be true or false")
    return binary


def _length(text: str, size: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= size):
        _reject(
            f"the header {LENGTH} must be a whole number of at least 1 and at most the body's length, {size}"
        )
    return int(text)


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _reject(f"{what} must be a JSON object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        _reject(f"{what} must be a list")
    return value


def _tensor(name: str, datatype: str, shape: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _reject_constant(name: str) -> NoReturn:
    raise InputError(f"The body is not JSON: {name} is no number of JSON's.")


def _reject(what: str) -> NoReturn:
    raise InputError(f"{what[0].upper()}{what[1:]}.")

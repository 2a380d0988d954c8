"""The Open Inference Protocol V2 with Triton's binary-tensor extension: bytes to arrays and back.

Sources: the protocol, ``specification/protocol/inference_rest.md`` of kserve/open-inference-protocol; the
extension, Triton's ``docs/protocol/extension_binary_data.md``. A body is a JSON object; if a header says how
long that object is, raw little-endian tensors follow it, in the order in which it lists them.
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
"""The header that says how long the JSON part of a body is."""
LARGEST = 1e3
"""A latent is standard normal; numbers far outside make the model overflow."""

TYPES: dict[str, tuple[str, np.dtype[Any]]] = {
    "latents": ("FP32", np.dtype("<f4")),
    "labels": ("INT64", np.dtype("<i8")),
}
"""What each input is."""
OUTPUT = "samples"

Array = npt.NDArray[Any]


@final
@dataclass(frozen=True)
class Form:
    """What the generator takes and gives.

    Attributes:
        latent_dim: Length of a latent.
        shape: Of a sample.
        classes: How many labels there are; None for a generator without.
        most: Samples that one request may ask for.
    """

    latent_dim: int
    shape: tuple[int, ...]
    classes: int | None
    most: int

    def metadata(self) -> dict[str, Any]:
        """The model's metadata as the protocol has it."""
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
    """A request that was read.

    Attributes:
        latents: (N, latent_dim) float32, finite.
        labels: (N,) int64; None for a generator without classes.
        id: To be said again in the answer.
        binary: Whether the samples are wanted as raw bytes.
    """

    latents: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None
    id: str | None
    binary: bool


def load_json(text: bytes) -> object:
    """A JSON text as plain values; NaN and infinities are no JSON.

    Raises:
        InputError: It is none, or it is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError("The JSON is nested too deeply.") from None
    except InputError:
        raise
    except ValueError as error:
        # A decode error's words quote the text's position only; others may quote a number of any length.
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a text or number that is none"
        raise InputError(f"The body is not JSON: {reason}.") from None


def read(body: bytes, length: str | None, form: Form) -> Inference:
    """The request in a body.

    Args:
        body: All of it.
        length: The header :data:`LENGTH`, if there is one.
        form: What the generator takes.

    Raises:
        InputError: The body is no such request; the first thing that is wrong.
    """
    cut = len(body) if length is None else _length(length, len(body))
    asked = _mapping(load_json(body[:cut]), "The request")
    arrays = _inputs(asked.get("inputs"), body[cut:], form)
    latents = _latents(arrays["latents"], form)
    labels = _labels(arrays["labels"], len(latents), form.classes) if form.classes is not None else None
    request = asked.get("id")
    if request is not None and (not isinstance(request, str) or len(request) > 256):
        _refuse("id must be a text of at most 256 characters")
    return Inference(latents, labels, request, _wants_binary(asked))


def write(samples: npt.NDArray[np.float32], inference: Inference) -> tuple[bytes, int | None]:
    """The answer to a request: its body, and how long the JSON part is if raw bytes follow it.

    Raises:
        InputError: The samples are not finite and JSON is wanted, which has no such numbers.
    """
    output = _tensor(OUTPUT, "FP32", list(samples.shape))
    answer: dict[str, Any] = {"model_name": NAME, "model_version": VERSION, "outputs": [output]}
    if inference.id is not None:
        answer["id"] = inference.id
    if inference.binary:
        raw = np.ascontiguousarray(samples, "<f4").tobytes()
        output["parameters"] = {"binary_data_size": len(raw)}
        head = json.dumps(answer, separators=(",", ":")).encode()
        return head + raw, len(head)
    if not np.isfinite(samples).all():
        raise InputError("The samples of these latents are not finite, which JSON cannot say.")
    output["data"] = samples.reshape(-1).tolist()
    return json.dumps(answer).encode(), None


# --------------------------------------------------------------------------------------------- inputs


def _inputs(given: object, raw: bytes, form: Form) -> dict[str, Array]:
    wanted = ["latents"] if form.classes is None else ["latents", "labels"]
    tensors = [_mapping(tensor, "An input") for tensor in _list(given, "inputs")]
    names = [tensor.get("name") for tensor in tensors]
    if len(names) != len(wanted) or any(name not in names for name in wanted):
        _refuse(f"inputs must be {' and '.join(wanted)}, each once")
    arrays, start = {}, 0
    for tensor in tensors:
        array, used = _read_tensor(tensor, raw[start:], form.most)
        arrays[tensor["name"]] = array
        start += used
    if start != len(raw):
        _refuse(f"{len(raw)} bytes follow the JSON, and its inputs account for {start}")
    return arrays


def _read_tensor(tensor: Mapping[str, Any], raw: bytes, most: int) -> tuple[Array, int]:
    """A tensor in its shape, and how many of the raw bytes are its."""
    name = tensor["name"]
    datatype, dtype = TYPES[name]
    if tensor.get("datatype") != datatype:
        _refuse(f"the datatype of {name} must be {datatype}")
    shape = _shape(tensor.get("shape"), name, most)
    size = _mapping(tensor.get("parameters", {}), "parameters").get("binary_data_size")
    if size is None:
        return _from_json(tensor.get("data"), name, dtype).reshape(_fitting(shape, name, tensor)), 0
    expected = prod(shape) * dtype.itemsize
    if not _is_whole(size) or size != expected or size > len(raw):
        _refuse(
            f"{name} of shape {list(shape)} needs {expected} bytes: binary_data_size must say so, and they "
            "must follow"
        )
    return np.frombuffer(raw, dtype, prod(shape)).reshape(shape), size


def _shape(given: object, name: str, most: int) -> tuple[int, ...]:
    shape = _list(given, f"shape of {name}")
    if not 1 <= len(shape) <= 2 or not all(_is_whole(side) and 1 <= side < 2**31 for side in shape):
        _refuse(f"the shape of {name} must be one or two whole numbers of at least 1")
    if shape[0] > most:
        _refuse(f"one request may ask for {most} samples, not {min(shape[0], 2**31)}")
    return tuple(shape)


def _fitting(shape: tuple[int, ...], name: str, tensor: Mapping[str, Any]) -> tuple[int, ...]:
    count = sum(len(row) if isinstance(row, list) else 1 for row in tensor["data"])
    if count != prod(shape):
        _refuse(f"{name} of shape {list(shape)} needs {prod(shape)} numbers, and data has {count}")
    return shape


def _from_json(given: object, name: str, dtype: np.dtype[Any]) -> Array:
    """Numbers in a list, or in a list of lists."""
    rows = _list(given, f"data of {name}")
    numbers = [number for row in rows for number in (row if isinstance(row, list) else (row,))]
    wanted = {int} if dtype.kind == "i" else {int, float}
    if not set(map(type, numbers)) <= wanted:
        kind = "whole numbers" if dtype.kind == "i" else "numbers"
        _refuse(f"data of {name} must be {kind}, in a list or a list of lists")
    try:
        return np.array(numbers, "<i8" if dtype.kind == "i" else "<f8")
    except OverflowError:
        _refuse(f"data of {name} holds a number that is too large")


def _latents(given: Array, form: Form) -> npt.NDArray[np.float32]:
    if given.ndim != 2 or given.shape[1] != form.latent_dim:
        _refuse(f"latents must have the shape [N, {form.latent_dim}], not {list(given.shape)}")
    if not (np.abs(given) <= LARGEST).all():  # what is not a number is not
        _refuse(f"latents must be numbers in [-{LARGEST:g}, {LARGEST:g}]")
    return given.astype(np.float32, copy=False)


def _labels(given: Array, count: int, classes: int) -> npt.NDArray[np.int64]:
    # Triton's own server knows no batch without a second axis.
    if given.shape not in ((count,), (count, 1)):
        _refuse(f"{count} latents need labels of shape [{count}], not {list(given.shape)}")
    if given.min() < 0 or given.max() >= classes:
        _refuse(f"labels must be in [0, {classes})")
    return given.reshape(count).astype(np.int64, copy=False)


# -------------------------------------------------------------------------------------------- the rest


def _wants_binary(asked: Mapping[str, Any]) -> bool:
    """Whether the request, or what it says of its one output, asks for raw bytes."""
    binary = _mapping(asked.get("parameters", {}), "parameters").get("binary_data_output", False)
    outputs = [_mapping(output, "An output") for output in _list(asked.get("outputs", []), "outputs")]
    if len(outputs) > 1 or any(output.get("name") != OUTPUT for output in outputs):
        _refuse(f"there is one output, {OUTPUT}")
    for output in outputs:
        parameters = _mapping(output.get("parameters", {}), "parameters")
        if parameters.get("classification") or parameters.get("shared_memory_region"):
            _refuse("classification and shared memory are not offered")
        binary = parameters.get("binary_data", binary)
    if not isinstance(binary, bool):
        _refuse("binary_data and binary_data_output must be true or false")
    return binary


def _length(text: str, size: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= size):
        _refuse(
            f"the header {LENGTH} must be a whole number of at least 1 and at most the body's length, {size}"
        )
    return int(text)


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"{what} must be a JSON object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        _refuse(f"{what} must be a list")
    return value


def _tensor(name: str, datatype: str, shape: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"The body is not JSON: {name} is no number of JSON's.")


def _refuse(what: str) -> NoReturn:
    raise InputError(f"{what[0].upper()}{what[1:]}.")

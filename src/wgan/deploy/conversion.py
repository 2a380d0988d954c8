"""Conversion of a generator to ONNX in float32, and to OpenVINO in float32 or int8."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor, nn

from wgan.artifact import Feed, import_openvino
from wgan.core.files import storing
from wgan.deploy.trained_generator import batches
from wgan.errors import InputError, MissingExtraError

CALIBRATION_SAMPLES = 512
"""Number of latents from which the ranges of int8 activations are estimated."""


def write_onnx(generator: nn.Module, path: Path, example: Sequence[Tensor]) -> None:
    """Write a generator as an ONNX model with a dynamic batch size.

    Its inputs are ``latents`` and, for a conditional generator, ``labels``; its output is ``samples``.

    Args:
        generator: The generator, in evaluation mode on the CPU.
        path: The file.
        example: Inputs for at least 2 samples.

    Raises:
        InputError: The generator cannot be exported, or its batch size is fixed.
        MissingExtraError: A package is not installed.
        StorageError: The file system refuses.
    """
    _need("onnx", "onnx", "onnxscript")
    names = ("latents", "labels")[: len(example)]
    axes = tuple({0: torch.export.Dim("count", min=1)} for _ in names)
    with _quiet("torch.onnx"):
        try:
            program = torch.onnx.export(
                generator,
                tuple(example),
                input_names=list(names),
                output_names=["samples"],
                dynamic_shapes=axes,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # a network of the user's own may raise anything
            raise InputError(
                f"The generator {type(generator).__name__} cannot be exported: {_first_line(error)}."
            ) from error
    assert program is not None
    with storing(path):
        program.save(path)


def write_openvino(onnx: Path, path: Path) -> None:
    """Convert an ONNX model to OpenVINO, as ``path`` (.xml) and a .bin beside it, in float32.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        StorageError: The file system refuses.
    """
    openvino = import_openvino()
    with storing(path):
        openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=False)


def quantise_openvino(onnx: Path, path: Path, feed: Feed) -> None:
    """Convert an ONNX model to OpenVINO in int8; NNCF estimates ranges and bias corrections on ``feed``.

    Raises:
        MissingExtraError: A package is not installed.
        StorageError: The file system refuses.
    """
    _need("openvino", "openvino", "nncf")
    openvino = import_openvino()
    with _quiet("nncf"):
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        # By default ranges are means over samples, which clips rare values such as those of outlines.
        ranges = nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
        )
        quantised = nncf.quantize(
            openvino.Core().read_model(onnx),
            nncf.Dataset(batches(feed)),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(batches(feed)),
            advanced_parameters=ranges,
        )
    with storing(path):
        openvino.save_model(quantised, path, compress_to_fp16=False)


def _need(extra: str, *packages: str) -> None:
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(f"This export needs {package}: pip install 'wgan[{extra}]'.")


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Suppress the output of converters; they raise their errors."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(".: ")

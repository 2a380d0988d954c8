"""A generator as the file of another runtime: ONNX or OpenVINO, in float32 or in int8."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from wgan.artifact import Feed, import_openvino
from wgan.core.files import storing
from wgan.deploy.trained_generator import batches
from wgan.errors import InputError, MissingExtraError

CALIBRATED = 512
"""Latents that static int8 ranges are found on."""


def write_onnx(generator: nn.Module, path: Path, example: Sequence[Tensor]) -> None:
    """Write a generator as an ONNX model with a free number of samples.

    Its inputs are ``latents`` and, for a conditional generator, ``labels``; its output is ``samples``.

    Args:
        generator: In evaluation mode, on the CPU.
        path: The file.
        example: Its inputs, of 2 samples at least.

    Raises:
        InputError: The generator cannot be exported, or makes only as many samples as the example has.
        MissingExtraError: A package is not there.
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
        except Exception as error:  # whatever a network of the user's own may do
            raise InputError(
                f"The generator {type(generator).__name__} cannot be exported: {_first_line(error)}."
            ) from error
    assert program is not None
    with storing(path):
        program.save(path)


def write_openvino(onnx: Path, path: Path) -> None:
    """Write an ONNX model as OpenVINO's ``path`` (.xml) and the .bin beside it, in float32.

    Raises:
        MissingExtraError: OpenVINO is not there.
        StorageError: The file system refuses.
    """
    openvino = import_openvino()
    with storing(path):
        openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=False)


def quantise_onnx(onnx: Path, path: Path, feed: Feed) -> None:
    """Write an ONNX model in int8: weights by channel, activations by ranges found on the inputs in ``feed``.

    Operators are put between quantisation and dequantisation (QDQ), and the runtime computes them in int8
    where it has such kernels; transposed convolutions it has not, see :mod:`wgan.deploy.rewrite`.

    Raises:
        MissingExtraError: A package is not there.
        StorageError: The file system refuses.
    """
    _need("onnx", "onnx", "onnxruntime")
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_name(f"{path.name}.prepared")
    with _quiet(""), storing(path):
        try:
            quant_pre_process(onnx, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                path,
                _Reader(feed),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        finally:
            prepared.unlink(missing_ok=True)


def quantise_openvino(onnx: Path, path: Path, feed: Feed) -> None:
    """Write an ONNX model in int8 for OpenVINO, with ranges and bias corrections found on ``feed`` by NNCF.

    Raises:
        MissingExtraError: A package is not there.
        StorageError: The file system refuses.
    """
    _need("openvino", "openvino", "nncf")
    openvino = import_openvino()
    with _quiet("nncf"):
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        # By default ranges are means over samples: what is rare is clipped, and an outline is rare.
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


@final
class _Reader:
    """Hands the calibration inputs to ONNX Runtime."""

    def __init__(self, feed: Feed) -> None:
        self._batches = iter(batches(feed))

    def get_next(self) -> Feed | None:
        """The next batch; None after the last."""
        return next(self._batches, None)


def _need(extra: str, *packages: str) -> None:
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(f"This export needs {package}: pip install 'wgan[{extra}]'.")


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Keep back what converters say on the way; what goes wrong they raise."""
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

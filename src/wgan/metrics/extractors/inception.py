"""The Inception network of the official FID, by torch-fidelity, with its weights and its protocol.

Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", section 4; the weights are those
of the authors' TensorFlow graph of 2015-12-05, converted by torch-fidelity's author.
"""

import sys
from http.client import HTTPException
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor

from wgan.core.files import storing
from wgan.errors import InputError, MissingExtraError
from wgan.metrics.extractors.extractor import Extractor, digest, to_rgb
from wgan.metrics.extractors.weights import read_known

WIDTH = 2048
RESIZE = "bilinear as in TensorFlow 1, to 299x299"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
WEIGHTS_NAME = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS_NAME}"

_RULES = f"inception; bytes; {RESIZE}; (byte - 128) / 128; grey tiled; pool3"
FID_HASH = digest({}, WEIGHTS_SHA256, _RULES)
"""Hash of the extractor whose Frechet distance is called FID."""


def load_inception(weights: Path | None, device: torch.device) -> Extractor:
    """Load the extractor of width 2,048 that papers use.

    Images are rounded to bytes first, as files are.

    Args:
        weights: The file `WEIGHTS_NAME`; None: it is downloaded once, into torch's hub folder.
        device: Device to compute on.

    Raises:
        MissingExtraError: torch-fidelity is not installed.
        InputError: The file is another one, or cannot be downloaded.
        StorageError: The download cannot be stored.
    """
    path = weights or _downloaded()
    content = read_known(path, WEIGHTS_SHA256, "the Inception weights of the official FID")
    network = build(content).to(device)

    def features(images: Tensor) -> Tensor:
        output: Tensor = network(round_to_bytes(to_rgb(images)))[0]
        return output

    return Extractor("inception", FID_HASH, RESIZE, WIDTH, features, device)


def round_to_bytes(images: Tensor) -> Tensor:
    """Convert images in [-1, 1] to bytes: round((x + 1) * 127.5), clipped to 0..255."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def build(weights: Any) -> torch.nn.Module:  # noqa: ANN401 - a path or an open file, as torch.load takes
    """Build the network from verified weights only, because torch-fidelity unpickles them.

    Raises:
        MissingExtraError: torch-fidelity is not installed.
    """
    module = _network_module()
    network: torch.nn.Module = module.FeatureExtractorInceptionV3("inception", ["2048"], weights)
    return network.eval()


def _network_module() -> ModuleType:
    """Import the module of torch-fidelity with the network, without the package's __init__.

    The latter imports torchvision, which is not needed here and fails if it was built for another torch.
    """
    package = find_spec("torch_fidelity")
    if package is None:
        raise MissingExtraError("Extractor 'inception' needs torch-fidelity: pip install 'wgan[fid]'.")
    name = "torch_fidelity.feature_extractor_inceptionv3"
    if "torch_fidelity" in sys.modules:
        return import_module(name)
    stub = ModuleType("torch_fidelity")
    stub.__path__ = list(package.submodule_search_locations or [])
    sys.modules["torch_fidelity"] = stub
    try:
        return import_module(name)
    finally:
        for loaded in [key for key in sys.modules if key.partition(".")[0] == "torch_fidelity"]:
            del sys.modules[loaded]


def _downloaded() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_NAME
    if path.exists():
        return path
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(WEIGHTS_URL, str(path), WEIGHTS_SHA256, progress=False)
        except (URLError, TimeoutError, ConnectionError, HTTPException, RuntimeError) as error:
            raise InputError(
                f"Cannot download the Inception weights ({error}); fetch {WEIGHTS_URL} by other means and "
                "give its path."
            ) from error
    return path

"""A static web page with the generator and the runtime that runs it in the browser, offline."""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from functools import partial
from pathlib import Path

from wgan.core.files import storing, write_atomically
from wgan.demo import page_files
from wgan.deploy.targets.bundled import load_onnx
from wgan.errors import InputError

PACKAGE = "onnxruntime-web@1.30.0"
"""The runtime on npm; MIT licence."""
RUNTIME = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The required files of the package, with their SHA-256."""


def layout(artifact: Path, out: Path) -> None:
    """Write a folder that any web server can serve: ``python -m http.server -d OUT``.

    Args:
        artifact: The folder of an ONNX artifact.
        out: The folder; created if it does not exist.

    Raises:
        InputError: This is not an ONNX artifact; or npm, which provides the runtime, is missing or fails.
        StorageError: The file system refuses.
    """
    loaded = load_onnx(artifact, "browser")
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in (page_files("wasm") | _runtime()).items():
            (out / name).write_bytes(content)
        shutil.copyfile(loaded.model, out / "model.onnx")
        (out / "model.json").write_text(json.dumps(loaded.page) + "\n", encoding="utf-8")


def _runtime() -> dict[str, bytes]:
    """The files of ONNX Runtime Web, from the cache or from npm; only the known version is accepted."""
    import pooch

    cache = Path(pooch.os_cache("wgan")) / PACKAGE.replace("@", "-")
    if not all((cache / name).is_file() for name in RUNTIME):
        _fetch(cache)
    files = {name: (cache / name).read_bytes() for name in RUNTIME}
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != RUNTIME[name]:
            raise InputError(f"{cache / name} is not the file of {PACKAGE}; remove it to download it again.")
    return files


def _fetch(cache: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                ["npm", "pack", PACKAGE, "--pack-destination", folder],
                check=True,
                capture_output=True,
                text=True,
                timeout=600,
            )
        except FileNotFoundError:
            raise InputError(f"The target web needs {PACKAGE} from npm; install npm.") from None
        except subprocess.SubprocessError as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
            raise InputError(f"npm could not fetch {PACKAGE}: {' '.join(reason)}.") from error
        (archive,) = Path(folder).glob("*.tgz")
        _unpack(archive, cache)


def _unpack(archive: Path, cache: Path) -> None:
    with storing(cache), tarfile.open(archive) as packed:
        for name in RUNTIME:
            member = packed.extractfile(f"package/dist/{name}")
            assert member is not None
            write_atomically(cache / name, partial(shutil.copyfileobj, member))

"""Writing of an artifact's folder, completely or not at all and never over other files."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wgan.artifact import FORMAT, SPECIFICATION, checksum, read_specification, seal
from wgan.core.files import remove, storing, sync_file, sync_folder, write_atomically
from wgan.errors import InputError

README = "README.md"


def check_free(out: Path, run: str) -> None:
    """Check that an artifact of the run with id ``run`` can be written to a folder, without writing anything.

    Raises:
        InputError: The folder contains something other than an artifact of this run.
        StorageError: The file system refuses.
    """
    with storing(out):
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file; an artifact needs a folder.")
        there = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if not there:
        return
    if SPECIFICATION not in there:
        raise InputError(f"{out} contains files but is not an artifact; choose a new or empty folder.")
    specification = read_specification(out)
    origin = specification.get("run", {})
    if origin.get("id") != run:
        raise InputError(
            f"{out} contains an artifact of another run, {origin.get('name')}; choose another folder, or "
            "remove that one first."
        )
    others = there - {*specification["files"], SPECIFICATION, README, specification.get("target")}
    if "target_files" in specification:  # other tools may have added files, such as a configuration of `sam`
        inside = (path for path in (out / specification["target"]).rglob("*") if path.is_file())
        others |= {path.relative_to(out).as_posix() for path in inside} - set(specification["target_files"])
    if others:
        raise InputError(
            f"{out} contains files that are not the artifact's, {min(others)} the first; move them away."
        )


@contextmanager
def building(out: Path) -> Iterator[Path]:
    """A new folder to fill in the block; it becomes ``out`` at the end, or is removed if the block fails.

    Raises:
        StorageError: The file system refuses; an older folder is untouched.
    """
    temporary = out.absolute().parent / f".{out.absolute().name}.{os.getpid()}.partial"
    fresh, old = temporary / out.absolute().name, temporary / ".old"
    with storing(out):
        remove(temporary)
        fresh.mkdir(parents=True)
    try:
        yield fresh
        with storing(out):
            for path in fresh.rglob("*"):
                if path.is_file():
                    sync_file(path)
            _replace(out, fresh, old)
            sync_folder(out.absolute().parent)
    finally:
        remove(temporary)


def _replace(out: Path, fresh: Path, old: Path) -> None:
    """Replace a folder by another one; the old one stays if that fails."""
    try:
        if out.exists():
            out.rename(old)
        fresh.rename(out)
    except BaseException:  # an interrupt, too: the temporary folder will be removed
        if old.exists() and not out.exists():
            old.rename(out)
        raise


def write_specification(folder: Path, specification: Mapping[str, Any]) -> None:
    """Write ``artifact.json``, with the checksums of all files in the folder.

    Raises:
        StorageError: The file system refuses.
    """
    own = {SPECIFICATION, README}
    known = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in own]
    files = {path.name: checksum(path) for path in known}
    # The checksum is that of the values as they are read: tuples are lists in JSON.
    whole = json.loads(json.dumps({**specification, "files": files}, allow_nan=False))
    text = json.dumps({"format": FORMAT, **whole, "seal": seal(whole)}, indent=1)
    write_atomically(folder / SPECIFICATION, lambda file: file.write(text.encode() + b"\n"))


def write_readme(folder: Path, specification: Mapping[str, Any]) -> None:
    """Write instructions for the use of the artifact.

    Raises:
        StorageError: The file system refuses.
    """
    text = _readme(folder.name, specification)
    write_atomically(folder / README, lambda file: file.write(text.encode()))


def _readme(name: str, specification: Mapping[str, Any]) -> str:
    quality, classes, kind = specification["quality"], specification["classes"], specification["kind"]
    run, dataset = specification["run"], specification["data"]["name"]
    shape = ", ".join(map(str, specification["shape"]))
    inputs = f"draw_latents(16, {specification['latent_dim']}, seed=7){', [0] * 16' if classes else ''}"
    lines = [
        f"# {name}",
        "",
        f"The generator of the run {run['name']} after {run['step']:,} steps on {dataset}, for "
        f"{_RUNTIMES[kind]} in {specification['precision']}. `pip install 'wgan[{kind}]'`, then:",
        "",
        "```python",
        "from wgan.artifact import Artifact",
        "from wgan.latents import draw_latents",
        f'samples = Artifact.load("{name}").runtime()({inputs})',
        "```",
        "",
        f"gives 16 samples, float32 (16, {shape}){' in [-1, 1]' if specification['range'] else ''}"
        + (f", of the class {classes[0]}; the classes are {', '.join(classes)}." if classes else "."),
        "",
        f"Frechet distance {quality['before']:.5g} before the export and {quality['after']:.5g} after it; a "
        f"value of a sample differs by at most {specification['parity']['max_abs_error']:.2g}. The "
        "provenance is in `artifact.json`; `wgan verify` measures it again.",
        "",
    ]
    if specification["target"] in _TARGETS:
        lines += [_TARGETS[specification["target"]], ""]
    return "\n".join(lines)


_RUNTIMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
_TARGETS = {
    "web": "The folder `web` has a page that runs it in a browser: `python -m http.server -d web`.",
    "triton": "The folder `triton` has model repositories: `tritonserver --model-repository=triton/onnx`.",
    "lambda": "The folder `lambda` has an archive for AWS Lambda and its template: `sam deploy --guided`.",
}

"""Writing an artifact's folder: whole or not at all, and never over something else."""

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
    """Make sure that an artifact of a run can be written to a folder, touching nothing.

    Args:
        out: The folder.
        run: The run's id.

    Raises:
        InputError: The folder holds something else than an artifact of this run.
        StorageError: The file system refuses.
    """
    with storing(out):
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file; an artifact needs a folder.")
        there = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if not there:
        return
    if SPECIFICATION not in there:
        raise InputError(f"{out} holds files and is no artifact; choose a new or empty folder.")
    said = read_specification(out)
    origin = said.get("run", {})
    if origin.get("id") != run:
        raise InputError(
            f"{out} holds an artifact of another run, {origin.get('name')}; choose another folder, or remove "
            "that one first."
        )
    others = there - {*said["files"], SPECIFICATION, README, said.get("target")}
    if "laid" in said:  # what a user's own tools left in there, a configuration of `sam` say, is not ours
        inside = (path for path in (out / said["target"]).rglob("*") if path.is_file())
        others |= {path.relative_to(out).as_posix() for path in inside} - set(said["laid"])
    if others:
        raise InputError(
            f"{out} holds files that are not the artifact's, {min(others)} the first; move them away first."
        )


@contextmanager
def building(out: Path) -> Iterator[Path]:
    """A new folder to fill in the block, which becomes ``out`` at its end, or vanishes if the block fails.

    Raises:
        StorageError: The file system refuses; what was there before still is.
    """
    workshop = out.absolute().parent / f".{out.absolute().name}.{os.getpid()}.partial"
    fresh, old = workshop / out.absolute().name, workshop / ".old"
    with storing(out):
        remove(workshop)
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
        remove(workshop)


def _replace(out: Path, fresh: Path, old: Path) -> None:
    """Put a folder in another's place; the other stays if that fails."""
    try:
        if out.exists():
            out.rename(old)
        fresh.rename(out)
    except BaseException:  # an interrupt, too: what is left in the workshop is removed
        if old.exists() and not out.exists():
            old.rename(out)
        raise


def write_specification(folder: Path, said: Mapping[str, Any]) -> None:
    """Write ``artifact.json``, with the checksums of all files that are in the folder.

    Raises:
        StorageError: The file system refuses.
    """
    own = {SPECIFICATION, README}
    known = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in own]
    files = {path.name: checksum(path) for path in known}
    whole = {**said, "files": files}
    # As a reader will see it: tuples are lists in JSON.
    whole = json.loads(json.dumps(whole, allow_nan=False))
    text = json.dumps({"format": FORMAT, **whole, "seal": seal(whole)}, indent=1)
    write_atomically(folder / SPECIFICATION, lambda file: file.write(text.encode() + b"\n"))


def write_readme(folder: Path, said: Mapping[str, Any]) -> None:
    """Write how the artifact is used.

    Raises:
        StorageError: The file system refuses.
    """
    text = _readme(folder.name, said)
    write_atomically(folder / README, lambda file: file.write(text.encode()))


def _readme(name: str, said: Mapping[str, Any]) -> str:
    quality, classes = said["quality"], said["classes"]
    shape = ", ".join(map(str, said["shape"]))
    labelled = ", [0] * 16" if classes else ""
    extra = said["kind"]
    lines = [
        f"# {name}",
        "",
        f"The generator of the run {said['run']['name']} after {said['run']['step']:,} steps on "
        f"{said['data']['name']}, for {_RUNTIMES[said['kind']]} in {said['precision']}. "
        f"`pip install 'wgan[{extra}]'`, then:",
        "",
        "```python",
        "from wgan.artifact import Artifact",
        "from wgan.latents import draw_latents",
        f'generate = Artifact.load("{name}").runtime()',
        f"samples = generate(draw_latents(16, {said['latent_dim']}, seed=7){labelled})",
        "```",
        "",
        f"gives 16 samples, float32 (16, {shape}){' in [-1, 1]' if said['range'] else ''}"
        + (f", of the class {classes[0]}; the classes are {', '.join(classes)}." if classes else "."),
        "",
        f"Frechet distance {quality['before']:.5g} before the export and {quality['after']:.5g} after it; a "
        f"number of a sample differs by {said['parity']['max_abs_error']:.2g} at most. What was measured how "
        "stands in `artifact.json`; `wgan verify` measures it again.",
        "",
    ]
    if said["target"] in _TARGETS:
        lines += [_TARGETS[said["target"]], ""]
    return "\n".join(lines)


_RUNTIMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
_TARGETS = {
    "web": "In the folder `web`, a page that runs it in a browser: `python -m http.server -d web`.",
    "triton": "In the folder `triton`, model repositories: `tritonserver --model-repository=triton/onnx`.",
    "lambda": "In the folder `lambda`, an archive for AWS Lambda and its template: `sam deploy --guided`.",
}

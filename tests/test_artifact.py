"""An artifact is whole and runs, or says in a sentence why not; and none of it needs torch."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_runs import output_of, run_python

from wgan.artifact import FORMAT, Artifact, Runtime, checksum, seal
from wgan.errors import InputError

LATENT, SHAPE, CLASSES = 3, (1, 2, 2), ("cat", "dog")
WEIGHT = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
OFFSET = np.array([[0.0] * 4, [0.5] * 4], np.float32)


def write_model(path):
    """samples = tanh(latents WEIGHT + OFFSET[labels]), written by hand."""
    inputs = [
        helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
    ]
    nodes = [
        helper.make_node("MatMul", ["latents", "weight"], ["a"]),
        helper.make_node("Gather", ["offset", "labels"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["d"]),
        helper.make_node("Reshape", ["d", "shape"], ["samples"]),
    ]
    kept = {"weight": WEIGHT, "offset": OFFSET, "shape": np.array([-1, *SHAPE])}
    graph = helper.make_graph(
        nodes,
        "generator",
        inputs,
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["n", *SHAPE])],
        [numpy_helper.from_array(value, name) for name, value in kept.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def expected(latents, labels):
    return np.tanh(latents @ WEIGHT + OFFSET[labels]).reshape(-1, *SHAPE)


def write(folder, **changes):
    """``artifact.json`` with the right seal and checksums, but for the changes; None leaves a key out."""
    files = {path.name: checksum(path) for path in folder.glob("model.*")}
    said = {
        "kind": "onnx",
        "precision": "float32",
        "model": "model.onnx",
        "latent_dim": LATENT,
        "shape": SHAPE,
        "classes": CLASSES,
        "range": (-1, 1),
        "files": files,
        "run": {"name": "mine"},
    } | changes
    said = json.loads(json.dumps({name: value for name, value in said.items() if value != "gone"}))
    (folder / "artifact.json").write_text(json.dumps({"format": FORMAT, **said, "seal": seal(said)}))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "dist"
    made.mkdir()
    write_model(made / "model.onnx")
    write(made)
    return made


def test_what_it_says(folder):
    artifact = Artifact.load(str(folder))
    assert (artifact.kind, artifact.precision, artifact.latent_dim) == ("onnx", "float32", LATENT)
    assert (artifact.shape, artifact.classes, artifact.range) == (SHAPE, CLASSES, (-1, 1))
    assert artifact.provenance == {"run": {"name": "mine"}}
    assert artifact.model == folder / "model.onnx"


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_it_runs(folder, kind, threads):
    write(folder, kind=kind)
    runtime = Artifact.load(folder).runtime(threads)
    rng = np.random.default_rng(0)
    for count in (1, 5, 300, 1, 2):
        latents, labels = rng.normal(size=(count, LATENT)), rng.integers(2, size=count)
        samples = runtime(latents, labels)
        assert samples.dtype == np.float32
        np.testing.assert_allclose(samples, expected(latents, labels), atol=1e-5)
    first = runtime(np.zeros((1, 3)), [0])
    runtime(np.ones((1, 3)), [1])
    np.testing.assert_allclose(first, expected(np.zeros((1, 3)), [0]), atol=1e-6)  # not a view of a buffer


def test_inputs_that_do_not_fit_are_refused(folder):
    runtime = Artifact.load(folder).runtime()
    two = np.zeros((2, LATENT))
    for latents in (np.zeros(LATENT), np.zeros((2, 4)), np.zeros((0, LATENT)), np.zeros((1, LATENT, 1))):
        with pytest.raises(InputError, match=r"do not fit a generator of latents \(N, 3\)"):
            runtime(latents)
    for value in (np.nan, np.inf):
        with pytest.raises(InputError, match="NaN or infinity"):
            runtime(np.full((1, LATENT), value))
    for labels in ([0], [0, 1, 1], [[0, 1]], [0.0, 1.0], ["cat", "dog"], [True, False]):
        with pytest.raises(InputError, match="2 latents need as many labels"):
            runtime(two, labels)
    for labels in ([0, 2], [-1, 0]):
        with pytest.raises(InputError, match=r"Labels must be in \[0, 2\)"):
            runtime(two, labels)
    with pytest.raises(InputError, match="threads"):
        Artifact.load(folder).runtime(threads=0)


def test_labels_belong_to_generators_with_classes():
    plain = Runtime(LATENT, None, lambda given: given["latents"])
    with pytest.raises(InputError, match="takes no labels"):
        plain(np.zeros((1, LATENT)), [0])
    asked = Runtime(LATENT, 2, lambda given: given["labels"])(np.zeros((5, LATENT)))
    assert asked.tolist() == [0, 1, 0, 1, 0]


BROKEN = {
    "another format": (
        {"format": FORMAT + 1},
        f"of format {FORMAT + 1}, and this wgan reads format {FORMAT}",
    ),
    "no format": ({"format": None}, "has no format number"),
    "an edited number": ({"latent_dim": 4}, "was changed after the export"),
    "no seal": ({"seal": None}, "was changed after the export"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_edited_specification_is_refused(folder, name):
    changes, message = BROKEN[name]
    path = folder / "artifact.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=message):
        Artifact.load(folder)


SEALED = {
    "another kind": ({"kind": "tensorrt"}, "of kind 'tensorrt', this wgan runs onnx, openvino"),
    "no kind": ({"kind": "gone"}, r"is incomplete \('kind'\)"),
    "no latents": ({"latent_dim": 0}, "latent_dim must be a whole number"),
    "no checksum": ({"files": {}}, r"has no checksum of its model model\.onnx"),
    "no list": ({"files": 7}, "is incomplete"),
    "a file outside": (
        {"files": {"model.onnx": "0", "../secret": "0"}},
        "names a file outside|is not the file",
    ),
    "only outside": ({"model": "../model.onnx"}, "has no checksum of its model"),
}


@pytest.mark.parametrize("name", SEALED)
def test_a_specification_that_cannot_be_is_refused(folder, name):
    changes, message = SEALED[name]
    write(folder, **changes)
    with pytest.raises(InputError, match=message):
        Artifact.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"x"', "null", "\x00\xff"])
def test_what_is_no_specification_is_refused(folder, text):
    (folder / "artifact.json").write_text(text)
    with pytest.raises(InputError, match=r"cannot be read|has no format number"):
        Artifact.load(folder)


def test_a_changed_or_missing_file_is_refused(folder):
    model = folder / "model.onnx"
    whole = bytearray(model.read_bytes())
    for place in (0, len(whole) // 2, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        model.write_bytes(changed)
        with pytest.raises(InputError, match="its SHA-256 differs"):
            Artifact.load(folder)
    model.unlink()
    with pytest.raises(InputError, match="cannot be read: No such file"):
        Artifact.load(folder)
    shutil.rmtree(folder)
    with pytest.raises(InputError, match=r"is not an artifact: it has no artifact\.json"):
        Artifact.load(folder)


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_a_model_that_is_none_is_told(folder, kind):
    (folder / "model.onnx").write_bytes(b"no model")
    write(folder, kind=kind)
    with pytest.raises(InputError, match="cannot be opened by its runtime"):
        Artifact.load(folder).runtime()


LEAN = """
    import sys
    import numpy as np
    from wgan.artifact import Artifact
    from wgan.latents import draw_latents
    print(Artifact.load(sys.argv[1]).runtime()(draw_latents(2, 3, 7)).shape)
    print(sorted({"torch", "scipy", "PIL", "wgan.training", "wgan.runs"} & {*sys.modules}))
"""
WITHOUT = """
    import sys
    sys.modules["onnxruntime"] = None
    from wgan.artifact import Artifact
    from wgan.errors import MissingExtraError
    try:
        Artifact.load(sys.argv[1]).runtime()
    except MissingExtraError as error:
        print(error)
"""


def test_it_needs_no_torch(folder):
    assert output_of(run_python(LEAN, folder)) == "(2, 1, 2, 2)\n[]\n"


def test_a_missing_runtime_names_its_extra(folder):
    assert "pip install 'wgan[onnx]'" in output_of(run_python(WITHOUT, folder))


SILENT = """
    import sys
    from pathlib import Path
    from wgan.artifact import Artifact
    Artifact.load(sys.argv[1]).runtime()([[0.0] * 3], [0])
    import nncf
    loaded = [name for name in sys.modules if name.startswith("openvino_telemetry") and sys.modules[name]]
    print(loaded, [path.name for path in Path.home().iterdir()])
"""


@pytest.mark.slow
def test_openvino_reports_nothing_to_anybody(folder, tmp_path, monkeypatch):
    """Its telemetry begins with a folder in the user's own."""
    write(folder, kind="openvino")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("CI", raising=False)
    assert output_of(run_python(SILENT, folder)) == "[] []\n"

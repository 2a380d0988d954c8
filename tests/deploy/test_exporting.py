"""What leaves is the run's generator, with proof; what is not, does not leave."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from small_runs import tree
from torch import nn

from wgan.artifact import Artifact, import_openvino
from wgan.data import digits, ring8
from wgan.deploy import export, verify
from wgan.deploy.reference_statistics import Quality, ReferenceStatistics
from wgan.deploy.trained_generator import TrainedGenerator
from wgan.deploy.validation import REFERENCE_FILE, Reference
from wgan.errors import GateError, InputError, StorageError
from wgan.generation import find_directions
from wgan.latents import draw_latents
from wgan.metrics import PIXELS, frechet_distance, train_classifier
from wgan.sampling import Sampler
from wgan.training import Trainer

CORE = import_openvino().Core()  # kept: a process that sees cores come and go does not survive Ctrl-C
COUNT = 300
"""Samples that the fixture's exports are judged by."""
KINDS = ("onnx-float32", "openvino-float32", "openvino-int8")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "dist"


def fake_samples(run, count=64):
    sampler = Sampler.load(run, device="cpu")
    points, labels = sampler.latents(count, seed=9), np.arange(count) * 7 % 10
    return points, labels, sampler.from_latents(points, labels).numpy()


# ------------------------------------------------------------------------------- it is the generator


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_makes_what_the_run_makes(kind, run, artifacts):
    points, labels, expected = fake_samples(run)
    samples = artifacts[kind].runtime(threads=1)(points, labels)
    assert samples.dtype == np.float32
    error = np.abs(samples - expected)
    if kind.endswith("float32"):
        assert error.max() < 1e-5
    else:
        assert error.mean() < 0.03
        assert error.max() > 1e-4  # it is in fact another arithmetic


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_does_not_depend_on_its_batch(kind, run, artifacts):
    points, labels, _ = fake_samples(run, 5)
    runtime = artifacts[kind].runtime(threads=1)
    together = runtime(points, labels)
    for index in (4, 0, 2):
        alone = runtime(points[index : index + 1], labels[index : index + 1])
        np.testing.assert_allclose(alone[0], together[index], atol=1e-6)
    np.testing.assert_array_equal(runtime(points, labels), together)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_label_is_obeyed_and_every_class_comes_in_turn_where_none_is_given(kind, run, artifacts):
    points = np.repeat(draw_latents(1, 6, 3), 12, axis=0)
    runtime = artifacts[kind].runtime(threads=1)
    cycled = runtime(points)
    np.testing.assert_array_equal(cycled, runtime(points, np.arange(12) % 10))
    np.testing.assert_array_equal(cycled[10:], cycled[:2])
    assert np.abs(cycled[0] - cycled[1]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_sliders_of_the_page_are_the_directions_of_the_run_in_order_and_sign(kind, run, artifacts):
    """Slider 2 moves a sample as ``--direction 2`` does."""
    expected = find_directions(Sampler.load(run, device="cpu"))
    sliders = np.array(artifacts[kind].page["directions"], np.float32)
    np.testing.assert_array_equal(sliders, expected.vectors)
    np.testing.assert_array_equal(artifacts[kind].directions, expected.vectors)


@pytest.mark.parametrize("to", ["onnx", "web", "triton", "lambda"])
def test_int8_is_refused_for_onnx_runtime_which_is_slower_in_it(run, out, to):
    with pytest.raises(InputError, match=r"slower in int8 .* export to openvino \(OpenVINO\)"):
        export(run, out, to=to, int8=True)
    assert not out.exists()


def test_int8_of_openvino_is_int8_all_through(artifacts):
    compiled = CORE.compile_model(artifacts["openvino-int8"].model, "CPU")
    told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    layers = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
    precisions = [
        info["runtimePrecision"].astype(str) for info in told if info["layerType"].astype(str) in layers
    ]
    assert len(precisions) >= 3
    assert {*precisions} <= {"i8", "u8"}


@pytest.mark.parametrize("kind", ["onnx-float32", "openvino-float32"])
def test_float32_has_no_normalisation_left(kind, artifacts):
    text = artifacts[kind].model.read_bytes()
    assert b"BatchNorm" not in text


class Own(nn.Module):
    """A generator of vectors of a user's own, with a computed weight."""

    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))

    def forward(self, points):
        return self.dense(points).sin() * 3


@pytest.mark.slow
def test_a_generator_of_ones_own_is_exported_too(tmp_path, out):
    run = tmp_path / "own"
    critic = nn.Linear(2, 1)
    Trainer(generator=Own(), critic=critic, data=ring8(), n_critic=1, device="cpu").fit(run, 2)
    with pytest.raises(InputError, match="pass the module or"):
        export(run, out)
    artifact = export(Sampler.load(run, generator=Own(), device="cpu"), out, count=100, seconds=0.01)
    assert artifact.range is None
    assert artifact.classes is None
    sampler = Sampler.load(run, generator=Own(), device="cpu")
    samples = artifact.runtime()(sampler.latents(20))
    np.testing.assert_allclose(samples, sampler(20).numpy(), atol=1e-5)


# --------------------------------------------------------------------------------------- with proof


@pytest.mark.parametrize("kind", KINDS)
def test_it_tells_what_it_is_and_where_it_comes_from(kind, run, artifacts):
    artifact = artifacts[kind]
    said = artifact.provenance
    dataset = digits()
    assert (artifact.kind, artifact.precision) == tuple(kind.split("-"))
    assert (artifact.latent_dim, artifact.shape, artifact.range) == (6, (1, 8, 8), (-1.0, 1.0))
    assert artifact.classes == dataset.classes
    assert said["data"] == {"name": "digits", "fingerprint": dataset.fingerprint}
    assert (said["run"]["name"], said["run"]["step"], said["target"]) == ("digits", 40, artifact.kind)
    assert said["quality"]["provenance"]["n_fake"] == COUNT
    assert said["quality"]["provenance"]["n_real"] == len(dataset.train)
    assert {row["batch"] for row in said["latency"]} == {1, 8, 64}
    assert {row["name"] for row in said["latency"]} == {kind, "eager torch"}
    assert all(0 < row["p50"] <= row["p99"] and row["calls"] > 0 for row in said["latency"])
    assert {"wgan", "torch", "numpy"} <= {*said["versions"]}
    allowed = said["parity"]["allowed"]
    assert allowed is None if kind.endswith("int8") else said["parity"]["max_abs_error"] <= allowed


def test_the_numbers_are_those_of_the_samples(run, artifacts):
    """Measured the long way: from all real samples themselves, without the statistics that are kept."""
    artifact = artifacts["openvino-int8"]
    trained, dataset = TrainedGenerator.load(run), digits()
    asked = Reference.read(artifact).quality_inputs
    assert {*asked["labels"].tolist()} == set(range(10))
    real = dataset.train.batch(torch.arange(len(dataset.train))).flatten(1)
    for name, forward in (("before", trained.forward), ("after", artifact.runtime(1).forward)):
        direct = frechet_distance(real, forward(asked).reshape(COUNT, -1)).value
        assert artifact.provenance["quality"][name] == pytest.approx(direct, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_verified_without_its_run(kind, artifacts, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(artifacts[kind].path, moved)
    validation, latency = verify(moved, seconds=0.01)
    said = artifacts[kind].provenance
    validation.check("It", "")
    assert validation.error == pytest.approx(said["parity"]["max_abs_error"], abs=1e-6)
    assert validation.quality.after == pytest.approx(said["quality"]["after"], rel=1e-5)
    assert (validation.quality.before, validation.gate) == (said["quality"]["before"], 1.5)
    assert [row.batch for row in latency] == [1, 8, 64]


@pytest.mark.slow
def test_a_classifier_that_judges_goes_along(run, tmp_path, out):
    dataset = digits()
    rows = torch.arange(len(dataset.train))
    learned = dataset.train.batch(rows), dataset.train.batch_labels(rows)
    judge = tmp_path / "judge.safetensors"
    train_classifier(*learned, held_out=learned, steps=30, device="cpu").save(judge)
    artifact = export(run, out, extractor=judge, count=COUNT, seconds=0.01)
    judge.unlink()
    assert artifact.provenance["quality"]["provenance"]["extractor"] == "classifier"
    validation, _ = verify(out, seconds=0.01)
    assert validation.quality.after == pytest.approx(artifact.provenance["quality"]["after"], rel=1e-5)


def test_another_model_under_the_right_checksums_does_not_verify(artifacts, tmp_path):
    """What a broken runtime would be: the file is whole, the samples are others."""
    moved = tmp_path / "other"
    shutil.copytree(artifacts["onnx-float32"].path, moved)
    with np.load(moved / REFERENCE_FILE) as kept:
        arrays = dict(kept)
    reference = Reference.read(Artifact.load(moved))
    arrays["samples"] = arrays["samples"] + np.float32(2e-4)
    other = Reference(
        reference.parity_inputs,
        arrays["samples"],
        reference.quality_inputs,
        reference.before,
        reference.reference_statistics,
    )
    validation = other.validate(artifacts["onnx-float32"].runtime(1).forward, int8=False, gate=1.05)
    with pytest.raises(GateError, match=r"differs by 0\.0002, and in float32 at most 0\.0001"):
        validation.check("It", "")


def test_the_distance_to_the_statistics_is_the_frechet_distance():
    rng = np.random.default_rng(0)
    dataset = ring8()
    reference_statistics = ReferenceStatistics.of(dataset, PIXELS)
    samples = rng.normal(size=(500, 2)).astype(np.float32)
    rows = torch.arange(10_000) * len(dataset.train) // 10_000 if len(dataset.train) > 10_000 else slice(None)
    real = dataset.train.batch(torch.arange(len(dataset.train))[rows])
    kept = reference_statistics.distance(lambda given: given["latents"], {"latents": samples})
    assert kept == pytest.approx(frechet_distance(real, samples).value, rel=1e-4)


def test_a_ratio_of_nothing():
    assert Quality(0.0, 0.0).ratio == 1
    assert Quality(0.0, 1e-9).ratio == np.inf
    assert Quality(2.0, 1.0).ratio == 0.5


def test_the_readme_does_what_it_says(artifacts, monkeypatch):
    artifact = artifacts["onnx-float32"]
    monkeypatch.chdir(artifact.path.parent)
    code = re.search(r"```python\n(.*?)```", (artifact.path / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(code[1], names)  # noqa: S102
    assert names["samples"].shape == (16, 1, 8, 8)


# --------------------------------------------------------------------------------- or it does not leave


@pytest.mark.parametrize("gate", [0, float("nan")])
def test_an_impossible_gate_verifies_nothing(artifacts, gate):
    with pytest.raises(InputError, match="gate"):
        verify(artifacts["onnx-float32"].path, gate=gate)


@pytest.mark.slow
def test_past_the_gate_nothing_is_left(run, out):
    before = tree(run)
    with pytest.raises(GateError, match=r"gate of 0\.5 allows: Frechet distance .* -> .* 1 times"):
        export(run, out, gate=0.5, count=100)
    assert list(out.parent.iterdir()) == []
    assert tree(run) == before


@pytest.mark.parametrize("gate", [0, -1, float("nan"), float("inf")])
def test_an_impossible_gate_is_refused(run, out, gate):
    with pytest.raises(InputError, match="gate"):
        export(run, out, gate=gate)


def test_what_cannot_be_exported_is_told(run, out, tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        export(tmp_path, out)
    with pytest.raises(InputError, match="no target 'onxn'; did you mean 'onnx'"):
        export(run, out, to="onxn")
    with pytest.raises(InputError, match=r"shape \(2,\) and .* makes \(1, 8, 8\)"):
        export(run, out, against=ring8())
    with pytest.raises(InputError, match="count"):
        export(run, out, count=1)
    assert not out.exists()


class Unexportable(nn.Module):
    """Looks at its numbers to decide what to do."""

    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)

    def forward(self, points):
        return self.dense(points) if points[0, 0].item() > 0.1 else points[:, :2]


@pytest.mark.slow
def test_a_generator_that_cannot_be_exported_is_told(tmp_path, out):
    run = tmp_path / "own"
    Trainer(generator=Unexportable(), critic=nn.Linear(2, 1), data=ring8(), n_critic=1, device="cpu").fit(
        run, 1
    )
    with pytest.raises(InputError, match="Unexportable cannot be exported"):
        export(Sampler.load(run, generator=Unexportable(), device="cpu"), out)
    assert not out.exists()


def test_the_artifact_of_another_run_and_other_files_stay(run, artifacts, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"seed": 1}))
    there = tmp_path / "dist"
    shutil.copytree(artifacts["onnx-float32"].path, there)
    before = tree(there)
    with pytest.raises(InputError, match="contains an artifact of another run, digits"):
        export(other, there)
    (there / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not the artifact's, notes\.txt the first"):
        export(run, there)
    (there / "notes.txt").unlink()
    assert tree(there) == before
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    for place, said in (("file", "is a file"), ("folder", "is not an artifact")):
        with pytest.raises(InputError, match=said):
            export(run, tmp_path / place)


@pytest.mark.slow
def test_the_artifact_of_the_same_run_is_replaced(run, artifacts, tmp_path):
    there = tmp_path / "dist"
    shutil.copytree(artifacts["openvino-int8"].path, there)
    export(run, there, count=100, seconds=0.01)
    artifact = Artifact.load(there)
    assert (artifact.kind, artifact.precision) == ("onnx", "float32")
    assert {path.name for path in there.iterdir()} == {*artifact.files, "artifact.json", "README.md"}
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_no_place_to_write_is_told(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="Cannot write"):
        export(run, tmp_path / "file" / "dist")


@pytest.mark.slow
def test_triton_gets_its_folder(run, out):
    artifact = export(run, out, to="triton", count=100, seconds=0.01)
    assert artifact.provenance["target"] == "triton"
    served = out / "triton" / "onnx" / "generator" / "1" / "model.onnx"
    assert served.read_bytes() == artifact.model.read_bytes()

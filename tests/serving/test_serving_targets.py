"""Artifacts elsewhere: behind the emulator of AWS Lambda, in a real Triton server; and all six ways."""

import base64
import io
import json
import tarfile
import urllib.request
import zipfile

import numpy as np
import pytest
import tritonclient.grpc.model_config_pb2 as protobuf
import tritonclient.http
from google.protobuf import text_format
from PIL import Image
from small_runs import no_file_larger_than

from wgan import Sampler
from wgan.cli import main
from wgan.deploy.targets import aws_lambda, triton, web
from wgan.errors import InputError, StorageError
from wgan.image_requests import ImageRequest, draw
from wgan.images import to_bytes
from wgan.latents import draw_latents

SEED, COUNT = 2**40 + 11, 12


def images(content):
    """The grey images in a zip, (N, H, W)."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return np.stack([np.asarray(Image.open(archive.open(name))) for name in archive.namelist()])


@pytest.mark.slow
def test_the_same_seed_is_the_same_image_in_six_places(
    run, shipped, start, look, web, triton, function, tmp_path
):
    order = {"seed": SEED, "count": COUNT, "format": "zip"}
    ways = {}
    main(["sample", str(run), "--count", str(COUNT), "--seed", str(SEED), "--out", str(tmp_path / "all")])
    ways["command line"] = np.stack(
        [np.asarray(Image.open(path)) for path in sorted((tmp_path / "all").iterdir())]
    )
    ways["Python"] = to_bytes(Sampler.load(run, device="cpu")(COUNT, seed=SEED).numpy())[:, 0]
    with start(shipped) as server:
        request = urllib.request.Request(f"{server.url}/v1/images", json.dumps(order).encode())
        ways["HTTP"] = images(urllib.request.urlopen(request).read())
    ways["Triton"] = to_bytes(ask_triton(triton, shipped))[:, 0]
    with function() as (call, _):
        ways["Lambda"] = images(base64.b64decode(call(order)["body"]))
    seen = np.array(look(web, SEED)["samples"], np.float32).reshape(5, *shipped.shape)
    ways["browser"] = to_bytes(seen)[:, 0]
    first = ways["command line"].astype(int)
    assert first.std() > 20  # they are images
    assert first.shape == (COUNT, *shipped.shape[1:])
    for way, drawn in ways.items():
        assert len(drawn) == (5 if way == "browser" else COUNT)
        assert np.abs(first[: len(drawn)] - drawn).max() <= 1, way


def ask_triton(address, artifact):
    points, labels = draw_latents(COUNT, artifact.latent_dim, SEED), np.arange(COUNT) % len(artifact.classes)
    asked = [
        tritonclient.http.InferInput("latents", points.shape, "FP32"),
        tritonclient.http.InferInput("labels", (COUNT, 1), "INT64"),
    ]
    asked[0].set_data_from_numpy(points)
    asked[1].set_data_from_numpy(labels[:, None])
    with tritonclient.http.InferenceServerClient(address) as client:
        return client.infer("generator", asked).as_numpy("samples")


# ----------------------------------------------------------------------------------------- Lambda


@pytest.mark.slow
def test_a_function_answers_cold_and_warm_and_after_errors(function, shipped):
    with function() as (call, log):
        for order in ({"seed": 3, "count": 4}, {"seed": 4}, {"seed": 3, "count": 4, "format": "webp"}):
            answer = call(order)
            assert answer["statusCode"] == 200
            expected = draw(
                shipped.runtime(), shipped.latent_dim, ImageRequest(**order), classes=shipped.classes
            )
            got = base64.b64decode(answer["body"])
            assert np.abs(opened(got).astype(int) - opened(expected)).max() <= 1
        for order, said in (({"seed": "x"}, "seed must be"), ([], "not a list"), ({"count": 65}, "[1, 64]")):
            answer = call(order)
            assert answer["statusCode"] == 400
            assert said in json.loads(base64.b64decode(answer["body"]))["error"]
        assert call({})["statusCode"] == 200
        assert "Traceback" not in log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("packed", [True, False])
def test_a_function_understands_http(function, packed):
    order = json.dumps({"seed": 3, "format": "webp"})
    body = base64.b64encode(order.encode()).decode() if packed else order
    with function() as (call, _):
        answer = call({"requestContext": {}, "body": body, "isBase64Encoded": packed})
        assert (answer["statusCode"], answer["headers"]) == (200, {"Content-Type": "image/webp"})
        assert call({"requestContext": {}, "body": "{", "isBase64Encoded": False})["statusCode"] == 400
        assert call({"requestContext": {}})["statusCode"] == 200


@pytest.mark.slow
def test_a_function_recovers_from_a_defect_and_from_its_time_limit(function, tmp_path):
    """The handler is the real one; what goes wrong is put before it."""
    (tmp_path / "before.py").write_text(
        "import time\n"
        "from handler import handler as real\n"
        "def handler(event, context):\n"
        "    if event.get('do') == 'fail':\n"
        "        raise RuntimeError('a defect')\n"
        "    if event.get('do') == 'sleep':\n"
        "        time.sleep(30)\n"
        "    return real(event, context)\n"
    )
    with function("before.handler", seconds=8, more=tmp_path) as (call, _):
        assert call({"seed": 1})["statusCode"] == 200
        assert call({"do": "fail"})["errorType"] == "RuntimeError"
        assert call({"seed": 1})["statusCode"] == 200
        assert "timed out" in str(call({"do": "sleep"}))
        assert call({"seed": 1})["statusCode"] == 200


def test_an_archive_stays_within_the_limits_of_lambda(archive, shipped, tmp_path, monkeypatch):
    size = archive.stat().st_size
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        assert sum(entry.file_size for entry in packed.infolist()) < 250 * 10**6
        assert size < 50 * 10**6
    assert {"handler.py", "artifact/artifact.json", "wgan/artifact.py"} <= set(names)
    assert not any(name.startswith(("torch/", "numpy/_core/tests/")) for name in names)
    (tmp_path / "zip").mkdir()
    (tmp_path / "zip" / "file").write_bytes(b"x" * 1000)
    monkeypatch.setattr(
        aws_lambda, "_install", lambda folder, python: (folder / "large").write_bytes(b"0" * 1000)
    )
    monkeypatch.setattr(aws_lambda, "MAX_UNPACKED", 1000)
    with pytest.raises(InputError, match="Lambda takes under"):
        aws_lambda.layout(shipped.path, tmp_path / "out")
    assert not (tmp_path / "out" / "function.zip").exists()


# ----------------------------------------------------------------------------------------- Triton


@pytest.mark.parametrize("backend", ["onnxruntime", "python"])
@pytest.mark.parametrize("which", ["artifact", "points"])
def test_a_configuration_is_one_to_triton(request, which, backend):
    artifact = request.getfixturevalue(which)
    read = text_format.Parse(triton.config(artifact, backend), protobuf.ModelConfig())
    assert (read.name, read.backend, read.max_batch_size) == ("generator", backend, 64)
    assert read.HasField("dynamic_batching")
    assert [(tensor.name, list(tensor.dims)) for tensor in read.output] == [("samples", list(artifact.shape))]
    latent, *labels = read.input
    assert (latent.name, latent.data_type, list(latent.dims)) == (
        "latents",
        protobuf.TYPE_FP32,
        [artifact.latent_dim],
    )
    assert len(labels) == (artifact.classes is not None)
    for label in labels:
        assert (label.name, label.data_type, list(label.dims)) == ("labels", protobuf.TYPE_INT64, [1])
        assert label.HasField("reshape")
        assert list(label.reshape.shape) == []


def test_a_configuration_fits_the_model(artifact, tmp_path):
    import onnx

    triton.layout(artifact.path, tmp_path)
    model = onnx.load(tmp_path / "onnx" / "generator" / "1" / "model.onnx")
    read = text_format.Parse((tmp_path / "onnx/generator/config.pbtxt").read_text(), protobuf.ModelConfig())

    def sides(tensors):
        return {t.name: [side.dim_value for side in t.type.tensor_type.shape.dim[1:]] for t in tensors}

    assert sides(model.graph.input) == {
        tensor.name: list(tensor.reshape.shape) if tensor.HasField("reshape") else list(tensor.dims)
        for tensor in read.input
    }
    assert sides(model.graph.output) == {tensor.name: list(tensor.dims) for tensor in read.output}


# -------------------------------------------------------------------------------------- the browser


def test_a_runtime_is_kept_whole_or_not_at_all(tmp_path):
    """What was cut off would be found again, and refused, at every later export."""
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as packed:
        for size, name in enumerate(web.RUNTIME, start=1):
            (tmp_path / "file").write_bytes(b"x" * 1000 * size)
            packed.add(tmp_path / "file", f"package/dist/{name}")
    cache = tmp_path / "cache"
    with no_file_larger_than(2500), pytest.raises(StorageError):
        web._unpack(tmp_path / "package.tgz", cache)
    first, second, third = (cache / name for name in web.RUNTIME)
    assert sorted(cache.iterdir()) == sorted([first, second])
    assert (first.stat().st_size, second.stat().st_size) == (1000, 2000)
    web._unpack(tmp_path / "package.tgz", cache)
    assert third.stat().st_size == 3000


# ------------------------------------------------------------------------------------------- all


@pytest.mark.parametrize("target", [web, triton, aws_lambda])
def test_a_folder_that_is_no_artifact_is_refused(target, tmp_path):
    with pytest.raises(InputError, match="not an artifact"):
        target.layout(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def opened(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)

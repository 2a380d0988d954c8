"""A real server and the clients that people have: tritonclient, a browser's requests, Prometheus."""

import io
import json
import urllib.request
import zipfile
from urllib.error import HTTPError

import numpy as np
import pytest
import tritonclient.http as triton
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.utils import InferenceServerException

from wgan.image_requests import ImageRequest, draw
from wgan.images import to_bytes, to_image
from wgan.latents import draw_latents


def ask(server, path, order=None, **headers):
    """Status, headers and body of an answer."""
    body = None if order is None else json.dumps(order).encode()
    request = urllib.request.Request(server.url + path, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def opened(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def inputs(points, labels, *, binary=True):
    """What tritonclient sends."""
    asked = [
        triton.InferInput("latents", points.shape, "FP32"),
        triton.InferInput("labels", labels.shape, "INT64"),
    ]
    for tensor, values in zip(asked, (points, labels), strict=True):
        tensor.set_data_from_numpy(values, binary_data=binary)
    return asked


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.address) as connected:
        yield connected


# ----------------------------------------------------------------- the Open Inference Protocol


@pytest.mark.slow
def test_tritonclient_finds_what_the_model_is(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("generator")
    assert client.is_model_ready("generator", "1")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    said = client.get_model_metadata("generator", model_version="1")
    assert said["inputs"] == [
        {"name": "latents", "datatype": "FP32", "shape": [-1, 7]},
        {"name": "labels", "datatype": "INT64", "shape": [-1]},
    ]
    assert said["outputs"] == [{"name": "samples", "datatype": "FP32", "shape": [-1, 3, 8, 16]}]
    assert not client.is_model_ready("another")


@pytest.mark.slow
@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("outputs", [None, True, False])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_tritonclient_gets_what_the_artifact_makes(client, artifact, sent, outputs, packed):
    points, labels = draw_latents(20, 7, 3), np.arange(20) % 3  # more than a batch
    wanted = None if outputs is None else [triton.InferRequestedOutput("samples", binary_data=outputs)]
    got = client.infer(
        "generator",
        inputs(points, labels, binary=sent),
        outputs=wanted,
        request_id="mine",
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
        timeout=10**6,
    )
    assert got.get_response()["id"] == "mine"
    np.testing.assert_allclose(got.as_numpy("samples"), artifact.runtime()(points, labels), atol=1e-6)


@pytest.mark.slow
def test_many_at_once_get_each_their_own(server, artifact):
    with triton.InferenceServerClient(server.address, concurrency=16) as client:
        asked = [draw_latents(1 + seed % 5, 7, seed) for seed in range(64)]
        labels = [np.full(len(points), seed % 3) for seed, points in enumerate(asked)]
        waiting = [
            client.async_infer("generator", inputs(points, kinds, binary=seed % 2 == 0))
            for seed, (points, kinds) in enumerate(zip(asked, labels, strict=True))
        ]
        run = artifact.runtime()
        for points, kinds, one in zip(asked, labels, waiting, strict=True):
            np.testing.assert_allclose(one.get_result().as_numpy("samples"), run(points, kinds), atol=1e-6)


@pytest.mark.parametrize(
    ("points", "labels", "said"),
    [
        (np.zeros((2, 6), np.float32), np.zeros(2, np.int64), "must have the shape [N, 7]"),
        (np.zeros((33, 7), np.float32), np.zeros(33, np.int64), "may ask for 32 samples, not 33"),
        (np.full((2, 7), np.nan, np.float32), np.zeros(2, np.int64), "must be numbers in [-1000, 1000]"),
        (np.zeros((2, 7), np.float32), np.zeros(3, np.int64), "need labels of shape [2]"),
        (np.zeros((2, 7), np.float32), np.array([0, 3]), "must be in [0, 3)"),
    ],
)
def test_tritonclient_is_told_what_is_wrong(client, points, labels, said):
    with pytest.raises(InferenceServerException) as refused:
        client.infer("generator", inputs(points, labels))
    assert refused.value.status() == "400"
    assert said in refused.value.message()


# ------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("form", ["png", "webp"])
@pytest.mark.parametrize("count", [1, 7])
def test_a_seed_is_a_image(server, artifact, form, count):
    order = {"seed": 2**64 - 1, "count": count, "label": "dog", "truncation": 0.5, "format": form}
    status, headers, body = ask(server, "/v1/images", order)
    assert (status, headers["Content-Type"]) == (200, f"image/{form}")
    expected = draw(artifact.runtime(), 7, ImageRequest(**order), classes=artifact.classes)
    np.testing.assert_array_equal(opened(body), opened(expected))
    if count == 1:
        (sample,) = artifact.runtime()(draw_latents(1, 7, 2**64 - 1) * np.float32(0.5), [1])
        np.testing.assert_array_equal(opened(body), to_bytes(sample).transpose(1, 2, 0))


def test_a_zip_holds_the_first_of_any_count_in_turns_of_the_classes(server, artifact):
    _, headers, body = ask(server, "/v1/images", {"seed": 5, "count": 20, "format": "zip"})
    assert headers["Content-Type"] == "application/zip"
    samples = artifact.runtime()(draw_latents(32, 7, 5), np.arange(32) % 3)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.namelist() == [f"{index:05d}.png" for index in range(20)]
        for name, sample in zip(archive.namelist(), samples, strict=False):
            np.testing.assert_array_equal(opened(archive.read(name)), np.asarray(to_image(sample)))
    assert ask(server, "/v1/images", {"seed": 5, "count": 20, "format": "zip"})[2] == body


@pytest.mark.parametrize(("label", "number"), [("1", 2), (1, 2), (0, 0), ("dog", 1)])
def test_a_class_is_called_by_its_name_or_else_its_number(server, artifact, label, number):
    body = ask(server, "/v1/images", {"label": label})[2]
    (sample,) = artifact.runtime()(draw_latents(1, 7, 0), [number])
    np.testing.assert_array_equal(opened(body), np.asarray(to_image(sample)))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"seed": -1}, "seed must be a whole number in [0, 2^64), not -1."),
        ({"seed": 2**64}, "seed must be a whole number in [0, 2^64), not a number of more than 64 bits."),
        ({"seed": True}, "seed must be a whole number in [0, 2^64), not True."),
        ({"seed": float("nan")}, "The body is not JSON: NaN is no number of JSON's."),
        ({"count": 33}, "count must be a whole number in [1, 32], not 33."),
        ({"count": [1]}, "count must be a whole number in [1, 32], not a list."),
        ({"truncation": 0}, "truncation must be a number in (0, 1], not 0."),
        ({"label": "cow"}, "There is no class 'cow': give a name (cat, dog, 1) or a number in [0, 3)."),
        ({"label": {}}, "label must be a class's name or number, not an object."),
        ({"format": "gif"}, "format must be one of png, webp, zip, not 'gif'."),
        ({"sede": 1}, "An image request has no 'sede'; it has seed, count, label, truncation, format."),
        ([], "An image request is a JSON object, not a list."),
    ],
)
def test_a_wrong_image_request_is_refused_in_one_sentence(server, order, said):
    status, _, body = ask(server, "/v1/images", order)
    assert (status, json.loads(body)) == (400, {"error": said})


@pytest.mark.slow
def test_vectors_are_a_scatter_and_no_zip(points, start):
    with start(points) as server:
        status, _, body = ask(server, "/v1/images", {"count": 100})
        assert status == 200
        assert opened(body).shape == (400, 400, 3)
        status, _, body = ask(server, "/v1/images", {"format": "zip"})
        assert status == 400
        assert "no image" in json.loads(body)["error"]


# --------------------------------------------------------------------------- the rest of a service


def test_what_is_not_there_is_refused_in_the_same_shape(server):
    assert ask(server, "/v2/models/another")[0] == 404
    for path, order, status in [("/nothing", None, 404), ("/v1/images", None, 405), ("/v2/", None, 404)]:
        found, headers, body = ask(server, path, order)
        assert (found, headers["Content-Type"]) == (status, "application/json")
        assert list(json.loads(body)) == ["error"]


@pytest.mark.slow
def test_the_meters_count(artifact, start):
    with start(artifact) as server:
        for order in ({"count": 3}, {"count": 4}, {"count": 0}):
            ask(server, "/v1/images", order)
        ask(server, "/a/path/of/a/clients/own")
        said = ask(server, "/metrics")[2].decode()
    read = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(said)
        for sample in family.samples
    }
    assert read["wgan_requests_total", "/v1/images", "200"] == 2
    assert read["wgan_requests_total", "/v1/images", "400"] == 1
    assert read["wgan_requests_total", "other", "404"] == 1
    assert read["wgan_request_seconds_count", "/v1/images"] == 3
    assert read["wgan_batch_samples_sum",] == 7
    assert read["wgan_waiting_samples",] == 0
    assert "clients/own" not in said


@pytest.mark.slow
def test_a_token_is_needed_for_all_but_the_empty_page_and_health(artifact, start):
    with start(artifact, token="søsam") as server:
        for path in ("/", "/demo.js", "/v2/health/live", "/v2/health/ready"):
            status, _, body = ask(server, path)
            assert status == 200
            assert "søsam".encode() not in body
        for path in ("/metrics", "/v1/model", "/openapi.json", "/v2", "/v2/models/generator", "/nothing"):
            for given in (
                {},
                {"Authorization": "Bearer sam"},
                {"Authorization": "søsam".encode().decode("latin-1")},
            ):
                status, headers, body = ask(server, path, **given)
                assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
                assert list(json.loads(body)) == ["error"]
        right = {"Authorization": "Bearer søsam".encode().decode("latin-1")}
        assert ask(server, "/v1/images", {}, **right)[0] == 200
        assert ask(server, "/metrics", **right)[0] == 200

"""Nonsense gets a 4xx with one clear sentence: what is wrong by construction, and what schemathesis tries."""

import json
from collections import Counter
from contextlib import closing, suppress

import numpy as np
import pytest
import schemathesis
from benchmarks.malformed import Client, attack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from wgan.errors import InputError
from wgan.serving import protocol

SIGNATURE = protocol.ModelSignature(3, (2,), 4, 8)


@pytest.mark.slow
def test_wrong_requests_are_refused_in_one_sentence(server):
    with closing(Client(*server.place)) as client:
        attack(client, 300)


@pytest.mark.slow
@pytest.mark.parametrize("mode", GenerationMode)
def test_a_server_is_as_its_schema_says(server, mode):
    """Right and wrong cases that schemathesis makes of the OpenAPI document that is served."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    checks = [not_a_server_error, response_schema_conformance, status_code_conformance]
    statuses = Counter()
    for found in schema.get_all_operations():

        @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=found.ok().as_strategy(generation_mode=mode))
        def each(case):
            statuses[case.call_and_validate(checks=checks).status_code // 100] += 1

        with suppress(Unsatisfiable):  # what has no parameters cannot be asked wrongly
            each()
    assert statuses.keys() <= {2, 4}
    assert statuses[2 if mode == GenerationMode.POSITIVE else 4] > 10, statuses
    with closing(Client(*server.place)) as client:
        client.check_alive()


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(
            st.lists(
                st.lists(st.floats(-1000, 1000, width=32), min_size=3, max_size=3), min_size=n, max_size=n
            ),
            st.lists(st.integers(0, 3), min_size=n, max_size=n),
        )
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_what_is_written_is_read(given_values, nested, binary, wide):
    """Latents and labels come out as they went in, in each way to write them."""
    points, labels = np.array(given_values[0], np.float32), np.array(given_values[1])
    tensors = [("latents", "FP32", points), ("labels", "INT64", labels[:, None] if wide else labels)]
    inputs, raw = [], b""
    for name, datatype, values in tensors:
        one = {"name": name, "datatype": datatype, "shape": list(values.shape)}
        if binary:
            one["parameters"] = {"binary_data_size": values.nbytes}
            raw += values.tobytes()
        else:
            one["data"] = values.tolist() if nested else values.reshape(-1).tolist()
        inputs.append(one)
    head = json.dumps({"inputs": inputs}).encode()
    read = protocol.parse_request(head + raw, str(len(head)), SIGNATURE)
    assert np.array_equal(read.latents, points)
    assert np.array_equal(read.labels, labels)
    assert not read.binary


@settings(max_examples=300)
@given(st.binary(max_size=300), st.none() | st.text(max_size=5) | st.integers(0, 300).map(str))
def test_bytes_of_any_kind_are_read_or_refused(body, length):
    with pytest.raises(InputError):
        protocol.parse_request(body, length, SIGNATURE)


def test_samples_that_are_no_numbers_are_not_written_as_json():
    asked = protocol.Inference(np.zeros((1, 3), np.float32), None, None, binary=False)
    with pytest.raises(InputError, match="not finite"):
        protocol.encode_response(np.full((1, 2), np.nan, np.float32), asked)

"""`wgan distil`, `export`, `verify` and `bench`, one after the other on a run."""

import json
import shlex

import numpy as np
import pytest

from wgan.artifact import Artifact
from wgan.cli import main
from wgan.sampling import Sampler

TINY = (
    "networks:mlp --networks.latent-dim 3 --networks.generator-hidden 12 --networks.critic-hidden 8 "
    "--batch-size 8 --n-critic 1 --device cpu --logging.metrics 2"
)


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def refused(command, capfd):
    code = main(shlex.split(command))
    _, err = capfd.readouterr()
    assert err.startswith("wgan: ")
    assert len(err.splitlines()) == 1
    return code, err


@pytest.mark.slow
def test_from_a_run_to_the_edge(wgan, capfd, somewhere):
    wgan(f"train digits --out run --steps 4 {TINY}")
    _, err = wgan("distil run --size 0.25 --steps 4 --device cpu --out student")
    assert "Done: student." in err
    assert (somewhere / "student" / "report.html").is_file()
    hidden = json.loads((somewhere / "student" / "config.json").read_text())["generator"]["hidden"]
    assert hidden == [2]  # of 12, with at most a quarter of the weights

    out, err = wgan("export student --to onnx --out dist --count 200")
    said = Artifact.load("dist").provenance
    assert f"{said['quality']['before']:.5g} -> {said['quality']['after']:.5g}" in out
    assert "wgan serve dist" in err
    sampler = Sampler.load("student", device="cpu")
    samples = Artifact.load("dist").runtime()(sampler.latents(9))
    np.testing.assert_allclose(samples, sampler(9).numpy(), atol=1e-5)

    out, _ = wgan("verify dist")
    assert out.startswith("dist is intact and passes.")
    out, _ = wgan("bench dist --against run --batches 1,3 --seconds 0.01 --json")
    rows = json.loads(out)["latency"]
    assert [(row["name"], row["batch"]) for row in rows] == [("dist", 1), ("run", 1), ("dist", 3), ("run", 3)]
    assert all(row["p50"] > 0 for row in rows)
    out, _ = wgan("bench dist --batches 2 --seconds 0.01")
    assert "p99 ms" in out

    code, err = refused("verify dist --gate 0.5", capfd)
    assert code == 1
    assert "gate of 0.5" in err
    code, err = refused("export student --to onnx --gate 0.5 --count 200 --out other", capfd)
    assert code == 1
    code, err = refused("export student --to onnx --gate 0 --out other", capfd)
    assert (code, "gate must be" in err) == (2, True)
    assert not (somewhere / "other").exists()
    (somewhere / "dist" / "model.onnx").write_bytes(b"")
    for command in ("verify dist", "bench dist"):
        code, err = refused(command, capfd)
        assert code == 2
        assert "SHA-256" in err


REFUSED = {
    "export nothing --to onnx --out dist": "is not a run folder",
    "export nothing --to torch --out dist": "--to",
    "verify nothing": "is not an artifact",
    "bench nothing": "is not an artifact",
    "bench nothing --batches 1,x": "--batches takes whole numbers",
    "bench nothing --batches 0": "at least 1",
    "bench nothing --batches 100000": "Batches must be in",
    "bench nothing --seconds nan": "seconds in",
    "bench nothing --threads 0": "threads must be",
    "distil nothing --out student": "is not a run folder",
    "distil nothing --out student --size 2": "in (0, 1)",
    "distil nothing --out student --monitor pigeon": "no monitor 'pigeon'",
}


@pytest.mark.parametrize("command", REFUSED)
def test_bad_input_is_one_sentence(command, capfd, somewhere):
    code, err = refused(command, capfd)
    assert code == 2
    assert REFUSED[command] in err
    assert [*somewhere.iterdir()] == []

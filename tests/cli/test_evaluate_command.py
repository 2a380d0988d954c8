"""`wgan evaluate`, `compare` and `classifier` do what they say."""

import dataclasses
import io
import json
import re
import shlex
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from wgan.cli import main
from wgan.data import digits
from wgan.metrics import Classifier
from wgan.wasserstein.bracket import Bracket

TINY = (
    "networks:mlp --networks.latent-dim 2 --networks.generator-hidden 4 --networks.critic-hidden 4 "
    "--batch-size 4 --n-critic 1 --device cpu --logging.checkpoint 2"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs on digits, and a classifier."""
    folder = tmp_path_factory.mktemp("made")
    for name, steps in (("a", 4), ("b", 6)):
        assert main(shlex.split(f"train digits --out {folder / name} --steps {steps} {TINY}")) == 0
    judge = folder / "judge.safetensors"
    assert main(shlex.split(f"classifier digits --steps 60 --device cpu --out {judge}")) == 0
    return folder


@pytest.fixture
def somewhere(made, tmp_path, monkeypatch):
    """Every command runs in a copy of it, on a terminal of 80 columns."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


@pytest.mark.slow
def test_a_run_is_measured_by_all_that_applies_and_told_with_its_provenance(wgan):
    out, err = wgan("evaluate a")
    assert err == ""
    assert out.startswith("a after 4 steps\n")
    for label in ("FD", "KID", "precision", "recall", "density", "coverage"):
        assert re.search(rf"^  {label} +-?[\d.]+(e-\d+)?( ± \S+)? +floor -?\d", out, re.MULTILINE), label
    assert re.search(r"^  memorisation .* floor 0\.06624 ± 0\.035$", out, re.MULTILINE)
    assert re.search(r"^  [\d.]+ <= W1 <= [\d.]+ \(99 %\)$", out, re.MULTILINE)
    mark = digits().fingerprint[:12]
    assert re.search(
        rf"\[n = 1,618 real, 179 fake; pixels \w{{8}}, resize: none; digits {mark}, train; wgan .*torch ", out
    )
    assert f"digits {mark}, held out" in out
    assert "FID" not in out
    kept = json.loads(Path("a/evaluation.json").read_text())["numbers"]
    assert [row["name"] for row in kept][:2] == ["w1", "fd"]
    assert {row["step"] for row in kept} == {4}


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(wgan):
    out, err = wgan("evaluate a --metrics fd,pr,memorisation --count 100 --json")
    assert err == ""
    assert out.count("\n") == 1
    found = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    assert (found["samples"], found["step"]) == ("a", 4)
    assert found["numbers"].keys() == {"fd", "precision", "recall", "memorisation"}
    for name, number in found["numbers"].items():
        assert number.keys() == {"label", "step", "value", "standard_error", "floor", "provenance"}
        assert number["provenance"]["metric"] == name
        assert number["provenance"]["n_fake"] == 100
    assert found["numbers"]["fd"]["floor"].keys() == {"value", "standard_error"}
    assert found["numbers"]["precision"]["standard_error"] is None
    assert found["numbers"]["memorisation"]["floor"]["value"] >= 0


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_notes_do_not_reach_the_json(wgan):
    for command in ("evaluate a --metrics fd,pr --count 15 --json", "compare a --json"):
        out, err = wgan(command)
        assert isinstance(json.loads(out), dict)
        assert out.count("\n") == 1
        assert ("balls around them mean little" in err) == command.startswith("evaluate")


@pytest.mark.slow
def test_an_audit_is_one_object_too(wgan):
    rng = np.random.default_rng(0)
    for name, shift in (("p", 0), ("q", 3)):
        np.save(f"{name}.npy", rng.normal((shift, 0), size=(200, 2)))
    out, err = wgan("audit p.npy q.npy --minutes 0.001 --json")
    assert (err, out.count("\n")) == ("", 1)
    found = json.loads(out)
    assert found.keys() == {field.name for field in dataclasses.fields(Bracket)}
    assert 0 <= found["lower"] <= 3 <= found["upper"]
    assert (found["confidence"], found["n_p"], found["n_q"]) == (0.99, 200, 200)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_sees_how_far_it_is_and_the_output_is_the_same(wgan, monkeypatch):
    command = "evaluate a --metrics fd,kid --count 70"
    quiet, _ = wgan(command)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    shown, _ = wgan(command)
    assert shown == quiet
    assert "kid" in terminal.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("out", ["x.npz", "images"])
def test_a_sample_set_needs_no_run_and_leaves_nothing(wgan, out):
    wgan(f"sample a --count 100 --out {out} --device cpu")
    before = {path for path in Path().rglob("*") if ".cache" not in path.parts}
    told, _ = wgan(f"evaluate {out} --against digits --metrics fd,kid --count 100")
    assert told.startswith(f"{out} against digits\n")
    ours, _ = wgan("evaluate a --metrics fd,kid --count 100 --json --device cpu")
    theirs = re.search(r"FD +([\d.]+)", told)[1]
    # Files of images hold bytes, which are no further from the samples than half a level.
    assert float(theirs) == pytest.approx(json.loads(ours)["numbers"]["fd"]["value"], rel=0.02)
    after = {path for path in Path().rglob("*") if ".cache" not in path.parts}
    assert after - before == {Path("a/evaluation.json")}


def test_any_two_sets_of_vectors(wgan):
    rng = np.random.default_rng(0)
    np.save("p.npy", rng.normal(size=(300, 2)))
    np.savez("q.npz", samples=rng.normal(size=(300, 2)) + 3)
    out, _ = wgan("evaluate p.npy --against q.npz --json")
    found = json.loads(out)
    assert found["step"] is None
    assert found["numbers"].keys() == {"fd", "kid", "precision", "recall", "density", "coverage"}
    assert found["numbers"]["fd"]["value"] == pytest.approx(18, rel=0.2)


def test_a_frechet_distance_below_the_width_is_noted_and_has_its_floor(wgan):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        out, err = wgan("evaluate a --metrics fd --count 20")
    assert re.match(r"wgan: note: A Frechet distance of 1618 real and 20 fake samples in 64 dimensions", err)
    assert "floor unknown" not in out


def test_a_classifier_is_trained_and_judges(wgan):
    out, _ = wgan("classifier digits --steps 30 --device cpu --out new/judge.safetensors")
    accuracy = Classifier.load("new/judge.safetensors").accuracy
    assert f"Held-out accuracy {100 * accuracy:.1f} % (179 images of 10 classes).\n" in out
    assert "Next: wgan evaluate RUN --extractor new/judge.safetensors" in out
    out, _ = wgan("evaluate a --extractor judge.safetensors --metrics fd,modes")
    assert "classifier " in out
    assert re.search(r"^  modes +\d+ ± ", out, re.MULTILINE)
    assert [row["name"] for row in json.loads(Path("a/evaluation.json").read_text())["numbers"]] == (
        ["fd", "modes", "effective_modes", "reverse_kl", "kl"]
    )


@pytest.mark.slow
def test_runs_stand_beside_each_other(wgan):
    for name in "ab":
        wgan(f"evaluate {name} --metrics fd,kid,pr,dc")
    wgan("evaluate a --metrics fd --extractor judge.safetensors")
    wgan("evaluate b --metrics memorisation")
    out, err = wgan("compare a b")
    assert err == "wgan: note: Left out, for not every run has them: memorisation.\n"
    assert "…" not in out
    tables = [line.split() for line in out.splitlines()]
    heads = [words[2:] for words in tables if words[:2] == ["run", "steps"]]
    assert heads == [["FD", "KID", "precision", "recall"], ["density", "coverage"]]
    assert [words[:2] for words in tables if words[:1] in (["a"], ["b"])] == 2 * [["a", "4"], ["b", "6"]]
    assert out.count("floor") == 2
    assert out.count("[n = 1,618 real, 179 fake; pixels") == 1
    kept = {name: json.loads(Path(name, "evaluation.json").read_text())["numbers"] for name in "ab"}
    found = json.loads(wgan("compare a b --metrics fd --json")[0])["numbers"]
    assert [number["name"] for number in found] == ["fd"]
    assert found[0]["provenance"] == kept["a"][0]["provenance"] == kept["b"][0]["provenance"]
    assert {run: number["value"] for run, number in found[0]["runs"].items()} == {
        run: rows[0]["value"] for run, rows in kept.items()
    }
    both = json.loads(wgan("compare a b --metrics pr --json")[0])["numbers"]
    assert [number["name"] for number in both] == ["precision", "recall"]


def test_a_run_that_went_on_says_so(wgan):
    wgan("evaluate a --metrics fd")
    with_more = TINY + " --decay constant"
    wgan(f"train digits --out c --steps 2 {with_more}")
    wgan("evaluate c --metrics fd")
    wgan(f"train digits --out c --steps 4 {with_more}")
    out, err = wgan("compare a c")
    assert err == "wgan: note: c went on to step 4 since; `wgan evaluate c` measures it there.\n"
    assert re.search(r"^ *c +2 ", out, re.MULTILINE)


@pytest.mark.slow
def test_w1_of_runs_stands_beside_each_other(wgan):
    for name in "ab":
        wgan(f"evaluate {name} --metrics w1")
    out, _ = wgan("compare a b")
    assert len(re.findall(r"[\d.]+ <= W1 <= [\d.]+ \(99 %\)", out)) == 2
    (found,) = json.loads(wgan("compare a b --json")[0])["numbers"]
    assert found["runs"]["a"]["lower"] <= found["runs"]["a"]["upper"]


def test_numbers_that_cannot_be_kept_are_told_nevertheless(somewhere, capfd):
    Path("a/evaluation.json").mkdir()
    assert main(["evaluate", "a", "--metrics", "fd"]) == 2
    out, err = capfd.readouterr()
    assert re.search(r"^  FD +\d", out, re.MULTILINE)
    assert err.startswith("wgan: Cannot write a/evaluation.json: ")

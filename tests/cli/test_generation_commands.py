"""`wgan interpolate`, `directions` and `invert` do what they say, and `wgan sample` takes what they leave."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wgan.cli import main
from wgan.generation import slerp
from wgan.latents import draw_latents
from wgan.runs import RunFolder
from wgan.sampling import Sampler

TINY = (
    "networks:mlp --networks.latent-dim 4 --networks.generator-hidden 8 --networks.critic-hidden 8 "
    "--batch-size 8 --n-critic 1 --device cpu --ema 0.5 --steps 6"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run on digits, one with labels, one on vectors and one with attributes."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    np.savez(folder / "sized.npz", samples=points, labels=np.linalg.norm(points, axis=1))
    for name, dataset in {
        "digits": "digits",
        "labelled": "digits --conditional",
        "points": "ring8",
        "sized": f"{folder / 'sized.npz'} --conditional",
    }.items():
        assert main(shlex.split(f"train {dataset} --out {folder / name} {TINY}")) == 0
    return folder


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    """Every command runs in an empty folder, on a wide terminal, with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


@pytest.fixture
def refused(somewhere, capfd):
    """Runs a command that has to be refused; returns what it says."""

    def refuse(command):
        code = main(shlex.split(command))
        out, err = capfd.readouterr()
        assert (code, out) == (2, "")
        assert re.fullmatch(r"wgan: [^\n]*\.\n", err)
        return err

    return refuse


def arrays(path):
    with np.load(path) as archive:
        return dict(archive)


# wgan interpolate


@pytest.mark.slow
def test_a_walk_from_seed_to_seed(wgan, made):
    assert wgan(f"interpolate {made / 'digits'} --from-seed 1 --to-seed 2 --frames 5 --out x.npz") == ("", "")
    walk = arrays("x.npz")
    assert set(walk) == {"samples", "latents"}
    assert walk["samples"].shape == (1, 5, 1, 8, 8)
    assert np.array_equal(walk["latents"][0, [0, -1]], [draw_latents(1, 4, 1)[0], draw_latents(1, 4, 2)[0]])


@pytest.mark.slow
def test_the_pace_of_latents_is_that_of_slerp(wgan, made):
    wgan(f"interpolate {made / 'digits'} --to-seed 2 --frames 5 --count 3 --pace latent --out x.npz")
    expected = slerp(draw_latents(3, 4, 0), draw_latents(3, 4, 2), np.linspace(0, 1, 5))
    np.testing.assert_allclose(arrays("x.npz")["latents"], expected, rtol=1e-6)


@pytest.mark.parametrize("run", ["digits", "labelled", "points"])
def test_a_walk_as_an_animation_and_as_a_strip(wgan, made, run):
    wgan(f"interpolate {made / run} --to-seed 2 --count 2 --frames 6 --seconds 0.3 --out deep/x.gif")
    with Image.open("deep/x.gif") as image:
        assert image.n_frames == 6
        assert image.info["duration"] == 300
    wgan(f"interpolate {made / run} --to-seed 2 --count 2 --frames 6 --out x.png")
    with Image.open("x.png") as image:
        assert image.mode == "RGB" if run == "points" else image.width > 2 * image.height


def test_a_walk_between_labels_keeps_its_latent(wgan, made):
    wgan(f"interpolate {made / 'labelled'} --from-label 3 --to-label 8 --frames 4 --out x.npz")
    walk = arrays("x.npz")
    assert np.ptp(walk["latents"], axis=1).max() == 0
    assert np.array_equal(walk["labels"][0, [0, -1]], np.eye(10)[[3, 8]])


def test_a_walk_between_attributes(wgan, made):
    wgan(f"interpolate {made / 'sized'} --from-label 1 --to-label=2.5 --frames 4 --out x.npz")
    np.testing.assert_allclose(arrays("x.npz")["labels"][0, [0, -1], 0], [1, 2.5])


def test_a_walk_from_kept_latents_to_others(wgan, made):
    run = made / "labelled"
    wgan(f"sample {run} --count 4 --seed 5 --out a.npz")
    wgan(f"sample {run} --count 2 --seed 6 --label 7 --out b.npz")
    wgan(f"interpolate {run} --from-latents a.npz --to-latents b.npz --count 2 --frames 3 --out x.npz")
    walk, start, end = (arrays(name) for name in ("x.npz", "a.npz", "b.npz"))
    assert np.array_equal(walk["latents"][:, 0], start["latents"][:2])
    assert np.array_equal(walk["latents"][:, -1], end["latents"])
    assert np.array_equal(walk["labels"][:, 0].argmax(1), start["labels"][:2])
    assert np.array_equal(walk["labels"][:, -1].argmax(1), [7, 7])


def test_a_walk_that_cannot_be(refused, made):
    run = made / "digits"
    np.savez("one.npz", latents=np.zeros((1, 4)))
    for options, told in {
        "--out x.gif": "Give the end of the interpolation: --to-seed, --to-latents or --to-label",
        "--to-seed 1 --out x.mp4": "Cannot write a walk as x.mp4",
        "--to-seed 1 --frames 1 --out x.gif": "frames must be a whole number of at least 2",
        "--to-seed 1 --count 0 --out x.gif": "count must be a whole number of at least 1",
        "--to-seed -1 --out x.gif": "a seed in [0, 2^64)",
        "--to-seed 1 --to-latents one.npz --out x.gif": "Give --to-seed or --to-latents, not both",
        "--from-seed 0 --from-latents one.npz --to-seed 1 --out x.gif": "Give --from-seed or",
        "--to-latents gone.npz --out x.gif": "gone.npz cannot be read as a .npz file",
        "--to-latents one.npz --count 2 --out x.gif": "holds 1 latent(s), and 2 interpolations need as many",
        "--to-label 3 --out x.gif": "has no classes",
        "--from-label 3 --to-seed 1 --out x.gif": "has no classes",
        "--to-seed 1 --pace slow --out x.gif": "--pace",
        "--to-seed 1 --seconds 0 --out x.gif": "seconds must be in [0.01, 600]",
    }.items():
        assert told in refused(f"interpolate {run} {options}")
    assert "is not a run folder" in refused("interpolate nowhere --to-seed 1 --out x.gif")
    assert "give 1 number" in refused(f"interpolate {made / 'sized'} --to-seed 1 --out x.npz")
    assert [path.name for path in Path().iterdir()] == ["one.npz"]


# wgan directions


def test_directions_are_kept_shown_and_moved_along(wgan, made):
    run = made / "digits"
    out, _ = wgan(f"directions {run} --count 3 --columns 5 --out x.png")
    assert out.startswith("3 directions, numbered from 0.\nNext: wgan sample ")
    with Image.open("x.png") as image:
        assert image.width > image.height
    kept = arrays(RunFolder(run).directions_file)
    assert kept["directions"].shape == (3, 4)
    assert kept["step"] == 6
    wgan(f"directions {run} --count 3 --out x.npz")
    assert all(np.array_equal(kept[name], array) for name, array in arrays("x.npz").items())
    wgan(f"sample {run} --count 5 --seed 2 --direction 1 --strength -2.5 --out moved.npz")
    moved = draw_latents(5, 4, 2) - np.float32(2.5) * kept["directions"][1]
    assert np.array_equal(arrays("moved.npz")["latents"], moved)
    np.testing.assert_allclose(
        arrays("moved.npz")["samples"], Sampler.load(run, device="cpu").from_latents(moved), atol=1e-6
    )


@pytest.mark.parametrize(
    ("run", "options"), [("labelled", ""), ("labelled", "--label 4"), ("points", ""), ("sized", "--label 2")]
)
def test_directions_of_any_run(wgan, made, run, options):
    wgan(f"directions {made / run} --out x.png {options}")
    assert arrays(made / run / "directions.npz")["directions"].shape == (4, 4)


def test_directions_that_cannot_be(refused, wgan, made):
    run = made / "digits"
    for options, told in {
        "--out x.gif": "Cannot write directions as x.gif; use a name that ends in .png or .npz",
        "--out x.png --count 0": "count must be a whole number of at least 1",
        "--out x.png --columns 1": "columns must be a whole number of at least 2",
        "--out x.png --strength nan": "a finite number, not nan",
        "--out x.png --label 3": "has no classes",
    }.items():
        assert told in refused(f"directions {run} {options}")
    (made / "digits" / "directions.npz").unlink(missing_ok=True)
    assert "has no directions yet; `wgan directions" in refused(f"sample {run} --direction 0 --out x.npz")
    wgan(f"directions {run} --out x.png")
    assert "There is no direction 4: 4 are known" in refused(f"sample {run} --direction 4 --out x.npz")
    assert "a finite number, not inf" in refused(f"sample {run} --direction 0 --strength inf --out x.npz")
    RunFolder(run).directions_file.write_text("no zip")
    assert "directions.npz cannot be read" in refused(f"sample {run} --direction 0 --out x.npz")


# wgan invert


def test_images_become_latents_and_latents_images(wgan, made):
    run = made / "labelled"
    wgan(f"sample {run} --count 3 --seed 9 --out given.npz")
    Image.new("RGB", (30, 50), "white").save("white.png")
    out, err = wgan(f"invert {run} white.png given.npz --steps 20 --out found.npz")
    assert err == ""
    assert re.match(r"white\.png: distance [\d.]+, as \d \(the nearest random sample: [\d.]+\)\n", out)
    assert re.search(r"^given\.npz: mean distance of 3 [\d.e-]+ \(", out, re.MULTILINE)
    assert "Next: wgan sample" in out
    found = arrays("found.npz")
    assert set(found) == {"latents", "samples", "distance", "labels"}
    given = np.concatenate([np.ones((1, 1, 8, 8)), arrays("given.npz")["samples"]])
    apart = np.linalg.norm((found["samples"] - given).reshape(4, -1), axis=1)
    np.testing.assert_allclose(found["distance"], apart, rtol=1e-4)
    wgan(f"sample {run} --latents found.npz --out again.npz")
    again = arrays("again.npz")
    np.testing.assert_allclose(again["samples"], found["samples"], atol=1e-6)
    assert np.array_equal(again["labels"], found["labels"])


def test_a_class_or_attributes_can_be_said(wgan, made):
    Image.new("L", (8, 8), 99).save("grey.png")
    wgan(f"invert {made / 'labelled'} grey.png --label 4 --steps 2 --out x.npz")
    assert np.array_equal(arrays("x.npz")["labels"], [4])
    np.save("points.npy", np.zeros((2, 3), np.float32))
    wgan(f"invert {made / 'sized'} points.npy --label 1.5 --steps 2 --out x.npz")
    assert np.array_equal(arrays("x.npz")["labels"], [[1.5], [1.5]])


def test_kept_latents_can_be_drawn_with_other_labels(wgan, made):
    run = made / "labelled"
    wgan(f"sample {run} --count 3 --seed 9 --out kept.npz")
    wgan(f"sample {run} --latents kept.npz --label 2 --truncation 0.5 --out x.npz")
    assert np.array_equal(arrays("x.npz")["labels"], [2, 2, 2])
    assert np.array_equal(arrays("x.npz")["latents"], draw_latents(3, 4, 9) * np.float32(0.5))
    wgan(f"sample {run} --latents kept.npz --label all --out x.npz")
    assert arrays("x.npz")["samples"].shape == (30, 1, 8, 8)


def test_what_is_no_image_is_said_in_a_sentence(refused, made):
    run = made / "digits"
    Path("song.png").write_text("la la la")
    Image.new("L", (8, 8)).save("black.png")
    np.save("flat.npy", np.zeros((2, 64), np.float32))
    np.savez("long.npz", latents=np.zeros((2, 9)))
    for words, told in {
        "--out x.npz": "IMAGE",
        "song.png --out x.npz": "song.png cannot be read as an image",
        "gone.png --out x.npz": "gone.png cannot be read as an image: No such file or directory",
        ". --out x.npz": "cannot be read as an image: Is a directory",
        "black.png song.png --out x.npz": "song.png cannot be read",
        "flat.npy --out x.npz": "holds an array of shape (2, 64)",
        "black.png --out x.png": "Cannot write latents as x.png; use a name that ends in .npz",
        "black.png --steps 0 --out x.npz": "steps must be a whole number of at least 1",
        "black.png --seed -1 --out x.npz": "a seed in [0, 2^64)",
        "black.png --label 1 --out x.npz": "has no classes",
    }.items():
        assert told in refused(f"invert {run} {words}"), words
    assert "makes no images but vectors" in refused(f"invert {made / 'points'} black.png --out x.npz")
    assert "do not fit a generator of latents (N, 4)" in refused(
        f"sample {run} --latents long.npz --out x.npz"
    )
    assert "truncation must be in (0, 1]" in refused(
        f"sample {run} --latents long.npz --truncation 2 --out x.npz"
    )
    np.savez("short.npz", latents=np.zeros((2, 4)))
    for other in ("--count 1", "--seed 0"):
        words = f"sample {run} --latents short.npz {other} --out x.npz"
        assert "Give --latents, or --count and --seed" in refused(words)
    assert not Path("x.npz").exists()

"""The commands do what they say."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from dataclasses import replace
from importlib.metadata import entry_points, version
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from wgan import data
from wgan.cli import COMMANDS, main
from wgan.cli.options import words
from wgan.cli.run_options import EVERYDAY, defaults
from wgan.images import grid, to_bytes
from wgan.latents import draw_latents
from wgan.lipschitz import (
    DRAGAN,
    R1,
    R2,
    GradientPenalty,
    LipschitzPenalty,
    MaxGradientPenalty,
    SpectralNormalisation,
    WeightClipping,
)
from wgan.networks import DCGAN, MLP, Condition, build
from wgan.runs import RunFolder, saved_steps, to_plain
from wgan.training import RECIPES, Adam, LoggingIntervals, RMSprop, Trainer, recipe

TINY = (
    "networks:mlp --networks.latent-dim 2 --networks.generator-hidden 4 --networks.critic-hidden 4 "
    "--batch-size 4 --n-critic 1 --device cpu --logging.metrics 2 --logging.images 2 --logging.checkpoint 2"
)


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """Every command runs in an empty folder, on a wide terminal, with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    return tmp_path


def config_of(folder):
    return RunFolder(Path(folder)).read_config()


def steps_of(folder):
    return [row["step"] for row in RunFolder(Path(folder)).history()]


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def image_folder(path, count=20, mode="RGB"):
    rng = np.random.default_rng(0)
    path.mkdir()
    for index in range(count):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path / f"{index:02}.png")
    return path


def subprocess_of(*words, **settings):
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    return subprocess.Popen(
        [sys.executable, *words],
        env=environment | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def ended(process):
    out, err = process.communicate()
    return process.returncode, out, err


# wgan


def test_help_lists_the_commands(wgan):
    for command in ("--help", "-h"):
        out, err = wgan(command)
        for name, text in COMMANDS.items():
            assert f"{name} " in out
            assert text in out
        assert err == ""


def test_no_command_at_all_is_help(wgan):
    assert wgan("")[0] == wgan("--help")[0]


def test_version(wgan):
    assert wgan("--version") == (f"wgan {version('wgan')}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(wgan, name):
    out, err = wgan(f"{name} --help")
    assert out.startswith(f"usage: wgan {name}")
    assert err == ""


def test_help_tells_the_settings_of_the_recipe(wgan):
    out, _ = wgan("train --recipe dcgan-clip --help-all")
    for option in ("DATA", "--minutes", "--n-critic", "--networks.kernel", "--constraint.c", "--dry-run"):
        assert option in out


@pytest.mark.parametrize("words", ["--help", "-h", "digits --recipe dcgan-clip --steps 3 --help"])
def test_help_shows_the_options_of_every_day_and_where_the_others_are(wgan, words):
    out, _ = wgan(f"train {words}")
    for option in EVERYDAY:
        assert ("DATA" if option == "data" else f"--{option}") in out
    for option in ("--n-critic", "--networks", "--constraint", "--heal", "--engine", "--ema"):
        assert option not in out
    assert out.splitlines()[-1].startswith("wgan train --help-all shows all options")


def test_the_arguments_come_from_the_command_line_by_default(monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["wgan", "--version"])
    assert main() == 0
    assert capfd.readouterr().out.startswith("wgan ")


def test_the_installed_program_is_this_one():
    (script,) = entry_points(group="console_scripts", name="wgan")
    assert script.load() is main


def test_python_m_wgan_and_its_exit_codes():
    assert ended(subprocess_of("-m", "wgan", "--version")) == (0, f"wgan {version('wgan')}\n", "")
    code, out, err = ended(subprocess_of("-m", "wgan", "nonsense"))
    assert (code, out) == (2, "")
    assert err.startswith("wgan: There is no command 'nonsense'")


def test_torch_is_not_imported_before_it_is_needed():
    code = """
import sys
import wgan
from wgan.cli import main
assert wgan.WganError is not None
assert [main(["--help"]), main(["--version"]), main([]), main(["nonsense"])] == [0, 0, 0, 2]
heavy = {"torch", "numpy", "scipy", "matplotlib", "PIL", "tyro", "ot", "pooch", "safetensors"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    code, _, err = ended(subprocess_of("-c", code))
    assert code == 0, err


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_reason_to_complain():
    process = subprocess_of("-m", "wgan", "train", "--help")
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait() in (0, 1)


def test_warnings_are_told_in_a_line_and_nobody_elses_change(wgan):
    np.save("grey.npy", np.random.default_rng(0).uniform(0, 1, (20, 8, 8)))
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        _, err = wgan(f"train grey.npy --out run --steps 1 {TINY}")
    assert re.match(r"wgan: note: grey.npy holds images .* images run from -1 to 1\. .*\n", err)
    assert warnings.showwarning is before


# wgan train


def test_a_run_leaves_its_folder(wgan):
    out, err = wgan(f"train digits --out runs/a --steps 6 {TINY}")
    assert out == ""
    assert "Done: runs/a, images in runs/a/samples." in err
    assert "Next: wgan sample runs/a --out samples.png --count 64" in err
    folder = Path("runs/a")
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "config.json",
        "data.json",
        "metrics.jsonl",
        "histograms.jsonl",
        "timing.jsonl",
        "checkpoints",
        "samples",
        "report.html",
    }
    assert steps_of(folder) == [2, 4, 6]
    assert {"gap", "gap_held_out", "penalty", "critic_gradient"} <= RunFolder(folder).history()[0].keys()
    assert "images_per_second" in RunFolder(folder).history("timing")[0]
    assert [path.stem for path in RunFolder(folder).images()] == [f"{step:08}" for step in (0, 2, 4, 6)]
    assert saved_steps(folder / "checkpoints") == [4, 6]
    config = config_of(folder)
    assert (config["steps"], config["seed"], config["dataset"]["name"]) == (6, 0, "digits")
    assert config["origin"]["name"] == "default"


def test_the_folder_is_named_after_source_and_recipe(wgan, somewhere):
    image_folder(somewhere / "my cats", mode="L")
    wgan(f"train digits --steps 1 {TINY}")
    wgan(f"train './my cats' --recipe toy-gp --steps 1 {TINY}")
    assert {path.name for path in Path("runs").iterdir()} == {"digits-default", "my cats-toy-gp"}


def test_the_same_command_again_has_nothing_to_do(wgan):
    command = f"train digits --out run --steps 4 {TINY}"
    wgan(command)
    before = contents("run")
    _, err = wgan(command)
    assert "Done: run" in err
    assert "step " not in err
    assert contents("run") == before


def test_options_may_come_before_the_source(wgan):
    wgan(f"train --steps 2 --n-critic 3 --out run digits {TINY.replace('--n-critic 1', '')}")
    assert (config_of("run")["steps"], config_of("run")["n_critic"]) == (2, 3)


@pytest.mark.slow
def test_a_run_with_constant_rates_can_be_made_longer(wgan):
    wgan(f"train digits --out run --steps 4 --decay constant {TINY}")
    _, err = wgan(f"train digits --out run --steps 8 --decay constant {TINY}")
    assert "Resuming after step 4 of 8." in err
    wgan(f"train digits --out straight --steps 8 --decay constant {TINY}")
    assert Path("run/metrics.jsonl").read_bytes() == Path("straight/metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_a_fork_starts_beside_its_parent_and_is_found_again(wgan):
    wgan(f"train digits --out run --steps 4 {TINY}")
    parent = contents("run")
    command = f"train digits --out run --steps 8 --critic-optimiser.lr 0.5 --fork {TINY}"
    _, err = wgan(command)
    (fork,) = Path().glob("run-fork-*")
    assert f"Forking run into {fork}." in err
    assert "Resuming after step 4 of 8." in err
    assert steps_of(fork) == [6, 8]
    assert config_of(fork)["critic_optimiser"]["lr"] == 0.5
    forked = contents(fork)
    wgan(command)
    assert (contents("run"), contents(fork)) == (parent, forked)
    wgan(command.replace("0.5", "0.25"))
    assert len(list(Path().glob("run-fork-*"))) == 2


@pytest.mark.slow
def test_a_fork_in_the_middle_goes_on(wgan):
    wgan(f"train digits --out run --steps 4 {TINY}")
    command = f"train digits --out run --steps 8 --seed 1 --fork {TINY}"
    wgan(command)
    (fork,) = Path().glob("run-fork-*")
    metrics = (fork / "metrics.jsonl").read_bytes()
    for file in (fork / "checkpoints" / "00000008").iterdir():
        file.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        _, err = wgan(command)
    assert "Resuming after step 6 of 8." in err
    assert (fork / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.slow
def test_a_fork_that_is_not_needed_is_none(wgan):
    wgan(f"train digits --out run --steps 2 {TINY}")
    wgan(f"train digits --out run --steps 2 --fork {TINY}")
    assert [path.name for path in Path().iterdir() if not path.name.startswith(".")] == ["run"]


@pytest.mark.slow
def test_minutes_become_steps_once_and_for_all(wgan):
    command = f"train digits --out run --minutes 0.0001 {TINY}"
    _, err = wgan(command)
    (steps,) = re.findall(r"0.0001 minutes are ([\d,]+) steps at the speed of this machine", err)
    steps = int(steps.replace(",", ""))
    assert steps >= 1
    assert config_of("run")["steps"] == steps == saved_steps(Path("run/checkpoints"))[-1]
    before = contents("run")
    _, err = wgan(command)
    assert "minutes are" not in err
    assert contents("run") == before
    fork = f"{command} --seed 1 --fork".replace("0.0001", "0.001")
    wgan(fork)
    (forked,) = Path().glob("run-fork-*")
    before = contents(forked)
    wgan(fork)
    assert list(Path().glob("run-fork-*")) == [forked]
    assert contents(forked) == before


SOURCES = {
    "digits": [1, 8, 8],
    "ring8": [2],
    "swiss-roll": [2],
    "colours": [3, 16, 16],
    "greys": [1, 16, 16],
    "zipped.zip": [3, 16, 16],
    "vectors.npy": [5],
    "bytes.npy": [3, 8, 12],
    "labelled.npz": [1, 8, 8],
    "colours --resolution 8": [3, 8, 8],
    "colours --channels 1": [1, 16, 16],
    "digits --resolution 12 --channels 3": [3, 12, 12],
}


@pytest.mark.slow
@pytest.mark.parametrize("dataset", SOURCES)
def test_every_kind_of_source_trains(wgan, somewhere, dataset):
    rng = np.random.default_rng(0)
    image_folder(somewhere / "colours")
    image_folder(somewhere / "greys", mode="L")
    with zipfile.ZipFile("zipped.zip", "w") as archive:
        for file in (somewhere / "colours").iterdir():
            archive.write(file, file.name)
    np.save("vectors.npy", rng.normal(size=(50, 5)))
    np.save("bytes.npy", rng.integers(0, 256, (50, 8, 12, 3), dtype=np.uint8))
    images = rng.uniform(-1, 1, (50, 1, 8, 8)).astype(np.float32)
    np.savez("labelled.npz", samples=images, labels=np.arange(50) % 7)
    wgan(f"train {dataset} --out run --steps 2 {TINY}")
    assert config_of("run")["dataset"]["shape"] == SOURCES[dataset]
    assert saved_steps(Path("run/checkpoints")) == [0, 2]


def test_a_corrupt_image_is_named_counted_and_skipped(wgan, somewhere):
    folder = image_folder(somewhere / "colours")
    (folder / "05.png").write_bytes((folder / "05.png").read_bytes()[:60])
    _, err = wgan(f"train colours --out run --steps 1 {TINY}")
    assert "Skipped 1 unreadable image(s): 05.png" in err


@pytest.mark.slow
def test_clothes_train_from_the_command_line(wgan, fashion_mnist):
    folder = data.find_idx_files(data.FASHION_MNIST)
    wgan(f"train fashion-mnist --data-dir {shlex.quote(str(folder))} --out run --steps 2 {TINY}")
    config = config_of("run")
    assert config["dataset"]["shape"] == [1, 28, 28]
    assert config["dataset"]["fingerprint"] == fashion_mnist.fingerprint


def test_another_monitor_watches_too(wgan):
    wgan(f"train digits --out run --steps 2 --monitor tensorboard {TINY}")
    assert list(Path("run/tensorboard").iterdir())


@pytest.mark.slow
def test_piped_output_is_plain_and_standard_output_clean(somewhere):
    words = shlex.split(f"-m wgan train digits --out run --steps 50 {TINY}")
    code, out, err = ended(subprocess_of(*words, cwd=somewhere))
    assert (code, out) == (0, "")
    assert all(line.isprintable() for line in err.split("\n"))
    lines = err.splitlines()
    assert len([line for line in lines if line.startswith("step ")]) == 25
    assert lines[-4].startswith("step 50/50  critic loss ")
    assert lines[-3:] == [
        "Report: run/report.html",
        "Done: run, images in run/samples.",
        "Next: wgan sample run --out samples.png --count 64",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_the_same_command_finishes_it(wgan, somewhere, number, code):
    steps = 1000
    often = TINY.replace("--logging.checkpoint 2", "--logging.checkpoint 1000000").replace(
        "images 2", "images 500"
    )
    command = f"train digits --out run --steps {steps} {often}"
    process = subprocess_of("-m", "wgan", *shlex.split(command), cwd=somewhere)
    while not steps_of("run") and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    returned, out, err = ended(process)
    assert (returned, out) == (code, "")
    assert "Traceback" not in err
    assert "Done" not in err
    saved = saved_steps(Path("run/checkpoints"))[-1]
    assert 2 <= saved < steps
    assert steps_of("run")[-1] <= saved
    _, err = wgan(command)
    assert f"Resuming after step {saved:,} of {steps:,}." in err
    assert steps_of("run") == list(range(2, steps + 1, 2))


# wgan train: overrides

finite = st.floats(1e-6, 100).map(lambda x: float(f"{x:.4g}"))
shares = st.floats(0, 0.99).map(lambda x: round(x, 4))
rates = st.floats(1e-6, 1e-2).map(lambda x: float(f"{x:.4g}"))
small = st.integers(1, 5)
hidden = st.lists(st.integers(2, 6), min_size=1, max_size=3).map(tuple)
norms = st.sampled_from(["none", "layer"])
inits = st.sampled_from(["default", "normal"])

SETTINGS = {
    "networks": st.builds(
        MLP,
        latent_dim=small,
        generator_hidden=hidden,
        critic_hidden=hidden,
        generator_norm=st.sampled_from(["none", "batch", "layer"]),
        critic_norm=norms,
        activation=st.sampled_from(["relu", "leaky-relu"]),
        init=inits,
    )
    | st.builds(
        DCGAN,
        latent_dim=small,
        generator_width=small,
        critic_width=small,
        stages=st.sampled_from([None, 1, 2]),
        kernel=st.sampled_from([4, 5]),
        generator_norm=st.sampled_from(["none", "batch", "layer"]),
        critic_norm=norms,
        head=st.sampled_from(["dense", "max-pool"]),
        generator_activation=st.sampled_from(["relu", "leaky-relu"]),
        init=inits,
    ),
    "constraint": st.builds(GradientPenalty, weight=finite, target=finite)
    | st.builds(LipschitzPenalty, weight=finite, target=finite)
    | st.builds(MaxGradientPenalty, weight=finite)
    | st.builds(DRAGAN, weight=finite)
    | st.builds(R1, gamma=finite)
    | st.builds(R2, gamma=finite)
    | st.builds(WeightClipping, c=finite)
    | st.builds(SpectralNormalisation, iterations=small),
    "generator_optimiser": st.builds(Adam, lr=rates, betas=st.tuples(shares, shares), eps=finite)
    | st.builds(RMSprop, lr=rates, alpha=shares, eps=finite),
    "critic_optimiser": st.builds(Adam, lr=rates, betas=st.tuples(shares, shares), eps=finite)
    | st.builds(RMSprop, lr=rates, alpha=shares, eps=finite),
    "loss": st.sampled_from(["wasserstein", "non-saturating", "minimax", "hinge", "relativistic"]),
    "n_critic": small,
    "batch_size": st.integers(2, 5),
    "decay": st.sampled_from(["constant", "linear", "cosine"]),
    "ema": shares,
    "warm_up": st.booleans(),
    "penalty_every": small,
    "precision": st.sampled_from(["float32", "bfloat16"]),
    "logging": st.builds(LoggingIntervals, metrics=small, images=small, checkpoint=small, keep=small),
}


@pytest.mark.slow
@settings(max_examples=25)
@given(
    changes=st.fixed_dictionaries({"steps": st.just(1)}, optional=SETTINGS), seed=st.integers(0, 2**63 - 1)
)
def test_every_override_reaches_the_run(changes, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("override") / "run"
    default = defaults("default", (1, 8, 8), "digits")
    overridden = replace(default.settings, seed=seed, device="cpu", **changes)
    head = ["train", "digits", "--out", str(folder)]
    assert main([*head, *words(replace(default, settings=overridden), default)]) == 0
    config = config_of(folder)
    expected = json.loads(json.dumps(to_plain(overridden)))
    for name, value in expected.items():
        if name not in ("is", "latent_dim"):
            assert config[name] == value
    assert config["latent_dim"] == expected["networks"]["latent_dim"]
    family = {"MLP": "MLPGenerator", "DCGAN": "DCGANGenerator"}[expected["networks"]["is"]]
    assert config["generator"]["network"] == family


# wgan train --dry-run


def cells(out):
    """The rows of all tables that were printed."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "│" in line]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "dcgan-clip", "wgan-original"])
def test_a_dry_run_prints_everything_and_does_nothing(wgan, somewhere, name):
    out, err = wgan(f"train digits --recipe {name} --steps 12345 --dry-run --device cpu --batch-size 2")
    assert err == ""
    assert list(somewhere.iterdir()) == []
    rows = {row[0]: row[1] for row in cells(out) if len(row) == 2}
    trainer = Trainer(
        data.digits(), settings=replace(recipe(name, (1, 8, 8)), steps=12345, batch_size=2), device="cpu"
    )
    config = trainer.config(12345)
    for setting in ("loss", "n_critic", "batch_size", "ema", "decay", "steps", "seed", "latent_dim"):
        assert rows[setting] == str(config[setting])
    assert rows["dataset.fingerprint"] == config["dataset"]["fingerprint"]
    for setting, value in config["constraint"].items():
        assert rows[f"constraint.{setting}"] == str(value)
    for setting, value in config["critic_optimiser"].items():
        assert rows[f"critic_optimiser.{setting}"] == str(value)
    assert re.search(r"Memory: about [\d,]+ MiB", out)
    assert re.search(r"Time: \S+ ms a step here, .* for 12,345 steps", out)


@pytest.mark.slow
@pytest.mark.parametrize("constraint", ["gradient-penalty", "weight-clipping", "spectral-normalisation"])
def test_a_dry_run_counts_every_parameter(wgan, constraint):
    shape = "networks:dcgan --networks.generator-width 3 --networks.critic-width 5 --networks.latent-dim 7"
    out, _ = wgan(
        f"train digits --dry-run --device cpu --batch-size 2 --n-critic 1 {shape} constraint:{constraint}"
    )
    networks = DCGAN(latent_dim=7, generator_width=3, critic_width=5).build((1, 8, 8))
    wanted = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    tables = re.split(r"\n(?:Generator|Critic) *\n", out)[1:]
    for network, text, count in zip(networks, tables, wanted, strict=True):
        rows = [row for row in cells(text) if len(row) == 4]
        assert sum(int(row[3].replace(",", "")) for row in rows) == count
        assert f"\n{count:,} parameters" in text
        for row in rows:
            assert type(network.get_submodule(row[0])).__name__ == row[1]
    shapes = [[row[2] for row in cells(text) if len(row) == 4] for text in tables]
    assert shapes[0][-1] == "1x8x8"
    assert shapes[1][-1] == "1"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["projection", "concatenation", "auxiliary"])
def test_a_dry_run_shows_conditional_networks_too(wgan, way):
    small = "networks:dcgan --networks.generator-width 3 --networks.critic-width 5 --networks.latent-dim 7"
    out, _ = wgan(
        f"train digits --conditional --dry-run --device cpu --batch-size 2 --n-critic 1 {small} "
        f"--networks.critic-conditioning {way}"
    )
    family = DCGAN(latent_dim=7, generator_width=3, critic_width=5, critic_conditioning=way)
    networks = family.build((1, 8, 8), Condition(classes=10))
    tables = re.split(r"\n(?:Generator|Critic) *\n", out)[1:]
    for network, text in zip(networks, tables, strict=True):
        count = sum(parameter.numel() for parameter in network.parameters())
        rows = [row for row in cells(text) if len(row) == 4]
        assert f"\n{count:,} parameters" in text
        # A classifier has no part in the scores, and is none of the layers on the way to them.
        beside = network.labels.classifier.parameters() if getattr(network, "classifies", False) else ()
        assert sum(int(row[3].replace(",", "")) for row in rows) + sum(p.numel() for p in beside) == count


@pytest.mark.slow
def test_a_dry_run_cuts_nothing_on_a_narrow_terminal(wgan, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out, _ = wgan(f"train digits --dry-run {TINY}")
    assert "…" not in out
    assert data.digits().fingerprint in "".join(row[-1] for row in cells(out) if len(row) == 2)


@pytest.mark.slow
def test_a_dry_run_of_minutes_tells_their_steps(wgan):
    out, err = wgan(f"train digits --dry-run --minutes 0.001 {TINY}")
    (steps,) = re.findall(r"minutes are ([\d,]+) steps", err)
    assert f"for {steps} steps" in out


# wgan sample


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on images, one on coloured images and one on vectors."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.save(folder / "colours.npy", rng.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8))
    quick = f"--generator-optimiser.lr 0.05 --ema 0.5 --steps 6 {TINY}"
    for dataset, name in (("digits", "digits"), ("ring8", "ring8"), (folder / "colours.npy", "colours")):
        assert main(["train", str(dataset), "--out", str(folder / name), *quick.split()]) == 0
    return folder


def sampled(wgan, run, out, options=""):
    assert wgan(f"sample {run} --out {out} {options}") == ("", "")
    return Path(out)


@pytest.mark.slow
@pytest.mark.parametrize(("run", "shape"), [("digits", (1, 8, 8)), ("colours", (3, 8, 8)), ("ring8", (2,))])
def test_samples_as_arrays(wgan, runs, run, shape):
    with np.load(sampled(wgan, runs / run, "x.npz", "--count 30 --seed 7")) as archive:
        assert set(archive.files) == {"samples", "latents"}
        samples, points = archive["samples"], archive["latents"]
    assert samples.shape == (30, *shape)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= 1 or len(shape) == 1
    assert np.array_equal(points, draw_latents(30, 2, 7))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_others(wgan, runs):
    names = ("a.npz", "b.npz", "c.npz")
    for name, seed in zip(names, (3, 3, 4), strict=True):
        sampled(wgan, runs / "digits", name, f"--seed {seed}")
    first, second, third = (Path(name).read_bytes() for name in names)
    assert first == second
    assert first != third


def test_fewer_samples_are_the_first_of_more(wgan, runs):
    few, many = (
        np.load(sampled(wgan, runs / "digits", f"{count}.npz", f"--count {count}"))["samples"]
        for count in (5, 300)
    )
    np.testing.assert_allclose(few, many[:5], rtol=1e-4, atol=1e-5)


def test_samples_come_from_the_average(wgan, runs):
    run = runs / "digits"
    samples = np.load(sampled(wgan, run, "x.npz", "--count 9"))["samples"]

    def rebuilt(group):
        network = build(config_of(run)["generator"])
        network.load_state_dict(load_file(run / "checkpoints" / "00000006" / f"{group}.safetensors"))
        with torch.no_grad():
            return network.eval()(torch.from_numpy(draw_latents(9, 2))).numpy()

    assert np.array_equal(samples, rebuilt("average"))
    assert not np.allclose(samples, rebuilt("generator"))


@pytest.mark.parametrize("run", ["digits", "colours"])
def test_samples_as_images_are_the_same_samples(wgan, runs, run):
    samples = np.load(sampled(wgan, runs / run, "x.npz", "--count 5"))["samples"]
    with Image.open(sampled(wgan, runs / run, "x.png", "--count 5")) as image:
        assert image.tobytes() == grid(samples).tobytes()
    folder = sampled(wgan, runs / run, "deep/folder/", "--count 5")
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"{index:05}.png" for index in range(5)]
    for file, sample in zip(files, to_bytes(samples).transpose(0, 2, 3, 1), strict=True):
        with Image.open(file) as image:
            assert np.array_equal(np.asarray(image).reshape(sample.shape), sample)


def test_vectors_as_a_image(wgan, runs):
    with Image.open(sampled(wgan, runs / "ring8", "x.png")) as image:
        assert image.mode == "RGB"


def test_a_run_that_was_sampled_is_as_it_was(wgan, runs):
    before = contents(runs / "digits")
    sampled(wgan, runs / "digits", "x.npz")
    assert contents(runs / "digits") == before


# wgan animate


def frames_of(path):
    with Image.open(path) as image:
        return [
            (seek.copy().convert("RGB"), seek.info["duration"])
            for seek in (image.seek(index) or image for index in range(image.n_frames))
        ]


def test_an_animation_has_the_images_in_step_order(wgan, runs):
    assert wgan(f"animate {runs / 'digits'} --out deep/x.gif --seconds 0.5") == ("", "")
    frames = frames_of("deep/x.gif")
    images = RunFolder(runs / "digits").images()
    assert len(frames) == len(images) == 4
    for (frame, _), path in zip(frames, images, strict=True):
        with Image.open(path) as image:
            assert frame.tobytes() == image.convert("RGB").tobytes()
    assert [duration for _, duration in frames] == [500, 500, 500, 2000]


def test_steps_are_numbers_and_no_words(wgan, runs):
    shutil.copytree(runs / "digits", "run")
    shutil.rmtree("run/samples")
    Path("run/samples").mkdir()
    for level, step in enumerate((2, 10, 99_999_998, 100_000_000, 1_000_000_000)):
        Image.new("L", (8, 8), 50 * level).save(f"run/samples/{step:08d}.png")
    Image.new("L", (8, 8), 255).save("run/samples/note.png")
    wgan("animate run --out x.gif")
    assert [frame.getpixel((0, 0))[0] for frame, _ in frames_of("x.gif")] == [0, 50, 100, 150, 200]


def test_an_animation_of_vectors(wgan, runs):
    wgan(f"animate {runs / 'ring8'} --out x.gif")
    frames = frames_of("x.gif")
    for (frame, _), path in zip(frames, RunFolder(runs / "ring8").images(), strict=True):
        with Image.open(path) as image:
            apart = np.asarray(frame).astype(int) - np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(apart).mean() < 3  # a GIF has 256 colours


# wgan recipes


def test_the_list_tells_all_about_every_recipe(wgan):
    out, err = wgan("recipes")
    assert err == ""
    head, *lines = out.splitlines()
    assert head.split() == ["name", "networks", "loss", "constraint", "optimiser"]
    assert lines.pop(0).strip() == "where it comes from"
    assert len(lines) == 2 * len(RECIPES)
    for (name, published), line, origin in zip(RECIPES.items(), lines[::2], lines[1::2], strict=True):
        made = recipe(name, (2,) if name.startswith("toy") else (1, 28, 28))
        columns = re.split(r"\s{2,}", line)
        assert columns[:3] == [name, type(made.networks).__name__, made.loss]
        assert columns[3].startswith(type(made.constraint).__name__ + "(")
        assert columns[4].startswith(type(made.generator_optimiser).__name__ + "(")
        assert origin.strip() == published.source
    assert "WeightClipping(0.01)" in out
    assert "RMSprop(5e-05, 0.99)" in out


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_printed_whole(wgan, name):
    out, _ = wgan(f"recipes {name}")
    rows = {row[0]: row[1] for row in cells(out)}
    made = recipe(name, (1, 28, 28))
    assert rows["networks"] == type(made.networks).__name__
    assert rows["constraint"] == type(made.constraint).__name__
    assert rows["n_critic"] == str(made.n_critic)
    assert rows["generator_optimiser.lr"] == str(made.generator_optimiser.lr)
    for setting in to_plain(made).keys() - {"is"}:
        assert setting in rows
    assert f"{name}: {RECIPES[name].source}" in " ".join(out.split())


def test_a_recipe_as_it_is_for_vectors(wgan):
    images, _ = wgan("recipes default")
    vectors, _ = wgan("recipes default --vectors")
    assert {row[0]: row[1] for row in cells(images)}["networks"] == "DCGAN"
    assert {row[0]: row[1] for row in cells(vectors)}["networks"] == "MLP"

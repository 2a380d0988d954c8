import json
import os
import shutil
import subprocess
import sys
from io import BytesIO, StringIO

import numpy as np
import pytest
from PIL import Image
from rich.console import Console as Terminal

import wgan
from wgan.monitors import MONITORS, Console, Guarded, Monitor, TensorBoard
from wgan.networks import MLP
from wgan.pictures import grid
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.training import Cadence, Trainer

VALUES = {
    "gap": 1.2345678,
    "gap_held_out": 0.5,
    "critic_loss": -77.0,
    "penalty": 0.125,
    "critic_gradient": 3.0,
    "generator_gradient": 4.0,
    "seconds": 99.0,
    "images_per_second": 12345.6,
}
SHOWN = (
    "gap, training 1.235",
    "gap, held out 0.5",
    "penalty 0.125",
    "gradient, critic 3",
    "gradient, generator 4",
    "images/s 12,346",
)


def trainer(monitors, source="digits", **cadence):
    data = wgan.data.load(source)
    family = MLP(latent_dim=2, generator_hidden=(8,), critic_hidden=(8,))
    generator, critic = family.build(data.shape)
    often = {"log": 1, "pictures": 4, "checkpoint": 4} | cadence
    return Trainer(
        generator=generator,
        critic=critic,
        data=data,
        n_critic=1,
        batch_size=8,
        device="cpu",
        cadence=Cadence(**often),
        monitors=monitors,
    )


def console(**settings):
    """A console that writes into memory, and the memory."""
    written = StringIO()
    return Console(Terminal(file=written, highlight=False, **settings)), written


# The terminal


def test_plain_lines_show_all_there_is_to_see():
    monitor, written = console(width=40)
    monitor.start({"steps": 50}, 0)
    monitor.log(50, VALUES)
    monitor.finish("finished")
    assert written.getvalue() == f"step 50/50  {'  '.join(SHOWN)}\n"


def test_a_number_that_is_not_finite_is_a_dash_and_what_is_not_known_is_left_out():
    monitor, written = console()
    monitor.start({"steps": 1}, 0)
    monitor.log(1, {"gap": None, "penalty": 1e-7})
    assert written.getvalue() == "step 1/1  gap, training -  penalty 1e-07\n"


@pytest.mark.parametrize(("value", "text"), [(9999.4, "9999"), (-123456.0, "-123,456"), (1e30, "1e+30")])
def test_large_numbers_are_readable(value, text):
    monitor, written = console()
    monitor.start({"steps": 1}, 0)
    monitor.log(1, {"gap": value})
    assert written.getvalue() == f"step 1/1  gap, training {text}\n"


def test_a_long_run_prints_few_lines_and_its_last():
    monitor, written = console()
    monitor.start({"steps": 1000}, 0)
    for step in range(1, 1001):
        monitor.log(step, VALUES)
    lines = written.getvalue().splitlines()
    assert 20 <= len(lines) <= 30
    assert lines[-1].startswith("step 1,000/1,000 ")


def test_a_resumed_run_says_where_it_goes_on():
    monitor, written = console()
    monitor.start({"steps": 2000}, 1500)
    assert written.getvalue() == "Going on after step 1,500 of 2,000.\n"


def test_a_finished_run_has_nothing_to_say():
    monitor, written = console()
    monitor.start({"steps": 10}, 10)
    monitor.finish("finished")
    assert written.getvalue() == ""


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_live_display_shows_all_there_is_to_see(width):
    monitor, written = console(force_terminal=True, color_system=None, width=width)
    monitor.start({"steps": 100}, 10)
    monitor.log(50, VALUES)
    monitor.pictures(50, Image.new("L", (8, 8)))
    monitor.finish("finished")
    text = written.getvalue()
    assert "\x1b[" in text
    for shown in ("Going on after step 10 of 100.", "50/100", "━", *SHOWN):
        assert shown in text
    assert "…" not in text


def test_the_live_display_gives_the_cursor_back():
    monitor, written = console(force_terminal=True)
    monitor.start({"steps": 100}, 0)
    monitor.finish("interrupted")
    assert written.getvalue().rindex("\x1b[?25h") > written.getvalue().rindex("\x1b[?25l")
    monitor.finish("interrupted")


def test_a_run_is_shown_with_what_it_logs(tmp_path):
    monitor, written = console()
    trainer([monitor]).fit(5, tmp_path / "run")
    rows = RunFolder(tmp_path / "run").history()
    lines = written.getvalue().splitlines()
    assert len(lines) == len(rows) == 5
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(f"step {row['step']}/5  gap, training {row['gap']:.4g}  gap, held out ")
        assert f"gradient, critic {row['critic_gradient']:.4g}  " in line
        assert "images/s" in line


# The guard


class Broken(Monitor):
    """Fails where it is told to, and counts what comes."""

    def __init__(self, where):
        self.where, self.calls = where, []

    def _called(self, name):
        self.calls.append(name)
        if name == self.where:
            raise ValueError("the sky is falling")

    def start(self, config, step):
        self._called("start")

    def log(self, step, values):
        self._called("log")

    def pictures(self, step, image):
        self._called("pictures")

    def finish(self, outcome):
        self._called("finish")


@pytest.mark.parametrize("where", ["start", "log", "pictures", "finish"])
def test_a_failing_monitor_warns_once_and_stops_nothing(tmp_path, where):
    broken, healthy = Broken(where), Broken("nowhere")
    with pytest.warns(UserWarning, match=r"The monitor Broken failed.*: the sky is falling") as caught:
        trainer([broken, healthy]).fit(8, tmp_path / "run")
    assert len(caught) == 1
    assert broken.calls.count(where) == 1
    assert broken.calls[-1] == where
    assert healthy.calls == [
        "start",
        "pictures",
        *["log"] * 4,
        "pictures",
        *["log"] * 4,
        "pictures",
        "finish",
    ]
    assert [row["step"] for row in RunFolder(tmp_path / "run").history()] == list(range(1, 9))


def test_the_guard_passes_everything_on():
    healthy = Broken("nowhere")
    guarded = Guarded(healthy)
    guarded.start({}, 0)
    guarded.pictures(0, Image.new("L", (1, 1)))
    guarded.log(1, {})
    guarded.finish("finished")
    assert healthy.calls == ["start", "pictures", "log", "finish"]


def test_the_guard_lets_interruptions_through():
    class Interrupted(Broken):
        def _called(self, name):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Guarded(Interrupted("log")).log(1, {})


# TensorBoard


def events(run_dir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


def assert_events_are_the_history(run_dir, picture_steps):
    read, rows = events(run_dir), RunFolder(run_dir).history()
    assert {"gap", "gap_held_out", "penalty", "images_per_second"} <= set(read.Tags()["scalars"])
    for name in rows[0].keys() - {"step"}:
        scalars = read.Scalars(name)
        assert [scalar.step for scalar in scalars] == [row["step"] for row in rows]
        assert [scalar.value for scalar in scalars] == [np.float32(row[name]) for row in rows]
    assert [image.step for image in read.Images("samples")] == picture_steps


def test_tensorboard_reads_what_the_run_wrote(tmp_path):
    folder = tmp_path / "run"
    trainer([TensorBoard(folder)]).fit(8, folder)
    assert_events_are_the_history(folder, [0, 4, 8])
    read = events(folder)
    (text,) = read.Tensors("config/text_summary")[0].tensor_proto.string_val
    config = json.loads(text.decode().removeprefix("```json").removesuffix("```"))
    assert config.items() <= json.loads((folder / "config.json").read_text()).items()
    last = read.Images("samples")[-1]
    with Image.open(BytesIO(last.encoded_image_string)) as image:
        shown = grid(Sampler.load(folder)(64, seed=0).numpy())
        assert image.convert("L").tobytes() == shown.tobytes()
    (outcome,) = read.Tensors("outcome/text_summary")[-1].tensor_proto.string_val
    assert outcome == b"finished"


def test_tensorboard_shows_vectors_too(tmp_path):
    folder = tmp_path / "run"
    trainer([TensorBoard(folder)], "two-gaussians").fit(4, folder)
    assert_events_are_the_history(folder, [0, 4])


@pytest.mark.parametrize("checkpoint", [4, 100])
def test_tensorboard_has_each_step_of_a_resumed_run_once(tmp_path, checkpoint):
    folder = tmp_path / "run"
    trainer([TensorBoard(folder)], checkpoint=checkpoint).fit(8, folder)
    shutil.rmtree(folder / "checkpoints" / "00000008")  # as if the machine had died before it was written
    trainer([TensorBoard(folder)], checkpoint=checkpoint).fit(10, folder)
    assert_events_are_the_history(folder, [0, 4, 8, 10])
    assert len(list((folder / "tensorboard").iterdir())) == 2


def test_tensorboard_gets_nan_for_what_is_not_finite(tmp_path):
    monitor = TensorBoard(tmp_path)
    monitor.start({}, 0)
    monitor.log(1, {"gap": None})
    monitor.finish("failed")
    (scalar,) = events(tmp_path).Scalars("gap")
    assert np.isnan(scalar.value)


def test_tensorboard_touches_nothing_before_the_run_starts(tmp_path):
    MONITORS["tensorboard"](tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_extra_is_named(tmp_path):
    code = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorboard":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from pathlib import Path
from wgan.cli import main
from wgan.errors import MissingExtraError
from wgan.monitors import TensorBoard

try:
    TensorBoard(Path("run"))
except MissingExtraError as error:
    print(error)
sys.exit(main(["train", "digits", "--monitor", "tensorboard", "--steps", "1", "--out", "run"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    sentence = "The TensorBoard monitor needs an optional package: pip install 'wgan[tensorboard]'."
    assert (done.returncode, done.stdout) == (2, f"{sentence}\n")
    assert done.stderr == f"wgan: {sentence}\n"
    assert list(tmp_path.iterdir()) == []

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from inspect import cleandoc
from io import BytesIO, StringIO
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console as Terminal
from small_runs import no_file_larger_than

import wgan
from wgan.cli import main
from wgan.images import grid
from wgan.monitors import (
    MONITORS,
    Console,
    GuardedMonitors,
    Histogram,
    MLflow,
    Monitor,
    TensorBoard,
    Wandb,
    display_name,
    guard,
)
from wgan.networks import MLP
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.training import LoggingIntervals, Trainer

# What MLflow does inside SQLAlchemy is between the two of them.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """On a busy machine, whatever is healthy gets the time that it needs."""
    monkeypatch.setattr(guard, "PATIENCE", 300.0)
    monkeypatch.setattr(guard, "LONGEST", 300.0)


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path_factory):
    """A person without any login, server or settings, who is asked for none and sends nothing anywhere."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_", "NETRC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


VALUES = {
    "gap": 1.2345678,
    "gap_held_out": 0.5,
    "critic_loss": -77.0,
    "generator_loss": 0.25,
    "penalty": 0.125,
    "critic_gradient": 3.0,
    "generator_gradient": 4.0,
    "seconds": 99.0,
    "images_per_second": 12345.6,
}
SHOWN = (
    "critic loss -77",
    "generator loss 0.25",
    "gap (W estimate) 1.235",
    "gap, held out 0.5",
    "gradient penalty 0.125",
    "gradient, critic 3",
    "gradient, generator 4",
    "images/s 12,346",
)


def trainer(monitors, dataset="digits", **logging):
    data = wgan.data.load(dataset)
    family = MLP(latent_dim=2, generator_hidden=(8,), critic_hidden=(8,))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        generator, critic = family.build(data.shape)
    often = {"metrics": 1, "images": 4, "checkpoint": 4} | logging
    return Trainer(
        generator=generator,
        critic=critic,
        data=data,
        n_critic=1,
        batch_size=8,
        decay="constant",
        device="cpu",
        logging=LoggingIntervals(**often),
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
    assert written.getvalue() == "step 1/1  gap (W estimate) -  gradient penalty 1e-07\n"


@pytest.mark.parametrize(("value", "text"), [(9999.4, "9999"), (-123456.0, "-123,456"), (1e30, "1e+30")])
def test_large_numbers_are_readable(value, text):
    monitor, written = console()
    monitor.start({"steps": 1}, 0)
    monitor.log(1, {"gap": value})
    assert written.getvalue() == f"step 1/1  gap (W estimate) {text}\n"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("critic_loss", "critic loss"),
        ("generator_loss", "generator loss"),
        ("gap", "gap (W estimate)"),
        ("penalty", "gradient penalty"),
        ("score_real/50", "score real, median"),
        ("slope/95", "slope, 95 % below"),
        ("slope/max", "slope, greatest"),
        ("critic_gradient/layers.0", "critic gradient, layers.0"),
        ("mode-collapse", "mode collapse"),
    ],
)
def test_metrics_have_the_names_of_the_field(key, name):
    assert display_name(key) == name


def test_the_gap_is_called_an_estimate_of_w_under_the_wasserstein_loss_only():
    assert display_name("gap", loss="non-saturating") == "gap"
    monitor, written = console()
    monitor.start({"steps": 1, "loss": "hinge"}, 0)
    monitor.log(1, {"gap": 1.0})
    assert written.getvalue() == "step 1/1  gap 1\n"


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
    assert written.getvalue() == "Resuming after step 1,500 of 2,000.\n"


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
    monitor.images(50, Image.new("L", (8, 8)))
    monitor.finish("finished")
    text = written.getvalue()
    assert "\x1b[" in text
    for shown in ("Resuming after step 10 of 100.", "50/100", "━", *SHOWN):
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
    trainer([monitor]).fit(tmp_path / "run", 5)
    rows = RunFolder(tmp_path / "run").history()
    lines = written.getvalue().splitlines()
    assert len(lines) == len(rows) == 5
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(f"step {row['step']}/5  critic loss {row['critic_loss']:.4g}  generator loss ")
        assert f"  gap (W estimate) {row['gap']:.4g}  gap, held out " in line
        assert f"gradient, critic {row['critic_gradient']:.4g}  " in line
        assert "images/s" in line


# The guard


class Broken(Monitor):
    """Fails where it is told to, and notes what comes, and on which thread."""

    def __init__(self, where="nowhere", error=None):
        self.where, self.error = where, error or ValueError("the sky is falling")
        self.calls, self.steps, self.threads = [], [], set()

    def called(self, name, step=None):
        self.calls.append(name)
        self.steps.append(step)
        self.threads.add(threading.current_thread())
        if name == self.where:
            raise self.error

    def start(self, config, step):
        self.called("start", step)

    def log(self, step, values):
        self.called("log", step)

    def images(self, step, image):
        self.called("images", step)

    def artifact(self, files):
        self.called("artifact")

    def finish(self, outcome):
        self.called("finish")


class Prompt(Broken):
    """The same, called by the training itself."""

    synchronous = True


class Hanging(Broken):
    """Waits for its release where it is told to."""

    def __init__(self, where):
        super().__init__()
        self.place, self.release = where, threading.Event()

    def called(self, name, step=None):
        if name == self.place:
            assert self.release.wait(300)
        super().called(name, step)


METHODS = ["start", "log", "images", "artifact", "finish"]
ALL = ["start", "images", *["log"] * 4, "images", *["log"] * 4, "images", "artifact", "finish"]
ALL_STEPS = [0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8, None, None]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The run of eight steps that nobody watches."""
    return trainer([]).fit(tmp_path_factory.mktemp("straight") / "run", 8).path


def assert_same_files(folder, straight):
    for name in (
        "metrics.jsonl",
        "config.json",
        "samples/00000008.png",
        "checkpoints/00000008/checkpoint.json",
    ):
        assert (folder / name).read_bytes() == (straight / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Broken, Prompt])
@pytest.mark.parametrize("where", METHODS)
def test_a_failing_monitor_warns_once_and_stops_nothing(tmp_path, straight, where, kind):
    broken, healthy = kind(where), Broken()
    with pytest.warns(UserWarning, match=kind.__name__) as caught:
        trainer([broken, healthy]).fit(tmp_path / "run", 8)
    (warning,) = caught
    assert str(warning.message) == (
        f"The monitor {kind.__name__} failed and is off for the rest of the run: "
        "ValueError: the sky is falling."
    )
    assert broken.calls.count(where) == 1
    assert broken.calls[-1] == where
    assert healthy.calls == ALL
    assert healthy.steps == ALL_STEPS
    assert_same_files(tmp_path / "run", straight)


@pytest.mark.parametrize("where", METHODS)
def test_a_hanging_monitor_keeps_nobody_waiting(tmp_path, straight, where, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE", 0.01)
    hanging, prompt = Hanging(where), Prompt()
    with pytest.warns(UserWarning, match="The monitor ") as caught:
        trainer([hanging, prompt]).fit(tmp_path / "run", 8)  # would never return if anything waited for it
    (warning,) = caught
    assert str(warning.message) == (
        "The monitor Hanging was still busy after the run ended and is left behind."
    )
    assert prompt.calls == ALL
    assert_same_files(tmp_path / "run", straight)
    assert where not in hanging.calls
    hanging.release.set()
    for thread in threading.enumerate():
        if thread.name == "monitor Hanging":
            assert thread.daemon
            thread.join(300)
    assert hanging.calls[-1] == where  # and nothing of what it had missed


class Releasing(Prompt):
    """Lets another one go on at the end of the run."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def finish(self, outcome):
        self.other.release.set()


def test_a_monitor_that_is_late_all_the_time_gets_everything_in_order(tmp_path):
    late = Hanging("start")
    trainer([late, Releasing(late)]).fit(tmp_path / "run", 8)
    assert (late.calls, late.steps) == (ALL, ALL_STEPS)


def test_what_there_is_no_room_for_is_left_out_with_one_warning(tmp_path, straight, monkeypatch):
    monkeypatch.setattr(guard, "ROOM", 4 * guard.SMALL)
    late = Hanging("start")
    with pytest.warns(UserWarning, match="The monitor ") as caught:
        trainer([late, Releasing(late)], images=100).fit(tmp_path / "run", 8)
    (warning,) = caught
    assert str(warning.message) == (
        "The monitor Hanging does not keep up with the run and will miss some of it."
    )
    assert late.calls[0] == "start"
    assert late.calls[-2:] == ["artifact", "finish"]
    assert 0 < late.calls.count("log") < 8
    assert late.steps[:-2] == sorted(late.steps[:-2])
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()


def test_images_take_room_by_their_size(monkeypatch):
    monkeypatch.setattr(guard, "ROOM", 3 * 100 * 100 + guard.SMALL)
    late = Hanging("start")
    monitors = GuardedMonitors([late, Releasing(late)])
    monitors.start({}, 0)
    monitors.images(1, Image.new("RGB", (100, 100)))
    with pytest.warns(UserWarning, match="does not keep up"):
        monitors.images(2, Image.new("L", (1, 1)))
    monitors.finish("finished")
    assert late.calls == ["start", "images", "finish"]


def test_a_monitor_has_one_thread_of_its_own_unless_it_is_synchronous(tmp_path):
    one, other, prompt = Broken(), Broken(), Prompt()
    trainer([one, other, prompt]).fit(tmp_path / "run", 2)
    assert prompt.threads == {threading.current_thread()}
    assert len(one.threads) == len(other.threads) == 1
    assert len(one.threads | other.threads | prompt.threads) == 3
    assert not any(thread.is_alive() for thread in one.threads | other.threads)


@pytest.mark.slow
def test_an_interrupt_ends_the_wait_for_a_hanging_monitor(tmp_path):
    class Stuck(Hanging):
        def finish(self, outcome):
            os.kill(os.getpid(), signal.SIGINT)
            self.release.wait(300)

    stuck = Stuck("nowhere")
    with pytest.raises(KeyboardInterrupt):
        trainer([stuck]).fit(tmp_path / "run", 4)
    stuck.release.set()
    assert RunFolder(tmp_path / "run").history()[-1]["step"] == 4


def test_an_interrupted_run_tells_so_and_has_no_artifact_yet(tmp_path):
    class Interrupting(Prompt):
        def log(self, step, values):
            signal.raise_signal(signal.SIGINT)

    watching = Broken()
    with pytest.raises(KeyboardInterrupt):
        trainer([Interrupting(), watching]).fit(tmp_path / "run", 8)
    assert watching.calls == ["start", "images", "log", "finish"]


def test_whatever_a_monitor_raises_on_its_thread_is_caught(tmp_path):
    with pytest.warns(UserWarning, match=r"Broken failed.*: SystemExit: 3\.$"):
        trainer([Broken("log", SystemExit(3))]).fit(tmp_path / "run", 2)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device."),
        (KeyError("gap"), "KeyError: 'gap'."),
        (RuntimeError(), "RuntimeError."),
        (RuntimeError("the first line.\nand a trace"), "RuntimeError: the first line."),
        (OSError("http://me:hunter2@host/api is gone"), "OSError: http://***@host/api is gone."),
        (ValueError("word " * 100), f"ValueError: {'word ' * 39}...."),
    ],
)
def test_the_warning_is_one_sentence_without_passwords(error, shown):
    monitors = GuardedMonitors([Prompt("start", error)])
    with pytest.warns(UserWarning, match="The monitor ") as caught:
        monitors.start({}, 0)
    assert str(caught[0].message) == f"The monitor Prompt failed and is off for the rest of the run: {shown}"


def test_a_full_disk_costs_the_monitor_only(tmp_path, straight):
    class Filing(Broken):
        def log(self, step, values):
            Path("/dev/full").write_text("no")

    with pytest.warns(UserWarning, match=r"Filing failed.*No space left on device\.$") as caught:
        trainer([Filing()]).fit(tmp_path / "run", 8)
    assert len(caught) == 1
    assert_same_files(tmp_path / "run", straight)


def test_what_a_monitor_does_to_what_it_gets_is_its_own_affair(tmp_path, straight):
    class Greedy(Prompt):
        def start(self, config, step):
            config["generator"].clear()

        def log(self, step, values):
            values.clear()

    watching = Prompt()
    watching.log = lambda step, values: watching.calls.append(values["gap"])
    trainer([Greedy(), watching]).fit(tmp_path / "run", 8)
    gaps = [row["gap"] for row in RunFolder(tmp_path / "run").history()]
    assert [call for call in watching.calls if not isinstance(call, str)] == gaps
    assert_same_files(tmp_path / "run", straight)


def test_the_artifact_is_all_that_sampling_needs(tmp_path):
    class Keeping(Broken):
        def artifact(self, files):
            for name, path in files.items():
                (tmp_path / "kept" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, tmp_path / "kept" / name)

    trainer([Keeping()]).fit(tmp_path / "run", 3)
    assert_same_generator(tmp_path / "kept", tmp_path / "run")


def assert_same_generator(folder, run_dir):
    one, other = Sampler.load(folder), Sampler.load(run_dir)
    assert torch.equal(one(16, seed=3), other(16, seed=3))
    assert one.step == other.step


def test_a_monitor_of_ones_own_is_what_the_docstring_shows(tmp_path, capsys):
    text = cleandoc(wgan.Monitor.__doc__).split(".. code-block:: python\n")[1].split("and pass it")[0]
    names = {}
    exec(dedent(text), names)  # noqa: S102
    trainer([names["Smallest"]()]).fit(tmp_path / "run", 4)
    smallest = min(row["gap_held_out"] for row in RunFolder(tmp_path / "run").history())
    assert capsys.readouterr().out == f"finished; smallest gap {smallest:.3g}\n"


# TensorBoard


def events(run_dir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(
        str(run_dir / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "histograms": 0}
    )
    return accumulator.Reload()


def assert_events_are_the_history(run_dir, image_steps):
    read, rows = events(run_dir), RunFolder(run_dir).history()
    assert {"gap", "gap_held_out", "penalty", "images_per_second"} <= set(read.Tags()["scalars"])
    for name in rows[0].keys() - {"step"}:
        scalars = read.Scalars(name)
        assert [scalar.step for scalar in scalars] == [row["step"] for row in rows]
        assert [scalar.value for scalar in scalars] == [np.float32(row[name]) for row in rows]
    assert [image.step for image in read.Images("samples")] == image_steps
    shapes = RunFolder(run_dir).history("histograms")
    assert set(read.Tags()["histograms"]) == shapes[0].keys() - {"step"}
    for name in read.Tags()["histograms"]:
        events_of = read.Histograms(name)
        assert [event.step for event in events_of] == [row["step"] for row in shapes]
        for event, row in zip(events_of, shapes, strict=True):
            shape = Histogram(**row[name])
            assert (event.histogram_value.min, event.histogram_value.max) == (shape.low, shape.high)
            assert event.histogram_value.bucket == [0, *shape.counts]
            assert event.histogram_value.bucket_limit == shape.edges
            assert event.histogram_value.num == sum(shape.counts)


def test_tensorboard_reads_what_the_run_wrote(tmp_path):
    folder = tmp_path / "run"
    trainer([TensorBoard(folder)]).fit(folder, 8)
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
    trainer([TensorBoard(folder)], "two-gaussians").fit(folder, 4)
    assert_events_are_the_history(folder, [0, 4])


@pytest.mark.parametrize("checkpoint", [4, 100])
def test_tensorboard_has_each_step_of_a_resumed_run_once(tmp_path, checkpoint):
    folder = tmp_path / "run"
    trainer([TensorBoard(folder)], checkpoint=checkpoint).fit(folder, 8)
    shutil.rmtree(folder / "checkpoints" / "00000008")  # as if the machine had died before it was written
    trainer([TensorBoard(folder)], checkpoint=checkpoint).fit(folder, 10)
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


@pytest.mark.slow
def test_tensorboard_on_a_full_disk_stops_nothing(tmp_path):
    folder = tmp_path / "run"
    with no_file_larger_than(150_000), pytest.warns(UserWarning, match=r"TensorBoard failed") as caught:
        trainer([TensorBoard(folder)], images=1).fit(folder, 40)
    assert len(caught) == 1
    assert len(RunFolder(folder).history()) == 40


# Weights & Biases, read by its own `wandb leet inspect`


@pytest.fixture
def wandb():
    """The package in a fresh session, as in a process of its own."""
    import wandb

    wandb.teardown()
    yield wandb
    wandb.teardown()


def wandb_files(run_dir):
    return sorted(run_dir.glob("wandb/offline-run-*/run-*.wandb"))


def inspect(file):
    """The records of a file, by type."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        record = json.loads(line)
        found.setdefault(record["type"], []).append(record[record["type"]])
    return found


def wandb_history(file):
    """The numbers of each step."""
    return {row["step"]["num"]: row["item"] for row in inspect(file)["history"]}


def assert_in_wandb(file, rows, image_steps):
    read = wandb_history(file)
    for row in rows:
        assert {name: read[row["step"]][name] for name in row.keys() - {"step"}} == {
            name: value for name, value in row.items() if name != "step"
        }
        assert "images_per_second" in read[row["step"]]
    for row in RunFolder(file.parents[2]).history("histograms"):
        for name in row.keys() - {"step"} if row["step"] in read else ():
            shape = Histogram(**row[name])
            assert read[row["step"]][f"{name}._type"] == "histogram"
            assert read[row["step"]][f"{name}.values"] == list(shape.counts)
            assert read[row["step"]][f"{name}.bins"] == pytest.approx(shape.edges)
    assert [step for step in read if "samples.path" in read[step]] == image_steps
    assert sorted(read) == sorted({row["step"] for row in rows} | set(image_steps))
    for step in image_steps:
        shown = file.parent / "files" / read[step]["samples.path"]
        assert_same_image(shown, file.parents[2] / "samples" / f"{step:08d}.png")


def assert_same_image(one, other):
    with Image.open(one) as first, Image.open(other) as second:
        assert first.convert("RGB").tobytes() == second.convert("RGB").tobytes()


@pytest.mark.slow
def test_wandb_reads_what_the_run_wrote(tmp_path, wandb, straight):
    folder = tmp_path / "run"
    trainer([Wandb(folder)]).fit(folder, 8)
    (file,) = wandb_files(folder)
    assert_in_wandb(file, RunFolder(folder).history(), [0, 4, 8])
    read = inspect(file)
    config = read["run"][0]["config"]["update"]
    assert {name: config[name] for name in config if name != "_wandb"}.items() <= (
        json.loads((folder / "config.json").read_text()).items()
    )
    assert read["run"][0]["project"] == "wgan"
    assert [record["exit_code"] for record in read["exit"]] == [0]
    assert {"outcome": "finished"} in [summary["update"] for summary in read["summary"]]
    (artifact,) = read["artifact"]
    for entry in artifact["manifest"]["contents"]:
        (tmp_path / "kept" / entry["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(entry["local_path"], tmp_path / "kept" / entry["path"])
    assert_same_generator(tmp_path / "kept", folder)
    assert_same_files(folder, straight)


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run_for_wandb(tmp_path, wandb):
    folder = tmp_path / "run"
    trainer([Wandb(folder)]).fit(folder, 4)
    trainer([Wandb(folder)]).fit(folder, 8)
    first, second = wandb_files(folder)
    assert first.name == second.name
    assert {inspect(file)["run"][0]["run_id"] for file in (first, second)} == {
        (folder / "wandb" / "id").read_text().strip()
    }
    assert sorted(wandb_history(first)) == [0, 1, 2, 3, 4]
    assert_in_wandb(second, RunFolder(folder).history()[4:], [8])


@pytest.mark.slow
def test_wandb_gets_nan_for_what_is_not_finite_and_each_step_once(tmp_path, wandb):
    monitor = Wandb(tmp_path)
    monitor.start({}, 0)
    monitor.log(5, {"gap": None})
    monitor.log(6, {"gap": 6.0})
    monitor.log(5, {"gap": 5.0})
    monitor.finish("failed")
    (file,) = wandb_files(tmp_path)
    assert {step: row["gap"] for step, row in wandb_history(file).items()} == {5: "NaN", 6: 6}
    assert [record["exit_code"] for record in inspect(file)["exit"]] == [1]


@pytest.mark.slow
def test_wandb_without_a_login_is_offline_even_if_told_to_be_online(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    trainer([Wandb(tmp_path / "run")]).fit(tmp_path / "run", 1)
    assert len(wandb_files(tmp_path / "run")) == 1


@pytest.mark.slow
def test_wandb_respects_what_its_own_environment_says(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_RUN_ID", "chosen")
    trainer([Wandb(tmp_path / "run")]).fit(tmp_path / "run", 1)
    (file,) = wandb_files(tmp_path / "run")
    assert (inspect(file)["run"][0]["project"], file.name) == ("mine", "run-chosen.wandb")


@pytest.mark.slow
def test_wandb_may_be_disabled(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    trainer([Wandb(tmp_path / "run")]).fit(tmp_path / "run", 2)
    assert wandb_files(tmp_path / "run") == []


@pytest.mark.slow
def test_wandb_tells_of_what_it_could_not_write(tmp_path, wandb, straight):
    folder = tmp_path / "run"
    with no_file_larger_than(30_000), pytest.warns(UserWarning, match=r"Wandb failed.*be written") as caught:
        trainer([Wandb(folder)]).fit(folder, 8)
    assert len(caught) == 1
    assert_same_files(folder, straight)


def test_a_wandb_server_that_never_answers_stops_nothing(
    tmp_path, wandb, monkeypatch, silent_server, straight
):
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setattr(guard, "PATIENCE", 0.1)
    with pytest.warns(UserWarning, match="The monitor Wandb ") as caught:
        trainer([Wandb(tmp_path / "run")]).fit(tmp_path / "run", 8)
    assert len(caught) == 1
    assert_same_files(tmp_path / "run", straight)


@pytest.fixture
def silent_server():
    """The address of a server that lets everybody in and says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# MLflow, read by its client


def mlflow_client(run_dir):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{run_dir}/mlflow/mlflow.db")


def mlflow_run(run_dir):
    """The client of a run's own store, and the one run that is there."""
    client = mlflow_client(run_dir)
    experiment = client.get_experiment_by_name("wgan")
    (found,) = client.search_runs([experiment.experiment_id])
    return client, found


def assert_in_mlflow(run_dir, image_steps, tmp_path):
    (client, found), rows = mlflow_run(run_dir), RunFolder(run_dir).history()
    for name in rows[0].keys() - {"step"}:
        history = client.get_metric_history(found.info.run_id, name)
        assert [(metric.step, metric.value) for metric in history] == [
            (row["step"], row[name]) for row in rows
        ]
    assert "images_per_second" in found.data.metrics
    shapes = client.download_artifacts(found.info.run_id, "histograms.jsonl", str(tmp_path))
    assert Path(shapes).read_bytes() == (run_dir / "histograms.jsonl").read_bytes()
    assert found.data.tags["config.steps"] == str(rows[-1]["step"])
    names = [entry.path for entry in client.list_artifacts(found.info.run_id, "images")]
    steps = {int(name.split("+")[2]): name for name in names if name.endswith(".png")}
    assert len([name for name in names if name.endswith(".png")]) == len(steps)
    assert sorted(steps) == image_steps
    for step, name in steps.items():
        shown = client.download_artifacts(found.info.run_id, name, str(tmp_path))
        assert_same_image(shown, run_dir / "samples" / f"{step:08d}.png")
    read = client.download_artifacts(found.info.run_id, "config.json", str(tmp_path))
    config = json.loads((run_dir / "config.json").read_text())
    assert json.loads(Path(read).read_text()).items() <= config.items()
    kept = client.download_artifacts(found.info.run_id, "generator", str(tmp_path))
    assert_same_generator(kept, run_dir)
    return found


@pytest.mark.slow
def test_mlflow_reads_what_the_run_wrote(tmp_path, straight):
    folder = tmp_path / "run"
    trainer([MLflow(folder)]).fit(folder, 8)
    found = assert_in_mlflow(folder, [0, 4, 8], tmp_path)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "run"
    assert found.data.tags["outcome"] == "finished"
    assert found.data.params["n_critic"] == "1"
    assert found.data.params["dataset.name"] == "digits"
    assert json.loads(found.data.params["dataset.shape"]) == [1, 8, 8]
    assert_same_files(folder, straight)


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run_for_mlflow_with_each_step_once(tmp_path):
    folder = tmp_path / "run"
    trainer([MLflow(folder)], checkpoint=3).fit(folder, 8)
    shutil.rmtree(folder / "checkpoints" / "00000008")  # as if the machine had died before it was written
    trainer([MLflow(folder)], checkpoint=3).fit(folder, 12)
    found = mlflow_run(folder)[1]
    assert (found.info.run_id, found.info.status) == (
        (folder / "mlflow" / "id").read_text().strip(),
        "FINISHED",
    )
    assert_in_mlflow(folder, [0, 4, 8, 12], tmp_path)


@pytest.mark.slow
def test_an_interrupted_run_is_killed_for_mlflow_until_it_goes_on(tmp_path):
    class Interrupting(Prompt):
        def log(self, step, values):
            signal.raise_signal(signal.SIGINT)

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        trainer([MLflow(folder), Interrupting()]).fit(folder, 8)
    assert mlflow_run(folder)[1].info.status == "KILLED"
    trainer([MLflow(folder)]).fit(folder, 8)
    assert assert_in_mlflow(folder, [0, 4, 8], tmp_path).info.status == "FINISHED"


@pytest.mark.slow
def test_mlflow_gets_nan_for_what_is_not_finite(tmp_path):
    monitor = MLflow(tmp_path)
    monitor.start({}, 0)
    monitor.log(1, {"gap": None})
    monitor.finish("failed")
    client, found = mlflow_run(tmp_path)
    (metric,) = client.get_metric_history(found.info.run_id, "gap")
    assert np.isnan(metric.value)
    assert found.info.status == "FAILED"


@pytest.mark.slow
def test_mlflow_writes_where_its_environment_says_and_moves_there(tmp_path, monkeypatch):
    trainer([MLflow(tmp_path / "a")]).fit(tmp_path / "a", 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/common.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.chdir(tmp_path)  # where a store without a server keeps its artifacts
    for name in ("a", "b"):
        trainer([MLflow(tmp_path / name)]).fit(tmp_path / name, 2)
    from mlflow import MlflowClient

    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert {run.info.run_name for run in runs} == {"a", "b"}
    assert not (tmp_path / "b" / "mlflow" / "mlflow.db").exists()


@pytest.mark.slow
def test_mlflow_on_a_full_disk_stops_nothing(tmp_path, straight):
    class Filling(Prompt):
        """Lets the store be made, and then no more of it."""

        def log(self, step, values):
            if step == 4:
                made = (tmp_path / "run" / "mlflow" / "id").is_file
                assert any(made() or threading.Event().wait(0.01) for _ in range(30_000))
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with no_file_larger_than(1 << 30), pytest.warns(UserWarning, match="The monitor MLflow failed") as caught:
        trainer([MLflow(tmp_path / "run"), Filling()]).fit(tmp_path / "run", 8)
    assert len([one for one in caught if one.category is UserWarning]) == 1
    assert_same_files(tmp_path / "run", straight)


@pytest.mark.slow
def test_an_mlflow_server_that_never_answers_stops_nothing(tmp_path, monkeypatch, silent_server, straight):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent_server.replace("//", "//me:hunter2@"))
    monkeypatch.setattr(guard, "PATIENCE", 0.1)
    with pytest.warns(UserWarning, match="MLflow was still busy") as caught:
        trainer([MLflow(tmp_path / "run")]).fit(tmp_path / "run", 8)
    assert len([one for one in caught if one.category is UserWarning]) == 1
    assert_same_files(tmp_path / "run", straight)


# The command line

TINY = ["--batch-size", "8", "--n-critic", "1", "--steps", "2", "--logging.metrics", "1"]


@pytest.mark.slow
def test_several_monitors_watch_at_once_and_no_secret_is_written(tmp_path, monkeypatch, wandb, capsys):
    secrets = {"WANDB_API_KEY": "a1b2c3d4e5" * 4, "MLFLOW_TRACKING_PASSWORD": "hunter2hunter2"}
    for name, secret in (secrets | {"AWS_SECRET_ACCESS_KEY": "correct-horse-battery"}).items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    words = [word for name in [*MONITORS, "mlflow"] for word in ("--monitor", name)]
    assert main(["train", "digits", "--out", str(folder), *words, *TINY]) == 0
    assert "note" not in capsys.readouterr().err
    assert list(events(folder).Scalars("gap"))
    assert sorted(wandb_history(wandb_files(folder)[0])) == [0, 1, 2]
    assert mlflow_run(folder)[1].info.status == "FINISHED"
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for secret in [*secrets.values(), "correct-horse-battery"]:
        assert secret.encode() not in written


def test_a_fork_is_watched_in_its_own_folder(tmp_path, capsys):
    words = ["train", "digits", "--out", str(tmp_path / "run"), "--monitor", "tensorboard", *TINY]
    assert main(words) == 0
    before = sorted((tmp_path / "run" / "tensorboard").iterdir())
    assert main([*words, "--batch-size", "9", "--fork", "--steps", "4"]) == 0
    assert sorted((tmp_path / "run" / "tensorboard").iterdir()) == before
    (fork,) = tmp_path.glob("run-fork-*")
    assert [scalar.step for scalar in events(fork).Scalars("gap")] == [3, 4]


@pytest.mark.slow
def test_without_the_package_the_extra_is_named(tmp_path):
    code = """
import sys
from pathlib import Path

absent = []

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from wgan.cli import main
from wgan.errors import MissingExtraError
from wgan.monitors import MONITORS

for name, package in [item.split("=") for item in sys.argv[1:]]:
    absent[:] = [package]
    try:
        MONITORS[name](Path("run"))
    except MissingExtraError as error:
        print(error)
    code = main(["train", "digits", "--monitor", name, "--steps", "1", "--out", "run"])
    assert code == 2, code
"""
    cases = {
        "tensorboard": ["tensorboard"],
        "wandb": ["wandb"],
        "mlflow": ["mlflow", "alembic"],
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *(f"{name}={package}" for name in cases for package in cases[name])],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    titles = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "mlflow": "MLflow"}
    sentences = [
        f"The {titles[name]} monitor needs an optional package: pip install 'wgan[{name}]'."
        for name in cases
        for _ in cases[name]
    ]
    assert done.stdout.splitlines() == sentences, done.stderr
    assert done.stderr.splitlines() == [f"wgan: {sentence}" for sentence in sentences]
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_monitors_there_are_have_an_extra_each():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert MONITORS.keys() <= project["optional-dependencies"].keys()

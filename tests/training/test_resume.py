"""What the same command does the second time: go on, refuse, fork - and never harm what is there."""

import json
import shutil
import signal
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import (
    DIGITS,
    Hook,
    assert_same_run,
    assert_same_tensors,
    critic,
    generator,
    last,
    leftovers,
    run_python,
    trainer,
    tree,
)
from torch import nn

from wgan.data import from_array
from wgan.errors import InputError, StorageError
from wgan.lipschitz import Chain, GradientPenalty, SpectralNormalisation
from wgan.runs import FORMAT, RunFolder, saved_steps
from wgan.training import Adam, ChangedSettingsError, LoggingIntervals, RMSprop, Trainer

LOGGING = LoggingIntervals(metrics=5, images=10, checkpoint=10, keep=3)


def small_run(**changes) -> Trainer:
    return trainer(**{"logging": LOGGING, "decay": "linear"} | changes)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """The run that nothing happened to: checkpoints of steps 20, 30 and 40."""
    return small_run().fit(tmp_path_factory.mktemp("straight") / "run", 40).path


@pytest.fixture
def run(tmp_path: Path, straight: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(straight, tmp_path / "run"))


def harm(checkpoint: Path) -> None:
    file = checkpoint / "generator.safetensors"
    file.write_bytes(file.read_bytes()[:-5])


# -------------------- broken checkpoints


@pytest.mark.slow
@pytest.mark.parametrize("broken", [(40,), (40, 30)])
def test_a_broken_checkpoint_is_named_and_the_last_whole_one_goes_on(run: Path, straight: Path, broken):
    for step in broken:
        harm(run / "checkpoints" / f"{step:08d}")
    names = ".*".join(f"{step:08d}" for step in broken)
    with pytest.warns(UserWarning, match=f"{names}.* not whole.* step {min(broken) - 10}"):
        small_run().fit(run, 40)
    assert_same_run(run, straight)


def test_interrupted_again_before_the_broken_one_is_reached(run: Path, straight: Path):
    harm(run / "checkpoints" / "00000040")
    interrupt = Hook()
    interrupt.log = lambda step, values: signal.raise_signal(signal.SIGINT) if step == 35 else None
    with pytest.warns(UserWarning, match="00000040"), pytest.raises(KeyboardInterrupt):
        small_run(monitors=[interrupt]).fit(run, 40)
    assert saved_steps(run / "checkpoints") == [20, 30, 35]
    small_run().fit(run, 40)  # without a warning: the broken one is gone
    assert_same_run(run, straight)


def test_if_no_checkpoint_is_whole_the_run_is_refused_and_nothing_is_touched(run: Path):
    for checkpoint in (run / "checkpoints").iterdir():
        harm(checkpoint)
    before = tree(run)
    with pytest.raises(InputError, match=r"No checkpoint in .* is complete"):
        small_run().fit(run, 40)
    assert tree(run) == before


def test_nor_does_a_longer_run_change_one_without_a_whole_checkpoint(tmp_path: Path):
    trainer().fit(tmp_path, 3)
    for checkpoint in (tmp_path / "checkpoints").iterdir():
        harm(checkpoint)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"No checkpoint in .* is complete"):
        trainer().fit(tmp_path, 6)
    assert tree(tmp_path) == before


def test_what_crashes_left_behind_is_swept_up(run: Path, straight: Path):
    shutil.copytree(run / "checkpoints" / "00000040", run / "checkpoints" / ".00000050.partial")
    for name in ("samples/.00000050.png.1.partial", ".metrics.jsonl.1.partial", ".config.json.1.partial"):
        (run / name).write_text("half")
    small_run().fit(run, 40)
    assert leftovers(run) == []
    assert_same_run(run, straight)


@pytest.mark.slow
def test_the_last_few_checkpoints_stay(tmp_path: Path):
    for keep in (1, 4):
        path = tmp_path / str(keep)
        small_run(logging=LoggingIntervals(checkpoint=3, keep=keep)).fit(path, 16)
        assert saved_steps(path / "checkpoints") == [6, 9, 12, 15, 16][-keep:]


PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def test_a_run_is_made_of_text_tensors_and_images(straight: Path):
    files = [path for path in straight.rglob("*") if path.is_file()]
    assert {path.name if path.name.startswith(".") else path.suffix for path in files} == {
        ".lock",
        ".json",
        ".jsonl",
        ".safetensors",
        ".png",
    }
    assert not [path for path in files if path.read_bytes().startswith(PICKLED)]
    for path in files:
        if path.suffix == ".safetensors":
            content = path.read_bytes()
            json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        elif path.suffix in (".json", ".jsonl"):
            text = path.read_text()
            assert [json.loads(part) for part in ([text] if path.suffix == ".json" else text.splitlines())]


# -------------------- folders that are refused


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "letter").write_text("mine")
    before = tree(tmp_path)
    for name in ("photos", "letter"):
        with pytest.raises(InputError, match=name):
            small_run().fit(tmp_path / name, 40)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"format": 999}', "format 999"),
        (b'{"format": 2}', "other settings"),
        (b'{"format": 2, "dataset": 3, "steps": "many"}', "other settings"),
    ],
)
def test_a_run_with_a_strange_configuration_is_refused(run: Path, content: bytes, phrase: str):
    (run / "config.json").write_bytes(content)
    before = tree(run)
    for decay in ("linear", "constant"):
        with pytest.raises(InputError, match=phrase):
            small_run(decay=decay).fit(run, 40)
    assert tree(run) == before


def test_a_run_whose_number_of_steps_is_gone_is_refused(tmp_path: Path):
    trainer().fit(tmp_path, 5)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["steps"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ChangedSettingsError, match="steps None -> 5"):
        trainer().fit(tmp_path, 5)


CHANGES = {
    "steps": ({}, "steps 40 -> 50"),
    "n_critic": ({"n_critic": 3}, "n_critic 2 -> 3"),
    "batch_size": ({"batch_size": 17}, "batch_size 16 -> 17"),
    "penalty_every": ({"penalty_every": 1}, "penalty_every 2 -> 1"),
    "seed": ({"seed": 7}, "seed 0 -> 7"),
    "ema": ({"ema": 0.5}, "ema 0.9 -> 0.5"),
    "warm_up": ({"warm_up": True}, "warm_up False -> True"),
    "decay": ({"decay": "cosine"}, "decay 'linear' -> 'cosine'"),
    "loss": ({"loss": "hinge"}, "loss 'wasserstein' -> 'hinge'"),
    "rate": ({"critic_optimiser": Adam(2e-3, (0.0, 0.9))}, "critic_optimiser.lr 0.001 -> 0.002"),
    "optimiser": ({"generator_optimiser": RMSprop(1e-3)}, "generator_optimiser.is 'Adam' -> 'RMSprop'"),
    "constraint": ({"constraint": GradientPenalty(1.0)}, "constraint.is 'Chain' -> 'GradientPenalty'"),
    "weight": ({"constraint": Chain(SpectralNormalisation(), GradientPenalty(2.0))}, "'weight': 2.0"),
    "generator": ({"generator": generator(hidden=(16, 17))}, "generator.hidden [16, 16] -> [16, 17]"),
    "critic": ({"critic": critic(width=17)}, "critic.printed"),
    "logging": ({"logging": replace(LOGGING, metrics=3)}, "logging.metrics 5 -> 3"),
    "data": ({"data": from_array(torch.linspace(-1, 1, 3200).reshape(50, 1, 8, 8))}, "dataset.fingerprint"),
}


@pytest.mark.parametrize(("changes", "difference"), CHANGES.values(), ids=CHANGES)
def test_changed_settings_are_refused_by_name(run: Path, changes, difference: str):
    before = tree(run)
    with pytest.raises(ChangedSettingsError) as refusal:
        small_run(**changes).fit(run, 40 if changes else 50)
    assert difference in str(refusal.value)
    assert tree(run) == before


def test_every_difference_is_named(run: Path):
    with pytest.raises(ChangedSettingsError) as refusal:
        small_run(seed=3, n_critic=1, ema=0.0).fit(run, 41)
    for difference in ("seed 0 -> 3", "n_critic 2 -> 1", "ema 0.9 -> 0.0", "steps 40 -> 41"):
        assert difference in str(refusal.value)
    assert "batch_size" not in str(refusal.value)


@pytest.mark.slow
def test_the_same_data_may_have_another_name(tmp_path: Path, straight: Path):
    small_run(data=replace(DIGITS, name="my/copy.npz")).fit(tmp_path / "other", 40)
    assert_same_run(tmp_path / "other", straight)
    before = tree(tmp_path / "other")
    small_run(data="digits").fit(tmp_path / "other", 40)
    assert tree(tmp_path / "other") == before


def test_origin_and_monitors_are_no_part_of_a_run(run: Path):
    before = tree(run)
    small_run(origin={"recipe": "mine"}, monitors=[Hook()]).fit(run, 40)
    assert tree(run) == before


def test_more_steps_under_a_constant_rate(tmp_path: Path):
    trainer().fit(tmp_path, 10)
    trainer().fit(tmp_path, 20)
    assert last(tmp_path).step == 20
    config = RunFolder(tmp_path).read_config()
    assert (config["steps"], config["format"]) == (20, FORMAT)


# -------------------- one process at a time


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[object, Path]]:
    """Another process that trains in a folder and does not end."""
    script = """
        import sys
        import small_runs
        small_runs.trainer().fit(sys.argv[1], 1_000_000)
    """
    with run_python(script, tmp_path / "busy") as process:
        while not (tmp_path / "busy" / "metrics.jsonl").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        yield process, tmp_path / "busy"
        process.kill()


@pytest.mark.slow
def test_a_second_process_is_refused_until_the_first_is_dead(elsewhere):
    process, folder = elsewhere
    config = (folder / "config.json").read_bytes()
    for steps in (1_000_000, 2_000_000):
        with pytest.raises(InputError, match=r"Another process is training in .*busy"):
            trainer().fit(folder, steps)
    assert process.poll() is None
    assert (folder / "config.json").read_bytes() == config
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(KeyboardInterrupt):
        trainer(monitors=[Interrupting()]).fit(folder, 1_000_000)


class Interrupting(Hook):
    """Sends SIGINT at the first log point."""

    def log(self, step, values):
        signal.raise_signal(signal.SIGINT)


# -------------------- forks


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {name: last(folder).tensors[name] for name in ("generator", "critic", "average")}


def test_a_fork_starts_with_the_weights_and_step_of_its_parent(tmp_path: Path, run: Path):
    before = tree(run)
    other = Adam(5e-4, (0.9, 0.999))
    path = tmp_path / "fork"
    small_run(critic_optimiser=other, generator=generator(5), critic=critic(6)).fit(path, 40, start=run)
    assert last(path).step == 40
    for name, tensors in weights(run).items():
        assert_same_tensors(weights(path)[name], tensors)
    assert last(path).tensors["critic_optimiser"] == {}
    assert tree(run) == before
    assert RunFolder(path).read_config()["critic_optimiser"]["lr"] == 5e-4


def test_a_fork_trains_on(tmp_path: Path, run: Path):
    before = tree(run)
    small_run(seed=3).fit(tmp_path / "fork", 60, start=run)
    assert last(tmp_path / "fork").step == 60
    assert [row["step"] for row in RunFolder(tmp_path / "fork").history()] == [45, 50, 55, 60]
    assert tree(run) == before
    changed = weights(tmp_path / "fork")["generator"]["layers.0.weight"]
    assert not torch.equal(changed, weights(run)["generator"]["layers.0.weight"])


@pytest.mark.slow
def test_an_interrupted_fork_is_the_fork_that_was_not(tmp_path: Path, run: Path):
    logging = LoggingIntervals(metrics=6, images=5, checkpoint=1000)

    def fork(name: str, **changes) -> None:
        small_run(logging=logging, **changes).fit(tmp_path / name, 60, start=run)

    fork("straight")
    for step in (40, 45, 55):
        interrupt = Hook(lambda now, step=step: signal.raise_signal(signal.SIGINT) if now == step else None)
        with pytest.raises(KeyboardInterrupt):
            fork("fork", monitors=[interrupt])
        assert last(tmp_path / "fork").step == step
    shutil.rmtree(run)  # the fork stands on its own by now
    fork("fork")
    assert_same_run(tmp_path / "fork", tmp_path / "straight")


@pytest.mark.slow
def test_a_fork_that_died_before_its_first_checkpoint_starts_from_its_parent(tmp_path: Path, run: Path):
    small_run(seed=3).fit(tmp_path / "straight", 60, start=run)
    shutil.copytree(tmp_path / "straight", tmp_path / "fork")
    for path in (tmp_path / "fork" / "checkpoints").iterdir():
        path.rename(path.with_name(".00000040.partial")) if path.name.endswith("40") else shutil.rmtree(path)
    (tmp_path / "fork" / "checkpoints").mkdir(exist_ok=True)
    small_run(seed=3).fit(tmp_path / "fork", 60, start=run)
    assert_same_run(tmp_path / "fork", tmp_path / "straight")


def test_a_fork_of_other_networks_is_refused(tmp_path: Path, run: Path):
    before = tree(run)
    asked = small_run(generator=generator(hidden=(16, 17)))
    fresh = {name: tensor.clone() for name, tensor in asked.generator.state_dict().items()}
    with pytest.raises(InputError, match=r"are others than those asked for.*`layers\..*shape"):
        asked.fit(tmp_path / "fork", 60, start=run)
    assert not (tmp_path / "fork").exists()
    assert tree(run) == before
    assert_same_tensors(dict(asked.generator.state_dict()), fresh)


def test_a_fork_of_another_critic_leaves_the_generator_alone(tmp_path: Path, run: Path):
    asked = small_run(generator=generator(9), critic=critic(width=17))
    fresh = {name: tensor.clone() for name, tensor in asked.generator.state_dict().items()}
    with pytest.raises(InputError, match="The critic has"):
        asked.fit(tmp_path / "fork", 60, start=run)
    assert_same_tensors(dict(asked.generator.state_dict()), fresh)


@pytest.mark.parametrize("what", ["nothing", "empty", "file"])
def test_a_fork_of_no_run_is_refused(tmp_path: Path, what: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{what} has no checkpoint to start from"):
        small_run().fit(tmp_path / "fork", 60, start=tmp_path / what)
    assert not (tmp_path / "fork").exists()


def test_a_fork_passes_over_a_broken_checkpoint_of_its_parent(tmp_path: Path, run: Path):
    harm(run / "checkpoints" / "00000040")
    before = tree(run)
    with pytest.warns(UserWarning, match="00000040.*step 30"):
        small_run().fit(tmp_path / "fork", 31, start=run)
    assert tree(run) == before


# -------------------- whatever else users bring


class Secretive(nn.Module):
    """A critic whose printed form does not tell its width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.randn(64, width)), nn.Parameter(torch.ones(width, 1))]
        )

    def forward(self, samples):
        return (samples.flatten(1) @ self.weights[0]).relu() @ self.weights[1]

    def __repr__(self) -> str:
        return "Secretive()"


def test_weights_that_do_not_fit_are_refused_even_if_the_networks_look_the_same(tmp_path: Path):
    trainer(critic=Secretive(4), constraint=None).fit(tmp_path, 5)
    before = tree(tmp_path)
    with pytest.raises(InputError, match="The critic has"):
        trainer(critic=Secretive(5), constraint=None).fit(tmp_path, 6)
    assert tree(tmp_path) == before


@pytest.mark.slow
def test_a_monitor_that_fails_is_dropped_and_the_run_goes_on(tmp_path: Path, straight: Path):
    def fail(step: int) -> None:
        raise ValueError("no paper left")

    with pytest.warns(UserWarning, match="Hook failed .*: no paper left"):
        small_run(monitors=[Hook(fail)]).fit(tmp_path / "run", 40)
    assert_same_run(tmp_path / "run", straight)


def test_nothing_warns_when_nothing_is_wrong(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer().fit(tmp_path, 3)
        folder = trainer().fit(tmp_path, 6)
    assert (folder.checkpoints / "00000006").is_dir()


def test_a_checkpoint_folder_that_is_a_file(tmp_path: Path):
    trainer().fit(tmp_path, 3)
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(StorageError, match="checkpoints"):
        trainer().fit(tmp_path, 3)
    assert (tmp_path / "checkpoints").read_text() == "mine"

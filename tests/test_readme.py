"""What the README shows is what happens."""

import re
import runpy
from pathlib import Path

import pytest

from wgan.cli import COMMANDS, main

README = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(code, folder):
    """The names that a block of code defines."""
    file = folder / "example.py"
    file.write_text(code)
    return runpy.run_path(str(file))


def test_the_first_example_trains_and_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run(EXAMPLES[0], tmp_path)
    assert names["samples"].shape == (64, 1, 8, 8)
    assert names["samples"].abs().max() <= 1
    assert len(EXAMPLES[0].strip().splitlines()) <= 18
    assert (tmp_path / "runs" / "example" / "config.json").is_file()


def test_the_constraint_of_ones_own_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run(EXAMPLES[0] + EXAMPLES[1], tmp_path)
    trainer = names["wgan"].Trainer(
        generator=names["trainer"].generator,
        critic=names["trainer"].critic,
        data=names["digits"],
        constraint=names["ScoreDrift"](0.5),
    )
    row = trainer.fit(tmp_path / "own", 50).history()[-1]
    assert row["penalty"] > 0


@pytest.mark.parametrize("block", EXAMPLES[2:])
def test_every_further_example_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "bracket" in run(block, tmp_path)


def test_the_readme_names_every_command_and_no_other():
    shown = set(re.findall(r"^wgan (\w+)", README, re.MULTILINE))
    assert shown == set(COMMANDS)


def test_the_training_shown_with_its_overrides_is_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (shown,) = re.findall(r"^wgan train SOURCE (.*constraint:.*)$", README, re.MULTILINE)
    assert main(["train", "digits", "--dry-run", *shown.split()]) == 0
    printed = capsys.readouterr().out
    assert "LipschitzPenalty" in printed
    assert list(tmp_path.iterdir()) == []


def test_the_tree_shown_is_the_tree_there_is():
    root = Path(__file__).parent.parent
    (block,) = re.findall(r"## What is where\n\n```\n(.*?)```", README, re.DOTALL)
    shown = [line.split()[0] for line in block.splitlines()]
    assert all((root / path).exists() for path in shown)
    rooms = {f"src/wgan/{path.name}" for path in (root / "src/wgan").iterdir() if path.name[0] not in "_."}
    files = {"src/wgan/errors.py", "src/wgan/core/files.py", "src/wgan/core/devices.py", "src/wgan/py.typed"}
    assert {path.rstrip("/") for path in shown if path.startswith("src/")} == rooms - files

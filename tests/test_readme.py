"""What the README and the documentation show is what happens."""

import re
import runpy
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

import pytest

from wgan.cli import COMMANDS, main
from wgan.cli.parse import parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PYTHON = (ROOT / "docs/python.md").read_text()
COMMANDS_PAGE = (ROOT / "docs/commands.md").read_text()
PAGES = sorted(
    path
    for folder in (".", "docs", "benchmarks", "lab", ".github")
    for path in (ROOT / folder).rglob("*.md")
    if folder != "." or path.parent == ROOT
)


def examples(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(code: str, folder: Path) -> dict[str, object]:
    """The names that a block of code defines."""
    file = folder / "example.py"
    file.write_text(code)
    return runpy.run_path(str(file))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link to a section of the page may say, as GitHub makes it from headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    yield from re.findall(r"\]\(([^)\s]+)\)", prose(page))


def test_the_readme_fits_two_screens():
    assert len(README.splitlines()) <= 110


@pytest.mark.slow
@pytest.mark.parametrize("text", [README, PYTHON], ids=["README", "docs/python.md"])
def test_the_first_example_trains_and_samples(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run(examples(text)[0], tmp_path)
    assert names["samples"].shape == (64, 1, 8, 8)
    assert names["samples"].abs().max() <= 1
    assert len(examples(text)[0].strip().splitlines()) <= 18
    assert (tmp_path / "runs" / "example" / "config.json").is_file()


@pytest.mark.slow
def test_the_constraint_of_the_documentation_works_in_a_trainer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, constraint, *_ = examples(PYTHON)
    names = run(first + constraint, tmp_path)
    trainer = names["wgan"].Trainer(
        names["digits"],
        generator=names["trainer"].generator,
        critic=names["trainer"].critic,
        constraint=names["ScoreDrift"](0.5),
    )
    row = trainer.fit(tmp_path / "own", 250).history()[-1]
    assert row["penalty"] > 0


@pytest.mark.slow
def test_the_bracket_of_the_documentation_holds_the_truth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "bracket" in run(examples(PYTHON)[-1], tmp_path)


@pytest.mark.slow
def test_the_monitor_of_the_documentation_follows_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (monitor,) = (block for block in examples(PYTHON) if "wgan.Monitor" in block)
    names = run(monitor, tmp_path)
    assert names["smallest"].gap < float("inf")


def test_the_documentation_names_every_command_and_no_other():
    shown = set(re.findall(r"^wgan (\w+)", COMMANDS_PAGE, re.MULTILINE))
    assert shown == set(COMMANDS)
    assert set(re.findall(r"^wgan (\w+)", README, re.MULTILINE)) <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_parses(page):
    for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for shown in re.findall(r"^(?:torchrun .* -m )?wgan (.*)$", block, re.MULTILINE):
            name, *arguments = shlex.split(shown.partition(" && ")[0], comments=True)
            command = getattr(import_module(f"wgan.cli.{name}"), name.capitalize())
            assert parse(command, arguments), shown


@pytest.mark.slow
def test_the_training_with_overrides_of_the_documentation_parses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (shown,) = re.findall(r"^wgan train DATA (.*constraint:.*)$", COMMANDS_PAGE, re.MULTILINE)
    assert main(["train", "digits", "--dry-run", *shown.split()]) == 0
    printed = capsys.readouterr().out
    assert "LipschitzPenalty" in printed
    assert list(tmp_path.iterdir()) == []


def test_the_tree_of_the_documentation_is_the_tree_there_is():
    text = (ROOT / "docs/architecture.md").read_text()
    (block,) = re.findall(r"## What is where\n\n```\n(.*?)```", text, re.DOTALL)
    shown = [line.split()[0] for line in block.splitlines()]
    assert all((ROOT / path).exists() for path in shown)
    parts = {f"src/wgan/{path.name}" for path in (ROOT / "src/wgan").iterdir() if path.name[0] not in "_."}
    ground = {"src/wgan/errors.py", "src/wgan/core", "src/wgan/py.typed"}
    assert {path.rstrip("/") for path in shown if path.startswith("src/")} == parts - ground


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_section_of_it(page):
    for link in links(page):
        if re.match(r"\w+:", link):
            continue
        path, _, section = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not section or section in anchors(target), f"{link} leads to no section"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_of_the_tests_and_docs_that_a_page_names_exists(page):
    named = re.findall(r"`((?:tests|docs|lab|examples|benchmarks)/[\w/.]+\.\w+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []

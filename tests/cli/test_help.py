"""Help pages fit a terminal of 80 columns, and a class is chosen by the name that people write."""

import re

import pytest

from wgan.cli import COMMANDS
from wgan.cli.options import all_words, words
from wgan.cli.parse import parse
from wgan.cli.run_options import Train, defaults
from wgan.training import RMSprop

PAGES = [*(f"{name} --help" for name in COMMANDS if name != "data"), "data pack --help", "data verify --help"]


def rows(page):
    """The rows of the boxes of a page, without their borders."""
    return [line.strip("│").strip() for line in page.splitlines() if line.startswith("│")]


@pytest.fixture
def somewhere(monkeypatch):
    """A terminal of 80 columns; help needs no folder."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("command", [*PAGES, "train --help-all"])
def test_a_help_page_fits_its_terminal_and_has_no_empty_rows(wgan, command):
    page, _ = wgan(command)
    wide = [line for line in page.splitlines() if len(line) > 80 and not line.startswith("Defaults are")]
    assert wide == []
    assert "" not in rows(page)


@pytest.mark.parametrize("command", PAGES)
def test_help_leaves_out_a_default_that_is_none(wgan, command):
    page, _ = wgan(command)
    assert re.search(r"\{None\}|default: None|default: \)", page) is None


def test_help_texts_are_wrapped_where_the_terminal_ends_and_not_the_source(wgan):
    text = " ".join(rows(wgan("sample --help")[0]))
    assert "`all` draws --count samples of every class, one row per class and one latent per column." in text
    lengths = [len(row) for row in rows(wgan("evaluate --help")[0])]
    assert max(lengths) > 70


def test_a_page_is_as_wide_as_its_terminal(wgan, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    page, _ = wgan("evaluate --help")
    assert max(map(len, page.splitlines())) == 60


def test_classes_are_chosen_by_the_names_that_people_write():
    assert {
        "networks:dcgan",
        "networks:mlp",
        "networks:resnet",
        "networks:r3gan",
        "constraint:dragan",
        "constraint:r1",
        "constraint:r1-r2",
        "constraint:gradient-penalty",
        "generator-optimiser:rmsprop",
        "critic-optimiser:rmsprop",
    } <= {*all_words(Train)}


@pytest.mark.parametrize("word", [word for word in all_words(Train) if word.startswith("constraint:")])
def test_every_word_chooses_its_class(word):
    default = defaults("default", (1, 28, 28))
    line = ["digits", word, "generator-optimiser:rmsprop"]
    command = parse(Train, line, default=default)
    assert isinstance(command.settings.generator_optimiser, RMSprop)
    assert parse(Train, words(command, default), default=default) == command
    assert word.endswith("gradient-penalty") or word in words(command, default)

"""``wgan report``, and the report that every run leaves."""

import os
import re
from pathlib import Path

import pytest
from small_runs import tree

from wgan import report
from wgan.cli import main
from wgan.cli.report import reporting
from wgan.cli.rerun import rerun
from wgan.errors import DivergenceError
from wgan.report import write_report
from wgan.report.run_data import read_run


def test_a_run_leaves_a_report(trained):
    html = (trained / "report.html").read_text()
    assert re.search(r"wgan train digits --.* --batch-size 4 --steps 8 ", re.sub("<[^>]*>", "", html))
    assert html.count('<figure class="chart"') >= 5
    assert main(["report", str(trained)]) == 0
    assert html == (trained / "report.html").read_text()


def test_the_command_replaces_the_report_and_says_where_it_is(a_run, capsys):
    before = (a_run / "report.html").read_bytes()
    (a_run / "report.html").write_text("old")
    assert main(["report", str(a_run)]) == 0
    assert capsys.readouterr().out == f"{a_run / 'report.html'}\n"
    assert (a_run / "report.html").read_bytes()[:500] == before[:500]
    assert [path for path in a_run.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing", "there is no such folder"),
        ("empty", "it has no config.json"),
        ("file", "it has no config.json"),
        ("garbled", "cannot be read"),
        ("newer", "upgrade wgan"),
    ],
)
def test_what_is_no_run_is_refused_in_one_sentence(tmp_path, capsys, name, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    for folder, text in {"garbled": "{", "newer": '{"format": 99}'}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(text)
    before = tree(tmp_path)
    assert main(["report", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("wgan: ")
    assert says in err
    assert len(err.splitlines()) == 1
    assert tree(tmp_path) == before


def test_a_folder_that_cannot_be_written_keeps_the_old_report(a_run, capsys):
    (a_run / "report.html").unlink()
    (a_run / "report.html").mkdir()
    (a_run / "report.html" / "mine").write_text("mine")
    assert main(["report", str(a_run)]) == 2
    assert "Cannot write" in capsys.readouterr().err
    assert (a_run / "report.html" / "mine").read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit(143), DivergenceError("lost")])
def test_a_run_that_ends_early_leaves_a_report_too(a_run, error):
    (a_run / "report.html").unlink()
    with pytest.raises(type(error) if isinstance(error, BaseException) else error), reporting(a_run):
        raise error
    assert (a_run / "report.html").is_file()


def test_a_run_that_never_began_leaves_none(tmp_path):
    with pytest.raises(KeyboardInterrupt), reporting(tmp_path / "run"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("disk full"), ZeroDivisionError("a defect"), MemoryError()])
def test_a_report_that_fails_costs_one_warning_and_not_the_run(a_run, monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(report, "render_page", fail)
    with reporting(a_run):
        pass
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("wgan: note: No report was written")


def test_the_command_line_of_a_run_whose_report_fails_ends_well(a_run, capsys):
    (a_run / "report.html").unlink()
    (a_run / "report.html").mkdir()
    words = rerun(read_run(a_run).config).split()[1:]
    words[words.index("--out") + 1] = str(a_run)
    assert main(words) == 0
    err = capsys.readouterr().err
    assert err.count("wgan: note: No report was written") == 1
    assert "Done: " in err


def test_the_report_is_named_as_it_was_asked_for(a_run, monkeypatch):
    monkeypatch.chdir(a_run.parent)
    assert write_report("run") == Path("run") / "report.html"
    assert main(["report", "run"]) == 0
    assert "wgan evaluate run" in re.sub("<[^>]*>", "", (a_run / "report.html").read_text())
    assert os.getcwd() == str(a_run.parent)

"""The report in a real browser: it renders, asks for nothing, and can be read, on any screen and by night."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from wgan.diagnosis import Finding
from wgan.report import Commands, write_report
from wgan.report.page import render_page
from wgan.report.run_data import read_run
from wgan.report.sample_images import choose_images

HERE = Path(__file__).parent

SCREENS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
LONG = "/a/path/without/any/place/to/break/" + "x" * 120


@pytest.fixture(scope="session")
def browser():
    """Where Chromium is; continuous integration has to have it, and what drives it."""
    found = shutil.which("chromium")
    reason = None
    if found is None or shutil.which("node") is None:
        reason = "Chromium or Node is not installed: apt-get install chromium nodejs"
    elif not (HERE / "node_modules" / "playwright-core").is_dir():
        reason = "playwright-core is not installed: npm install --prefix tests/report"
    if reason is None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def look(browser):
    """Looks at a page; returns what happened in it."""

    def at(path, width, scheme):
        words = ["node", str(HERE / "look.mjs"), browser, path.as_uri(), str(width), scheme]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return at


def busy(folder):
    """A report with something in every part, and words that are too long."""
    number = {"name": "fd", "label": "FD", "value": 3.0, "standard_error": 0.1, "floor": {"value": 1.5}}
    folder.whole().measure(number, {**number, "step": 500})
    config = json.loads((folder.path / "config.json").read_text())
    config["dataset"]["name"] = LONG
    (folder.path / "config.json").write_text(json.dumps(config))
    run = read_run(folder.path)
    found = [
        Finding(
            f"{severity}-of-some-kind",
            severity,
            400,
            {"diversity": 0.01, LONG: LONG},
            f"Something is the matter. {LONG}",
            "Do something about it.",
            {"n_critic": 5},
        )
        for severity in ("error", "warning", "note")
    ]
    path = folder.path / "report.html"
    long = f"wgan train {LONG} --n-critic 5"
    commands = Commands(long, lambda remedy: long, long, long)
    path.write_text(render_page(run, found, choose_images(run.images), commands))
    return path


def trained(folder):
    return write_report(folder.whole().path)


def scatter(folder):
    folder.whole().config(dataset={"name": "ring8", "shape": [2]})
    return write_report(folder.path)


def started(folder):
    return write_report(folder.config().path)


def one_point(folder):
    return write_report(folder.config().log([{"step": 100, "gap": 1.0, "gap_held_out": 0.9}]).path)


def diverged(folder):
    rows = [{"step": 100 * n, "gap": 10.0 ** (n * n), "gap_held_out": -(10.0**n)} for n in range(1, 9)]
    return write_report(folder.config().log([*rows, {"step": 900, "gap": None}]).path)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("make", [busy, trained, scatter, started, one_point, diverged])
def test_the_report_is_sound_on_any_screen(folder, look, make, width, scheme):
    path = make(folder)
    seen = look(path, width, scheme)
    assert seen["console"] == []
    assert seen["errors"] == []
    assert [url for url in seen["requests"] if not url.startswith("data:")] == [path.as_uri()[:80]]
    page_width, screen = seen["width"]
    assert page_width <= screen == width
    assert seen["outside"] == []
    assert all(wide > 0 and high > 0 for wide, high in seen["svgs"])
    assert all(complete and natural > 0 for complete, natural in seen["images"])
    assert seen["text"][0] >= 4.5, seen["text"]  # WCAG 2.2, 1.4.3
    assert seen["lines"][0] >= 3, seen["lines"]  # WCAG 2.2, 1.4.11
    assert seen["smallest"] >= 10.9
    assert seen["injected"] == "undefined"
    red, green, blue = map(int, seen["back"].strip("rgb()").split(","))
    assert (red + green + blue > 600) == (scheme == "light")


@pytest.mark.slow
def test_values_can_be_read_off_and_the_images_played(folder, look):
    seen = look(trained(folder), 390, "light")
    last, pointed, stepped = seen["legend"]
    assert last.endswith("step 1,000")
    assert stepped.endswith("step 900")
    assert pointed not in (last, stepped)
    assert seen["player"] == ["step 1,000", "step 0", "step 1,000"]
    assert seen["changed"]


@pytest.mark.slow
def test_a_script_from_the_data_would_not_run(folder, look):
    """The second wall behind the escaping: the policy allows one script, by its checksum."""
    path = trained(folder)
    html = path.read_text()
    hostile = "<script>window.injected = 1</script><img src='https://example.org/x.png'>"
    path.write_text(html.replace("<main>", f"<main>{hostile}"))
    seen = look(path, 1280, "light")
    assert seen["injected"] == "undefined"
    assert len(seen["console"]) == 2
    assert seen["refused"] == ["https://example.org/x.png"]  # by the browser, before it left

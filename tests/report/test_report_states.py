"""A run in any state has a report that says so, and nothing that stands in its folder gets out of hand."""

import re
from base64 import b64encode
from html import unescape
from html.parser import HTMLParser

import pytest
from printed_commands import COMMANDS

from wgan.diagnosis import Finding
from wgan.errors import InputError
from wgan.report import Commands, write_report
from wgan.report.page import render_page
from wgan.report.ridges import MOST_RIDGES
from wgan.report.run_data import read_run
from wgan.report.sample_images import FRAME_BYTES, FRAMES, STILL_BYTES, STILLS, choose_images
from wgan.report.verdict import reach_verdict


def text_of(html):
    """What a reader sees."""
    body = html[html.index("<body") :]
    body = re.sub(r"<(script|style)>.*?</\1>", "", body, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def report_on(folder):
    return write_report(folder.path, COMMANDS).read_text()


def sections(html):
    return re.findall(r'<section id="(\w+)">', html)


def charts(html):
    return [unescape(title) for title in re.findall(r"<h4>(.*?)</h4>", html)]


class Balanced(HTMLParser):
    """Fails on an end without a beginning, and on a beginning without an end."""

    open: list[str]

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_well_formed(html):
    parser = Balanced()
    parser.open = []
    parser.feed(html)
    assert parser.open == []


def test_a_whole_run_has_every_part(folder):
    folder.whole().measure(
        {"name": "fd", "label": "FD", "value": 3.0, "standard_error": 0.1, "floor": {"value": 1.5}},
        {"name": "w1", "label": "W1", "lower": 0.1, "upper": 0.4, "confidence": 0.99},
    )
    html = report_on(folder)
    assert_well_formed(html)
    assert sections(html) == ["findings", "images", "curves", "quality", "settings", "again"]
    assert charts(html) == [
        "Gap (W estimate)",
        "W1 distance, between proven bounds",
        "Critic scores",
        "Distribution of the scores",
        "Critic slope between real and generated",
        "Critic slope between real samples",
        "Gradient penalty",
        "Critic gradient by layer",
        "Gradient norms",
        "Clipped weights",
        "Critic weights",
        "Distribution of the critic weights",
        "Sample diversity",
        "Copies",
        "Losses",
        "Size of an update",
        "Dead units",
        "Speed",
    ]
    told = text_of(html)
    assert "3 ± 0.1" in told
    assert "0.1 to 0.4 (99 % confidence)" in told
    assert "n = 1,618 real, 179 fake; pixels 6ec9c2b0" in told
    assert "wgan train digits --steps 1000" in told
    assert "GradientPenalty(weight=1, target=1)" in told
    assert len(html) < 5e6


def test_every_section_and_chart_says_how_to_read_it(folder):
    html = report_on(folder.whole())
    for section in html.split("<section")[1:]:
        assert re.search(r'<p class="lead">[^<]{30,}[.]</p>', section)
    for chart in html.split('<figure class="chart"')[1:]:
        assert re.search(r'<p class="reading">[^<]{30,}[.]</p>', chart)


def test_the_same_run_has_the_same_report(folder):
    folder.whole()
    first = report_on(folder)
    assert report_on(folder) == first


@pytest.mark.parametrize(
    "torn",
    ["", '{"step": 1100, "ga', '{"step": 1' + "0" * 400 + "}\n", '{"step": 1100}\n[1, 2]\n"x"\n', "\0\0\0"],
)
def test_a_last_line_in_pieces_does_no_harm(folder, healthy, torn):
    folder.config().log(healthy(100, 200, 300), torn=torn)
    html = report_on(folder)
    assert re.search("1,[01]00 steps|300 of 1,000", text_of(html))
    assert_well_formed(html)


def test_a_run_without_a_log_point_says_that_it_just_started(folder):
    html = report_on(folder.config())
    assert "Just started" in html
    assert sections(html) == ["quality", "settings", "again"]
    assert "healthy" not in html


def test_a_run_under_way_does_not_claim_to_be_done(folder, healthy):
    told = text_of(report_on(folder.config().log(healthy(100, 200, 300))))
    assert "Not finished" in told
    assert "300 of 1,000" in told


def test_a_run_that_diverged_says_when(folder, healthy):
    lost = {"step": 400, "gap": None, "critic_loss": None, "generator_loss": 1.0}
    html = report_on(folder.config().log([*healthy(100, 200, 300), lost]))
    assert "Diverged" in html
    assert "At step 400 " in text_of(html)
    assert 'class="badge error"' in html


def test_a_missing_number_beside_others_is_no_divergence(folder, healthy):
    rows = [
        {**line, "diversity": None, "recall_held_out": None, "slope/max": None} for line in healthy(100, 200)
    ]
    html = report_on(folder.config().log(rows))
    assert "Diverged" not in html


def test_a_chart_without_data_is_left_out(folder):
    rows = [{"step": step, "gap": 1.0, "gap_held_out": 1.0} for step in (100, 200, 300)]
    assert charts(report_on(folder.config().log(rows))) == ["Gap (W estimate)"]


@pytest.mark.parametrize("value", ["text", True, [1], {"a": 1}, float("nan"), float("-inf"), 10**400])
def test_what_is_no_number_is_no_point(folder, value):
    rows = [{"step": step, "gap": 1.0, "recall_held_out": value} for step in (100, 200, 300)]
    assert charts(report_on(folder.config().log(rows))) == ["Gap (W estimate)"]


def test_numbers_of_any_size_are_drawn(folder):
    values = [1e-300, 1.0, 1.7e308, -1.7e308]
    rows = [{"step": 100 * index, "gap": value} for index, value in enumerate(values, 1)]
    assert "nan" not in re.findall(r'd="([^"]*)"', report_on(folder.config().log(rows)))


SHAPE = {"low": -1.0, "high": 1.0, "counts": [1, 2]}


@pytest.mark.parametrize(
    "broken",
    [
        {"counts": []},
        {"counts": [0, 0]},
        {"counts": [1, -1]},
        {"counts": [0.5]},
        {"counts": "12"},
        {"low": 2.0},
        {"high": None},
        {"high": 1e999},
    ],
)
def test_what_is_no_histogram_is_no_ridge(folder, healthy, broken):
    rows = [{"step": 100, "score_real": SHAPE}, {"step": 200, "score_real": {**SHAPE, **broken}}, 7, {}]
    folder.config().log(healthy(100, 200)).log(rows, "histograms")
    whole, none = read_run(folder.path).histograms
    assert (whole[0], set(whole[1])) == (100, {"score_real"})
    assert none == (200, {})
    assert charts(report_on(folder)).count("Distribution of the scores") == 1
    folder.log([{"step": 100, "score_real": {**SHAPE, **broken}}], "histograms")
    assert "Distribution of the scores" not in charts(report_on(folder))


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (-1e300, 1e300), (1e-300, 2e-300), (5.0, 5.0)])
def test_ridges_stay_inside_the_frame(folder, healthy, low, high):
    rows = [
        {"step": 10 * i, "score_real": {"low": low, "high": high, "counts": [i, 1, 0]}} for i in range(30)
    ]
    folder.config().log(healthy(100)).log(rows, "histograms")
    html = report_on(folder)
    figure = html[html.index("Distribution of the scores") :].partition("</figure>")[0]
    pairs = re.findall(r"[ML](\S+) ([^LZ\"]+)", figure.partition("</ul>")[2])
    assert len(pairs) == MOST_RIDGES * 2 * 5  # an area and a line each, through three bins and both ends
    assert all(0 <= float(x) <= 400 and 0 <= float(y) <= 210 for x, y in pairs)


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": None},
        {"dataset": {"name": 3, "shape": "x"}},
        {"constraint": None, "generator": [], "critic": "x", "origin": None, "versions": 3},
        {"steps": None, "seed": None},
        {"loss": "my own", "constraint": {"is": "Chain", "of": [{"is": "R1", "gamma": 1.0}]}},
        {"dataset": {"name": "points", "shape": [2]}},
    ],
)
def test_a_configuration_of_any_kind_is_told(folder, healthy, changes):
    folder.config(**changes).log(healthy(100, 200))
    assert_well_formed(report_on(folder))


HOSTILE = "<script>window.injected=1</script><img src=x onerror=alert(1)>\"'&\udcff</style></title>"


def test_no_text_becomes_markup(folder, healthy):
    folder.whole().config(
        dataset={"name": HOSTILE, "shape": [1, 8, 8], "fingerprint": HOSTILE},
        loss=HOSTILE,
        constraint={"is": HOSTILE, HOSTILE: HOSTILE},
        origin={"name": HOSTILE, "arguments": [HOSTILE], "start": HOSTILE},
        versions={HOSTILE: HOSTILE},
    )
    rows = [{**line, f"critic_gradient/{HOSTILE}": 1.0} for line in healthy(100, 200)]
    provenance = {HOSTILE: HOSTILE}
    folder.log(rows).measure(
        {"name": HOSTILE, "label": HOSTILE, "value": HOSTILE, "floor": HOSTILE, "provenance": provenance}
    )
    run = read_run(folder.path)
    finding = Finding(HOSTILE, "warning", 200, {HOSTILE: HOSTILE}, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    commands = Commands(HOSTILE, lambda remedy: HOSTILE, HOSTILE, HOSTILE)
    html = render_page(run, [finding], choose_images(run.images), commands)
    clean = render_page(read_run(folder.path), [], choose_images(run.images))
    assert html.count("<script") == clean.count("<script") == 1
    assert "<img src=x" not in html
    assert html.count("</style>") == html.count("</title>") == 1
    assert_well_formed(html)
    assert_well_formed(report_on(folder))


def test_findings_lead_the_verdict_with_what_to_do(folder):
    run = read_run(folder.whole().path)
    finding = Finding(
        "mode-collapse",
        "error",
        400,
        {"diversity": 0.01234567},
        "The generator makes one thing. It should not.",
        "Train the critic more. Really.",
        {"n-critic": 5},
    )
    judged = reach_verdict(run, [finding])
    assert judged.tone == "error"
    assert judged.sentences == ("The generator makes one thing.", "Train the critic more.")
    html = render_page(run, [finding], choose_images(run.images), COMMANDS)
    told = text_of(html)
    assert "Mode collapse error, since step 400" in told
    assert "diversity 0.0123" in told
    assert "wgan train digits {'n-critic': 5}" in told
    assert html.count('class="mark"') == html.count("data-chart=")  # where it began, in each over steps
    assert 'class="mark"' not in render_page(run, [], choose_images(run.images))


def test_what_a_run_did_about_itself_is_told(folder):
    done = {
        "step": 600,
        "name": "learning-rate-too-high",
        "since": 500,
        "start": 400,
        "before": "runs/a-before-1",
        "evidence": {"gap": 3.0},
        "remedy": {"critic_optimiser.lr": 1e-4, "constraint": {"is": "R1", "gamma": 1.0}},
    }
    folder.whole().config(origin={"interventions": [done, {}, 3]})
    told = text_of(report_on(folder))
    assert "At step 600: learning rate too high, since step 500. Training resumed from step 400 with " in told
    assert "critic_optimiser.lr = 0.0001, constraint = R1(gamma=1.0); the abandoned attempt is " in told


def test_a_note_is_no_trouble(folder):
    run = read_run(folder.whole().path)
    judged = reach_verdict(run, [Finding("converged", "note", 400, {}, "It has settled.", "Stop here.")])
    assert judged.tone == "good"


@pytest.mark.parametrize(
    ("value", "error", "floor", "told"),
    [
        (3.0, 0.1, 1.5, "2 times as far from the data"),
        (1.6, 0.1, 1.5, "as close to the data as new real ones"),
        (3.0, 0.9, 1.5, "as close to the data as new real ones"),  # as far as these samples can tell
    ],
)
def test_the_verdict_quotes_the_measured_distance(folder, value, error, floor, told):
    number = {
        "name": "fd",
        "label": "FD",
        "value": value,
        "standard_error": error,
        "floor": {"value": floor, "standard_error": 0.1},
    }
    run = read_run(folder.whole().measure(number).path)
    assert told in reach_verdict(run, []).sentences[1]
    earlier = {**number, "step": 500}  # of a generator that is gone
    run = read_run(folder.measure(earlier).path)
    assert told not in reach_verdict(run, []).sentences[1]


def test_the_verdict_tells_whether_the_gap_came_down(folder, healthy):
    folder.config().log(healthy(*range(100, 1001, 100)))
    assert "closer to the real ones" in reach_verdict(read_run(folder.path), []).sentences[1]
    folder.log([{"step": step, "gap": step / 100} for step in range(100, 1001, 100)])
    assert "not getting closer" in reach_verdict(read_run(folder.path), []).sentences[1]
    folder.log([{"step": 100, "gap": 1.0}])
    assert "too early" in reach_verdict(read_run(folder.path), []).sentences[1]


@pytest.mark.parametrize("name", ["evaluation.json", "data.json"])
def test_a_broken_file_beside_the_log_is_told_and_the_rest_is_there(folder, name):
    folder.whole()
    (folder.path / name).write_text("{")
    html = report_on(folder)
    assert f"{name} cannot be read" in text_of(html)
    assert charts(html)


def test_no_run_is_refused_and_nothing_is_written(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="is not a run folder"):
            write_report(path)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------- images


def test_a_run_without_images_has_none(folder, healthy):
    html = report_on(folder.config().log(healthy(100, 200)))
    assert "<img" not in html
    assert "images" not in sections(html)


def test_a_torn_image_is_left_out(folder):
    folder.whole()
    last = folder.path / "samples" / "00001000.png"
    last.write_bytes(last.read_bytes()[:300])
    (folder.path / "samples" / "00000500.png").write_bytes(b"")
    html = report_on(folder)
    assert re.findall(r'alt="[^"]*step ([\d,]+)"', html) == ["750", "0", "250", "750"]


@pytest.mark.slow
def test_many_large_images_stay_within_bounds(folder, healthy):
    folder.config().log(healthy(100, 200)).draw(range(60), size=(1000, 300))
    kept = choose_images(read_run(folder.path).images)
    assert (len(kept.stills), len(kept.frames), kept.count) == (STILLS, FRAMES, 60)
    assert [kept.stills[0].step, kept.stills[-1].step] == [0, 59]
    assert all(len(image.uri) <= STILL_BYTES * 1.4 for image in kept.stills)
    assert all(len(image.uri) <= FRAME_BYTES * 1.4 for image in kept.frames)
    assert len(report_on(folder)) < 5e6


def test_a_small_image_is_the_file_itself(folder):
    folder.whole()
    content = (folder.path / "samples" / "00000250.png").read_bytes()
    assert b64encode(content).decode() in report_on(folder)


def test_evaluations_of_several_steps_are_there_the_last_first(folder):
    number = {"name": "fd", "label": "FD", "standard_error": None, "floor": None}
    folder.whole().measure({**number, "value": 2.0}, {**number, "value": 9.0, "step": 500})
    told = text_of(report_on(folder))
    assert (
        told.index("After 1,000 steps") < told.index("Earlier measurements") < told.index("After 500 steps")
    )


def test_without_commands_a_report_has_settings_in_their_place(folder):
    run = read_run(folder.whole().path)
    finding = Finding("x", "error", 400, {}, "It is wrong.", "Mend it.", {"n_critic": 5})
    images = choose_images(run.images)
    told = text_of(render_page(run, [finding], images))
    assert "Settings: n_critic = 5" in told
    assert "wgan " not in told.replace("wgan report", "").replace("wgan 0.1.0", "")
    commands = text_of(render_page(run, [finding], images, COMMANDS))
    assert "wgan train digits {'n_critic': 5}" in commands
    assert COMMANDS.rerun in commands
    assert COMMANDS.evaluate in commands

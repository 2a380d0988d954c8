"""Each finding, by histories that show it and no more than it; and what no history may do."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgan import InputError
from wgan.diagnosis import RULES, History, diagnose

POINTS = 20
GP = {"is": "GradientPenalty", "weight": 10.0, "target": 1.0}
CLIPPING = {"is": "WeightClipping", "c": 0.01}
CONFIG = {
    "source": {"name": "digits", "shape": [1, 8, 8]},
    "constraint": GP,
    "loss": "wasserstein",
    "n_critic": 1,
    "decay": "constant",
    "steps": 10 * POINTS,
    "critic_optimiser": {"is": "Adam", "lr": 1e-3},
    "generator_optimiser": {"is": "Adam", "lr": 1e-3},
}
LAYERS = ("layers.0", "layers.2", "layers.4")


def row(index, **changes):
    """A log point of a healthy run: the gap falls, the coverage rises."""
    progress = index / POINTS
    gap = 2.0 - progress
    scores = {
        f"score_{name}/{level}": middle + 0.02 * (int(level) - 50)
        for name, middle in (("real", gap), ("held_out", 0.95 * gap), ("fake", 0.0))
        for level in ("05", "25", "50", "75", "95")
    }
    return {
        "step": 10 * (index + 1),
        "gap": gap,
        "gap_held_out": 0.95 * gap,
        "critic_loss": -gap,
        "generator_loss": 0.0,
        "penalty": 0.2,
        "critic_gradient": 2.0,
        "generator_gradient": 1.0,
        **scores,
        "slope/50": 1.1,
        "slope/95": 1.3,
        "slope/max": 1.5,
        **{f"critic_gradient/{layer}": 1.0 for layer in LAYERS},
        **{f"critic_weights/{level}": 0.002 * (int(level) - 50) for level in ("05", "25", "50", "75", "95")},
        "critic_update": 5e-3,
        "generator_update": 5e-3,
        "critic_dead": 0.1,
        "generator_dead": 0.05,
        "duplicates": 0.01,
        "diversity": 0.95,
        "precision": 0.5 + 0.4 * progress,
        "recall": 0.2 + 0.6 * progress,
        "coverage": 0.2 + 0.6 * progress,
        "memorised": 0.0,
        **changes,
    }


def history(*, change=lambda index: {}, start=10, config=(), data=(), points=POINTS, timing=()):
    """A healthy history that changes from log point number ``start`` on."""
    rows = [row(i, **(change(i) if i >= start else {})) for i in range(points)]
    return History(rows, {**CONFIG, **dict(config)}, timing, dict(data))


def ramp(index, factor, start=10):
    return factor ** (index - start + 1)


SHOWN = {
    "divergence": {"change": lambda i: {"critic_loss": None} if i == POINTS - 1 else {}},
    "exploding-gradients": {"change": lambda i: {"slope/50": 1e6, "critic_update": 1e-4}, "start": 0},
    "learning-rate-too-high": {
        "change": lambda i: {f"critic_weights/{q}": 4 * 0.002 * (int(q) - 50) for q in ("05", "95")},
        "start": 13,
    },
    "learning-rate-too-low": {
        "change": lambda i: {"critic_update": 1e-7, "generator_update": 1e-7, "coverage": 0.1},
        "start": 0,
    },
    "dead-units": {"change": lambda i: {"critic_dead": 0.9}},
    "clipping-too-tight": {
        "change": lambda i: {"clipped": 0.9, "slope/50": 1e-6},
        "start": 0,
        "config": {"constraint": CLIPPING},
    },
    "clipping-too-loose": {
        "change": lambda i: {"clipped": 0.0, "slope/50": 200.0},
        "start": 0,
        "config": {"constraint": CLIPPING},
    },
    "lipschitz-violated": {"change": lambda i: {"slope/50": 2.0, "penalty": 1e-6}},
    "critic-saturated": {
        "change": lambda i: {"score_real/05": 8.0, "score_fake/95": -1.0},
        "config": {"loss": "minimax", "constraint": {"is": "R1", "weight": 1.0}},
    },
    "vanishing-gradients": {"change": lambda i: {"critic_gradient/layers.0": 1e-5}},
    "critic-starved": {"change": lambda i: {"critic_update": 1e-9}},
    "mode-collapse": {"change": lambda i: {"diversity": 0.01, "coverage": 0.02}},
    "critic-overfits": {"change": lambda i: {"gap": 3.0, "gap_held_out": 0.1}},
    "memorises": {"change": lambda i: {"memorised": 0.6}},
    "partial-collapse": {"change": lambda i: {"precision": 0.9, "coverage": 0.2}},
    "oscillation": {
        "change": lambda i: {"gap": 5.0 * (-1) ** i, "gap_held_out": 5.0 * (-1) ** i},
        "start": 0,
    },
    "converged": {"change": lambda i: {**row(10), "step": 10 * (i + 1)}, "start": 0, "points": 24},
    "data-trouble": {"data": {"duplicate_share": 0.9}, "start": 0},
    "input-starved": {
        "timing": [{"step": 10 * (i + 1), "data_share": 0.8} for i in range(POINTS)],
        "start": 0,
    },
}
"""A history for each finding."""


def test_there_is_a_history_for_every_rule():
    assert set(SHOWN) == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", SHOWN)
def test_each_finding_is_the_first_one_named_and_knows_since_when(name):
    case = SHOWN[name]
    found = diagnose(history(**case))
    assert found[0].name == name
    start = case.get("start", 10)
    if name == "divergence":
        start = POINTS - 1
    # A smoothed symptom shows at most two log points late; these need the whole window or half of the run.
    late = {"oscillation": 12, "converged": 24}.get(name, 2)
    assert 10 * (start + 1) <= found[0].since <= 10 * (start + 1 + late)
    json.dumps(found[0].evidence, allow_nan=False)


def test_a_healthy_run_has_no_finding_at_any_moment():
    whole = history()
    for step in whole.steps:
        assert [finding for finding in diagnose(whole.until(step)) if finding.severity != "note"] == []


@pytest.mark.parametrize(
    "name", [name for name in SHOWN if name not in ("data-trouble", "divergence", "converged")]
)
def test_one_odd_log_point_raises_no_alarm(name):
    case = {**SHOWN[name], "start": 0, "timing": SHOWN[name].get("timing", ())[:1]}
    rows = list(history(**case).rows)
    odd = [row(i) if i != 12 else rows[12] for i in range(POINTS)]
    names = {finding.name for finding in diagnose(replace(history(**case), rows=odd[:15]))}
    if name != "learning-rate-too-high":  # weights that tripled once did so
        assert name not in names


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_the_scores_does_not_matter_where_no_slope_is_asked_for(scale):
    """Under a constraint without a target the critic's scale is free: a healthy run stays healthy."""
    scored = [name for name in row(0) if name.startswith(("score_", "gap"))]

    def change(index):
        return {name: scale * row(index)[name] for name in scored}

    orthogonal = {"constraint": {"is": "Orthogonal"}}
    assert not [
        f for f in diagnose(history(change=change, start=0, config=orthogonal)) if f.severity != "note"
    ]


values = st.one_of(st.none(), st.floats(-1e300, 1e300), st.floats(0, 1))


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(sorted(row(0))[:-1]), values), max_size=25),
    data=st.dictionaries(st.sampled_from(["duplicate_share", "min", "max", "std"]), values),
)
def test_no_history_is_too_strange(rows, data):
    numbered = [{**some, "step": 10 * (i + 1)} for i, some in enumerate(rows)]
    for config in (CONFIG, {}, {**CONFIG, "constraint": CLIPPING}):
        for finding in diagnose(History(numbered, config, (), data)):
            assert finding.since in [some["step"] for some in numbered]
            assert all(isinstance(v, str) or math.isfinite(v) for v in finding.evidence.values())


def test_no_rows_no_findings():
    assert diagnose(History([])) == []


def test_the_documentation_defines_every_finding_in_the_order_of_the_table():
    text = (Path(__file__).parents[2] / "docs" / "diagnosis.md").read_text()
    assert re.findall(r"^\| `([a-z-]+)`", text, re.MULTILINE) == [rule.name for rule in RULES]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a run folder"):
        History.load(tmp_path)


def test_a_series_of_what_was_not_observed_is_missing_not_zero():
    assert np.isnan(history()["no such thing"]).all()

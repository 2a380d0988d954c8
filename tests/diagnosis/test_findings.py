"""Each finding, by histories that show it and no more than it; and what no history may do."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from histories import CLIPPING, CONFIG, GP, POINTS, SHOWN, history, row
from hypothesis import given, settings
from hypothesis import strategies as st

from wgan import InputError
from wgan.diagnosis import RULES, History, diagnose
from wgan.runs import RunFolder


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
    late = {"oscillation": 12, "converged": 24, "partial-collapse": 5}.get(name, 2)
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


def names_of(case):
    return [finding.name for finding in diagnose(case)]


def test_a_critic_that_moves_and_does_worse_than_a_constant_one_is_too_fast_and_one_that_does_not_is_not():
    worse = {"critic_loss": -1.0, "penalty": 80.0}  # a constant critic pays 10
    assert names_of(history(change=lambda i: worse))[0] == "learning-rate-too-high"
    slow = names_of(history(change=lambda i: {**worse, "critic_update": 1e-6}))
    assert slow[0] == "critic-starved"
    assert "learning-rate-too-high" not in slow
    # Where the weight is next to nothing, a constant critic pays next to nothing.
    idle = {"critic_loss": 1.0, "penalty": 1e-6}
    weak = {"constraint": {"is": "GradientPenalty", "weight": 1e-7, "target": 1.0}}
    assert "learning-rate-too-high" not in names_of(history(change=lambda i: idle, config=weak))
    one_sided = {"constraint": {"is": "R1", "gamma": 10.0}}  # where there is no such comparison
    assert "learning-rate-too-high" not in names_of(history(change=lambda i: worse, config=one_sided))


def test_a_generator_that_does_not_move_alone_is_too_slow_and_one_without_a_gradient_is_not():
    alone = {"generator_update": 1e-9}
    found = diagnose(history(change=lambda i: alone))
    assert found[0].name == "learning-rate-too-low"
    assert not found[0].remedy  # it has the critic's rate, so that something else holds it
    behind = {"generator_optimiser": {"lr": 1e-9}}
    remedy = diagnose(history(change=lambda i: alone, config=behind))[0].remedy
    assert remedy == {"generator_optimiser.lr": CONFIG["critic_optimiser"]["lr"] / 5}
    for lost in ({"critic_gradient/layers.0": 1e-9}, {"generator_dead": 1.0}, {"generator_gradient": 1e-6}):
        case = history(change=lambda i, lost=lost: {**alone, **lost})
        assert "learning-rate-too-low" not in names_of(case), lost


@pytest.mark.parametrize(
    ("update", "coverage", "found"), [(1e-5, 0.2, True), (1e-5, 0.9, False), (1e-9, 0.9, True)]
)
def test_small_steps_are_too_small_for_fakes_that_are_not_data_and_those_lost_in_rounding_for_all(
    update, coverage, found
):
    both = {"critic_update": update, "generator_update": update, "coverage_held_out": coverage}
    assert ("learning-rate-too-low" in names_of(history(change=lambda i: both))) == found


def test_a_branch_without_a_gradient_takes_none_from_the_layers_before_it():
    assert "vanishing-gradients" not in names_of(history(change=lambda i: {"critic_gradient/layers.2": 1e-9}))


def test_a_generator_of_which_a_step_changes_a_fifth_is_too_fast():
    assert names_of(history(change=lambda i: {"generator_update": 0.2}))[0] == "learning-rate-too-high"


@pytest.mark.parametrize(
    ("constraint", "penalty", "found"),
    [
        ({"is": "Chain", "of": []}, 0.0, True),
        ({"is": "Chain", "of": [CLIPPING]}, 0.0, False),
        ({"is": "SpectralNormalisation"}, 0.0, False),
        ({"is": "R1", "gamma": 1e-9}, 1e-9, True),
        ({"is": "R1R2", "gamma": 1e-9}, 1e-9, True),
        ({"is": "R1", "gamma": 1.0}, 0.1, False),
    ],
)
def test_a_distance_needs_something_that_keeps_the_critic_lipschitz(constraint, penalty, found):
    steep = {"slope/50": 3.0, "penalty": penalty}
    case = history(change=lambda i: steep, config={"constraint": constraint})
    assert ("lipschitz-violated" in names_of(case)) == found
    if found:
        assert diagnose(case)[0].remedy == {"constraint": {"is": "GradientPenalty", "weight": 10.0}}
        flat = history(change=lambda i: {**steep, "slope/50": 0.9}, config={"constraint": constraint})
        other = history(change=lambda i: steep, config={"constraint": constraint, "loss": "non-saturating"})
        assert "lipschitz-violated" not in [*names_of(flat), *names_of(other)]


@pytest.mark.parametrize("constraint", [GP, {"is": "R1", "gamma": 1.0}])
def test_a_lazy_penalty_is_not_idle_at_the_log_points_between(constraint):
    lazy = {"penalty_every": 8, "logging": {"metrics": 2}, "constraint": constraint}

    def paid(i):
        return {"slope/50": 1.5, "penalty": 0.0 if i % 4 else 1.5}

    assert "lipschitz-violated" not in names_of(history(change=paid, start=0, config=lazy))
    assert "lipschitz-violated" in names_of(history(change=paid, start=0, config={"constraint": constraint}))


def test_ground_is_lost_where_varied_fakes_were_better_and_it_is_not_being_won_back():
    def names(late, early=None):
        return names_of(history(change=lambda i: late(i) if i >= 10 else early or {}, start=0))

    assert names(lambda i: {"coverage_held_out": 0.05, "precision_held_out": 0.3})[0] == "lost-progress"
    assert "lost-progress" not in names(
        lambda i: {"coverage_held_out": 0.02 * (i - 9), "precision_held_out": 0.3}
    )
    # In many dimensions fakes in the middle of the data are near to all of them.
    middle = {"coverage_held_out": 1.0, "diversity": 0.3}
    assert "lost-progress" not in names(
        lambda i: {"coverage_held_out": 0.15, "precision_held_out": 0.3}, middle
    )


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_end_of_a_decay_is_no_sign_of_steps_too_small_or_too_large(decay):
    shares = history(config={"decay": decay}).decay
    assert 0 < shares[-1] < shares[0] <= 1

    def found(size, name=None):
        shown = SHOWN[name]["change"] if name else lambda i: {}
        both = ("critic_update", "generator_update")
        change = {"change": lambda i: {**shown(i), **dict.fromkeys(both, shares[i] * size)}, "start": 0}
        return diagnose(history(**change, config={"decay": decay}))

    assert found(5e-3) == []
    low = found(1e-7, "learning-rate-too-low")[0]
    assert low.name == "learning-rate-too-low"
    assert low.remedy["critic_optimiser.lr"] == pytest.approx(200.0)
    dead = found(5e-3, "dead-units")[0]
    assert dead.remedy["critic_optimiser.lr"] == pytest.approx(3e-4)


def test_a_gap_that_trembles_around_zero_or_crosses_it_once_does_not_oscillate():
    for gaps in ([0.1, -0.1], [5.0] * 6 + [-5.0] * 6):
        swinging = history(change=lambda i, gaps=gaps: {"gap": gaps[i % len(gaps)]}, start=0)
        assert "oscillation" not in names_of(swinging), gaps


def test_a_probe_that_is_sure_finds_a_starved_critic_and_no_other_does():
    for high, found in ((0.05, True), (0.3, False), (None, False)):
        probed = replace(history(), probe={"probe_share": 0.01, "probe_high": high})
        assert ("critic-starved" in names_of(probed)) == found


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


values = st.one_of(st.none(), st.floats(-1e100, 1e100), st.floats(0, 1))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(sorted(row(0))[:-1]), values), max_size=25),
    data=st.dictionaries(st.sampled_from(["duplicate_share", "min", "max", "std"]), values),
)
def test_no_history_is_too_strange(rows, data):
    numbered = [{**some, "step": 10 * (i + 1)} for i, some in enumerate(rows)]
    others = ({"constraint": CLIPPING}, {"decay": "linear"}, {"constraint": {"is": "R1", "gamma": 1.0}})
    for config in (CONFIG, {}, {**CONFIG, "loss": "minimax"}, *({**CONFIG, **other} for other in others)):
        for finding in diagnose(History(numbered, config, (), data)):
            rates = [value for path, value in finding.remedy.items() if path.endswith(".lr")]
            assert all(0 < rate < math.inf for rate in rates)
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


def test_a_run_is_diagnosed_from_its_rows_its_history_its_folder_or_its_path(tmp_path):
    case = history(**SHOWN["mode-collapse"])
    folder = RunFolder(tmp_path / "run")
    folder.write_config(case.config)
    for line in case.rows:
        folder.append("metrics", dict(line))
    expected = diagnose(case)
    assert expected[0].name == "mode-collapse"
    assert diagnose(folder) == diagnose(folder.path) == diagnose(str(folder.path)) == expected
    assert [finding.name for finding in diagnose(case.rows)] == [finding.name for finding in expected]
    assert diagnose([]) == []


@pytest.mark.parametrize(
    "rows", [[{"gap": 1.0}], [{"step": 2}, {"step": 1}], [{"step": "1"}], [3], [{"step": 1}, {"step": 1}]]
)
def test_rows_without_rising_steps_are_refused(rows):
    with pytest.raises(InputError, match="whole number 'step' that rises"):
        diagnose(rows)

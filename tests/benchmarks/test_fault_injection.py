"""Real runs, broken on purpose; all of them: `python -m benchmarks.fault_injection`."""

import pytest
from benchmarks import heal
from benchmarks.fault_injection import FAULTS, HEALTHY, SOURCES, admit, lines

from wgan.training import RECIPES


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["rate too low", "no penalty", "one latent", "not a number", "copies"])
def test_the_first_finding_of_a_broken_run_is_the_fault(fault):
    row = admit(fault, "digits", "default", 0)
    assert row["right"], row


@pytest.mark.slow
def test_a_healthy_run_raises_no_alarm_at_any_moment():
    row = admit("healthy", "digits", "default", 0)
    assert row["right"], row


def test_every_recipe_has_a_healthy_run_and_there_are_faults_enough():
    assert set(HEALTHY) == set(RECIPES)
    assert len(FAULTS) >= 16
    assert {dataset for some in HEALTHY.values() for dataset in some} <= set(SOURCES)


def test_the_table_of_healing_compares_with_the_healthy_run_of_the_same_seed():
    def row(fault, quality, *, heal, mark="a", treated=()):
        case = {"fault": fault, "source": "digits", "seed": 0, "heal": heal, "fingerprint": mark}
        return {**case, "quality": quality, "treated": [[5, name, 0, {}] for name in treated]}

    rows = [row("healthy", 2.0, heal=False), row("healthy", 2.0, heal=True)]
    rows += [row("x", 90.0, heal=False), row("x", 2.4, heal=True, treated=["y", "z"])]
    rows += [row("late", 3.0, heal=True)]
    table = list(heal.lines(rows))
    assert "| x | digits | 0 | 2 | 90 | 2.4 | 1.20 | y, z |" in table
    assert "| late | digits | 0 | 2 | - | 3 | 1.50 | nothing |" in table
    assert any("50 % of 2" in line for line in table)
    assert table[-1].endswith("`--heal`: 1 of 1")
    assert list(heal.lines([rows[0], {**rows[1], "fingerprint": "b"}]))[-1].endswith("0 of 1")


def test_the_table_counts_what_is_right_and_names_what_is_not():
    def row(fault, first, *, right, seed=0):
        case = {"fault": fault, "source": "digits", "recipe": "default", "seed": seed}
        return {**case, "first": first, "right": right}

    rows = [row("a", "x", right=True), row("a", "y", right=False, seed=1), row("healthy", None, right=True)]
    table = list(lines(rows))
    assert "  - seed 0 (thresholds were set on it): 1 of 1" in table
    assert "  - seed 1 (unseen): 0 of 1" in table
    assert "  - missed: a on digits, seed 1" in table
    assert "  - default on digits, seed 0" in table
    assert "| a | 1 of 2 | y 1 |" in table
    assert "- Healthy runs with a false alarm: 0 of 1 (aim: 0)" in table

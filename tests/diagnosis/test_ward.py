"""A slice of the ward: real runs, broken on purpose; the whole of it is `python -m benchmarks.ward`."""

import pytest
from benchmarks.ward import FAULTS, HEALTHY, SOURCES, admit, lines

from wgan.training import RECIPES


@pytest.mark.parametrize("fault", ["rate too low", "no penalty", "one latent", "not a number", "copies"])
def test_the_first_finding_of_a_broken_run_is_the_fault(fault):
    row = admit(fault, "digits", "default", 0)
    assert row["right"], row


def test_a_healthy_run_raises_no_alarm_at_any_moment():
    row = admit("healthy", "digits", "default", 0)
    assert row["right"], row


def test_every_recipe_has_a_healthy_run_and_there_are_faults_enough():
    assert set(HEALTHY) == set(RECIPES)
    assert len(FAULTS) >= 16
    assert {source for some in HEALTHY.values() for source in some} <= set(SOURCES)


def test_the_table_counts_what_is_right_and_names_what_is_not():
    def row(fault, first, *, right):
        return {"fault": fault, "first": first, "right": right}

    table = list(
        lines([row("a", "x", right=True), row("a", "y", right=False), row("healthy", None, right=True)])
    )
    assert "| a | 1 of 2 | y 1 |" in table
    assert "- Healthy runs with a false alarm: 0 of 1 (aim: 0)" in table

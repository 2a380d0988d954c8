"""Numbers as people read them, and round ones on an axis."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgan.report.numbers import evenly_spaced, format_duration, format_number, log_ticks, ticks

REAL = st.floats(-1e300, 1e300)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.025711, "0.0257"),
        (0.5, "0.5"),
        (1234, "1,234"),
        (-1.8, "−1.8"),
        (1.2e-5, "1.2e-5"),
        (-3e9, "−3e9"),
        (99.96, "100"),
        (float("nan"), "not a number"),
        (float("inf"), "not a number"),
    ],
)
def test_a_number_is_short(value, text):
    assert format_number(value) == text


@given(REAL)
def test_what_is_shown_is_the_number_to_three_digits(value):
    read = float(format_number(value).replace("−", "-").replace(",", ""))
    assert read == pytest.approx(value, rel=6e-3, abs=1e-300)
    assert len(format_number(value)) <= 11


@given(REAL, REAL)
def test_ticks_are_round_few_and_inside(one, other):
    low, high = sorted((one, other))
    found = ticks(low, high)
    assert 1 <= len(found) <= 12
    slack = 1e-6 * max(abs(low), abs(high))
    assert all(low - slack <= tick <= high + slack for tick in found)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.5, 1]), (-1, 1, [-1, -0.5, 0, 0.5, 1]), (0, 8000, [0, 2000, 4000, 6000, 8000])],
)
def test_ticks_are_what_one_would_write(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@given(st.floats(-300, 300), st.floats(0.01, 300))
def test_ticks_of_an_axis_of_powers_are_inside(power, decades):
    low, high = 10.0**power, 10.0 ** min(power + decades, 307)
    if high <= low:
        return
    found = log_ticks(low, high)
    assert len(found) <= 8
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in found)
    assert all(re.fullmatch(r"[125]\.?0*", f"{tick:.4e}".split("e")[0]) for tick in found)


@given(st.integers(1, 5000), st.integers(2, 50))
def test_a_spread_has_both_ends(count, most):
    found = evenly_spaced(count, most)
    assert len(found) == min(count, most)
    assert (found[0], found[-1]) == (0, count - 1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")]
)
def test_a_duration_is_told_in_two_units(seconds, text):
    assert format_duration(seconds) == text
    assert math.isfinite(seconds)

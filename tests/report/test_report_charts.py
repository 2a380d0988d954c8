"""A chart shows the data it is given, whatever they are, and nothing outside of its frame."""

import json
import re
from html import unescape
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgan.report.charts import DRAWN, HEIGHT, WIDTH, Band, Chart, Line, draw_chart
from wgan.report.html import Markup, tag

VALUE = st.none() | st.floats(-1e300, 1e300)


def drawn(chart):
    return ElementTree.fromstring(draw_chart(chart))


def places(tree):
    """All points that a path goes through."""
    for path in tree.iter("path"):
        yield from (tuple(map(float, pair.split())) for pair in re.split("[MLZ]", path.get("d")) if pair)


def values_of(chart):
    return json.loads(unescape(drawn(chart).get("data-chart")))


@given(
    st.lists(VALUE, min_size=1, max_size=40).filter(lambda some: any(value is not None for value in some)),
    st.booleans(),
    st.booleans(),
    st.floats(-1e300, 1e300),
)
def test_any_line_is_drawn_inside_the_frame(values, log, from_zero, level):
    steps = [10 * index for index in range(len(values))]
    chart = Chart(
        "A & <b>",
        "How?",
        steps,
        [Line("one <i>", values, "c1")],
        bands=[Band(values, values, "c2", "band")],
        references=[(level, "level")],
        marks=[(steps[-1], "end"), (99999, "never")],
        log=log,
        from_zero=from_zero,
    )
    tree = drawn(chart)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(tree))
    for element in tree.iter("text"):
        assert 0 <= float(element.get("x")) <= WIDTH
    assert "nan" not in draw_chart(chart)
    assert "inf" not in draw_chart(chart)


def test_values_are_where_they_belong():
    chart = Chart("", "", [0, 10, 20], [Line("a", [0.0, 1.0, 2.0], "c1")], from_zero=True)
    (_, (x0, y0), (x1, y1), (x2, y2)) = [(0, 0), *places_of_line(chart)]
    assert x0 < x1 < x2 == WIDTH - 12
    assert y0 > y1 > y2
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.11)


def places_of_line(chart):
    paths = drawn(chart).find("svg").iter("path")  # and not those of the legend
    (line,) = (path for path in paths if path.get("class") == "line c1")
    return [tuple(map(float, pair.split())) for pair in re.split("[ML]", line.get("d")) if pair]


def test_a_gap_breaks_the_line_and_a_lone_point_is_a_dot():
    chart = Chart("", "", [1, 2, 3, 4], [Line("a", [1.0, 2.0, None, 3.0], "c1")])
    tree = drawn(chart)
    assert len(places_of_line(chart)) == 2
    assert [dot.get("class") for dot in tree.iter("circle")].count("point c1") == 1


def test_no_spike_of_a_long_run_is_lost():
    values = [0.0] * 50_000
    values[31_234] = 7.0
    chart = Chart("", "", list(range(len(values))), [Line("a", values, "c1")], from_zero=True)
    line = places_of_line(chart)
    assert len(line) <= DRAWN + 2
    heights = sorted({y for _, y in line})
    assert len(heights) == 2
    assert len(draw_chart(chart)) < 40_000


def test_what_is_read_off_is_the_data():
    chart = Chart(
        "", "", [5, 10], [Line("a", [0.5, None], "c1")], [Band([0.1, 0.2], [1.0, 2.0], "c2", "range")]
    )
    read = values_of(chart)
    assert read["s"] == ["5", "10"]
    assert [line["t"] for line in read["l"]] == [["0.5", "–"], ["0.1 to 1", "0.2 to 2"]]
    assert read["l"][0]["y"][1] is None


def test_powers_of_ten_are_equally_far_apart():
    chart = Chart("", "", [0, 1, 2], [Line("a", [0.01, 1.0, 100.0], "c1")], log=True)
    heights = [y for _, y in places_of_line(chart)]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)


def test_zeros_on_an_axis_of_powers_are_left_out_and_negative_values_make_it_plain():
    with_zero = Chart("", "", [0, 1, 2], [Line("a", [0.0, 1.0, 100.0], "c1")], log=True)
    assert len(places_of_line(with_zero)) == 2
    negative = Chart("", "", [0, 1, 2], [Line("a", [-1.0, 1.0, 100.0], "c1")], log=True)
    assert len(places_of_line(negative)) == 3


def test_text_is_escaped_and_markup_is_not():
    assert tag("p", "<b>", Markup("<i>")) == "<p>&lt;b&gt;<i></p>"
    assert tag("p", title='"><script>') == '<p title="&quot;&gt;&lt;script&gt;"></p>'
    assert tag("path", d="M0 0") == '<path d="M0 0"/>'
    assert tag("input", hidden=True, class_=None, max=3) == '<input hidden max="3">'

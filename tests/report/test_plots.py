"""Charts as text."""

import math
import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.report.plots import Bars, Color, Line, bar_chart, compact, line_chart, spread

LINE = Line("greedy", range(50), [i / 60 for i in range(50)], Color.BLUE, noisy=True)


def test_equal_data_gives_equal_bytes():
    first, second = (line_chart("a", "Accuracy", "step", [LINE], percent=True) for _ in range(2))
    assert first == second


def test_a_chart_is_well_formed_and_asks_nothing_of_the_network():
    svg = line_chart("a", "Accuracy", "step", [LINE], percent=True)
    ElementTree.fromstring(svg)
    assert "http" not in svg


def test_colours_are_the_pages_and_text_stays_text():
    svg = line_chart("a", "Accuracy", "step", [LINE, Line("SFT", (0, 50), (0.2, 0.2), Color.BEFORE, dashed=True)])
    assert not re.findall(r"#[0-9a-f]{6}", svg)
    assert {"var(--blue)", "var(--before)", "var(--sans)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert ">Accuracy</text>" in svg and ">step</text>" in svg and ">SFT 0.2</text>" in svg


def test_ids_of_two_charts_never_meet():
    ids = [set(re.findall(r'\bid="([^"]*)"', line_chart(name, "t", "x", [LINE]))) for name in ("a", "b")]
    assert ids[0] and not ids[0] & ids[1]


def test_names_are_escaped_and_are_not_mathematics():
    svg = line_chart("a", "<b> & $x^2$", "x", [Line("</svg>$", (0, 1), (0, 1), Color.RED), LINE])
    ElementTree.fromstring(svg)
    assert "&lt;b&gt; &amp; $x^2$" in svg


def test_a_name_too_long_for_its_chart_keeps_both_ends():
    long = Line("begins like " + "x" * 200 + " ends so", (0, 1), (0, 1), Color.RED)
    svg = line_chart("a", "t", "x", [LINE, long], small=True)
    assert ">begins lik…xxx ends so 1</text>" in svg


def test_nothing_to_draw_is_no_chart():
    assert line_chart("a", "t", "x", []) is None
    assert line_chart("a", "t", "x", [Line("l", (3,), (0.5,), Color.RED, dots=True)]) is None
    assert line_chart("a", "t", "x", [Line("l", (0, 1, 2), (math.nan,) * 3, Color.RED)]) is None
    assert bar_chart("a", "t", "x", [], []) is None
    assert bar_chart("a", "t", "x", ["g"], [Bars("b", [math.nan], [math.nan], Color.RED)]) is None


def test_beside_a_curve_a_single_point_is_a_dot():
    dot = Line("maj@k", (8,), (0.25,), Color.RED, dots=True)
    svg = line_chart("a", "t", "x", [LINE, dot])
    assert ">maj@k 0.25</text>" in svg and "var(--red)" in svg
    assert line_chart("a", "t", "x", [dot, dot]) is None
    assert ">maj@k" not in line_chart("a", "t", "x", [LINE, Line("maj@k", (8,), (0.25,), Color.RED)])


def test_points_that_are_not_finite_are_left_out():
    whole = Line("l", (0, 2), (1.0, 3.0), Color.RED)
    holed = Line("l", (0, 1, 2, 3), (1.0, math.nan, 3.0, math.inf), Color.RED)
    assert line_chart("a", "t", "x", [whole]) == line_chart("a", "t", "x", [holed])


def test_a_flat_curve_is_drawn():
    for value in (0.0, 1.0, -2.0):
        ElementTree.fromstring(line_chart("a", "t", "x", [Line("l", range(30), [value] * 30, Color.RED, noisy=True)]))


def test_an_unknown_bar_is_a_dash():
    svg = bar_chart("a", "t", "x", ["g", "h"], [Bars("b", [0.5, math.nan], [0.1, math.nan], Color.RED)], percent=True)
    assert ">50%</text>" in svg and ">–</text>" in svg and "nan" not in svg


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_spread_labels_keep_their_order_and_distance(heights):
    placed = spread(heights, 0.1)
    by_height = sorted(range(len(heights)), key=lambda i: heights[i])
    ordered = [placed[i] for i in by_height]
    assert all(above - below >= 0.1 - 1e-9 for below, above in zip(ordered, ordered[1:], strict=False))
    assert max(placed) <= 1.0 + 1e-9


def test_spread_leaves_labels_alone_that_do_not_overlap():
    assert spread([0.9, 0.1, 0.5], 0.1) == [0.9, 0.1, 0.5]


def test_compact_numbers():
    values = (0, 0.1234, 57.25, 1234, 12_345, 1_250_000, 3e9, 2.5e-5, -0.5)
    assert [compact(v) for v in values] == ["0", "0.123", "57.2", "1,234", "12.3k", "1.25M", "3B", "2.5e−5", "−0.5"]

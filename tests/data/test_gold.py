import pytest

from rlsp_jax.data.gold import gold_answer, last_box, only_box


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        ("She has 3.\n#### 1,234", "1,234"),
        ("#### 1\nno:\n#### -2 ", "-2"),
        (r"so $\boxed{1}$ and then $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\boxed{\left\{ 1, 2 \right\}}", r"\left\{ 1, 2 \right\}"),
        (r"\boxed{[0, 1\}}", r"[0, 1\}"),  # an escaped brace closes nothing
        (r"\fbox{7}", "7"),
        (r"$\boxed 5$.", "5"),
        (r"it is \boxed 12.", "12"),
        (r"\boxedness{3} \boxed{1}", "1"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{3} or \boxed{4", "3"),  # the last one that closes
        (r"$\boxed{1}$ and $x = \boxed{2}$.", "1, 2"),
        (r"\boxed{\boxed{1}}, \boxed{2}", r"\boxed{1}, 2"),
        (r"\boxed{1}. Then \boxed{2}", "2"),
        ("the answer is 5", None),
        (r"\boxed{}", None),
        ("####", None),
        ("", None),
    ],
)
def test_the_gold_answer_is_what_a_solution_ends_in(solution, gold):
    assert gold_answer(solution) == gold


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"\boxed{3}", "3"),
        (r" $\boxed 3$. ", "3"),
        (r"\[\boxed{\frac{1}{2}}\]", r"\frac{1}{2}"),
        (r"$\boxed{1}$ and $\boxed{2}$", "1, 2"),
        (r"$\boxed{3}$ or 4", None),
        (r"-\boxed{3}", None),
        (r"\boxed{3}\%", None),
        (r"\boxed{3}. \boxed{4}", None),
        ("3", None),
    ],
)
def test_a_box_is_taken_out_of_a_text_that_is_nothing_else(text, box):
    assert only_box(text) == box


def test_a_long_text_of_open_boxes_is_read_in_linear_time():
    assert last_box(r"\boxed{ " * 100_000) is None

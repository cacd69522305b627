import pytest

from rlsp_jax.verifiers.extract import final_answer


def answer(response: str, **options) -> str | None:
    found = final_answer(response, **options)
    return found and found.text


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"so \boxed{5}", "5"),
        (r"\boxed{1}, no: \boxed{2}. Thus \boxed{\frac{1}{3}} cm.", r"\frac{1}{3}"),
        (r"\fbox{\{1,2\}} and done", r"\{1,2\}"),
        (r"\boxed 7 is it", "7"),
        (r"\boxed{\boxed{3}}", r"\boxed{3}"),
        (r"twice escaped: \\boxed{4}", "4"),
        ("stray }}} braces \\boxed{6} }", "6"),
        (r"\boxed{a} unclosed \boxed{b then \boxed{c}", "c"),
    ],
)
def test_the_last_box_is_the_answer(response, expected):
    assert answer(response) == expected


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{5} and then \boxed{6",
        r"\boxed{7",
        r"The answer is 5. \boxed{\frac{1}{2}",
        r"\boxed{3} \boxed",
        r"\boxed{3} \boxed$4$",
        r"#### 3, no: \boxed(4)",
    ],
)
def test_a_last_box_that_does_not_close_or_has_no_contents_is_no_answer(response):
    assert answer(response) is None


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"\boxed{1}, \boxed{2} and \boxed{3}", "1, 2, 3"),
        (r"$$\boxed{k = 45} \quad \text{and} \quad \boxed{n = 2}$$", "k = 45, n = 2"),
        (r"$x=\boxed{1}$ or $y = \boxed{2}$", "1, 2"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"\boxed{1}. And \boxed{2}", "2"),
        ("\\boxed{1},\n\n\\boxed{2}", "2"),
    ],
)
def test_boxes_that_only_connectives_part_are_one_list(response, expected):
    assert answer(response) == expected


def test_what_is_thought_is_no_answer():
    assert answer(r"<think>\boxed{1}</think> It is \boxed{2}") == "2"
    assert answer(r"<think>\boxed{1}</think> I give up") == "I give up"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("work\n#### 1,234", "1,234"),
        ("The final answer is $x^2$. I hope it is correct.", "$x^2$"),
        ("**Answer:** (B)", "(B)"),
        ("the answer is 5. Check: 2+3=5, 7 > 5", "5"),
        ("A: 42", "42"),
        ("因此，答案是 3。", "3"),
        ("Die Antwort lautet 12.", "12"),
    ],
)
def test_without_a_box_a_marker_leads_to_the_answer(response, expected):
    assert answer(response) == expected == answer(response, fallback=False)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("So we get $y = 3$ and there are 12 of them.", "12"),
        ("There are 12, hence $n = 4$.", "n = 4"),
        ("It costs $1,200.50 in all.", "$1,200.50"),
        ("D. it cannot be A", "D"),
        ("-4", "-4"),
    ],
)
def test_else_the_last_formula_or_number_counts_unless_that_is_not_wanted(response, expected):
    assert answer(response) == expected
    assert answer(response, fallback=False) is None


def test_numbers_on_offer_are_no_answer():
    for sentence in ("either 3 or perhaps 4", "it is one of the numbers 1, 2, 3", "3, but it might be 4"):
        assert answer(f"So the answer is: {sentence}.") == sentence
    assert answer("Work. Either 2 or 3.") == "Either 2 or 3"


def test_an_empty_last_marker_or_box_takes_back_what_came_before():
    assert answer("#### 3\n####") == answer(r"\boxed{3}, \boxed{}") == ""


def test_a_response_without_an_answer_has_none():
    assert answer("") is None
    assert answer("I cannot solve this problem, and neither could anybody else who looked at it before me") is None


@pytest.mark.parametrize(
    "piece", ["\\boxed{", "{", "}", "\\", "####", "$", "the answer is ", "1 ", "\\(", "=", "\\boxed{1} "]
)
def test_a_hundred_thousand_characters_of_anything_are_read(piece):
    """A search that is not linear would not come to its end here."""
    found = final_answer(piece * (100_000 // len(piece)))
    assert found is None or isinstance(found.text, str)

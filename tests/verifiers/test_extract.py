import time

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
        (r"\boxed{1}</answer>, \boxed{2}", "1, 2"),
        (r"\boxed{1} or = \boxed{2}", "2"),
    ],
)
def test_boxes_that_only_connectives_part_are_one_list(response, expected):
    assert answer(response) == expected


def test_what_is_thought_is_no_answer():
    assert answer(r"<think>\boxed{1}</think> It is \boxed{2}") == "2"
    assert answer(r"<think>\boxed{1}</think> I give up") == "I give up"
    assert answer(r"\boxed{1}</think> It is \boxed{2}") == "2"


@pytest.mark.parametrize("response", [r"<think>\boxed{5}", "<think> the answer is 5", r"</think>\boxed{5}<think> or 6"])
def test_thinking_that_never_ends_has_no_answer(response):
    assert answer(response) is None


@pytest.mark.parametrize(
    "response",
    [
        *(
            r"-\boxed{5}",
            r"$x = -\boxed{5}$",
            r"$- \boxed{5}$",
            r"$-$\boxed{5}",
            r"\pm\boxed{5}",
            r"2\boxed{5}",
            r"3 - \boxed{5}",
        ),
        *(r"\frac{1}{\boxed{5}}", r"\frac{\boxed{5}}{2}", r"\sqrt{\boxed{5}}", r"x^{\boxed{5}}", r"2\cdot\boxed{5}"),
        *(r"\boxed{5}^2", r"\boxed{5}^{-1}", r"\boxed{5}0", r"\boxed{5}.5", r"\boxed{5}/2", r"\boxed{5} \times 10^3"),
        *(r"\boxed{5} + \boxed{6}", r"-\boxed{5}, \boxed{6}", r"\boxed{4}, -\boxed{5}"),
        *(r"-\,\boxed{5}", r"-~\boxed{5}", r"-(\boxed{5})", r"-\left( \boxed{5} \right)", r"-\mathbf{\boxed{5}}"),
        *(r"-**\boxed{5}**", r"\ln\boxed{5}", r"\arcsin(\boxed{5})", r"\boxed{5}\sqrt2", r"\boxed{5}\pi"),
        *(r"\boxed{5} \pi", r"\boxed{5}i", r"\boxed{5}\,i", "$$\n-\\boxed{5}\n$$"),
    ],
)
def test_a_box_that_is_a_part_of_an_expression_is_no_answer(response):
    assert answer(response) is None


@pytest.mark.parametrize(
    "response",
    [
        *(
            r"$= \boxed{5}$",
            r"$x=\boxed{5}$",
            "- \\boxed{5}",
            "So:\n  - $\\boxed{5}$",
            r"Answer - \boxed{5}",
            r"(a) - \boxed{5}",
        ),
        *(
            r"**\boxed{5}**",
            r"* \boxed{5}",
            r"we get 10$$\boxed{5}$$",
            r"Step 2 \boxed{5}",
            r"\text{so }\boxed{5}",
            r"{\boxed{5}}",
        ),
        *(
            r"\boxed{5}^\circ",
            r"\boxed{5}^{th}",
            r"\boxed{5} \text{ cm}",
            r"\boxed{5}\%",
            r"\boxed{5} - done",
            r"\boxed{5}!",
        ),
        *(r"Case 2 - $\boxed{5}$", "Answer:\n-\\boxed{5}", r"_\boxed{5}_", r"=*\boxed{5}*", r"=**\boxed{5}**"),
        *(r"\boxed{5} - 10 minutes", r"\boxed{5} / 5 stars", r"\boxed{5} in all", "#### 3\n\\boxed{5}"),
    ],
)
def test_what_else_stands_beside_a_box_does_not_matter(response):
    assert answer(response) == "5"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("work\n#### 1,234", "1,234"),
        ("The final answer is $x^2$. I hope it is correct.", "$x^2$"),
        ("**Answer:** (B)", "(B)"),
        ("The final answer is 5, as required", "5"),
        ("The answer is 5, because we have 3 apples and 2 pears.", "5"),
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


@pytest.mark.parametrize(
    "sentence",
    ["The correct option is C.", "So option C is correct.", "The answer should be C", "I choose C", "Hence, (C)."],
)
def test_a_sentence_that_says_only_which_choice_it_is_is_the_answer(sentence):
    assert answer(sentence) == answer(f"There are 5 of them.\n{sentence}") == "C"


def test_a_numeral_in_words_behind_the_last_number_belongs_to_it():
    assert answer("In all 2 thirds") != "2" and answer("It costs 2 millions") != "2" and answer("3 tenths") != "3"


def test_numbers_on_offer_are_no_answer():
    for sentence in ("either 3 or perhaps 4", "it is one of the numbers 1, 2, 3", "3, but it might be 4"):
        assert answer(f"So the answer is: {sentence}.") == sentence
    assert answer("Work. Either 2 or 3.") == "Either 2 or 3"


def test_an_empty_last_marker_or_box_takes_back_what_came_before():
    assert answer("#### 3\n####") == answer(r"\boxed{3}, \boxed{}") == ""


def test_a_response_without_an_answer_has_none():
    assert answer("") is None
    assert answer("I cannot solve this problem, and neither could anybody else who looked at it before me") is None


@pytest.mark.parametrize("operator", ["^", "^{", "-", "/", "\\cdot", "\\,", "\\frac", "i"])
@pytest.mark.parametrize("blank", [" ", "\t", "\n", "~", "\\,", "{", "$", "*"])
def test_blanks_around_an_operator_beside_a_box_cost_no_more_than_plain_text(operator, blank):
    """A pattern that shares blanks between two of its parts would take hours here."""
    blanks = blank * (100_000 // len(blank))

    def seconds(*responses: str) -> float:
        started = time.process_time()
        for response in responses:
            final_answer(response)
        return time.process_time() - started

    plain = max(seconds(*[r"\boxed{5}" + "a word and then \\" * 6000] * 3) for _ in range(2))
    behind, before = f"\\boxed{{5}}{operator}{blanks}zz", f"x{blanks}{operator}{blanks}\\boxed{{5}} zz"
    assert seconds(behind, f"\\boxed{{5}}{blanks}{operator}{blanks}zz", before) < 30 * plain


@pytest.mark.parametrize(
    "piece", ["\\boxed{", "{", "}", "\\", "####", "$", "the answer is ", "1 ", "\\(", "=", "\\boxed{1} "]
)
def test_a_hundred_thousand_characters_of_anything_are_read(piece):
    """A search that is not linear would not come to its end here."""
    found = final_answer(piece * (100_000 // len(piece)))
    assert found is None or isinstance(found.text, str)

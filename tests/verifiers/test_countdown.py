import ast
import operator
import pickle
import warnings
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers.countdown import Countdown, canonical, evaluate, extract, parse, verify

TRUTH = {"numbers": [3, 7, 12], "target": 33}
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def python_value(text: str) -> Fraction | None:
    """What Python's own parser makes of `text`; None if it uses more than our grammar."""

    def value(node):
        match node:
            case ast.Constant(value=int()):
                return Fraction(node.value)
            case ast.BinOp():
                return OPERATIONS[type(node.op)](value(node.left), value(node.right))
        raise SyntaxError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarning: 3(7) calls an int
        try:
            return value(ast.parse(text.strip(" "), mode="eval").body)
        except (SyntaxError, KeyError):
            return None


def our_value(text: str) -> Fraction | None:
    expression = parse(text)
    return None if expression is None else evaluate(expression)


def outcome_of(answer: str, truth=TRUTH):
    outcome = verify(truth, f"try 3*12=36\nanswer: {answer}")
    return outcome.verdict, outcome.reason


@st.composite
def expressions(draw, numbers=st.integers(0, 30)):
    """A well formed answer over a drawn tree, its literals, and its value (None: divides by zero)."""
    leaves = draw(st.lists(numbers, min_size=1, max_size=6))
    nodes = [(str(leaf), Fraction(leaf)) for leaf in leaves]
    blank = st.sampled_from(["", " ", "  "])
    while len(nodes) > 1:
        right = nodes.pop(draw(st.integers(0, len(nodes) - 1)))
        left = nodes.pop(draw(st.integers(0, len(nodes) - 1)))
        op = draw(st.sampled_from("+-*/"))
        undefined = left[1] is None or right[1] is None or (op == "/" and right[1] == 0)
        compute = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[op]
        text = f"({left[0]}{draw(blank)}{op}{draw(blank)}{right[0]})"
        nodes.append((text, None if undefined else compute(left[1], right[1])))
    text, value = nodes[0]
    return text, leaves, value


@settings(max_examples=100)
@given(expressions())
def test_an_expression_of_the_given_numbers_is_correct_exactly_when_its_value_is_the_target(drawn):
    text, leaves, value = drawn
    truth = {"numbers": sorted(leaves), "target": 0 if value is None else value}
    verdict, reason = outcome_of(text, truth)
    if value is None:
        assert (verdict, reason) == (Verdict.WRONG, "divides by zero")
    else:
        assert verdict == Verdict.CORRECT
        assert outcome_of(text, truth | {"target": value + 1}) == (
            Verdict.WRONG,
            f"value is {value}, not {value + 1}",
        )


@settings(max_examples=300)
@given(st.text("0123 ()+-*/", max_size=12) | st.text("12+*()", max_size=9) | expressions().map(lambda drawn: drawn[0]))
def test_the_grammar_agrees_with_the_parser_of_python(text):
    if any(
        token.strip("0") == "" and len(token) > 1 for token in text.translate(str.maketrans("()+-*/", " " * 6)).split()
    ):
        assert parse(text) is None  # Python takes 00 for 0
        return
    try:
        expected = python_value(text)
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            our_value(text)
        return
    assert our_value(text) == expected


@settings(max_examples=100)
@given(st.text(max_size=300), st.binary(max_size=300))
def test_no_response_makes_the_verifier_raise(text, garbage):
    for response in (text, garbage.decode("utf-8", "surrogateescape")):
        assert verify(TRUTH, "answer:" + response).verdict in (Verdict.WRONG, Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty answer"),
        ("none", "gave up"),
        ("3 7", "not an expression"),
        ("-3+7+12", "not an expression"),
        ("3(7)+12", "not an expression"),
        ("03*7+12", "not an expression"),
        ("3*7+12.", "not an expression"),
        ("3*7+12\r", "not an expression"),
        ("٣*7+12", "not an expression"),
        ("3*7+12=33", "not an expression"),
        ("((3*7)+12", "not an expression"),
        ("(3*7)+12)", "not an expression"),
        ("3*3*7+12", "uses 3 twice"),
        ("3*3*3*7+12", "uses 3 3 times"),
        ("3*7", "does not use 12"),
        ("3*7+12+5", "uses 5, which is not given"),
        ("12-(3+7)", "value is 2, not 33"),
        ("3/7*12", "value is 36/7, not 33"),
    ],
)
def test_a_wrong_answer_is_wrong_for_its_reason(answer, reason):
    assert outcome_of(answer) == (Verdict.WRONG, reason)


def test_a_number_given_twice_is_used_twice():
    truth = {"numbers": [3, 3, 5], "target": 14}
    assert outcome_of("3*3+5", truth) == (Verdict.CORRECT, "correct")
    assert outcome_of("3*5", truth) == (Verdict.WRONG, "uses 3 only once")


def test_fractions_on_the_way_are_exact():
    assert outcome_of("8/(3-8/3)", {"numbers": [3, 3, 8, 8], "target": 24}) == (Verdict.CORRECT, "correct")


def test_operators_of_one_rank_group_to_the_left():
    assert outcome_of("9-4-3", {"numbers": [3, 4, 9], "target": 2}) == (Verdict.CORRECT, "correct")
    assert outcome_of("8/4/2", {"numbers": [2, 4, 8], "target": 1}) == (Verdict.CORRECT, "correct")


def test_only_the_last_answer_counts_up_to_the_end_of_its_line():
    assert verify(TRUTH, "answer: 3*7+12\nanswer: none").reason == "gave up"
    assert verify(TRUTH, "answer: none\nanswer: 3*7+12\nand more").verdict == Verdict.CORRECT
    assert verify(TRUTH, "answer: (3*7)+12 answer:").reason == "empty answer"
    assert verify(TRUTH, "3*7+12").reason == "no final answer"
    assert extract("answer: 1\nanswer:  2 \n3") == "  2 "
    assert extract("no marker") is None


def test_an_answer_over_the_limit_is_unknown_and_one_at_the_limit_is_read():
    answer = "(3*7)+12"
    padded = answer + " " * (256 - len(answer))
    assert verify(TRUTH, "answer:" + padded).verdict == Verdict.CORRECT
    assert verify(TRUTH, f"answer:{padded} ").verdict == Verdict.UNKNOWN
    assert verify(TRUTH, "answer:" + "é" * 129).reason == "answer is 258 bytes, over the limit of 256"
    assert Countdown(max_answer_bytes=4).verify(TRUTH, "answer:" + answer).verdict == Verdict.UNKNOWN
    assert Countdown(max_answer_bytes=4).equivalence(answer) is None


def test_a_hundred_thousand_parentheses_are_read_without_a_crash():
    assert parse("(" * 100_000 + "3" + ")" * 100_000) == ("3",)
    assert parse("(" * 100_000) is None
    chain = Countdown(max_answer_bytes=10**6).verify(TRUTH, "answer:" + "(3+" * 10_000 + "3" + ")" * 10_000)
    assert chain.reason == "uses 3 10001 times"
    assert Countdown(max_answer_bytes=10**6).verify(TRUTH, "answer:" + "9" * 10**5).verdict == Verdict.WRONG


def test_answers_vote_together_when_only_operands_of_plus_and_times_are_swapped():
    assert canonical("(3*7)+12") == canonical("12 + 7*3") == canonical("((12)+(3*7))")
    assert canonical("12-3") != canonical("3-12")
    assert canonical("12/3") != canonical("3/12")
    assert canonical("3*(7+12)") != canonical("3*7+12")


@settings(max_examples=50)
@given(expressions())
def test_the_canonical_spelling_keeps_the_value_and_is_its_own(drawn):
    text, _, value = drawn
    spelling = canonical(text)
    assert canonical(spelling) == spelling
    if value is not None:
        assert our_value(spelling) == value


def test_an_answer_that_is_no_expression_casts_no_vote():
    assert [Countdown().equivalence(answer) for answer in ("none", "", "3+", "1" * 300)] == [None] * 4


def test_the_verifier_is_a_picklable_value():
    assert pickle.loads(pickle.dumps(Countdown(64))) == Countdown(64)
    with pytest.raises(ValueError, match="max_answer_bytes"):
        Countdown(0)

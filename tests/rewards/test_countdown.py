"""The device's Countdown verdict against the host's verifier and against a slow reading with Python fractions."""

import random
import re
from fractions import Fraction

import jax
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlsp_jax.common.codes import Verdict
from rlsp_jax.records import Problem
from rlsp_jax.rewards.countdown import CountdownChecker
from rlsp_jax.sharding import MeshConfig, make_mesh, place_rows
from rlsp_jax.verifiers.countdown import verify
from tests.rewards.texts import Tokens, spelled

TOKENS = Tokens()
CHECKER = CountdownChecker(max_numbers=6)
CHECK = jax.jit(lambda rollout: CHECKER(rollout, TOKENS.device))
BATCH, TIME = 16, 224


def problem(numbers, target) -> Problem:
    return Problem(0, "", "", {"numbers": list(numbers), "target": target})


def judge(cases) -> list[tuple[Verdict, int, bool]]:
    """(verdict, answer_start, answered) of (numbers, target, response) triples, in one fixed shape."""
    padded = [*cases, *[([1], 1, "")] * (BATCH - len(cases))]
    truth = CHECKER.encode_truth([problem(numbers, target) for numbers, target, _ in padded])
    result = CHECK(TOKENS.rollout([response for *_, response in padded], TIME, truth=truth))
    columns = result.outcome, result.answer_start, result.answered
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return [(Verdict(outcome), start, answered) for outcome, start, answered in rows][: len(cases)]


class Malformed(Exception):
    pass


def slow_value(tokens: list[str]) -> tuple[Fraction | None, int]:
    """The value by recursive descent (None: divides by zero), and the largest intermediate, whole numbers reduced."""
    largest = 0

    def expr(level):
        if level == 2:
            return factor()
        left = expr(level + 1)
        while tokens and tokens[0] in ("+-", "*/")[level]:
            left = apply(tokens.pop(0), left, expr(level + 1))
        return left

    def factor():
        if not tokens:
            raise Malformed
        token = tokens.pop(0)
        if token == "(":
            value = expr(0)
            if not tokens or tokens.pop(0) != ")":
                raise Malformed
            return value
        if not re.fullmatch("0|[1-9][0-9]*", token):
            raise Malformed
        return int(token), 1

    def apply(operator, left, right):
        nonlocal largest
        if left is None or right is None:
            return None
        (a, b), (c, d) = left, right
        if operator == "/" and c == 0:
            return None
        if operator == "/":
            c, d = (d, c) if c > 0 else (-d, -c)
        if operator == "-":
            c = -c
        parts = [a * c] if operator in "*/" else [a * d, c * b]
        largest = max(largest, *map(abs, parts), b * d)
        top = sum(parts)
        return (top // (b * d), 1) if top % (b * d) == 0 else (top, b * d)

    value = expr(0)
    if tokens:
        raise Malformed
    return (None if value is None else Fraction(*value)), largest


def slow_judge(numbers, target, data: bytes) -> tuple[Verdict, bool]:
    """The verdict from the rules as written, and whether the device may leave it to the host."""
    start = data.rfind(b"answer:")
    if start < 0:
        return Verdict.WRONG, False
    answer = data[start + len(b"answer:") :].split(b"\n")[0]
    text = answer.decode("latin-1")
    tokens = re.findall("[0-9]+|[^ ]", text)
    literals = sorted(token for token in tokens if token[0] in "0123456789")
    try:
        value, largest = slow_value(tokens)
    except Malformed:
        return Verdict.WRONG, len(answer) > CHECKER.answer_bytes
    proper = literals == sorted(map(str, numbers))
    may_skip = len(answer) > CHECKER.answer_bytes or (proper and largest >= 2**30 * (1 - 1e-6))
    return Verdict(proper and value == target), may_skip


def assert_agrees(cases):
    responses = [response for *_, response in cases]
    data = spelled(TOKENS, TOKENS.rollout(responses, TIME))
    for (numbers, target, _), text, (verdict, _, answered) in zip(cases, data, judge(cases), strict=True):
        expected, may_skip = slow_judge(numbers, target, text)
        host = verify({"numbers": list(numbers), "target": target}, text.decode(errors="replace"), 10**6).verdict
        assert host == expected, text
        assert answered == (b"answer:" in text)
        if verdict == Verdict.UNKNOWN:
            assert may_skip, f"undecided within the limits: {text!r}"
        else:
            assert verdict == expected, text


def write(rng: random.Random, numbers: list[int]) -> tuple[str, Fraction | None]:
    """A random expression of the numbers, in order, with its value; sometimes with blanks and needless parentheses."""
    if len(numbers) == 1:
        text, value = str(numbers[0]), Fraction(numbers[0])
    else:
        cut = rng.randrange(1, len(numbers))
        (left, x), (right, y) = write(rng, numbers[:cut]), write(rng, numbers[cut:])
        operator = rng.choice("+-*/")
        value = None
        if x is not None and y is not None and not (operator == "/" and y == 0):
            value = {"+": x + y, "-": x - y, "*": x * y, "/": x / (y or 1)}[operator]
        text = f"{left}{operator}{right}"
    blank = " " * (rng.random() < 0.1)
    return (f"({blank}{text}{blank})" if len(numbers) > 1 or rng.random() < 0.1 else text), value


EDITS = "0123456789 ()+-*/\n.,=xa\u20ac"


def corrupt(rng: random.Random, text: str) -> str:
    if not text:
        return rng.choice(EDITS)
    i, j = rng.randrange(len(text)), rng.randrange(len(text))
    edit = rng.randrange(6)
    if edit == 0:
        return text[:i] + text[i + 1 :]
    if edit == 1:
        return text[:i] + rng.choice(EDITS) + text[i:]
    if edit == 2:
        low, high = min(i, j), max(i, j)
        return text[:low] + text[high] + text[low + 1 : high] + text[low] + text[high + 1 :]
    if edit == 3:
        return (
            text[:i] + rng.choice(["answer:", "99999999999", "answer: ", "0", "00", "/0", "()", "--", "  "]) + text[i:]
        )
    if edit == 4:
        return text[:i] + " " * rng.randrange(40) + text[i:]
    return text[:i] + text[i:j] + text[i:]  # a part twice


def case(rng: random.Random):
    sizes = [12, 12, 100, 10_000, 999_999_999]
    numbers = [rng.randint(0 if rng.random() < 0.1 else 1, rng.choice(sizes)) for _ in range(rng.randint(1, 6))]
    rng.shuffle(numbers)
    text, value = write(rng, numbers)
    if text.startswith("(") and rng.random() < 0.7 and len(numbers) > 1:
        text = text[1:-1]
    whole = value is not None and value.denominator == 1 and abs(value) < 10**9
    target = int(value) if whole and rng.random() < 0.8 else rng.randint(0, 100)
    if rng.random() < 0.1:
        text = text[1:]  # an answer to a problem with another first number
    response = rng.choice(["answer: ", "answer:", "try 1+2=3\nback\nanswer: 1\nanswer: "]) + text
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
        response = corrupt(rng, response)
    return numbers, target, (response + rng.choice(["", "", "\n", "\n5", " "]))[:200]


@given(st.integers(0, 2**63))
def test_the_device_and_the_host_agree_on_generated_and_on_corrupted_responses(seed):
    rng = random.Random(seed)
    assert_agrees([case(rng) for _ in range(BATCH)])


@given(st.lists(st.text("12+-*/() a", max_size=14), min_size=BATCH, max_size=BATCH))
def test_the_device_and_the_host_agree_on_arbitrary_strings_of_the_alphabet(texts):
    assert_agrees([([1, 2], 3, f"answer:{text}") for text in texts])


def test_most_generated_responses_are_decided_and_all_verdicts_occur():
    rng = random.Random(5)
    outcomes = [verdict for _ in range(10) for verdict, *_ in judge([case(rng) for _ in range(BATCH)])]
    assert set(outcomes) == set(Verdict)
    assert outcomes.count(Verdict.CORRECT) >= 20 and outcomes.count(Verdict.UNKNOWN) <= 40


EXPECTED = [
    ([3, 7, 12], 33, "try 3*7=21\nanswer: (3*7)+12", Verdict.CORRECT),
    ([3, 7, 12], 33, "answer: none", Verdict.WRONG),
    ([3, 7, 12], 33, "answer: ", Verdict.WRONG),
    ([3, 7, 12], 33, "", Verdict.WRONG),
    ([3, 7, 12], 33, "answer: 12 + 3 * 7", Verdict.CORRECT),
    ([3, 7, 12], 33, "answer: 33", Verdict.WRONG),
    ([3, 7, 12], 33, "answer: (3*7)+12\nanswer: 3", Verdict.WRONG),
    ([3, 7, 12], 33, "answer: 3\nanswer: (3*7)+12\nso it is", Verdict.CORRECT),
    ([3, 7, 12], 33, "answer: " + "(" * 20 + "3*7" + ")" * 20 + "+12", Verdict.CORRECT),
    ([3, 7, 12], 33, "answer: 3*7+1 2", Verdict.WRONG),
    ([3, 7, 12], 33, "answer: 3*07+12", Verdict.WRONG),
    ([8, 3, 3, 8], 24, "answer: 8/(3-8/3)", Verdict.CORRECT),
    ([2, 2, 5], 5, "answer: 5/(2-2)", Verdict.WRONG),
    ([0, 5], 5, "answer: 5-0", Verdict.CORRECT),
    ([5, 9, 4], 0, "answer: 5-9+4", Verdict.CORRECT),
    ([1, 2, 3], 7, "answer:" + " " * 60 + "1+2*3", Verdict.UNKNOWN),
]


@pytest.mark.parametrize("start", range(0, len(EXPECTED), BATCH))
def test_known_answers_get_their_known_verdicts(start):
    part = EXPECTED[start : start + BATCH]
    assert [verdict for verdict, *_ in judge([case[:3] for case in part])] == [case[3] for case in part]


@pytest.mark.parametrize("end", ["", "\n"])
def test_an_answer_as_long_as_the_window_is_judged_and_one_byte_more_is_left_to_the_host(end):
    (fits, *_), (over, *_) = judge([([1, 2], 3, f"answer:{'1+2'.rjust(size)}{end}") for size in (64, 65)])
    assert (fits, over) == (Verdict.CORRECT, Verdict.UNKNOWN)


def test_an_overflow_is_undecided_even_when_the_wrapped_value_would_hit_the_target():
    numbers = [65536, 65536, 7]  # 65536 * 65536 is 0 in 32 bits
    (hits, *_), (foreign, *_) = judge([(numbers, 7, f"answer: 65536*65536+{last}") for last in (7, 8)])
    assert (hits, foreign) == (Verdict.UNKNOWN, Verdict.WRONG)


def test_a_response_that_outgrows_its_room_is_undecided():
    checker = CountdownChecker(max_numbers=3, max_bytes=16)
    truth = checker.encode_truth([problem([1, 2], 3)] * 2)
    rollout = TOKENS.rollout([list(b"answer: 1+2"), list(b"answer: 1+2\n" + b"x" * 8)], 32, truth=truth)
    outcome = checker(rollout, TOKENS.device).outcome
    assert np.asarray(outcome).tolist() == [Verdict.CORRECT, Verdict.UNKNOWN]


@example("xx")
@given(st.text("answer: 1\n", max_size=40))
def test_answer_start_is_the_token_in_which_the_first_answer_begins(text):
    tokens = TOKENS.encode(f"{text}answer: 1 answer: 2")
    prefix = b"".join(TOKENS.pieces[i] for i in tokens).find(b"answer:")
    ends = np.cumsum([len(TOKENS.pieces[i]) for i in tokens])
    ((_, start, answered),) = judge([([1], 1, tokens)])
    assert answered and start == int(np.searchsorted(ends, prefix, side="right"))


def test_answer_start_is_the_length_of_a_response_without_an_answer():
    assert judge([([1], 1, list(b"answer")), ([1], 1, [])]) == [(Verdict.WRONG, 6, False), (Verdict.WRONG, 0, False)]


@pytest.mark.parametrize(
    "numbers, message",
    [([1, 2, 3], "has 3 numbers"), ([], "has 0 numbers"), ([-1], "numbers from 0"), ([10**9], "numbers from 0")],
)
def test_a_truth_that_does_not_fit_is_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        CountdownChecker(max_numbers=2).encode_truth([problem(numbers, 4)])


@pytest.mark.parametrize("field", ["max_numbers", "answer_bytes", "max_bytes"])
def test_impossible_sizes_are_refused(field):
    with pytest.raises(ValueError, match=field):
        CountdownChecker(**{field: 0})


def test_rows_spread_over_a_mesh_get_the_same_verdicts():
    rng = random.Random(3)
    cases = [case(rng) for _ in range(BATCH)]
    truth = CHECKER.encode_truth([problem(numbers, target) for numbers, target, _ in cases])
    rollout = TOKENS.rollout([response for *_, response in cases], TIME, truth=truth)
    mesh = make_mesh(MeshConfig(data=2, fsdp=4))
    with jax.set_mesh(mesh):
        spread = CHECK(place_rows(mesh, rollout))
    jax.tree.map(np.testing.assert_array_equal, spread, CHECK(rollout))

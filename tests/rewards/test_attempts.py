"""Paid attempts against a slow replay of the search with a regular expression and counters."""

import random
import re
from collections import Counter
from fractions import Fraction

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsp_jax.data import Countdown, SearchTraces
from rlsp_jax.records import Problem
from rlsp_jax.rewards.attempts import SearchAttempts
from rlsp_jax.rewards.countdown import encode_truth
from tests.rewards.texts import Tokens, spelled, verdicts

TOKENS = Tokens()
KERNEL = SearchAttempts(cap=3, max_moves=64)
COUNT = jax.jit(lambda rollout: KERNEL.attempts(rollout, TOKENS.device))
BATCH, TIME = 8, 400


def rollout_of(cases):
    problems = [Problem(0, "", "", {"numbers": numbers, "target": target}) for numbers, target, _ in cases]
    return TOKENS.rollout([text for *_, text in cases], TIME, truth=encode_truth(problems, 5))


def count(cases) -> list[int]:
    padded = [*cases, *[([1], 1, "")] * (BATCH - len(cases))]
    return np.asarray(COUNT(rollout_of(padded)))[: len(cases)].tolist()


MOVE = re.compile(rb"try (\d{1,9})([-+*/])(\d{1,9})=(\d{1,9})(?: check (\d+)(?!\d).*)?", re.DOTALL)


def slow_count(numbers, target, data: bytes) -> int:
    """Replay the lines before the first answer; each place of the path is (numbers left, steps that led here)."""
    reasoning = data.find(b"answer:") if b"answer:" in data else len(data)
    path, last, found, at = [(Counter(numbers), Counter())], len(numbers) - 2, set(), 0
    lines = data.split(b"\n")
    for i, line in enumerate(lines):
        start, at = at, at + len(line) + 1
        if start >= reasoning:
            break
        if line == b"back" and i + 1 < len(lines):
            path = path[:-1] or path
        if not (move := MOVE.fullmatch(line)):
            continue
        a, op, b, c = int(move[1]), move[2], int(move[3]), int(move[4])
        true = {b"+": a + b == c, b"-": a - b == c, b"*": a * b == c, b"/": b and Fraction(a, b or 1) == c}[op]
        name = (op, *sorted((a, b))) if op in b"+*" else (op, a, b)
        if move[5] is not None:
            left, steps = path[-1]
            if true and int(move[5]) == target and len(path) - 1 == last and Counter([a, b]) <= left:
                found.add((frozenset(steps.items()), name))
            continue
        holds = [d for d, (left, _) in enumerate(path[: max(last, 0)]) if Counter([a, b]) <= left]
        if true and holds:
            left, steps = path[holds[-1]]
            path = path[: holds[-1] + 1] + [(left - Counter([a, b]) + Counter([c]), steps + Counter([name]))]
        else:
            path = path[: max(last, 1)] + [(Counter(), Counter())]
    return len(found)


def mutate(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    edit = rng.randrange(7)
    if edit == 0:
        lines.insert(i, lines[j])
    elif edit == 1:
        del lines[i]
    elif edit == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif edit == 3:
        lines[i] = re.sub("[0-9]+([-+*/])[0-9]+", lambda m: m[0][::-1] if rng.random() < 0.5 else m[0], lines[i])
    elif edit == 4:
        lines[i] = re.sub(r"(\d+)([+*])(\d+)=", r"\3\2\1=", lines[i])
    elif edit == 5 and lines[i]:
        k = rng.randrange(len(lines[i]))
        lines[i] = lines[i][:k] + rng.choice("0123456789 =+-*/xanswer:") + lines[i][k + 1 :]
    else:
        lines.insert(i, rng.choice(["back", "try 3*4=12", "try 2+2=4", "answer: 3", "", "try 1/0=0", "try 5-5=0"]))
    return "\n".join(lines)


def case(rng: random.Random):
    size = rng.choice([2, 3, 3, 4])
    problem = Countdown(numbers=size, max_number=rng.choice([4, 12])).problem("train", rng.randrange(10_000))
    text = SearchTraces(keep=0.6, budget=6, noise=0.2).trace(problem, rng.randrange(100))
    for _ in range(rng.choice([0, 1, 2, 4, 8])):
        text = mutate(rng, text)
    return list(problem.truth["numbers"]), problem.truth["target"], text[: TIME - 60]


@given(st.integers(0, 2**63))
def test_attempts_equal_a_slow_replay_of_the_search(seed):
    rng = random.Random(seed)
    cases = [case(rng) for _ in range(BATCH)]
    data = spelled(TOKENS, rollout_of(cases))
    expected = [slow_count(numbers, target, text) for (numbers, target, _), text in zip(cases, data, strict=True)]
    assert count(cases) == expected


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_true_demonstration_is_paid_for_every_check_in_it(size):
    problems = Countdown(numbers=size).problems("train", 0, BATCH)
    texts = [SearchTraces(keep=0.5, budget=5, give_up=False).trace(problem, 0) for problem in problems]
    cases = [(p.truth["numbers"], p.truth["target"], text) for p, text in zip(problems, texts, strict=True)]
    assert count(cases) == [text.count("check") for text in texts]


FIRST = "try 3*12=36\n"
LEAF = "try 36+7=43 check 33 no back\n"


@pytest.mark.parametrize(
    "text, expected",
    [
        (FIRST + LEAF, 1),
        (FIRST + LEAF * 5, 1),
        (FIRST + LEAF + FIRST + LEAF, 1),
        (FIRST + LEAF + "try 7+36=43 check 33 no back\n", 1),  # the same sum the other way round
        (FIRST + LEAF + "back\ntry 12*3=36\n" + LEAF, 1),  # the same step the other way round
        (FIRST + LEAF + "try 36-7=29 check 33 no back\n", 2),
        (LEAF, 0),  # nothing made 36
        ("try 3*12=37\ntry 37+7=44 check 33 no back\n", 0),  # the step is wrong
        (FIRST + "try 36+7=44 check 33 no back\n", 0),  # the sum is wrong
        (FIRST + "try 36+7=43 check 43 yes\n", 0),  # not the target
        (FIRST + "try 36+12=48 check 33 no back\n", 0),  # 12 is used up
        ("try 3*7=21\n" + LEAF, 0),  # 36 is on another path
        (FIRST + "try 5+5=10\n" + LEAF, 0),  # after a step with made-up numbers
        (FIRST + "back\n" + LEAF, 0),  # left already
        (FIRST + "answer: 1\n" + LEAF, 0),
        ("try 3*7=21 check 33 no back\n", 0),  # two numbers of three
        (FIRST + LEAF.rstrip("\n"), 1),
        (" " + FIRST + LEAF, 0),
    ],
)
def test_only_new_right_and_admissible_attempts_are_paid(text, expected):
    assert count([([3, 7, 12], 33, text)]) == [expected]


def test_the_same_attempt_after_another_first_step_is_new():
    leaf = "try 4+7=11 check 11 yes\n"
    assert count([([2, 2, 7], 11, f"try 2+2=4\n{leaf}back\ntry 2*2=4\n{leaf}")]) == [2]


def test_products_that_wrap_around_in_32_bits_are_wrong():
    numbers, wrapped = [65536, 65536, 7], "try 65536*65536=0\ntry 0+7=7 check 7 yes\n"
    assert count([(numbers, 7, wrapped), ([0, 65536, 7], 7, "try 65536*0=0\ntry 0+7=7 check 7 yes\n")]) == [0, 1]


def test_moves_beyond_the_limit_are_not_read():
    text = "back\n" * 62 + FIRST + LEAF + "try 36-7=29 check 33 no back\n"
    assert count([([3, 7, 12], 33, text)]) == [1]


def test_the_reward_is_the_capped_share_at_the_last_token_and_cut_texts_are_not_valid():
    many = FIRST + "".join(
        f"try 36{op}7={value} check 33 no back\n" for op, value in (("+", 43), ("-", 29), ("*", 252))
    )
    many += "back\ntry 3*7=21\ntry 21+12=33 check 33 yes\n"
    long = [TOKENS.pieces.index(b" no back\n")] * TIME  # 9 bytes a token, where 8 have room
    rollout = rollout_of([([3, 7, 12], 33, text) for text in (many, FIRST + LEAF, long)])
    (reward, valid), memory = KERNEL(rollout, verdicts(rollout), TOKENS.device, KERNEL.init())
    lengths = np.asarray(rollout.mask).sum(axis=1)
    expected = np.zeros((3, TIME), np.float32)
    expected[0, lengths[0] - 1], expected[1, lengths[1] - 1] = 1.0, 1 / 3
    np.testing.assert_allclose(reward, expected)
    assert np.asarray(valid).tolist() == [True, True, False] and memory == ()


@pytest.mark.parametrize("field", ["cap", "max_moves"])
def test_impossible_counts_are_refused(field):
    with pytest.raises(ValueError, match=field):
        SearchAttempts(**{field: 0})

"""The device's verdict on exact answers against the host's verifier, on what responses spell."""

import random

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.common.codes import Verdict
from rlsp_jax.data import ArrangementTraces, Permutations
from rlsp_jax.records import Problem
from rlsp_jax.rewards import ExactTextChecker
from rlsp_jax.sharding import MeshConfig, make_mesh, place_rows
from rlsp_jax.verifiers import ExactText
from tests.rewards.texts import Tokens, spelled

TOKENS = Tokens()
CHECKER = ExactTextChecker(answer_bytes=12)
CHECK = jax.jit(lambda rollout: CHECKER(rollout, TOKENS.device))
BATCH, TIME = 16, 160


def problem(gold: str) -> Problem:
    return Problem(0, "", "", {"answer": gold})


def judge(cases) -> list[tuple[Verdict, int, bool]]:
    """(verdict, answer_start, answered) of (gold, response) pairs, in one fixed shape."""
    padded = [*cases, *[("a", "")] * (BATCH - len(cases))]
    truth = CHECKER.encode_truth([problem(gold) for gold, _ in padded])
    result = CHECK(TOKENS.rollout([response for _, response in padded], TIME, truth=truth))
    columns = (result.outcome, result.answer_start, result.answered)
    rows = zip(*(np.asarray(x).tolist() for x in columns), strict=True)
    return [(Verdict(outcome), start, answered) for outcome, start, answered in rows][: len(cases)]


def assert_agrees(cases):
    """UNKNOWN only where the answer outgrows the window; everything else is as the host has it."""
    data = spelled(TOKENS, TOKENS.rollout([response for _, response in cases], TIME))
    for (gold, _), text, (verdict, _, answered) in zip(cases, data, judge(cases), strict=True):
        _, marker, rest = text.rpartition(b"answer:")
        assert answered == bool(marker)
        too_long = bool(marker) and len(rest.split(b"\n")[0]) > CHECKER.answer_bytes
        host = ExactText(10**6).verify({"answer": gold}, text.decode(errors="replace")).verdict
        assert verdict == (Verdict.UNKNOWN if too_long else host), (gold, text)


EDITS = "abcde \n:1é\u20ac"


def corrupt(rng: random.Random, text: str) -> str:
    i, j = rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)
    inserted = rng.choice([*EDITS, "", "answer:", "   ", text[i:j]])
    return text[:i] + inserted + text[i + rng.randrange(2) :]


def case(rng: random.Random):
    source = Permutations(symbols=rng.randint(3, 9), moves=(1, 4))
    found = source.problem("train", rng.randrange(1000))
    response = ArrangementTraces(direct=0.5, strides=(1, 2)).trace(found, 0)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
        response = corrupt(rng, response)
    return found.truth["answer"], (response + rng.choice(["", "", "\n", "\n5", " ", "  "]))[:150]


@settings(max_examples=40)
@given(st.integers(0, 2**63))
def test_the_device_and_the_host_agree_on_traces_and_on_corrupted_traces(seed):
    rng = random.Random(seed)
    assert_agrees([case(rng) for _ in range(BATCH)])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.text("ab \n", max_size=14)), max_size=BATCH))
def test_the_device_and_the_host_agree_on_arbitrary_strings_of_the_alphabet(pairs):
    assert_agrees([(gold, f"answer:{text}") for gold, text in pairs])


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=14), max_size=BATCH), st.text(max_size=3))
def test_the_device_and_the_host_agree_on_any_bytes(garbage, gold):
    usable = gold.strip(" ") and "\n" not in gold and "\ufffd" not in gold
    assert_agrees([(gold if usable else "é", list(b"answer: " + data)) for data in garbage])


def test_most_generated_responses_are_decided_and_all_verdicts_occur():
    rng = random.Random(5)
    outcomes = [verdict for _ in range(10) for verdict, *_ in judge([case(rng) for _ in range(BATCH)])]
    assert set(outcomes) == set(Verdict)
    assert outcomes.count(Verdict.CORRECT) >= 20 and outcomes.count(Verdict.UNKNOWN) <= 40


EXPECTED = [
    ("badce", "\n1:abdce\nanswer: badce", Verdict.CORRECT),
    ("badce", "answer:badce ", Verdict.CORRECT),
    (" badce ", "answer: badce", Verdict.CORRECT),
    ("badce", "answer: badce\nso it is", Verdict.CORRECT),
    ("badce", "answer: badce\nanswer: badec", Verdict.WRONG),
    ("badce", "answer: badec\nanswer: badce", Verdict.CORRECT),
    ("badce", "answer: badcea", Verdict.WRONG),
    ("badce", "answer: badc", Verdict.WRONG),
    ("badce", "answer: bad ce", Verdict.WRONG),
    ("bad ce", "answer: bad ce", Verdict.CORRECT),
    ("badce", "answer: ", Verdict.WRONG),
    ("badce", "badce", Verdict.WRONG),
    ("badce", "", Verdict.WRONG),
    ("badce", "answer:" + " " * 7 + "badce", Verdict.CORRECT),
    ("badce", "answer:" + " " * 8 + "badce", Verdict.UNKNOWN),
    ("é", "answer: é", Verdict.CORRECT),
]


def test_known_answers_get_their_known_verdicts():
    assert [verdict for verdict, *_ in judge([case[:2] for case in EXPECTED])] == [case[2] for case in EXPECTED]


def test_a_response_that_outgrows_its_room_is_undecided():
    checker = ExactTextChecker(max_bytes=16)
    truth = checker.encode_truth([problem("ab")] * 2)
    rollout = TOKENS.rollout([list(b"answer: ab"), list(b"answer: ab\n" + b"x" * 8)], 32, truth=truth)
    outcome = checker(rollout, TOKENS.device).outcome
    assert np.asarray(outcome).tolist() == [Verdict.CORRECT, Verdict.UNKNOWN]


def test_answer_start_is_the_token_of_the_first_answer_or_the_length_without_one():
    tokens = list(b"ab\nanswer: b\nanswer: c")
    assert judge([("b", tokens), ("b", list(b"answer")), ("b", [])]) == [
        (Verdict.WRONG, 3, True),
        (Verdict.WRONG, 6, False),
        (Verdict.WRONG, 0, False),
    ]


@pytest.mark.parametrize("gold", ["", "  ", "a\nb", "\ufffd"])
def test_a_gold_that_no_answer_can_be_is_refused(gold):
    with pytest.raises(ValueError, match="it must be one line, and not empty"):
        CHECKER.encode_truth([problem(gold)])


def test_a_gold_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="has 13 bytes; raise answer_bytes = 12"):
        CHECKER.encode_truth([problem("a" * 13)])


@pytest.mark.parametrize("field", ["answer_bytes", "max_bytes"])
def test_impossible_sizes_are_refused(field):
    with pytest.raises(ValueError, match=field):
        ExactTextChecker(**{field: 0})


def test_rows_spread_over_a_mesh_get_the_same_verdicts():
    rng = random.Random(3)
    cases = [case(rng) for _ in range(BATCH)]
    truth = CHECKER.encode_truth([problem(gold) for gold, _ in cases])
    rollout = TOKENS.rollout([response for _, response in cases], TIME, truth=truth)
    mesh = make_mesh(MeshConfig(data=2, fsdp=4))
    with jax.set_mesh(mesh):
        spread = CHECK(place_rows(mesh, rollout))
    jax.tree.map(np.testing.assert_array_equal, spread, CHECK(rollout))

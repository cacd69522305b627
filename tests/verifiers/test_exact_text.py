import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.common.codes import Verdict
from rlsp_jax.verifiers import ExactText

TRUTH = {"answer": "badce"}


def outcome_of(response: str):
    outcome = ExactText().verify(TRUTH, response)
    return outcome.verdict, outcome.reason


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "no final answer"),
        ("badce", "no final answer"),
        ("answer badce", "no final answer"),
        ("answer:", "empty answer"),
        ("answer:   \nbadce", "empty answer"),
        ("answer: badec", "not badce"),
        ("answer: badcee", "not badce"),
        ("answer: adce", "not badce"),
        ("answer: Badce", "not badce"),
        ("answer: b adce", "not badce"),
        ("answer: badce.", "not badce"),
        ("answer: badce\r", "not badce"),
        ("answer:\tbadce", "not badce"),
        ("answer: badce\nanswer: abcde", "not badce"),
        ("answer: badce answer:", "empty answer"),
    ],
)
def test_a_wrong_answer_is_wrong_for_its_reason(response, reason):
    assert outcome_of(response) == (Verdict.WRONG, reason)


@pytest.mark.parametrize(
    "response",
    [
        "answer: badce",
        "answer:badce",
        "1:abdce\nanswer:  badce  ",
        "answer: abcde\nanswer: badce\nand more",
        "so the answer: badce",
    ],
)
def test_only_the_last_answer_counts_up_to_the_end_of_its_line_and_without_blanks_around(response):
    assert outcome_of(response) == (Verdict.CORRECT, "correct")


def test_an_answer_over_the_limit_is_unknown_and_one_at_the_limit_is_read():
    assert ExactText(8).verify(TRUTH, "answer: badce  ").verdict == Verdict.CORRECT
    over = ExactText(8).verify(TRUTH, "answer: badce   ")
    assert (over.verdict, over.reason) == (Verdict.UNKNOWN, "answer is 9 bytes, over the limit of 8")
    assert ExactText(8).verify({"answer": "é" * 4}, "answer:" + "é" * 4).verdict == Verdict.CORRECT
    assert ExactText(8).verify({"answer": "é" * 4}, "answer:" + "é" * 5).verdict == Verdict.UNKNOWN


@settings(max_examples=100)
@given(st.text(max_size=300), st.binary(max_size=300))
def test_no_response_makes_the_verifier_raise(text, garbage):
    for response in (text, garbage.decode("utf-8", "surrogateescape")):
        assert ExactText().verify(TRUTH, "answer:x" + response).verdict in (Verdict.WRONG, Verdict.UNKNOWN) or (
            "answer:" in response
        )


def test_answers_vote_together_when_they_are_the_same_but_for_blanks_around():
    vote = ExactText().equivalence
    assert vote("badce") == vote(" badce ") != vote("badec")
    assert [vote(answer) for answer in ("", "  ", "a" * 257)] == [None] * 3


def test_the_verifier_is_a_picklable_value():
    assert pickle.loads(pickle.dumps(ExactText(64))) == ExactText(64)
    with pytest.raises(ValueError, match="max_answer_bytes"):
        ExactText(0)

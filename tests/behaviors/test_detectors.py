"""What a response did, counted by hand and by the detectors."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsp_jax.behaviors.detectors import detect, repetition, segments
from rlsp_jax.behaviors.lexicon import Lexicon

SEARCH = """try 3*12=36
try 36+7=43 check 33 no back
try 36-7=29 check 33 no back
back
try 3*7=21
try 21+12=33 check 33 yes
answer: (3*7)+12"""


def test_a_written_search_is_counted_move_by_move():
    counts = detect(SEARCH, correct=True)
    assert (counts.backtracks, counts.verifications, counts.attempts) == (3, 3, 3)
    assert counts.wrong_to_right
    assert counts.repetition == 0.0


def test_a_direct_answer_shows_no_behaviour():
    counts = detect("answer: (3*7)+12", correct=True)
    assert (counts.backtracks, counts.verifications, counts.attempts) == (0, 0, 0)
    assert not counts.wrong_to_right


def test_wrong_to_right_needs_a_failed_check_and_a_correct_answer():
    without_failure = "try 3*7=21\ntry 21+12=33 check 33 yes\nanswer: (3*7)+12"
    assert not detect(without_failure, correct=True).wrong_to_right
    assert not detect(SEARCH, correct=False).wrong_to_right


def test_the_same_attempt_below_the_same_steps_counts_once():
    again = "try 3*12=36\n" + "try 36+7=43 check 33 no back\n" * 4 + "try  36 + 7=43 check 33 no back\n"
    assert detect(again, correct=False).attempts == 1
    assert detect(again, correct=False).verifications == 5


def test_the_same_attempt_below_other_steps_is_another_attempt():
    leaf = "try 36+7=43 check 43 no back\n"
    assert detect(f"try 3*12=36\n{leaf}back\ntry 48-12=36\n{leaf}back\n", correct=False).attempts == 2


def test_leaving_a_step_and_entering_it_again_brings_no_new_attempt():
    round_trip = "try 3*12=36\ntry 36+7=43 check 33 no back\nback\n"
    assert detect(round_trip * 5, correct=False).attempts == 1


def test_entering_a_step_again_without_leaving_it_brings_no_new_attempt():
    assert detect("try 3*12=36\ntry 36+7=43 check 33 no back\n" * 5, correct=False).attempts == 1


def test_words_are_matched_whole():
    counts = detect("backwards recheck trying checks notback", correct=False)
    assert (counts.backtracks, counts.verifications) == (0, 0)


def test_words_inside_the_answer_are_no_moves():
    assert detect("answer: back check 3", correct=False).backtracks == 0


def test_repetition_is_the_share_of_repeated_lines_or_ngrams():
    assert repetition("try 1+2=3\nback\ntry 1+3=4\nback\nback\n") == 0.0
    assert repetition("try 1+2=3\ntry 1+2=3\ntry 1+2=3\ntry 1+2=3") == pytest.approx(3 / 4)
    words = "a b c d e f g h"
    # 24 words hold 17 8-grams; the 8 rotations of the eight words are all there is.
    assert repetition(" ".join([words] * 3)) == pytest.approx(1 - 8 / 17)
    assert repetition("") == 0.0


def test_segments_name_each_move_and_how_its_check_came_out():
    line = "try 36+7=43 check 33 no back\ntry 1+2=3 check 3 yes\ntry 4+4=8 check 9\nanswer: 3\nand so on"
    kinds = [segment.kind for segment in segments(line)]
    assert kinds == ["try", "failed", "back", "try", "passed", "try", "check", "answer", "text"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["try ", "check ", "back", "answer:", "no", "yes", "\n", "\r", " ", "3+4=7", "é"])).map(
        "".join
    )
)
def test_segments_put_together_are_the_response(response):
    assert "".join(segment.text for segment in segments(response)) == response
    counts = detect(response, correct=False)
    assert counts.attempts <= counts.verifications
    assert 0.0 <= counts.repetition < 1.0


def test_another_lexicon_reads_another_language():
    english = Lexicon(
        attempt=("let's try", "alternatively"),
        verify=("let me verify",),
        passed=("that works",),
        failed=("that fails",),
        backtrack=("wait",),
        answer=("the answer is",),
    )
    text = "Let's try 3. Let me verify: that fails. Wait, alternatively 4. Let me verify: that works. The answer is 4."
    counts = detect(text, correct=True, lexicon=english)
    assert (counts.backtracks, counts.verifications, counts.attempts, counts.wrong_to_right) == (1, 2, 2, True)


def test_an_empty_lexicon_is_refused():
    with pytest.raises(ValueError, match="backtrack"):
        Lexicon(backtrack=())
    with pytest.raises(ValueError, match="verify"):
        Lexicon(verify=("",))
    with pytest.raises(Exception, match="passed"):  # a ValueError; under the tests' type checks, theirs
        Lexicon(passed="yes")  # pyright: ignore[reportArgumentType]


def test_behaviors_never_import_jax():
    code = "import sys, rlsp_jax.behaviors.analytics as _; assert not {'jax', 'flax', 'optax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

import dataclasses

import pytest

from rlsp_jax.algorithms.return_conditioned import Config, Outcomes, Promises, StepPromises
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import SearchTraces
from tests.algorithms.draws import Bytes, make_draw

CONFIG = Config(labels=Outcomes(wrong="-\n", right="+\n"))
BY_STEP = Config(labels=StepPromises())


def examples(config, draws, room=100):
    return config.examples([draws], Bytes(), room)


def test_every_response_of_known_verdict_stands_behind_its_label_at_the_ratio_drawn():
    verdicts = ["wrong", "wrong", "correct", "unknown", "wrong"]
    draws = [make_draw(n, 0, verdict, f"answer: {n}") for n, verdict in enumerate(verdicts)]
    shown = [f"question {n}\n{label}" for n, label in [(0, "-\n"), (1, "-\n"), (2, "+\n"), (4, "-\n")]]
    expected = [(text, draws[n].tokens) for text, n in zip(shown, (0, 1, 2, 4), strict=True)]
    assert examples(CONFIG, draws) == expected
    assert CONFIG.prompt_suffix == "+\n" and CONFIG.marks == ()


@pytest.mark.parametrize(
    ("promise", "label"),
    [(0.0, "a"), (0.249, "a"), (0.25, "b"), (0.5, "b"), (0.749, "b"), (0.75, "c"), (1.0, "c")],
)
def test_a_promise_is_rounded_to_the_nearest_mark_by_its_last_token(promise, label):
    labels = Promises(("a", "b", "c"))
    assert labels(make_draw(promise=(0.1, 0.9, promise))) == label
    assert labels(make_draw()) is None and labels.promised


def test_a_best_label_that_was_never_given_is_one_clear_sentence_unless_demonstrations_have_it():
    draws = [make_draw(0, 0, "wrong"), make_draw(1, 0, "unknown")]
    with pytest.raises(UserError, match=r"None of the 2 responses drawn has the label '\+', which the policy"):
        examples(CONFIG, draws)
    mixed = dataclasses.replace(CONFIG, demonstrations=SearchTraces(), num_demonstrations=3)
    assert examples(mixed, draws) == [("question 0\n-\n", draws[0].tokens)]


def test_every_response_that_an_outcome_model_has_read_is_imitated_with_labels_before_its_steps():
    """Whatever its verdict; cut off where the labels have pushed it beyond the row."""
    promises = [(0.5, 0.4, 0.4, 0.6), (0.5, 0.5, 0.2, 0.2), None]
    verdicts = ["wrong", "unknown", "correct"]
    draws = [make_draw(n, 0, verdicts[n], "a\nb\n", promise=promise) for n, promise in enumerate(promises)]
    shown = [(f"question {n}\n", tuple(text)) for n, text in enumerate([b"?a\n!b\n", b"!a\n?b\n"])]
    assert examples(BY_STEP, draws) == shown
    assert examples(BY_STEP, draws, room=5) == [(question, tokens[:5]) for question, tokens in shown]
    assert BY_STEP.prompt_suffix == "" and BY_STEP.marks == ("?", "!")
    with pytest.raises(UserError, match=r"None of the 2 responses drawn has the label '!', which the policy"):
        examples(BY_STEP, [make_draw(n, 0, "correct", "ab", promise=(0.5, 0.4)) for n in range(2)])


@pytest.mark.parametrize("changes", [{"bad": "-"}, {"good": "+"}, {"marker": "b"}], ids=str)
def test_every_field_of_the_labels_changes_what_is_imitated(changes):
    draws, other = [make_draw(0, 0, "wrong", "a\nbb\n", promise=(0.5, 0.4, 0.4, 0.4, 0.6))], StepPromises(**changes)
    assert examples(Config(labels=other), draws) != examples(BY_STEP, draws)


def test_an_id_beyond_the_tokenizers_stands_for_nothing():
    tokens = (*b"a\n", Bytes.vocab_size + 3)
    assert BY_STEP.demonstration("1 = 1\n", tokens, Bytes(), 9)[1] == (*b"!a\n", Bytes.vocab_size + 3)


def test_a_demonstration_has_the_best_label_before_every_step():
    tokens = tuple(b"a\nb")
    assert CONFIG.demonstration("1 = 1\n", tokens, Bytes(), 9) == ("1 = 1\n+\n", tokens)
    assert BY_STEP.demonstration("1 = 1\n", tokens, Bytes(), 9) == ("1 = 1\n", tuple(b"!a\n!b"))
    assert BY_STEP.demonstration("1 = 1\n", tokens, Bytes(), 4) == ("1 = 1\n", tuple(b"!a\n!"))


def test_evals_on_the_way_wait_for_the_end():
    assert [step for step in range(CONFIG.num_steps + 1) if CONFIG.watched(step, every=1)] == [CONFIG.num_steps]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Outcomes("x", "x"), "labels are .*distinct and not empty"),
        (lambda: Outcomes("", "x"), "labels are .*distinct and not empty"),
        (lambda: StepPromises("x", "x"), "labels are .*distinct and not empty"),
        (lambda: StepPromises(marker=""), "^marker is empty"),
        (lambda: Promises(("x",)), "labels are .*two or more"),
        (lambda: dataclasses.replace(CONFIG, num_demonstrations=4), "give both or neither"),
        (lambda: dataclasses.replace(CONFIG, demonstrations=SearchTraces()), "give both or neither"),
        (lambda: dataclasses.replace(CONFIG, num_problems=0), "^num_problems is 0"),
        (lambda: dataclasses.replace(CONFIG, num_steps=0), "^num_steps is 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()

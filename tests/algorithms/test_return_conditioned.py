import dataclasses

import pytest

from rlsp_jax.algorithms.return_conditioned import Config, Outcomes, Promises
from rlsp_jax.common.errors import UserError
from rlsp_jax.data import SearchTraces
from tests.algorithms.draws import make_draw

CONFIG = Config(labels=Outcomes(wrong="-\n", right="+\n"))


def test_every_response_of_known_verdict_stands_behind_its_label_at_the_ratio_drawn():
    verdicts = ["wrong", "wrong", "correct", "unknown", "wrong"]
    draws = [make_draw(n, 0, verdict, f"answer: {n}") for n, verdict in enumerate(verdicts)]
    shown = [f"question {n}\n{label}" for n, label in [(0, "-\n"), (1, "-\n"), (2, "+\n"), (4, "-\n")]]
    assert CONFIG.examples([draws]) == [(text, draws[n].tokens) for text, n in zip(shown, (0, 1, 2, 4), strict=True)]
    assert CONFIG.prompt_suffix == "+\n"


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
        CONFIG.examples([draws])
    mixed = dataclasses.replace(CONFIG, demonstrations=SearchTraces(), num_demonstrations=3)
    assert mixed.examples([draws]) == [("question 0\n-\n", draws[0].tokens)]


def test_evals_on_the_way_wait_for_the_end():
    assert [step for step in range(CONFIG.num_steps + 1) if CONFIG.watched(step, every=1)] == [CONFIG.num_steps]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Outcomes("x", "x"), "labels are .*distinct and not empty"),
        (lambda: Outcomes("", "x"), "labels are .*distinct and not empty"),
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
